"""Normal distributions of all unconstrained values, by the shape of their covariance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil, sqrt
from typing import Any

import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro.distributions import Distribution, LowRankMultivariateNormal, MultivariateNormal, Normal, constraints
from numpyro.distributions.transforms import AffineTransform, IndependentTransform, LowerCholeskyAffine, Transform
from numpyro.infer.autoguide.continuous import AutoContinuous
from numpyro.infer.autoguide.params import full, require_positive_scale, zeros
from numpyro.infer.initialization import init_to_uniform
from numpyro.primitives import param


class _Gaussian(AutoContinuous):
    """What these guides share: a location, an initial scale, medians and the quantiles of marginals."""

    def __init__(
        self,
        model: Callable,
        *,
        prefix: str = "auto",
        init_loc_fn: Callable = init_to_uniform,
        init_scale: float = 0.1,
    ) -> None:
        require_positive_scale(self, init_scale)
        self._init_scale = init_scale
        super().__init__(model, prefix=prefix, init_loc_fn=init_loc_fn)

    def get_posterior(self, params: Mapping[str, Any]) -> Any:
        return self._fitted_posterior(params)

    def median(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return self._unpack_and_constrain(jnp.ravel(self._fitted(params, f"{self.prefix}_loc")), params)

    def quantiles(self, params: Mapping[str, Any], quantiles: Any) -> dict[str, Any]:
        posterior = self.get_posterior(params)
        return self._marginal_quantiles(posterior.mean, jnp.sqrt(posterior.variance), quantiles, params)


class AutoDiagonalNormal(_Gaussian):
    r"""A normal distribution with a diagonal covariance, :math:`z \sim \mathcal N(\mu, \operatorname{diag} \sigma^2)`.

    :param model: the model.
    :param prefix: params are ``{prefix}_loc``, :math:`\mu`, and ``{prefix}_scale``, :math:`\sigma`, both of shape
        ``(latent_dim,)``.
    :param init_loc_fn: an initialization strategy for :math:`\mu`.
    :param init_scale: the first value of :math:`\sigma`, 0.1 by default; positive.
    """

    scale_constraint = constraints.softplus_positive

    def _get_posterior(self) -> Distribution:
        loc = param(f"{self.prefix}_loc", self._init_latent)
        scale = param(
            f"{self.prefix}_scale", full((self.latent_dim,), self._init_scale), constraint=self.scale_constraint
        )
        return Normal(loc, scale)

    def get_transform(self, params: Mapping[str, Any]) -> Transform:
        posterior: Any = self._fitted_posterior(params)
        return IndependentTransform(AffineTransform(posterior.loc, posterior.scale), 1)


class AutoMultivariateNormal(_Gaussian):
    r"""A normal distribution with any covariance, :math:`z \sim \mathcal N(\mu, L L^\top)`.

    :param model: the model.
    :param prefix: params are ``{prefix}_loc``, :math:`\mu`, of shape ``(latent_dim,)``, and ``{prefix}_scale_tril``,
        the Cholesky factor :math:`L`.
    :param init_loc_fn: an initialization strategy for :math:`\mu`.
    :param init_scale: the first values on the diagonal of :math:`L`, 0.1 by default; positive.
    """

    scale_tril_constraint = constraints.scaled_unit_lower_cholesky

    def _get_posterior(self) -> Distribution:
        loc = param(f"{self.prefix}_loc", self._init_latent)
        scale_tril = param(
            f"{self.prefix}_scale_tril",
            identity(self.latent_dim, self._init_scale),
            constraint=self.scale_tril_constraint,
        )
        return MultivariateNormal(loc, scale_tril=scale_tril)

    def get_transform(self, params: Mapping[str, Any]) -> Transform:
        posterior: Any = self._fitted_posterior(params)
        return LowerCholeskyAffine(posterior.loc, posterior.scale_tril)


class AutoLowRankMultivariateNormal(_Gaussian):
    r"""A normal distribution whose covariance is of low rank, but for its diagonal.

    .. math:: z \sim \mathcal N(\mu, D (1 + W W^\top) D), \qquad D = \operatorname{diag} \sigma

    :param model: the model.
    :param prefix: params are ``{prefix}_loc``, :math:`\mu`, ``{prefix}_scale``, :math:`\sigma`, both of shape
        ``(latent_dim,)``, and ``{prefix}_cov_factor``, :math:`W`, of shape ``(latent_dim, rank)``, at first zero.
    :param init_loc_fn: an initialization strategy for :math:`\mu`.
    :param init_scale: the first value of :math:`\sigma`, 0.1 by default; positive.
    :param rank: the rank, by default the root of ``latent_dim``, rounded up.
    """

    scale_constraint = constraints.softplus_positive

    def __init__(
        self,
        model: Callable,
        *,
        prefix: str = "auto",
        init_loc_fn: Callable = init_to_uniform,
        init_scale: float = 0.1,
        rank: int | None = None,
    ) -> None:
        self.rank = check_rank(rank)
        super().__init__(model, prefix=prefix, init_loc_fn=init_loc_fn, init_scale=init_scale)

    def _get_posterior(self) -> Distribution:
        rank = default_rank(self.latent_dim) if self.rank is None else self.rank
        loc = param(f"{self.prefix}_loc", self._init_latent)
        cov_factor = param(f"{self.prefix}_cov_factor", zeros(self.latent_dim, rank))
        scale = param(
            f"{self.prefix}_scale", full((self.latent_dim,), self._init_scale), constraint=self.scale_constraint
        )
        return LowRankMultivariateNormal(loc, cov_factor * scale[..., None], scale * scale)

    def get_transform(self, params: Mapping[str, Any]) -> Transform:
        posterior: Any = self._fitted_posterior(params)
        return LowerCholeskyAffine(posterior.loc, posterior.scale_tril)


def identity(size: int, scale: Any, batch_shape: tuple[int, ...] = ()) -> Any:
    """``scale`` times identity matrices."""
    return full((*batch_shape, size, size), scale) * jnp.asarray(np.eye(size, dtype=jnp.result_type(float)))


def default_rank(size: int) -> int:
    """The root of a size, rounded up."""
    return ceil(sqrt(size))


def check_rank(rank: int | None) -> int | None:
    """``rank``, which must be a positive integer or ``None``."""
    if rank is not None and (isinstance(rank, bool) or not isinstance(rank, (int, np.integer)) or rank < 1):
        raise UsageError(f"`rank` must be a positive integer, got {rank!r}.")
    return rank
