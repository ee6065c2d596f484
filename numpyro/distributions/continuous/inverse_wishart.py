"""The inverse Wishart distribution over positive definite matrices, and over their Cholesky factors."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
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


class InverseWishartCholesky(CholeskyWishart):
    r"""The distribution of the lower Cholesky factor of a matrix which has an :class:`InverseWishart` distribution.

    With :math:`\Psi = T T^\top` and :math:`i` from 0,

    .. math:: p(L) = \frac{2^{p - \nu p/2}}{\Gamma_p(\nu/2)} \prod_{i=0}^{p-1} T_{ii}^{\nu} L_{ii}^{-\nu - i - 1}\,
        \exp\bigl(-\tfrac12 \|L^{-1} T\|^2\bigr)

    :param concentration: degrees of freedom :math:`\nu > p - 1`.
    :param scale_matrix: :math:`\Psi`, of shape ``(..., p, p)``, positive definite.
    :param rate_matrix: :math:`\Psi^{-1}`, of the same shape.
    :param scale_tril: the lower Cholesky factor :math:`T`. Exactly one of the three is to be given.
    :support: lower triangular :math:`L \in \mathbb{R}^{p \times p}` with a positive diagonal
    :raises ValueError: when none or several of the three are given, or they are not square.

    **Reference:** T. W. Anderson (2003), "An Introduction to Multivariate Statistical Analysis", section 7.7.
    """

    __module__ = "numpyro.distributions.continuous"

    def _own_freedom(self) -> Array:
        """Degrees of freedom of the diagonal of ``C = L^-1 T``, where ``C^T C`` is standard Wishart.

        Bartlett's decomposition of that product in reverse order: row ``i`` has ``concentration - (p - 1 - i)``.
        """
        return self._freedom()[..., ::-1]

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        noise = random_lower(key, self._own_freedom(), sample_shape + self.batch_shape)
        # L C = T, transposed
        transposed = solve_lower(noise, jnp.swapaxes(jnp.asarray(self.scale_tril), -2, -1), transpose=True)
        return jnp.tril(jnp.swapaxes(transposed, -2, -1))

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        p, nu = self.event_shape[-1], self._freedom()[..., 0]
        log_diagonal = jnp.log(diagonal(jnp.asarray(value)))
        squares = jnp.sum(jnp.square(solve_lower(value, self.scale_tril)), (-2, -1))
        normalizer = log_multigamma(0.5 * nu, p) + p * (0.5 * nu - 1) * LOG_TWO - nu * tri_logabsdet(self.scale_tril)
        powers = nu[..., None] + np.arange(1, p + 1)
        return -jnp.sum(powers * log_diagonal, -1) - 0.5 * squares - normalizer

    def entropy(self) -> Array:
        p, nu = self.event_shape[-1], self._freedom()[..., 0]
        # E[log L_ii] and E|L^-1 T|^2 = p concentration
        log_noise = 0.5 * (digamma(0.5 * self._own_freedom()) + LOG_TWO)
        log_diagonal = jnp.log(diagonal(jnp.asarray(self.scale_tril))) - log_noise
        normalizer = log_multigamma(0.5 * nu, p) + p * (0.5 * nu - 1) * LOG_TWO - nu * tri_logabsdet(self.scale_tril)
        powers = nu[..., None] + np.arange(1, p + 1)
        return jnp.sum(powers * log_diagonal, -1) + 0.5 * p * nu + normalizer

    def _mean_of_noise(self) -> Array:
        """The mean of the diagonal of ``C^-1``, infinite below 1 degree of freedom; the others have mean 0."""
        freedom = self._own_freedom()
        safe = jnp.where(freedom > 1, freedom, 2)
        # that of the inverse root of a chi squared variable
        return jnp.where(freedom > 1, jnp.exp(-log_chi_mean(safe - 1)), jnp.inf)

    @property
    def mean(self) -> Array:
        """Infinite in the columns without a mean."""
        factor = jnp.asarray(self.scale_tril)
        mean = jnp.where(factor == 0, 0, factor * self._mean_of_noise()[..., None, :])
        return broadcast_to(mean, self.shape())

    @property
    def variance(self) -> Array:
        """Infinite in the columns without a variance."""
        p, freedom = self.event_shape[-1], self._own_freedom()
        k = jnp.where(freedom > 2, freedom, 3)
        # of C^-1 = D: E[D_ii^2] = 1 / (k - 2), and E[D_ji^2] = 1 / ((k - 1) (k - 2)) below it, uncorrelated
        on_diagonal = _inverse_chi_variance(k)
        below = jnp.tri(p, k=-1, dtype=k.dtype) * (1 / ((k - 1) * (k - 2)))[..., None, :]
        variance = jnp.matmul(jnp.square(self.scale_tril), add_diag(below, on_diagonal))
        lower = jnp.tri(p, dtype=bool)
        variance = jnp.where(lower & (freedom <= 2)[..., None, :], jnp.inf, variance)
        variance = jnp.where(lower & (freedom <= 1)[..., None, :], jnp.nan, variance)
        return broadcast_to(variance, self.shape())


def _inverse_chi_variance(k: Array) -> Array:
    """The variance of the inverse root of a chi squared variable of ``k > 2`` degrees of freedom."""
    # The mean is the inverse of that of a root of k - 1 degrees of freedom, the square of which is k - 1 less its
    # variance, so that this is 1 / (k - 2) - 1 / (k - 1 - variance)
    variance = chi_variance(k - 1)
    return (1 - variance) / ((k - 2) * (k - 1 - variance))


class InverseWishart(MatrixWishart):
    r"""The inverse Wishart distribution: of the inverse of a matrix of distribution :math:`W(\nu, \Psi^{-1})`.

    .. math:: p(A) = \frac{\det(\Psi)^{\nu/2}}{2^{\nu p/2}\, \Gamma_p(\nu/2)} \det(A)^{-(\nu + p + 1)/2}
        \exp\bigl(-\tfrac12 \operatorname{tr}(\Psi A^{-1})\bigr)

    :param concentration: degrees of freedom :math:`\nu > p - 1`, not necessarily an integer.
    :param scale_matrix: :math:`\Psi`, of shape ``(..., p, p)``, positive definite.
    :param rate_matrix: :math:`\Psi^{-1}`, of the same shape.
    :param scale_tril: the lower Cholesky factor of :math:`\Psi`. Exactly one of the three is to be given.
    :support: symmetric positive definite :math:`A \in \mathbb{R}^{p \times p}`
    :raises ValueError: when none or several of the three are given, or they are not square.

    **Reference:** T. W. Anderson (2003), "An Introduction to Multivariate Statistical Analysis", section 7.7.
    """

    __module__ = "numpyro.distributions.continuous"
    cholesky_form = InverseWishartCholesky

    def entropy(self) -> Array:
        p, nu = self.event_shape[-1], self.base_dist._freedom()[..., 0]
        mean_digamma = jnp.sum(digamma(0.5 * self.base_dist._freedom()), -1)
        entropy = (p + 1) * tri_logabsdet(self.scale_tril) - 0.5 * p * (p + 1) * LOG_TWO + log_multigamma(0.5 * nu, p)
        return entropy - 0.5 * (nu + p + 1) * mean_digamma + 0.5 * nu * p

    @property
    def mean(self) -> Array:
        """Infinite for a concentration of at most ``p + 1``."""
        excess = self.base_dist._freedom()[..., -1, None, None] - 2
        mean = self.scale_matrix / jnp.where(excess > 0, excess, 1)
        return broadcast_to(jnp.where(excess > 0, mean, jnp.inf), self.shape())

    @property
    def mode(self) -> Array:
        total = self.base_dist._freedom()[..., 0, None, None] + (self.event_shape[-1] + 1)
        return broadcast_to(self.scale_matrix / total, self.shape())

    @property
    def variance(self) -> Array:
        """Infinite for a concentration of at most ``p + 3``, not a number without a mean."""
        matrix = jnp.asarray(self.scale_matrix)
        k = self.base_dist._freedom()[..., -1, None, None]  # concentration - p + 1
        safe = jnp.where(k > 4, k, 5)
        scales = diagonal(matrix)
        numerator = safe * jnp.square(matrix) + (safe - 2) * scales[..., :, None] * scales[..., None, :]
        variance = numerator / ((safe - 1) * jnp.square(safe - 2) * (safe - 4))
        variance = jnp.where(k > 4, variance, jnp.where(k > 2, jnp.inf, jnp.nan))
        return broadcast_to(variance, self.shape())
