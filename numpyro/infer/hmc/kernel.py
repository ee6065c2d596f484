"""The kernels HMC and NUTS."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from numpyro._typing import Array, PyTree
from numpyro.infer.hmc.mass_matrix import DenseMass, build_metric, first_inverse_mass_matrix
from numpyro.infer.hmc.metric import AdaptedMetric, CustomKineticEnergy, Metric
from numpyro.infer.hmc.sampler import HMCSampler
from numpyro.infer.hmc.state import HMCState, make_schedule, schedule_of
from numpyro.infer.hmc.transition import HMCAlgorithm, Tuning
from numpyro.infer.hmc.warmup import ADAPTATIONS, Warmup, make_estimators
from numpyro.infer.initialization import init_to_uniform
from numpyro.infer.mcmc.model_kernel import ModelKernel
from numpyro.infer.mcmc.target import Target
from numpyro.infer.program import is_traced
from numpyro.util import find_stack_level, not_jax_tracer


class HMC(ModelKernel):
    """Hamiltonian Monte Carlo with a fixed trajectory length, and adaptive step size and mass matrix.

    A momentum :math:`r \\sim N(0, M)` is drawn, Hamilton's equations for :math:`H(z, r) = U(z) + K(r)` are followed for
    a length by leapfrog steps, and the end is accepted with probability :math:`\\min(1, e^{-\\Delta H})`.

    :param model: a model; its continuous latent sites are sampled. Give it, or ``potential_fn``.
    :param potential_fn: the potential energy :math:`U`, a function of a pytree of unconstrained arrays.
    :param kinetic_fn: a function ``(inverse_mass_matrix, r) -> scalar``; Euclidean by default.
    :param step_size: the first step size.
    :param inverse_mass_matrix: the first inverse mass matrix: an array over the flat position, or a dictionary of
        arrays by tuples of sites. The identity by default.
    :param adapt_step_size: adapt the step size in warm-up, by dual averaging.
    :param adapt_mass_matrix: adapt the mass matrix in warm-up.
    :param dense_mass: ``False`` for a diagonal mass matrix, ``True`` for a full one, or a list of tuples of sites: a
        full block for each, and the other sites diagonal.
    :param target_accept_prob: what the mean acceptance probability is adapted to; higher means smaller steps.
    :param num_steps: leapfrog steps of a trajectory. With ``trajectory_length`` too, the step size is their quotient
        and is not adapted; pass ``trajectory_length=None`` to adapt it.
    :param trajectory_length: length of a trajectory, :math:`2\\pi` by default.
    :param init_strategy: how starting values are found, see :mod:`numpyro.infer.initialization`.
    :param find_heuristic_step_size: search a first step size, now and at each change of the mass matrix.
    :param forward_mode_differentiation: use forward mode derivatives, for models that reverse mode can't differentiate
        (``while_loop``); the cost grows with the dimension.
    :param regularize_mass_matrix: shrink the estimated mass matrix a little towards the identity; with draws and
        gradients, a diagonal one towards the one before, others towards their diagonal.
    :param adaptation: what the mass matrix is adapted to. ``"windows"``: the covariance of the draws, in windows as
        Stan has them. ``"fisher"``: draws and gradients, for the least Fisher divergence from a normal distribution;
        diagonal or, where ``dense_mass`` says so, dense. ``"low_rank"``: the same with a matrix that is diagonal but
        for up to 16 directions, at little more than the cost of a diagonal one. The two latter start from the gradient
        at the first position and change the matrix from the first draws on.
    :param pooled_adaptation: one step size and one mass matrix for all chains, learnt from all; several chains need
        ``chain_method="vectorized"``.
    :raises ValueError: when not exactly one of ``model`` and ``potential_fn`` is given, or a setting is out of range.

    **References:** R. M. Neal, *MCMC using Hamiltonian dynamics* (2011).
    """

    def __init__(
        self,
        model: Callable | None = None,
        potential_fn: Callable[[PyTree], Array] | None = None,
        kinetic_fn: Callable[[PyTree, PyTree], Array] | None = None,
        step_size: float = 1.0,
        inverse_mass_matrix: Any = None,
        adapt_step_size: bool = True,
        adapt_mass_matrix: bool = True,
        dense_mass: DenseMass = False,
        target_accept_prob: float = 0.8,
        num_steps: int | None = None,
        trajectory_length: float | None = 2 * math.pi,
        init_strategy: Callable = init_to_uniform,
        find_heuristic_step_size: bool = False,
        forward_mode_differentiation: bool = False,
        regularize_mass_matrix: bool = True,
        adaptation: str = "windows",
        pooled_adaptation: bool = False,
    ) -> None:
        super().__init__(model, potential_fn, init_strategy, kinetic_fn=kinetic_fn)
        self._kinetic_fn = kinetic_fn
        self._step_size = step_size
        self._inverse_mass_matrix = inverse_mass_matrix
        self._adapt_step_size = adapt_step_size
        self._adapt_mass_matrix = adapt_mass_matrix
        self._dense_mass = dense_mass
        self._target_accept_prob = target_accept_prob
        self._num_steps = num_steps
        self._trajectory_length = trajectory_length
        self._max_tree_depth: tuple[int, int] | None = None
        self._find_heuristic_step_size = find_heuristic_step_size
        self._forward_mode_differentiation = forward_mode_differentiation
        self._regularize_mass_matrix = regularize_mass_matrix
        self._adaptation = adaptation
        self._pooled_adaptation = bool(pooled_adaptation)
        self._check_settings()

    def _check_settings(self) -> None:
        if isinstance(self._step_size, (int, float)) and not self._step_size > 0:
            raise ValueError(f"`step_size` must be positive, got {self._step_size}.")
        target = self._target_accept_prob
        if isinstance(target, (int, float)) and not 0 < target < 1:
            raise ValueError(f"`target_accept_prob` must lie between 0 and 1, got {target}.")
        if self._adaptation not in ADAPTATIONS:
            raise ValueError(f"`adaptation` must be one of {ADAPTATIONS}, got {self._adaptation!r}.")
        if self._adaptation == "low_rank" and self._dense_mass is not False:
            raise ValueError(
                "adaptation='low_rank' has a form of its own for correlations: leave `dense_mass` at False, or use "
                "adaptation='fisher' with dense matrices."
            )
        self._check_lengths()

    def _check_lengths(self) -> None:
        if self._num_steps is None and self._trajectory_length is None:
            raise ValueError("At least one of `num_steps` or `trajectory_length` must be specified.")
        if self._num_steps is not None and (int(self._num_steps) != self._num_steps or self._num_steps < 1):
            raise ValueError(f"`num_steps` must be a positive integer, got {self._num_steps}.")
        if self._num_steps is not None and self._trajectory_length is not None:
            warnings.warn(
                "If both `num_steps` and `trajectory_length` are specified step size can't be adapted: it is "
                "trajectory_length / num_steps. Pass trajectory_length=None to adapt it.",
                UserWarning,
                stacklevel=find_stack_level(),
            )
            self._step_size = self._trajectory_length / self._num_steps
            self._adapt_step_size = False

    @property
    def default_fields(self) -> tuple[str, ...]:
        return ("z", "diverging")

    @property
    def pools_chains(self) -> bool:
        return self._pooled_adaptation

    def get_diagnostics_str(self, state: HMCState) -> str:
        steps, size = int(np.mean(state.num_steps)), float(np.mean(state.adapt_state.step_size))
        return f"{steps} steps of size {size:.2e}. acc. prob={float(np.mean(state.mean_accept_prob)):.2f}"

    def remaining_warmup(self, state: HMCState) -> int:
        remaining = schedule_of(state.adapt_state).num_warmup - state.i
        return 0 if is_traced(remaining) else max(0, int(np.max(remaining)))

    def sampler_of(self, target: Target, num_warmup: int) -> HMCSampler:
        """The programs of a kernel with these settings for another density, as kernels have it that move a part of a
        model's sites by HMC."""
        layout, mass = build_metric(
            target.prototype,
            self._dense_mass,
            named=self._model is not None,
            low_rank=self._adaptation == "low_rank",
        )
        metric: Metric = mass
        if self._kinetic_fn is not None:
            metric = CustomKineticEnergy(mass, self._kinetic_fn, layout)
        warmup = Warmup(
            metric=metric,
            mass=mass,
            estimators=make_estimators(mass, self._adaptation, self._regularize_mass_matrix, self._pooled_adaptation),
            overlapping=self._adaptation != "windows",
            adapt_step_size=self._adapt_step_size,
            adapt_mass_matrix=self._adapt_mass_matrix,
            find_heuristic_step_size=self._find_heuristic_step_size,
            pooled=self._pooled_adaptation,
        )
        num_checkpoints = None if self._max_tree_depth is None else max(self._max_tree_depth)
        algorithm = HMCAlgorithm(metric=metric, num_checkpoints=num_checkpoints, warmup=warmup)
        tuning = self._tuning(num_warmup, mass)
        return HMCSampler(algorithm, layout, tuning, target, self._forward_mode_differentiation)

    def _tuning(self, num_warmup: int, mass: AdaptedMetric) -> Tuning:
        depth = self._max_tree_depth or (0, 0)
        step_size = self._step_size
        return Tuning(
            step_size=np.asarray(step_size, jnp.result_type(float)) if not_jax_tracer(step_size) else step_size,
            inverse_mass_matrix=first_inverse_mass_matrix(self._inverse_mass_matrix, mass),
            target_accept_prob=self._target_accept_prob,
            trajectory_length=self._trajectory_length,
            num_steps=self._num_steps,
            max_tree_depth=(np.int32(depth[0]), np.int32(depth[1])),
            schedule=make_schedule(num_warmup, overlapping=self._adaptation != "windows"),
        )


class NUTS(HMC):
    """The No-U-Turn sampler: HMC whose trajectories end where they begin to turn back.

    The next state is drawn from the points of a trajectory with multinomial weights; adaptation is as in
    :class:`HMC`, of which all other parameters are those.

    :param trajectory_length: kept for the interface; trajectories choose their own lengths.
    :param max_tree_depth: a trajectory has at most ``2**max_tree_depth`` points; a pair gives one depth for warm-up
        and one for afterwards.

    **References:**

    1. M. D. Hoffman, A. Gelman, *The No-U-Turn Sampler* (2014).
    2. M. Betancourt, *A conceptual introduction to Hamiltonian Monte Carlo* (2017).
    3. D. Phan, N. Pradhan, M. Jankowiak, *Composable effects for flexible and accelerated probabilistic programming
       in NumPyro* (2019), on the iterative construction of the tree.
    """

    def __init__(
        self,
        model: Callable | None = None,
        potential_fn: Callable[[PyTree], Array] | None = None,
        kinetic_fn: Callable[[PyTree, PyTree], Array] | None = None,
        step_size: float = 1.0,
        inverse_mass_matrix: Any = None,
        adapt_step_size: bool = True,
        adapt_mass_matrix: bool = True,
        dense_mass: DenseMass = False,
        target_accept_prob: float = 0.8,
        trajectory_length: float | None = None,
        max_tree_depth: int | tuple[int, int] = 10,
        init_strategy: Callable = init_to_uniform,
        find_heuristic_step_size: bool = False,
        forward_mode_differentiation: bool = False,
        regularize_mass_matrix: bool = True,
        adaptation: str = "windows",
        pooled_adaptation: bool = False,
    ) -> None:
        super().__init__(
            model,
            potential_fn,
            kinetic_fn,
            step_size,
            inverse_mass_matrix,
            adapt_step_size,
            adapt_mass_matrix,
            dense_mass,
            target_accept_prob,
            None,
            trajectory_length,
            init_strategy,
            find_heuristic_step_size,
            forward_mode_differentiation,
            regularize_mass_matrix,
            adaptation,
            pooled_adaptation,
        )
        depths = max_tree_depth if isinstance(max_tree_depth, (tuple, list)) else (max_tree_depth, max_tree_depth)
        if len(depths) != 2 or any(int(d) != d or not 1 <= d <= 30 for d in depths):
            raise ValueError(
                f"`max_tree_depth` must be an integer from 1 to 30 or a pair of them, got {max_tree_depth}."
            )
        self._max_tree_depth = (int(depths[0]), int(depths[1]))

    def _check_lengths(self) -> None:
        """Trajectories have no set length."""


HMC.__module__ = NUTS.__module__ = "numpyro.infer.hmc"
