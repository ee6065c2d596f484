"""The windows of warm-up: a partition, whatever its length."""

from __future__ import annotations

import numpy as np
import pytest

from numpyro.infer.adaptation import adaptation_windows, growing_windows, window_ends
from numpyro.infer.adaptation.schedule import MAX_WINDOWS

both_kinds = pytest.mark.parametrize("make_windows", [adaptation_windows, growing_windows], ids=["stan", "growing"])


@both_kinds
@pytest.mark.parametrize("lengths", [range(0, 2001), [10**4, 10**5, 10**6, 10**9, 2**31 - 1]], ids=["small", "large"])
def test_windows_partition_warm_up(lengths, make_windows):
    for num_warmup in lengths:
        windows = make_windows(num_warmup)
        covered = 0
        for window in windows:
            assert window.start == covered, num_warmup
            assert window.end >= window.start, num_warmup
            covered = window.end + 1
        assert covered == num_warmup


def test_slow_windows_double_until_the_last_which_takes_the_rest():
    for num_warmup in [*range(150, 2001), 12345]:
        sizes = [end - start + 1 for start, end in adaptation_windows(num_warmup)]
        slow = sizes[1:-1]
        assert sizes[0] == 75
        assert sizes[-1] == 50
        assert slow[:-1] == [25 * 2**i for i in range(len(slow) - 1)]
        assert 25 * 2 ** (len(slow) - 1) <= slow[-1] < 4 * 25 * 2 ** (len(slow) - 1) + 25 * 2 ** (len(slow) - 1)


def test_short_warm_up_gives_shares_and_tiny_ones_a_single_window():
    for num_warmup in range(20, 150):
        windows = adaptation_windows(num_warmup)
        assert len(windows) == 3
        assert windows[0].end + 1 == int(0.15 * num_warmup)
        assert num_warmup - windows[-1].start == int(0.1 * num_warmup)
    assert all(len(adaptation_windows(num_warmup)) == 1 for num_warmup in range(1, 20))
    assert adaptation_windows(0) == []


def test_the_windows_of_stan():
    # the manual's default: 75 | 25, 50, 100, 200, 500 | 50
    assert [w.end + 1 for w in adaptation_windows(1000)] == [75, 100, 150, 250, 450, 950, 1000]
    assert [w.end + 1 for w in adaptation_windows(150)] == [75, 100, 150]


def test_growing_windows_grow_by_half_and_the_last_tenth_is_for_the_step_size():
    for num_warmup in [*range(150, 2001, 7), 12345]:
        sizes = [end - start + 1 for start, end in growing_windows(num_warmup)]
        assert sizes[-1] == num_warmup // 10
        assert sizes[0] == 5
        assert all(after == before * 3 // 2 for before, after in zip(sizes[:-2], sizes[1:-2], strict=False))
        assert sizes[-2] >= sizes[-3]
    for num_warmup in range(20, 150):
        assert len(growing_windows(num_warmup)) >= 2  # so that the mass matrix adapts at all


@both_kinds
def test_ends_are_padded_to_one_shape(make_windows):
    for num_warmup in (0, 1, 19, 20, 1000, 2**31 - 1):
        windows = make_windows(num_warmup)
        ends = window_ends(windows)
        assert ends.shape == (MAX_WINDOWS,)
        assert ends.dtype == np.int32
        assert len(windows) < MAX_WINDOWS  # so that after the last window there is an end that never comes
        assert ends[: len(windows)].tolist() == [window.end for window in windows]
        assert np.all(ends[len(windows) :] == np.iinfo(np.int32).max)
