"""The sites of a model by their kinds, and models with some of their sites given."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import Array, Key
from numpyro.handlers import condition, seed, trace
from numpyro.infer.model import Arguments
from numpyro.infer.model.density import Prototype

Trace: TypeAlias = "OrderedDict[str, dict[str, Any]]"
SiteSelector: TypeAlias = Callable[[Trace], Sequence[str]]
"""A function of a model's trace that names sites."""
SitesSpec: TypeAlias = Sequence[str] | SiteSelector | None
"""Sites by name, or chosen from a trace, or ``None`` for all that are left."""
ModelWrapper: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]
"""A function that makes a model of a model."""

GIBBS_SITES_KWARG = "_gibbs_sites"
"""The keyword argument by which a :func:`conditioned` model takes the values of sites."""


def conditioned(model: Callable[..., Any]) -> Callable[..., Any]:
    """The model with a further keyword argument :data:`GIBBS_SITES_KWARG`: values of sites, which count as observed.

    >>> import jax, numpyro, numpyro.distributions as dist
    >>> model = conditioned(lambda: numpyro.sample("x", dist.Normal(0, 1)))
    >>> model(**with_conditioning({}, {"x": 2.0}))
    2.0
    """
    return partial(_conditioned_model, model)


def _conditioned_model(model: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    values = kwargs.pop(GIBBS_SITES_KWARG, None)
    return condition(model, data=values)(*args, **kwargs) if values else model(*args, **kwargs)


def with_conditioning(
    model_kwargs: Mapping[str, Any] | None, values: Mapping[str, Any], *, allowed: Collection[str] | None = None
) -> dict[str, Any]:
    """Keyword arguments for a :func:`conditioned` model, with further values of sites.

    :param model_kwargs: keyword arguments, perhaps with values of sites already.
    :param values: values by the names of sites.
    :param allowed: the latent sites of the model; ``None`` where they are not known.
    :raises ValueError: for a value of a site that is not among ``allowed``.
    """
    unknown = [] if allowed is None else sorted(set(values) - set(allowed))
    if unknown:
        raise UsageError(
            f"Cannot condition on non-latent sites {unknown}; the latent sites are {sorted(allowed or ())}."
        )
    kwargs = dict(model_kwargs or {})
    kwargs[GIBBS_SITES_KWARG] = {**kwargs.get(GIBBS_SITES_KWARG, {}), **values}
    return kwargs


def any_changed(old: Any, new: Any) -> Array:
    """Whether any entry of two pytrees of the same shapes differs; a scalar."""
    changed = [jnp.any(a != b) for a, b in zip(jax.tree.leaves(old), jax.tree.leaves(new), strict=True)]
    return jnp.any(jnp.stack(changed)) if changed else jnp.array(False)


def prototype_trace(
    model: Callable[..., Any], rng_key: Key, model_args: tuple, model_kwargs: Mapping[str, Any] | None
) -> Trace:
    """A trace of the model, for its sites and their shapes."""
    return trace(seed(model, rng_key)).get_trace(*model_args, **(model_kwargs or {}))


def latent_sample_sites(model_trace: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the latent sample sites, in the model's order."""
    return tuple(name for name, site in model_trace.items() if site["type"] == "sample" and not site["is_observed"])


def discrete_latent_sites(model_trace: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the latent sites of finite discrete support that are not marked for enumeration."""
    return tuple(name for name in latent_sample_sites(model_trace) if is_finite_discrete(model_trace[name]))


def is_finite_discrete(site: Any) -> bool:
    """Whether a latent site has a finite list of values and is to be sampled."""
    fn = site["fn"]
    return bool(fn.has_enumerate_support and fn.is_discrete and site["infer"].get("enumerate", "") != "parallel")


def discrete_support_sizes(model_trace: Mapping[str, Any], sites: Sequence[str]) -> dict[str, np.ndarray]:
    """The number of values of each element of discrete sites, by name, each of the site's shape.

    :raises NotImplementedError: for supports that cannot be listed.
    """
    return {
        name: np.broadcast_to(support_values(model_trace[name]).size, np.shape(model_trace[name]["value"]))
        for name in sites
    }


def subsample_plate_sizes(model_trace: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """The sizes and subsample sizes of the plates that draw a subsample, by name."""
    return {
        name: tuple(site["args"])
        for name, site in model_trace.items()
        if site["type"] == "plate" and site["args"][1] is not None and site["args"][0] > site["args"][1]
    }


def support_values(site: Any) -> np.ndarray:
    """The values that each element of a discrete site takes, one list for all of them."""
    with jax.ensure_compile_time_eval():
        return np.ravel(np.asarray(site["fn"].enumerate_support(expand=False)))


def finite_supports(
    model: Callable[..., Any], args: tuple, kwargs: Mapping[str, Any], names: Sequence[str], algorithm: str
) -> dict[str, np.ndarray]:
    """The values of discrete sites by name, from what is known without values of other sites.

    :raises ValueError: for a site whose support is not finite, or depends on another latent site.
    """
    if not names:
        return {}
    errors: Exception | None = None
    # A support may be known from shapes alone, or from the data.
    for constant in (False, True):
        arguments = Arguments.split(args, dict(kwargs), constant=constant)
        found: dict[str, np.ndarray] = {}

        def run(arrays: tuple) -> None:
            args, kwargs = arguments.rebuild(arrays)  # noqa: B023
            with trace() as model_trace, seed(rng_seed=jax.random.key(0)), Prototype():
                model(*args, **kwargs)
            for name in names:
                try:
                    found[name] = support_values(model_trace[name])  # noqa: B023
                except (ValueError, NotImplementedError) as error:
                    raise UsageError(
                        f"{algorithm} needs the list of values of the discrete site '{name}' "
                        f"({type(model_trace[name]['fn']).__name__}), the same at every step: {error}"
                    ) from error

        try:
            jax.eval_shape(run, arguments.arrays)
            return found
        except Exception as error:
            errors = error
    raise errors  # type: ignore[misc]
