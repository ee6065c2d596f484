"""Times log densities, gradients and draws of common families beside peers: ``python -m benchmarks.distributions``.

Workers run all the time and take turns, one measurement each; figures are minima over rounds of process-CPU time. The
table shows the ratio of ours to the best of the others, and marks what is slower unless it is the very same program.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.families import FAMILIES

HERE = Path(__file__).parent
OURS = "this project"
SIZES = ("scalar", "shared", "own")
OPERATIONS = ("log_prob", "gradient", "sample")
TOLERATED = 1.05  # ratios up to this are noise


class Worker:
    """A process of one environment, which answers requests one by one."""

    def __init__(self, python: str, library: str, folder: str) -> None:
        environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": folder, "PYTHONWARNINGS": "ignore"}
        self.process = subprocess.Popen(
            [python, "-m", "benchmarks.distributions_worker", "--library", library],
            **{"env": environment, "cwd": folder, "text": True},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.versions = self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a worker ended: {' '.join(self.process.args)}")  # type: ignore[arg-type]
        return json.loads(line)

    def ask(self, **request: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def measure(workers: dict[str, Worker], name: str, rounds: int, seconds: float, sizes: list[str]) -> dict[str, Any]:
    """The figures of one family: by operation and size, of each library."""
    table: dict[str, Any] = {}
    for size in sizes:
        for what in OPERATIONS:
            if size == "own" and (what == "sample" or not FAMILIES[name].own):
                continue
            found: dict[str, dict[str, float]] = {}
            for _ in range(rounds):
                for library, worker in workers.items():
                    figures = worker.ask(name=name, what=what, size=size, seconds=seconds)
                    if not figures:
                        continue
                    before = found.get(library, figures)
                    found[library] = {k: v if isinstance(v, str) else min(v, before[k]) for k, v in figures.items()}
            table[f"{what} {size}"] = found
    return table


def ratio(found: dict[str, dict[str, float]], key: str) -> tuple[float, str]:
    """Ours over the best of the others, and which that is."""
    others = {name: figures[key] for name, figures in found.items() if name != OURS and key in figures}
    if not others or key not in found[OURS]:
        return float("nan"), ""
    best = min(others, key=lambda name: others[name])
    return found[OURS][key] / others[best], best


def verdict(found: dict[str, dict[str, float]]) -> str:
    """Whether ours is slower than the best of the others; a difference from the same program is noise."""
    run, best = ratio(found, "cpu")
    if not run > TOLERATED:
        return ""
    return " same program" if found[OURS].get("program", 0) == found[best].get("program", 1) else " slower"


def print_family(name: str, table: dict[str, Any]) -> None:
    """A line for each operation and size, slower ones marked; disagreements and failures."""
    for label, found in table.items():
        run, best = ratio(found, "cpu")
        wall, _ = ratio(found, "wall")
        compiling, _ = ratio(found, "compile")
        mark = verdict(found)
        times = ", ".join(
            f"{library} {figures['cpu'] * 1e6:.5g}" for library, figures in found.items() if "cpu" in figures
        )
        print(f"{name:30s} {label:16s} {run:6.2f} {wall:6.2f} {compiling:6.2f}  {best:10s} ({times} us){mark}")
        for library, figures in found.items():
            if "error" in figures:
                print(f"    {library}: {figures['error']}")
            elif "check" in figures and not np.isclose(figures["check"], found[OURS].get("check", np.nan), rtol=2e-3):
                print(f"    {library} disagrees: {figures['check']:.7g}, ours {found[OURS].get('check')}")
    sys.stdout.flush()


def summarize(results: dict[str, Any]) -> None:
    """Of each operation and size, the geometric mean of the ratios and how many are slower."""
    print("\nours over the best of the others: geometric mean, largest, number above", TOLERATED)
    for key in ("cpu", "wall", "compile"):
        for size in SIZES:
            for what in OPERATIONS:
                tables = [table[f"{what} {size}"] for table in results.values() if f"{what} {size}" in table]
                found = [table for table in tables if np.isfinite(ratio(table, key)[0])]
                if found:
                    ratios = np.array([ratio(table, key)[0] for table in found])
                    slower = sum(r > TOLERATED and verdict(table) != " same program" for r, table in zip(ratios, found))
                    mean = np.exp(np.mean(np.log(ratios)))
                    print(f"  {key:8s} {what:9s} {size:7s} {mean:.2f} {ratios.max():.2f} {slower} of {len(found)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", nargs="*", default=[], metavar="NAME=ENVIRONMENT", help="numpyro=... tfp=...")
    parser.add_argument("--families", nargs="*", default=list(FAMILIES))
    parser.add_argument("--sizes", nargs="*", default=list(SIZES), choices=SIZES)
    parser.add_argument("--repeat", type=int, default=3, help="rounds")
    parser.add_argument("--seconds", type=float, default=0.1, help="CPU time of one measurement")
    parser.add_argument("--json", default="benchmarks-distributions.json")
    options = parser.parse_args()
    results: dict[str, Any] = {"date": str(date.today()), "machine": platform.machine(), "cores": os.cpu_count()}
    with tempfile.TemporaryDirectory() as folder:
        # A copy apart from the package, so that an environment's own numpyro is the one that its worker imports.
        shutil.copytree(HERE, Path(folder) / "benchmarks")
        workers = {OURS: Worker(sys.executable, "numpyro", folder)}
        for peer in options.peers:
            name, _, environment = peer.partition("=")
            python = str(Path(environment) / "bin" / "python")
            workers[name] = Worker(python, "tfp" if name.startswith("tfp") else "numpyro", folder)
        workers["scipy"] = Worker(sys.executable, "scipy", folder)
        results["versions"] = {name: worker.versions for name, worker in workers.items()}
        print(results["versions"], "\nratios to the best of the others: CPU, wall, compile time; CPU times")
        results["families"] = {}
        for name in options.families:
            table = measure(workers, name, options.repeat, options.seconds, options.sizes)
            results["families"][name] = table
            print_family(name, table)
        for worker in workers.values():
            worker.end()
    summarize(results["families"])
    Path(options.json).write_text(json.dumps(results, indent=1))
    print(f"\nwritten to {options.json}")


if __name__ == "__main__":
    main()
