"""Devices, precision and seeds, set for the whole process."""

from __future__ import annotations

import os

import jax


def enable_x64(use_x64: bool | None = True) -> None:
    """Choose the default precision of JAX arrays.

    :param use_x64: 64 bits when true (the default), 32 bits when false; with ``None`` the environment variable
        ``JAX_ENABLE_X64`` decides, and 32 bits are used where it is not set.
    """
    if use_x64 is None:
        use_x64 = os.environ.get("JAX_ENABLE_X64", "").strip().lower() in ("1", "true", "t", "yes", "y", "on")
    jax.config.update("jax_enable_x64", bool(use_x64))
