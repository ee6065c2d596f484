"""Mixtures of distributions of one family."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from numpyro._errors import UsageError
from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._validation import concrete
from numpyro.distributions.batch_util import _replace, leading_shape, with_leading_shape
from numpyro.distributions.constraints import ParameterFreeConstraint
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.mixtures.base import _MixtureBase, check_mixing


class MixtureSameFamily(_MixtureBase):
    r"""A mixture of distributions of one family.

    .. math:: p(x) = \sum_{k=0}^{K-1} w_k\, p_k(x)

    :param mixing_distribution: a :class:`Categorical` distribution of the components, with the weights :math:`w`.
    :param component_distribution: the components, along the last batch dimension.
    :support: that of ``component_distribution``
    :raises ValueError: when ``mixing_distribution`` is not categorical, when the last batch dimension is not as large
        as its number of categories, or when components differ in their support.

    >>> import numpy as np, numpyro.distributions as dist
    >>> weights, components = dist.Categorical(np.array([0.3, 0.7])), dist.Normal(np.array([-1.0, 1.0]), 0.5)
    >>> d = MixtureSameFamily(weights, components)
    >>> d.batch_shape, f"{d.mean:.2f}"
    ((), '0.40')

    **Reference:** G. J. McLachlan, D. Peel (2000), "Finite Mixture Models", chapter 1.
    """

    __module__ = "numpyro.distributions.mixtures"
    pytree_data_fields = ("_mixing_distribution", "_component_distribution")
    pytree_aux_fields = ("_mixture_size",)
    _component_distribution: Any

    def __init__(
        self,
        mixing_distribution: Distribution,
        component_distribution: Distribution,
        *,
        validate_args: bool | None = None,
    ) -> None:
        size = check_mixing(mixing_distribution)
        if not isinstance(component_distribution, Distribution):
            raise UsageError(
                "MixtureSameFamily expects component_distribution to be a distribution with the components along its "
                f"last batch dimension, but got {component_distribution!r}. A list is for MixtureGeneral."
            )
        shape = component_distribution.batch_shape
        if shape[-1:] != (size,):
            found = f"size={shape[-1]}" if shape else "batch shape ()"
            raise UsageError(
                f"Component distribution batch shape last dimension ({found}) needs to correspond to the "
                f"mixture_size={size}!"
            )
        self._mixture_size = size
        self._mixing_distribution = mixing_distribution
        self._component_distribution = component_distribution
        self._common_support()
        batch_shape = lax.broadcast_shapes(mixing_distribution.batch_shape, shape[:-1])
        super().__init__(batch_shape, component_distribution.event_shape, validate_args=validate_args)

    def _common_support(self) -> Any:
        """The support of the components, without their dimension.

        :raises ValueError: when it depends on parameters that differ between components, or that are traced.
        """
        support = self._component_distribution.support
        if support is None or isinstance(_elementary(support), ParameterFreeConstraint):
            return support
        # of the components, among the dimensions of a bound
        axis = -1 - (self._component_distribution.event_dim - _elementary(support).event_dim)

        def first(bound: Any) -> Any:
            array = concrete(bound)
            if array is not None and array.ndim < -axis:
                return bound
            if array is None or (array != array.take([0], axis)).any():
                raise UsageError(
                    f"Invalid component distribution: {type(self._component_distribution).__name__}. The mixture "
                    f"components must have a support that does not depend on their parameters (expected a "
                    f"ParameterFreeConstraint or the same bounds for all components, but found {support})."
                )
            return array.take(0, axis)

        return jax.tree_util.tree_map(first, support)

    @property
    def component_distribution(self) -> Any:
        """The components, along the last batch dimension."""
        return self._component_distribution

    @constraints.dependent_property
    def support(self) -> Any:
        return self._common_support()

    @property
    def is_discrete(self) -> bool:
        return self._component_distribution.is_discrete

    @property
    def has_enumerate_support(self) -> bool:  # type: ignore[override]
        return self._component_distribution.has_enumerate_support

    def enumerate_support(self, expand: bool = True) -> Array:
        # the same values for all components
        values = self._component_distribution.enumerate_support(expand=False)
        values = jnp.reshape(values, (-1,) + (1,) * len(self.batch_shape) + self.event_shape)
        return jnp.broadcast_to(values, (len(values), *self.shape())) if expand else values

    @property
    def component_mean(self) -> Array:
        return self._component_distribution.mean

    @property
    def component_variance(self) -> Array:
        return self._component_distribution.variance

    def component_cdf(self, samples: ArrayLike) -> Array:
        return self._component_distribution.cdf(jnp.expand_dims(samples, self.mixture_dim))

    def component_icdf(self, q: ArrayLike) -> Array:
        return self._component_distribution.icdf(jnp.expand_dims(q, -1))

    def component_sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        components = self._component_distribution.expand((*self.batch_shape, self._mixture_size))
        return components.sample(key, sample_shape)

    def _component_densities(self, value: ArrayLike) -> Array:
        return self._component_distribution.log_prob(jnp.expand_dims(value, self.mixture_dim))


def _elementary(support: Any) -> Any:
    """The constraint on single elements that independent constraints repeat."""
    while isinstance(support, constraints._IndependentConstraint):
        support = support.base_constraint
    return support


@leading_shape.register
def _leading_shape_of_mixture(d: MixtureSameFamily) -> Shape:
    return max(leading_shape(d._mixing_distribution), leading_shape(d._component_distribution), key=len)


@with_leading_shape.register
def _mixture_with_leading_shape(d: MixtureSameFamily, lead: Shape, pad: int) -> Any:
    rank = pad + len(d.batch_shape)
    mixing, components = d._mixing_distribution, d._component_distribution
    fields = {
        "_mixing_distribution": with_leading_shape(mixing, lead, rank - len(mixing.batch_shape)),
        "_component_distribution": with_leading_shape(components, lead, rank + 1 - len(components.batch_shape)),
    }
    return _replace(d, lead + (1,) * pad + d.batch_shape, fields)
