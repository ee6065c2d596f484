"""Counts the XLA compilations of a process."""

from __future__ import annotations

from typing import Any

import jax


class CompileCounter:
    """Counts from when it is made."""

    def __init__(self) -> None:
        self._count = 0
        jax.monitoring.register_event_duration_secs_listener(self._listen)

    def _listen(self, event: str, duration: float, **_: Any) -> None:
        self._count += event == "/jax/core/compile/backend_compile_duration"

    def take(self) -> int:
        """The number of compilations since the last call."""
        count, self._count = self._count, 0
        return count
