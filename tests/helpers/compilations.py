"""Counting what XLA compiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import jax

_compiled: list[str] = []


def _listen(event: str, duration: float, **kwargs: object) -> None:
    if event == "/jax/core/compile/backend_compile_duration":
        _compiled.append(event)


jax.monitoring.register_event_duration_secs_listener(_listen)


@contextmanager
def count_compilations() -> Iterator[Callable[[], int]]:
    """Yield a function that tells how many programs were compiled since."""
    before = len(_compiled)
    yield lambda: len(_compiled) - before
