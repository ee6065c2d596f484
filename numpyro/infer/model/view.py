"""The view of a model: its sites, its log density and the maps between unconstrained and constrained values."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._errors import UnsupportedSiteError, UsageError
from numpyro._typing import Array, CondIndepStackFrame, Key, PyTree, Shape
from numpyro.distributions.transforms import Transform
from numpyro.enumeration import ENUMERATED, is_enumerable
from numpyro.handlers import seed, substitute, trace
from numpyro.infer.model.arguments import Arguments
from numpyro.infer.model.bijection import site_bijection
from numpyro.infer.model.density import Prototype, ToUnconstrained, is_latent
from numpyro.infer.model.evaluate import constrain_at, log_density_at, trace_at
from numpyro.infer.model.observations import count_outside, raise_outside
from numpyro.infer.program import Program, compiled_programs, in_jit, is_traced, jit

logger = logging.getLogger("numpyro")
_arrays_must_be_traced: ContextVar[bool] = ContextVar("arrays_must_be_traced", default=False)


@contextmanager
def require_run_time_arrays(required: bool) -> Iterator[None]:
    """While open, a model that needs the concrete values of an array argument is an error, if ``required``."""
    token = _arrays_must_be_traced.set(required)
    try:
        yield
    finally:
        _arrays_must_be_traced.reset(token)


class Site(NamedTuple):
    """What inference knows of one site before any value is known.

    ``shape`` and ``dtype`` are of the (constrained) value, ``unconstrained_shape`` is ``None`` for sites that are
    observed, discrete or not random. ``transform`` is the bijection onto the support of a continuous latent site,
    ``None`` where it depends on run-time values. ``plates`` are the frames that the site stands in, ``infer`` its
    configuration; ``is_subsampled`` marks plates that draw a subsample, and ``plate_size`` is the full size of a plate.
    ``is_enumerable`` marks discrete latent sites that are to be summed out, ``batch_ndim`` is the number of batch
    dimensions of a sample site.
    """

    name: str
    kind: str
    shape: Shape
    dtype: Any
    event_dim: int
    plates: tuple[CondIndepStackFrame, ...]
    is_observed: bool
    is_discrete: bool
    unconstrained_shape: Shape | None
    transform: Transform | None
    is_subsampled: bool
    infer: dict[str, Any]
    plate_size: int | None
    is_enumerable: bool
    batch_ndim: int


class ModelView:
    """A model with its arguments, as inference sees it.

    :param model: a model.
    :param args: its positional arguments.
    :param kwargs: its keyword arguments.
    :param constant: take the arrays among the arguments as fixed values, so that the model may compute with them in
        Python. By default they are traced, unless the model turns out to need their values.
    :param substituted: fixed values (constrained) for some latent sites, by name.

    The pure functions of a view take ``data``, what a program gets at run time: a key for what else the model draws
    (the subsamples of plates, say), and the arrays of the arguments. :meth:`data` makes it.
    """

    def __init__(
        self,
        model: Callable,
        args: tuple = (),
        kwargs: dict[str, Any] | None = None,
        *,
        constant: bool = False,
        substituted: dict[str, Any] | None = None,
    ) -> None:
        self.model = substitute(model, data=substituted) if substituted else model
        kwargs = kwargs or {}
        self.arguments = Arguments.split(args, kwargs, constant=constant)
        try:
            self.sites, self._outside = self._describe()
        except Exception as error:
            if not self.arguments.arrays or _arrays_must_be_traced.get():
                raise
            self.arguments = Arguments.split(args, kwargs, constant=True)
            self.sites, self._outside = self._describe()
            logger.info("The arrays passed to the model are compiled in as constants: %s.", _where(error))

    def _describe(self) -> tuple[dict[str, Site], Program]:
        """The sites, and a program that counts observations outside their supports."""
        sites: dict[str, Site] = {}

        def run(arrays: tuple) -> dict[str, Array]:
            args, kwargs = self.arguments.rebuild(arrays)
            with trace() as model_trace, seed(rng_seed=jax.random.key(0)), Prototype() as prototype:
                self.model(*args, **kwargs)
            for name, site in model_trace.items():
                sites[name] = _describe_site(site, has_value=name not in prototype.given)
            return count_outside(model_trace)

        shapes = jax.eval_shape(lambda arrays: arrays, self.arguments.arrays)
        return sites, Program(run, shapes)

    def check_observations(self) -> None:
        """Hold the observations, which must be concrete, against the supports of their distributions.

        :raises ValueError: naming the sites, how many observations are outside and the first few.
        """
        if not self._outside.out_shape or is_traced((self._outside.consts, self.arguments.arrays)) or in_jit():
            return
        count = compiled_programs.get(("observations", self._outside.key), lambda: jit(self._outside.without_consts()))
        counts = count(self._outside.consts, self.arguments.arrays)
        outside = [name for name, number in counts.items() if number > 0]
        if outside:
            args, kwargs = self.arguments.rebuild(self.arguments.arrays)
            with trace() as model_trace, seed(rng_seed=jax.random.key(0)), Prototype():
                self.model(*args, **kwargs)
            raise_outside(model_trace, outside)

    def data(self, rng_key: Key) -> PyTree:
        """What the pure functions of the view take at run time."""
        return rng_key, self.arguments.arrays

    @cached_property
    def latent(self) -> dict[str, Site]:
        """The continuous latent sites by name, sorted."""
        return {name: site for name, site in sorted(self.sites.items()) if site.unconstrained_shape is not None}

    @property
    def discrete_latent(self) -> list[str]:
        """The names of the latent sites of discrete support."""
        return [s.name for s in self.sites.values() if s.kind == "sample" and not s.is_observed and s.is_discrete]

    @property
    def enumerated(self) -> list[str]:
        """The names of the discrete latent sites that the density of the view is summed over."""
        return [site.name for site in self.sites.values() if site.is_enumerable]

    @cached_property
    def first_available_dim(self) -> int | None:
        """The first dimension to the left of all batch dimensions, where there are sites to be summed out."""
        if not self.enumerated:
            return None
        return -1 - max(site.batch_ndim for site in self.sites.values())

    @property
    def prototype(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes and dtypes of the unconstrained values of the latent sites."""
        dtype = jnp.result_type(float)
        return {name: jax.ShapeDtypeStruct(site.unconstrained_shape or (), dtype) for name, site in self.latent.items()}

    def require_continuous(self, algorithm: str) -> None:
        """Raise where the model has discrete latent sites that can't be summed out: ``algorithm`` can't sample them."""
        enumerated = set(self.enumerated)
        names = ", ".join(f"'{name}'" for name in self.discrete_latent if name not in enumerated)
        if names:
            raise UnsupportedSiteError(
                f"{algorithm} samples continuous values and sums discrete latent sites of finite support out, but the "
                f"model has other discrete latent sites: {names}. Observe them, sum them out by hand, truncate them "
                "to a finite support (a Categorical), or sample them with an update of your own, in HMCGibbs."
            )

    def require_whole_plates(self, algorithm: str) -> None:
        """Raise where plates of the model draw subsamples, which ``algorithm`` would hold fixed."""
        names = ", ".join(f"'{site.name}'" for site in self.sites.values() if site.is_subsampled)
        if names:
            raise UsageError(
                f"{algorithm} does not support subsampling, but these plates draw a subsample: {names}. Leave out "
                "their subsample_size, fix their indices with numpyro.handlers.substitute, or use SVI or HMCECS."
            )

    @property
    def fixed_transforms(self) -> dict[str, Transform] | None:
        """The bijections of all latent sites, if none depends on values of others and no site is deterministic."""
        transforms = {name: site.transform for name, site in self.latent.items()}
        if None in transforms.values() or any(site.kind == "deterministic" for site in self.sites.values()):
            return None
        return transforms  # type: ignore[return-value]

    def trace_at(self, data: PyTree, unconstrained: dict[str, Array]) -> tuple[dict[str, Any], dict[str, Array]]:
        """The trace of the model at unconstrained values, and the log determinants by site.

        Discrete sites that the density is summed over are drawn given the sites before them.
        """
        args, kwargs = self.arguments.rebuild(data[1])
        return trace_at(self.model, args, kwargs, unconstrained, data[0], draws_discrete=bool(self.enumerated))

    def log_density(self, data: PyTree, unconstrained: dict[str, Array]) -> Array:
        """:math:`\\log \\pi(z)`, the log density of the unconstrained values, Jacobian terms included; a scalar.

        Discrete latent sites of finite support are summed out.
        """
        args, kwargs = self.arguments.rebuild(data[1])
        return log_density_at(self.model, args, kwargs, unconstrained, data[0], self.first_available_dim)

    def constrain(
        self, data: PyTree, unconstrained: dict[str, Array], *, deterministic: bool = False
    ) -> dict[str, PyTree]:
        """The constrained values of the latent sites; with ``deterministic=True`` those of deterministic sites too."""
        args, kwargs = self.arguments.rebuild(data[1])
        return constrain_at(
            self.model, args, kwargs, unconstrained, data[0], self.first_available_dim, deterministic=deterministic
        )

    def unconstrain(self, data: PyTree, constrained: dict[str, Array]) -> dict[str, Array]:
        """The unconstrained values of latent sites whose constrained values are given."""
        args, kwargs = self.arguments.rebuild(data[1])
        with seed(rng_seed=data[0]), ToUnconstrained() as point, substitute(data=constrained):
            self.model(*args, **kwargs)
        return {name: value for name, value in point.values.items() if name in constrained}

    def draw_initial(self, data: PyTree, rng_key: Key, strategy: Callable) -> dict[str, Array]:
        """Unconstrained initial values of the latent sites, by an initialization strategy.

        A strategy with a method ``draw_initial(view, data, rng_key)`` draws them all at once.
        """
        if hasattr(strategy, "draw_initial"):
            return strategy.draw_initial(self, data, rng_key)
        args, kwargs = self.arguments.rebuild(data[1])
        with substitute(substitute_fn=strategy), seed(rng_seed=rng_key), ToUnconstrained() as point:
            self.model(*args, **kwargs)
        dtype = jnp.result_type(float)
        return {
            name: _fit(point.values[name], site.unconstrained_shape or (), name).astype(dtype)
            for name, site in self.latent.items()
        }


