"""Angles on the whole real line."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp

from numpyro.distributions import constraints
from numpyro.distributions.distribution import Distribution, ImproperUniform
from numpyro.infer.reparam.base import Reparam
from numpyro.primitives import factor, sample


class _Unwrapped(ImproperUniform):
    """A flat density on the real line whose draws are those of a distribution of angles."""

    pytree_data_fields = ("angles",)

    def __init__(self, angles: Distribution) -> None:
        self.angles = angles
        super().__init__(constraints.real, angles.batch_shape, angles.event_shape)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        return self.angles.sample(key, sample_shape)


class CircularReparam(Reparam):
    r"""Sample an angle on the real line, where inference meets no edge at :math:`\pm\pi`, and wrap it.

    The unwrapped angle is the site ``{name}_unwrapped``, with a flat density over the reals; the density of the angle
    is added by the factor ``{name}_factor``. Distances on the circle are those on the line, so the sampler moves
    through :math:`\pi` freely. The unwrapped angle has an improper density, and may wander by multiples of
    :math:`2\pi`; look at the angle itself.

    :raises ValueError: when called, if the support of the distribution is not the circle, or it is observed.
    """

    __module__ = "numpyro.infer.reparam"

    def __call__(self, name: str, fn: Distribution, obs: Any) -> tuple[Distribution | None, Any]:
        self._reject_observed(name, obs)
        support = fn.support
        while hasattr(support, "base_constraint"):
            support = support.base_constraint
        if support is not constraints.circular:
            raise self._unsupported(name, fn, "a distribution on the circle, such as VonMises")
        unwrapped = sample(f"{name}_unwrapped", _Unwrapped(fn))
        value = jnp.remainder(unwrapped + math.pi, 2 * math.pi) - math.pi
        factor(f"{name}_factor", fn.log_prob(value))
        return None, value
