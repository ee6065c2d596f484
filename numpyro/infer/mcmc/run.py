"""One run: from a kernel, keys and data to draws."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import Key, PyTree
from numpyro.infer.mcmc.blas import one_thread_for_factors
from numpyro.infer.mcmc.driver import Driver, Ending, Lane
from numpyro.infer.mcmc.engine import Chains, Plan, Programs, buffer_rows, compile_programs
from numpyro.infer.mcmc.interrupt import interruptible
from numpyro.infer.mcmc.kernel import MCMCKernel, speaks_for
from numpyro.infer.mcmc.placement import ONE_PLACE, Placement, Sharded, several_devices
from numpyro.infer.mcmc.progress import Bar, Progress, is_shown
from numpyro.infer.mcmc.recorder import MemoryRecorder, Recorder, Records, StoreError, stack_chains
from numpyro.infer.mcmc.sampler import KernelSampler, Sampler
from numpyro.infer.mcmc.schedule import Schedule
from numpyro.infer.mcmc.stopping import Until
from numpyro.infer.program import in_jit, is_traced
from numpyro.util import nested_attrgetter

if TYPE_CHECKING:
    from numpyro.infer.mcmc.store import RunStore, Session


def import_store() -> Any:
    """The package of run stores.

    :raises ImportError: where zarr is not installed.
    """
    try:
        from numpyro.infer.mcmc import store
    except ModuleNotFoundError as error:
        raise ImportError("A run store needs zarr: pip install 'numpyro[zarr]'.") from error
    return store


class NewStore(NamedTuple):
    """A store to be made at ``path``, with the ``settings`` from which a run can go on with it."""

    path: Any
    settings: dict[str, Any]


class Outcome(NamedTuple):
    """What a run leaves.

    - **last_state** - the last state, with a leading axis of chains where there are several.
    - **records** - the recorded fields, each with two leading axes, chains and draws.
    - **ending** - how it ended.
    - **error** - what ended it, where its store could not be written.
    """

    last_state: PyTree
    records: Mapping[str, PyTree]
    ending: Ending = Ending.COMPLETE
    error: Exception | None = None


@dataclass(frozen=True)
class Display:
    """How progress is shown: ``bars`` is ``"chains"`` for one bar a chain, ``"one"`` for one in all, or ``None``."""

    bars: str | None
    rate: int | None = None

    def paces(self, count: int, schedule: Schedule, num_warmup: int) -> list[Progress]:
        """The paces of ``count`` lanes, with their bars."""
        if self.bars is None or not is_shown():
            return [Progress(None, self.rate) for _ in range(count)]
        if self.bars == "one" or count == 1:
            bar = Bar(count * schedule.iterations, count * num_warmup)
            return [Progress(bar, self.rate) for _ in range(count)]
        return [
            Progress(Bar(schedule.iterations, num_warmup, line, f"chain {line + 1} "), self.rate)
            for line in range(count)
        ]


@dataclass(frozen=True)
class ChainRun:
    """How to run; see :class:`~numpyro.infer.MCMC` for the settings.

    :param num_warmup: iterations of warm-up that the schedule begins with.
    :param fields: the fields to record, the sample field first.
    :param excluded: sites that are left out of the draws.
    :param until: the target at which to stop.
    :param time_budget: seconds after which to stop.
    :param store: where the run is kept, with what it is; or the store that it goes on with.
    """

    kernel: MCMCKernel
    num_warmup: int
    num_chains: int
    chain_method: str | Callable
    postprocess_fn: Callable[[PyTree], PyTree] | None
    fields: tuple[str, ...]
    excluded: frozenset[str]
    schedule: Schedule
    display: Display
    until: Until | None = None
    time_budget: float | None = None
    stop_signals: Sequence[signal.Signals] = (signal.SIGINT,)
    store: NewStore | RunStore | None = None

    def __call__(
        self, rng_key: Key, batched_keys: bool, args: tuple, kwargs: dict[str, Any], init_params: PyTree, state: PyTree
    ) -> Outcome:
        """Run.

        :param batched_keys: ``rng_key`` has one key for each chain.
        :param state: the state to go on from; ``None`` to start anew.
        """
        started = time.perf_counter()
        traced = is_traced((rng_key, args, kwargs, init_params, state)) or in_jit()
        if traced and (self.until is not None or self.time_budget is not None or self.store is not None):
            raise UsageError("`until`, `time_budget` and `store` need concrete draws: not inside jit, vmap or grad.")
        chains = self._chains(traced)
        # From here on every per-chain argument has a leading axis, for a single chain too.
        if self.num_chains == 1:
            init_params = _add_axis(init_params)
            state = state if chains is Chains.ENSEMBLE else _add_axis(state)
        keys = rng_key if batched_keys else None
        one_key = rng_key[0] if batched_keys else rng_key
        if state is not None:
            state = self._with_keys(state, one_key, keys, chains)

        sampler, one_state, state = self._sampler(one_key, keys, args, kwargs, init_params, state, chains)
        host = not traced and not self._is_mapped
        rows = self._rows(sampler, one_state, host, chains)
        placement: Placement = Sharded(self.num_chains) if chains is Chains.SHARDED else ONE_PLACE
        programs = compile_programs(
            sampler, self.fields, rows, chains, self.excluded, top_level=host, mesh=placement.mesh
        )
        if self._is_mapped:
            return self._run_mapped(programs, sampler, keys, one_key, init_params, state)
        recorder: Recorder
        if self.store is None:
            states = self._first_states(programs, sampler, keys, one_key, init_params, state, chains)
            done, recorder = [0] * len(states), MemoryRecorder(len(states))
        else:
            session = self._session(programs, sampler, one_state, chains, placement)
            if isinstance(self.store, NewStore):
                states = self._first_states(programs, sampler, keys, one_key, init_params, state, chains)
                done, recorder = [0] * len(states), session.begin(*self.store, states)
            else:
                states, done, recorder = session.go_on(self.store)
        driver = Driver(
            programs,
            placement.place_data(sampler.data),
            self.schedule,
            recorder,
            self.kernel.get_diagnostics_str,
            deadline=None if self.time_budget is None else started + self.time_budget,
            placement=placement,
        )
        lanes = self._lanes([placement.place(state) for state in states], done, chains, traced=not host)
        records: Mapping[str, PyTree]
        error = None
        factor = sampler.largest_factor() if host else 0
        if self.store is None:
            self._advance(driver, lanes, recorder, one_state, factor)
            records = recorder.draws()
        else:
            records, error = self._advance_stored(driver, lanes, recorder, one_state, factor)
        return Outcome(self._last_state(lanes, placement, chains), records, driver.ending, error)

    # What is to be advanced

    @property
    def _is_mapped(self) -> bool:
        return callable(self.chain_method) and self.num_chains > 1

    def _chains(self, traced: bool) -> Chains:
        if self.kernel.is_ensemble_kernel:
            if self.num_chains > 1 and self.chain_method != "vectorized":
                raise UsageError(
                    f"{type(self.kernel).__name__} advances its chains as one ensemble: use chain_method='vectorized'."
                )
            return Chains.ENSEMBLE
        if self.num_chains == 1:
            return Chains.SEPARATE
        if self.kernel.pools_chains and self.chain_method != "vectorized":
            raise UsageError(
                f"this {type(self.kernel).__name__} adapts its chains as one, and so has to advance them together: use "
                f"chain_method='vectorized', got {self.chain_method!r}."
            )
        if self.chain_method == "vectorized" or (traced and self.chain_method == "parallel"):
            return Chains.BATCHED
        if self.chain_method == "parallel" and several_devices():
            return Chains.SHARDED
        return Chains.SEPARATE

    def _with_keys(self, state: PyTree, one_key: Key, keys: Key | None, chains: Chains) -> PyTree:
        """The state to go on from, with the keys of this run; a lone chain takes the run's key as its own."""
        if "rng_key" not in getattr(state, "_fields", ()):
            return state
        if chains is Chains.ENSEMBLE:
            return state._replace(rng_key=one_key)
        if keys is None:
            keys = _add_axis(one_key) if self.num_chains == 1 else self._split(one_key)
        return state._replace(rng_key=keys)

    def _split(self, one_key: Key) -> Key:
        """A key for each chain."""
        return jax.vmap(jax.random.fold_in, (None, 0))(one_key, jnp.arange(self.num_chains))

    def _sampler(
        self,
        one_key: Key,
        keys: Key | None,
        args: tuple,
        kwargs: dict[str, Any],
        init_params: PyTree,
        state: PyTree,
        chains: Chains,
    ) -> tuple[Sampler, PyTree, PyTree]:
        """The kernel's pure functions, the shapes of one chain's state, and the states that have been found by then."""
        if speaks_for(self.kernel):
            one_params = _first(init_params)
            sampler = self.kernel.sampler(
                self.num_warmup, one_params, args, kwargs, rng_key=one_key, postprocess_fn=self.postprocess_fn
            )
            if sampler is not None:
                return sampler, jax.eval_shape(sampler.init, sampler.data, one_key, one_params), state
        if state is None:
            state = self._init_by_protocol(one_key, keys, args, kwargs, init_params, chains)
        one_state = state if chains is Chains.ENSEMBLE else _first(state)
        return KernelSampler(self.kernel, args, kwargs, one_state, self.postprocess_fn), one_state, state

    def _init_by_protocol(
        self, one_key: Key, keys: Key | None, args: tuple, kwargs: dict[str, Any], init_params: PyTree, chains: Chains
    ) -> PyTree:
        """First states by the kernel's own ``init``, with a leading axis of chains."""
        if keys is None:
            keys = self._split(one_key)
        if chains is Chains.ENSEMBLE:
            return self.kernel.init(keys, self.num_warmup, init_params, args, kwargs)
        states = [
            self.kernel.init(keys[chain], self.num_warmup, _at(init_params, chain), args, kwargs)
            for chain in range(self.num_chains)
        ]
        return jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *states)

    def _rows(self, sampler: Sampler, one_state: PyTree, host: bool, chains: Chains) -> int:
        """The rows of a chunk's buffers: a fixed number, or all draws where the run is one program in a trace."""
        if not host:
            return max(1, *(phase.plan.rows for phase in self.schedule.phases))
        recorded = jax.eval_shape(lambda state: sampler.fields(state, self.fields), one_state)
        if chains is Chains.ENSEMBLE:
            return buffer_rows(recorded)
        return buffer_rows((recorded, jax.eval_shape(sampler.postprocess, sampler.data, recorded[self.fields[0]])))

    def _first_states(
        self,
        programs: Programs,
        sampler: Sampler,
        keys: Key | None,
        one_key: Key,
        init_params: PyTree,
        state: PyTree,
        chains: Chains,
    ) -> list[PyTree]:
        """The states that lanes begin with, one for each lane."""
        indices = range(self.num_chains)
        if chains is Chains.SEPARATE:
            if state is not None:
                return [_at(state, c) for c in indices]
            init = [(one_key, np.int32(c)) if keys is None else (keys[c], None) for c in indices]
            states = [programs.init(sampler.data, *init[c], _at(init_params, c)) for c in indices]
            self._check_starts(sampler, states)
            return states
        if state is None:
            order = np.arange(self.num_chains, dtype=np.int32)
            state = programs.init(sampler.data, *((one_key, order) if keys is None else (keys, None)), init_params)
            self._check_starts(sampler, [_at(state, c) for c in indices])
        return [state]

    def _check_starts(self, sampler: Sampler, states: list[PyTree]) -> None:
        for state in states:
            if not is_traced(state):
                sampler.check_start(state)

    # Advancing it

    def _lanes(self, states: list[PyTree], done: list[int], chains: Chains, *, traced: bool) -> list[Lane]:
        paces: list[Progress | None] = [None] * len(states)
        if not traced:
            paces[:] = self.display.paces(len(states), self.schedule, self.num_warmup)
        single = chains is Chains.SEPARATE
        lanes = [Lane(i, state, single, pace, begun) for i, (state, pace, begun) in enumerate(zip(states, paces, done))]
        for lane in lanes:
            if lane.progress is not None and lane.progress.bar is not None and lane.done:
                lane.progress.bar.update(lane.done, "", 0)
        return lanes

    def _advance(
        self, driver: Driver, lanes: list[Lane], recorder: Recorder, one_state: PyTree, largest_factor: int
    ) -> None:
        targets = [self.schedule.iterations]
        if self.until is not None:
            targets = [self.schedule.iterations_for(draws) for draws in self.until.looks(self.schedule.draws)]
        on_threads = self.chain_method == "parallel" and len(lanes) > 1 and lanes[0].progress is not None
        advance = driver.advance_on_threads if on_threads else driver.advance_all
        is_enough = None if self.until is None else partial(self._is_enough, self.until, recorder, one_state)
        at_once = len(lanes) if on_threads else 1
        with (
            interruptible(driver.stop, self.stop_signals),
            one_thread_for_factors(largest_factor, at_once),
            ExitStack() as closing,
        ):
            for bar in {id(lane.progress.bar): lane.progress.bar for lane in lanes if lane.progress}.values():
                if bar is not None:
                    closing.callback(bar.close)
            closing.callback(recorder.close)
            for lane in lanes:
                if lane.progress is not None:
                    closing.callback(lane.progress.flush)
            advance(lanes, targets, is_enough)

    def _session(
        self, programs: Programs, sampler: Sampler, one_state: PyTree, chains: Chains, placement: Placement
    ) -> Session:
        """What this run has in common with its store."""
        from numpyro.infer.mcmc.store import Session

        template, lanes = one_state, [slice(chain, chain + 1) for chain in range(self.num_chains)]
        if chains in (Chains.BATCHED, Chains.SHARDED):
            template = jax.eval_shape(lambda s: jax.tree.map(lambda x: jnp.stack([x] * self.num_chains), s), one_state)
        if chains is not Chains.SEPARATE:
            lanes = [slice(0, self.num_chains)]
        template = jax.eval_shape(lambda state: jax.tree.map(jnp.asarray, state), template)

        _, buffers = programs.chunk.eval_shape(sampler.data, placement.placed_shapes(template), Plan(0, 0, 1))
        records = programs.finish.eval_shape(sampler.data, buffers)
        axes = 1 if chains is Chains.SEPARATE else 2
        shape_of = lambda leaf: jax.ShapeDtypeStruct(leaf.shape[axes:], leaf.dtype)
        shapes = {field: jax.tree.map(shape_of, records[field]) for field in self.fields}
        return Session(sampler, template, shapes, lanes, self.schedule, placement)

    def _advance_stored(
        self, driver: Driver, lanes: list[Lane], recorder: Recorder, one_state: PyTree, largest_factor: int
    ) -> tuple[Mapping[str, PyTree], Exception | None]:
        """Advance; the draws in the store or, where it could not be written to the end, the draws and the error."""
        from numpyro.infer.mcmc.store import StoreRecorder

        if not isinstance(recorder, StoreRecorder):
            raise TypeError("a run with a store records in it")
        try:
            self._advance(driver, lanes, recorder, one_state, largest_factor)
        except StoreError as error:
            if not recorder.failed:
                raise
            return recorder.draws(), error
        return recorder.stored(), None

    def _is_enough(self, until: Until, recorder: Recorder, one_state: PyTree) -> bool:
        """Whether the draws so far reach the target: by default at all sites of the state, deterministic ones apart."""
        draws, latent = recorder.draws().get(self.fields[0], {}), nested_attrgetter(self.fields[0])(one_state)
        if until.sites is None and isinstance(draws, dict) and isinstance(latent, dict):
            draws = {site: draw for site, draw in draws.items() if site in latent}
        return until.is_met(draws)

    def _last_state(self, lanes: list[Lane], placement: Placement, chains: Chains) -> PyTree:
        if chains is Chains.SEPARATE and self.num_chains > 1:
            return jax.tree.map(jnp.asarray, stack_chains([lane.state for lane in lanes]))
        if chains is Chains.SHARDED:
            return jax.tree.map(lambda leaf: jnp.asarray(placement.fetch(leaf)), lanes[0].state)
        return lanes[0].state

    def _run_mapped(
        self,
        programs: Programs,
        sampler: Sampler,
        keys: Key | None,
        one_key: Key,
        init_params: PyTree,
        state: PyTree,
    ) -> Outcome:
        """Hand the run of one chain, in one piece, to a callable chain method."""
        if keys is None:
            keys = self._split(one_key)

        def run_one(arguments: tuple) -> tuple[PyTree, Records]:
            key, params, chain_state = arguments
            if chain_state is None:
                chain_state = programs.init(sampler.data, key, None, params)
            recorder = MemoryRecorder(1)
            driver = Driver(programs, sampler.data, self.schedule, recorder, self.kernel.get_diagnostics_str)
            lane = Lane(0, chain_state, single=True, progress=None)
            driver.advance(lane, self.schedule.iterations)
            return lane.state, _first(recorder.draws())

        if not callable(self.chain_method):
            raise TypeError("the chain method is no callable")
        last, draws = self.chain_method(run_one)((keys, init_params, state))
        if not is_traced(draws):
            self._check_starts(sampler, [_at(last, c) for c in range(self.num_chains)])
        return Outcome(last, draws)


def _first(tree: PyTree) -> PyTree:
    return _at(tree, 0)


def _at(tree: PyTree, chain: int) -> PyTree:
    return jax.tree.map(lambda leaf: _concrete(leaf)[chain], tree)


def _add_axis(tree: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: _concrete(leaf)[None], tree)


def _concrete(leaf: Any) -> Any:
    """A NumPy array where that can be had: taking pieces of one compiles nothing."""
    if is_traced(leaf) or jax.dtypes.issubdtype(jnp.result_type(leaf), jax.dtypes.prng_key):
        return leaf
    return np.asarray(leaf)
