"""Batch dimensions regarded as event dimensions."""

from __future__ import annotations

from typing import Any

from numpyro._typing import Array, ArrayLike, Shape
from numpyro.distributions import constraints
from numpyro.distributions._shapes import sum_rightmost
from numpyro.distributions._validation import check_value_shape
from numpyro.distributions.distribution.base import MODULE, Distribution
from numpyro.distributions.distribution.wrapper import Wrapper


class Independent(Wrapper):
    r"""Independent components as one event: the rightmost batch dimensions of ``base_dist`` become event dimensions.

    .. math:: \log p(x) = \sum_i \log p_i(x_i)

    :param base_dist: the distribution of the components.
    :param reinterpreted_batch_ndims: how many of its batch dimensions join the event.
    :param validate_args: whether to check values.
    :support: that of ``base_dist``, for all components
    :raises ValueError: when there are not as many batch dimensions.

    >>> import numpy as np, numpyro.distributions as dist
    >>> d = dist.Normal(np.zeros((2, 3)), 1.0).to_event(1)
    >>> d.batch_shape, d.event_shape
    ((2,), (3,))

    **Reference:** J. V. Dillon et al. (2017), "TensorFlow Distributions", https://arxiv.org/abs/1711.10604.
    """

    __module__ = MODULE

    pytree_aux_fields = ("reinterpreted_batch_ndims",)

    def __init__(
        self, base_dist: Distribution, reinterpreted_batch_ndims: int, *, validate_args: bool | None = None
    ) -> None:
        ndims = len(base_dist.batch_shape)
        if not 0 <= reinterpreted_batch_ndims <= ndims:
            raise ValueError(
                "Expected 0 <= reinterpreted_batch_ndims <= len(base_distribution.batch_shape), actual "
                f"{reinterpreted_batch_ndims} vs {ndims}: {type(base_dist).__name__} has batch shape "
                f"{base_dist.batch_shape}."
            )
        self.base_dist = base_dist
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims
        cut = ndims - reinterpreted_batch_ndims
        shape = base_dist.shape()
        super().__init__(shape[:cut], shape[cut:], validate_args=validate_args)

    @property
    def support(self) -> Any:  # type: ignore[override]
        return constraints.independent(self.base_dist.support, self.reinterpreted_batch_ndims)

    def log_prob(self, value: ArrayLike, intermediates: list[Any] | None = None) -> Array:
        if self._validate_args:
            check_value_shape(self, value, components=True)
        return sum_rightmost(super().log_prob(value, intermediates), self.reinterpreted_batch_ndims)

    def cdf(self, value: ArrayLike) -> Array:
        return self._marginal_only("cdf", value)

    def icdf(self, q: ArrayLike) -> Array:
        return self._marginal_only("icdf", q)

    def _marginal_only(self, name: str, argument: ArrayLike) -> Array:
        if self.reinterpreted_batch_ndims:
            raise NotImplementedError(
                f"Independent has no {name}, which is for scalar events; that of its components is base_dist.{name}."
            )
        return getattr(self.base_dist, name)(argument)

    def entropy(self) -> Array:
        return sum_rightmost(self.base_dist.entropy(), self.reinterpreted_batch_ndims)

    def enumerate_support(self, expand: bool = True) -> Array:
        if self.reinterpreted_batch_ndims:
            raise NotImplementedError(
                "Independent has no enumerate_support: the support of independent components is a product. Enumerate "
                "the components one by one: leave out to_event and use plates."
            )
        return super().enumerate_support(expand=expand)

    def expand(self, batch_shape: Shape) -> Distribution:
        batch_shape = tuple(batch_shape)
        base_shape = batch_shape + self.event_shape[: self.reinterpreted_batch_ndims]
        return type(self)(self.base_dist.expand(base_shape), self.reinterpreted_batch_ndims)


Distribution._wrappers["to_event"] = Independent
