"""The von Mises distribution."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import i0e, i1e

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._maths import HALF_LOG_TWO_PI, broadcast_to, where_inside
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.kl import kl_divergence
from numpyro.ops.random import von_mises_centered

_PI = 3.141592653589793


def wrap_angle(angle: Any) -> Array:
    """The angle in ``[-pi, pi)`` that differs by full turns."""
    return (angle + _PI) % (2 * _PI) - _PI


@cache
def _gauss_legendre() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on the unit interval."""
    nodes, weights = np.polynomial.legendre.leggauss(40)
    return 0.5 * (nodes + 1), 0.5 * weights


def _central_probability(angle: Array, concentration: ArrayLike) -> Array:
    r"""The probability of angles from 0 to ``angle``, which is in :math:`[-\pi, \pi]`; negative where it is.

    By a Gauss-Legendre rule over the part where the density has not yet fallen by a factor of ``exp(-50)``.
    """
    nodes, weights = (a.astype(angle.dtype) for a in _gauss_legendre())
    limit = 2 * jnp.arcsin(jnp.minimum(jnp.sqrt(25 / lax.stop_gradient(concentration)), 1))
    angle = jnp.clip(angle, -limit, limit)
    exponent = -2 * jnp.expand_dims(concentration, -1) * lax.square(jnp.sin(0.5 * angle[..., None] * nodes))
    return angle * jnp.sum(weights * jnp.exp(exponent), -1) / (2 * _PI * i0e(concentration))


class VonMises(Distribution):
    r"""The von Mises distribution of an angle.

    .. math:: p(x) = \frac{e^{\kappa\cos(x - \mu)}}{2\pi I_0(\kappa)}, \quad -\pi \le x \le \pi

    :param loc: mean direction :math:`\mu`, any angle.
    :param concentration: :math:`\kappa > 0`; for a large one the distribution is close to a normal of variance
        :math:`1/\kappa`.
    :support: :math:`-\pi \le x \le \pi`

    **Reference:** K. V. Mardia, P. E. Jupp (2000), "Directional Statistics", chapter 3.
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
        check_key(self, key, sample_shape)
        return wrap_angle(self.loc + von_mises_centered(key, self.concentration, sample_shape + self.batch_shape))

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        # cos(d) - 1 = -2 sin(d / 2)^2, which does not cancel, and the scaled Bessel function e^-k I_0(k)
        half_sine = jnp.sin(0.5 * (value - self.loc))
        normalizer = 2 * HALF_LOG_TWO_PI + jnp.log(i0e(self.concentration))
        log_density = -2 * self.concentration * lax.square(half_sine) - normalizer
        return where_inside(jnp.less_equal(jnp.abs(value), _PI), log_density)

    def cdf(self, value: ArrayLike) -> Array:
        """Probability of the angles from :math:`-\\pi` to ``value``."""
        angle = jnp.clip(value, -_PI, _PI)
        inside = jnp.clip(self._turns(angle - self.loc) - self._turns(-_PI - self.loc), 0, 1)
        return jnp.where(jnp.less(value, _PI), inside, 1.0)  # the difference of a full turn may be rounded

    def _turns(self, angle: Any) -> Array:
        """The integral of the density, periodically continued, from the mean direction to ``angle`` beyond it."""
        kappa = jnp.asarray(self.concentration, jnp.result_type(float, self.concentration))
        angle = jnp.asarray(angle, jnp.result_type(float, angle))
        full = lax.stop_gradient(jnp.round(angle / (2 * _PI)))
        return full + _central_probability(angle - 2 * _PI * full, kappa)

    def icdf(self, q: ArrayLike) -> Array:
        """The angle at which ``cdf`` reaches ``q``, found by bisection."""
        q = jnp.asarray(q, jnp.result_type(float))
        shape = lax.broadcast_shapes(q.shape, self.batch_shape)
        target = broadcast_to(q + self._turns(-_PI - self.loc), shape)
        full = lax.stop_gradient(jnp.round(target))
        target, kappa = target - full, jnp.asarray(self.concentration, target.dtype)

        def halve(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = ends
            middle = 0.5 * (low + high)
            below = _central_probability(middle, lax.stop_gradient(kappa)) < lax.stop_gradient(target)
            return jnp.where(below, middle, low), jnp.where(below, high, middle)

        start = jnp.full(shape, -_PI, target.dtype), jnp.full(shape, _PI, target.dtype)
        low, high = lax.fori_loop(0, jnp.finfo(target.dtype).nmant + 8, halve, start)
        angle = 0.5 * (low + high)
        # a step of Newton's, which brings the derivatives
        density = jnp.exp(-2 * kappa * lax.square(jnp.sin(0.5 * angle))) / (2 * _PI * i0e(kappa))
        density = lax.stop_gradient(jnp.maximum(density, jnp.finfo(density.dtype).tiny))
        step = (target - _central_probability(angle, kappa)) / density
        angle = angle + (step - lax.stop_gradient(step - jnp.clip(step, low - angle, high - angle)))
        value = jnp.clip(self.loc + angle + 2 * _PI * full, -_PI, _PI)
        return jnp.where((q >= 0) & (q <= 1), value, jnp.nan)

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
        return broadcast_to(wrap_angle(self.loc), self.batch_shape)

    @property
    def mode(self) -> Array:
        return self.mean

    @property
    def variance(self) -> Array:
        """The circular variance, one less the length of the mean of unit vectors."""
        return broadcast_to(self._variance, self.batch_shape)


@kl_divergence.register(VonMises, VonMises)
def _kl_von_mises_von_mises(p: VonMises, q: VonMises) -> Array:
    r""":math:`\log\frac{I_0(\kappa')}{I_0(\kappa)} + \frac{I_1(\kappa)}{I_0(\kappa)} \bigl(\kappa - \kappa' \cos(\mu -
    \mu')\bigr)`.
    """
    # the mean of cos(x - m) is A(k) cos(mu - m), A = I_1 / I_0
    k, l = jnp.asarray(p.concentration), jnp.asarray(q.concentration)
    resultant = i1e(k) / i0e(k)
    half_sine = jnp.sin(0.5 * (p.loc - q.loc))
    apart = resultant * 2 * l * lax.square(half_sine) - (k - l) * (1 - resultant)
    return jnp.log(i0e(l) / i0e(k)) + apart
