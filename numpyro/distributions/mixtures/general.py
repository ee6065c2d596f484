"""Mixtures of any distributions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions.batch_util import _insert, _replace, leading_shape, with_leading_shape
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.mixtures.base import _MixtureBase, check_mixing


class MixtureGeneral(_MixtureBase):
    r"""A mixture of any distributions.

    .. math:: p(x) = \sum_{k=0}^{K-1} w_k\, p_k(x)

    :param mixing_distribution: a :class:`Categorical` distribution of the components, with the weights :math:`w`.
    :param component_distributions: a list of as many distributions, of one event shape.
    :param support: of the mixture, where the components' supports differ; default: theirs. A value outside the
        support of a component has density 0 in it.
    :support: the argument ``support``, or else that of the components
    :raises ValueError: when ``mixing_distribution`` is not categorical, when ``component_distributions`` is not a list
        of as many distributions, or when they differ in their support or in the shape of their events.

    >>> import numpy as np, numpyro.distributions as dist
    >>> from numpyro.distributions import constraints
    >>> weights, components = dist.Categorical(np.array([0.3, 0.7])), [dist.Normal(), dist.HalfNormal()]
    >>> MixtureGeneral(weights, components, support=constraints.real).log_prob(-1.0).round(2).item()
    -2.619999885559082

    **Reference:** G. J. McLachlan, D. Peel (2000), "Finite Mixture Models", chapter 1.
    """

    __module__ = "numpyro.distributions.mixtures"
    pytree_data_fields = ("_mixing_distribution", "_component_distributions", "_support")
    pytree_aux_fields = ("_mixture_size",)
    _component_distributions: list[Any]

    def __init__(
        self,
        mixing_distribution: Distribution,
        component_distributions: Sequence[Distribution],
        *,
        support: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        size = check_mixing(mixing_distribution)
        if not isinstance(component_distributions, (list, tuple)):
            raise ValueError(
                "The 'component_distributions' argument must be a list of Distribution objects, got "
                f"{type(component_distributions).__name__}."
            )
        components = list(component_distributions)
        for d in components:
            if not isinstance(d, Distribution):
                raise ValueError(
                    "All elements of 'component_distributions' must be instances of numpyro.distributions.Distribution "
                    f"subclasses, got {d!r}."
                )
        if len(components) != size:
            raise ValueError(
                "The number of elements in 'component_distributions' must match the mixture size; expected "
                f"{size}, got {len(components)}"
            )
        if support is None:
            supports = [d.support for d in components]
            # of bounds that are traced the answer is not known, and no reason to refuse
            if any(supports[0].eq(other) is False for other in supports[1:]):
                raise ValueError(
                    "All component distributions must have the same support. Found "
                    f"{', '.join(map(repr, supports))}; say which the mixture has by support=..."
                )
        event_shape = components[0].event_shape
        if any(d.event_shape != event_shape for d in components):
            raise ValueError(
                "All component distributions must have the same event shape, got "
                f"{', '.join(str(d.event_shape) for d in components)}."
            )
        self._mixture_size = size
        self._mixing_distribution = mixing_distribution
        self._component_distributions = components
        self._support = support
        batch_shape = lax.broadcast_shapes(mixing_distribution.batch_shape, *(d.batch_shape for d in components))
        super().__init__(batch_shape, event_shape, validate_args=validate_args)

    @property
    def component_distributions(self) -> list[Any]:
        """The components."""
        return self._component_distributions

    @constraints.dependent_property
    def support(self) -> Any:
        return self._component_distributions[0].support if self._support is None else self._support

    @property
    def is_discrete(self) -> bool:
        return self.support.is_discrete

    @property
    def has_enumerate_support(self) -> bool:  # type: ignore[override]
        return self._support is None and all(d.has_enumerate_support for d in self._component_distributions)

    def enumerate_support(self, expand: bool = True) -> Array:
        # the same values for all components
        values = self._component_distributions[0].enumerate_support(expand=False)
        values = jnp.reshape(values, (-1,) + (1,) * len(self.batch_shape) + self.event_shape)
        return jnp.broadcast_to(values, (len(values), *self.shape())) if expand else values

    def _stack(self, arrays: list[Any], dim: int) -> Array:
        """Stack along a new dimension ``dim`` what components give, broadcast."""
        shape = lax.broadcast_shapes(*map(np.shape, arrays))
        return jnp.stack([jnp.broadcast_to(x, shape) for x in arrays], axis=dim)

    @property
    def component_mean(self) -> Array:
        return self._stack([d.mean for d in self._component_distributions], self.mixture_dim)

    @property
    def component_variance(self) -> Array:
        return self._stack([d.variance for d in self._component_distributions], self.mixture_dim)

    def component_cdf(self, samples: ArrayLike) -> Array:
        return self._stack([d.cdf(samples) for d in self._component_distributions], -1)

    def component_icdf(self, q: ArrayLike) -> Array:
        return self._stack([d.icdf(q) for d in self._component_distributions], -1)

    def component_sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        keys = random.split(key, self._mixture_size)
        draws = [
            d.expand(self.batch_shape).sample(keys[i], sample_shape)
            for i, d in enumerate(self._component_distributions)
        ]
        return self._stack(draws, self.mixture_dim)

    def _component_densities(self, value: ArrayLike) -> Array:
        return self._stack([self._component_density(d, value) for d in self._component_distributions], -1)

    def _component_density(self, d: Distribution, value: ArrayLike) -> Array:
        """The log density of one component, -inf outside of its support, which may be smaller than the mixture's."""
        if self._support is None or d.support is None:
            return d.log_prob(value)
        value = jnp.asarray(value)
        inside = d.support(value)
        mask = jnp.reshape(inside, jnp.shape(inside) + (1,) * d.support.event_dim)
        elsewhere = lax.stop_gradient(jnp.asarray(d.support.feasible_like(value), value.dtype))
        log_density = d.log_prob(jnp.where(mask, value, elsewhere))
        # whether all components of an event lie inside
        axes = tuple(range(d.support.event_dim - d.event_dim, 0))
        return jnp.where(jnp.all(inside, axes) if axes else inside, log_density, -jnp.inf)


@leading_shape.register
def _leading_shape_of_mixture(d: MixtureGeneral) -> Shape:
    return max((leading_shape(part) for part in (d._mixing_distribution, *d._component_distributions)), key=len)


@with_leading_shape.register
def _mixture_with_leading_shape(d: MixtureGeneral, lead: Shape, pad: int) -> Any:
    rank = pad + len(d.batch_shape)
    parts = [
        with_leading_shape(part, lead, rank - len(part.batch_shape))
        for part in (d._mixing_distribution, *d._component_distributions)
    ]
    support = jax.tree_util.tree_map(lambda bound: _insert(bound, lead, rank + d.event_dim), d._support)
    fields = {"_mixing_distribution": parts[0], "_component_distributions": parts[1:], "_support": support}
    return _replace(d, lead + (1,) * pad + d.batch_shape, fields)
