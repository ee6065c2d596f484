"""The pace of a run, chunk by chunk, and its display."""

from __future__ import annotations

import sys
import time
from typing import Any

SHOWN_SECONDS, SILENT_SECONDS = 0.1, 0.5
"""About how long chunks are made: short enough for the display to move, or for an interrupt to be heard, and long
enough for the time between chunks to cost next to nothing."""


def is_shown() -> bool:
    """Whether somebody looks: a terminal, or a notebook."""
    return "ipykernel" in sys.modules or sys.stderr.isatty()


class Progress:
    """Paces one chain, or all chains that advance together, and shows a bar of it.

    :param shown: show the bar.
    :param total: iterations to come.
    :param num_warmup: how many of them are warm-up.
    :param position: the line of the bar.
    :param label: what the bar begins with.
    :param rate: iterations between updates; chosen by the time that they take where it is ``None``.
    """

    def __init__(
        self, shown: bool, total: int, num_warmup: int, position: int = 0, label: str = "", rate: int | None = None
    ) -> None:
        self._num_warmup, self._label, self._rate, self._done = num_warmup, label, rate, 0
        self._bar: Any = None
        if shown:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=total, position=position, desc=self._phase(), leave=True)
        self._limit = rate or 1
        self._started = time.perf_counter()

    def _phase(self) -> str:
        return self._label + ("warmup" if self._done < self._num_warmup else "sample")

    @property
    def limit(self) -> int:
        """The most iterations that the next chunk should take."""
        return self._limit

    @property
    def shown(self) -> bool:
        """Whether there is a bar."""
        return self._bar is not None

    def update(self, iterations: int, diagnostics: str) -> None:
        """A chunk of ``iterations`` is done."""
        self._done += iterations
        now = time.perf_counter()
        seconds, self._started = now - self._started, now
        if self._rate is None:
            wanted = iterations * (SHOWN_SECONDS if self.shown else SILENT_SECONDS) / max(seconds, 1e-6)
            self._limit = int(min(max(wanted, 1), 4 * iterations, 100_000))
        if self._bar is None:
            return
        self._bar.set_description(self._phase(), refresh=False)
        if diagnostics:
            self._bar.set_postfix_str(diagnostics, refresh=False)
        self._bar.update(iterations)

    def close(self) -> None:
        """The run has ended."""
        if self._bar is not None:
            self._bar.close()
