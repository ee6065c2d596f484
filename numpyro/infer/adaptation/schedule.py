"""The windows of warm-up, as in Stan: a fast start, doubling slow windows, a fast end.

In the fast windows only the step size adapts. At the end of each slow window the mass matrix is set from the
positions of that window alone, and the step size starts over.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

FAST_START, FIRST_SLOW, FAST_END = 75, 25, 50
MAX_WINDOWS = 32
"""Windows double, so that no warm-up that can be counted in 32 bits has more."""


class AdaptationWindow(NamedTuple):
    """The iterations ``start`` to ``end`` of warm-up, both included."""

    start: int
    end: int


def adaptation_windows(num_warmup: int) -> list[AdaptationWindow]:
    """The windows for a warm-up of ``num_warmup`` iterations.

    Below 20 iterations there is one window. Where 150 are too many, the start gets 15 % and the end 10 % of what
    there is.

    >>> [tuple(window) for window in adaptation_windows(1000)]
    [(0, 74), (75, 99), (100, 149), (150, 249), (250, 449), (450, 949), (950, 999)]
    """
    if num_warmup < 20:
        return [AdaptationWindow(0, num_warmup - 1)] if num_warmup > 0 else []
    start, slow, end = FAST_START, FIRST_SLOW, FAST_END
    if start + slow + end > num_warmup:
        start, end = int(0.15 * num_warmup), int(0.1 * num_warmup)
        slow = num_warmup - start - end
    windows = [AdaptationWindow(0, start - 1)]
    begin, size, last = start, slow, num_warmup - end
    while begin < last:
        stop = begin + size
        if stop + 2 * size > last:  # the next window would not fit: this one takes what is left
            stop = last
        windows.append(AdaptationWindow(begin, stop - 1))
        begin, size = stop, 2 * size
    windows.append(AdaptationWindow(num_warmup - end, num_warmup - 1))
    return windows


def window_ends(num_warmup: int) -> np.ndarray:
    """The last iteration of each window, padded to ``MAX_WINDOWS`` so that every warm-up fits one program."""
    ends = [window.end for window in adaptation_windows(num_warmup)]
    return np.array(ends + [np.iinfo(np.int32).max] * (MAX_WINDOWS - len(ends)), np.int32)
