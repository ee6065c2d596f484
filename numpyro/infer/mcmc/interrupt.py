"""Signals that end a run early, with what it has drawn."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any


@contextmanager
def interruptible(stop: threading.Event, signals: Sequence[signal.Signals]) -> Iterator[None]:
    """While open, each of ``signals`` sets ``stop``, so that chains end at their next chunk; a second one acts at once.

    Only the main thread can listen; elsewhere nothing changes. Ctrl-C is left to whoever listens to it already.
    """
    with ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():
            for number in signals:
                stack.enter_context(_listening(number, stop))
        yield


@contextmanager
def _listening(number: signal.Signals, stop: threading.Event) -> Iterator[None]:
    previous = signal.getsignal(number)
    if number == signal.SIGINT and previous is not signal.default_int_handler:
        yield
        return

    def listen(received: int, frame: Any) -> None:
        if stop.is_set():
            signal.signal(number, previous)
            signal.raise_signal(number)
        stop.set()

    signal.signal(number, listen)
    try:
        yield
    finally:
        signal.signal(number, previous)
