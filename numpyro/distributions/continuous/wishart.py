"""The Wishart distribution over positive definite matrices, and over their Cholesky factors.

:mod:`~numpyro.distributions.continuous.inverse_wishart` has the distribution of the inverses.
"""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jax.scipy.linalg import cho_solve, solve_triangular
from jax.scipy.special import digamma

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._lazy import lazy_property
from numpyro.distributions._maths import LOG_PI, LOG_TWO, broadcast_to, require_one_of, where_inside
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_key, check_parameter, validate_sample
from numpyro.distributions.distribution import Distribution, TransformedDistribution
from numpyro.distributions.transforms import CholeskyTransform
from numpyro.ops.linalg import add_diag, cholesky_of_inverse, diagonal, tri_logabsdet
from numpyro.ops.log_gamma import gammaln, gammaln_ratio
from numpyro.ops.rejection import loggamma

WISHART_CONSTRAINTS: dict[str, Any] = {
    "concentration": constraints.dependent(is_discrete=False, event_dim=0),
    "scale_matrix": constraints.positive_definite,
    "rate_matrix": constraints.positive_definite,
    "scale_tril": constraints.lower_cholesky,
}


class CholeskyWishart(Distribution):
    """What the Cholesky forms share: the parameters, and the scale matrix in its three guises."""

    arg_constraints = WISHART_CONSTRAINTS
    support = constraints.lower_cholesky
    reparametrized_params = ["concentration", "scale_matrix", "rate_matrix", "scale_tril"]

    def __init__(
        self,
        concentration: ArrayLike,
        scale_matrix: ArrayLike | None = None,
        rate_matrix: ArrayLike | None = None,
        scale_tril: ArrayLike | None = None,
        *,
        validate_args: bool | None = None,
    ) -> None:
        name, matrix = require_one_of(scale_matrix=scale_matrix, rate_matrix=rate_matrix, scale_tril=scale_tril)
        batch_shape, event_shape = infer_wishart_shapes(type(self), jnp.shape(concentration), name, jnp.shape(matrix))
        self.concentration: Any = promote_shapes(concentration, shape=batch_shape)[0]
        (matrix,) = promote_shapes(matrix, shape=batch_shape + event_shape)
        setattr(self, name, matrix)
        if name != "scale_tril":
            factorise = jnp.linalg.cholesky if name == "scale_matrix" else cholesky_of_inverse
            self.scale_tril = factorise(jnp.asarray(matrix, jnp.result_type(float, matrix)))
        super().__init__(batch_shape, event_shape, validate_args=validate_args)

    def validate_args(self, strict: bool = True) -> None:
        super().validate_args(strict)
        check_parameter(self, "concentration", constraints.greater_than(self.event_shape[-1] - 1), self.concentration)

    @lazy_property
    def scale_matrix(self) -> Array:
        factor = jnp.asarray(self.scale_tril)
        return jnp.matmul(factor, jnp.swapaxes(factor, -2, -1), precision=lax.Precision.HIGHEST)

    @lazy_property
    def rate_matrix(self) -> Array:
        """The inverse of the scale matrix."""
        factor = jnp.asarray(self.scale_tril)
        return cho_solve((factor, True), broadcast_to(np.eye(factor.shape[-1], dtype=factor.dtype), factor.shape))

    @classmethod
    def infer_shapes(  # type: ignore[override]
        cls,
        concentration: Shape = (),
        scale_matrix: Shape | None = None,
        rate_matrix: Shape | None = None,
        scale_tril: Shape | None = None,
    ) -> tuple[Shape, Shape]:
        name, shape = require_one_of(scale_matrix=scale_matrix, rate_matrix=rate_matrix, scale_tril=scale_tril)
        return infer_wishart_shapes(cls, concentration, name, shape)

    def _freedom(self) -> Array:
        """Degrees of freedom of the squares on the diagonal: ``concentration - i`` for row ``i``."""
        p = self.event_shape[-1]
        concentration = jnp.asarray(self.concentration, jnp.result_type(float, self.concentration))
        return concentration[..., None] - np.arange(p, dtype=concentration.dtype)


