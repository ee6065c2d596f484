"""Adaptation during warm-up: the step size, the mass matrix, and the schedule that says when.

- ``dual_averaging``: the step size that meets a target acceptance probability;
- ``covariance``: running estimates of the posterior covariance for the mass matrix;
- ``schedule``: the windows of warm-up.

Each piece is a pure function over its own state; the kernel sequences them.
"""

from numpyro.infer.adaptation.covariance import WelfordState, welford_covariance, welford_init, welford_update
from numpyro.infer.adaptation.dual_averaging import DualAveragingState, dual_averaging_init, dual_averaging_update
from numpyro.infer.adaptation.schedule import AdaptationWindow, adaptation_windows, window_ends

__all__ = [
    "AdaptationWindow",
    "DualAveragingState",
    "WelfordState",
    "adaptation_windows",
    "dual_averaging_init",
    "dual_averaging_update",
    "welford_covariance",
    "welford_init",
    "welford_update",
    "window_ends",
]
