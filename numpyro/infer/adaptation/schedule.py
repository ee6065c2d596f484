"""The windows of warm-up.

:func:`adaptation_windows` are those of Stan: a fast start, doubling slow windows, a fast end. In the fast windows only
the step size adapts. At the end of each slow window the mass matrix is set from the positions of that window alone, and
the step size starts over.

:func:`growing_windows` are for estimates that are good from the first: the mass matrix adapts from the start, from the
positions of the present window and the one before it, so that it always has a window's worth of them and forgets early
ones in time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

FAST_START, FIRST_SLOW, FAST_END = 75, 25, 50
FIRST_GROWING, GROWTH, LAST_SHARE = 5, 1.5, 0.1
MAX_WINDOWS = 64
"""Windows grow by half at least, so that no warm-up that can be counted in 32 bits has more."""


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


def growing_windows(num_warmup: int) -> list[AdaptationWindow]:
    """The windows where every iteration adapts, for a warm-up of ``num_warmup`` iterations.

    Each is longer than the one before by half; the last, in which only the step size adapts, gets a tenth of all.
    Below 20 iterations there is one window.

    >>> [tuple(window) for window in growing_windows(200)]
    [(0, 4), (5, 11), (12, 21), (22, 36), (37, 58), (59, 91), (92, 179), (180, 199)]
    """
    if num_warmup < 20:
        return [AdaptationWindow(0, num_warmup - 1)] if num_warmup > 0 else []
    last = num_warmup - max(1, int(LAST_SHARE * num_warmup))
    windows = []
    begin, size = 0, FIRST_GROWING
    while begin < last:
        following = int(GROWTH * size)
        stop = begin + size
        if stop + following > last:
            stop = last
        windows.append(AdaptationWindow(begin, stop - 1))
        begin, size = stop, following
    windows.append(AdaptationWindow(last, num_warmup - 1))
    return windows


def window_ends(windows: list[AdaptationWindow]) -> np.ndarray:
    """The last iteration of each window, padded to ``MAX_WINDOWS`` so that every warm-up fits one program."""
    ends = [window.end for window in windows]
    return np.array(ends + [np.iinfo(np.int32).max] * (MAX_WINDOWS - len(ends)), np.int32)
