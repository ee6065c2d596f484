"""The counts of batched gradients, held against chains that are walked through one gradient at a time."""

from __future__ import annotations

import numpy as np

from benchmarks.many_chains import in_step, own_pace


def test_rounds_are_those_of_chains_that_wait():
    steps = np.random.default_rng(0).integers(1, 40, (5, 30))
    rounds = 0
    for iteration in steps.T:
        left, doubling = iteration.copy(), 1
        while left.any():  # a doubling ends for all when it has ended for the last
            taken = np.minimum(left, doubling)
            rounds, left, doubling = rounds + taken.max(), left - taken, 2 * doubling
    assert in_step(steps) == rounds
    assert own_pace(steps) == max(sum(chain) for chain in steps)


def test_equal_trajectories_wait_for_nobody():
    steps = np.full((4, 10), 7)
    assert in_step(steps) == own_pace(steps) == 70
