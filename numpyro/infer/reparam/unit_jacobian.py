"""Changes of variables that keep volume: the frequency domain, wavelets, permutations."""

from __future__ import annotations

from typing import Any

from numpyro._errors import UsageError
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.transforms import (
    ComposeTransform,
    DiscreteCosineTransform,
    HaarTransform,
    Transform,
    biject_to,
)
from numpyro.infer.reparam.base import Reparam, transformed
from numpyro.primitives import sample


class UnitJacobianReparam(Reparam):
    """Sample a variable after a transform with unit Jacobian, such as a rotation: the site ``{name}_{suffix}``.

    The transform acts on the unconstrained variable: where the support is not all of space, the site is the transform
    of ``biject_to(support).inv`` of the variable.

    :param transform: a bijection of the reals with unit Jacobian.
    :param suffix: the suffix of the new site's name.
    :raises ValueError: when called, if the variable is observed.
    """

    __module__ = "numpyro.infer.reparam"

    def __init__(self, transform: Transform, suffix: str = "transformed") -> None:
        self.transform = transform
        self.suffix = suffix

    def __call__(self, name: str, fn: Distribution, obs: Any) -> tuple[Distribution | None, Any]:
        self._reject_observed(name, obs)
        missing = self.transform.domain.event_dim - fn.event_dim
        if missing > len(fn.batch_shape):
            raise self._unsupported(
                name,
                fn,
                f"at least {self.transform.domain.event_dim} dimensions, where the draws have shape {fn.shape()}",
            )
        if missing > 0:
            fn = fn.to_event(missing)
        transform = ComposeTransform([biject_to(fn.support).inv, self.transform])
        rotated = sample(f"{name}_{self.suffix}", transformed(fn, transform))
        return None, transform.inv(rotated)


def _check_dim(strategy: str, dim: Any) -> None:
    if not isinstance(dim, int) or dim >= 0:
        raise UsageError(f"dim of {strategy} must be a negative integer, counted from the right, but got {dim!r}.")


class DiscreteCosineReparam(UnitJacobianReparam):
    """Sample a signal by its frequencies: the site ``{name}_dct`` holds the type-II discrete cosine transform.

    This helps where neighbours along a dimension are strongly dependent, as in time series and Gaussian processes.

    :param dim: the dimension of the signal, negative, counted from the right.
    :param smooth: how smooth the signal is: 0 for white noise (all frequencies of one size), 1 for Brownian motion;
        frequencies are rescaled accordingly, at unit Jacobian.
    :raises ValueError: if ``dim`` is not negative.
    """

    __module__ = "numpyro.infer.reparam"

    def __init__(self, dim: int = -1, smooth: float = 0.0) -> None:
        _check_dim("DiscreteCosineReparam", dim)
        super().__init__(DiscreteCosineTransform(dim=dim, smooth=smooth), suffix="dct")


class HaarReparam(UnitJacobianReparam):
    """Sample a signal by its Haar wavelets: the site ``{name}_haar`` holds the discrete Haar transform.

    This helps where neighbours along a dimension are strongly dependent and the signal has jumps.

    :param dim: the dimension of the signal, negative, counted from the right.
    :param flip: whether to reverse the signal first, so that the last entries rather than the first have the
        coefficients of their own.
    :raises ValueError: if ``dim`` is not negative.
    """

    __module__ = "numpyro.infer.reparam"

    def __init__(self, dim: int = -1, flip: bool = False) -> None:
        _check_dim("HaarReparam", dim)
        super().__init__(HaarTransform(dim=dim, flip=flip), suffix="haar")
