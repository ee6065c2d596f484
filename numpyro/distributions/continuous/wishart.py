"""The Wishart distribution over positive definite matrices, and over their Cholesky factors.

:mod:`~numpyro.distributions.continuous.inverse_wishart` has the distribution of the inverses.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import digamma

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions._maths import LOG_TWO, broadcast_to
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.continuous.wishart_base import (
    CholeskyWishart,
    MatrixWishart,
    chi_variance,
    log_chi_mean,
    log_multigamma,
    random_lower,
    solve_lower,
)
from numpyro.ops.linalg import add_diag, diagonal, tri_logabsdet


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


class Wishart(MatrixWishart):
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
    cholesky_form = WishartCholesky

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
