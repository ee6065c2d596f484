"""The multivariate normal distribution."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import lax, random

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._lazy import lazy_property
from numpyro.distributions._maths import HALF_LOG_TWO_PI, broadcast_to, require_one_of
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.kl import kl_divergence
from numpyro.ops.gaussian import (
    half_log_det,
    inverse_by_factor,
    log_prob_by_covariance,
    log_prob_by_factor,
    log_prob_by_precision,
    times,
    whiten,
    without_leading_ones,
)
from numpyro.ops.linalg import cholesky_of_inverse


class MultivariateNormal(Distribution):
    r"""The multivariate normal distribution in :math:`d` dimensions.

    .. math:: p(x) = (2\pi)^{-d/2} \det(\Sigma)^{-1/2} \exp\bigl(-\tfrac12 (x - \mu)^T \Sigma^{-1} (x - \mu)\bigr)

    :param loc: mean :math:`\mu`, of shape ``(..., d)``, or a scalar for all dimensions.
    :param covariance_matrix: :math:`\Sigma`, of shape ``(..., d, d)``, positive definite.
    :param precision_matrix: :math:`\Sigma^{-1}`, of the same shape.
    :param scale_tril: lower triangular factor :math:`L` with a positive diagonal and :math:`L L^T = \Sigma`; the one
        that costs no factorisation. Exactly one of the three is to be given.
    :support: :math:`x \in \mathbb{R}^d`
    :raises ValueError: when none or several of the three are given, or the shapes do not agree.

    **Reference:** S. Kotz, N. Balakrishnan, N. L. Johnson (2000), "Continuous Multivariate Distributions", volume 1,
    chapter 45.
    """

    __module__ = "numpyro.distributions.continuous"
    arg_constraints = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    support = constraints.real_vector
    # which of the three was given; after a passage through a JAX transformation it is the factor
    _given = "scale_tril"
    reparametrized_params = ["loc", "covariance_matrix", "precision_matrix", "scale_tril"]

    def __init__(
        self,
        loc: ArrayLike = 0.0,
        covariance_matrix: ArrayLike | None = None,
        precision_matrix: ArrayLike | None = None,
        scale_tril: ArrayLike | None = None,
        *,
        validate_args: bool | None = None,
    ) -> None:
        given = {
            "covariance_matrix": covariance_matrix,
            "precision_matrix": precision_matrix,
            "scale_tril": scale_tril,
        }
        name, matrix = require_one_of(**given)
        batch_shape, event_shape = self.infer_shapes(jnp.shape(loc), **{name: jnp.shape(matrix)})
        loc = np.reshape(loc, (1,)) if isinstance(loc, (int, float)) else jnp.reshape(loc, jnp.shape(loc) or (1,))
        loc = loc if loc.shape[-1:] == event_shape else broadcast_to(loc, loc.shape[:-1] + event_shape)
        # one rank for both, so that either may be broadcast against the other
        column, matrix = promote_shapes(loc[..., None], matrix)
        self.loc = column[..., 0]
        self._given = name
        setattr(self, name, matrix)
        if name == "covariance_matrix":
            self.scale_tril = jnp.linalg.cholesky(jnp.asarray(matrix, jnp.result_type(float, matrix)))
        elif name == "precision_matrix":
            self.scale_tril = cholesky_of_inverse(jnp.asarray(matrix, jnp.result_type(float, matrix)))
        super().__init__(batch_shape=batch_shape, event_shape=event_shape, validate_args=validate_args)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        noise = random.normal(key, sample_shape + self.batch_shape + self.event_shape)
        return self.loc + times(without_leading_ones(self.scale_tril), noise)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        y = value - self.loc
        if self._given == "scale_tril":
            return log_prob_by_factor(y, self.scale_tril)
        # derivatives straight to the matrix that was given, not through its factor
        matrix = without_leading_ones(jnp.asarray(getattr(self, self._given), self.scale_tril.dtype))
        rule = log_prob_by_covariance if self._given == "covariance_matrix" else log_prob_by_precision
        return rule(y.astype(matrix.dtype), matrix)

    @lazy_property
    def covariance_matrix(self) -> Array:
        return jnp.matmul(self.scale_tril, jnp.swapaxes(self.scale_tril, -1, -2))

    @lazy_property
    def precision_matrix(self) -> Array:
        return inverse_by_factor(self.scale_tril)

    def entropy(self) -> Array:
        d = self.event_shape[0]
        return broadcast_to(d * (0.5 + HALF_LOG_TWO_PI) + half_log_det(self.scale_tril), self.batch_shape)

    @property
    def mean(self) -> Array:
        return broadcast_to(self.loc, self.shape())

    @property
    def mode(self) -> Array:
        return self.mean

    @property
    def variance(self) -> Array:
        return broadcast_to(jnp.sum(jnp.square(self.scale_tril), -1), self.shape())

    @classmethod
    def infer_shapes(  # type: ignore[override]
        cls,
        loc: Shape = (),
        covariance_matrix: Shape | None = None,
        precision_matrix: Shape | None = None,
        scale_tril: Shape | None = None,
    ) -> tuple[Shape, Shape]:
        for name, shape in (
            ("covariance_matrix", covariance_matrix),
            ("precision_matrix", precision_matrix),
            ("scale_tril", scale_tril),
        ):
            if shape is None:
                continue
            if len(shape) < 2 or shape[-1] != shape[-2]:
                raise ValueError(f"MultivariateNormal: `{name}` must be of shape (..., d, d); got {shape}.")
            if loc and loc[-1] not in (1, shape[-1]):
                raise ValueError(
                    f"MultivariateNormal: the last dimension of `loc`, of shape {loc}, must be that of `{name}`, of"
                    f" shape {shape}."
                )
            return lax.broadcast_shapes(loc[:-1], shape[:-2]), tuple(shape[-1:])
        raise ValueError("Exactly one of ['covariance_matrix', 'precision_matrix', 'scale_tril'] must be specified.")


@kl_divergence.register(MultivariateNormal, MultivariateNormal)
def _kl_multivariate_normal_multivariate_normal(p: MultivariateNormal, q: MultivariateNormal) -> Array:
    r""":math:`\frac12 \Bigl(\operatorname{tr}(\Sigma'^{-1} \Sigma) + (\mu - \mu')^\top \Sigma'^{-1} (\mu - \mu') - d +
    \log\frac{\det \Sigma'}{\det \Sigma}\Bigr)`.
    """
    # tr(Q^-1 P) is the sum of squares of L_Q^-1 L_P; the columns of L_P are solved for as a batch
    columns = jnp.moveaxis(jnp.asarray(p.scale_tril), -1, 0)
    trace = jnp.sum(jnp.square(whiten(q.scale_tril, columns)), (0, -1))
    distance = jnp.sum(jnp.square(whiten(q.scale_tril, p.loc - jnp.asarray(q.loc))), -1)
    log_dets = half_log_det(q.scale_tril) - half_log_det(p.scale_tril)
    return 0.5 * (trace + distance - p.event_shape[0]) + log_dets
