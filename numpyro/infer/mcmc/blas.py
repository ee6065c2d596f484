"""One thread for small factorisations.

XLA computes Cholesky factors, triangular solves and the like on a processor by the LAPACK that SciPy ships, whose own
threads cost more than they bring for matrices of a few hundred rows: many times the work itself, the more so where
other chains are at work on the same cores.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

LARGE = 1000
"""From so many rows on, a factorisation is worth several threads, where a chain has the machine for itself."""


@contextmanager
def one_thread_for_factors(rows: int, chains_at_once: int) -> Iterator[None]:
    """While open, let BLAS use one thread, where factors are small or several chains share the cores.

    :param rows: the rows of the largest matrix that a program factorises; 0 for none.
    :param chains_at_once: how many chains run at once.

    Only the main thread does so: OpenBLAS does not let others raise the number again.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if rows == 0 or (rows >= LARGE and chains_at_once == 1) or not is_main:
        yield
        return
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield
