"""The kernel of ChEES-HMC: its settings, and what they make of a model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from numpyro._typing import Array, PyTree
from numpyro.infer.chees.algorithm import ChEESAlgorithm, ChEESState, ChEESTuning
from numpyro.infer.density_kernel import DensityKernel
from numpyro.infer.hmc.metric import DiagonalMetric
from numpyro.infer.hmc.state import make_schedule, schedule_of
from numpyro.infer.hmc.warmup import Warmup, make_estimators
from numpyro.infer.initialization import init_to_uniform
from numpyro.infer.model import Layout
from numpyro.infer.program import is_traced


class ChEES(DensityKernel):
    """HMC for many chains at once, with trajectories of one length that chains learn from each other.

    All chains take the same number of leapfrog steps, so that on an accelerator, where one takes as long as hundreds,
    nobody waits for the slowest. Iteration :math:`n` takes :math:`\\lceil h_n T / \\epsilon \\rceil` steps, with
    :math:`h_n \\in (0, 1)` the van der Corput sequence: lengths vary, so that no trajectory returns to where it began
    time and again. In warm-up

    - :math:`T` climbs, by a step of Adam an iteration, the change in the estimator of the expected square (ChEES) of
      trajectories from :math:`z` to :math:`z'`,

      .. math::

          \\tfrac14 E \\big[ (|z' - E z'|^2 - |z - E z|^2)^2 \\big]

      in coordinates of unit scale, with expectations over chains;
    - dual averaging leads the harmonic mean of the chains' acceptance probabilities to a target;
    - a diagonal mass matrix is estimated from draws and gradients of all chains (``adaptation="fisher"`` of NUTS).

    Afterwards all three stay as they are, averaged over iterations, and chains no longer depend on each other.

    It needs ``chain_method="vectorized"`` and several chains, better 32 or more.

    :param model: a model; its continuous latent sites are sampled. Give it, or ``potential_fn``.
    :param potential_fn: the potential energy, a function of a pytree of unconstrained arrays.
    :param step_size: the first step size, in coordinates of unit scale; 1 by default.
    :param trajectory_length: the first :math:`T`, in these coordinates; 1 by default.
    :param adapt_step_size: adapt the step size in warm-up.
    :param adapt_mass_matrix: adapt the scales of the coordinates in warm-up; otherwise they are all 1.
    :param target_accept_prob: what the mean acceptance probability is adapted to; 0.651 by default, which is best for
        trajectories of one length in many dimensions.
    :param init_strategy: how starting values are found, see :mod:`numpyro.infer.initialization`.
    :param adapt_trajectory_length: adapt :math:`T` in warm-up.
    :raises ValueError: when not exactly one of ``model`` and ``potential_fn`` is given, a setting is out of range, or
        lengths are to be learnt by a single chain.

    **References:** M. D. Hoffman, A. Radul, P. Sountsov, *An adaptive-MCMC scheme for setting trajectory lengths in
    Hamiltonian Monte Carlo* (2021).
    """

    flat_fields = ("z", "z_grad")
    with_gradient = True

    def __init__(
        self,
        model: Callable | None = None,
        potential_fn: Callable[[PyTree], Array] | None = None,
        step_size: float = 1.0,
        trajectory_length: float = 1.0,
        adapt_step_size: bool = True,
        adapt_mass_matrix: bool = True,
        target_accept_prob: float = 0.651,
        init_strategy: Callable = init_to_uniform,
        *,
        adapt_trajectory_length: bool = True,
    ) -> None:
        super().__init__(model, potential_fn, init_strategy)
        for name, value in {"step_size": step_size, "trajectory_length": trajectory_length}.items():
            if not 0 < value < np.inf:
                raise ValueError(f"`{name}` must be a positive number, got {value}.")
        if not 0 < target_accept_prob < 1:
            raise ValueError(f"`target_accept_prob` must lie between 0 and 1, got {target_accept_prob}.")
        self._step_size, self._trajectory_length = float(step_size), float(trajectory_length)
        self._target_accept_prob = float(target_accept_prob)
        self._adapt_step_size, self._adapt_mass_matrix = bool(adapt_step_size), bool(adapt_mass_matrix)
        self._adapt_trajectory_length = bool(adapt_trajectory_length)

    @property
    def default_fields(self) -> tuple[str, ...]:
        return ("z", "diverging")

    @property
    def pools_chains(self) -> bool:
        return self._adapt_step_size or self._adapt_mass_matrix or self._adapt_trajectory_length

    def get_diagnostics_str(self, state: ChEESState) -> str:
        steps, size = int(np.max(state.num_steps)), float(np.max(state.adapt_state.step_size))
        return f"{steps} steps of size {size:.2e}. acc. prob={float(np.mean(state.mean_accept_prob)):.2f}"

    def remaining_warmup(self, state: ChEESState) -> int:
        remaining = schedule_of(state.adapt_state).num_warmup - state.i
        return 0 if is_traced(remaining) else max(0, int(np.max(remaining)))

    def algorithm(self, layout: Layout, num_warmup: int) -> tuple[ChEESAlgorithm, ChEESTuning]:
        metric = DiagonalMetric(layout.size)
        warmup = Warmup(
            metric=metric,
            mass=metric,
            estimators=make_estimators(metric, "fisher", True, True),
            overlapping=True,
            adapt_step_size=self._adapt_step_size,
            adapt_mass_matrix=self._adapt_mass_matrix,
            find_heuristic_step_size=False,
            pooled=True,
        )
        dtype = np.dtype(layout.dtype)
        tuning = ChEESTuning(
            step_size=np.asarray(self._step_size, dtype),
            target_accept_prob=np.asarray(self._target_accept_prob, dtype),
            trajectory_length=np.asarray(self._trajectory_length, dtype),
            schedule=make_schedule(num_warmup, overlapping=True),
        )
        adapts = self._adapt_trajectory_length
        return ChEESAlgorithm(warmup, metric, adapts, adapts and num_warmup > 0), tuning
