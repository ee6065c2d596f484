"""The environments that take turns, and how a worker is run in one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
OURS = "this project"
DEFAULT_THREADS = ", default BLAS threads"
"""What ends the name of a case that runs without a limit to BLAS threads."""

# Workers by the library that they run, and whether they need this project beside it.
WORKERS = {
    OURS: ("benchmarks.worker", True),
    "numpyro": ("benchmarks.worker", False),
    "blackjax": ("benchmarks.blackjax_worker", True),
    "nutpie": ("benchmarks.nutpie_worker", False),
}


class Environment(NamedTuple):
    """A Python, the worker for its library, and whether that one imports this project."""

    name: str
    python: str
    worker: str
    with_project: bool

    @classmethod
    def ours(cls) -> Environment:
        """The one that this runs in."""
        return cls(OURS, sys.executable, *WORKERS[OURS])

    @classmethod
    def parse(cls, text: str) -> Environment:
        """``name=FOLDER``, or ``name-label=FOLDER`` for one of several of the same library."""
        name, _, folder = text.partition("=")
        library = name.split("-")[0]
        if library not in WORKERS or not folder:
            known = ", ".join(f"{name}=FOLDER" for name in WORKERS if name != OURS)
            raise ValueError(f"A peer is one of {known}; got {text!r}.")
        return cls(name, str(Path(folder) / "bin" / "python"), *WORKERS[library])


class Runner:
    """Runs workers, each in a process of its own.

    :param folder: holds a copy of the benchmarks apart from the package, so that an environment's own numpyro is the
        one that its worker imports.
    :param timeout: seconds after which a worker counts as failed.
    :param threads: BLAS threads, as for OpenBLAS, OpenMP and MKL; ``0`` leaves them as they are.
    """

    def __init__(self, folder: str, timeout: float, threads: int) -> None:
        self.folder, self.timeout, self.threads = folder, timeout, threads

    def variables(self, environment: Environment, scratch: str, threads: int) -> dict[str, str]:
        """The environment variables of a worker: no caches of earlier compilations, and nothing but the CPU."""
        path = [self.folder, *([str(ROOT)] if environment.with_project else [])]
        variables = dict(os.environ)
        for name in ("JAX_COMPILATION_CACHE_DIR", "NUMBA_CACHE_DIR", "XLA_FLAGS"):
            variables.pop(name, None)
        variables |= {
            "JAX_PLATFORMS": "cpu",
            "PYTHONPATH": os.pathsep.join(path),
            "PYTHONWARNINGS": "ignore",
            "PYTENSOR_FLAGS": f"base_compiledir={scratch}",
        }
        if environment.with_project and environment.name != OURS:
            variables["NUMPYRO_XLA_FLAGS"] = "0"  # settings of XLA that users of the other library do not have
        if threads:
            names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
            variables |= dict.fromkeys(names, str(threads))
        return variables

    def work(self, environment: Environment, what: str, case: str, *options: str, worker: str = "") -> dict[str, Any]:
        """The figures of a worker; where there are none, ``error`` says why."""
        threads = 0 if case.endswith(DEFAULT_THREADS) else self.threads
        case = case.removesuffix(DEFAULT_THREADS)
        command = [environment.python, "-m", worker or environment.worker, "--what", what, "--case", case, *options]
        with tempfile.TemporaryDirectory() as scratch:
            try:
                done = subprocess.run(
                    command,
                    env=self.variables(environment, scratch, threads),
                    cwd=self.folder,
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=self.timeout,
                )
            except subprocess.TimeoutExpired:
                return {"error": f"took longer than {self.timeout:.0f} s"}
            except OSError as error:
                return {"error": f"no Python to run: {error}"}
        return figures_of(done)


def figures_of(done: subprocess.CompletedProcess) -> dict[str, Any]:
    """What a worker printed: its last line, if that is an object; otherwise its error, or the last line of it all."""
    lines = done.stdout.strip().splitlines()
    if done.returncode == 0 and lines and lines[-1].startswith("{"):
        return json.loads(lines[-1])
    complaint = [line for line in done.stderr.strip().splitlines() if line.strip()]
    complaint = [line for line in complaint if re.match(r"[\w.]+(Error|Exception): ", line)] or complaint
    return {"error": complaint[-1].strip() if complaint else f"ended with status {done.returncode} and no output"}
