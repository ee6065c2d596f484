"""Files that are written whole or not at all, and are on the disk when the writer goes on."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from zarr.storage import LocalStore

from numpyro._util.files import replace_file


class DurableStore(LocalStore):
    """A folder as a zarr store. A crash or a power cut at any moment leaves each file as it was, or as it is to be."""

    async def set(self, key: str, value: Any) -> None:
        await asyncio.to_thread(write_durably, self.root / key, value.to_bytes())


def write_durably(path: Path, content: bytes) -> None:
    """Replace the file at ``path`` by a new one; the bytes are on the disk before the name points at them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, content)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # systems that do not open folders
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock_folder(folder: Path) -> int | None:
    """Take the lock of a folder, or ``None`` where somebody has it; closing the descriptor gives it back.

    The system gives it back, too, when the process ends, however it ends.
    """
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