def infer_wishart_shapes(cls: type, concentration: Shape, name: str, shape: Shape) -> tuple[Shape, Shape]:
    """Batch and event shape from the shapes of the concentration and of the matrix that is called ``name``."""
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ValueError(f"{cls.__name__}: `{name}` must be of shape (..., p, p); got {shape}.")
    return lax.broadcast_shapes(tuple(concentration), tuple(shape[:-2])), tuple(shape[-2:])


def log_multigamma(a: ArrayLike, p: int) -> Array:
    r"""The logarithm of the multivariate gamma function, :math:`\pi^{p(p-1)/4} \prod_{i<p} \Gamma(a - i/2)`."""
    return p * (p - 1) / 4 * LOG_PI + jnp.sum(gammaln(jnp.expand_dims(a, -1) - np.arange(p) / 2), -1)


def log_chi_mean(k: Array) -> Array:
    """The logarithm of the mean of the root of a chi squared variable of ``k`` degrees of freedom."""
    return 0.5 * LOG_TWO + gammaln_ratio(0.5 * k, 0.5)


def chi_variance(k: Array) -> Array:
    """The variance of the root of a chi squared variable, ``k`` less the square of its mean."""
    large = k > 50
    y = 1 / jnp.where(large, k, 50)
    # asymptotic series of that difference of large numbers
    series = 0.5 - y / 8 * (1 + y / 2 * (1 - y * (5 / 8 + y * (23 / 16 - y * (53 / 64)))))
    near = jnp.where(large, 1, k)
    return jnp.where(large, series, near - jnp.exp(2 * log_chi_mean(near)))


def random_lower(key: Key, freedom: Array, shape: Shape) -> Array:
    """Lower triangular matrices of standard normal numbers below a diagonal of roots of chi squared ones.

    :param key: random key.
    :param freedom: degrees of freedom of the diagonal, of shape ``(..., p)``.
    :param shape: of the result, without the last two dimensions.
    """
    p = freedom.shape[-1]
    key_normal, key_gamma = random.split(key)
    below = jnp.tril(random.normal(key_normal, (*shape, p, p), freedom.dtype), -1)
    # half the logarithm of twice a gamma variable: for few degrees of freedom the variable underflows
    log_square = loggamma(key_gamma, 0.5 * freedom, (*shape, p), freedom.dtype) + LOG_TWO
    tiny = float(jnp.finfo(freedom.dtype).tiny)
    return add_diag(below, jnp.maximum(jnp.exp(0.5 * log_square), tiny))


def solve_lower(factor: ArrayLike, right: ArrayLike, *, transpose: bool = False) -> Array:
    """``factor^-1 right``, or that of the transposed factor, for lower triangular factors whose batches broadcast."""
    factor, right = jnp.asarray(factor), jnp.asarray(right)
    batch = lax.broadcast_shapes(factor.shape[:-2], right.shape[:-2])
    factor = broadcast_to(factor, batch + factor.shape[-2:])
    right = broadcast_to(right, batch + right.shape[-2:])
    return solve_triangular(factor, right, trans=int(transpose), lower=True)


