"""A run's folder: what it is, its draws, and the states of its lanes."""

from __future__ import annotations

import copy
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from numpyro._typing import Shape
from numpyro.infer.mcmc.recorder import StoreError
from numpyro.infer.mcmc.store.arrays import new_array, open_array, read_array, shape_shown, show_shape
from numpyro.infer.mcmc.store.files import DurableStore, lock_folder, sync_folder
from numpyro.infer.mcmc.store.variables import Variable, Variables

FORMAT = 2
COORDINATE_CHUNK = 1 << 16
GROUPS = ("posterior", "sample_stats")
DIMENSIONS = ("chain", "draw")


class RunStore:
    """A run in the folder ``path``, a zarr store of format 3.

    - ``posterior`` and ``sample_stats``: an array for each variable, over chains and draws. Their shapes on the disk
      say how much is there of every chain; chunks beyond them belong to chains that are ahead.
    - ``sampler_state``: for each lane, one array of bytes: how many iterations it has done, and its state.
    - the attributes of the root: ``numpyro``, what the run is.

    A lane's draws are written before its state, each file whole. What was written after the last state is written once
    more, with the same values, when a run goes on.

    One run writes at a time: it holds the :meth:`lock` from before it reads the states until :meth:`unlock`.
    """

    def __init__(self, path: str | Path) -> None:
        """Open a store to be read.

        :raises StoreError: where there is none, or it is damaged.
        """
        self.path = Path(path).absolute()
        self._lock: int | None = None
        self._arrays: dict[str, Any] = {}
        if not self.path.exists():
            raise StoreError(f"There is no store at '{path}'.")
        self.about = self._read_about()
        """What the run is."""
        if self.about.get("format") != FORMAT:
            raise StoreError(
                f"The store '{path}' has the format {self.about.get('format')}; this version reads {FORMAT}."
            )

    def _read_about(self) -> dict[str, Any]:
        with self._reading():
            attributes = zarr.open_group(DurableStore(self.path, read_only=True), mode="r").attrs
            if "numpyro" not in attributes:
                raise StoreError(f"'{self.path}' is a zarr store, but no run that can be gone on with.")
            about: Any = attributes["numpyro"]
            return copy.deepcopy(dict(about))

    @staticmethod
    def require_room(path: str | Path) -> None:
        """Raise where there is something at ``path``: a new store takes the place of nothing."""
        path = Path(path).absolute()
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise StoreError(
                f"The store '{path}' exists. To go on with its run, use MCMC.resume; to run anew, name another path or "
                "remove it."
            )

    @classmethod
    def create(
        cls, path: str | Path, about: dict[str, Any], variables: Variables, shape: tuple[int, int], states: list[bytes]
    ) -> RunStore:
        """Write a new store, and open it to be written.

        :param about: what the run is; plain JSON.
        :param shape: chains, and the most draws of each.
        :param states: the states that lanes begin with.
        :raises StoreError: where there is something at ``path``, or it cannot be written.
        """
        path = Path(path).absolute()
        cls.require_room(path)
        about = about | {"format": FORMAT, "run": uuid.uuid4().hex, "num_chains": shape[0], "num_lanes": len(states)}
        draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            _write_draft(draft, about, variables, shape, states)
            draft.rename(path)
            sync_folder(path.parent)
        except OSError as error:
            raise StoreError(f"The store '{path}' cannot be written: {error}.") from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        store = cls(path)
        store.lock()
        try:
            store.begin_writing(variables, shape[1], about["settings"])
        except BaseException:
            store.unlock()
            raise
        return store

    # Writing

    def lock(self) -> None:
        """Let no other run write.

        :raises StoreError: where another one does.
        """
        self._lock = lock_folder(self.path)
        if self._lock is None:
            raise StoreError(
                f"The store '{self.path}' is being written to by another run, of this process or another one: wait "
                "until it has ended."
            )

    def unlock(self) -> None:
        """Let others write, where this run has the lock."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def require_unchanged(self) -> None:
        """Raise where another run has gone on with the store, or taken its place, since it was opened."""
        if self._read_about() != self.about:
            raise StoreError(
                f"Another run has gone on with the store '{self.path}' while this one was being prepared: call "
                "MCMC.resume once more to go on from there."
            )

    def begin_writing(self, variables: Variables, draws: int, settings: dict[str, Any]) -> None:
        """Make ready for ``draws`` draws of each chain, and write down what the run is now; readers see no change."""
        self.about["settings"] = settings
        zarr.open_group(DurableStore(self.path), mode="r+").attrs["numpyro"] = self.about
        self.make_room(variables, draws, writable=True)
        for group in GROUPS:
            self._arrays[f"{group}/draw"][:] = np.arange(draws)

    def make_room(self, variables: Variables, draws: int, *, writable: bool) -> None:
        """Take the arrays to have ``draws`` draws of each chain, whatever shape they show to readers."""
        with self._reading():
            for path, shape in _shapes(variables, self.about["num_chains"], draws):
                self._arrays[path] = open_array(self.path, path, shape, writable=writable)
            for lane in range(self.num_lanes):
                path = _state_path(lane)
                self._arrays[path] = open_array(self.path, path, writable=writable)

    def show(self, variables: Variables, chains: int, draws: int) -> None:
        """Let readers see so many chains and draws."""
        for path, shape in _shapes(variables, chains, draws):
            show_shape(self.path, path, shape)

    def write_draws(self, variables: Variables, chains: slice, start: int, arrays: Sequence[np.ndarray]) -> None:
        """Write draws from ``start`` on, arrays over the lane's chains and its new draws."""
        for variable, array in zip(variables, arrays, strict=True):
            if array.size:
                self._arrays[variable.path][chains, start : start + array.shape[1]] = array

    def write_state(self, lane: int, state: bytes) -> None:
        """Replace the state of a lane."""
        self._arrays[_state_path(lane)][:] = _bytes(state)

    # Reading

    @property
    def num_lanes(self) -> int:
        """How many lanes the run has."""
        return int(self.about["num_lanes"])

    def require_coordinates(self) -> None:
        """Raise where the numbers of chains and draws are not what they are to be."""
        with self._reading():
            for path in (f"{group}/{dimension}" for group in GROUPS for dimension in DIMENSIONS):
                array = open_array(self.path, path)
                found = read_array(self.path, path, array, slice(0, array.shape[0]))
                if not np.array_equal(found, np.arange(len(found))):
                    raise StoreError(f"The store '{self.path}' is damaged: '{path}' does not count from 0.")

    def read(self, variable: Variable, chains: slice, draws: int) -> np.ndarray:
        """The first draws of some chains.

        :raises StoreError: where they are not there, or are damaged.
        """
        with self._reading():
            array = self._arrays.get(variable.path)
            if array is None:
                array = open_array(self.path, variable.path)
            if array.shape[0] < chains.stop or array.shape[1] < draws:
                raise StoreError(
                    f"The store '{self.path}' shows {array.shape[1]} draws of {array.shape[0]} chains in "
                    f"'{variable.path}', where {draws} of {chains.stop} are asked for: another run is going on with "
                    "it; wait until that has ended."
                )
            return read_array(self.path, variable.path, array, chains, slice(0, draws))

    def shown(self) -> tuple[int, int]:
        """The chains and draws that readers see."""
        with self._reading():
            chains, draws = (shape_shown(self.path, f"posterior/{dimension}")[0] for dimension in DIMENSIONS)
            return chains, draws

    def read_state(self, lane: int) -> bytes:
        """The state of a lane.

        :raises StoreError: where it is missing or damaged.
        """
        path = _state_path(lane)
        with self._reading():
            array = open_array(self.path, path)
            return read_array(self.path, path, array, slice(0, array.shape[0])).tobytes()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except Exception as error:
            raise StoreError(f"The store '{self.path}' is damaged or is no run: {error}.") from error


