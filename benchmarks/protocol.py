"""What workers share: their options, their clock, and the line of JSON that they print.

A worker runs one model in the environment that it is started in::

    python -m benchmarks.WORKER --what {compiling,leapfrog,sampling} --case NAME [--posteriors FOLDER] ...

and prints figures, in seconds of CPU time unless the name says otherwise:

- compiling: ``first``, ``first_wall``, ``again``, and where they can be counted ``compiles_first``, ``compiles_again``
- leapfrog: ``leapfrog`` (microseconds), ``steps``
- sampling: ``compile``, ``compile_wall``, ``cpu``, ``wall`` (without compiling), ``steps``; its draws go to a file
- all: ``peak_memory_mb``, ``version``; or ``error`` alone, the reason why there are none
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple


class Lacks(Exception):
    """The library has no way to do what is asked; the message says why."""


class Request(NamedTuple):
    """What a worker is asked for: a case or posterior, and for how long."""

    case: str
    posteriors: str
    draws: str
    seconds: float
    warmup: int
    samples: int
    chains: int
    seed: int


Measure = Callable[[Request], dict[str, Any]]


def cpu_seconds() -> float:
    """CPU time of this process and of the compilers that it started and waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


class Stopwatch:
    """CPU and wall time since it was made."""

    def __init__(self) -> None:
        self._cpu, self._wall = cpu_seconds(), time.perf_counter()

    def read(self) -> tuple[float, float]:
        """The seconds, of CPU and wall time."""
        return cpu_seconds() - self._cpu, time.perf_counter() - self._wall


def peak_memory_mb() -> float:
    """Peak resident memory of this process; not that of the process which started it, as ``getrusage`` has it."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def serve(version: str, measures: dict[str, Measure]) -> None:
    """Parse the command line, take the measure, and print its figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--what", choices=list(measures), required=True)
    parser.add_argument("--case", required=True)
    parser.add_argument("--posteriors", default="")
    parser.add_argument("--draws", default="", help="where the draws go")
    parser.add_argument("--seconds", type=float, default=1.0, help="CPU time of a measurement")
    parser.add_argument("--warmup", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--chains", type=int, default=4)
    parser.add_argument("--seed", type=int, default=3)
    options = vars(parser.parse_args())
    measure = measures[options.pop("what")]
    try:
        figures = measure(Request(**options)) | {"peak_memory_mb": peak_memory_mb()}
    except Lacks as reason:
        figures = {"error": str(reason)}
    print(json.dumps(figures | {"version": version}))
