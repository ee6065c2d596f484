"""Modified Bessel functions of real order, differentiable, on a logarithmic scale."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import gammaln, i0e, logsumexp

from numpyro._typing import Array, ArrayLike

NODES = 256
SERIES_TERMS, SERIES_LIMIT = 128, 30.0


def log_bessel_k(order: ArrayLike, x: ArrayLike) -> Array:
    """:math:`\\log K_\\nu(x)` for :math:`x > 0`, by the trapezoidal rule, which here converges geometrically, for

    .. math:: K_\\nu(x) = \\int_0^\\infty e^{-x \\cosh t} \\cosh(\\nu t) \\,dt.
    """
    order, x = (jnp.asarray(a, jnp.result_type(float)) for a in jnp.broadcast_arrays(order, x))
    order = jnp.abs(order)[..., None]
    # From here on the integrand is below exp(-40) of its value at 0, where it is at least exp(-x).
    end = jnp.arccosh(1.0 + 40.0 * (1.0 + lax.stop_gradient(order)) / lax.stop_gradient(x)[..., None])
    t = end * (np.arange(NODES) / (NODES - 1)).astype(x.dtype)
    log_cosh = order * t + jnp.log1p(jnp.exp(-2.0 * order * t)) - np.log(2.0).astype(x.dtype)
    # cosh(t) - 1 = 2 sinh(t / 2)^2 keeps digits for large x
    exponents = -x[..., None] * 2.0 * jnp.sinh(0.5 * t) ** 2 + log_cosh
    weights = np.log(np.where(np.isin(np.arange(NODES), (0, NODES - 1)), 0.5, 1.0)).astype(x.dtype)
    return logsumexp(exponents + weights, axis=-1) + jnp.log(end[..., 0] / (NODES - 1)) - x


def log_bessel_i(order: ArrayLike, x: ArrayLike) -> Array:
    """:math:`\\log I_\\nu(x)` for :math:`\\nu \\ge 0` and :math:`x \\ge 0`.

    By the series of positive terms :math:`\\sum_k (x/2)^{2k + \\nu} / (k!\\, \\Gamma(k + \\nu + 1))` and, where
    :math:`s = \\sqrt{\\nu^2 + x^2}` is large, by Debye's expansion, which is uniform in the order (DLMF 10.41.3).
    """
    order, x = (jnp.asarray(a, jnp.result_type(float)) for a in jnp.broadcast_arrays(order, x))
    s = jnp.sqrt(order**2 + x**2)
    large = s > SERIES_LIMIT
    tiny = jnp.finfo(x.dtype).tiny

    near = jnp.maximum(jnp.where(large, 1.0, x), tiny)[..., None]
    low = jnp.where(large, 1.0, order)[..., None]
    k = np.arange(SERIES_TERMS).astype(x.dtype)
    series = logsumexp((2.0 * k + low) * jnp.log(0.5 * near) - gammaln(k + 1.0) - gammaln(k + low + 1.0), axis=-1)

    far, high = jnp.maximum(jnp.where(large, x, 1.0), tiny), jnp.where(large, order, 1.0)
    s = jnp.sqrt(high**2 + far**2)
    p2 = (high / s) ** 2
    corrections = (
        (3.0 - 5.0 * p2) / (24.0 * s)
        + (81.0 - 462.0 * p2 + 385.0 * p2**2) / (1152.0 * s**2)
        + (30375.0 - 369603.0 * p2 + 765765.0 * p2**2 - 425425.0 * p2**3) / (414720.0 * s**3)
    )
    debye = s + high * jnp.log(far / (high + s)) - 0.5 * jnp.log(2.0 * np.pi * s) + jnp.log1p(corrections)
    return jnp.where(large, debye, series)


def scaled_bessel_i_up_to(count: int, x: ArrayLike) -> Array:
    """:math:`e^{-x} I_j(x)` for ``j`` from 0 to ``count - 1``, of shape ``(*x.shape, count)``.

    The ratios :math:`r_j = I_j / I_{j-1}` satisfy :math:`r_j = 1 / (2j/x + r_{j+1})`, a recursion that is stable
    downwards; it starts some orders above from Amos's (1974) bound
    :math:`r_j \\approx x / (j - \\frac12 + \\sqrt{(j + \\frac12)^2 + x^2})`.
    """
    x = jnp.asarray(x, jnp.result_type(float))
    top = count + 40
    start = x / (top - 0.5 + jnp.sqrt((top + 0.5) ** 2 + x**2))

    def down(above: Array, j: Array) -> tuple[Array, Array]:
        ratio = x / (2.0 * j + x * above)
        return ratio, ratio

    _, ratios = lax.scan(down, start, jnp.asarray(np.arange(top - 1, 0, -1), x.dtype))
    ratios = jnp.moveaxis(ratios[::-1][: count - 1], 0, -1)
    first = i0e(x)[..., None]
    return jnp.concatenate([first, first * jnp.cumprod(ratios, -1)], -1) if count > 1 else first
