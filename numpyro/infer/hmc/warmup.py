"""Warm-up: when the step size and the mass matrix change, and from what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._typing import Array, Key, PyTree
from numpyro.infer.adaptation import (
    CovarianceEstimator,
    DualAveragingState,
    Estimator,
    FisherEstimator,
    LowRankEstimator,
    dual_averaging_init,
    dual_averaging_update,
)
from numpyro.infer.chain_axis import mean_over_chains, shared, update_where
from numpyro.infer.hmc.integrator import PhasePoint, PotentialAndGrad
from numpyro.infer.hmc.metric import AdaptedMetric, BlockMetric, DenseMetric, LowRankMetric, Metric
from numpyro.infer.hmc.state import HMCAdaptState, Schedule, schedule_of
from numpyro.infer.hmc.step_size import heuristic_step_size
from numpyro.infer.hmc.trajectory import Transition

ADAPTATIONS = ("windows", "fisher", "low_rank")


def make_estimators(mass: AdaptedMetric, adaptation: str, regularize: bool, pooled: bool) -> Any:
    """What estimates the mass matrix of a metric: an estimator or, for blocks, pairs ``(sites, estimator)``.

    :param adaptation: one of :data:`ADAPTATIONS`.
    """
    if isinstance(mass, BlockMetric):
        return tuple((key, make_estimators(block, adaptation, regularize, pooled)) for key, block in mass.blocks)
    if isinstance(mass, LowRankMetric):
        return LowRankEstimator(mass.size, mass.rank, regularize, pooled)
    kind = FisherEstimator if adaptation == "fisher" else CovarianceEstimator
    return kind(mass.size, isinstance(mass, DenseMetric), regularize, pooled)


@dataclass(frozen=True)
class Warmup:
    """How a chain adapts; compares equal where the program is the same.

    :param metric: the kinetic energy.
    :param mass: the metric of the mass matrix; the same unless the kinetic energy is custom.
    :param estimators: see :func:`make_estimators`.
    :param overlapping: the mass matrix adapts from the first iteration on, and the step size goes on through its
        changes; otherwise in slow windows, at the end of each of which the step size starts over.
    :param pooled: chains that advance together share one step size and one mass matrix.
    """

    metric: Metric
    mass: AdaptedMetric
    estimators: Any
    overlapping: bool
    adapt_step_size: bool
    adapt_mass_matrix: bool
    find_heuristic_step_size: bool
    pooled: bool

    def init(
        self,
        potential_and_grad: PotentialAndGrad,
        point: PhasePoint,
        step_size: Array,
        inverse: PyTree,
        target: Array,
        schedule: Schedule,
        rng_key: Key,
    ) -> HMCAdaptState:
        """The first state.

        :param point: the first position; its momentum is not used.
        :param inverse: the inverse mass matrix to start from; ``None`` for one of our choice.
        """
        dtype = point.z.dtype
        adapt_key, heuristic_key = jax.random.split(rng_key)
        if inverse is None:
            inverse = self.mass.identity(dtype)
            if self.adapt_mass_matrix:
                inverse = self._each(lambda e, inverse, grad: e.first(inverse, grad), inverse, self._split(point.grad))
        inverse = jax.tree.map(lambda x: jnp.asarray(x, dtype), inverse)
        mass = self.mass.mass_matrix(inverse)
        if self.find_heuristic_step_size:
            step_size = heuristic_step_size(
                potential_and_grad, self.metric, mass, point, step_size, target, heuristic_key, pooled=self.pooled
            )
        return HMCAdaptState(
            step_size,
            *mass,
            dual_averaging_init(step_size),
            self._each(lambda estimator: estimator.init(np.dtype(dtype))),
            jnp.zeros((), jnp.int32),
            adapt_key,
            schedule,
        )

    def update(
        self,
        potential_and_grad: PotentialAndGrad,
        adapt: HMCAdaptState,
        i: Array,
        transition: Transition,
        target: Array,
    ) -> HMCAdaptState:
        """The state after iteration ``i`` of warm-up."""
        schedule = schedule_of(adapt)
        end = schedule.window_ends[adapt.window_idx]
        is_last, window_end = i == schedule.num_warmup - 1, i == end
        # The mass matrix adapts in slow windows: not in the last window, which ends with warm-up, nor in Stan's first.
        in_slow = end < schedule.num_warmup - 1
        if not self.overlapping:
            in_slow = in_slow & (adapt.window_idx > 0)

        if self.adapt_step_size:
            settle = is_last if self.overlapping else is_last | window_end
            adapt = self._update_step_size(adapt, transition.accept_prob, target, settle)
        if self.adapt_mass_matrix:
            adapt = update_where(in_slow, lambda adapt: self._observe(adapt, transition), adapt)
        adapt = update_where(
            window_end & in_slow,
            lambda adapt: self._end_window(potential_and_grad, adapt, transition, target),
            adapt,
        )
        return adapt._replace(window_idx=jnp.where(window_end, adapt.window_idx + 1, adapt.window_idx))

    def _update_step_size(
        self, adapt: HMCAdaptState, accept_prob: Array, target: Array, settle: Array
    ) -> HMCAdaptState:
        """One iteration of dual averaging; the step size becomes its average where it is to ``settle``."""
        if self.pooled:
            # The harmonic mean is near 0 where it is in any chain: none is left behind by too long a step.
            accept_prob = 1.0 / mean_over_chains(1.0 / accept_prob)
        averaging = dual_averaging_update(DualAveragingState(*adapt.ss_state), accept_prob, target)
        log_step = jnp.where(settle, averaging.log_step_avg, averaging.log_step)
        limits = jnp.finfo(log_step.dtype)
        return adapt._replace(step_size=jnp.clip(jnp.exp(log_step), limits.tiny, limits.max), ss_state=averaging)

    def _observe(self, adapt: HMCAdaptState, transition: Transition) -> HMCAdaptState:
        """Add a draw and its gradient to what is known, and change what changes at each iteration."""
        observed = self._each(
            lambda estimator, *seen: estimator.update(*seen),
            adapt.mm_state,
            self._split(transition.z),
            self._split(transition.grad),
        )
        adapt = adapt._replace(mm_state=observed)
        return self._set_mass(adapt, only_continuous=True)

    def _end_window(
        self, potential_and_grad: PotentialAndGrad, adapt: HMCAdaptState, transition: Transition, target: Array
    ) -> HMCAdaptState:
        """Set the mass matrix and begin a window."""
        if self.adapt_mass_matrix:
            # Where windows overlap, the one that begins has draws already, and the one that ends has draws too old.
            if not self.overlapping:
                adapt = self._set_mass(adapt, only_continuous=False)
            adapt = adapt._replace(mm_state=self._each(lambda e, state: e.next_window(state), adapt.mm_state))
            if self.overlapping:
                adapt = self._set_mass(adapt, only_continuous=False)
            if self.adapt_step_size and self.find_heuristic_step_size:
                rng_key, heuristic_key = jax.random.split(adapt.rng_key)
                point = PhasePoint(transition.z, transition.z, transition.potential, transition.grad)
                mass = self.mass.mass_matrix(adapt.inverse_mass_matrix)
                step_size = heuristic_step_size(
                    potential_and_grad,
                    self.metric,
                    mass,
                    point,
                    adapt.step_size,
                    target,
                    heuristic_key,
                    pooled=self.pooled,
                )
                adapt = adapt._replace(step_size=step_size, rng_key=rng_key)
        if self.adapt_step_size and not self.overlapping:
            adapt = adapt._replace(ss_state=dual_averaging_init(adapt.step_size))
        return adapt

    def _set_mass(self, adapt: HMCAdaptState, *, only_continuous: bool) -> HMCAdaptState:
        """The mass matrix as it is now estimated, in all blocks or in those that are estimated at each iteration."""
        if only_continuous and not any(estimator.continuous for estimator in self._estimators()):
            return adapt

        def estimate(estimator: Estimator, state: PyTree, inverse: PyTree) -> PyTree:
            if only_continuous and not estimator.continuous:
                return inverse
            return estimator.estimate(state, inverse)

        seen, inverse = adapt.mm_state, adapt.inverse_mass_matrix
        if self.pooled:
            seen, inverse = shared(seen), shared(inverse)
        mass = self.mass.mass_matrix(self._each(estimate, seen, inverse))
        return adapt._replace(
            inverse_mass_matrix=mass.inverse, mass_matrix_sqrt=mass.sqrt, mass_matrix_sqrt_inv=mass.sqrt_inv
        )

    # Blocks

    def _estimators(self) -> list[Estimator]:
        return [estimator for _, estimator in self.estimators] if self._has_blocks else [self.estimators]

    @property
    def _has_blocks(self) -> bool:
        return isinstance(self.mass, BlockMetric)

    def _each(self, operation: Callable[..., PyTree], *per_block: PyTree) -> PyTree:
        """The operation on each estimator and the parts of its block."""
        if not self._has_blocks:
            return operation(self.estimators, *per_block)
        return {key: operation(estimator, *(part[key] for part in per_block)) for key, estimator in self.estimators}

    def _split(self, flat: Array) -> PyTree:
        """A flat vector by blocks."""
        if not self._has_blocks:
            return flat
        parts, start = {}, 0
        for key, estimator in self.estimators:
            parts[key] = lax.slice_in_dim(flat, start, start + estimator.size)
            start += estimator.size
        return parts
