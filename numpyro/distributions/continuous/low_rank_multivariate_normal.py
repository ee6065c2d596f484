"""The multivariate normal distribution whose covariance is of low rank but for its diagonal."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import lax, random

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._lazy import lazy_property
from numpyro.distributions._maths import HALF_LOG_TWO_PI, broadcast_to
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.continuous.multivariate_normal import (
    MultivariateNormal,
    _kl_multivariate_normal_multivariate_normal,
    whiten,
)
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.kl import kl_divergence
from numpyro.ops.linalg import add_diag, tri_logabsdet


class LowRankMultivariateNormal(Distribution):
    r"""The multivariate normal distribution of covariance :math:`\Sigma = W W^\top + D`, with :math:`D` diagonal.

    .. math:: p(x) = (2\pi)^{-d/2} \det(\Sigma)^{-1/2} \exp\bigl(-\tfrac12 (x - \mu)^\top \Sigma^{-1} (x - \mu)\bigr)

    It is that of :math:`\mu + W z + D^{1/2} e` for standard normal :math:`z` and :math:`e`. A density costs
    :math:`O(d m^2)` instead of :math:`O(d^3)`, by the capacitance matrix :math:`C = 1 + W^\top D^{-1} W`:

    .. math:: \det \Sigma = \det C \det D, \qquad
        y^\top \Sigma^{-1} y = \min_b |D^{-1/2} (y - W b)|^2 + |b|^2, \quad b = C^{-1} W^\top D^{-1} y

    :param loc: mean :math:`\mu`, of shape ``(..., d)``.
    :param cov_factor: :math:`W`, of shape ``(..., d, m)``.
    :param cov_diag: the diagonal of :math:`D`, positive, of shape ``(..., d)``.
    :support: :math:`x \in \mathbb{R}^d`
    :raises ValueError: when the shapes do not agree.

    **Reference:** D. Bartholomew, M. Knott, I. Moustaki (2011), "Latent Variable Models and Factor Analysis", chapter
    3.
    """

    __module__ = "numpyro.distributions.continuous"
    arg_constraints = {
        "loc": constraints.real_vector,
        "cov_factor": constraints.real_matrix,
        "cov_diag": constraints.independent(constraints.positive, 1),
    }
    support = constraints.real_vector
    reparametrized_params = ["loc", "cov_factor", "cov_diag"]

    def __init__(
        self, loc: ArrayLike, cov_factor: ArrayLike, cov_diag: ArrayLike, *, validate_args: bool | None = None
    ) -> None:
        shapes = jnp.shape(loc), jnp.shape(cov_factor), jnp.shape(cov_diag)
        batch_shape, event_shape = self.infer_shapes(*shapes)
        (self.loc,) = promote_shapes(loc, shape=batch_shape + (1,))
        (self.cov_factor,) = promote_shapes(cov_factor, shape=batch_shape + (1, 1))
        (self.cov_diag,) = promote_shapes(cov_diag, shape=batch_shape + (1,))
        super().__init__(batch_shape, event_shape, validate_args=validate_args)

    @classmethod
    def infer_shapes(cls, loc: Shape, cov_factor: Shape, cov_diag: Shape) -> tuple[Shape, Shape]:  # type: ignore[override]
        if len(loc) < 1:
            raise ValueError("LowRankMultivariateNormal: `loc` must be at least one-dimensional; got a scalar.")
        if len(cov_factor) < 2 or cov_factor[-2] != loc[-1]:
            raise ValueError(
                f"LowRankMultivariateNormal: `cov_factor` must be a batch of matrices with shape {loc[-1]} x m, for"
                f" `loc` of shape {loc}; got {cov_factor}."
            )
        if len(cov_diag) < 1 or cov_diag[-1] != loc[-1]:
            raise ValueError(
                f"LowRankMultivariateNormal: `cov_diag` must be a batch of vectors with shape {loc[-1]}, for `loc` of"
                f" shape {loc}; got {cov_diag}."
            )
        return lax.broadcast_shapes(loc[:-1], cov_factor[:-2], cov_diag[:-1]), tuple(loc[-1:])

    @lazy_property
    def _scaled_factor(self) -> Array:
        """``D^(-1/2) W``."""
        return self.cov_factor / jnp.sqrt(self.cov_diag)[..., None]

    @lazy_property
    def _capacitance_tril(self) -> Array:
        """The lower Cholesky factor of the capacitance matrix."""
        factor = self._scaled_factor
        gram = jnp.matmul(jnp.swapaxes(factor, -2, -1), factor, precision=lax.Precision.HIGHEST)
        return jnp.linalg.cholesky(add_diag(gram, 1.0))

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        key_factor, key_diag = random.split(key)
        shape = sample_shape + self.batch_shape
        low_rank = random.normal(key_factor, shape + np.shape(self.cov_factor)[-1:])
        diagonal = random.normal(key_diag, shape + self.event_shape)
        return (
            self.loc
            + jnp.einsum("...dm,...m->...d", self.cov_factor, low_rank, precision=lax.Precision.HIGHEST)
            + jnp.sqrt(self.cov_diag) * diagonal
        )

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        squares = self._mahalanobis(value - jnp.asarray(self.loc))
        return -0.5 * squares - (self._half_log_det() + self.event_shape[0] * HALF_LOG_TWO_PI)

    def _mahalanobis(self, y: ArrayLike) -> Array:
        """``y^T covariance^-1 y`` as the smallest sum of squares that explains ``y``, all of its terms positive."""
        factor = self._scaled_factor
        y = y / jnp.sqrt(self.cov_diag)
        white = whiten(
            self._capacitance_tril, jnp.einsum("...dm,...d->...m", factor, y, precision=lax.Precision.HIGHEST)
        )
        explained = back_substitute(self._capacitance_tril, white)
        rest = y - jnp.einsum("...dm,...m->...d", factor, explained, precision=lax.Precision.HIGHEST)
        return jnp.sum(jnp.square(rest), -1) + jnp.sum(jnp.square(explained), -1)

    def _half_log_det(self) -> Array:
        return tri_logabsdet(self._capacitance_tril) + 0.5 * jnp.sum(jnp.log(self.cov_diag), -1)

    @lazy_property
    def covariance_matrix(self) -> Array:
        factor = jnp.asarray(self.cov_factor)
        product = jnp.matmul(factor, jnp.swapaxes(factor, -2, -1), precision=lax.Precision.HIGHEST)
        return add_diag(product, self.cov_diag)

    @lazy_property
    def precision_matrix(self) -> Array:
        """``D^-1 - D^-1 W C^-1 W^T D^-1``."""
        root = jnp.sqrt(self.cov_diag)
        rows = jnp.moveaxis(whiten(self._capacitance_tril, jnp.moveaxis(self._scaled_factor, -2, 0)), 0, -2)
        rows = rows / root[..., None]
        product = jnp.matmul(rows, jnp.swapaxes(rows, -2, -1), precision=lax.Precision.HIGHEST)
        return add_diag(-product, 1 / jnp.asarray(self.cov_diag))

    @lazy_property
    def scale_tril(self) -> Array:
        """The lower Cholesky factor of the covariance."""
        factor = self._scaled_factor
        product = jnp.matmul(factor, jnp.swapaxes(factor, -2, -1), precision=lax.Precision.HIGHEST)
        return jnp.sqrt(self.cov_diag)[..., None] * jnp.linalg.cholesky(add_diag(product, 1.0))

    def entropy(self) -> Array:
        d = self.event_shape[0]
        return broadcast_to(d * (0.5 + HALF_LOG_TWO_PI) + self._half_log_det(), self.batch_shape)

    @property
    def mean(self) -> Array:
        return broadcast_to(self.loc, self.shape())

    @property
    def mode(self) -> Array:
        return self.mean

    @property
    def variance(self) -> Array:
        return broadcast_to(jnp.sum(jnp.square(self.cov_factor), -1) + self.cov_diag, self.shape())


def back_substitute(factor: Array, y: Array) -> Array:
    """``factor^-T y`` for lower triangular factors of few rows, without copies of them over the batch of ``y``."""
    # J factor^T J is lower triangular, J reversing the order
    reversed_factor = jnp.swapaxes(factor[..., ::-1, ::-1], -2, -1)
    return whiten(reversed_factor, y[..., ::-1])[..., ::-1]


@kl_divergence.register(LowRankMultivariateNormal, LowRankMultivariateNormal)
@kl_divergence.register(MultivariateNormal, LowRankMultivariateNormal)
def _kl_to_low_rank(p: LowRankMultivariateNormal | MultivariateNormal, q: LowRankMultivariateNormal) -> Array:
    r""":math:`\frac12 \Bigl(\operatorname{tr}(\Sigma'^{-1} \Sigma) + (\mu - \mu')^\top \Sigma'^{-1} (\mu - \mu') - d +
    \log\frac{\det \Sigma'}{\det \Sigma}\Bigr)`.
    """
    # tr(Q^-1 P) as the sum of the squared lengths of the columns of a factor of P
    trace = jnp.sum(q._mahalanobis(jnp.moveaxis(jnp.asarray(p.scale_tril), -1, 0)), 0)
    distance = q._mahalanobis(p.loc - jnp.asarray(q.loc))
    log_dets = q._half_log_det() - tri_logabsdet(p.scale_tril)
    return 0.5 * (trace + distance - p.event_shape[0]) + log_dets


kl_divergence.register(LowRankMultivariateNormal, MultivariateNormal)(_kl_multivariate_normal_multivariate_normal)
