"""How the chains of a run are advanced: one after another, on threads, together in one program, or inside a trace."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._typing import PyTree
from numpyro.infer.mcmc.engine import Plan, Programs
from numpyro.infer.mcmc.progress import Progress
from numpyro.infer.mcmc.settings import thread_settings, thread_settings_as
from numpyro.infer.program import is_traced


class Phase(NamedTuple):
    """A stretch of iterations, and whether its draws are kept."""

    plan: Plan
    keep: bool


class Driver:
    """Advances states through the phases of a run, chunk by chunk.

    :param programs: the compiled programs.
    :param phases: the phases.
    :param draw_axis: the axis of the draws in what a chunk records: 0 for one chain, 1 where chains come first.
    """

    def __init__(
        self,
        programs: Programs,
        phases: list[Phase],
        draw_axis: int,
        describe: Callable[[PyTree], str],
    ) -> None:
        self.programs, self.phases = programs, phases
        self.draw_axis, self.describe = draw_axis, describe
        self.stop = threading.Event()

    def advance(self, data: PyTree, state: PyTree, progress: Progress | None) -> tuple[PyTree, dict[str, PyTree]]:
        """Run all phases from ``state``, or as much of them as there is until :attr:`stop` is set.

        :param progress: the pace; ``None`` inside a trace, where all is one piece.
        :returns: the last state, and the draws that were kept, in host memory, with the axis of draws at ``draw_axis``.
        """
        pieces: list[dict[str, PyTree]] = []
        for phase in self.phases:
            for chunk in self._chunks(phase.plan, progress):
                if self.stop.is_set():
                    return state, self._join(pieces)
                state, records = self.programs.chunk(data, state, chunk)
                if phase.keep and chunk.rows:
                    pieces.append(self._keep(data, records, chunk.rows))
                if progress is not None:
                    jax.block_until_ready(state)
                    progress.update(chunk.iterations, self.describe(state) if progress.shown else "")
        return state, self._join(pieces)

    def _chunks(self, plan: Plan, progress: Progress | None) -> Iterator[Plan]:
        """Cut a plan into chunks that the buffers hold and that are as long as the pace has them."""
        skip, rows = plan.skip, plan.rows
        while skip > 0:
            step = min(skip, progress.limit) if progress else skip
            yield Plan(step, 0, 1)
            skip -= step
        while rows > 0:
            step = min(rows, self.programs.rows, max(1, progress.limit // plan.thinning) if progress else rows)
            yield Plan(0, step, plan.thinning)
            rows -= step

    def _keep(self, data: PyTree, records: dict[str, PyTree], rows: int) -> dict[str, PyTree]:
        records = self.programs.finish(data, records)
        cut = (slice(None),) * self.draw_axis + (slice(0, rows),)
        return jax.tree.map(lambda leaf: _to_host(leaf)[cut], records)

    def _join(self, pieces: list[dict[str, PyTree]]) -> dict[str, PyTree]:
        if len(pieces) <= 1:
            return pieces[0] if pieces else {}
        return jax.tree.map(lambda *leaves: _concatenate(leaves, self.draw_axis), *pieces)


def _to_host(leaf: Any) -> Any:
    """An array in host memory; arrays of keys and tracers stay as they are."""
    return leaf if is_traced(leaf) or _is_key(leaf) else np.asarray(leaf)


def _is_key(leaf: Any) -> bool:
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _combine(leaves: Any, numpy_fn: Callable, jax_fn: Callable, axis: int) -> Any:
    """Stack or concatenate, in host memory where that can be."""
    if is_traced(leaves):
        return jax_fn(leaves, axis=axis)
    if _is_key(leaves[0]):
        words = numpy_fn([np.asarray(jax.random.key_data(leaf)) for leaf in leaves], axis=axis)
        return jax.random.wrap_key_data(words, impl=jax.random.key_impl(leaves[0]))
    return numpy_fn(leaves, axis=axis)


def _concatenate(leaves: Any, axis: int) -> Any:
    return _combine(leaves, np.concatenate, jnp.concatenate, axis)


def stack_chains(chains: list[PyTree]) -> PyTree:
    """A leading axis of chains."""
    return jax.tree.map(lambda *leaves: _combine(leaves, np.stack, jnp.stack, 0), *chains)


@contextmanager
def interruptible(stop: threading.Event) -> Iterator[None]:
    """While open, Ctrl-C sets ``stop``, so that chains end at their next chunk; a second one interrupts at once.

    Only the main thread can listen; elsewhere nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.getsignal(signal.SIGINT)
    if previous is not signal.default_int_handler:  # somebody else listens
        yield
        return

    def listen(number: int, frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    signal.signal(signal.SIGINT, listen)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def run_together(
    driver: Driver, data: PyTree, state: PyTree, progress: Progress | None
) -> tuple[PyTree, dict[str, PyTree]]:
    """One program advances what ``state`` holds: one chain, or all chains by a leading axis."""
    with interruptible(driver.stop), closing_all([progress]):
        return driver.advance(data, state, progress)


@contextmanager
def closing_all(bars: Sequence[Progress | None]) -> Iterator[None]:
    """Close the bars at the end, however it comes."""
    try:
        yield
    finally:
        for bar in bars:
            if bar is not None:
                bar.close()


def run_separately(
    driver: Driver, data: PyTree, states: list[PyTree], bars: Sequence[Progress | None], *, parallel: bool
) -> tuple[list[PyTree], list[dict[str, PyTree]]]:
    """One program advances each chain, one after another or, with ``parallel``, on threads.

    Threads share one executable; compiled code runs outside of Python's lock, so chains use all cores. Where there
    are several devices, chains are dealt out to them.
    """
    with interruptible(driver.stop), closing_all(bars):
        if parallel:
            results = _on_threads(driver, data, states, bars)
        else:
            results = [driver.advance(data, state, bar) for state, bar in zip(states, bars, strict=True)]
    last, draws = zip(*results, strict=True)
    return list(last), _balanced(list(draws)) if driver.stop.is_set() else list(draws)


def _balanced(draws: list[dict[str, PyTree]]) -> list[dict[str, PyTree]]:
    """Equally many draws of each chain: of those chains, and so many, that the most draws are kept.

    Chains that run one after another are not equally far when they are interrupted, and the last ones have no draws.
    """
    drawn = sorted((chain for chain in draws if chain), key=_number_of_draws, reverse=True)
    if not drawn:
        return draws
    kept = max(range(1, len(drawn) + 1), key=lambda chains: chains * _number_of_draws(drawn[chains - 1]))
    fewest = _number_of_draws(drawn[kept - 1])
    enough = [chain for chain in draws if chain and _number_of_draws(chain) >= fewest]
    return [jax.tree.map(lambda leaf: leaf[:fewest], chain) for chain in enough]


def _number_of_draws(chain: dict[str, PyTree]) -> int:
    return jax.tree.leaves(chain)[0].shape[0]


def _on_threads(driver: Driver, data: PyTree, states: list[PyTree], bars: Sequence[Progress | None]) -> list[Any]:
    devices = jax.local_devices()
    if len(devices) > 1:
        placed = [jax.device_put(data, device) for device in devices]
        states = [jax.device_put(state, devices[i % len(devices)]) for i, state in enumerate(states)]
        workers = len(states)
    else:
        placed = [data]
        workers = min(len(states), os.cpu_count() or 1)
    for data_here, state in zip(placed, states, strict=False):
        driver.programs.chunk(data_here, state, Plan(0, 0, 1))  # compile before threads ask for it at once
    settings = thread_settings()

    def advance(*arguments: Any) -> Any:
        with thread_settings_as(settings):
            return driver.advance(*arguments)

    with ThreadPoolExecutor(workers, thread_name_prefix="numpyro-chain") as pool:
        futures = [
            pool.submit(advance, placed[i % len(placed)], state, bar)
            for i, (state, bar) in enumerate(zip(states, bars, strict=True))
        ]
        try:
            return [future.result() for future in futures]
        except BaseException:
            driver.stop.set()
            raise
