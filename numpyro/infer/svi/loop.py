"""Many steps of an optimisation, in chunks of one compiled program."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._typing import Array, PyTree
from numpyro.infer.mcmc.progress import SHOWN_SECONDS, SILENT_SECONDS, is_shown
from numpyro.infer.program import Program, compiled_programs, in_jit, is_traced, jit

ROWS = 4096
"""The most steps of a chunk."""

Step = Callable[[PyTree, PyTree], tuple[PyTree, Array]]


class Steps(NamedTuple):
    """What a loop leaves: the last state, and the losses of the steps that were made."""

    state: PyTree
    losses: Any


def loop(step: Step, state: PyTree, data: PyTree, num_steps: int, progress_bar: bool, stop: threading.Event) -> Steps:
    """Make ``num_steps`` steps, or as many of them as there are until ``stop`` is set.

    :param step: a pure function ``(state, data) -> (state, loss)``.
    :param data: arrays.
    """
    if is_traced((state, data)) or in_jit():
        return _scan(step, state, data, num_steps)
    shapes = jax.eval_shape(lambda *trees: trees, state, data)
    program = Program(step, *shapes)
    if is_traced(program.consts):
        return _scan(step, state, data, num_steps)
    bare = program.without_consts()
    chunk = compiled_programs.get(("svi chunk", program.key), lambda: jit(lambda *args: _chunk(bare, *args)))
    bar = _Bar(num_steps) if progress_bar and is_shown() else None
    losses: list[np.ndarray] = []
    done, size = 0, 1
    try:
        while done < num_steps and not stop.is_set():
            count, started = min(size, num_steps - done, ROWS), time.perf_counter()
            state, found = chunk(program.consts, state, data, np.int32(count))
            losses.append(np.asarray(found)[:count])
            done += count
            seconds = max(time.perf_counter() - started, 1e-6)
            size = int(min(max(count * (SHOWN_SECONDS if bar else SILENT_SECONDS) / seconds, 1), 8 * count))
            if bar is not None:
                bar.update(losses)
    finally:
        if bar is not None:
            bar.close()
    return Steps(state, np.concatenate(losses))


def _chunk(step: Program, consts: tuple, state: PyTree, data: PyTree, count: Array) -> tuple[PyTree, Array]:
    dtype = step.out_shape[1].dtype

    def body(carry: tuple) -> tuple:
        i, state, losses = carry
        state, loss = step(consts, state, data)
        return i + 1, state, lax.dynamic_update_index_in_dim(losses, loss, i, 0)

    start = (jnp.int32(0), state, jnp.zeros(ROWS, dtype))
    _, state, losses = lax.while_loop(lambda carry: carry[0] < count, body, start)
    return state, losses


def _scan(step: Step, state: PyTree, data: PyTree, num_steps: int) -> Steps:
    """All steps in one piece, as part of a trace around us."""
    return Steps(*lax.scan(lambda state, _: step(state, data), state, None, length=num_steps))


class _Bar:
    """A progress bar with the first loss and the mean of the latest ones."""

    def __init__(self, total: int) -> None:
        from tqdm.auto import tqdm

        self._window = max(1, total // 20)
        self._bar: Any = tqdm(total=total)

    def update(self, losses: list[np.ndarray]) -> None:
        made = sum(map(len, losses))
        latest = np.concatenate(losses[-self._window :])[-self._window :]
        first, average = float(losses[0][0]), float(np.mean(latest))
        self._bar.set_postfix_str(
            f"init loss: {first:.4f}, avg loss [{made - len(latest) + 1}-{made}]: {average:.4f}", refresh=False
        )
        self._bar.update(made - self._bar.n)

    def close(self) -> None:
        self._bar.close()
