"""Measures what only the targets ask for: chains beside each other, the progress bar, and memory on the device.

The chains are measured under a peer that shares the interface, too; the others in this project alone.
"""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios
import threading
import time
from typing import Any

import jax
import numpy as np

import numpyro
from benchmarks.models import Case
from benchmarks.protocol import Request, Stopwatch, serve
from benchmarks.worker import load_case
from numpyro.infer import MCMC, NUTS


def run(case: Case, seed: int, warmup: int, draws: int, *, shown: bool = False, **options: Any) -> tuple[float, float]:
    """CPU and wall seconds of a run on a new MCMC object."""
    watch = Stopwatch()
    mcmc = MCMC(NUTS(case.model), num_warmup=warmup, num_samples=draws, progress_bar=shown, **options)
    mcmc.run(jax.random.PRNGKey(seed), *case.args)
    jax.block_until_ready(mcmc.last_state)
    return watch.read()


def chains(request: Request) -> dict[str, Any]:
    """Wall time of several chains: by the default method in a fresh process, and repeated; and one after another.

    ``wall_default`` and ``wall_sequential`` are of repeated runs less a run of two iterations, which is what a repeated
    run compiles; they are left out where that leaves too little to be told from noise.
    """
    case, several = load_case(request), {"num_chains": request.chains}
    _, whole = run(case, request.seed, request.warmup, request.samples, **several)
    figures = {"wall_whole": whole}
    for name, options in (("default", several), ("sequential", several | {"chain_method": "sequential"})):
        run(case, 0, 2, 2, **options)
        tiny = min(run(case, 0, 2, 2, **options)[1] for _ in range(2))
        used = min(run(case, request.seed, request.warmup, request.samples, **options)[1] for _ in range(2))
        if name == "default":
            figures["wall_again"] = used
        if used > 1.5 * tiny:
            figures[f"wall_{name}"] = used - tiny
    return figures


class Terminal:
    """While open, standard error is a terminal that somebody reads."""

    def __enter__(self) -> Terminal:
        self._kept = os.dup(2)
        self._reader, writer = pty.openpty()
        fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        os.dup2(writer, 2)
        os.close(writer)
        self.characters = 0
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def _read(self) -> None:
        while True:
            try:
                self.characters += len(os.read(self._reader, 4096))
            except OSError:  # the other end is closed
                return

    def __exit__(self, *_: Any) -> None:
        time.sleep(0.1)  # for what is still to be read
        os.dup2(self._kept, 2)
        os.close(self._kept)


def bar(request: Request) -> dict[str, Any]:
    """Runs with and without the progress bar, in turn, on a terminal; the least of five each."""
    case = load_case(request)
    with Terminal() as terminal:
        draws = 2000
        run(case, 0, 0, draws)
        while run(case, 0, 0, draws)[0] < request.seconds:
            draws *= 2
        run(case, 0, 0, draws, shown=True)
        silent, before = [], terminal.characters
        shown = []
        for _ in range(5):
            silent.append(run(case, 0, 0, draws))
            shown.append(run(case, 0, 0, draws, shown=True))
    cpu, wall = ([min(times[i] for times in runs) for runs in (shown, silent)] for i in (0, 1))
    return {
        "bar_cpu": cpu[0] / cpu[1],
        "bar_wall": wall[0] / wall[1],
        "draws": draws,
        "silent_wall": wall[1],
        "characters": terminal.characters - before,
    }


class Watcher:
    """The most bytes that arrays took on the device, looked at every few milliseconds."""

    def __init__(self) -> None:
        self.peak, self._end = 0, threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._end.is_set():
            self.peak = max(self.peak, device_bytes())
            self._end.wait(0.003)

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._end.set()
        self._thread.join()
        self.peak = max(self.peak, device_bytes())


def device_bytes() -> int:
    """Bytes of the arrays that are alive, those of the data among them."""
    return sum(array.nbytes for array in jax.live_arrays() if not array.is_deleted())


def memory(request: Request) -> dict[str, Any]:
    """The most bytes on the device during runs of a thousand and of a hundred thousand draws.

    On a CPU an array in host memory is the very array of the device; here a copy stands for what is fetched.
    """
    from numpyro.infer.mcmc import driver, placement

    for module in (driver, placement):
        fetch = module.to_host
        module.to_host = lambda leaf, fetch=fetch: jax.tree.map(np.array, fetch(leaf))
    case = load_case(request)
    found = {}
    for draws in (1000, 1000, 100_000):  # the first compiles
        with Watcher() as watcher:
            run(case, 0, 100, draws)
        found[draws] = watcher.peak
    return {"growth": found[100_000] / found[1000], "bytes_1000": found[1000], "bytes_100000": found[100_000]}


if __name__ == "__main__":
    serve(f"numpyro {numpyro.__version__}", {"chains": chains, "bar": bar, "memory": memory})
