"""What a run advances: a sampler with its programs, for chains that begin somewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import Key, PyTree
from numpyro.infer.mcmc.chains import one_chain, with_chain_axis
from numpyro.infer.mcmc.engine import Chains, Programs, buffer_rows, compile_programs
from numpyro.infer.mcmc.kernel import MCMCKernel, speaks_for
from numpyro.infer.mcmc.placement import ONE_PLACE, Placement, Sharded, several_devices
from numpyro.infer.mcmc.sampler import KernelSampler, Sampler
from numpyro.infer.mcmc.schedule import Schedule
from numpyro.infer.program import ProgramCache, in_jit, is_traced

_state_shapes = ProgramCache()
"""The shapes of the states of samplers, which take as long to trace as all else of a short run."""


def arrange(kernel: MCMCKernel, num_chains: int, chain_method: str | Callable, traced: bool) -> Chains:
    """How the chains of a run lie in its states.

    :raises UsageError: where the kernel needs another chain method.
    """
    if kernel.is_ensemble_kernel:
        if num_chains > 1 and chain_method != "vectorized":
            raise UsageError(
                f"{type(kernel).__name__} advances its chains as one ensemble: use chain_method='vectorized'."
            )
        return Chains.ENSEMBLE
    if num_chains == 1:
        return Chains.SEPARATE
    if kernel.pools_chains and chain_method != "vectorized":
        raise UsageError(
            f"this {type(kernel).__name__} adapts its chains as one, and so has to advance them together: use "
            f"chain_method='vectorized', got {chain_method!r}."
        )
    if chain_method == "vectorized" or (traced and chain_method == "parallel"):
        return Chains.BATCHED
    if chain_method == "parallel" and several_devices():
        return Chains.SHARDED
    return Chains.SEPARATE


@dataclass(frozen=True)
class Start:
    """Where chains begin. What belongs to chains has a leading axis of them, a single chain's too.

    :param one_key: the key of the run, or of its first chain.
    :param keys: a key for each chain; ``None`` where they derive from ``one_key``.
    :param init_params: values to start from, or ``None``.
    :param state: a state to go on from, or ``None``.
    :param num_chains: the number of chains.
    :param chains: how they lie in a state.
    """

    one_key: Key
    keys: Key | None
    init_params: PyTree
    state: PyTree
    num_chains: int
    chains: Chains

    @classmethod
    def of(
        cls, rng_key: Key, batched_keys: bool, init_params: PyTree, state: PyTree, num_chains: int, chains: Chains
    ) -> Start:
        """From the arguments of a run, where a single chain's have no axis of chains."""
        if num_chains == 1:
            init_params = with_chain_axis(init_params)
            state = state if chains is Chains.ENSEMBLE else with_chain_axis(state)
        keys = rng_key if batched_keys else None
        start = cls(rng_key[0] if batched_keys else rng_key, keys, init_params, state, num_chains, chains)
        return start if state is None else replace(start, state=start._with_keys(state))

    def _with_keys(self, state: PyTree) -> PyTree:
        """The state to go on from, with the keys of this run; a lone chain takes the run's key as its own."""
        if "rng_key" not in getattr(state, "_fields", ()):
            return state
        if self.chains is Chains.ENSEMBLE:
            return state._replace(rng_key=self.one_key)
        if self.keys is None and self.num_chains == 1:
            return state._replace(rng_key=with_chain_axis(self.one_key))
        return state._replace(rng_key=self.chain_keys())

    def chain_keys(self) -> Key:
        """A key for each chain."""
        if self.keys is not None:
            return self.keys
        return jax.vmap(jax.random.fold_in, (None, 0))(self.one_key, jnp.arange(self.num_chains))

    def by_protocol(self, kernel: MCMCKernel, num_warmup: int, args: tuple, kwargs: dict[str, Any]) -> Start:
        """The same with states from the kernel's own ``init``, where there is none to go on from."""
        if self.state is not None:
            return self
        keys = self.chain_keys()
        if self.chains is Chains.ENSEMBLE:
            return replace(self, state=kernel.init(keys, num_warmup, self.init_params, args, kwargs))
        states = [
            kernel.init(keys[chain], num_warmup, one_chain(self.init_params, chain), args, kwargs)
            for chain in range(self.num_chains)
        ]
        stacked = jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *states)
        return replace(self, state=stacked)

    def states(self, programs: Programs, sampler: Sampler) -> list[PyTree]:
        """The states that lanes begin with, one for each lane.

        :raises RuntimeError: where one of them cannot be gone on from.
        """
        indices, keys = range(self.num_chains), self.keys
        if self.chains is Chains.SEPARATE:
            if self.state is not None:
                return [one_chain(self.state, c) for c in indices]
            init = [(self.one_key, np.int32(c)) if keys is None else (keys[c], None) for c in indices]
            states = [programs.init(sampler.data, *init[c], one_chain(self.init_params, c)) for c in indices]
            check_starts(sampler, states)
            return states
        if self.state is not None:
            return [self.state]
        order = np.arange(self.num_chains, dtype=np.int32)
        init_all = (self.one_key, order) if keys is None else (keys, None)
        state = programs.init(sampler.data, *init_all, self.init_params)
        check_starts(sampler, [one_chain(state, c) for c in indices])
        return [state]


