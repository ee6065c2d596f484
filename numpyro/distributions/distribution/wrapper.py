"""What wrappers share: whatever a wrapper does not change is as it is in the distribution that it wraps."""

from __future__ import annotations

from typing import Any, ClassVar

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions.distribution.base import Distribution


class Wrapper(Distribution):
    """A distribution made of ``base_dist``, with its support, draws, moments and distribution functions."""

    base_dist: Distribution
    pytree_data_fields: ClassVar[tuple[str, ...]] = ("base_dist",)

    @property
    def support(self) -> Any:  # type: ignore[override]
        return self.base_dist.support

    @property
    def has_enumerate_support(self) -> bool:  # type: ignore[override]
        return self.base_dist.has_enumerate_support

    @property
    def reparametrized_params(self) -> Any:  # type: ignore[override]
        return self.base_dist.reparametrized_params

    @property
    def has_rsample(self) -> bool:
        return self.base_dist.has_rsample

    @property
    def is_discrete(self) -> bool:
        return self.base_dist.is_discrete

    @property
    def mean(self) -> Array:
        return self.base_dist.mean

    @property
    def variance(self) -> Array:
        return self.base_dist.variance

    @property
    def mode(self) -> Array:
        return self.base_dist.mode

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        return self.base_dist.sample(key, sample_shape=sample_shape)

    def rsample(self, key: Key, sample_shape: Shape = ()) -> Array:
        return self.base_dist.rsample(key, sample_shape=sample_shape)

    def sample_with_intermediates(self, key: Key, sample_shape: Shape = ()) -> tuple[Array, list[Any]]:
        return self.base_dist.sample_with_intermediates(key, sample_shape=sample_shape)

    def log_prob(self, value: ArrayLike, intermediates: list[Any] | None = None) -> Array:
        # most distributions have no intermediates, and their log_prob no such parameter
        more = {"intermediates": intermediates} if intermediates else {}
        return self.base_dist.log_prob(value, **more)

    def cdf(self, value: ArrayLike) -> Array:
        return self.base_dist.cdf(value)

    def icdf(self, q: ArrayLike) -> Array:
        return self.base_dist.icdf(q)

    def entropy(self) -> Array:
        return self.base_dist.entropy()

    def enumerate_support(self, expand: bool = True) -> Array:
        return self.base_dist.enumerate_support(expand=expand)
