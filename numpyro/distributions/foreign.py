"""Distributions of TensorFlow Probability at the sites of a model.

Nothing of that package is imported here: an instance brings along all that is asked of it. ``numpyro.sample`` takes one
as it is; :func:`as_distribution` is what it does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.transforms import Transform, biject_to

_PACKAGE = "tensorflow_probability.substrates.jax."


def as_distribution(fn: Any) -> Distribution | None:
    """A distribution of ours, itself; one of TensorFlow Probability on JAX, wrapped; ``None`` for anything else.

    :raises TypeError: for a joint distribution of several variables.
    """
    if isinstance(fn, Distribution):
        return fn
    return TFPDistribution(fn) if "Distribution" in _families(fn) else None


def _families(fn: Any) -> set[str]:
    """The names of the classes of TensorFlow Probability that an object is of."""
    return {cls.__name__ for cls in type(fn).__mro__ if cls.__module__.startswith(_PACKAGE)}


def _is_pytree(value: Any) -> bool:
    leaves = jax.tree.leaves(value)
    return not (len(leaves) == 1 and leaves[0] is value)


class BijectorConstraint(constraints.Constraint):
    """The range of a bijector.

    :param bijector: a bijector of TensorFlow Probability, from unconstrained values.
    """

    def __init__(self, bijector: Any) -> None:
        self.bijector = bijector
        self.event_dim = int(bijector.inverse_min_event_ndims)
        super().__init__()

    def __call__(self, x: ArrayLike) -> Array:
        there_and_back = self.bijector.forward(self.bijector.inverse(jnp.asarray(x)))
        close = jnp.isclose(there_and_back, x, rtol=1e-4, atol=1e-6)
        return jnp.all(close, tuple(range(-self.event_dim, 0))) if self.event_dim else close

    def feasible_like(self, prototype: ArrayLike) -> Array:
        shape = tuple(self.bijector.inverse_event_shape(jnp.shape(prototype)))
        return self.bijector.forward(jnp.zeros(shape, jnp.result_type(float)))

    def tree_flatten(self) -> tuple:
        return _flatten(self, {"event_dim": self.event_dim})

    def eq(self, other: object, static: bool = False) -> bool:
        return isinstance(other, BijectorConstraint) and _same(self.bijector, other.bijector)

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(type(self.bijector))


class BijectorTransform(Transform):
    """A bijector as a transform.

    :param bijector: a bijector of TensorFlow Probability.
    """

    def __init__(self, bijector: Any) -> None:
        self.bijector = bijector
        dim = int(bijector.forward_min_event_ndims)
        self.domain = constraints.independent(constraints.real, dim) if dim else constraints.real

    @property
    def codomain(self) -> BijectorConstraint:  # type: ignore[override]
        return BijectorConstraint(self.bijector)

    def __call__(self, x: Array) -> Array:
        return self.bijector.forward(x)

    def _inverse(self, y: Array) -> Array:
        return self.bijector.inverse(y)

    def log_abs_det_jacobian(self, x: Array, y: Array, intermediates: Any = None) -> Array:
        return self.bijector.forward_log_det_jacobian(x, event_ndims=int(self.bijector.forward_min_event_ndims))

    def forward_shape(self, shape: Shape) -> Shape:
        return tuple(self.bijector.forward_event_shape(shape))

    def inverse_shape(self, shape: Shape) -> Shape:
        return tuple(self.bijector.inverse_event_shape(shape))

    def tree_flatten(self) -> tuple:
        return _flatten(self, {"domain": self.domain})

    def eq(self, other: object, static: bool = False) -> bool:
        return isinstance(other, BijectorTransform) and _same(self.bijector, other.bijector)

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(type(self.bijector))


def _flatten(owner: Any, static: dict[str, Any]) -> tuple:
    """The arrays of the bijector as children, where it has them apart."""
    if _is_pytree(owner.bijector):
        return (owner.bijector,), (("bijector",), static)
    return (), ((), {"bijector": owner.bijector, **static})


def _same(one: Any, other: Any) -> bool:
    """Whether two bijectors are one, or of the same structure with the same arrays."""
    if one is other:
        return True
    (leaves, structure), (other_leaves, other_structure) = (jax.tree.flatten(bijector) for bijector in (one, other))
    if not _is_pytree(one) or (structure, len(leaves)) != (other_structure, len(other_leaves)):
        return False
    return all(a is b for a, b in zip(leaves, other_leaves))


biject_to.register(BijectorConstraint, lambda constraint: BijectorTransform(constraint.bijector))

_TOPS: dict[str, Callable[[Any], int]] = {
    "Bernoulli": lambda d: 1,
    "Categorical": lambda d: (d.logits if d.probs is None else d.probs).shape[-1] - 1,
}
"""The largest value of families whose values are listed, from 0 on."""
_COUNTS = {
    "BetaBinomial",
    "Binomial",
    "DirichletMultinomial",
    "Geometric",
    "Multinomial",
    "NegativeBinomial",
    "Poisson",
}
_WHOLE = {"OneHotCategorical", "OrderedLogistic", "PlackettLuce", "Zipf"}
_OTHER_DISCRETE = {"Empirical", "FiniteDiscrete", "QuantizedDistribution", "Skellam"}


class _SomeDiscreteSet(constraints.Constraint):
    """Values of which no more is known than that they are discrete."""

    is_discrete = True

    def __call__(self, x: ArrayLike) -> Array:
        return jnp.ones(jnp.shape(x), bool)

    def feasible_like(self, prototype: ArrayLike) -> Array:
        return jnp.zeros(jnp.shape(prototype))


def _part(d: Any) -> Any:
    """The distribution that a distribution is made of, or one of them."""
    components = getattr(d, "components", None)
    inner = components[0] if components else getattr(d, "components_distribution", getattr(d, "distribution", None))
    return inner if inner is not None and "Distribution" in _families(inner) else None


def _is_discrete(d: Any) -> bool:
    """Discrete families of the package may take their values as floating point numbers."""
    if not jnp.issubdtype(d.dtype, jnp.floating) or _families(d) & (_COUNTS | _OTHER_DISCRETE):
        return True
    part = _part(d)
    return part is not None and _is_discrete(part)


def _bijector(d: Any) -> Any:
    """From unconstrained values to those of a continuous distribution; ``None`` where it says nothing of them.

    A mixture does not say; its components do, and theirs is that of all where no array of them takes part in it.
    """
    found = d.experimental_default_event_space_bijector()
    part = _part(d)
    if found is not None or part is None:
        return found
    inner = _bijector(part)
    return inner if all(jnp.ndim(leaf) == 0 for leaf in jax.tree.leaves(inner)) else None


class TFPDistribution(Distribution):
    """A distribution of TensorFlow Probability as one of ours.

    :param tfp_dist: the distribution.
    :raises TypeError: if it is none, or a joint distribution of several variables.
    """

    def __init__(self, tfp_dist: Any, *, validate_args: bool | None = None) -> None:
        if "Distribution" not in _families(tfp_dist):
            raise TypeError(f"`tfp_dist` must be a distribution of tfp.distributions, got {type(tfp_dist).__name__}.")
        if "JointDistribution" in _families(tfp_dist):
            raise TypeError(
                f"`tfp_dist` is a {type(tfp_dist).__name__} of several variables: give each a site of its own, which "
                "numpyro.sample makes of its distribution given those before."
            )
        self.tfp_dist = tfp_dist
        super().__init__(tuple(tfp_dist.batch_shape), tuple(tfp_dist.event_shape), validate_args=validate_args)

    @property
    def support(self) -> Any:  # type: ignore[override]
        """The range of the distribution's own bijector from unconstrained values; a set of numbers if discrete."""
        dim, families = len(self.event_shape), _families(self.tfp_dist)
        inner: Any = constraints.real
        if _is_discrete(self.tfp_dist):
            top = self._top
            inner = _SomeDiscreteSet() if top is None else constraints.integer_interval(0, top)
            inner = constraints.nonnegative_integer if families & (_COUNTS | _WHOLE) else inner
            inner = constraints.boolean if "Bernoulli" in families else inner
        elif (bijector := _bijector(self.tfp_dist)) is not None:
            return BijectorConstraint(bijector)
        return constraints.independent(inner, dim) if dim else inner

    @property
    def _top(self) -> int | None:
        """The largest value, of a Bernoulli or categorical distribution."""
        families = _families(self.tfp_dist)
        return next((int(top(self.tfp_dist)) for name, top in _TOPS.items() if name in families), None)

    @property
    def has_rsample(self) -> bool:
        """Whether the package says that draws are differentiable."""
        return "FULLY_REPARAMETERIZED" in repr(self.tfp_dist.reparameterization_type)

    @property
    def has_enumerate_support(self) -> bool:  # type: ignore[override]
        return self._top is not None

    def enumerate_support(self, expand: bool = True) -> Array:
        """All values, along a first dimension, of a Bernoulli or categorical distribution."""
        top = self._top
        if top is None:
            raise NotImplementedError(f"{type(self.tfp_dist).__name__} has no list of its values here.")
        values = jnp.arange(top + 1).reshape(-1, *(1,) * len(self.batch_shape))
        return jnp.broadcast_to(values, (top + 1, *self.batch_shape)) if expand else values

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        return self.tfp_dist.sample(sample_shape=sample_shape, seed=key)

    def log_prob(self, value: ArrayLike) -> Array:
        if _is_discrete(self.tfp_dist):  # whose families take values of their own type only
            value = jnp.asarray(value, self.tfp_dist.dtype)
        return self.tfp_dist.log_prob(value)

    def cdf(self, value: ArrayLike) -> Array:
        return self.tfp_dist.cdf(value)

    def icdf(self, q: ArrayLike) -> Array:
        return self.tfp_dist.quantile(q)

    def entropy(self) -> Array:
        return self.tfp_dist.entropy()

    @property
    def mean(self) -> Array:
        return self.tfp_dist.mean()

    @property
    def variance(self) -> Array:
        return self.tfp_dist.variance()

    @property
    def mode(self) -> Array:
        return self.tfp_dist.mode()

    def tree_flatten(self) -> tuple:
        data, (names, aux) = super().tree_flatten()
        if _is_pytree(self.tfp_dist):
            return (*data, self.tfp_dist), ((*names, "tfp_dist"), aux)
        return data, (names, (*aux, ("tfp_dist", self.tfp_dist)))


for _public in (BijectorConstraint, BijectorTransform, TFPDistribution):
    _public.__module__ = "numpyro.contrib.tfp.distributions"