def _write_draft(
    draft: Path, about: dict[str, Any], variables: Variables, shape: tuple[int, int], states: list[bytes]
) -> None:
    """Write a store that shows no draws yet."""
    draft.mkdir(parents=True)
    root = zarr.open_group(DurableStore(draft), mode="w")
    root.attrs["numpyro"] = about
    for group in GROUPS:
        root.create_group(group)
        for dimension, length in zip(DIMENSIONS, shape):
            chunk = shape[0] if dimension == "chain" else COORDINATE_CHUNK
            array = new_array(root, f"{group}/{dimension}", (length,), (chunk,), np.int64, (dimension,))
            array[:] = np.arange(length)
    together = shape[0] // len(states)
    for variable in variables:
        event_names = tuple(f"{variable.name}_dim_{i}" for i in range(len(variable.event_shape)))
        full, chunks = (*shape, *variable.event_shape), variable.chunks(together, shape[1])
        new_array(root, variable.path, full, chunks, variable.dtype, ("chain", "draw", *event_names))
    for path, empty in _shapes(variables, 0, 0):
        show_shape(draft, path, empty)
    root.create_group("sampler_state")
    for lane, state in enumerate(states):
        size = (len(state),)
        new_array(root, _state_path(lane), size, size, np.uint8, (f"lane_{lane}_byte",))[:] = _bytes(state)
    sync_folder(draft)


def _shapes(variables: Variables, chains: int, draws: int) -> Iterator[tuple[str, Shape]]:
    """The arrays over chains and draws, and their shapes where there are so many."""
    for group in GROUPS:
        yield f"{group}/chain", (chains,)
        yield f"{group}/draw", (draws,)
    for variable in variables:
        yield variable.path, (chains, draws, *variable.event_shape)


def _state_path(lane: int) -> str:
    return f"sampler_state/lane_{lane}"


def _bytes(content: bytes) -> np.ndarray:
    return np.frombuffer(content, np.uint8)
