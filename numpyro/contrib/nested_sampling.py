"""Nested sampling with jaxns: needs the extra ``numpyro[jaxns]``, jaxns 3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri

import numpyro.distributions as dist
from numpyro._errors import UsageError
from numpyro._typing import Array, Key, PyTree
from numpyro.distributions import Distribution
from numpyro.handlers import seed, trace
from numpyro.infer.model.density import is_latent, site_log_prob
from numpyro.primitives import Messenger
from numpyro.util import is_prng_key


def uniform_shape(fn: Distribution, sample_shape: tuple[int, ...] = ()) -> tuple[int, ...]:
    """The shape of the uniform numbers that :func:`from_uniform` makes a value of."""
    base = _base(fn)
    if base is not fn:
        return uniform_shape(base, sample_shape + _added(fn, base))
    if isinstance(fn, dist.TransformedDistribution):
        return uniform_shape(fn.base_dist, sample_shape)
    return sample_shape + tuple(fn.batch_shape) + tuple(fn.event_shape)


def from_uniform(fn: Distribution, u: Array) -> Array:
    """A draw of a distribution as a function of uniform numbers: the inverse of its distribution function, and the
    same of what it is made of where it is a transform, a product or a multivariate normal distribution.

    :param u: of the shape that :func:`uniform_shape` says.
    :raises NotImplementedError: for a distribution that has no such function here.
    """
    base = _base(fn)
    if base is not fn:
        return from_uniform(base, u)
    if isinstance(fn, dist.TransformedDistribution):
        value = from_uniform(fn.base_dist, u)
        for transform in fn.transforms:
            value = transform(value)
        return value
    if isinstance(fn, dist.MultivariateNormal):
        return fn.loc + jnp.squeeze(fn.scale_tril @ ndtri(u)[..., None], -1)
    if isinstance(fn, dist.Dirichlet):
        gammas = dist.Gamma(fn.concentration, 1.0).icdf(u)
        return gammas / jnp.sum(gammas, -1, keepdims=True)
    if fn.is_discrete and fn.has_enumerate_support and not fn.event_shape:
        support = fn.enumerate_support(expand=True)
        shape = (support.shape[0], *np.broadcast_shapes(u.shape, support.shape[1:]))
        support = jnp.broadcast_to(support.reshape(-1, *(1,) * (len(shape) - support.ndim), *support.shape[1:]), shape)
        cumulative = jnp.cumsum(jnp.exp(fn.log_prob(support)), 0)
        index = jnp.minimum(jnp.sum(cumulative < u, 0), shape[0] - 1)
        return jnp.take_along_axis(support, index[None], 0)[0]
    if fn.event_shape:
        raise NotImplementedError(f"{type(fn).__name__} is not known as a function of uniform numbers")
    return fn.icdf(u)


def _base(fn: Distribution) -> Distribution:
    wrappers = (dist.Independent, dist.ExpandedDistribution, dist.MaskedDistribution)
    return fn.base_dist if isinstance(fn, wrappers) else fn


def _added(fn: Distribution, base: Distribution) -> tuple[int, ...]:
    """The leading dimensions by which a wrapper has more than its base; a base of other sizes is not unwrapped."""
    shape = tuple(fn.batch_shape) + tuple(fn.event_shape)
    inner = tuple(base.batch_shape) + tuple(base.event_shape)
    added = shape[: len(shape) - len(inner)]
    if added + inner != shape:  # ones that were expanded: as new dimensions on the left, which values broadcast with
        raise NotImplementedError(
            f"{type(base).__name__} was expanded from {inner} to {shape} along dimensions of its own; give its "
            "parameters that shape"
        )
    return added


class _FromCube(Messenger):
    """Runs a model with its latent values made of uniform numbers, by site."""

    def __init__(self, fn: Callable | None = None, points: dict[str, Array] | None = None) -> None:
        self.points = points
        self.shapes: dict[str, tuple[int, ...]] = {}
        super().__init__(fn)

    def process_message(self, msg: Any) -> None:
        if not is_latent(msg) or msg["value"] is not None:
            return
        name, fn = msg["name"], msg["fn"]
        try:
            shape = uniform_shape(fn, tuple(msg["kwargs"]["sample_shape"]))
            self.shapes[name] = shape
            u = jnp.full(shape, 0.5) if self.points is None else self.points[name]
            msg["value"] = from_uniform(fn, u)
        except NotImplementedError as error:
            raise UsageError(
                f"NestedSampler needs values as functions of uniform numbers, which site '{name}' "
                f"({type(fn).__name__}) does not give: {error}. Write it as a transform of a distribution with `icdf`, "
                "or use NUTS."
            ) from error


class NestedSampler:
    """Nested sampling: draws from the posterior, several modes and all, and the evidence of the model.

    Latent values are made of uniform numbers by the inverses of their distribution functions; discrete sites of
    finite support too. The likelihood is that of the observed sites.

    Importing jaxns turns double precision on for the whole process; here that is undone, and only its own runs
    compute in double precision.

    :param model: a model.
    :param constructor_kwargs: arguments of ``jaxns.core.NestedSampler``, such as ``root_allocation_degree`` and
        ``max_samples``.
    :param termination_kwargs: arguments of ``jaxns.depth_condition.DepthCondition``, such as ``dlogZ``.
    :raises ImportError: where jaxns is not installed, or older than 3.

    **Reference:** J. G. Albert, *JAXNS: a high-performance nested sampling package based on JAX* (2020).

    ::

        ns = NestedSampler(model)
        ns.run(random.key(0), data)
        samples = ns.get_samples(random.key(1), 1000)
        ns.print_summary()
    """

    def __init__(
        self,
        model: Callable,
        *,
        constructor_kwargs: dict[str, Any] | None = None,
        termination_kwargs: dict[str, Any] | None = None,
    ) -> None:
        if not callable(model):
            raise TypeError(f"`model` must be a function, got {type(model).__name__}.")
        self._jaxns = _import_jaxns()
        self.model = model
        self.constructor_kwargs = dict(constructor_kwargs or {})
        self.termination_kwargs = dict(termination_kwargs or {})
        if self.termination_kwargs and "depth_condition" in self.constructor_kwargs:
            raise ValueError("give `termination_kwargs` or a `depth_condition` in `constructor_kwargs`, not both.")
        self._results: Any = None
        self._of_cube: Callable[[dict[str, Array]], dict[str, Array]] | None = None

    def run(self, rng_key: Key, *args: Any, **kwargs: Any) -> None:
        """Run to the end.

        :param rng_key: a key.
        :param args: arguments of the model.
        :param kwargs: keyword arguments of the model.
        :raises ValueError: for a latent site that is no function of uniform numbers.
        """
        if not is_prng_key(rng_key):
            raise TypeError("rng_key must be a random key such as jax.random.key(0).")
        core, model_of, prior, tfd, depth = self._jaxns
        with seed(rng_seed=0), _FromCube() as cube:
            self.model(*args, **kwargs)
        if not cube.shapes:
            raise UsageError("NestedSampler needs a model with latent sites, and this one has none.")
        shapes = cube.shapes

        def run_at(points: dict[str, Array]) -> dict[str, Any]:
            with trace() as model_trace, seed(rng_seed=0), _FromCube(points=points):
                self.model(*args, **kwargs)
            return model_trace

        def prior_model() -> Array:
            points = {
                name: prior(tfd.Uniform(jnp.zeros(shape), jnp.ones(shape)), name=name).realise()
                for name, shape in shapes.items()
            }
            total = jnp.zeros(())
            for site in run_at(points).values():
                if site["type"] != "sample":
                    continue
                log_prob = jnp.sum(site_log_prob(site))
                if is_latent(site):  # drawn from its distribution: only what scales or masks make of that is left
                    log_prob = log_prob - jnp.sum(_unmasked(site["fn"]).log_prob(site["value"]))
                total = total + log_prob
            return total

        settings = dict(self.constructor_kwargs)
        if self.termination_kwargs:
            settings["depth_condition"] = depth(**self.termination_kwargs)
        with jax.enable_x64(True):
            sampler = core(model=model_of(prior_model=prior_model), **settings)
            self._results = sampler.run(key=_plain(rng_key)).to_result().trim()

        def of_cube(points: dict[str, Array]) -> dict[str, Array]:
            kinds = ("sample", "deterministic")
            sites = run_at(points).items()
            return {
                name: site["value"] for name, site in sites if site["type"] in kinds and not site.get("is_observed")
            }

        self._of_cube = jax.jit(jax.vmap(of_cube))

    def _require_run(self) -> tuple[Any, Callable[[dict[str, Array]], dict[str, Array]]]:
        if self._results is None or self._of_cube is None:
            raise RuntimeError("NestedSampler.run(...) method should be called first to obtain results.")
        return self._results, self._of_cube

    def get_samples(self, rng_key: Key, num_samples: int, *, group_by_chain: bool = False) -> dict[str, Array]:
        """Draws from the posterior, all of equal weight, of latent and deterministic sites.

        :param rng_key: the key of the choice among the weighted draws.
        :param num_samples: how many.
        :param group_by_chain: with a leading axis for one chain.
        :raises RuntimeError: before :meth:`run`.
        """
        results, of_cube = self._require_run()
        weights = np.asarray(results.log_dp, np.float64)
        chosen = jax.random.categorical(
            rng_key, jnp.asarray(weights - weights.max(), jnp.float32), shape=(num_samples,)
        )
        draws = of_cube(self._points(np.asarray(chosen)))
        return jax.tree.map(lambda draw: draw[None], draws) if group_by_chain else draws

    def get_weighted_samples(self) -> tuple[dict[str, Array], Array]:
        """All draws, and the logarithms of their weights, which sum to one.

        :raises RuntimeError: before :meth:`run`.
        """
        results, of_cube = self._require_run()
        weights = np.asarray(results.log_dp, np.float64)
        return of_cube(self._points(slice(None))), jnp.asarray(weights - np.logaddexp.reduce(weights))

    def _points(self, rows: Any) -> dict[str, Array]:
        points = self._results.X_samples
        tiny = np.finfo(np.float32).eps
        return {name: jnp.asarray(np.clip(np.asarray(points[name])[rows], tiny, 1 - tiny)) for name in points}

    @property
    def log_evidence(self) -> tuple[float, float]:
        """The estimate of the logarithm of the evidence, and its standard error.

        :raises RuntimeError: before :meth:`run`.
        """
        results, _ = self._require_run()
        return float(results.log_Z_mean), float(results.log_Z_uncert)

    def print_summary(self) -> None:
        """Print what jaxns says of the run.

        :raises RuntimeError: before :meth:`run`.
        """
        results, _ = self._require_run()
        with jax.enable_x64(True):
            results.summary()

    def diagnostics(self) -> None:
        """Plot what jaxns has of the run.

        :raises RuntimeError: before :meth:`run`.
        """
        results, _ = self._require_run()
        with jax.enable_x64(True):
            results.plot_diagnostics()


def _unmasked(fn: Distribution) -> Distribution:
    return fn.base_dist if isinstance(fn, dist.MaskedDistribution) else fn


def _plain(rng_key: Key) -> PyTree:
    """The key in JAX's old form, which jaxns documents."""
    typed = jax.dtypes.issubdtype(rng_key.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(rng_key) if typed else rng_key


def _import_jaxns() -> tuple[Any, ...]:
    """What is used of jaxns, whose import leaves the precision of the process as it was."""
    import warnings

    before = jax.config.read("jax_enable_x64")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from jaxns.core import NestedSampler as core
            from jaxns.depth_condition import DepthCondition
            from jaxns.model import Model
            from jaxns.priors import Prior
            from tensorflow_probability.substrates.jax import distributions as tfd
    except ImportError as error:
        raise ImportError("NestedSampler needs jaxns 3 or later: pip install 'numpyro[jaxns]'.") from error
    finally:
        jax.config.update("jax_enable_x64", before)
    return core, Model, Prior, tfd, DepthCondition