class WishartCholesky(CholeskyWishart):
    r"""The distribution of the lower Cholesky factor of a matrix which has a :class:`Wishart` distribution.

    With :math:`V = T T^\top` and :math:`i` from 0,

    .. math:: p(L) = \frac{2^{p - \nu p/2}}{\Gamma_p(\nu/2)} \prod_{i=0}^{p-1} L_{ii}^{\nu - i - 1} T_{ii}^{-\nu}\,
        \exp\bigl(-\tfrac12 \|T^{-1} L\|^2\bigr)

    :param concentration: degrees of freedom :math:`\nu > p - 1`.
    :param scale_matrix: :math:`V`, of shape ``(..., p, p)``, positive definite.
    :param rate_matrix: :math:`V^{-1}`, of the same shape.
    :param scale_tril: the lower Cholesky factor :math:`T`. Exactly one of the three is to be given.
    :support: lower triangular :math:`L \in \mathbb{R}^{p \times p}` with a positive diagonal
    :raises ValueError: when none or several of the three are given, or they are not square.

    **Reference:** M. S. Bartlett (1933), "On the theory of statistical regression".
    """

    __module__ = "numpyro.distributions.continuous"

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        noise = random_lower(key, self._freedom(), sample_shape + self.batch_shape)
        return jnp.matmul(self.scale_tril, noise, precision=lax.Precision.HIGHEST)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        p, freedom = self.event_shape[-1], self._freedom()
        log_diagonal = jnp.log(diagonal(jnp.asarray(value)))
        squares = jnp.sum(jnp.square(solve_lower(self.scale_tril, value)), (-2, -1))
        normalizer = self.concentration * tri_logabsdet(self.scale_tril) + log_multigamma(0.5 * freedom[..., 0], p)
        normalizer = normalizer + p * (0.5 * jnp.asarray(self.concentration) - 1) * LOG_TWO
        return jnp.sum((freedom - 1) * log_diagonal, -1) - 0.5 * squares - normalizer

    def entropy(self) -> Array:
        p, freedom = self.event_shape[-1], self._freedom()
        # E[log L_ii] and E|T^-1 L|^2 = p concentration
        log_diagonal = jnp.log(diagonal(jnp.asarray(self.scale_tril))) + 0.5 * (digamma(0.5 * freedom) + LOG_TWO)
        concentration = freedom[..., 0]
        normalizer = concentration * tri_logabsdet(self.scale_tril) + log_multigamma(0.5 * concentration, p)
        normalizer = normalizer + p * (0.5 * concentration - 1) * LOG_TWO
        return normalizer + 0.5 * p * concentration - jnp.sum((freedom - 1) * log_diagonal, -1)

    @property
    def mean(self) -> Array:
        mean = self.scale_tril * jnp.exp(log_chi_mean(self._freedom()))[..., None, :]
        return broadcast_to(mean, self.shape())

    @property
    def variance(self) -> Array:
        p, freedom = self.event_shape[-1], self._freedom()
        noise = add_diag(broadcast_to(np.tri(p, k=-1, dtype=freedom.dtype), (p, p)), chi_variance(freedom))
        return broadcast_to(jnp.matmul(jnp.square(self.scale_tril), noise), self.shape())


