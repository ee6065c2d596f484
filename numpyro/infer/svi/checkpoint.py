"""A run on disk, in one file, from which it goes on bit for bit."""

from __future__ import annotations

import hashlib
import io
import json
import time
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import PyTree
from numpyro._util.files import replace_file
from numpyro.infer.svi.loop import Compiled

FORMAT = 1
SECONDS = 30.0
"""How old a checkpoint gets while a run goes on."""

_DIFFERENCES = {
    "program": "its model, guide, objective, optimiser or their arguments' shapes are others",
    "data": "its data are others",
    "start": "it began elsewhere: with another key, or other initial values",
    "precision": "it was made in another precision",
    "platform": "it was made on another kind of device",
    "jax": "it was made with another version of JAX",
}


class Saved(NamedTuple):
    """What a checkpoint holds: the state, the losses, the best state with its mean loss, and whether the run ended."""

    state: PyTree
    losses: np.ndarray
    best: tuple[float, PyTree] | None
    ended: bool


def identity(compiled: Compiled, data: PyTree, state: PyTree) -> dict[str, Any]:
    """What makes a run the same run.

    :param data: the arrays that all steps take.
    :param state: the state that the run begins with.
    """
    key: Any = compiled.program.key
    (digest, opaque), structure = key
    return {
        "program": hashlib.blake2b(digest + f"{len(opaque)}{structure}".encode(), digest_size=16).hexdigest(),
        "data": _digest((compiled.consts, data)),
        "start": _digest(state),
        "precision": bool(jax.config.jax_enable_x64),  # type: ignore[attr-defined]
        "platform": jax.default_backend(),
        "jax": jax.__version__,
    }


class Checkpoint:
    """The file of a run.

    :param path: where it is.
    :param fingerprint: what makes the run the same run, as :func:`identity` says.
    """

    def __init__(self, path: str | Path, fingerprint: dict[str, Any]) -> None:
        self.path, self._fingerprint = Path(path), fingerprint
        if not self.path.parent.is_dir():
            raise UsageError(f"The checkpoint '{self.path}' has no folder: make '{self.path.parent}' first.")
        self._written = time.monotonic()

    def is_due(self) -> bool:
        """Whether the file is old enough to be written anew."""
        return time.monotonic() - self._written > SECONDS

    def save(self, saved: Saved) -> None:
        """Replace the file; a crash at any moment leaves the one before or the new one."""
        header = {
            "format": FORMAT,
            "fingerprint": self._fingerprint,
            "ended": saved.ended,
            "best": None if saved.best is None else saved.best[0].hex(),
        }
        arrays: dict[str, Any] = {f"state{i}": _words(leaf) for i, leaf in enumerate(jax.tree.leaves(saved.state))}
        if saved.best is not None:
            arrays |= {f"best{i}": _words(leaf) for i, leaf in enumerate(jax.tree.leaves(saved.best[1]))}
        content = io.BytesIO()
        np.savez(content, header=np.array(json.dumps(header)), losses=saved.losses, **arrays)
        replace_file(self.path, content.getvalue())
        self._written = time.monotonic()

    def load(self, template: PyTree) -> Saved | None:
        """What the file holds, or ``None`` where there is none.

        :param template: a state.
        :raises ValueError: where the file is of another run, or no checkpoint.
        """
        if not self.path.exists():
            return None
        try:
            with np.load(io.BytesIO(self.path.read_bytes()), allow_pickle=False) as file:
                found = dict(file)
            header = json.loads(str(found["header"]))
            known = header["format"] == FORMAT
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise UsageError(f"The file '{self.path}' is no checkpoint of SVI, or damaged: {error}.") from error
        if not known:
            raise UsageError(f"The checkpoint '{self.path}' has the format {header['format']}, this version {FORMAT}.")
        different = [
            why for part, why in _DIFFERENCES.items() if header["fingerprint"][part] != self._fingerprint[part]
        ]
        if different:
            raise UsageError(
                f"This run cannot go on with the checkpoint '{self.path}': {'; '.join(different)}. Remove the file, or "
                "give another name."
            )
        best = None
        if header["best"] is not None:
            best = float.fromhex(header["best"]), _state(found, "best", template)
        return Saved(_state(found, "state", template), found["losses"], best, header["ended"])


def _state(found: dict[str, np.ndarray], prefix: str, template: PyTree) -> PyTree:
    leaves = []
    for i, leaf in enumerate(jax.tree.leaves(template)):
        words = found[f"{prefix}{i}"]
        is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        leaves.append(
            jax.random.wrap_key_data(jax.device_put(words), impl=jax.random.key_impl(leaf))
            if is_key
            else jax.device_put(words)
        )
    return jax.tree.unflatten(jax.tree.structure(template), leaves)


def _words(leaf: Any) -> np.ndarray:
    if hasattr(leaf, "dtype") and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    return np.asarray(leaf, order="C")


def _digest(tree: PyTree) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for leaf in jax.tree.leaves(tree):
        words = _words(leaf)
        digest.update(f"{words.dtype}{np.shape(leaf)}".encode())
        digest.update(words.tobytes())
    return digest.hexdigest()
