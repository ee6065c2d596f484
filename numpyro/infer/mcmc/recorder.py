"""Where draws go while chains advance: into lists in host memory, from which one array for each field is made.

Everything recorded has two leading axes, chains and draws, a single chain's too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._typing import PyTree
from numpyro.infer.program import is_traced

if TYPE_CHECKING:
    from numpyro.infer.mcmc.driver import Lane

Records = dict[str, PyTree]


class StoreError(RuntimeError):
    """A run store that cannot be written, or that a run cannot go on with."""


class Recorder(ABC):
    """Takes what lanes draw. Lanes may record in several threads, each for itself."""

    failed = False
    """Whether it could not go on, and has kept what there was by then."""

    @abstractmethod
    def record(self, lane: Lane, kept: Records | None) -> None:
        """A lane has advanced to ``lane.state``; ``kept`` are its new draws, where they are kept."""

    @abstractmethod
    def draws(self) -> Records:
        """All draws so far, equally many of each chain that has any; empty where there are none."""

    def result(self) -> Mapping[str, PyTree]:
        """:meth:`draws` at the end, each field of which may be read when it is asked for."""
        return self.draws()

    def close(self) -> None:
        """No lane will record any more."""


class MemoryRecorder(Recorder):
    """Keeps draws in host memory; inside a trace, as tracers.

    :param num_lanes: the number of lanes.
    """

    def __init__(self, num_lanes: int) -> None:
        self._pieces: list[list[Records]] = [[] for _ in range(num_lanes)]

    def record(self, lane: Lane, kept: Records | None) -> None:
        if kept is not None:
            self._pieces[lane.index].append(kept)

    def draws(self) -> Records:
        for pieces in self._pieces:
            if len(pieces) > 1:
                pieces[:] = [jax.tree.map(lambda *leaves: concatenate(leaves, 1), *pieces)]
        lanes = balanced([pieces[0] for pieces in self._pieces if pieces])
        return jax.tree.map(lambda *leaves: concatenate(leaves, 0), *lanes) if lanes else {}


def balanced(lanes: list[Records]) -> list[Records]:
    """Equally many draws of each lane: of those lanes, and so many, that the most draws are kept.

    Chains that run one after another are not equally far when they are interrupted, and the last ones have few draws.
    """
    counts = sorted((number_of_draws(lane) for lane in lanes), reverse=True)
    if not counts or counts[0] == counts[-1]:
        return lanes
    fewest = counts[max(range(len(counts)), key=lambda i: (i + 1) * counts[i])]
    enough = [lane for lane in lanes if number_of_draws(lane) >= fewest]
    return [jax.tree.map(lambda leaf: leaf[:, :fewest], lane) for lane in enough]


def number_of_draws(records: Records) -> int:
    """The draws of each chain."""
    leaves = jax.tree.leaves(records)
    return leaves[0].shape[1] if leaves else 0


def to_host(leaf: Any) -> Any:
    """An array in host memory; arrays of keys and tracers stay as they are."""
    return leaf if is_traced(leaf) or is_key(leaf) else np.asarray(leaf)


def is_key(leaf: Any) -> bool:
    """Whether an array holds typed random keys."""
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def key_impl(leaf: Any) -> str:
    """The name of the implementation of typed random keys, or of their shape."""
    names: list[str] = []
    jax.eval_shape(lambda keys: names.append(str(jax.random.key_impl(keys))), leaf)
    return names[0]


def _combine(leaves: Any, numpy_fn: Callable, jax_fn: Callable, axis: int) -> Any:
    if is_traced(leaves):
        return jax_fn(leaves, axis=axis)
    if is_key(leaves[0]):
        words = numpy_fn([np.asarray(jax.random.key_data(leaf)) for leaf in leaves], axis=axis)
        return jax.random.wrap_key_data(words, impl=jax.random.key_impl(leaves[0]))
    return numpy_fn(leaves, axis=axis)


def concatenate(leaves: Any, axis: int) -> Any:
    """Concatenate arrays, in host memory where that can be; keys among them."""
    return leaves[0] if len(leaves) == 1 else _combine(leaves, np.concatenate, jnp.concatenate, axis)


def stack_chains(chains: list[PyTree]) -> PyTree:
    """One pytree of arrays in host memory with a leading axis of chains."""
    return jax.tree.map(lambda *leaves: _combine(leaves, np.stack, jnp.stack, 0), *chains)


StoreError.__module__ = "numpyro.infer.mcmc"
