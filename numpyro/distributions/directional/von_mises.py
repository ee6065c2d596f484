"""The von Mises distribution."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.scipy.special import i0e, i1e

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._maths import HALF_LOG_TWO_PI, broadcast_to, where_inside
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.distribution import Distribution
from numpyro.ops.random import von_mises_centered

_PI = 3.141592653589793


def _wrap(angle: Any) -> Array:
    """The angle in ``[-pi, pi)`` that differs by full turns."""
    return (angle + _PI) % (2 * _PI) - _PI


class VonMises(Distribution):
    r"""The von Mises distribution of an angle.

    .. math:: p(x) = \frac{e^{\kappa\cos(x - \mu)}}{2\pi I_0(\kappa)}, \quad -\pi \le x \le \pi

    :param loc: mean direction :math:`\mu`, any angle.
    :param concentration: :math:`\kappa > 0`; for a large one the distribution is close to a normal of variance
        :math:`1/\kappa`.
    """

    __module__ = "numpyro.distributions.directional"
    arg_constraints = {"loc": constraints.real, "concentration": constraints.positive}
    support = constraints.circular
    reparametrized_params = ["loc"]

    def __init__(self, loc: ArrayLike, concentration: ArrayLike, *, validate_args: bool | None = None) -> None:
        self.loc, self.concentration = promote_shapes(loc, concentration)
        batch_shape = lax.broadcast_shapes(jnp.shape(loc), jnp.shape(concentration))
        super().__init__(batch_shape=batch_shape, validate_args=validate_args)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key)
        return _wrap(self.loc + von_mises_centered(key, self.concentration, sample_shape + self.batch_shape))

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        # cos(d) - 1 = -2 sin(d / 2)^2, which does not cancel, and the scaled Bessel function e^-k I_0(k)
        half_sine = jnp.sin(0.5 * (value - self.loc))
        normalizer = 2 * HALF_LOG_TWO_PI + jnp.log(i0e(self.concentration))
        log_density = -2 * self.concentration * lax.square(half_sine) - normalizer
        return where_inside(jnp.less_equal(jnp.abs(value), _PI), log_density)

    def entropy(self) -> Array:
        kappa = jnp.asarray(self.concentration)
        return broadcast_to(2 * HALF_LOG_TWO_PI + jnp.log(i0e(kappa)) + kappa * self._variance, self.batch_shape)

    @property
    def _variance(self) -> Array:
        kappa = jnp.asarray(self.concentration)
        return 1 - i1e(kappa) / i0e(kappa)

    @property
    def mean(self) -> Array:
        """The mean direction, in :math:`[-\\pi, \\pi)`."""
        return broadcast_to(_wrap(self.loc), self.batch_shape)

    @property
    def mode(self) -> Array:
        return self.mean

    @property
    def variance(self) -> Array:
        """The circular variance, one less the length of the mean of unit vectors."""
        return broadcast_to(self._variance, self.batch_shape)
