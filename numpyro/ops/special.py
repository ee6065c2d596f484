"""Special functions that JAX lacks, or lacks some derivative of: differences of exponentials, inverse incomplete
gamma and beta functions, log-space products.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy import special

from numpyro._typing import Array, ArrayLike
from numpyro.ops.log_gamma import betaln, gammaln


def _floats(*args: Any) -> tuple[Array, ...]:
    """Promote arguments to one floating dtype and one shape."""
    dtype = jnp.result_type(*args, float)
    shape = lax.broadcast_shapes(*(np.shape(arg) for arg in args))
    return tuple(jnp.broadcast_to(jnp.asarray(arg, dtype), shape) for arg in args)


def log1mexp(x: ArrayLike) -> Array:
    r"""Return :math:`\log(1 - e^x)` for :math:`x \le 0`, and nan for others.

    Source: Mächler (2012), *Accurately computing log(1 - exp(-|a|))*, equation 7.

    >>> round(float(log1mexp(-1.0)), 4)
    -0.4587
    """
    (x,) = _floats(x)
    near = x > -math.log(2)
    return jnp.where(near, jnp.log(-jnp.expm1(jnp.where(near, x, -1))), jnp.log1p(-jnp.exp(jnp.where(near, -1, x))))


def logdiffexp(a: ArrayLike, b: ArrayLike) -> Array:
    r"""Return :math:`\log(e^a - e^b)` for :math:`a \ge b`, and nan for others."""
    a, b = _floats(a, b)
    both_zero = jnp.isneginf(a) & jnp.isneginf(b)
    difference = jnp.where(both_zero, -1, b - a)
    return jnp.where(both_zero, -jnp.inf, a + log1mexp(difference))


def clamp_probs(probs: ArrayLike) -> Array:
    """Keep probabilities off 0, by the smallest normal number, and off 1, by one unit of rounding."""
    (probs,) = _floats(probs)
    limits = jnp.finfo(probs.dtype)
    return jnp.clip(probs, float(limits.tiny), 1 - float(limits.eps))


def logmatmulexp(x: ArrayLike, y: ArrayLike) -> Array:
    r"""Return :math:`\log(e^x e^y)`, the product being that of matrices.

    :param x: array of shape ``(..., m, k)``.
    :param y: array of shape ``(..., k, n)``.
    :return: array of shape ``(..., m, n)``.
    """
    x, y = jnp.asarray(x), jnp.asarray(y)
    shift_x = _finite_max(x, -1)
    shift_y = _finite_max(y, -2)
    product = jnp.matmul(jnp.exp(x - shift_x), jnp.exp(y - shift_y), precision=lax.Precision.HIGHEST)
    # A product of zeros stays at -inf; its logarithm is taken of one, so that the gradient is zero and not nan.
    positive = product > 0
    return jnp.where(positive, jnp.log(jnp.where(positive, product, 1)), -jnp.inf) + shift_x + shift_y


def _finite_max(x: Array, axis: int) -> Array:
    largest = lax.stop_gradient(jnp.max(x, axis=axis, keepdims=True))
    return jnp.where(jnp.isfinite(largest), largest, 0)


def multidigamma(a: ArrayLike, d: int) -> Array:
    r"""Return the derivative of the log of the multivariate gamma function, :math:`\sum_{i<d} \psi(a - i / 2)`.

    :param a: array, greater than :math:`(d - 1) / 2`.
    :param d: the dimension.
    :return: array of the shape of ``a``.
    """
    (a,) = _floats(a)
    return special.digamma(a[..., None] - np.arange(d, dtype=a.dtype) / 2).sum(-1)


def binary_cross_entropy_with_logits(x: ArrayLike, y: ArrayLike) -> Array:
    r"""Return :math:`-y \log \sigma(x) - (1 - y) \log(1 - \sigma(x)) = \max(x, 0) - x y + \log(1 + e^{-|x|})`.

    :param x: the log odds.
    :param y: the outcome, 0 or 1, or its probability.
    """
    (x,) = _floats(x)
    positive = x > 0  # both corners at 0 are on one side of it, so that derivatives are right there
    return jnp.where(positive, x, 0) - x * y + jnp.log1p(jnp.exp(jnp.where(positive, -x, x)))


@jax.custom_jvp
def _betainc(a: Array, b: Array, x: Array) -> Array:
    return lax.betainc(a, b, x)


def betainc(a: ArrayLike, b: ArrayLike, x: ArrayLike) -> Array:
    r"""Return the regularised incomplete beta function :math:`I_x(a, b)`, differentiable in all its arguments.

    .. math:: I_x(a, b) = \frac{1}{B(a, b)} \int_0^x t^{a-1} (1 - t)^{b-1} \, dt

    :param a: array, positive.
    :param b: array, positive.
    :param x: array in :math:`[0, 1]`.
    :return: array of the shape to which the arguments broadcast.
    """
    return _betainc(*_floats(a, b, x))


@_betainc.defjvp
def _betainc_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    a, b, x = primals
    by_a, by_b = _betainc_by_parameters(a, b, x)
    tangent = by_a * tangents[0] + by_b * tangents[1] + _beta_density(a, b, x) * tangents[2]
    return _betainc(a, b, x), tangent


def _beta_density(a: Array, b: Array, x: Array) -> Array:
    return jnp.exp(special.xlogy(a - 1, x) + special.xlog1py(b - 1, -x) - betaln(a, b))


def _betainc_by_parameters(a: Array, b: Array, x: Array) -> tuple[Array, Array]:
    r"""Return :math:`\partial I / \partial a` and :math:`\partial I / \partial b`.

    From :math:`I_x(a, b) = x^a (1 - x)^b / (a B(a, b)) \cdot K(a, b, x)`, the continued fraction :math:`K` being
    differentiated term by term; on the side where it converges fast, the other one by :math:`1 - I_{1-x}(b, a)`.
    Source: Boik and Robison-Cox (1998), *Derivatives of the incomplete beta function*.
    """
    inside = (x > 0) & (x < 1)
    x = jnp.where(inside, x, 0.5)
    flip = x > (a + 1) / (a + b + 2)
    p, q, t = jnp.where(flip, b, a), jnp.where(flip, a, b), jnp.where(flip, 1 - x, x)
    one, zero = jnp.ones_like(t), jnp.zeros_like(t)
    fraction, by_p = jax.jvp(lambda p, q: _beta_fraction(p, q, t), (p, q), (one, zero))
    _, by_q = jax.jvp(lambda p, q: _beta_fraction(p, q, t), (p, q), (zero, one))
    value = fraction * jnp.exp(p * jnp.log(t) + q * jnp.log1p(-t) - betaln(p, q)) / p
    common = special.digamma(p + q)
    by_p = value * (jnp.log(t) - 1 / p - special.digamma(p) + common + by_p / fraction)
    by_q = value * (jnp.log1p(-t) - special.digamma(q) + common + by_q / fraction)
    by_a, by_b = jnp.where(flip, -by_q, by_p), jnp.where(flip, -by_p, by_q)
    return jnp.where(inside, by_a, 0), jnp.where(inside, by_b, 0)


def _beta_fraction(a: Array, b: Array, x: Array, terms: int = 200) -> Array:
    """Evaluate the continued fraction of the incomplete beta function by the modified method of Lentz."""
    tiny = float(jnp.finfo(x.dtype).tiny) * 1e8

    def away_from_zero(v: Array) -> Array:
        return jnp.where(jnp.abs(v) < tiny, tiny, v)

    def term(m: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        value, c, d = state
        m = jnp.asarray(m, x.dtype)
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for numerator in (even, odd):
            d = 1 / away_from_zero(1 + numerator * d)
            c = away_from_zero(1 + numerator / c)
            value = value * c * d
        return value, c, d

    first = 1 / away_from_zero(1 - (a + b) * x / (a + 1))
    value, _, _ = lax.fori_loop(1, terms, term, (first, jnp.ones_like(x), first))
    return value


def betaincinv(a: ArrayLike, b: ArrayLike, y: ArrayLike) -> Array:
    r"""Return the :math:`x` with :math:`I_x(a, b) = y`, differentiable in all its arguments.

    :param a: array, positive.
    :param b: array, positive.
    :param y: array in :math:`[0, 1]`.
    :return: array of the shape to which the arguments broadcast.
    """
    return _betaincinv(*_floats(a, b, y))


@jax.custom_jvp
def _betaincinv(a: Array, b: Array, y: Array) -> Array:
    # Solved for the logarithm of x or 1 - x, whichever is smaller, and from the smaller one of the two tails: so small
    # roots, and small probabilities, are exact relative to their size.
    mirrored = y > lax.betainc(a, b, jnp.full_like(y, 0.5))
    upper = y > 0.5
    p, q = jnp.where(upper, b, a), jnp.where(upper, a, b)
    log_target = jnp.log(jnp.where(upper, 1 - y, y))
    sign = jnp.where(mirrored == upper, 1, -1)

    def excess(log_z: Array) -> tuple[Array, Array]:
        z = jnp.exp(log_z)
        t = jnp.where(mirrored == upper, z, 1 - z)
        tail = lax.betainc(p, q, t)
        density = jnp.exp(special.xlogy(p - 1, t) + special.xlog1py(q - 1, -t) - betaln(p, q))
        return sign * (jnp.log(tail) - log_target), z * density / tail

    low = jnp.full_like(y, math.log(float(jnp.finfo(y.dtype).tiny)))
    # I_z(c, d) = z^c / (c B(c, d)) (1 + O(z))
    c = jnp.where(mirrored, b, a)
    start = (jnp.log(jnp.where(mirrored, 1 - y, y)) + jnp.log(c) + betaln(a, b)) / c
    z = jnp.exp(_increasing_root(excess, low, jnp.full_like(y, math.log(0.5)), start))
    x = jnp.where(mirrored, 1 - z, z)
    x = jnp.where((y == 0) | (y == 1), y, x)
    return jnp.where((y >= 0) & (y <= 1) & (a > 0) & (b > 0), x, jnp.nan)


@_betaincinv.defjvp
def _betaincinv_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    a, b, y = primals
    x = _betaincinv(a, b, y)
    by_a, by_b = _betainc_by_parameters(a, b, x)
    return x, (tangents[2] - by_a * tangents[0] - by_b * tangents[1]) / _beta_density(a, b, x)


def gammaincinv(a: ArrayLike, y: ArrayLike) -> Array:
    r"""Return the :math:`x` with :math:`P(a, x) = y`, the regularised lower incomplete gamma function.

    :param a: array, positive.
    :param y: array in :math:`[0, 1]`.
    :return: array of the shape to which the arguments broadcast; differentiable in both.
    """
    return _gammaincinv(*_floats(a, y))


@jax.custom_jvp
def _gammaincinv(a: Array, y: Array) -> Array:
    upper = y > 0.5
    log_target = jnp.log(jnp.where(upper, 1 - y, y))

    def excess(log_x: Array) -> tuple[Array, Array]:
        x = jnp.exp(log_x)
        tail = jnp.where(upper, lax.igammac(a, x), lax.igamma(a, x))
        difference = jnp.log(tail) - log_target
        slope = x * _gamma_density(a, x) / tail
        return jnp.where(upper, -difference, difference), slope

    limits = jnp.finfo(y.dtype)
    low, high = math.log(float(limits.tiny)), math.log(float(limits.max)) - 1
    # P(a, x) = x^a / Gamma(a + 1) (1 + O(x)) for small x; Wilson and Hilferty's cube for others.
    small = (jnp.log(y) + gammaln(a + 1)) / a
    cube = 1 - 1 / (9 * a) + special.ndtri(y) / (3 * jnp.sqrt(a))
    start = jnp.where((cube > 0.2) & (y > 0), jnp.log(a) + 3 * jnp.log(jnp.maximum(cube, 0.2)), small)
    x = jnp.exp(_increasing_root(excess, jnp.full_like(y, low), jnp.full_like(y, high), start))
    x = jnp.where(y == 0, 0, jnp.where(y == 1, jnp.inf, x))
    return jnp.where((y >= 0) & (y <= 1) & (a > 0), x, jnp.nan)


def _gamma_density(a: Array, x: Array) -> Array:
    return jnp.exp(special.xlogy(a - 1, x) - x - gammaln(a))


@_gammaincinv.defjvp
def _gammaincinv_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    a, y = primals
    x = _gammaincinv(a, y)
    # random_gamma_grad is dx / da at a fixed value of P(a, x).
    return x, tangents[1] / _gamma_density(a, x) + lax.random_gamma_grad(a, x) * tangents[0]


def _increasing_root(
    excess: Callable[[Array], tuple[Array, Array]], low: Array, high: Array, start: Array, steps: int = 120
) -> Array:
    """Find the root of an increasing function by Newton's method, bisecting wherever that leaves the bracket.

    :param excess: function that returns its value and its slope.
    :param low: where the function is negative.
    :param high: where it is positive.
    :param start: the first guess.
    :param steps: the most steps to take.
    """
    tolerance = 2 * float(jnp.finfo(start.dtype).eps)

    def keep_going(state: tuple[Any, ...]) -> Array:
        step, _, _, _, moved = state
        return (step < steps) & jnp.any(moved)

    def refine(state: tuple[Any, ...]) -> tuple[Any, ...]:
        step, x, low, high, _ = state
        value, slope = excess(x)
        below = (value < 0) | jnp.isnan(value)
        low, high = jnp.where(below, x, low), jnp.where(below, high, x)
        newton = x - value / slope
        new = jnp.where((newton > low) & (newton < high), newton, low / 2 + high / 2)
        new = jnp.where(newton == x, x, new)  # found; it stays while others are being sought
        return step + 1, new, low, high, jnp.abs(new - x) > tolerance * jnp.maximum(jnp.abs(x), 1)

    x = jnp.where((start > low) & (start < high), start, low / 2 + high / 2)
    return lax.while_loop(keep_going, refine, (0, x, low, high, jnp.ones(x.shape, bool)))[1]
