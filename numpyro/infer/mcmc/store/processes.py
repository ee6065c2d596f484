"""Steps that the processes of a run take together: where one fails, all fail, and none waits for it for good."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import jax
import numpy as np

from numpyro.infer.mcmc.recorder import StoreError


def is_writer() -> bool:
    """Whether this process is the one that writes."""
    return jax.process_index() == 0


@contextmanager
def in_step() -> Iterator[None]:
    """A step that every process takes; it ends when all have taken it.

    :raises StoreError: where the step has failed in another process; its own error in a process where it fails.
    """
    error: Exception | None = None
    try:
        yield
    except Exception as caught:
        error = caught
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        failed = np.asarray(multihost_utils.process_allgather(np.array([error is not None]))).ravel()
        if error is None and failed.any():
            error = StoreError(f"The run store has failed in process {int(failed.argmax())} of the run; see its error.")
    if error is not None:
        raise error
