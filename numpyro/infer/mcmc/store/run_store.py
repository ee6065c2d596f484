"""A run's folder: what it is, its draws, and the states of its lanes."""

from __future__ import annotations

import copy
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec

from numpyro._typing import PyTree, Shape
from numpyro.infer.mcmc.recorder import StoreError, is_key, key_impl
from numpyro.infer.mcmc.store.files import DurableStore, lock_folder, sync_folder, write_durably
from numpyro.infer.mcmc.store.variables import Variable, Variables, with_shape

FORMAT = 1
COORDINATE_CHUNK = 1 << 16
DIMENSIONS = ("chain", "draw")
KEEP_ZEROS: Any = {"write_empty_chunks": True}
"""Write chunks of zeros, too: a chunk that is missing is a sign of damage."""


class RunStore:
    """A run in the folder ``path``, a zarr store of format 3.

    - ``posterior`` and ``sample_stats``: an array for each variable, over chains and draws. Their shapes on the disk
      say how much is there of every chain; chunks beyond them belong to chains that are ahead.
    - ``sampler_state``: for each lane, one array of bytes: how many iterations it has done, and its state.
    - the attributes of the root: ``numpyro``, what the run is.

    A lane's draws are written before its state, each file whole. What was written after the last state is written once
    more, with the same values, when a run goes on.
    """

    def __init__(self, path: str | Path) -> None:
        """Open a store to be read.

        :raises StoreError: where there is none, or it is damaged.
        """
        self.path = Path(path).absolute()
        self._lock: int | None = None
        if not self.path.exists():
            raise StoreError(f"There is no store at '{path}'.")
        with self._reading():
            self._root: Any = zarr.open_group(DurableStore(self.path, read_only=True), mode="r")
            if "numpyro" not in self._root.attrs:
                raise StoreError(f"'{path}' is a zarr store, but no run that can be gone on with.")
            about: Any = self._root.attrs["numpyro"]
            self.about: dict[str, Any] = copy.deepcopy(dict(about))
        if self.about.get("format") != FORMAT:
            raise StoreError(
                f"The store '{path}' has the format {self.about.get('format')}; this version reads {FORMAT}."
            )
        self._arrays: dict[str, Any] = {}

    @classmethod
    def create(
        cls, path: str | Path, about: dict[str, Any], variables: Variables, shape: tuple[int, int], states: list[bytes]
    ) -> RunStore:
        """Write a new store.

        :param about: what the run is; plain JSON.
        :param shape: chains, and the most draws of each.
        :param states: the states that lanes begin with.
        :raises StoreError: where there is something at ``path``, or it cannot be written.
        """
        path = Path(path).absolute()
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise StoreError(
                f"The store '{path}' exists. To go on with its run, use MCMC.resume; to run anew, name another path or "
                "remove it."
            )
        draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            draft.mkdir(parents=True)
            root = zarr.open_group(DurableStore(draft), mode="w")
            root.attrs["numpyro"] = about | {"format": FORMAT, "num_chains": shape[0]}
            for group in ("posterior", "sample_stats"):
                root.create_group(group)
                for dimension, length in zip(DIMENSIONS, shape):
                    chunk = shape[0] if dimension == "chain" else COORDINATE_CHUNK
                    array = _new_array(root, f"{group}/{dimension}", (length,), (chunk,), np.int64, (dimension,))
                    array[:] = np.arange(length)
            together = shape[0] // len(states)
            for variable in variables:
                event_names = tuple(f"{variable.name}_dim_{i}" for i in range(len(variable.event_shape)))
                full, chunks = (*shape, *variable.event_shape), variable.chunks(together, shape[1])
                _new_array(root, variable.path, full, chunks, variable.dtype, ("chain", "draw", *event_names))
            root.create_group("sampler_state")
            for lane, state in enumerate(states):
                name = f"lane_{lane}"
                size = (len(state),)
                _new_array(root, f"sampler_state/{name}", size, size, np.uint8, (f"{name}_byte",))[:] = _bytes(state)
            sync_folder(draft)
            draft.rename(path)
            sync_folder(path.parent)
        except OSError as error:
            shutil.rmtree(draft, ignore_errors=True)
            raise StoreError(f"The store '{path}' cannot be written: {error}.") from error
        store = cls(path)
        store.begin_writing(variables, shape[1])
        store.show(variables, 0, 0)
        return store

    def begin_writing(self, variables: Variables, draws: int) -> None:
        """Make room for ``draws`` draws of each chain, and write down what the run is now.

        :raises StoreError: where another run is writing to the store.
        """
        self._lock = lock_folder(self.path)
        if self._lock is None:
            raise StoreError(
                f"The store '{self.path}' is being written to by another run, of this process or another one: wait "
                "until it has ended."
            )
        self._root = zarr.open_group(DurableStore(self.path), mode="r+")
        self._root.attrs["numpyro"] = self.about
        self._arrays = {}
        for path, shape in self._shapes(variables, self.about["num_chains"], draws):
            self._resize(path, shape)
            self._arrays[path] = self._root[path].with_config(KEEP_ZEROS)
        for group in ("posterior", "sample_stats"):
            self._arrays[f"{group}/draw"][:] = np.arange(draws)
        for lane in range(self.num_lanes):
            path = f"sampler_state/lane_{lane}"
            self._arrays[path] = self._root[path].with_config(KEEP_ZEROS)

    def end_writing(self) -> None:
        """Let others write."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def require_coordinates(self) -> None:
        """Raise where the numbers of chains and draws are not what they are to be."""
        with self._reading():
            for path in (f"{group}/{dimension}" for group in ("posterior", "sample_stats") for dimension in DIMENSIONS):
                found = np.asarray(self._root[path][:])
                if not np.array_equal(found, np.arange(len(found))):
                    raise StoreError(f"The store '{self.path}' is damaged: '{path}' does not count from 0.")

    @property
    def num_lanes(self) -> int:
        """How many lanes the run has."""
        return int(self.about["num_lanes"])

    def _shapes(self, variables: Variables, chains: int, draws: int) -> Iterator[tuple[str, Shape]]:
        for group in ("posterior", "sample_stats"):
            yield f"{group}/chain", (chains,)
            yield f"{group}/draw", (draws,)
        for variable in variables:
            yield variable.path, (chains, draws, *variable.event_shape)

    def show(self, variables: Variables, chains: int, draws: int) -> None:
        """Let readers see so many chains and draws."""
        for path, shape in self._shapes(variables, chains, draws):
            self._resize(path, shape)

    def _resize(self, path: str, shape: Shape) -> None:
        file = self.path / path / "zarr.json"
        metadata = file.read_bytes()
        resized = with_shape(metadata, shape)
        if json.loads(metadata) != json.loads(resized):
            write_durably(file, resized)

    # Draws

    def write_draws(self, variables: Variables, chains: slice, start: int, arrays: Sequence[np.ndarray]) -> None:
        """Write draws from ``start`` on, arrays over the lane's chains and its new draws."""
        for variable, array in zip(variables, arrays, strict=True):
            if array.size:
                self._arrays[variable.path][chains, start : start + array.shape[1]] = array

    def read(self, variable: Variable, chains: slice, draws: int) -> np.ndarray:
        """The first draws of some chains.

        :raises StoreError: where they are not there, or are damaged.
        """
        with self._reading():
            array = self._arrays.get(variable.path)
            if array is None:
                array = self._root[variable.path]
            self._require_chunks(array, variable.path, chains, draws)
            return np.asarray(array[chains, :draws])

    def _require_chunks(self, array: Any, path: str, chains: slice, draws: int) -> None:
        """A chunk that is missing would read as zeros."""
        if array.size == 0 or draws == 0:
            return
        first, last = chains.start // array.chunks[0], (chains.stop - 1) // array.chunks[0]
        rest = (0,) * (array.ndim - 2)
        for chain in range(first, last + 1):
            for row in range((draws - 1) // array.chunks[1] + 1):
                key = array.metadata.encode_chunk_key((chain, row, *rest))
                if not (self.path / path / key).exists():
                    raise StoreError(f"The store '{self.path}' is damaged: '{path}/{key}' is missing.")

    def shown(self) -> tuple[int, int]:
        """The chains and draws that readers see."""
        with self._reading():
            chain, draw = (json.loads((self.path / f"posterior/{d}/zarr.json").read_bytes()) for d in ("chain", "draw"))
            return chain["shape"][0], draw["shape"][0]

    # States

    def write_state(self, lane: int, state: bytes) -> None:
        """Replace the state of a lane."""
        self._arrays[f"sampler_state/lane_{lane}"][:] = _bytes(state)

    def read_state(self, lane: int) -> bytes:
        """The state of a lane.

        :raises StoreError: where it is missing or damaged.
        """
        path = f"sampler_state/lane_{lane}"
        with self._reading():
            array = self._root[path]
            key = array.metadata.encode_chunk_key((0,))
            if not (self.path / path / key).exists():
                raise StoreError(f"The store '{self.path}' is damaged: '{path}/{key}' is missing.")
            return np.asarray(array[:]).tobytes()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except Exception as error:
            raise StoreError(f"The store '{self.path}' is damaged or is no run: {error}.") from error


def _new_array(root: Any, path: str, shape: Shape, chunks: Shape, dtype: Any, dimensions: tuple[str, ...]) -> Any:
    return root.create_array(
        path,
        shape=shape,
        chunks=chunks,
        dtype=np.dtype(dtype),
        compressors=[ZstdCodec(level=1), Crc32cCodec()],
        dimension_names=dimensions,
        fill_value=np.zeros((), dtype)[()],
        config=KEEP_ZEROS,
    )


def _bytes(content: bytes) -> np.ndarray:
    return np.frombuffer(content, np.uint8)


def encode_state(done: int, state: PyTree) -> bytes:
    """A lane's state, with arrays in host memory, as bytes."""
    return np.int64(done).tobytes() + b"".join(_words(leaf).tobytes() for leaf in jax.tree.leaves(state))


def decode_state(content: bytes, template: PyTree) -> tuple[int, PyTree]:
    """How many iterations were done, and the state.

    :param template: a state, or its shapes.
    :raises ValueError: where the bytes are not those of such a state.
    """
    leaves, position = [], 8
    for leaf in jax.tree.leaves(template):
        holds_keys = is_key(leaf)
        words = jax.eval_shape(jax.random.key_data, leaf) if holds_keys else leaf
        size = int(np.prod(words.shape)) * np.dtype(words.dtype).itemsize
        piece = np.frombuffer(content[position : position + size], words.dtype).reshape(words.shape)
        leaves.append(jax.random.wrap_key_data(jnp.asarray(piece), impl=key_impl(leaf)) if holds_keys else piece)
        position += size
    if position != len(content):
        raise ValueError(f"a state has {position} bytes, got {len(content)}")
    return int(np.frombuffer(content[:8], np.int64)[0]), jax.tree.unflatten(jax.tree.structure(template), leaves)


def _words(leaf: Any) -> np.ndarray:
    return np.ascontiguousarray(jax.random.key_data(leaf) if is_key(leaf) else leaf)


def describe_state(template: PyTree) -> list[list[Any]]:
    """The shapes and types of a state, to be written down and compared."""
    return [[list(np.shape(leaf)), str(leaf.dtype)] for leaf in jax.tree.leaves(template)]
