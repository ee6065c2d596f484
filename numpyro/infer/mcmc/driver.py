"""How lanes advance, chunk by chunk: one after another, on threads, or all chains together in one lane.

A *lane* is what one call of the compiled program advances: a chain by itself, or all chains of a batched, sharded or
ensemble state. What a lane does next follows from its state and from how many iterations it has done.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass

import jax
import numpy as np

from numpyro._typing import PyTree
from numpyro.infer.mcmc.ending import Ending
from numpyro.infer.mcmc.engine import Plan, Programs
from numpyro.infer.mcmc.placement import ONE_PLACE, Placement
from numpyro.infer.mcmc.progress import Progress
from numpyro.infer.mcmc.recorder import Recorder, Records, to_host
from numpyro.infer.mcmc.schedule import Schedule
from numpyro.infer.mcmc.settings import thread_settings, thread_settings_as

WAKE_SECONDS = 0.2
"""How often the main thread wakes while others advance chains, to hear signals."""


@dataclass
class Lane:
    """What one call of the compiled program advances, and how far it has come.

    :param index: its place among the lanes.
    :param state: the state of its chains.
    :param single: it holds one chain, without an axis of chains.
    :param progress: its pace; ``None`` inside a trace, where every phase is one piece.
    :param done: iterations done.
    """

    index: int
    state: PyTree
    single: bool
    progress: Progress | None
    done: int = 0


class Driver:
    """Advances lanes through a schedule.

    :param programs: the compiled programs.
    :param data: their run-time data.
    :param schedule: what to do.
    :param recorder: takes the draws.
    :param describe: a few words on a state, for the bar.
    :param deadline: when to stop, on the clock of ``time.perf_counter``.
    :param placement: how the chains of a lane lie on devices.
    :param stop: set from outside to end the run at the next chunk.
    """

    def __init__(
        self,
        programs: Programs,
        data: PyTree,
        schedule: Schedule,
        recorder: Recorder,
        describe: Callable[[PyTree], str],
        *,
        deadline: float | None = None,
        placement: Placement = ONE_PLACE,
        stop: threading.Event | None = None,
    ) -> None:
        self.programs, self.data, self.schedule, self.recorder = programs, data, schedule, recorder
        self.describe, self.deadline, self.placement = describe, deadline, placement
        self.stop = stop or threading.Event()
        self.ending = Ending.COMPLETE

    def advance(self, lane: Lane, target: int) -> None:
        """Advance ``lane`` until it has done ``target`` iterations, or :attr:`stop` is set."""
        while lane.done < target:
            limit = target - lane.done
            if lane.progress is not None:
                if not self.stop.is_set() and self.deadline is not None and time.perf_counter() > self.deadline:
                    self.ending = Ending.OUT_OF_TIME
                    self.stop.set()
                pace, stopped = self.placement.agree(lane.progress.limit, self.stop.is_set())
                if stopped:
                    if self.ending is not Ending.OUT_OF_TIME:
                        self.ending = Ending.INTERRUPTED
                    self.stop.set()
                    return
                limit = min(limit, pace)
                lane.progress.start()
            chunk = self.schedule.chunk(lane.done, limit, self.programs.rows)
            if chunk is None:
                return
            plan, keep = chunk
            lane.state, records = self.programs.chunk(self.data, lane.state, plan)
            lane.done += plan.iterations
            kept = self._fetch(lane, records, plan.rows) if keep and plan.rows else None
            if lane.progress is not None:
                jax.block_until_ready(lane.state)
                self.recorder.record(lane, kept)
                state = lane.state
                divergences = _divergences(kept) if lane.progress.bar else 0
                lane.progress.update(plan.iterations, lambda: self.describe(state), divergences)  # noqa: B023
            else:
                self.recorder.record(lane, kept)

    def _fetch(self, lane: Lane, records: Records, rows: int) -> Records:
        """The draws of a chunk in host memory, with an axis of chains, as they are to be kept."""
        records = self.programs.finish(self.data, records)
        if lane.single:
            return jax.tree.map(lambda leaf: to_host(leaf)[None, :rows], records)
        return jax.tree.map(lambda leaf: self.placement.fetch(leaf)[:, :rows], records)

    def advance_all(self, lanes: list[Lane], targets: Sequence[int], is_enough: Callable[[], bool] | None) -> None:
        """Advance all lanes, one after another, to each of ``targets`` in turn, until it ``is_enough()``."""
        self._in_rounds(lanes, targets, is_enough, map)

    def advance_on_threads(
        self, lanes: list[Lane], targets: Sequence[int], is_enough: Callable[[], bool] | None
    ) -> None:
        """The same, with as many lanes at a time as there are cores.

        Threads share one executable; compiled code runs outside of Python's lock, so chains use all cores.
        """
        self.programs.chunk(self.data, lanes[0].state, Plan(0, 0, 1))  # compile before threads ask for it at once
        settings = thread_settings()

        workers = min(len(lanes), os.cpu_count() or 1)
        with ThreadPoolExecutor(workers, thread_name_prefix="numpyro-chain") as pool, self._stopping_on_error():

            def advance_here(advance: Callable[[Lane], None], lane: Lane) -> None:
                with thread_settings_as(settings):
                    advance(lane)

            def over_lanes(advance: Callable[[Lane], None], lanes: list[Lane]) -> list[None]:
                pending = futures = {pool.submit(advance_here, advance, lane) for lane in lanes}
                # Python handles a signal when its main thread wakes: it must not sleep for good.
                while pending:
                    _, pending = wait(pending, timeout=WAKE_SECONDS, return_when=FIRST_EXCEPTION)
                    if any(future.exception() for future in futures - pending):
                        break
                return [future.result() for future in futures - pending]

            self._in_rounds(lanes, targets, is_enough, over_lanes)

    def _in_rounds(
        self, lanes: list[Lane], targets: Sequence[int], is_enough: Callable[[], bool] | None, over_lanes: Callable
    ) -> None:
        for target in targets:
            for _ in over_lanes(lambda lane: self.advance(lane, target), lanes):  # noqa: B023
                pass
            if any(lane.done < target for lane in lanes):
                return
            if is_enough is not None and is_enough():
                self.ending = Ending.TARGET_REACHED
                return
        if is_enough is not None:
            self.ending = Ending.TARGET_MISSED

    @contextmanager
    def _stopping_on_error(self) -> Iterator[None]:
        """Where one lane fails, the others end at their next chunk."""
        try:
            yield
        except BaseException:
            self.stop.set()
            raise


def _divergences(kept: Records | None) -> int:
    diverging = kept.get("diverging") if kept else None
    # Kernels of users' own may name anything so.
    if isinstance(diverging, np.ndarray) and diverging.dtype == np.bool_:
        return int(np.count_nonzero(diverging))
    return 0
