"""Many steps of an optimisation, in chunks of one compiled program."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._typing import Array, PyTree
from numpyro.infer.mcmc.progress import SHOWN_SECONDS, SILENT_SECONDS, is_shown
from numpyro.infer.program import Program, compiled_programs, in_jit, is_traced, jit

ROWS = 4096
"""The most steps of a chunk."""

LARGE_RESULT = 4096
"""From so many entries of a matrix product on, operations on whole arrays take the time."""

Step = Callable[[PyTree, PyTree], tuple[PyTree, Array]]


class Steps(NamedTuple):
    """What a loop leaves: the last state, and the losses of the steps that were made."""

    state: PyTree
    losses: Any


class Chunks(Protocol):
    """What makes several steps at once."""

    def __call__(self, state: PyTree, done: int, count: int) -> Steps:
        """Make the steps ``done``, ..., ``done + count - 1``, or fewer where there are no more data."""


class Watch(Protocol):
    """What looks at a run between chunks."""

    every: int
    """No chunk goes beyond a multiple of this number of steps."""

    def __call__(self, before: PyTree, after: Steps, done: int) -> bool:
        """Look at a chunk that began with the state ``before`` and step ``done``; whether the run ends here."""


def loop(
    chunks: Chunks,
    state: PyTree,
    num_steps: int,
    progress_bar: bool,
    stop: threading.Event,
    watch: Watch | None = None,
    earlier: np.ndarray | None = None,
) -> Steps:
    """Make steps until there are ``num_steps`` of them, or no more data, or ``stop`` is set, or ``watch`` says so.

    :param earlier: losses of steps that were made before.
    """
    bar = _Bar(num_steps) if progress_bar and is_shown() else None
    losses = [] if earlier is None or not len(earlier) else [earlier]
    done, size = sum(map(len, losses)), 1
    try:
        while done < num_steps and not stop.is_set():
            count, started = min(size, num_steps - done, ROWS), time.perf_counter()
            if watch is not None:
                count = min(count, watch.every - done % watch.every)
            before, (state, found) = state, chunks(state, done, count)
            losses.append(found)
            done += len(found)
            seconds = max(time.perf_counter() - started, 1e-6)
            size = int(min(max(count * (SHOWN_SECONDS if bar else SILENT_SECONDS) / seconds, 1), 8 * count))
            if bar is not None:
                bar.update(losses)
            if watch is not None and watch(before, Steps(state, found), done - len(found)):
                break
            if len(found) < count:
                break
    finally:
        if bar is not None:
            bar.close()
    return Steps(state, np.concatenate(losses) if losses else np.zeros(0, np.float32))


class Compiled(NamedTuple):
    """A step as a program, with the arrays that it captured."""

    program: Program
    consts: tuple

    def chunks(self, data: PyTree) -> Chunks:
        """Chunks of steps on the same data, each a loop within a compiled program."""
        bare = self.program
        chunk = compiled_programs.get(("svi chunk", bare.key), lambda: _jit(lambda *args: _chunk(bare, *args), bare))

        def make(state: PyTree, done: int, count: int) -> Steps:
            state, found = chunk(self.consts, state, data, np.int32(count))
            return Steps(state, np.asarray(found)[:count])

        return make

    def single(self) -> Step:
        """One step, as a compiled program."""
        bare = self.program
        step = compiled_programs.get(("svi step", bare.key), lambda: _jit(bare, bare))
        return lambda state, data: step(self.consts, state, data)


def compile_step(step: Step, state: PyTree, data: PyTree) -> Compiled | None:
    """A pure function ``(state, data) -> (state, loss)`` as a program; ``None`` within somebody's trace."""
    if is_traced((state, data)) or in_jit():
        return None
    program = Program(step, *jax.eval_shape(lambda *trees: trees, state, data))
    return None if is_traced(program.consts) else Compiled(program.without_consts(), program.consts)


def scan(step: Step, state: PyTree, data: PyTree, num_steps: int) -> Steps:
    """All steps in one piece, as part of a trace around us."""
    return Steps(*lax.scan(lambda state, _: step(state, data), state, None, length=num_steps))


def _jit(fn: Callable, step: Program) -> Callable:
    return jit(fn, small=step.largest_result() < LARGE_RESULT)


def _chunk(step: Program, consts: tuple, state: PyTree, data: PyTree, count: Array) -> tuple[PyTree, Array]:
    dtype = step.out_shape[1].dtype

    def body(carry: tuple) -> tuple:
        i, state, losses = carry
        state, loss = step(consts, state, data)
        return i + 1, state, lax.dynamic_update_index_in_dim(losses, loss, i, 0)

    start = (jnp.int32(0), state, jnp.zeros(ROWS, dtype))
    _, state, losses = lax.while_loop(lambda carry: carry[0] < count, body, start)
    return state, losses


class _Bar:
    """A progress bar with the first loss and the mean of the latest ones."""

    def __init__(self, total: int) -> None:
        from tqdm.auto import tqdm

        self._window = max(1, total // 20)
        self._bar: Any = tqdm(total=total)

    def update(self, losses: list[np.ndarray]) -> None:
        made = sum(map(len, losses))
        latest = np.concatenate(losses[-self._window :])[-self._window :]
        if not len(latest):
            return
        first, average = float(next(chunk[0] for chunk in losses if len(chunk))), float(np.mean(latest))
        self._bar.set_postfix_str(
            f"init loss: {first:.4f}, avg loss [{made - len(latest) + 1}-{made}]: {average:.4f}", refresh=False
        )
        self._bar.update(made - self._bar.n)

    def close(self) -> None:
        self._bar.close()
