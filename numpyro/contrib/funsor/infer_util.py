"""Densities of models with enumerated sites, and how sites are marked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from numpyro._errors import UsageError
from numpyro._typing import Array, PyTree
from numpyro.enumeration import is_enumerable, marginal_problem
from numpyro.handlers import infer_config, substitute, trace
from numpyro.ops.sum_product import eliminate

__all__ = ["config_enumerate", "config_kl", "log_density", "plate_to_enum_plate"]


def config_enumerate(fn: Callable | None = None, default: str | None = "parallel") -> Callable:
    """Mark all latent sites of finite support to be enumerated, but those that are marked already.

    :param fn: the model; ``None`` to use the function as a decorator.
    :param default: the mark: ``"parallel"``, or ``None`` for sites that are not to be enumerated.
    :raises ValueError: for another mark.

    >>> import numpyro, numpyro.distributions as dist
    >>> @config_enumerate
    ... def model():
    ...     return numpyro.sample("z", dist.Bernoulli(0.3))
    >>> numpyro.handlers.trace(numpyro.handlers.seed(model, rng_seed=0)).get_trace()["z"]["infer"]
    {'enumerate': 'parallel'}
    """
    if fn is None:
        return partial(config_enumerate, default=default)
    if default not in ("parallel", None):
        raise UsageError(
            f"default of config_enumerate must be 'parallel' or None, but got {default!r}: all values of a site are "
            "taken at once."
        )

    def mark(site: Any) -> dict[str, Any]:
        return {"enumerate": site["infer"].get("enumerate", default)} if is_enumerable(site) else {}

    return infer_config(fn, config_fn=mark)


def config_kl(fn: Callable | None = None, sites: Collection[str] | None = None) -> Callable:
    """Mark latent sites whose Kullback-Leibler divergence ``TraceEnum_ELBO`` is to take in closed form.

    :param fn: the model; ``None`` to use the function as a decorator.
    :param sites: names of the sites; by default all latent ones.
    """
    if fn is None:
        return partial(config_kl, sites=sites)

    def mark(site: Any) -> dict[str, Any]:
        chosen = not site["is_observed"] and (sites is None or site["name"] in sites)
        return {"kl": site["infer"].get("kl", "analytic")} if chosen else {}

    return infer_config(fn, config_fn=mark)


@contextmanager
def plate_to_enum_plate() -> Iterator[None]:
    """A context in which ``numpyro.plate`` serves enumeration, as it does everywhere."""
    yield


def log_density(
    model: Callable, model_args: tuple, model_kwargs: dict[str, Any] | None, params: dict[str, PyTree]
) -> tuple[Array, dict[str, Any]]:
    """The log joint density of a model at constrained values, enumerated sites summed out.

    :param model: the model, under :class:`~numpyro.contrib.funsor.enum`.
    :param model_args: its positional arguments.
    :param model_kwargs: its keyword arguments.
    :param params: values by the names of sites.
    :return: the log density, a scalar, and the trace of the model.
    :raises ValueError: where the sum cannot be done exactly within the plates.

    >>> import numpyro, numpyro.distributions as dist
    >>> def model():
    ...     z = numpyro.sample("z", dist.Bernoulli(0.5))
    ...     numpyro.sample("x", dist.Bernoulli(0.2 + 0.6 * z), obs=1)
    >>> from numpyro.contrib.funsor import enum
    >>> log_joint, _ = log_density(enum(config_enumerate(model)), (), {}, {})
    >>> round(float(log_joint), 4)
    -0.6931
    """
    with trace() as model_trace, substitute(data=params):
        model(*model_args, **(model_kwargs or {}))
    return eliminate(marginal_problem(model_trace)).total, model_trace
