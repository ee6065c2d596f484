"""Points on a sphere by way of the space around it."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from numpyro.distributions import constraints
from numpyro.distributions.continuous import Normal
from numpyro.distributions.distribution import Distribution
from numpyro.infer.reparam.base import Reparam, unwrap
from numpyro.primitives import sample


class ProjectedNormalReparam(Reparam):
    r"""Sample a projected normal variable as a normal one that is then projected.

    With concentration :math:`\mu` the variable becomes :math:`z \sim \mathrm{Normal}(0, I)`, the site
    ``{name}_normal``, and :math:`x = (z + \mu) / \lVert z + \mu \rVert`.

    :raises ValueError: when called, if the distribution is no ``ProjectedNormal``, or is observed.
    """

    __module__ = "numpyro.infer.reparam"

    def __call__(self, name: str, fn: Distribution, obs: Any) -> tuple[Distribution | None, Any]:
        self._reject_observed(name, obs)
        family: Any
        family, wrap = unwrap(fn)
        if family.support is not constraints.sphere or "concentration" not in family.arg_constraints:
            raise self._unsupported(name, family, "a ProjectedNormal distribution")
        concentration = family.concentration
        zeros = np.zeros(family.shape(), jnp.result_type(concentration, float))
        normal = sample(f"{name}_normal", wrap(Normal(zeros, 1.0).to_event(1)))
        return None, _normalize(normal + concentration)


def _normalize(x: Any) -> Any:
    """x / |x|, and the first unit vector where x = 0, with finite derivatives."""
    squares = jnp.sum(jnp.square(x), axis=-1, keepdims=True)
    is_zero = squares == 0
    unit = np.eye(1, np.shape(x)[-1], dtype=squares.dtype)[0]
    return jnp.where(is_zero, unit, x / jnp.sqrt(jnp.where(is_zero, 1.0, squares)))
