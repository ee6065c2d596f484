"""Sample a transformed variable before its transforms."""

from __future__ import annotations

from typing import Any

from numpyro.distributions.distribution import Distribution, TransformedDistribution
from numpyro.infer.reparam.base import Reparam, unwrap
from numpyro.primitives import sample


class TransformReparam(Reparam):
    """Sample the base of a :class:`~numpyro.distributions.TransformedDistribution`, then apply its transforms.

    The base becomes the site ``{name}_base``. Where the transforms depend on other variables (a location and a scale,
    say), the base does not any more.

    :raises ValueError: when called, if the distribution is not a transformed one, or is observed.
    """

    __module__ = "numpyro.infer.reparam"

    def __call__(self, name: str, fn: Distribution, obs: Any) -> tuple[Distribution | None, Any]:
        self._reject_observed(name, obs)
        family, wrap = unwrap(fn)
        if not isinstance(family, TransformedDistribution):
            raise ValueError(
                f"TransformReparam does not automatically work with {type(family).__name__} distribution "
                f"(at site '{name}'). Please explicitly use the "
                "TransformedDistribution(base_dist, AffineTransform(...)) pattern with TransformReparam."
            )
        value = sample(f"{name}_base", wrap(family.base_dist))
        for transform in family.transforms:
            value = transform(value)
        return None, value
