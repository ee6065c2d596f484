"""Power laws between two bounds, and above one."""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax, random

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._maths import broadcast_to, where_inside, xlogy
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_key, concrete, validate_sample
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.truncated.order import check_order


class DoublyTruncatedPowerLaw(Distribution):
    r"""A power law between two bounds, for any real exponent.

    .. math:: p(x) = \frac{x^\alpha}{\int_a^b t^\alpha dt}, \quad a \le x \le b

    For :math:`\alpha = -1` the logarithm of :math:`x` is uniform. With :math:`\beta = \alpha + 1`,
    :math:`t = \log(b/a)` and the bound :math:`c` where the density times :math:`x` is larger (:math:`b` for
    :math:`\beta \ge 0`, else :math:`a`) the integral is :math:`c^\beta\, t\, h(|\beta| t)` with
    :math:`h(v) = (1 - e^{-v}) / v`.
    For :math:`a = 0`, which takes :math:`\alpha > -1`, it is :math:`b^\beta / \beta`.

    :param alpha: exponent :math:`\alpha`, a real number.
    :param low: lower bound :math:`a \ge 0`.
    :param high: upper bound :math:`b > a`.
    :support: :math:`a \le x \le b`
    :raises ValueError: when ``low`` is not below ``high``, or is 0 for an ``alpha`` that is not above -1.

    **Reference:** A. Clauset, C. R. Shalizi, M. E. J. Newman (2009), "Power-law distributions in empirical data".
    """

    __module__ = "numpyro.distributions.truncated"
    arg_constraints = {
        "alpha": constraints.real,
        "low": constraints.greater_than_eq(0),
        "high": constraints.greater_than(0),
    }
    reparametrized_params = ["alpha", "low", "high"]

    def __init__(self, alpha: ArrayLike, low: ArrayLike, high: ArrayLike, *, validate_args: bool | None = None) -> None:
        self.alpha, self.low, self.high = promote_shapes(alpha, low, high)
        batch_shape = lax.broadcast_shapes(jnp.shape(alpha), jnp.shape(low), jnp.shape(high))
        super().__init__(batch_shape=batch_shape, validate_args=validate_args)

    def validate_args(self, strict: bool = True) -> None:
        super().validate_args(strict)
        check_order(self)
        low, alpha = concrete(self.low), concrete(self.alpha)
        if low is not None and alpha is not None and ((low == 0) & (alpha <= -1)).any():
            raise ValueError(
                "DoublyTruncatedPowerLaw distribution got invalid alpha and low parameters: from low = 0 on, x**alpha "
                f"has a finite integral for alpha > -1 only, but got alpha={self.alpha} and low={self.low}."
            )

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> constraints.Constraint:
        return constraints.interval(self.low, self.high)

    def _scales(self, order: int = 0) -> tuple[Array, Array, Array, Array]:
        """``beta`` of the density times ``x**order``, whether it rises, the bound of larger weight, and ``t``.

        Where ``low`` is 0, ``t`` is that of another bound, and so finite.
        """
        alpha, low, high = (jnp.asarray(x, jnp.result_type(float, x)) for x in (self.alpha, self.low, self.high))
        beta = alpha + (order + 1)
        rises = beta >= 0
        low = jnp.where(self._from_zero, high / 2, low)
        return beta, rises, jnp.where(rises, high, low), jnp.log(high / low)

    @property
    def _from_zero(self) -> Array:
        return jnp.equal(self.low, 0)

    def _log_gain(self, beta: Array, t: Array) -> Array:
        """The logarithm of the integral, divided by the power of the bound: ``1 / beta`` for an infinite ``t``."""
        return jnp.where(self._from_zero, -self._log_slope(beta), jnp.log(t) + log_exponential_mean(size(beta) * t))

    def _log_slope(self, beta: Array) -> Array:
        """The logarithm of ``beta`` where the bound is 0; not a number if it is not positive there."""
        return jnp.log(jnp.where(self._from_zero, beta, 1))

    def _log_integral(self, order: int = 0) -> Array:
        """The logarithm of the integral of ``x**(alpha + order)``."""
        beta, _, bound, t = self._scales(order)
        return beta * jnp.log(bound) + self._log_gain(beta, t)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        return self.icdf(random.uniform(key, sample_shape + self.batch_shape))

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        beta, _, bound, t = self._scales()
        inside = jnp.greater_equal(value, self.low) & jnp.less_equal(value, self.high)
        ratio = jnp.where(inside, value, bound) / bound
        return where_inside(inside, xlogy(self.alpha, ratio) - jnp.log(bound) - self._log_gain(beta, t))

    def cdf(self, value: ArrayLike) -> Array:
        beta, rises, _, t = self._scales()
        from_zero, clipped = self._from_zero, jnp.clip(value, self.low, self.high)
        s = jnp.log(jnp.where(from_zero, 1, clipped) / jnp.where(from_zero, 1, self.low))
        log_ratio = log_exponential_mean(size(beta) * s) - log_exponential_mean(size(beta) * t)
        above = (s / t) * jnp.exp(log_ratio + jnp.where(rises, beta * (s - t), 0.0))
        power = jnp.where(from_zero, clipped / self.high, 1) ** jnp.where(from_zero, beta, 1)
        return jnp.where(from_zero, power, above)

    def icdf(self, q: ArrayLike) -> Array:
        beta, rises, bound, t = self._scales()
        # the distance from the bound of larger weight, on a logarithmic scale, is exponential and truncated
        share = jnp.where(rises, 1 - q, q)
        distance = t * exponential_quantile(share, size(beta) * t)
        # a power of q, where the logarithmic scale is infinite
        q = jnp.asarray(q, jnp.result_type(float, q))
        power = -jnp.log(jnp.where(self._from_zero & (q > 0), q, 1)) / jnp.where(self._from_zero, beta, 1)
        distance = jnp.where(self._from_zero, jnp.where(q == 0, jnp.inf, power), distance)
        return jnp.clip(bound * jnp.exp(jnp.where(rises, -distance, distance)), self.low, self.high)

    def entropy(self) -> Array:
        # E[log x] = log c -+ t * E[s], s on [0, 1] of density proportional to exp(-v s)
        beta, rises, bound, t = self._scales()
        v = size(beta) * t
        position = jnp.where(self._from_zero, 1 / jnp.where(self._from_zero, beta, 1), t * exponential_mean_position(v))
        expected = jnp.log(bound) + jnp.where(rises, -position, position)
        return broadcast_to(self._log_integral() - self.alpha * expected, self.batch_shape)

    @property
    def mean(self) -> Array:
        return broadcast_to(jnp.exp(self._log_integral(1) - self._log_integral()), self.batch_shape)

    @property
    def variance(self) -> Array:
        logs = [self._log_integral(order) for order in range(3)]
        relative = jnp.expm1(logs[2] - 2 * logs[1] + logs[0])
        return broadcast_to(jnp.exp(2 * (logs[1] - logs[0])) * jnp.maximum(relative, 0), self.batch_shape)


