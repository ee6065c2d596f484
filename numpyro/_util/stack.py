"""Where in the user's program a warning belongs."""

from __future__ import annotations

import inspect
import os

_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep


def find_stack_level() -> int:
    """Return the ``stacklevel`` with which ``warnings.warn`` points at the first line outside of NumPyro.

    Meant for the function that warns: ``warnings.warn(message, stacklevel=find_stack_level())``.
    """
    frame = inspect.currentframe()
    level = 0
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
        level += 1
    return max(level, 1)
