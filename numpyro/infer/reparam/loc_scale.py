"""Non-centred location-scale variables, wholly or in part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from numpyro.distributions import constraints
from numpyro.distributions.distribution import Distribution
from numpyro.infer.reparam.base import Reparam, unwrap
from numpyro.primitives import param, sample
from numpyro.util import not_jax_tracer


class LocScaleReparam(Reparam):
    r"""Decenters a location-scale variable, by a fixed or a learned amount.

    With centeredness :math:`c \in [0, 1]` the variable :math:`x \sim D(\mu, \sigma)` becomes

    .. math:: z \sim D(c\mu,\ \sigma^c), \qquad x = \mu + \sigma^{1-c} (z - c\mu),

    :math:`z` being the site ``{name}_decentered``: :math:`c = 1` leaves the variable as it is, :math:`c = 0` is the
    non-centred form, which suits hierarchical models whose groups have little data.

    :param centered: the centeredness, a scalar or an array that broadcasts with the variable; ``None`` (default) makes
        it a param site ``{name}_centered`` of the shape of one event, starting at 0.5, for variational inference.
    :param shape_params: names of the distribution's parameters other than ``loc`` and ``scale``, which are passed on,
        such as ``["df"]`` for ``StudentT``.
    :raises ValueError: if ``centered`` is not within 0 and 1; when called, if the support of the distribution is not
        the real line, or it is no location-scale family.

    Source: Gorinova, Moore and Hoffman (2019), Automatic Reparameterisation of Probabilistic Programs, section 4.
    """

    __module__ = "numpyro.infer.reparam"

    def __init__(self, centered: Any = None, shape_params: Sequence[str] = ()) -> None:
        if isinstance(shape_params, str) or not all(isinstance(name, str) for name in shape_params):
            raise TypeError(f"shape_params must be a sequence of names, such as ['df'], but got {shape_params!r}.")
        if centered is not None and not_jax_tracer(centered) and not np.all((0 <= centered) & (centered <= 1)):
            raise ValueError(f"`centered` argument does not satisfy `0 <= centered <= 1`: got {centered!r}.")
        self.centered = centered
        self.shape_params = shape_params

    def __call__(self, name: str, fn: Distribution, obs: Any) -> tuple[Distribution | None, Any]:
        self._reject_observed(name, obs)
        family: Any
        family, wrap = unwrap(fn)
        if family.support is not constraints.real:
            raise ValueError(
                "LocScaleReparam only supports distributions with real support, but got "
                f"{family.support} support at site {name}."
            )
        shape_params = self._check_parameters(name, family)
        if self._is_constant(1):
            return fn, obs

        loc, scale = family.loc, family.scale
        if self._is_constant(0):
            center = 0.0
            base_loc: Any = np.zeros(np.shape(loc), jnp.result_type(loc, float))
            base_scale: Any = np.ones(np.shape(scale), jnp.result_type(scale, float))
        else:
            centered = self.centered
            if centered is None:
                initial = jnp.asarray(np.full(fn.event_shape, 0.5, jnp.result_type(float)))
                centered = param(f"{name}_centered", initial, constraint=constraints.unit_interval)
            center = loc * centered
            base_loc, base_scale = center, scale**centered
            scale = scale ** (1 - centered)

        base = type(family)(loc=base_loc, scale=base_scale, **{key: getattr(family, key) for key in shape_params})
        decentered = sample(f"{name}_decentered", wrap(base.expand(family.batch_shape)))
        return None, loc + scale * (decentered - center)

    def _is_constant(self, value: float) -> bool:
        return isinstance(self.centered, int | float) and self.centered == value

    def _check_parameters(self, name: str, family: Distribution) -> Sequence[str]:
        present = [key for key in family.arg_constraints if hasattr(family, key)]
        if "loc" not in present or "scale" not in present:
            raise ValueError(
                f"LocScaleReparam needs a distribution with parameters loc and scale, but {type(family).__name__} at "
                f"site {name} has {present}."
            )
        others = [key for key in present if key not in ("loc", "scale")]
        if set(others) != set(self.shape_params):
            raise ValueError(
                f"{type(family).__name__} at site {name} has the parameters {others} besides loc and scale; "
                f"write LocScaleReparam({self.centered!r}, shape_params={others})."
            )
        return self.shape_params