class LowerTruncatedPowerLaw(Distribution):
    r"""A power law above a bound: a Pareto distribution by its exponent.

    .. math:: p(x) = \frac{-(\alpha + 1)}{a} \Bigl(\frac{x}{a}\Bigr)^{\alpha}, \quad x > a

    :param alpha: exponent :math:`\alpha < -1`.
    :param low: bound :math:`a > 0`.
    :support: :math:`x > a`

    **Reference:** A. Clauset, C. R. Shalizi, M. E. J. Newman (2009), "Power-law distributions in empirical data".
    """

    __module__ = "numpyro.distributions.truncated"
    arg_constraints = {"alpha": constraints.less_than(-1.0), "low": constraints.positive}
    reparametrized_params = ["alpha", "low"]

    def __init__(self, alpha: ArrayLike, low: ArrayLike, *, validate_args: bool | None = None) -> None:
        self.alpha, self.low = promote_shapes(alpha, low)
        batch_shape = lax.broadcast_shapes(jnp.shape(alpha), jnp.shape(low))
        super().__init__(batch_shape=batch_shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> constraints.Constraint:
        return constraints.greater_than(self.low)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        draws = jnp.exp(random.exponential(key, sample_shape + self.batch_shape) / -(self.alpha + 1)) * self.low
        # the support is open, and a power of a number close to 1 may round to 1
        return jnp.maximum(draws, (1 + float(jnp.finfo(draws.dtype).eps)) * self.low)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        inside = jnp.greater_equal(value, self.low)
        ratio = jnp.where(inside, value, self.low) / self.low
        return where_inside(inside, self.alpha * jnp.log(ratio) + jnp.log(-(self.alpha + 1) / self.low))

    def cdf(self, value: ArrayLike) -> Array:
        return -jnp.expm1((self.alpha + 1) * jnp.log(jnp.maximum(value, self.low) / self.low))

    def icdf(self, q: ArrayLike) -> Array:
        return self.low * jnp.exp(jnp.log1p(-jnp.asarray(q)) / (self.alpha + 1))

    def entropy(self) -> Array:
        beta = self.alpha + 1
        return broadcast_to(jnp.log(-self.low / beta) + self.alpha / beta, self.batch_shape)

    @property
    def mean(self) -> Array:
        """Infinite for ``alpha >= -2``."""
        alpha = jnp.asarray(self.alpha)
        mean = self.low * (alpha + 1) / jnp.where(alpha < -2, alpha + 2, -1)
        return broadcast_to(jnp.where(alpha < -2, mean, jnp.inf), self.batch_shape)

    @property
    def variance(self) -> Array:
        """Infinite for ``alpha >= -3``."""
        alpha = jnp.asarray(self.alpha)
        safe = jnp.where(alpha < -3, alpha, -4)
        variance = jnp.square(self.low / (safe + 2)) * (safe + 1) / (safe + 3)
        return broadcast_to(jnp.where(alpha < -3, variance, jnp.inf), self.batch_shape)


def size(x: Array) -> Array:
    """The absolute value, with derivative 1 at 0."""
    return jnp.where(x < 0, -x, x)


def log_exponential_mean(v: Array) -> Array:
    """``log((1 - exp(-v)) / v)``, the logarithm of the mean of ``exp(-v s)`` over ``s`` in [0, 1], for ``v >= 0``."""
    small = v < 0.5
    w = jnp.where(small, v, 0.0)
    square = w * w
    # log(sinh(v / 2) / (v / 2)) - v / 2
    series = -w / 2 + square * (
        1 / 24 - square * (1 / 2880 - square * (1 / 181440 - square * (1 / 9676800 - square / 479001600)))
    )
    large = jnp.where(small, 1.0, v)
    return jnp.where(small, series, jnp.log(-jnp.expm1(-large)) - jnp.log(large))


def exponential_mean_position(v: Array) -> Array:
    """``1 / v - 1 / (exp(v) - 1)``, the mean of ``s`` in [0, 1] under a density proportional to ``exp(-v s)``."""
    small = v < 0.5
    w = jnp.where(small, v, 0.0)
    square = w * w
    series = 1 / 2 - w * (
        1 / 12 - square * (1 / 720 - square * (1 / 30240 - square * (1 / 1209600 - square / 47900160)))
    )
    large = jnp.where(small, 1.0, v)
    return jnp.where(small, series, 1 / large - jnp.exp(-large) / -jnp.expm1(-large))


def exponential_quantile(q: Array, v: Array) -> Array:
    """The quantile of ``s`` in [0, 1] under a density proportional to ``exp(-v s)``, for ``v >= 0``."""
    small = v < float(jnp.finfo(v.dtype).eps) ** 0.25
    w, large = jnp.where(small, v, 0.0), jnp.where(small, 1.0, v)
    # the logarithm expanded in v
    square = q * (1 / 6 - q * (1 / 2 - q / 3))
    cube = -q * (1 / 24 - q * (7 / 24 - q * (1 / 2 - q / 4)))
    series = q + w * (q * (q - 1) / 2 + w * (square + w * cube))
    return jnp.where(small, series, -jnp.log1p(q * jnp.expm1(-large)) / large)
