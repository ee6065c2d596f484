"""Normal distributions of all unconstrained values that are independent between the entries of leading dimensions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import Shape
from numpyro.distributions import (
    Distribution,
    LowRankMultivariateNormal,
    MultivariateNormal,
    TransformedDistribution,
    constraints,
)
from numpyro.distributions.transforms import (
    ComposeTransform,
    IndependentTransform,
    LowerCholeskyAffine,
    ReshapeTransform,
    Transform,
)
from numpyro.infer.autoguide.base import Start
from numpyro.infer.autoguide.continuous import AutoContinuous
from numpyro.infer.autoguide.gaussian import check_rank, default_rank, identity
from numpyro.infer.autoguide.params import full, require_positive_scale, zeros
from numpyro.infer.initialization import init_to_uniform
from numpyro.infer.model import ModelView
from numpyro.infer.program import is_traced
from numpyro.primitives import param


class AutoBatchedMixin:
    """Takes the leading dimensions that all latent sites share as batch dimensions of the vector of their values.

    With the batch shape :math:`B`, the vector is one of shape ``B + (d,)``, flattened: the entries of a batch stand
    together.
    """

    batch_ndim: int
    _batch_shape: Shape
    _event_shape: Shape

    def _find_batch_shape(self, view: ModelView) -> None:
        shapes: dict[Shape, str] = {}
        for site in view.latent.values():
            batch_shape = site.shape[: len(site.shape) - site.event_dim]
            if len(batch_shape) < self.batch_ndim:
                raise UsageError(
                    f"Expected {self.batch_ndim} batch dimensions, but site `{site.name}` only has shape {site.shape}, "
                    f"{site.event_dim} of whose dimensions are those of an event. Leave such sites to another guide "
                    "(see AutoGuideList), or give batch_ndim."
                )
            shapes.setdefault(batch_shape[: self.batch_ndim], site.name)
        if len(shapes) > 1:
            found = ", ".join(f"{shape} at site '{name}'" for shape, name in shapes.items())
            raise UsageError(f"Encountered inconsistent batch shapes: {found}; they must be the same at all sites.")
        (self._batch_shape,) = shapes
        size = sum(prod(site.unconstrained_shape or ()) for site in view.latent.values())
        self._event_shape = (size // prod(self._batch_shape),)


class _BatchedGaussian(AutoBatchedMixin, AutoContinuous):
    def __init__(
        self,
        model: Callable,
        *,
        prefix: str = "auto",
        init_loc_fn: Callable = init_to_uniform,
        init_scale: float = 0.1,
        batch_ndim: int = 1,
    ) -> None:
        require_positive_scale(self, init_scale)
        if isinstance(batch_ndim, bool) or not isinstance(batch_ndim, int) or batch_ndim < 0:
            raise UsageError(f"`batch_ndim` must be an integer that is not negative, got {batch_ndim!r}.")
        self._init_scale = init_scale
        self.batch_ndim = batch_ndim
        super().__init__(model, prefix=prefix, init_loc_fn=init_loc_fn)

    def _check(self, view: ModelView) -> None:
        super()._check(view)
        self._find_batch_shape(view)

    def _unpack_latent(self, latent: Any) -> dict[str, Any]:
        """The unconstrained values by site, whose parts are columns of the batch."""
        rows = jnp.reshape(latent, (*self._batch_shape, *self._event_shape))
        values, column = {}, 0
        for name, site in sorted(self._latent.items()):
            shape = site.unconstrained_shape or ()
            width = prod(shape[self.batch_ndim :])
            values[name] = jnp.reshape(rows[..., column : column + width], shape)
            column += width
        return values

    def _flat(self, start: Start) -> Any:
        """The first value of the location, of shape ``batch shape + (d,)``."""
        leaves = [start.unconstrained[name] for name in sorted(start.unconstrained)]
        if is_traced(leaves):
            return jnp.concatenate([jnp.reshape(leaf, (*self._batch_shape, -1)) for leaf in leaves], axis=-1)
        return jnp.asarray(
            np.concatenate([np.asarray(leaf).reshape(*self._batch_shape, -1) for leaf in leaves], axis=-1)
        )

    @abstractmethod
    def _batch_posterior(self) -> Any:
        """The distribution of vectors of the event shape, with the batch shape, made of params."""

    def _reshape(self) -> Transform:
        return ReshapeTransform((self.latent_dim,), (*self._batch_shape, *self._event_shape))

    def _get_posterior(self) -> Distribution:
        return TransformedDistribution(self._batch_posterior().to_event(self.batch_ndim), self._reshape())

    def get_transform(self, params: Mapping[str, Any]) -> Transform:
        batch = self._fitted_batch(params)
        affine = LowerCholeskyAffine(batch.loc, batch.scale_tril)
        return ComposeTransform([self._reshape().inv, IndependentTransform(affine, self.batch_ndim), self._reshape()])

    def _fitted_batch(self, params: Mapping[str, Any]) -> Any:
        fitted: Any = self._fitted_posterior(params)
        while hasattr(fitted, "base_dist"):
            fitted = fitted.base_dist
        return fitted

    def median(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return self._unpack_and_constrain(jnp.ravel(self._fitted(params, f"{self.prefix}_loc")), params)

    def quantiles(self, params: Mapping[str, Any], quantiles: Any) -> dict[str, Any]:
        batch = self._fitted_batch(params)
        return self._marginal_quantiles(jnp.ravel(batch.mean), jnp.sqrt(jnp.ravel(batch.variance)), quantiles, params)


class AutoBatchedMultivariateNormal(_BatchedGaussian):
    r"""A normal distribution of any covariance for each entry of the batch, :math:`z_b \sim \mathcal N(\mu_b, L_b
    L_b^\top)`.

    :param model: the model.
    :param prefix: params are ``{prefix}_loc``, :math:`\mu`, of shape ``batch shape + (d,)``, and
        ``{prefix}_scale_tril``, the Cholesky factors :math:`L`.
    :param init_loc_fn: an initialization strategy for :math:`\mu`.
    :param init_scale: the first values on the diagonals of :math:`L`, 0.1 by default; positive.
    :param batch_ndim: the number of leading dimensions of all sites that count the batch, 1 by default.
    :raises ValueError: where the batch shapes of latent sites differ or have fewer dimensions.
    """

    scale_tril_constraint = constraints.scaled_unit_lower_cholesky

    def _batch_posterior(self) -> Distribution:
        loc = param(f"{self.prefix}_loc", self._init_latent)
        scale_tril = param(
            f"{self.prefix}_scale_tril",
            identity(self._event_shape[0], self._init_scale, self._batch_shape),
            constraint=self.scale_tril_constraint,
        )
        return MultivariateNormal(loc, scale_tril=scale_tril)


class AutoBatchedLowRankMultivariateNormal(_BatchedGaussian):
    r"""A normal distribution of low rank, but for its diagonal, for each entry of the batch.

    .. math:: z_b \sim \mathcal N(\mu_b, D_b (1 + W_b W_b^\top) D_b), \qquad D_b = \operatorname{diag} \sigma_b

    :param model: the model.
    :param prefix: params are ``{prefix}_loc``, :math:`\mu`, and ``{prefix}_scale``, :math:`\sigma`, of shape ``batch
        shape + (d,)``, and ``{prefix}_cov_factor``, :math:`W`, of shape ``batch shape + (d, rank)``, at first zero.
    :param init_loc_fn: an initialization strategy for :math:`\mu`.
    :param init_scale: the first value of :math:`\sigma`, 0.1 by default; positive.
    :param rank: the rank, by default the root of :math:`d`, rounded up.
    :param batch_ndim: the number of leading dimensions of all sites that count the batch, 1 by default.
    :raises ValueError: where the batch shapes of latent sites differ or have fewer dimensions.
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
        batch_ndim: int = 1,
    ) -> None:
        self.rank = check_rank(rank)
        super().__init__(model, prefix=prefix, init_loc_fn=init_loc_fn, init_scale=init_scale, batch_ndim=batch_ndim)

    def _batch_posterior(self) -> Distribution:
        shape = (*self._batch_shape, *self._event_shape)
        rank = default_rank(shape[-1]) if self.rank is None else self.rank
        loc = param(f"{self.prefix}_loc", self._init_latent)
        cov_factor = param(f"{self.prefix}_cov_factor", zeros(*shape, rank))
        scale = param(f"{self.prefix}_scale", full(shape, self._init_scale), constraint=self.scale_constraint)
        return LowRankMultivariateNormal(loc, cov_factor * scale[..., None], scale * scale)
