"""Which of the two bounds of a truncated distribution are parameters, and which truncation given bounds call for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from numpyro._typing import ArrayLike
from numpyro.distributions import constraints
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.truncated.base import Truncated

BOUND = constraints.dependent(is_discrete=False, event_dim=0)


class AtLeast(Truncated):
    """Truncation below, at ``low``."""

    arg_constraints = {"low": constraints.real}
    reparametrized_params = ["low"]

    def __init__(self, base_dist: Distribution, low: ArrayLike = 0.0, *, validate_args: bool | None = None) -> None:
        super().__init__(base_dist, validate_args, low=low)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> constraints.Constraint:
        return constraints.greater_than_eq(self.low)


class AtMost(Truncated):
    """Truncation above, at ``high``; below, the base ends by itself, or nowhere."""

    arg_constraints = {"high": constraints.real}
    reparametrized_params = ["high"]

    def __init__(self, base_dist: Distribution, high: ArrayLike = 0.0, *, validate_args: bool | None = None) -> None:
        super().__init__(base_dist, validate_args, high=high)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> constraints.Constraint:
        if np.isneginf(self.low):
            return constraints.less_than_eq(self.high)
        return constraints.interval(self.low, self.high)


class Between(Truncated):
    """Truncation on both sides."""

    arg_constraints = {"low": BOUND, "high": BOUND}
    reparametrized_params = ["low", "high"]

    def __init__(
        self,
        base_dist: Distribution,
        low: ArrayLike = 0.0,
        high: ArrayLike = 1.0,
        *,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(base_dist, validate_args, low=low, high=high)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> constraints.Constraint:
        return constraints.interval(self.low, self.high)


def truncate(
    base: Distribution,
    low: ArrayLike | None,
    high: ArrayLike | None,
    validate_args: bool | None,
    *,
    at_least: Callable[..., Distribution],
    at_most: Callable[..., Distribution],
    between: Callable[..., Distribution],
) -> Distribution:
    """``base`` truncated by the class that the given bounds call for, or itself where none is given."""
    if low is None:
        return base if high is None else at_most(base, high, validate_args=validate_args)
    if high is None:
        return at_least(base, low, validate_args=validate_args)
    return between(base, low, high, validate_args=validate_args)