def _fit(value: Any, shape: Shape, name: str) -> Array:
    """An initial value, broadcast to the unconstrained shape of its site."""
    try:
        return jnp.broadcast_to(value, shape)
    except ValueError:
        raise UsageError(
            f"The initialization strategy gave the site '{name}' a value that does not fit: in the unconstrained space "
            f"it has shape {jnp.shape(value)}, where the site has {shape}."
        ) from None


def _describe_site(site: dict[str, Any], *, has_value: bool) -> Site:
    kind: str = site["type"]
    value: Any = site.get("value")
    is_array = hasattr(value, "shape") or np.isscalar(value)
    support = site["fn"].support if kind == "sample" else None
    is_discrete = support is not None and bool(support.is_discrete)
    transform = site_bijection(site) if support is not None and is_latent(site) and not is_discrete else None
    return Site(
        name=site["name"],
        kind=kind,
        shape=tuple(jnp.shape(value)) if is_array else (),
        dtype=jnp.result_type(value) if is_array else None,
        event_dim=site["fn"].event_dim if kind == "sample" else 0,
        plates=tuple(site.get("cond_indep_stack", ())),
        is_observed=bool(site.get("is_observed", False)),
        is_discrete=is_discrete,
        unconstrained_shape=None if transform is None else tuple(transform.inverse_shape(jnp.shape(value))),
        transform=None if is_traced(transform) else transform,
        is_subsampled=kind == "plate" and site["kwargs"].get("rng_key") is not None,
        infer=dict(site.get("infer", {})),
        plate_size=site["args"][0] if kind == "plate" else None,
        is_enumerable=kind == "sample" and is_discrete and _may_be_enumerated(site, has_value),
        batch_ndim=len(site["fn"].batch_shape) if kind == "sample" else 0,
    )


def _may_be_enumerated(site: dict[str, Any], has_value: bool) -> bool:
    if ENUMERATED in site["infer"]:  # by a handler of the user's
        return True
    return not has_value and is_enumerable(site) and site["infer"].get("enumerate", "parallel") is not None


def _where(error: Exception) -> str:
    """The line of a user's code at which a concrete value was needed."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        f for f in frames if "/numpyro/" not in f.filename and "/jax/" not in f.filename and "<frozen" not in f.filename
    ]
    kind = type(error).__name__
    if not own:
        return kind
    return f"{kind} at {own[-1].filename}:{own[-1].lineno}, `{own[-1].line}`"
