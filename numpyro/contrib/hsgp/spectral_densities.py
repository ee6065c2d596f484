"""Spectral densities of stationary kernels, and their values at the frequencies of the eigenfunctions.

With :math:`k(r) = \\frac{1}{(2\\pi)^D} \\int S(w) e^{i w \\cdot r} dw`. Lengths may be one number, or one for each
dimension, in which case distances are :math:`r^2 = \\sum_d (x_d - x'_d)^2 / \\ell_d^2` in units of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log, pi

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln

from numpyro._typing import Array, ArrayLike
from numpyro.contrib.hsgp.bessel import log_bessel_i, log_bessel_k, scaled_bessel_i_up_to
from numpyro.contrib.hsgp.laplacian import sqrt_eigenvalues


def align_param(dim: int, param: ArrayLike) -> Array:
    """A parameter with one entry, or one for each dimension, along its last axis, as one for each dimension.

    :returns: of shape ``(..., dim)``.
    """
    param = jnp.asarray(param)
    return jnp.broadcast_to(param, jnp.broadcast_shapes(param.shape, (dim,)))


def _scaled(dim: int, w: ArrayLike, length: ArrayLike) -> tuple[Array, Array]:
    """:math:`\\sum_d (\\ell_d w_d)^2` and :math:`\\sum_d \\log \\ell_d`."""
    lengths = align_param(dim, length)
    return jnp.sum((lengths * jnp.asarray(w)) ** 2, -1), jnp.sum(jnp.log(lengths), -1)


def spectral_density_squared_exponential(dim: int, w: ArrayLike, alpha: ArrayLike, length: ArrayLike) -> Array:
    """The spectral density of :math:`k(r) = \\alpha e^{-r^2 / 2}`,

    .. math:: S(w) = \\alpha (2\\pi)^{D/2} \\prod_d \\ell_d \\; e^{-\\frac12 \\sum_d \\ell_d^2 w_d^2}.

    :param dim: the number of dimensions :math:`D`.
    :param w: a frequency, of shape ``(dim,)``.
    :param alpha: the variance :math:`\\alpha`.
    :param length: the length scale, or one for each dimension.
    """
    squares, log_lengths = _scaled(dim, w, length)
    return jnp.asarray(alpha) * jnp.exp(0.5 * dim * log(2.0 * pi) + log_lengths - 0.5 * squares)


def spectral_density_matern(dim: int, nu: ArrayLike, w: ArrayLike, alpha: ArrayLike, length: ArrayLike) -> Array:
    """The spectral density of the Matérn kernel
    :math:`k(r) = \\alpha \\frac{2^{1 - \\nu}}{\\Gamma(\\nu)} (\\sqrt{2\\nu} r)^\\nu K_\\nu(\\sqrt{2\\nu} r)`,

    .. math::

        S(w) = \\alpha \\prod_d \\ell_d \\; \\frac{2^D \\pi^{D/2} \\Gamma(\\nu + D/2) (2\\nu)^\\nu}{\\Gamma(\\nu)}
        \\Big(2\\nu + \\sum_d \\ell_d^2 w_d^2\\Big)^{-(\\nu + D/2)}.

    :param dim: the number of dimensions :math:`D`.
    :param nu: the smoothness :math:`\\nu`.
    :param w: a frequency, of shape ``(dim,)``.
    :param alpha: the variance :math:`\\alpha`.
    :param length: the length scale, or one for each dimension.
    """
    squares, log_lengths = _scaled(dim, w, length)
    half = 0.5 * dim
    log_constant = dim * log(2.0) + half * log(pi) + gammaln(nu + half) - gammaln(nu) + nu * jnp.log(2.0 * nu)
    return jnp.asarray(alpha) * jnp.exp(log_constant + log_lengths - (nu + half) * jnp.log(2.0 * nu + squares))


def spectral_density_rational_quadratic(
    dim: int, w: ArrayLike, alpha: ArrayLike, length: ArrayLike, scale_mixture: ArrayLike
) -> Array:
    """The spectral density of :math:`k(r) = \\alpha (1 + \\frac{r^2}{2 s})^{-s}` at :math:`w \\ne 0`,

    .. math::

        S(w) = \\alpha (2\\pi)^{D/2} \\prod_d \\ell_d \\; \\frac{2 s^s}{\\Gamma(s)}
        \\Big(\\frac{b}{s}\\Big)^{(s - D/2)/2} K_{s - D/2}(2 \\sqrt{s b}), \\qquad
        b = \\tfrac12 \\sum_d \\ell_d^2 w_d^2,

    a mixture of those of squared exponentials, whose precisions are gamma distributed with shape and rate :math:`s`.

    :param dim: the number of dimensions :math:`D`.
    :param w: a frequency, of shape ``(dim,)``.
    :param alpha: the variance :math:`\\alpha`.
    :param length: the length scale, or one for each dimension.
    :param scale_mixture: :math:`s`; the larger, the closer to a squared exponential.
    """
    squares, log_lengths = _scaled(dim, w, length)
    s, b = jnp.asarray(scale_mixture), 0.5 * squares
    order = s - 0.5 * dim
    log_constant = 0.5 * dim * log(2.0 * pi) + log_lengths + log(2.0) + s * jnp.log(s) - gammaln(s)
    log_integral = 0.5 * order * jnp.log(b / s) + log_bessel_k(order, 2.0 * jnp.sqrt(s * b))
    return jnp.asarray(alpha) * jnp.exp(log_constant + log_integral)


def modified_bessel_first_kind(v: ArrayLike, z: ArrayLike) -> Array:
    """:math:`I_\\nu(|z|)` for an order :math:`\\nu \\ge 0`."""
    return jnp.exp(log_bessel_i(v, jnp.abs(jnp.asarray(z))))


def modified_bessel_second_kind(v: ArrayLike, z: ArrayLike) -> Array:
    """:math:`K_\\nu(|z|)` for a real order."""
    return jnp.exp(log_bessel_k(v, jnp.abs(jnp.asarray(z))))


def diag_spectral_density_squared_exponential(
    alpha: ArrayLike, length: ArrayLike, ell: ArrayLike | Sequence[float], m: int | Sequence[int], dim: int
) -> Array:
    """:func:`spectral_density_squared_exponential` at the frequency of each eigenfunction.

    :param ell: half the length of each edge of the box, one number for all dimensions or one for each.
    :param m: how many eigenfunctions there are in each dimension.
    :param dim: the number of dimensions.
    :returns: of shape ``(m_star,)``.
    """
    frequencies = sqrt_eigenvalues(ell, m, dim).T
    return jax.vmap(lambda w: spectral_density_squared_exponential(dim, w, alpha, jnp.asarray(length)))(frequencies)


def diag_spectral_density_matern(
    nu: ArrayLike,
    alpha: ArrayLike,
    length: ArrayLike,
    ell: ArrayLike | Sequence[float],
    m: int | Sequence[int],
    dim: int,
) -> Array:
    """:func:`spectral_density_matern` at the frequency of each eigenfunction; see
    :func:`diag_spectral_density_squared_exponential`."""
    frequencies = sqrt_eigenvalues(ell, m, dim).T
    return jax.vmap(lambda w: spectral_density_matern(dim, nu, w, alpha, jnp.asarray(length)))(frequencies)


def diag_spectral_density_rational_quadratic(
    alpha: ArrayLike,
    length: ArrayLike,
    scale_mixture: ArrayLike,
    ell: ArrayLike | Sequence[float],
    m: int | Sequence[int],
    dim: int,
) -> Array:
    """:func:`spectral_density_rational_quadratic` at the frequency of each eigenfunction; see
    :func:`diag_spectral_density_squared_exponential`."""
    frequencies = sqrt_eigenvalues(ell, m, dim).T
    return jax.vmap(lambda w: spectral_density_rational_quadratic(dim, w, alpha, jnp.asarray(length), scale_mixture))(
        frequencies
    )


def diag_spectral_density_periodic(alpha: ArrayLike, length: ArrayLike, m: int) -> Array:
    """The coefficients :math:`q_j` of the periodic kernel as a series of cosines,

    .. math::

        \\alpha^2 e^{-\\frac{2}{\\ell^2} \\sin^2(w_0 r / 2)} = \\sum_{j \\ge 0} q_j \\cos(j w_0 r), \\qquad
        q_j = c_j\\, \\alpha^2 e^{-1/\\ell^2} I_j(1/\\ell^2), \\quad c_0 = 1, \\; c_j = 2 .

    :param alpha: the amplitude, the square root of the variance (in the other kernels it is the variance).
    :param length: the length scale.
    :param m: how many.
    :returns: of shape ``(m,)``.
    """
    series = scaled_bessel_i_up_to(m, 1.0 / jnp.asarray(length) ** 2)
    return jnp.asarray(alpha)[..., None] ** 2 * series * jnp.where(jnp.arange(m) > 0, 2.0, 1.0)
