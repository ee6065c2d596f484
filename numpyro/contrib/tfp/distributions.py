"""Distributions of TensorFlow Probability at the sites of a model.

Every class of ``tfp.distributions`` is here by its name; ``TFPDistribution(...)`` takes an instance.

::

    import numpyro.contrib.tfp.distributions as tfd

    def model(y):
        scale = numpyro.sample("scale", tfd.InverseGamma(2.0, 1.0))
        numpyro.sample("y", tfd.Normal(0.0, scale), obs=y)
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from tensorflow_probability.substrates.jax import bijectors as _tfb
from tensorflow_probability.substrates.jax import distributions as _tfd

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import Distribution, constraints
from numpyro.distributions.transforms import Transform, biject_to


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
        return (), ((), {"bijector": self.bijector, "event_dim": self.event_dim})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BijectorConstraint) and self.bijector is other.bijector

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self.bijector)


class BijectorTransform(Transform):
    """A bijector as a transform.

    :param bijector: a bijector of TensorFlow Probability.
    """

    def __init__(self, bijector: Any) -> None:
        self.bijector = bijector
        dim = int(bijector.forward_min_event_ndims)
        self.domain = constraints.independent(constraints.real, dim) if dim else constraints.real
        self.codomain = BijectorConstraint(bijector)

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
        return (), ((), {"bijector": self.bijector, "domain": self.domain, "codomain": self.codomain})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BijectorTransform) and self.bijector is other.bijector

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self.bijector)


biject_to.register(BijectorConstraint, lambda constraint: BijectorTransform(constraint.bijector))


class TFPDistribution(Distribution):
    """A distribution of TensorFlow Probability as one of ours.

    :param tfp_dist: the distribution.
    :raises TypeError: if it is none.
    """

    pytree_aux_fields = ("tfp_dist",)

    def __init__(self, tfp_dist: Any, *, validate_args: bool | None = None) -> None:
        if not isinstance(tfp_dist, _tfd.Distribution):
            raise TypeError(f"`tfp_dist` must be a distribution of tfp.distributions, got {type(tfp_dist).__name__}.")
        self.tfp_dist = tfp_dist
        super().__init__(tuple(tfp_dist.batch_shape), tuple(tfp_dist.event_shape), validate_args=validate_args)

    @property
    def support(self) -> Any:  # type: ignore[override]
        """The range of the distribution's own bijector from unconstrained values; integers where it is discrete."""
        if not jnp.issubdtype(self.tfp_dist.dtype, jnp.floating) or self._counts:
            dim = len(self.event_shape)
            inner = self._discrete_support
            return constraints.independent(inner, dim) if dim else inner
        bijector = self.tfp_dist.experimental_default_event_space_bijector()
        return BijectorConstraint(_tfb.Identity() if bijector is None else bijector)

    @property
    def _counts(self) -> bool:
        """Whether values are whole numbers, though floating: discrete families there take them so."""
        discrete = (_tfd.Poisson, _tfd.Binomial, _tfd.Multinomial, _tfd.NegativeBinomial, _tfd.Geometric)
        return isinstance(self.tfp_dist, (*discrete, _tfd.BetaBinomial, _tfd.DirichletMultinomial))

    @property
    def _discrete_support(self) -> Any:
        if isinstance(self.tfp_dist, _tfd.Bernoulli):
            return constraints.boolean
        if isinstance(self.tfp_dist, _tfd.Categorical):
            return constraints.integer_interval(0, int(self.tfp_dist.num_categories) - 1)
        return constraints.nonnegative_integer

    @property
    def has_enumerate_support(self) -> bool:  # type: ignore[override]
        return isinstance(self.tfp_dist, (_tfd.Bernoulli, _tfd.Categorical))

    def enumerate_support(self, expand: bool = True) -> Array:
        """All values, along a first dimension, of a Bernoulli or categorical distribution."""
        if not self.has_enumerate_support:
            raise NotImplementedError(f"{type(self.tfp_dist).__name__} has no list of its values here.")
        number = 2 if isinstance(self.tfp_dist, _tfd.Bernoulli) else int(self.tfp_dist.num_categories)
        values = jnp.arange(number).reshape(-1, *(1,) * len(self.batch_shape))
        return jnp.broadcast_to(values, (number, *self.batch_shape)) if expand else values

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        return self.tfp_dist.sample(sample_shape=sample_shape, seed=key)

    def log_prob(self, value: ArrayLike) -> Array:
        if self.has_enumerate_support or self._counts:
            value = jnp.asarray(value, self.tfp_dist.dtype)
        return self.tfp_dist.log_prob(value)

    def cdf(self, value: ArrayLike) -> Array:
        return self.tfp_dist.cdf(value)

    def icdf(self, q: ArrayLike) -> Array:
        return self.tfp_dist.quantile(q)

    @property
    def mean(self) -> Array:
        return self.tfp_dist.mean()

    @property
    def variance(self) -> Array:
        return self.tfp_dist.variance()


def __getattr__(name: str) -> Any:
    """A function that makes a distribution of this name."""
    cls = getattr(_tfd, name, None)
    if not (isinstance(cls, type) and issubclass(cls, _tfd.Distribution)):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}: tfp.distributions has no such class.")

    def make(*args: Any, **kwargs: Any) -> TFPDistribution:
        return TFPDistribution(cls(*args, **kwargs))

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"``tfp.distributions.{name}`` as a :class:`TFPDistribution`."
    return make


def __dir__() -> list[str]:
    names = [
        n for n in dir(_tfd) if isinstance(getattr(_tfd, n), type) and issubclass(getattr(_tfd, n), _tfd.Distribution)
    ]
    return sorted({*globals(), *names})
