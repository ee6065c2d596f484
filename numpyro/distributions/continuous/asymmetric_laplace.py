"""The asymmetric Laplace distribution, by its asymmetry or by the quantile at its centre."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax, random

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._maths import broadcast_to
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.distribution import Distribution


class _TwoSidedExponential(Distribution):
    r"""Exponential on both sides of ``loc``, with a mean distance of its own on either.

    .. math:: p(x) = \frac{1}{l + r} \exp\Bigl(-\frac{(\mu - x)_+}{l} - \frac{(x - \mu)_+}{r}\Bigr)

    The subclass says what :math:`l` and :math:`r` are.
    """

    support = constraints.real
    loc: Any

    @property
    def left_scale(self) -> Array:
        """Mean distance :math:`l` of what lies left of the centre."""
        raise NotImplementedError

    @property
    def right_scale(self) -> Array:
        """Mean distance :math:`r` of what lies right of the centre."""
        raise NotImplementedError

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        # the difference of two exponential variables of means r and l
        right, left = random.exponential(key, (2, *sample_shape, *self.batch_shape))
        return self.loc + (self.right_scale * right - self.left_scale * left)

    @validate_sample
    def log_prob(self, value: ArrayLike, intermediates: Any = None) -> Array:
        left, right = self.left_scale, self.right_scale
        distance = value - self.loc
        return -jnp.abs(distance) / jnp.where(distance < 0, left, right) - jnp.log(left + right)

    def cdf(self, value: ArrayLike) -> Array:
        left, right = self.left_scale, self.right_scale
        below = value < self.loc
        scale = jnp.where(below, left, right)
        tail = scale / (left + right) * jnp.exp(-jnp.abs(value - self.loc) / scale)
        return jnp.where(below, tail, 1 - tail)

    def icdf(self, q: ArrayLike) -> Array:
        left, right = self.left_scale, self.right_scale
        q = jnp.asarray(q, jnp.result_type(float, q))
        total = left + right
        below = q * total < left
        tail = jnp.where(below, q * total / left, (1 - q) * total / right)
        return self.loc + jnp.where(below, left, -right) * jnp.log(tail)

    def entropy(self) -> Array:
        return broadcast_to(1 + jnp.log(self.left_scale + self.right_scale), self.batch_shape)

    @property
    def mean(self) -> Array:
        return broadcast_to(self.loc + (self.right_scale - self.left_scale), self.batch_shape)

    @property
    def mode(self) -> Array:
        return broadcast_to(self.loc, self.batch_shape)

    @property
    def variance(self) -> Array:
        return broadcast_to(jnp.square(self.left_scale) + jnp.square(self.right_scale), self.batch_shape)


class AsymmetricLaplace(_TwoSidedExponential):
    r"""The asymmetric Laplace distribution.

    .. math:: p(x) = \frac{1}{\sigma (\kappa + 1/\kappa)} \times
        \begin{cases} e^{(x - \mu) / (\sigma\kappa)} & x < \mu \\ e^{-(x - \mu) \kappa / \sigma} & x \ge \mu \end{cases}

    :param loc: centre :math:`\mu`, where the density is largest.
    :param scale: :math:`\sigma > 0`.
    :param asymmetry: :math:`\kappa > 0`; above 1 the left tail is the longer one.
    :support: :math:`x \in \mathbb{R}`

    **Reference:** S. Kotz, T. J. Kozubowski, K. Podgórski (2001), "The Laplace Distribution and Generalizations",
    chapter 3.
    """

    __module__ = "numpyro.distributions.continuous"
    arg_constraints = {"loc": constraints.real, "scale": constraints.positive, "asymmetry": constraints.positive}
    reparametrized_params = ["loc", "scale", "asymmetry"]

    def __init__(
        self,
        loc: ArrayLike = 0.0,
        scale: ArrayLike = 1.0,
        asymmetry: ArrayLike = 1.0,
        *,
        validate_args: bool | None = None,
    ) -> None:
        self.loc, self.scale, self.asymmetry = promote_shapes(loc, scale, asymmetry)
        batch_shape = lax.broadcast_shapes(jnp.shape(loc), jnp.shape(scale), jnp.shape(asymmetry))
        super().__init__(batch_shape=batch_shape, validate_args=validate_args)

    @property
    def left_scale(self) -> Array:
        return jnp.multiply(self.scale, self.asymmetry)

    @property
    def right_scale(self) -> Array:
        return jnp.divide(self.scale, self.asymmetry)


class AsymmetricLaplaceQuantile(_TwoSidedExponential):
    r"""The asymmetric Laplace distribution whose centre is a given quantile, for quantile regression.

    .. math:: p(x) = \frac{q (1 - q)}{\sigma} \times
        \begin{cases} e^{(1 - q)(x - \mu) / \sigma} & x < \mu \\ e^{-q (x - \mu) / \sigma} & x \ge \mu \end{cases}

    :param loc: centre :math:`\mu`; a draw is below it with probability :math:`q`.
    :param scale: :math:`\sigma > 0`.
    :param quantile: :math:`q`, in the open unit interval.
    :support: :math:`x \in \mathbb{R}`

    **Reference:** K. Yu and R. A. Moyeed (2001), "Bayesian quantile regression".
    """

    __module__ = "numpyro.distributions.continuous"
    arg_constraints = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "quantile": constraints.open_interval(0.0, 1.0),
    }
    reparametrized_params = ["loc", "scale", "quantile"]

    def __init__(
        self,
        loc: ArrayLike = 0.0,
        scale: ArrayLike = 1.0,
        quantile: ArrayLike = 0.5,
        *,
        validate_args: bool | None = None,
    ) -> None:
        self.loc, self.scale, self.quantile = promote_shapes(loc, scale, quantile)
        batch_shape = lax.broadcast_shapes(jnp.shape(loc), jnp.shape(scale), jnp.shape(quantile))
        super().__init__(batch_shape=batch_shape, validate_args=validate_args)

    @property
    def left_scale(self) -> Array:
        return jnp.divide(self.scale, 1 - jnp.asarray(self.quantile))

    @property
    def right_scale(self) -> Array:
        return jnp.divide(self.scale, self.quantile)
