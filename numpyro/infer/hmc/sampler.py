"""HMC and NUTS as the engine advances them: over a flat vector, with the model's gradient traced once."""

from __future__ import annotations

from collections.abc import Callable

from numpyro._typing import Array
from numpyro.infer.hmc.machine import NUTSMoves
from numpyro.infer.hmc.state import HMCState
from numpyro.infer.hmc.transition import HMCAlgorithm, Memory, Tuning
from numpyro.infer.mcmc.target import Data, Target, TargetSampler
from numpyro.infer.model.layout import Layout
from numpyro.infer.one_kernel import LARGE_PRODUCT, apart_from_kernels


class HMCSampler(TargetSampler):
    """The programs of one kernel for one model, shapes and settings.

    :param algorithm: what to run.
    :param layout: how positions lie in the flat vector.
    :param tuning: run-time settings.
    :param target: the density.
    :param forward_mode: differentiate it in forward mode.
    """

    def __init__(
        self, algorithm: HMCAlgorithm, layout: Layout, tuning: Tuning, target: Target, forward_mode: bool
    ) -> None:
        super().__init__(
            "hmc", algorithm, layout, tuning, target, flat_fields=("z", "z_grad"), forward_mode=forward_mode
        )
        self._has_large_product = self._potential.largest_product() >= LARGE_PRODUCT

    def potential_and_grad(self, data: Data) -> Callable[[Array], tuple[Array, Array]]:
        evaluate = super().potential_and_grad(data)
        if not self._has_large_product:
            return evaluate

        def apart(flat: Array) -> tuple[Array, Array]:
            potential, grad = evaluate(flat)
            return apart_from_kernels(potential), grad

        return apart

    def memory(self, data: Data, state: HMCState) -> Memory:
        return self.algorithm.memory(data.tuning, state)

    def step_over(self, data: Data, state: HMCState, memory: Memory) -> tuple[HMCState, Memory]:
        return self.algorithm.step(self.evaluate(data), data.tuning, state, memory)

    def step(self, data: Data, state: HMCState) -> HMCState:
        return self.step_over(data, state, self.memory(data, state))[0]

    def moves(self) -> NUTSMoves | None:
        algorithm = self.algorithm
        # Chains that learn from each other are to be at the same iteration.
        apart = algorithm.num_checkpoints is not None and not algorithm.warmup.pooled
        return NUTSMoves(algorithm, self.potential_and_grad) if apart else None
