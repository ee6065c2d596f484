"""Observations held against the supports of their distributions, once before inference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from numpyro._typing import Array
from numpyro.distributions import constraints
from numpyro.distributions._validation import describe, failing
from numpyro.distributions.distribution import Distribution, MaskedDistribution


def _is_checked(site: Mapping[str, Any]) -> bool:
    """Whether out-of-support observations of a site are a mistake that can be seen.

    A mask says that some observations do not count; angles count whatever full turns they contain; real values that
    are not numbers show in the density.
    """
    if site["type"] != "sample" or not site["is_observed"] or site["infer"].get("is_auxiliary"):
        return False
    fn = site["fn"]
    if not fn._validate_args or fn.support is None:
        return False
    while isinstance(fn, Distribution):
        if isinstance(fn, MaskedDistribution) and fn._mask is not True:
            return False
        fn = getattr(fn, "base_dist", None)
    support = site["fn"].support
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    return support not in (constraints.real, constraints.circular)


def count_outside(model_trace: Mapping[str, Mapping[str, Any]]) -> dict[str, Array]:
    """How many events of each observed site are outside the support of its distribution; traceable."""
    return {
        name: jnp.sum(~jnp.asarray(site["fn"].support(site["value"]), bool))
        for name, site in model_trace.items()
        if _is_checked(site)
    }


def raise_outside(model_trace: Mapping[str, Mapping[str, Any]], names: list[str]) -> None:
    """Raise for the named sites of a trace of concrete values.

    :raises ValueError: saying how many observations are outside the support, and the first few.
    """
    lines = []
    for name in names:
        site = model_trace[name]
        value = np.asarray(site["value"])
        bad = failing(site["fn"].support, value)
        if bad is not None:
            lines.append(
                f"Site '{name}': observations are outside the support of its {type(site['fn']).__name__} "
                f"({site['fn'].support!r}): {describe(value, bad)}."
            )
    raise ValueError(
        "\n".join(lines) + "\nCorrect the data or the distribution; leave entries that do not count out of the density "
        "with a mask (numpyro.handlers.mask, or obs_mask of numpyro.sample)."
    )
