"""Adaptation during warm-up: the step size, the mass matrix, and the schedule that says when.

- ``dual_averaging``: the step size that meets a target acceptance probability; ``energy_error``: the one that meets a
  target variance of the energy errors of steps;
- ``trajectory_length``: the length at which trajectories of many chains forget most;
- ``covariance``: running covariances of draws and gradients;
- ``fisher``, ``low_rank``: inverse mass matrices from both, with which the posterior is most nearly standard normal;
- ``estimators``: the strategies that a kernel can choose among, with the same operations;
- ``schedule``: the windows of warm-up.

Each piece is a pure function over its own state; the kernel sequences them.
"""

from numpyro.infer.adaptation.covariance import WelfordState, welford_covariance, welford_init, welford_update
from numpyro.infer.adaptation.dual_averaging import DualAveragingState, dual_averaging_init, dual_averaging_update
from numpyro.infer.adaptation.energy_error import EnergyErrorState, energy_error_update
from numpyro.infer.adaptation.estimators import CovarianceEstimator, Estimator, FisherEstimator, LowRankEstimator
from numpyro.infer.adaptation.low_rank import LowRankMatrix, low_rank_estimate
from numpyro.infer.adaptation.schedule import AdaptationWindow, adaptation_windows, growing_windows, window_ends
from numpyro.infer.adaptation.trajectory_length import (
    TrajectoryLengthState,
    chees_gradient,
    trajectory_length_init,
    trajectory_length_update,
    van_der_corput,
)

__all__ = [
    "AdaptationWindow",
    "CovarianceEstimator",
    "DualAveragingState",
    "EnergyErrorState",
    "Estimator",
    "FisherEstimator",
    "LowRankEstimator",
    "LowRankMatrix",
    "TrajectoryLengthState",
    "WelfordState",
    "adaptation_windows",
    "chees_gradient",
    "dual_averaging_init",
    "dual_averaging_update",
    "energy_error_update",
    "growing_windows",
    "low_rank_estimate",
    "trajectory_length_init",
    "trajectory_length_update",
    "van_der_corput",
    "welford_covariance",
    "welford_init",
    "welford_update",
    "window_ends",
]
