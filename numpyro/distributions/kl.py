r"""Kullback-Leibler divergences :math:`\mathrm{KL}(p \,\|\, q) = \mathrm{E}_p[\log p(x) - \log q(x)]` in closed form.

Here are the function that dispatches on the two classes, and the rules for the wrappers; a family registers the rules
that it knows in its own file::

    @kl_divergence.register(Normal, Normal)
    def _kl_normal_normal(p, q): ...
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax.numpy as jnp

from numpyro._typing import Array
from numpyro.distributions._shapes import sum_rightmost
from numpyro.distributions.distribution import (
    Delta,
    Distribution,
    ExpandedDistribution,
    Independent,
    MaskedDistribution,
    TransformedDistribution,
)

Rule = TypeVar("Rule", bound=Callable[..., Any])


class KLDivergence:
    """The function :func:`kl_divergence`, with the table of its rules."""

    def __init__(self) -> None:
        self.rules: dict[tuple[type, type], Callable[[Any, Any], Any]] = {}
        self.__name__ = self.__qualname__ = "kl_divergence"
        self.__module__ = __name__

    def register(self, p: type[Distribution], q: type[Distribution]) -> Callable[[Rule], Rule]:
        """Decorate the rule for distributions of class ``p`` and of class ``q``, or of subclasses for which there is
        no rule."""

        def decorator(rule: Rule) -> Rule:
            self.rules[p, q] = rule
            return rule

        return decorator

    def dispatch(self, p: type, q: type) -> Callable[[Any, Any], Any] | None:
        """The rule for two classes: the one closest to both, the first class deciding between equally close ones."""
        found = [
            (p.__mro__.index(a) + q.__mro__.index(b), p.__mro__.index(a), rule)
            for (a, b), rule in self.rules.items()
            if issubclass(p, a) and issubclass(q, b)
        ]
        return min(found, key=lambda candidate: candidate[:2])[2] if found else None

    def __call__(self, p: Distribution, q: Distribution) -> Array:
        """Kullback-Leibler divergence of ``q`` from ``p``.

        :param p: distribution.
        :param q: distribution of the same event shape.
        :return: array of the shape to which their batch shapes broadcast.
        :raises NotImplementedError: when there is no rule for the two.

        >>> import numpyro.distributions as dist
        >>> round(dist.kl_divergence(dist.Normal(0.0, 1.0), dist.Normal(2.0, 1.0)).item(), 6)
        2.0
        """
        rule = self.dispatch(type(p), type(q))
        if rule is None:
            names = f"<{type(p).__name__}, {type(q).__name__}>"
            raise NotImplementedError(
                f"Could not find signature for kl_divergence: {names}. Register a rule by kl_divergence.register, or "
                "estimate the divergence from draws x of p by the mean of p.log_prob(x) - q.log_prob(x)."
            )
        return rule(p, q)


kl_divergence = KLDivergence()


@kl_divergence.register(Distribution, ExpandedDistribution)
def _kl_expanded_q(p: Distribution, q: ExpandedDistribution) -> Array:
    r""":math:`\text{KL}(p \,\|\, q_\text{base})`, of the batch shape of both."""
    kl = kl_divergence(p, q.base_dist)
    return jnp.broadcast_to(kl, jnp.broadcast_shapes(p.batch_shape, q.batch_shape))


@kl_divergence.register(ExpandedDistribution, Distribution)
@kl_divergence.register(ExpandedDistribution, ExpandedDistribution)
def _kl_expanded_p(p: ExpandedDistribution, q: Distribution) -> Array:
    r""":math:`\text{KL}(p_\text{base} \,\|\, q)`, of the batch shape of both; the base of :math:`q` likewise."""
    kl = kl_divergence(p.base_dist, q)
    return jnp.broadcast_to(kl, jnp.broadcast_shapes(p.batch_shape, q.batch_shape))


@kl_divergence.register(Independent, Independent)
def _kl_independent_independent(p: Independent, q: Independent) -> Array:
    r""":math:`\sum_i \text{KL}(p_i \,\|\, q_i)`, over the components."""
    # sum over the components that both regard as independent; what more one of them does belongs to its base
    shared = min(p.reinterpreted_batch_ndims, q.reinterpreted_batch_ndims)
    p_base = p.base_dist.to_event(p.reinterpreted_batch_ndims - shared)
    q_base = q.base_dist.to_event(q.reinterpreted_batch_ndims - shared)
    return sum_rightmost(kl_divergence(p_base, q_base), shared)


@kl_divergence.register(MaskedDistribution, MaskedDistribution)
def _kl_masked_masked(p: MaskedDistribution, q: MaskedDistribution) -> Array:
    r""":math:`\text{KL}(p_\text{base} \,\|\, q_\text{base})` where both masks are true, else :math:`0`."""
    # where either of the log densities does not count, neither does their difference
    if p._mask is False or q._mask is False:
        return jnp.zeros(jnp.broadcast_shapes(p.batch_shape, q.batch_shape))
    kl = kl_divergence(p.base_dist, q.base_dist)
    return kl if p._mask is True and q._mask is True else jnp.where(jnp.logical_and(p._mask, q._mask), kl, 0.0)


@kl_divergence.register(Delta, Distribution)
@kl_divergence.register(Delta, ExpandedDistribution)
def _kl_delta_any(p: Delta, q: Distribution) -> Array:
    r""":math:`\log c - \log q(v)`, with the log density :math:`\log c` at the point :math:`v`."""
    return p.log_density - q.log_prob(p.v)


@kl_divergence.register(TransformedDistribution, TransformedDistribution)
def _kl_transformed_transformed(p: TransformedDistribution, q: TransformedDistribution) -> Array:
    r""":math:`\text{KL}(p_\text{base} \,\|\, q_\text{base})`, the transforms being the same."""
    # a bijection applied to both changes nothing
    if len(p.transforms) == len(q.transforms) and all(
        s is t or s == t for s, t in zip(p.transforms, q.transforms, strict=True)
    ):
        return kl_divergence(p.base_dist, q.base_dist)
    raise NotImplementedError(
        f"Could not find signature for kl_divergence: <{type(p).__name__}, {type(q).__name__}> of different transforms."
    )


register_kl = kl_divergence.register
