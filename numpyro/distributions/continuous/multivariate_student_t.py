"""The multivariate Student's t distribution."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jax.scipy.linalg import cho_solve

from numpyro._errors import UsageError
from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._lazy import lazy_property
from numpyro.distributions._maths import LOG_PI, broadcast_to
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.continuous.multivariate_normal import whiten
from numpyro.distributions.distribution import Distribution
from numpyro.ops.linalg import tri_logabsdet
from numpyro.ops.log_gamma import gammaln_ratio
from numpyro.ops.rejection import loggamma


class MultivariateStudentT(Distribution):
    r"""The multivariate Student's t distribution in :math:`d` dimensions.

    .. math:: p(x) = \frac{\Gamma((\nu + d)/2)}{\Gamma(\nu/2) (\nu\pi)^{d/2} \det L}
        \Bigl(1 + \frac{|L^{-1} (x - \mu)|^2}{\nu}\Bigr)^{-(\nu + d)/2}

    :param df: degrees of freedom :math:`\nu > 0`.
    :param loc: centre :math:`\mu`, of shape ``(..., d)``, or a scalar for all dimensions; default 0.
    :param scale_tril: lower triangular factor :math:`L` with a positive diagonal, of shape ``(..., d, d)``.
    :support: :math:`x \in \mathbb{R}^d`
    :raises ValueError: when ``scale_tril`` is not given, or the shapes do not agree.

    ``covariance_matrix`` and ``precision_matrix`` are :math:`L L^\top` and its inverse, of which the covariance is
    :math:`\nu / (\nu - 2)` times the former; ``variance`` has that factor.

    **Reference:** S. Kotz, S. Nadarajah (2004), "Multivariate t Distributions and Their Applications", chapter 1.
    """

    __module__ = "numpyro.distributions.continuous"
    arg_constraints = {
        "df": constraints.positive,
        "loc": constraints.real_vector,
        "scale_tril": constraints.lower_cholesky,
    }
    support = constraints.real_vector
    reparametrized_params = ["df", "loc", "scale_tril"]

    def __init__(
        self,
        df: ArrayLike,
        loc: ArrayLike = 0.0,
        scale_tril: ArrayLike | None = None,
        *,
        validate_args: bool | None = None,
    ) -> None:
        if scale_tril is None:
            raise UsageError("MultivariateStudentT: `scale_tril`, of shape (..., d, d), must be given.")
        loc = np.reshape(loc, (1,)) if isinstance(loc, (int, float)) else jnp.reshape(loc, jnp.shape(loc) or (1,))
        batch_shape, event_shape = self.infer_shapes(jnp.shape(df), jnp.shape(loc), jnp.shape(scale_tril))
        loc = loc if loc.shape[-1:] == event_shape else broadcast_to(loc, loc.shape[:-1] + event_shape)
        self.df: Any = promote_shapes(df, shape=batch_shape)[0]
        (self.loc,) = promote_shapes(loc, shape=batch_shape + (1,))
        (self.scale_tril,) = promote_shapes(scale_tril, shape=batch_shape + (1, 1))
        super().__init__(batch_shape, event_shape, validate_args=validate_args)

    @classmethod
    def infer_shapes(cls, df: Shape, loc: Shape, scale_tril: Shape) -> tuple[Shape, Shape]:  # type: ignore[override]
        if len(scale_tril) < 2 or scale_tril[-1] != scale_tril[-2]:
            raise ValueError(f"MultivariateStudentT: `scale_tril` must be of shape (..., d, d); got {scale_tril}.")
        if loc and loc[-1] not in (1, scale_tril[-1]):
            raise ValueError(
                f"MultivariateStudentT: the last dimension of `loc`, of shape {loc}, must be that of `scale_tril`, of"
                f" shape {scale_tril}."
            )
        return lax.broadcast_shapes(df, loc[:-1], scale_tril[:-2]), tuple(scale_tril[-1:])

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        key_normal, key_gamma = random.split(key)
        shape, half_df = sample_shape + self.batch_shape, 0.5 * self.df
        noise = random.normal(key_normal, shape + self.event_shape)
        # the mean of squares in the logarithm: for few degrees of freedom it underflows
        log_mean_square = loggamma(key_gamma, half_df, shape) - jnp.log(half_df)
        scaled = jnp.einsum("...ij,...j->...i", self.scale_tril, noise, precision=lax.Precision.HIGHEST)
        return self.loc + scaled * jnp.exp(-0.5 * log_mean_square)[..., None]

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        d = self.event_shape[0]
        squares = jnp.sum(jnp.square(whiten(self.scale_tril, value - jnp.asarray(self.loc))), -1)
        log_kernel = -0.5 * (self.df + d) * jnp.log1p(squares / self.df)
        return log_kernel - self._log_normalizer()

    def _log_normalizer(self) -> Array:
        half_d, half_df = 0.5 * self.event_shape[0], 0.5 * self.df
        return half_d * (jnp.log(self.df) + LOG_PI) - gammaln_ratio(half_df, half_d) + tri_logabsdet(self.scale_tril)

    def entropy(self) -> Array:
        half_d, half_df = 0.5 * self.event_shape[0], jnp.asarray(0.5 * self.df)
        # psi((df + d) / 2) - psi(df / 2), as the derivative of what does not cancel for many degrees of freedom
        _, mean_log = jax.jvp(lambda x: gammaln_ratio(x, half_d), (half_df,), (jnp.ones_like(half_df),))
        return broadcast_to(self._log_normalizer() + (half_df + half_d) * mean_log, self.batch_shape)

    @lazy_property
    def covariance_matrix(self) -> Array:
        factor = jnp.asarray(self.scale_tril)
        return jnp.matmul(factor, jnp.swapaxes(factor, -2, -1), precision=lax.Precision.HIGHEST)

    @lazy_property
    def precision_matrix(self) -> Array:
        factor = jnp.asarray(self.scale_tril)
        return cho_solve((factor, True), broadcast_to(np.eye(factor.shape[-1], dtype=factor.dtype), factor.shape))

    @property
    def mean(self) -> Array:
        """Centre; infinite for ``df <= 1``, where the integral does not exist."""
        few = jnp.less_equal(self.df, 1)[..., None]
        return broadcast_to(jnp.where(few, jnp.inf, self.loc), self.shape())

    @property
    def mode(self) -> Array:
        return broadcast_to(self.loc, self.shape())

    @property
    def variance(self) -> Array:
        """Infinite for ``1 < df <= 2``, not a number below."""
        df = jnp.asarray(self.df)[..., None]
        safe_df = jnp.where(df > 2, df, 3)
        variance = safe_df / (safe_df - 2) * jnp.sum(jnp.square(self.scale_tril), -1)
        variance = jnp.where(df > 2, variance, jnp.where(df <= 1, jnp.nan, jnp.inf))
        return broadcast_to(variance, self.shape())
