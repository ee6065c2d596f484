"""The lower of two bounds is below the upper one."""

from __future__ import annotations

from typing import Any

from numpyro.distributions._validation import concrete


def check_order(d: Any) -> None:
    """Hold ``d.low`` against ``d.high``, as far as they are known.

    :raises ValueError: when ``low`` is not below ``high``.
    """
    low, high = concrete(d.low), concrete(d.high)
    if low is not None and high is not None and not (low < high).all():
        raise ValueError(
            f"{type(d).__name__} distribution got invalid low and high parameters: expected low < high, but "
            f"got low={d.low} and high={d.high}."
        )
