"""How a run ended, and what is said of it."""

from __future__ import annotations

from enum import Enum


class Ending(Enum):
    """How a run ended."""

    COMPLETE = "complete"
    TARGET_REACHED = "target reached"
    TARGET_MISSED = "target missed"
    INTERRUPTED = "interrupted"
    OUT_OF_TIME = "out of time"

    @property
    def is_well(self) -> bool:
        """Whether the run has done what it was to do."""
        return self in (Ending.COMPLETE, Ending.TARGET_REACHED)
