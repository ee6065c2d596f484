"""Zarr arrays of a store: written so that missing chunks are a sign of damage, and read with errors that name files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.storage import StorePath

from numpyro._typing import Shape
from numpyro.infer.mcmc.recorder import StoreError
from numpyro.infer.mcmc.store.files import DurableStore, write_durably

KEEP_ZEROS: Any = {"write_empty_chunks": True}
"""Write chunks of zeros, too: a chunk that is missing is a sign of damage."""


def new_array(root: Any, path: str, shape: Shape, chunks: Shape, dtype: Any, dimensions: tuple[str, ...]) -> Any:
    """A new array, with a checksum for each chunk."""
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


def open_array(folder: Path, path: str, shape: Shape | None = None, *, writable: bool = False) -> Any:
    """The array at ``path`` of the store in ``folder``.

    :param shape: take it to have this shape, whatever shape it shows to readers; nothing changes on the disk.
    """
    metadata = json.loads(_metadata(folder, path).read_bytes())
    if shape is not None:
        metadata["shape"] = list(shape)
    place = StorePath(DurableStore(folder, read_only=not writable), path)
    return zarr.Array.from_dict(place, metadata).with_config(KEEP_ZEROS)


def shape_shown(folder: Path, path: str) -> Shape:
    """The shape of an array that readers see."""
    return tuple(json.loads(_metadata(folder, path).read_bytes())["shape"])


def show_shape(folder: Path, path: str, shape: Shape) -> None:
    """Let readers see an array in another shape; no chunk is touched."""
    metadata = json.loads(_metadata(folder, path).read_bytes())
    if metadata["shape"] != list(shape):
        write_durably(_metadata(folder, path), json.dumps(metadata | {"shape": list(shape)}).encode())


def _metadata(folder: Path, path: str) -> Path:
    return folder / path / "zarr.json"


def read_array(folder: Path, path: str, array: Any, *region: slice) -> np.ndarray:
    """A region of the leading axes of an array.

    :raises StoreError: where a chunk of it is missing or damaged, naming its file; a missing one would read as zeros.
    """
    chunks = list(_chunks(array, region))
    for key, _ in chunks:
        if not (folder / path / key).exists():
            raise StoreError(f"The store '{folder}' is damaged: '{path}/{key}' is missing.")
    try:
        return np.asarray(array[region])
    except Exception as error:
        for key, part in chunks:
            try:
                array[part]
            except Exception as reason:
                raise StoreError(f"The store '{folder}' is damaged: '{path}/{key}': {reason}.") from error
        raise


def _chunks(array: Any, region: tuple[slice, ...]) -> Iterator[tuple[str, tuple[slice, ...]]]:
    """The chunks that lie in a region: the names of their files, and where they are. Later axes are not cut."""
    if array.size == 0 or any(part.stop <= part.start for part in region):
        return
    sizes = array.chunks[: len(region)]
    rest = (0,) * (array.ndim - len(region))
    for place in product(*(range(p.start // size, -(-p.stop // size)) for p, size in zip(region, sizes, strict=True))):
        part = tuple(slice(i * size, (i + 1) * size) for i, size in zip(place, sizes))
        yield array.metadata.encode_chunk_key((*place, *rest)), part