class Wishart(TransformedDistribution):
    r"""The Wishart distribution: of :math:`\sum_{k \le \nu} x_k x_k^\top` for centred normal vectors.

    .. math:: p(A) = \frac{\det(A)^{(\nu - p - 1)/2}}{2^{\nu p/2} \det(V)^{\nu/2}\, \Gamma_p(\nu/2)}
        \exp\bigl(-\tfrac12 \operatorname{tr}(V^{-1} A)\bigr)

    :param concentration: degrees of freedom :math:`\nu > p - 1`, not necessarily an integer.
    :param scale_matrix: :math:`V`, of shape ``(..., p, p)``, positive definite; the mean is :math:`\nu V`.
    :param rate_matrix: :math:`V^{-1}`, of the same shape.
    :param scale_tril: the lower Cholesky factor of :math:`V`. Exactly one of the three is to be given.
    :support: symmetric positive definite :math:`A \in \mathbb{R}^{p \times p}`
    :raises ValueError: when none or several of the three are given, or they are not square.

    **Reference:** J. Wishart (1928), "The generalised product moment distribution in samples from a normal multivariate
    population".
    """

    __module__ = "numpyro.distributions.continuous"
    arg_constraints = WISHART_CONSTRAINTS
    support = constraints.positive_definite
    reparametrized_params = ["concentration", "scale_matrix", "rate_matrix", "scale_tril"]
    base_dist: WishartCholesky

    def __init__(
        self,
        concentration: ArrayLike,
        scale_matrix: ArrayLike | None = None,
        rate_matrix: ArrayLike | None = None,
        scale_tril: ArrayLike | None = None,
        *,
        validate_args: bool | None = None,
    ) -> None:
        base = WishartCholesky(concentration, scale_matrix, rate_matrix, scale_tril, validate_args=False)
        super().__init__(base, CholeskyTransform().inv, validate_args=validate_args)

    def validate_args(self, strict: bool = True) -> None:
        validate_as(self, self.base_dist, strict)

    @property
    def concentration(self) -> Any:
        return self.base_dist.concentration

    @property
    def scale_matrix(self) -> Any:
        return self.base_dist.scale_matrix

    @property
    def rate_matrix(self) -> Any:
        return self.base_dist.rate_matrix

    @property
    def scale_tril(self) -> Any:
        return self.base_dist.scale_tril

    @classmethod
    def infer_shapes(  # type: ignore[override]
        cls,
        concentration: Shape = (),
        scale_matrix: Shape | None = None,
        rate_matrix: Shape | None = None,
        scale_tril: Shape | None = None,
    ) -> tuple[Shape, Shape]:
        return WishartCholesky.infer_shapes(concentration, scale_matrix, rate_matrix, scale_tril)

    @validate_sample
    def log_prob(self, value: ArrayLike, intermediates: list[Any] | None = None) -> Array:
        return log_prob_by_factor(self, value, intermediates)

    def entropy(self) -> Array:
        p, nu = self.event_shape[-1], self.base_dist._freedom()[..., 0]
        mean_digamma = jnp.sum(digamma(0.5 * self.base_dist._freedom()), -1)
        entropy = (p + 1) * tri_logabsdet(self.scale_tril) + 0.5 * p * (p + 1) * LOG_TWO + log_multigamma(0.5 * nu, p)
        return entropy - 0.5 * (nu - p - 1) * mean_digamma + 0.5 * nu * p

    @property
    def mean(self) -> Array:
        return broadcast_to(jnp.expand_dims(self.concentration, (-2, -1)) * self.scale_matrix, self.shape())

    @property
    def mode(self) -> Array:
        """Where the density is largest, for a concentration of at least ``p + 1``; below, a matrix of zeros."""
        excess = jnp.maximum(self.base_dist._freedom()[..., 0] - self.event_shape[-1] - 1, 0)
        return broadcast_to(excess[..., None, None] * self.scale_matrix, self.shape())

    @property
    def variance(self) -> Array:
        matrix = jnp.asarray(self.scale_matrix)
        scales = diagonal(matrix)
        variance = jnp.square(matrix) + scales[..., :, None] * scales[..., None, :]
        return broadcast_to(jnp.expand_dims(self.concentration, (-2, -1)) * variance, self.shape())


def validate_as(owner: Distribution, base: CholeskyWishart, strict: bool) -> None:
    """Hold the parameters of ``base`` against their constraints, and speak of them as those of ``owner``."""
    for name, value in base.get_args().items():
        constraint = owner.arg_constraints[name]
        if name == "concentration":
            constraint = constraints.greater_than(owner.event_shape[-1] - 1)
        check_parameter(owner, name, constraint, value)


def log_prob_by_factor(d: TransformedDistribution, value: ArrayLike, intermediates: Any) -> Array:
    """The log density of a matrix by that of its Cholesky factor; minus infinity where it has none."""
    value = jnp.asarray(value)
    factor = intermediates[0][0] if intermediates else jnp.linalg.cholesky(value)
    p = factor.shape[-1]
    definite = jnp.all(diagonal(factor) > 0, -1)
    factor = jnp.where(definite[..., None, None], factor, np.eye(p, dtype=factor.dtype))
    # d A / d L: 2^p times L_ii to the power p - i, i from 0
    log_jacobian = p * math.log(2) + jnp.sum(np.arange(p, 0, -1) * jnp.log(diagonal(factor)), -1)
    return where_inside(definite, d.base_dist.log_prob(factor) - log_jacobian)
