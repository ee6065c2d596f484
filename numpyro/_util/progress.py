"""Progress bars for loops that run inside compiled programs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import lax

from numpyro._errors import UsageError

LoopBody = Callable[[Any, Any], Any]


class ChainBars:
    """One bar a chain, moved by callbacks from compiled loops that may run on several threads.

    :param num_samples: the length of a bar.
    :param num_chains: number of bars, placed one under the other.
    """

    def __init__(self, num_samples: int, num_chains: int) -> None:
        from tqdm.auto import tqdm

        self._lock = threading.Lock()
        self._num_samples = num_samples
        self._make = tqdm
        self._bars: dict[int, Any] = {}
        for chain in range(num_chains):
            self._bar(chain)

    def _bar(self, chain: int) -> Any:
        if chain not in self._bars:
            self._bars[chain] = self._make(total=self._num_samples, position=chain, desc="Compiling.. ")
        return self._bars[chain]

    def move(self, done: Any, chain: Any) -> None:
        """Show that ``done`` iterations of a chain are over; a full bar is closed."""
        with self._lock:
            bar = self._bar(int(chain))
            step = int(done) - bar.n
            if step <= 0:  # callbacks may come out of order
                return
            bar.set_description(f"Running chain {int(chain)}", refresh=False)
            bar.update(step)
            if bar.n >= self._num_samples:
                bar.refresh()
                bar.close()


def progress_bar_factory(
    num_samples: int, num_chains: int, progress_rate: int
) -> Callable[[LoopBody], Callable[[Any, tuple[Any, Any]], tuple[Any, Any]]]:
    """Make a decorator that shows the progress of the chains' ``fori_loop``.

    The bars go to the standard error stream; one factory serves one run of all chains.

    :param num_samples: number of iterations of a chain; they are numbered ``0, ..., num_samples - 1``.
    :param num_chains: number of chains, which may run one after another or at the same time on several threads.
    :param progress_rate: the bar moves each time that so many iterations are over, and at the last one.
    :return: a decorator. It turns a body ``f(i, state)`` into a body ``g(i, (state, chain))`` that returns
        ``(f(i, state), chain)``, where ``chain`` is the index of the chain.
    :raises UsageError: when a count is not a positive integer.
    """
    for name, value in [("num_samples", num_samples), ("num_chains", num_chains), ("progress_rate", progress_rate)]:
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise UsageError(f"progress_bar_factory expects {name} to be a positive integer, got {value!r}.")
    bars = ChainBars(int(num_samples), int(num_chains))

    def progress_bar_fori_loop(func: LoopBody) -> Callable[[Any, tuple[Any, Any]], tuple[Any, Any]]:
        def wrapper_progress_bar(i: Any, vals: tuple[Any, Any]) -> tuple[Any, Any]:
            state, chain = vals
            result = func(i, state)
            done = i + 1
            lax.cond(
                (done % progress_rate == 0) | (done == num_samples),
                lambda done, chain: jax.debug.callback(bars.move, done, chain),
                lambda done, chain: None,
                done,
                chain,
            )
            return result, chain

        return wrapper_progress_bar

    return progress_bar_fori_loop