def check_starts(sampler: Sampler, states: list[PyTree]) -> None:
    """Raise where one of the first states of chains cannot be gone on from."""
    for state in states:
        if not is_traced(state):
            sampler.check_start(state)


class Work(NamedTuple):
    """What a run advances.

    - **sampler** - the kernel's pure functions, with their data.
    - **one_state** - the shapes of one chain's state, or of an ensemble's.
    - **start** - where chains begin.
    - **programs** - the compiled programs.
    - **placement** - where chains lie.
    """

    sampler: Sampler
    one_state: PyTree
    start: Start
    programs: Programs
    placement: Placement

    @property
    def chains(self) -> Chains:
        return self.start.chains

    @property
    def num_chains(self) -> int:
        return self.start.num_chains


def prepare(
    start: Start,
    kernel: MCMCKernel,
    num_warmup: int,
    args: tuple,
    kwargs: dict[str, Any],
    *,
    postprocess_fn: Callable[[PyTree], PyTree] | None,
    fields: tuple[str, ...],
    excluded: frozenset[str],
    schedule: Schedule,
    host: bool,
) -> Work:
    """Trace the kernel, and find its programs; nothing of them is compiled yet.

    :param fields: the fields to record, the sample field first.
    :param excluded: sites that are left out of the draws.
    :param host: the run is in pieces, between which draws go to the host.
    """
    sampler, one_state, start = _sampler(start, kernel, num_warmup, args, kwargs, postprocess_fn)
    if host:
        rows = _rows_of_a_chunk(sampler, one_state, fields, start.chains)
    else:  # all draws in one piece
        rows = max(1, *(phase.plan.rows for phase in schedule.phases))
    placement: Placement = Sharded(start.num_chains) if start.chains is Chains.SHARDED else ONE_PLACE
    programs = compile_programs(sampler, fields, rows, start.chains, excluded, top_level=host, mesh=placement.mesh)
    return Work(sampler, one_state, start, programs, placement)


def _sampler(
    start: Start,
    kernel: MCMCKernel,
    num_warmup: int,
    args: tuple,
    kwargs: dict[str, Any],
    postprocess_fn: Callable[[PyTree], PyTree] | None,
) -> tuple[Sampler, PyTree, Start]:
    """The kernel's pure functions, the shapes of one chain's state, and the start with the states found by then."""
    if speaks_for(kernel):
        one_params = one_chain(start.init_params)
        sampler = kernel.sampler(
            num_warmup, one_params, args, kwargs, rng_key=start.one_key, postprocess_fn=postprocess_fn
        )
        if sampler is not None:
            return sampler, _shapes_of_a_state(sampler, start.one_key, one_params), start
    start = start.by_protocol(kernel, num_warmup, args, kwargs)
    one_state = start.state if start.chains is Chains.ENSEMBLE else one_chain(start.state)
    return KernelSampler(kernel, args, kwargs, one_state, postprocess_fn), one_state, start


def _shapes_of_a_state(sampler: Sampler, rng_key: Key, init_params: PyTree) -> PyTree:
    """The shapes of what ``sampler.init`` returns, traced once for samplers that are the same."""
    arguments = sampler.data, rng_key, init_params
    if is_traced(arguments) or in_jit():
        return jax.eval_shape(sampler.init, *arguments)
    leaves, structure = jax.tree.flatten(arguments)
    types = tuple(jax.typeof(leaf) for leaf in leaves)
    return _state_shapes.get((sampler.key, structure, types), lambda: jax.eval_shape(sampler.init, *arguments))


def _rows_of_a_chunk(sampler: Sampler, one_state: PyTree, fields: tuple[str, ...], chains: Chains) -> int:
    recorded = jax.eval_shape(lambda state: sampler.fields(state, fields), one_state)
    if chains is Chains.ENSEMBLE:
        return buffer_rows(recorded)
    return buffer_rows((recorded, jax.eval_shape(sampler.postprocess, sampler.data, recorded[fields[0]])))
