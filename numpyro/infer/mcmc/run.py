"""One run: from a kernel, keys and data to draws."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

from numpyro._errors import UsageError
from numpyro._typing import Key, PyTree
from numpyro.infer.mcmc.blas import one_thread_for_factors
from numpyro.infer.mcmc.chains import one_chain
from numpyro.infer.mcmc.driver import Driver, Lane
from numpyro.infer.mcmc.ending import Ending
from numpyro.infer.mcmc.engine import Chains
from numpyro.infer.mcmc.interrupt import interruptible
from numpyro.infer.mcmc.kernel import MCMCKernel
from numpyro.infer.mcmc.progress import Display
from numpyro.infer.mcmc.recorder import MemoryRecorder, Recorder, Records, StoreError, stack_chains
from numpyro.infer.mcmc.resuming import RunSettings, import_store
from numpyro.infer.mcmc.schedule import Schedule
from numpyro.infer.mcmc.stopping import Until
from numpyro.infer.mcmc.work import Start, Work, arrange, check_starts, prepare
from numpyro.infer.program import in_jit, is_traced
from numpyro.util import nested_attrgetter

if TYPE_CHECKING:
    from numpyro.infer.mcmc.store import RunStore, Session


class Kept(NamedTuple):
    """Where a run is kept: a path for a new store, or the store that it goes on with; and what is kept of it."""

    place: str | RunStore
    settings: RunSettings


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
class ChainRun:
    """How to run; see :class:`~numpyro.infer.MCMC` for the settings.

    :param num_warmup: iterations of warm-up that the schedule begins with.
    :param fields: the fields to record, the sample field first.
    :param excluded: sites that are left out of the draws.
    :param until: the target at which to stop.
    :param time_budget: seconds after which to stop.
    :param kept: where the run is kept, if it is.
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
    kept: Kept | None = None

    def __call__(
        self, rng_key: Key, batched_keys: bool, args: tuple, kwargs: dict[str, Any], init_params: PyTree, state: PyTree
    ) -> Outcome:
        """Run.

        :param batched_keys: ``rng_key`` has one key for each chain.
        :param state: the state to go on from; ``None`` to start anew.
        """
        deadline = None if self.time_budget is None else time.perf_counter() + self.time_budget
        traced = is_traced((rng_key, args, kwargs, init_params, state)) or in_jit()
        if traced and (self.until is not None or self.time_budget is not None or self.kept is not None):
            raise UsageError("`until`, `time_budget` and `store` need concrete draws: not inside jit, vmap or grad.")
        mapped = callable(self.chain_method) and self.num_chains > 1
        chains = arrange(self.kernel, self.num_chains, self.chain_method, traced)
        work = prepare(
            Start.of(rng_key, batched_keys, init_params, state, self.num_chains, chains),
            self.kernel,
            self.num_warmup,
            args,
            kwargs,
            postprocess_fn=self.postprocess_fn,
            fields=self.fields,
            excluded=self.excluded,
            schedule=self.schedule,
            host=not traced and not mapped,
        )
        return self._run_mapped(work) if mapped else self._run_in_pieces(work, deadline, traced)

    def _run_in_pieces(self, work: Work, deadline: float | None, traced: bool) -> Outcome:
        """Advance lanes, chunk by chunk; the draws in the store or, where it could not be written, those there are."""
        session = self._session(work)
        resuming = self.kept is not None and not isinstance(self.kept.place, str)
        first = [] if resuming else work.start.states(work.programs, work.sampler)
        data = work.placement.place_data(work.sampler.data)
        on_threads = self.chain_method == "parallel" and work.chains is Chains.SEPARATE and self.num_chains > 1
        on_threads = on_threads and not traced
        factor = 0 if traced else work.sampler.largest_factor()
        stop, error = threading.Event(), None
        with (
            interruptible(stop, self.stop_signals),
            one_thread_for_factors(factor, self.num_chains if on_threads else 1),
        ):
            states, done, recorder = self._open(session, first)
            lanes: list[Lane] = []
            driver = Driver(
                work.programs,
                data,
                self.schedule,
                recorder,
                self.kernel.get_diagnostics_str,
                deadline=deadline,
                placement=work.placement,
                stop=stop,
            )
            try:
                with ExitStack() as closing:
                    closing.callback(recorder.close)
                    lanes += self._lanes([work.placement.place(state) for state in states], done, work, traced)
                    _close_displays(lanes, closing)
                    advance = driver.advance_on_threads if on_threads else driver.advance_all
                    advance(lanes, self._targets(done), self._is_enough(recorder, work.one_state))
            except StoreError as failure:
                if not recorder.failed:
                    raise
                error = failure
        return Outcome(
            self._last_state(lanes, work), recorder.draws() if error else recorder.result(), driver.ending, error
        )

    # The store

    def _session(self, work: Work) -> Session | None:
        """What the run has in common with its store; what it cannot keep is an error before anything is compiled."""
        if self.kept is None:
            return None
        store = import_store()
        if isinstance(self.kept.place, str):
            store.RunStore.require_room(self.kept.place)
        return store.Session.of(work, type(self.kernel).__name__, self.fields, self.schedule)

    def _open(self, session: Session | None, first: list[PyTree]) -> tuple[list[PyTree], list[int], Recorder]:
        """The states of lanes, how many iterations they have done, and what records the next ones."""
        done = [0] * len(first)
        if session is None or self.kept is None:
            return first, done, MemoryRecorder(len(first))
        settings = self.kept.settings.as_json()
        if isinstance(self.kept.place, str):
            return first, done, session.begin(self.kept.place, settings, first)
        return session.go_on(self.kept.place, settings)

    # Lanes

    def _lanes(self, states: list[PyTree], done: list[int], work: Work, traced: bool) -> list[Lane]:
        paces = [None] * len(states) if traced else self.display.paces(len(states), self.schedule, self.num_warmup)
        single = work.chains is Chains.SEPARATE
        lanes = [Lane(i, state, single, pace, begun) for i, (state, pace, begun) in enumerate(zip(states, paces, done))]
        for lane in lanes:
            if lane.progress is not None and lane.progress.bar is not None and lane.done:
                lane.progress.bar.update(lane.done, "", 0)
        return lanes

    def _targets(self, done: list[int]) -> list[int]:
        """The iterations after which the draws are looked at; lanes have done so many already.

        A lane goes beyond a look only when all have been there and it was not enough: what is behind the one that is
        farthest has been looked at.
        """
        if self.until is None:
            return [self.schedule.iterations]
        drawn = max(map(self.schedule.drawn, done), default=0)
        looks = [draws for draws in self.until.looks(self.schedule.draws) if draws >= drawn]
        return [self.schedule.iterations_for(draws) for draws in looks]

    def _is_enough(self, recorder: Recorder, one_state: PyTree) -> Callable[[], bool] | None:
        """Whether the draws so far reach the target: by default at all sites of the state, deterministic ones apart."""
        return None if self.until is None else partial(self._is_met, self.until, recorder, one_state)

    def _is_met(self, until: Until, recorder: Recorder, one_state: PyTree) -> bool:
        draws, latent = recorder.draws().get(self.fields[0], {}), nested_attrgetter(self.fields[0])(one_state)
        if until.sites is None and isinstance(draws, dict) and isinstance(latent, dict):
            draws = {site: draw for site, draw in draws.items() if site in latent}
        return until.is_met(draws)

    def _last_state(self, lanes: list[Lane], work: Work) -> PyTree:
        if work.chains is Chains.SEPARATE and self.num_chains > 1:
            return jax.tree.map(jnp.asarray, stack_chains([lane.state for lane in lanes]))
        if work.chains is Chains.SHARDED:
            return jax.tree.map(lambda leaf: jnp.asarray(work.placement.fetch(leaf)), lanes[0].state)
        return lanes[0].state

    # Chains mapped by a function

    def _run_mapped(self, work: Work) -> Outcome:
        """Hand the run of one chain, in one piece, to a callable chain method."""
        if not callable(self.chain_method):
            raise TypeError("the chain method is no callable")
        programs, sampler, start = work.programs, work.sampler, work.start

        def run_one(arguments: tuple) -> tuple[PyTree, Records]:
            key, params, state = arguments
            if state is None:
                state = programs.init(sampler.data, key, None, params)
            recorder = MemoryRecorder(1)
            driver = Driver(programs, sampler.data, self.schedule, recorder, self.kernel.get_diagnostics_str)
            lane = Lane(0, state, single=True, progress=None)
            driver.advance(lane, self.schedule.iterations)
            return lane.state, one_chain(recorder.draws())

        last, draws = self.chain_method(run_one)((start.chain_keys(), start.init_params, start.state))
        if not is_traced(draws):
            check_starts(sampler, [one_chain(last, c) for c in range(self.num_chains)])
        return Outcome(last, draws)


def _close_displays(lanes: list[Lane], closing: ExitStack) -> None:
    """Have bars brought to where their chains are, and closed, at the end."""
    paces = [lane.progress for lane in lanes if lane.progress is not None]
    for bar in {id(pace.bar): pace.bar for pace in paces}.values():
        if bar is not None:
            closing.callback(bar.close)
    for pace in paces:
        closing.callback(pace.flush)
