"""JAX's settings that contexts such as ``jax.enable_x64(True)`` make for one thread, carried over to others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import jax
import jax.experimental

_NAMES = (
    "debug_infs",
    "debug_nans",
    "default_device",
    "default_matmul_precision",
    "default_prng_impl",
    "enable_x64",
    "numpy_dtype_promotion",
    "numpy_rank_promotion",
    "threefry_partitionable",
)


def _context(name: str) -> Callable[[Any], Any] | None:
    """The context manager of a setting, which younger versions of JAX have moved."""
    return getattr(jax, name, getattr(jax.experimental, name, None))


def thread_settings() -> dict[str, Any]:
    """The settings that hold in this thread."""
    return {name: getattr(jax.config, f"jax_{name}") for name in _NAMES if _context(name) is not None}


@contextmanager
def thread_settings_as(settings: dict[str, Any]) -> Iterator[None]:
    """Make ``settings``, by name, hold in this thread. Those that do already are left alone."""
    with ExitStack() as stack:
        for name, value in settings.items():
            context = _context(name)
            if context is not None and getattr(jax.config, f"jax_{name}") != value:
                stack.enter_context(context(value))
        yield
