"""The recorder that keeps draws in a store, and nothing in memory but what is new."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext

import jax
import numpy as np

from numpyro._typing import PyTree
from numpyro.infer.mcmc.driver import Lane
from numpyro.infer.mcmc.recorder import Recorder, Records, StoreError, balanced, concatenate, number_of_draws
from numpyro.infer.mcmc.store.processes import in_step, is_writer
from numpyro.infer.mcmc.store.run_store import RunStore
from numpyro.infer.mcmc.store.states import encode_state
from numpyro.infer.mcmc.store.variables import Variables

COMMIT_SECONDS = 1.0
"""About the time between two commits of a lane: what a crash costs."""
COMMIT_COST = 50
"""Commits take about one part in so many of a run."""
BUFFER_BYTES = 1 << 26
"""The most that a lane keeps in memory."""


class StoreRecorder(Recorder):
    """Commits what lanes draw to a store, chunk by chunk.

    :param store: the store, open for writing.
    :param variables: its variables.
    :param chains: the chains of each lane.
    :param committed: how many draws of each lane the store has.
    :param fetch: brings a lane's state to host memory.
    :param together: several processes take part, so that commits must not depend on a clock.
    """

    def __init__(
        self,
        store: RunStore,
        variables: Variables,
        chains: list[slice],
        committed: list[int],
        fetch: Callable[[PyTree], PyTree],
        *,
        together: bool = False,
    ) -> None:
        self._store, self._variables, self._chains, self._committed = store, variables, chains, committed
        self._fetch, self._together = fetch, together
        self._pieces: list[list[Records]] = [[] for _ in chains]
        self._ahead: dict[int, Lane] = {}
        self._last = [time.perf_counter()] * len(chains)
        self._pause = [COMMIT_SECONDS] * len(chains)
        self._lock = threading.Lock()
        self.failed = False

    def record(self, lane: Lane, kept: Records | None) -> None:
        if kept is not None:
            self._pieces[lane.index].append(kept)
        self._ahead[lane.index] = lane
        waited = time.perf_counter() - self._last[lane.index]
        if self._together or waited >= self._pause[lane.index] or self._buffered(lane.index) > BUFFER_BYTES:
            self._commit(lane)

    def _buffered(self, lane: int) -> int:
        return sum(leaf.nbytes for piece in self._pieces[lane] for leaf in jax.tree.leaves(piece))

    def _commit(self, lane: Lane) -> None:
        """Bring the store to where the lane is.

        :raises StoreError: where it cannot be written; what is new stays in memory.
        """
        index, pieces = lane.index, self._pieces[lane.index]
        started = time.perf_counter()
        state = encode_state(lane.done, self._fetch(lane.state))
        with self._lock:
            if self.failed:
                return
            try:
                with in_step() if self._together else nullcontext():
                    count = self._write(index, pieces, state)
            except (OSError, StoreError) as error:
                self.failed = True
                raise StoreError(
                    f"The store '{self._store.path}' cannot be written: {error}. The draws so far are there "
                    "(`get_samples`); make room and go on from the last commit with MCMC.resume."
                ) from error
            self._committed[index] += count
            pieces.clear()
            self._ahead.pop(index, None)
        now = time.perf_counter()
        self._last[index], self._pause[index] = now, max(COMMIT_SECONDS, COMMIT_COST * (now - started))

    def _write(self, index: int, pieces: list[Records], state: bytes) -> int:
        """Write the lane's new draws and its state; the number of draws. One process of several does the writing."""
        count = sum(map(number_of_draws, pieces))
        if is_writer():
            if pieces:
                new = jax.tree.map(lambda *leaves: concatenate(leaves, 1), *pieces)
                encoded = self._variables.encode(new)
                self._store.write_draws(self._variables, self._chains[index], self._committed[index], encoded)
            self._store.write_state(index, state)
            committed = [draws + count * (lane == index) for lane, draws in enumerate(self._committed)]
            self._store.show(self._variables, *self._shape_of(committed))
        return count

    @property
    def shape(self) -> tuple[int, int]:
        """The chains and draws to be shown: the first chains, and so many, that the most draws are seen."""
        return self._shape_of(self._committed)

    def _shape_of(self, committed: list[int]) -> tuple[int, int]:
        shapes = [(lanes, min(committed[:lanes])) for lanes in range(1, len(committed) + 1)]
        lanes, draws = max(shapes, key=lambda shape: shape[0] * shape[1])
        return self._chains[lanes - 1].stop, draws

    def close(self) -> None:
        try:
            for lane in list(self._ahead.values()):
                self._commit(lane)
        finally:
            self._store.unlock()

    def draws(self) -> Records:
        lanes = []
        for index, chains in enumerate(self._chains):
            pieces = list(self._pieces[index])
            if self._committed[index]:
                pieces.insert(0, _read(self._store, self._variables, chains, self._committed[index]))
            if pieces:
                lanes.append(jax.tree.map(lambda *leaves: concatenate(leaves, 1), *pieces))
        return jax.tree.map(lambda *leaves: concatenate(leaves, 0), *balanced(lanes)) if lanes else {}

    def result(self) -> StoredRecords:
        return StoredRecords(self._store, self._variables, self.shape)


class StoredRecords(Mapping[str, PyTree]):
    """The recorded fields of a store, by name; each is read when it is asked for, and not kept.

    :param store: the store, to which other runs may have written since.
    :param variables: its variables.
    :param shape: the chains and draws to be read.
    """

    def __init__(self, store: RunStore, variables: Variables, shape: tuple[int, int]) -> None:
        self._path, self._run, self._variables, self.shape = store.path, store.about["run"], variables, shape

    def __getitem__(self, field: str) -> PyTree:
        store = RunStore(self._path)
        if store.about["run"] != self._run:
            raise StoreError(f"The store '{self._path}' has been replaced by that of another run.")
        chains, draws = self.shape
        return self._variables.field(field, lambda variable: store.read(variable, slice(0, chains), draws))

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables.fields if np.prod(self.shape) else ())

    def __len__(self) -> int:
        return len(tuple(iter(self)))


def _read(store: RunStore, variables: Variables, chains: slice, draws: int) -> Records:
    return {
        field: variables.field(field, lambda variable: store.read(variable, chains, draws))
        for field in variables.fields
    }
