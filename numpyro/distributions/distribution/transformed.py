"""The distribution of a transformed draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._shapes import sum_rightmost
from numpyro.distributions._validation import validate_sample
from numpyro.distributions.distribution.base import MODULE, Distribution
from numpyro.distributions.transforms import ComposeTransform, Transform


class TransformedDistribution(Distribution):
    r"""The distribution of :math:`y = f(x)`, :math:`x` from ``base_distribution``, :math:`f` a bijection.

    .. math:: \log p_Y(y) = \log p_X(f^{-1}(y)) - \log |\det \partial f(x) / \partial x|

    Where the transforms act on vectors (or matrices), batch dimensions of the base become event dimensions; where their
    parameters have a larger shape than the base, the base is expanded, so that its draws are independent.

    :param base_distribution: distribution of :math:`x`.
    :param transforms: a transform, or a list of them that are applied in order.
    :param validate_args: whether to check values.
    :support: the codomain of the last transform
    :raises ValueError: when ``transforms`` are no transforms, or act on more dimensions than the base has.

    >>> import numpyro.distributions as dist
    >>> d = dist.TransformedDistribution(dist.Normal(0.0, 1.0), dist.transforms.ExpTransform())
    >>> bool(abs(d.log_prob(2.0) - dist.LogNormal(0.0, 1.0).log_prob(2.0)) < 1e-6)
    True

    **Reference:** J. V. Dillon et al. (2017), "TensorFlow Distributions", https://arxiv.org/abs/1711.10604.
    """

    __module__ = MODULE

    base_dist: Distribution
    transforms: list[Transform]
    pytree_data_fields = ("base_dist", "transforms")

    def __init__(
        self,
        base_distribution: Distribution,
        transforms: Transform | Sequence[Transform],
        *,
        validate_args: bool | None = None,
    ) -> None:
        transforms = _as_list(transforms)
        base = base_distribution
        if isinstance(base_distribution, TransformedDistribution):  # chain what is applied to its base
            base, transforms = base_distribution.base_dist, [*base_distribution.transforms, *transforms]
        self.transforms = transforms
        domain_dim, codomain_dim, forward_shape, inverse_shape = _describe(self.transforms)
        base_shape, base_dim = base.shape(), base.event_dim
        if len(base_shape) < domain_dim:
            raise ValueError(
                f"Base distribution needs to have shape with size at least {domain_dim}, but got {base_shape}."
            )
        shape = forward_shape(base_shape)
        full_base_shape = inverse_shape(shape)
        base = base.expand(full_base_shape[: len(full_base_shape) - base_dim])
        if domain_dim > base_dim:
            base = base.to_event(domain_dim - base_dim)
        self.base_dist = base

        event_dim = codomain_dim + max(base_dim - domain_dim, 0)
        cut = len(shape) - event_dim
        super().__init__(shape[:cut], shape[cut:], validate_args=validate_args)

    @property
    def support(self) -> Any:
        if not self.transforms:
            return self.base_dist.support
        codomain = self.transforms[-1].codomain
        extra = self.event_dim - codomain.event_dim
        return constraints.independent(codomain, extra) if extra > 0 else codomain

    @property
    def has_rsample(self) -> bool:
        return self.base_dist.has_rsample

    @property
    def is_discrete(self) -> bool:
        return self.support.is_discrete

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        x = self.base_dist.sample(key, sample_shape=sample_shape)
        for transform in self.transforms:
            x = transform(x)
        return x

    def rsample(self, key: Key, sample_shape: Shape = ()) -> Array:
        x = self.base_dist.rsample(key, sample_shape=sample_shape)
        for transform in self.transforms:
            x = transform(x)
        return x

    def sample_with_intermediates(self, key: Key, sample_shape: Shape = ()) -> tuple[Array, list[Any]]:
        """Draw, with ``[x, t]`` for each transform: what it was applied to, and what it computed on the way."""
        x = self.base_dist.sample(key, sample_shape=sample_shape)
        intermediates = []
        for transform in self.transforms:
            y, more = transform.call_with_intermediates(x)
            intermediates.append([x, more])
            x = y
        return x, intermediates

    @validate_sample
    def log_prob(self, value: ArrayLike, intermediates: list[Any] | None = None) -> Array:
        if intermediates is not None and len(intermediates) != len(self.transforms):
            raise ValueError(
                f"Intermediates array has length = {len(intermediates)}. Expected = {len(self.transforms)}."
            )
        event_dim = self.event_dim
        log_prob: Any = 0.0
        y: Any = value
        for i, transform in reversed(list(enumerate(self.transforms))):
            x, more = (transform._inverse(y), None) if intermediates is None else intermediates[i]
            # the event may have more dimensions than the transform acts on: it acts on each part of it independently
            event_dim += transform.domain.event_dim - transform.codomain.event_dim
            log_det = transform.log_abs_det_jacobian(x, y, more)
            log_prob = log_prob - sum_rightmost(log_det, event_dim - transform.domain.event_dim)
            y = x
        log_prob = log_prob + sum_rightmost(self.base_dist.log_prob(y), event_dim - self.base_dist.event_dim)
        return log_prob if intermediates is not None else self._zero_density_outside(value, log_prob)

    def _zero_density_outside(self, value: ArrayLike, log_prob: Array) -> Array:
        """Minus infinity for numbers to which the transforms do not lead, and of which an inverse makes nan."""
        support = self.support
        part = getattr(support, "base_constraint", support)
        if part is constraints.real or part.event_dim > 0:
            return log_prob
        return jnp.where(support(value), log_prob, -jnp.inf)

    @property
    def mean(self) -> Array:
        raise NotImplementedError(f"{type(self).__name__} has no mean: a transform does not preserve it.")

    @property
    def variance(self) -> Array:
        raise NotImplementedError(f"{type(self).__name__} has no variance: a transform does not preserve it.")

    def _sign(self) -> Any:
        """+1 where the transforms increase, -1 where they decrease; not all transforms tell."""
        sign: Any = 1
        for transform in self.transforms:
            sign = sign * transform.sign
        return sign

    def cdf(self, value: ArrayLike) -> Array:
        sign = self._sign()
        x: Any = value
        for transform in reversed(self.transforms):
            x = transform._inverse(x)
        base_cdf = self.base_dist.cdf(x)
        return _where_decreasing(sign, 1 - base_cdf, base_cdf)

    def icdf(self, q: ArrayLike) -> Array:
        x = self.base_dist.icdf(_where_decreasing(self._sign(), 1 - jnp.asarray(q), q))
        for transform in self.transforms:
            x = transform(x)
        return x


def _as_list(transforms: Any) -> list[Transform]:
    if isinstance(transforms, Transform):
        return [transforms]
    if not isinstance(transforms, (list, tuple)):
        raise ValueError(f"transforms must be a Transform or list, but was {transforms}")
    for transform in transforms:
        if not isinstance(transform, Transform):
            raise ValueError(f"transforms must be a Transform or a list of Transforms, but one is {transform!r}")
    return list(transforms)


def _describe(transforms: list[Transform]) -> Any:
    """Event dimensions of domain and codomain of the composition, and how it maps shapes forward and back."""
    if not transforms:
        return 0, 0, tuple, tuple
    composed = transforms[0] if len(transforms) == 1 else ComposeTransform(transforms)
    return composed.domain.event_dim, composed.codomain.event_dim, composed.forward_shape, composed.inverse_shape


def _where_decreasing(sign: Any, decreasing: Any, increasing: Any) -> Any:
    """Choose by the sign of the transform, statically where it is known."""
    if isinstance(sign, (int, float)) or isinstance(sign, np.ndarray) and sign.ndim == 0:
        return decreasing if sign < 0 else increasing
    return jnp.where(sign < 0, decreasing, increasing)
