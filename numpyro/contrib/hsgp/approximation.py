"""Functions of a model that draw the values of an approximate Gaussian process."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import jax.numpy as jnp
import numpy as np

import numpyro.distributions as dist
from numpyro._typing import Array, ArrayLike
from numpyro.contrib.hsgp.laplacian import eigenfunctions, eigenfunctions_periodic
from numpyro.contrib.hsgp.spectral_densities import (
    diag_spectral_density_matern,
    diag_spectral_density_periodic,
    diag_spectral_density_rational_quadratic,
    diag_spectral_density_squared_exponential,
)
from numpyro.primitives import plate, sample


def _coefficients(name: str, basis: str, scale: Array, number: int, non_centered: bool) -> Array:
    """Coefficients with standard deviations ``scale``."""
    with plate(basis, number):
        beta = sample(name, dist.Normal(0.0, 1.0 if non_centered else scale))
    return scale * beta if non_centered else beta


def linear_approximation(phi: ArrayLike, spd: ArrayLike, m: int | Sequence[int], non_centered: bool = True) -> Array:
    """Draw :math:`f = \\Phi (\\sqrt{S} \\odot \\beta)` with :math:`\\beta \\sim N(0, I)`, at the site ``beta``.

    :param phi: values of the eigenfunctions, of shape ``(n, m_star)``.
    :param spd: square roots of the spectral density at their frequencies, of shape ``(m_star,)``.
    :param m: how many eigenfunctions there are in each dimension.
    :param non_centered: sample :math:`\\beta`; otherwise :math:`\\sqrt{S} \\odot \\beta`, which is better where the
        data say much of each coefficient.
    :returns: :math:`f`, of shape ``(n,)``.
    """
    number = int(m) if isinstance(m, int | np.integer) else prod(int(count) for count in m)
    return jnp.asarray(phi) @ _coefficients("beta", "basis", jnp.asarray(spd), number, non_centered)


def hsgp_squared_exponential(
    x: ArrayLike,
    alpha: ArrayLike,
    length: ArrayLike,
    ell: ArrayLike | Sequence[float],
    m: int | Sequence[int],
    non_centered: bool = True,
) -> Array:
    """Draw a Gaussian process with the kernel :math:`\\alpha e^{-\\|x - x'\\|^2 / (2 \\ell^2)}`.

    :param x: points of shape ``(n, dim)``, or ``(n,)`` in one dimension, well inside of the box.
    :param alpha: the variance :math:`\\alpha`.
    :param length: the length scale :math:`\\ell`, or one for each dimension.
    :param ell: half the length of each edge of the box, one number for all dimensions or one for each.
    :param m: how many eigenfunctions there are in each dimension.
    :param non_centered: see :func:`linear_approximation`.
    :returns: its values, of shape ``(n,)``.

    >>> import jax.numpy as jnp, numpyro, numpyro.distributions as dist
    >>> from numpyro.contrib.hsgp.approximation import hsgp_squared_exponential
    >>> def model(x, y):
    ...     length = numpyro.sample("length", dist.InverseGamma(5.0, 2.0))
    ...     f = hsgp_squared_exponential(x, alpha=1.0, length=length, ell=1.5, m=20)
    ...     numpyro.sample("y", dist.Normal(f, 0.1), obs=y)
    """
    phi, dim = eigenfunctions(x, ell, m), _dim(x)
    spd = _root(diag_spectral_density_squared_exponential(alpha, length, ell, m, dim))
    return linear_approximation(phi, spd, phi.shape[-1], non_centered)


def hsgp_matern(
    x: ArrayLike,
    nu: ArrayLike,
    alpha: ArrayLike,
    length: ArrayLike,
    ell: ArrayLike | Sequence[float],
    m: int | Sequence[int],
    non_centered: bool = True,
) -> Array:
    """Draw a Gaussian process with the Matérn kernel of smoothness ``nu``, whose paths have derivatives below it.

    The other parameters are those of :func:`hsgp_squared_exponential`; the rougher the paths, the larger ``m``.
    """
    phi, dim = eigenfunctions(x, ell, m), _dim(x)
    spd = _root(diag_spectral_density_matern(nu, alpha, length, ell, m, dim))
    return linear_approximation(phi, spd, phi.shape[-1], non_centered)


def hsgp_rational_quadratic(
    x: ArrayLike,
    alpha: ArrayLike,
    length: ArrayLike,
    scale_mixture: ArrayLike,
    ell: ArrayLike | Sequence[float],
    m: int | Sequence[int],
    non_centered: bool = True,
) -> Array:
    """Draw a Gaussian process with the kernel
    :math:`\\alpha \\big(1 + \\frac{\\|x - x'\\|^2}{2 s \\ell^2}\\big)^{-s}`.

    :param scale_mixture: :math:`s`.

    The other parameters are those of :func:`hsgp_squared_exponential`.
    """
    phi, dim = eigenfunctions(x, ell, m), _dim(x)
    spd = _root(diag_spectral_density_rational_quadratic(alpha, length, scale_mixture, ell, m, dim))
    return linear_approximation(phi, spd, phi.shape[-1], non_centered)


def hsgp_periodic_non_centered(x: ArrayLike, alpha: ArrayLike, length: ArrayLike, w0: ArrayLike, m: int) -> Array:
    """Draw a Gaussian process with the kernel :math:`\\alpha^2 e^{-\\frac{2}{\\ell^2} \\sin^2(w_0 (x - x') / 2)}`.

    The series of cosines needs no box. Coefficients are the sites ``beta_cos``, ``m`` of them, and ``beta_sin``,
    one less.

    :param x: points of shape ``(n,)``.
    :param alpha: the amplitude, the square root of the variance.
    :param length: the length scale :math:`\\ell`.
    :param w0: the angular frequency, :math:`2\\pi` over the period.
    :param m: the terms of the series.
    :returns: its values, of shape ``(n,)``.
    """
    cosines, sines = eigenfunctions_periodic(x, w0, m)
    scale = _root(diag_spectral_density_periodic(alpha, length, m))
    value = cosines @ _coefficients("beta_cos", "cos_basis", scale, m, True)
    if m == 1:
        return value
    return value + sines[:, 1:] @ _coefficients("beta_sin", "sin_basis", scale[1:], m - 1, True)


def _dim(x: ArrayLike) -> int:
    return 1 if jnp.ndim(x) == 1 else jnp.shape(x)[-1]


def _root(density: Array) -> Array:
    """The square root; high frequencies may have densities that round to 0, where its derivative would be infinite."""
    return jnp.sqrt(jnp.maximum(density, jnp.finfo(density.dtype).tiny))
