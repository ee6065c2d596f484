"""Devices, precision and seeds, set for the whole process."""

from __future__ import annotations

import os
import random
import re
import warnings

import jax
import numpy as np

from numpyro._errors import UsageError
from numpyro._util.stack import find_stack_level

_PLATFORMS = ("cpu", "gpu", "cuda", "rocm", "tpu", "METAL")
_DEVICE_COUNT_FLAG = "--xla_force_host_platform_device_count"


def enable_x64(use_x64: bool | None = True) -> None:
    """Choose the default precision of JAX arrays.

    :param use_x64: 64 bits when true (the default), 32 bits when false; with ``None`` the environment variable
        ``JAX_ENABLE_X64`` decides, and 32 bits are used where it is not set.
    """
    if use_x64 is None:
        use_x64 = os.environ.get("JAX_ENABLE_X64", "").strip().lower() in ("1", "true", "t", "yes", "y", "on")
    jax.config.update("jax_enable_x64", bool(use_x64))


def set_platform(platform: str | None = None) -> None:
    """Choose the platform that JAX computes on. Call it at the start of a program, before the first computation.

    :param platform: ``"cpu"``, ``"gpu"``, ``"cuda"``, ``"rocm"``, ``"tpu"`` or ``"METAL"``. With ``None`` (the
        default) the environment variable ``JAX_PLATFORMS`` decides, and the CPU is used where it is not set.
    :raises UsageError: when there is no such platform.

    A warning tells when JAX already computes on another platform, because the call then comes too late.
    """
    if platform is None:
        platform = os.environ.get("JAX_PLATFORMS") or _deprecated_platform_name() or "cpu"
    elif platform not in _PLATFORMS:
        raise UsageError(f"Invalid platform {platform!r}. Valid platforms are: {', '.join(_PLATFORMS)}.")
    if backends_are_up():
        wanted = {name.lower() for name in platform.split(",")}
        wanted |= {"gpu"} if wanted & {"cuda", "rocm"} else set()
        current = jax.default_backend()
        if current.lower() not in wanted:
            _warn_too_late(f"set_platform({platform!r})", f"JAX already computes on '{current}'")
    jax.config.update("jax_platforms", platform)


def set_host_device_count(n: int) -> None:
    """Let JAX see the CPU as ``n`` devices, by the flag ``--xla_force_host_platform_device_count`` in ``XLA_FLAGS``.

    MCMC runs chains in parallel without it. Call it at the start of a program, before the first computation.

    :param n: number of devices, at least 1. Other flags in ``XLA_FLAGS`` stay.
    :raises UsageError: when ``n`` is not a positive integer.

    A warning tells when JAX already uses another number of CPU devices, because the call then comes too late.
    """
    count = n if isinstance(n, str) else str(n)
    if isinstance(n, bool) or not re.fullmatch(r"[1-9]\d*", count):
        raise UsageError(f"set_host_device_count expects a positive integer, got {n!r}.")
    if backends_are_up():
        try:
            current = jax.local_device_count("cpu")
        except RuntimeError:  # the CPU is not among the platforms that the process started with
            current = 0
        if current != int(count):
            _warn_too_late(f"set_host_device_count({n})", f"JAX already uses {current} CPU device(s)")
    flags = os.environ.get("XLA_FLAGS", "").split()
    others = [flag for flag in flags if flag.partition("=")[0] != _DEVICE_COUNT_FLAG]
    os.environ["XLA_FLAGS"] = " ".join([f"{_DEVICE_COUNT_FLAG}={count}", *others])


def set_rng_seed(rng_seed: int | None = None) -> None:
    """Seed the global generators of Python's ``random`` and of NumPy. JAX has none: its keys are passed explicitly.

    :param rng_seed: an integer in ``[0, 2**32)``; ``None`` (the default) seeds from the operating system.
    """
    random.seed(rng_seed)
    np.random.seed(rng_seed)


def _deprecated_platform_name() -> str | None:
    platform = os.environ.get("JAX_PLATFORM_NAME")
    if platform:
        warnings.warn(
            "`JAX_PLATFORM_NAME` is deprecated; use `JAX_PLATFORMS`.", FutureWarning, stacklevel=find_stack_level()
        )
    return platform


def backends_are_up() -> bool:
    """Tell whether JAX has chosen its devices; from then on it refuses to change the number of CPU devices."""
    if not hasattr(jax.config, "jax_num_cpu_devices"):
        return False
    before = jax.config.jax_num_cpu_devices
    try:
        jax.config.update("jax_num_cpu_devices", before + 1 if before > 0 else 1)
    except RuntimeError:
        return True
    jax.config.update("jax_num_cpu_devices", before)
    return False


def _warn_too_late(call: str, why: str) -> None:
    warnings.warn(
        f"{call} has no effect: {why}. Call it before the first use of JAX in the program.",
        stacklevel=find_stack_level(),
    )
