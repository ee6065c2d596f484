"""A change of variables of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpyro.distributions.distribution import Distribution
from numpyro.distributions.transforms import ComposeTransform, Transform
from numpyro.infer.reparam.base import Reparam, transformed
from numpyro.primitives import sample


class ExplicitReparam(Reparam):
    """Sample a variable in other coordinates: the site ``{name}_base`` is ``transform`` of the variable.

    The joint density of the model is kept, whatever the transform: its Jacobian is accounted for. So it may depend on
    other variables of the model.

    :param transform: a bijection, or a list of bijections to be composed, from the variable to its new coordinates.
    :raises ValueError: if it is neither; when called, if the variable is observed.

    >>> import numpyro, numpyro.distributions as dist
    >>> from numpyro.infer.reparam import ExplicitReparam
    >>> in_logs = ExplicitReparam(dist.transforms.ExpTransform().inv)
    >>> model = numpyro.handlers.reparam(lambda: numpyro.sample("x", dist.Exponential(1.0)), config={"x": in_logs})
    >>> list(numpyro.handlers.trace(numpyro.handlers.seed(model, rng_seed=0)).get_trace())
    ['x_base', 'x']
    """

    __module__ = "numpyro.infer.reparam"

    def __init__(self, transform: Transform | Sequence[Transform]) -> None:
        if isinstance(transform, Sequence) and all(isinstance(part, Transform) for part in transform):
            transform = ComposeTransform(list(transform))
        if not isinstance(transform, Transform):
            raise ValueError(f"transform must be a Transform, or a list of them, but was {transform!r}.")
        self.transform = transform

    def __call__(self, name: str, fn: Distribution, obs: Any) -> tuple[Distribution | None, Any]:
        self._reject_observed(name, obs)
        base = sample(f"{name}_base", transformed(fn, self.transform))
        return None, self.transform.inv(base)
