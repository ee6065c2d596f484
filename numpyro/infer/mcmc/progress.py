"""The pace of a run, chunk by chunk, and its display."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpyro.infer.mcmc.schedule import Schedule

SHOWN_SECONDS, SILENT_SECONDS = 0.1, 0.5
"""About how long chunks are made: short enough for the display to move, or for an interrupt to be heard, and long
enough for the time between chunks to cost next to nothing."""


def is_shown() -> bool:
    """Whether somebody looks: a terminal, or a notebook."""
    return "ipykernel" in sys.modules or sys.stderr.isatty()


class Bar:
    """A progress bar of one or several chains, which may advance in several threads.

    :param total: iterations to come.
    :param num_warmup: how many of them are warm-up.
    :param position: the line of the bar.
    :param label: what the bar begins with.
    """

    def __init__(self, total: int, num_warmup: int, position: int = 0, label: str = "") -> None:
        from tqdm.auto import tqdm

        self._num_warmup, self._label, self._done, self._divergences = num_warmup, label, 0, 0
        self._lock = threading.Lock()
        self._bar: Any = tqdm(total=total, position=position, desc=self._phase(), leave=True)

    def _phase(self) -> str:
        return self._label + ("warmup" if self._done < self._num_warmup else "sample")

    def update(self, iterations: int, diagnostics: str, divergences: int) -> None:
        """Some chain has done ``iterations`` more, of which so many diverged."""
        with self._lock:
            self._done += iterations
            self._divergences += divergences
            notes = [diagnostics] if diagnostics else []
            if self._divergences:
                notes.append(f"{self._divergences} divergence{'s' if self._divergences > 1 else ''}")
            self._bar.set_description(self._phase(), refresh=False)
            self._bar.set_postfix_str(", ".join(notes), refresh=False)
            self._bar.update(iterations)

    def close(self) -> None:
        """The run has ended."""
        self._bar.close()


class Progress:
    """Paces what one call of the compiled program advances, and moves its bar.

    :param bar: the bar, where one is shown; several paces may share one.
    :param rate: iterations between updates; chosen by the time that they take where it is ``None``.
    """

    def __init__(self, bar: Bar | None = None, rate: int | None = None) -> None:
        self.bar, self._rate = bar, rate
        self._limit = rate or 1
        self._started = self._shown = time.perf_counter()
        self._iterations = self._divergences = 0  # since the bar was moved
        self._describe: Callable[[], str] = str

    @property
    def limit(self) -> int:
        """The most iterations that the next chunk should take."""
        return self._limit

    def start(self) -> None:
        """The next chunk is about to begin: time spent waiting does not count."""
        self._started = time.perf_counter()

    def update(self, iterations: int, describe: Callable[[], str], divergences: int) -> None:
        """A chunk of ``iterations`` is done.

        :param describe: says a few words on the state; called where the bar moves, about ten times a second.
        """
        now = time.perf_counter()
        seconds = now - self._started
        if self._rate is None:
            wanted = iterations * (SHOWN_SECONDS if self.bar else SILENT_SECONDS) / max(seconds, 1e-6)
            self._limit = int(min(max(wanted, 1), 4 * iterations, 100_000))
        if self.bar is not None:
            self._iterations += iterations
            self._divergences += divergences
            self._describe = describe
            if self._rate is not None or now - self._shown >= SHOWN_SECONDS:
                self.flush()

    def flush(self) -> None:
        """Bring the bar to where the chain is."""
        if self.bar is not None and self._iterations:
            self.bar.update(self._iterations, self._describe(), self._divergences)
            self._iterations = self._divergences = 0
            self._shown = time.perf_counter()


@dataclass(frozen=True)
class Display:
    """How progress is shown: ``bars`` is ``"chains"`` for one bar a chain, ``"one"`` for one in all, or ``None``."""

    bars: str | None
    rate: int | None = None

    @classmethod
    def of(cls, progress_bar: bool | str, rate: int | None) -> Display:
        """What the settings of :class:`~numpyro.infer.MCMC` ask for."""
        bars = "one" if progress_bar == "one" else "chains" if progress_bar else None
        return cls(bars, rate)

    def paces(self, count: int, schedule: Schedule, num_warmup: int) -> list[Progress]:
        """The paces of ``count`` lanes, with their bars."""
        if self.bars is None or not is_shown():
            return [Progress(None, self.rate) for _ in range(count)]
        if self.bars == "one" or count == 1:
            bar = Bar(count * schedule.iterations, count * num_warmup)
            return [Progress(bar, self.rate) for _ in range(count)]
        return [
            Progress(Bar(schedule.iterations, num_warmup, line, f"chain {line + 1} "), self.rate)
            for line in range(count)
        ]
