"""How the chains of a run are advanced: one after another, on threads, together in one program, or inside a trace."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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


class Interrupted(Exception):
    """A chain was told to stop between chunks."""


class Driver:
    """Advances states through the phases of a run, chunk by chunk.

    :param programs: the compiled programs.
    :param phases: the phases.
    :param sample_field: the field that is post-processed.
    :param draw_axis: the axis of the draws in what a chunk records: 0 for one chain, 1 where chains come first.
    """

    def __init__(
        self,
        programs: Programs,
        phases: list[Phase],
        sample_field: str,
        draw_axis: int,
        describe: Callable[[PyTree], str],
    ) -> None:
        self.programs, self.phases, self.sample_field = programs, phases, sample_field
        self.draw_axis, self.describe = draw_axis, describe
        self.stop = threading.Event()

    def advance(self, data: PyTree, state: PyTree, progress: Progress) -> tuple[PyTree, dict[str, PyTree]]:
        """Run all phases from ``state``.

        :returns: the last state, and the draws that were kept, in host memory, with the axis of draws at ``draw_axis``.
        :raises Interrupted: when :attr:`stop` was set.
        """
        pieces: list[dict[str, PyTree]] = []
        for phase in self.phases:
            for chunk in self._chunks(phase.plan, progress):
                if self.stop.is_set():
                    raise Interrupted
                state, records = self.programs.chunk(data, state, chunk)
                if phase.keep and chunk.rows:
                    pieces.append(self._keep(data, records, chunk.rows))
                if progress.shown:
                    jax.block_until_ready(state)
                    progress.update(chunk.iterations, self.describe(state))
        return state, self._join(pieces)

    def _chunks(self, plan: Plan, progress: Progress):  # type: ignore[no-untyped-def]
        """Cut a plan into chunks that the buffers hold and that are no longer than the progress bar wants."""
        skip, rows = plan.skip, plan.rows
        while skip > 0:
            step = min(skip, progress.limit or skip)
            yield Plan(step, 0, 1)
            skip -= step
        while rows > 0:
            step = min(rows, self.programs.rows, max(1, (progress.limit or rows * plan.thinning) // plan.thinning))
            yield Plan(0, step, plan.thinning)
            rows -= step

    def _keep(self, data: PyTree, records: dict[str, PyTree], rows: int) -> dict[str, PyTree]:
        records = dict(records)
        records[self.sample_field] = self.programs.finish(data, records[self.sample_field])
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


def run_together(driver: Driver, data: PyTree, state: PyTree, progress: Progress) -> tuple[PyTree, dict[str, PyTree]]:
    """One program advances what ``state`` holds: one chain, or all chains by a leading axis."""
    try:
        return driver.advance(data, state, progress)
    finally:
        progress.close()


def run_separately(
    driver: Driver, data: PyTree, states: list[PyTree], bars: list[Progress], *, parallel: bool
) -> tuple[list[PyTree], list[dict[str, PyTree]]]:
    """One program advances each chain, one after another or, with ``parallel``, on threads.

    Threads share one executable; compiled code runs outside of Python's lock, so chains use all cores. Where there
    are several devices, chains are dealt out to them.
    """
    try:
        if not parallel:
            results = [driver.advance(data, state, bar) for state, bar in zip(states, bars, strict=True)]
        else:
            results = _on_threads(driver, data, states, bars)
    finally:
        for bar in bars:
            bar.close()
    last, draws = zip(*results, strict=True)
    return list(last), list(draws)


def _on_threads(driver: Driver, data: PyTree, states: list[PyTree], bars: list[Progress]) -> list[Any]:
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
