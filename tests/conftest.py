"""What every test shares: the CPU as device, fresh compilation caches per file, and fixtures for the two precisions."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np
import pytest


@pytest.fixture(autouse=True, scope="module")
def _fresh_caches() -> Iterator[None]:
    """Compiled programs live for one file of tests: shared within it, and not piling up over a whole run."""
    yield
    if "numpyro.infer.program" in sys.modules:
        sys.modules["numpyro.infer.program"].compiled_programs.clear()
    jax.clear_caches()
    gc.collect()


@pytest.fixture(autouse=True)
def _ctrl_c() -> Iterator[None]:
    """Ctrl-C is listened to, though a shell that runs the tests in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def x64() -> Iterator[None]:
    """Run the test in double precision."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.fixture(params=["float32", "float64"])
def precision(request: pytest.FixtureRequest) -> Iterator[np.dtype]:
    """Run the test once in each precision; the fixture's value is the dtype that JAX then computes in."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", request.param == "float64")
    yield np.dtype(request.param)
    jax.config.update("jax_enable_x64", before)
