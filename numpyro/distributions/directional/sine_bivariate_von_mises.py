r"""Two dependent angles: the sine model of the bivariate von Mises distribution.

Everything rests on the marginal distribution of the first angle, whose density is even about its centre and has one
peak between 0 and :math:`\pi`: with :math:`R(x) = \sqrt{\kappa_2^2 + \rho^2 \sin^2 x}`,

.. math:: f(x) = 2\pi\, e^{\kappa_1 \cos x} I_0(R(x))

The normaliser is twice its integral over :math:`[0, \pi]`, by Gauss-Legendre rules on both sides of the peak, out to
where nothing is left; draws are by rejection from a staircase above it. Given the first angle, the second one has a
von Mises distribution of concentration :math:`R(x)`.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jax.scipy.special import i0e

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._lazy import lazy_property
from numpyro.distributions._maths import LOG_TWO, broadcast_to, require_one_of
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.directional.von_mises import wrap_angle
from numpyro.distributions.distribution import Distribution
from numpyro.ops.random import categorical, von_mises_centered

_PI = 3.141592653589793
_LOG_TWO_PI = 1.8378770664093453
_DROP = 50.0  # beyond where the density has fallen by exp(-50) from its peak, no digit changes
_NODES = 40
_STEPS = 24


@cache
def _gauss_legendre() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on the unit interval."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return 0.5 * (nodes + 1), 0.5 * weights


class _Marginal(NamedTuple):
    """The unnormalised density of the first angle about its centre, relative to ``exp(phi + psi)``.

    :ivar phi: concentration of the first angle.
    :ivar psi: concentration of the second angle.
    :ivar correlation: of the two.
    """

    phi: Array
    psi: Array
    correlation: Array

    def radius(self, x: Array) -> Array:
        """Concentration of the second angle given the first."""
        return self.psi + self._excess(x)

    def _excess(self, x: Array) -> Array:
        """``R(x) - R(0)`` as a quotient, which does not cancel."""
        square = lax.square(self.correlation * jnp.sin(x))
        return square / (jnp.sqrt(lax.square(self.psi) + square) + self.psi)

    def exponent(self, x: Array) -> Array:
        """``phi * (cos(x) - 1) + R(x) - R(0)``: the logarithm of the density without slowly varying factors."""
        return self._excess(x) - 2 * self.phi * lax.square(jnp.sin(0.5 * x))

    def log_density(self, x: Array) -> Array:
        return _LOG_TWO_PI + self.exponent(x) + jnp.log(i0e(self.radius(x)))

    def peak(self) -> Array:
        """The angle in ``[0, pi / 2]`` at which the exponent is largest.

        Where ``correlation**2 > phi * psi`` it solves ``cos(x) = phi R(x) / correlation**2``, elsewhere it is 0.
        """
        # cos(x)^2 = k^2 (l^2 + r^2) / (r^2 (r^2 + k^2)), and sin(x)^2 with the same denominator
        k, l, square = self.phi, self.psi, lax.square(self.correlation)
        sine = jnp.sqrt(jnp.maximum(square - k * l, 0) * (square + k * l))
        return jnp.arctan2(sine, k * jnp.sqrt(lax.square(l) + square))

    def reach(self, peak: Array, end: float) -> Array:
        """How far from the peak, in the direction of ``end``, the density matters; at most to the end."""
        top, length = self.exponent(peak), jnp.abs(end - peak)
        sign = 1 if end else -1

        def halve(_: Any, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = bounds  # of the negative logarithm of the distance, in units of the length
            middle = 0.5 * (low + high)
            near = top - self.exponent(peak + sign * length * jnp.exp(-middle)) < _DROP
            return jnp.where(near, low, middle), jnp.where(near, middle, high)

        # the width of the peak is at least some phi^(-1/2)
        start = jnp.zeros_like(peak), jnp.full_like(peak, 45.0)
        return length * jnp.exp(-lax.fori_loop(0, 9, halve, start)[0])


def _log_normalizer(phi: Array, psi: Array, correlation: Array) -> Array:
    """The logarithm of the integral of the density relative to ``exp(phi + psi)``."""
    marginal = _Marginal(phi, psi, correlation)
    still = _Marginal(*map(lax.stop_gradient, marginal))  # the value does not depend on where the nodes lie
    peak = still.peak()
    left, right = still.reach(peak, 0.0), still.reach(peak, _PI)
    nodes, weights = _gauss_legendre()
    shape = (-1,) + (1,) * jnp.ndim(peak)
    nodes, weights = nodes.reshape(shape).astype(peak.dtype), weights.reshape(shape).astype(peak.dtype)
    x = jnp.concatenate([peak - left * nodes, peak + right * nodes])
    weight = jnp.concatenate([left * weights, right * weights])
    log_density = marginal.log_density(x)
    top = lax.stop_gradient(jnp.max(log_density, 0))
    return LOG_TWO + top + jnp.log(jnp.sum(weight * jnp.exp(log_density - top), 0))


class SineBivariateVonMises(Distribution):
    r"""Two dependent angles :math:`\phi` and :math:`\psi`, the sine model.

    .. math:: p(\phi, \psi) = C^{-1} \exp\bigl(\kappa_1 \cos(\phi - \mu) + \kappa_2 \cos(\psi - \nu)
        + \rho \sin(\phi - \mu) \sin(\psi - \nu)\bigr)

    It has one mode if :math:`\rho^2 \le \kappa_1 \kappa_2` and two otherwise. Events are pairs of angles in
    :math:`[-\pi, \pi]`.

    :param phi_loc: centre :math:`\mu` of the first angle, in :math:`[-\pi, \pi]`.
    :param psi_loc: centre :math:`\nu` of the second angle, in :math:`[-\pi, \pi]`.
    :param phi_concentration: :math:`\kappa_1 > 0`.
    :param psi_concentration: :math:`\kappa_2 > 0`.
    :param correlation: :math:`\rho`, any real number.
    :param weighted_correlation: :math:`\rho / \sqrt{\kappa_1 \kappa_2}`, between -1 and 1 for a single mode. Exactly
        one of the two is to be given.
    :support: :math:`(\phi, \psi) \in [-\pi, \pi]^2`
    :raises ValueError: when none or both are given.

    **Reference:** H. Singh, V. Hnizdo, E. Demchuk (2002), "Probabilistic model for two dependent circular variables".
    """

    __module__ = "numpyro.distributions.directional"
    arg_constraints = {
        "phi_loc": constraints.circular,
        "psi_loc": constraints.circular,
        "phi_concentration": constraints.positive,
        "psi_concentration": constraints.positive,
        "correlation": constraints.real,
    }
    support = constraints.independent(constraints.circular, 1)
    max_sample_iter = 1000
    """After so many rounds of proposals a draw is given up, and not a number; parameters that are not numbers excepted,
    that has no appreciable probability, as every second proposal is accepted."""

    def __init__(
        self,
        phi_loc: ArrayLike,
        psi_loc: ArrayLike,
        phi_concentration: ArrayLike,
        psi_concentration: ArrayLike,
        correlation: ArrayLike | None = None,
        weighted_correlation: ArrayLike | None = None,
        *,
        validate_args: bool | None = None,
    ) -> None:
        name, given = require_one_of(correlation=correlation, weighted_correlation=weighted_correlation)
        if name == "weighted_correlation":
            given = given * jnp.sqrt(phi_concentration) * jnp.sqrt(psi_concentration)
        parameters = (phi_loc, psi_loc, phi_concentration, psi_concentration, given)
        self.phi_loc, self.psi_loc, self.phi_concentration, self.psi_concentration, self.correlation = promote_shapes(
            *parameters
        )
        batch_shape = lax.broadcast_shapes(*map(jnp.shape, parameters))
        super().__init__(batch_shape=batch_shape, event_shape=(2,), validate_args=validate_args)

    @property
    def _marginal(self) -> _Marginal:
        parameters = self.phi_concentration, self.psi_concentration, self.correlation
        dtype = jnp.result_type(float, *parameters)
        shape = lax.broadcast_shapes(*map(jnp.shape, parameters))
        return _Marginal(*(jnp.broadcast_to(jnp.asarray(parameter, dtype), shape) for parameter in parameters))

    @lazy_property
    def norm_const(self) -> Array:
        """The logarithm of :math:`C`, of shape ``batch_shape``."""
        marginal = self._marginal
        return broadcast_to(_log_normalizer(*marginal) + marginal.phi + marginal.psi, self.batch_shape)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        value, marginal = jnp.asarray(value), self._marginal
        x, y = value[..., 0] - self.phi_loc, value[..., 1] - self.psi_loc
        half_squares = marginal.phi * lax.square(jnp.sin(0.5 * x)) + marginal.psi * lax.square(jnp.sin(0.5 * y))
        exponent = marginal.correlation * jnp.sin(x) * jnp.sin(y) - 2 * half_squares
        inside = jnp.all(jnp.abs(value) <= _PI, -1)
        return jnp.where(inside, exponent - _log_normalizer(*marginal), -jnp.inf)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        key_phi, key_psi = random.split(key)
        shape = sample_shape + self.batch_shape
        marginal = self._marginal
        x = _sample_marginal(key_phi, marginal, shape, self.max_sample_iter)
        turn = jnp.arctan2(marginal.correlation * jnp.sin(x), marginal.psi)
        y = turn + von_mises_centered(key_psi, marginal.radius(x), shape, x.dtype)
        return jnp.stack([wrap_angle(self.phi_loc + x), wrap_angle(self.psi_loc + y)], -1)

    @property
    def mean(self) -> Array:
        """The mean directions of the two angles, in :math:`[-\\pi, \\pi)`."""
        return self._around(0.0, 0.0)

    @property
    def mode(self) -> Array:
        """One of the modes; where there are two, they lie point symmetrically around the mean."""
        marginal = self._marginal
        x = marginal.peak()
        return self._around(x, jnp.arctan2(marginal.correlation * jnp.sin(x), marginal.psi))

    def _around(self, x: Array | float, y: Array | float) -> Array:
        pair = wrap_angle(self.phi_loc + x), wrap_angle(self.psi_loc + y)
        return jnp.stack([broadcast_to(angle, self.batch_shape) for angle in pair], -1)

    @property
    def variance(self) -> Array:
        """The circular variances of the two angles, one less the lengths of the means of unit vectors."""
        by_phi, by_psi, _ = self._derivatives()
        return jnp.stack([broadcast_to(-by_phi, self.batch_shape), broadcast_to(-by_psi, self.batch_shape)], -1)

    def entropy(self) -> Array:
        # log C less the mean of the exponent, both relative to the one at the centre
        marginal = self._marginal
        expected = sum(parameter * by for parameter, by in zip(marginal, self._derivatives(), strict=True))
        return broadcast_to(_log_normalizer(*marginal) - expected, self.batch_shape)

    def _derivatives(self) -> tuple[Array, ...]:
        """The means of ``cos(x) - 1``, ``cos(y) - 1`` and ``sin(x) sin(y)``."""
        return jax.grad(lambda parameters: jnp.sum(_log_normalizer(*parameters)))(tuple(self._marginal))

    @classmethod
    def infer_shapes(  # type: ignore[override]
        cls,
        phi_loc: Shape,
        psi_loc: Shape,
        phi_concentration: Shape,
        psi_concentration: Shape,
        correlation: Shape | None = None,
        weighted_correlation: Shape | None = None,
    ) -> tuple[Shape, Shape]:
        _, last = require_one_of(correlation=correlation, weighted_correlation=weighted_correlation)
        return lax.broadcast_shapes(phi_loc, psi_loc, phi_concentration, psi_concentration, last), (2,)


def _sample_marginal(key: Key, marginal: _Marginal, shape: Shape, max_iterations: int) -> Array:
    """Draw from the marginal distribution, by rejection from a staircase with steps on both sides of the peak.

    On each step, the exponent is at most its value at one of the ends, or at the peak, which is one of them. The
    remaining factor falls with the radius, which is smallest at one of the ends.
    """
    peak = marginal.peak()
    left, right = marginal.reach(peak, 0.0), marginal.reach(peak, _PI)
    fractions = np.arange(1, _STEPS + 1).reshape((-1,) + (1,) * jnp.ndim(peak)).astype(peak.dtype) / _STEPS
    zero = jnp.zeros_like(peak)[None]
    inner = [peak - left * fractions[::-1], peak[None], peak + right * fractions]
    ends = jnp.clip(jnp.concatenate([zero, *inner, zero + _PI]), 0, _PI)
    exponent, radius = marginal.exponent(ends), marginal.radius(ends)
    height = jnp.maximum(exponent[1:], exponent[:-1]) + jnp.log(i0e(jnp.minimum(radius[1:], radius[:-1]))) + _LOG_TWO_PI
    width = ends[1:] - ends[:-1]
    mass = width * jnp.exp(height - jnp.max(height, 0))
    ends, height, width, mass = (jnp.moveaxis(a, 0, -1) for a in (ends[:-1], height, width, mass))

    def propose(state: tuple[Array, Key, Array, Array]) -> tuple[Array, Key, Array, Array]:
        count, key, x, done = state
        key, key_step, key_place, key_accept = random.split(key, 4)
        step = categorical(key_step, mass, shape)

        def of_step(table: Array) -> Array:
            table = jnp.broadcast_to(table, (*shape, table.shape[-1]))
            return jnp.take_along_axis(table, step[..., None], -1)[..., 0]

        proposal = of_step(ends) + of_step(width) * random.uniform(key_place, shape, x.dtype)
        log_u = jnp.log1p(-random.uniform(key_accept, shape, x.dtype))
        accepted = log_u <= marginal.log_density(proposal) - of_step(height)
        return count + 1, key, jnp.where(accepted & ~done, proposal, x), done | accepted

    key, key_sign = random.split(key)
    start = jnp.zeros((), int), key, jnp.full(shape, jnp.nan, peak.dtype), jnp.zeros(shape, bool)
    _, _, x, _ = lax.while_loop(lambda s: (s[0] < max_iterations) & ~jnp.all(s[3]), propose, start)
    return x * random.rademacher(key_sign, shape, x.dtype)
