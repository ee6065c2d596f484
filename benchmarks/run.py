"""Runs the workers, in turn, prints a table of ratios and writes JSON: ``python -m benchmarks.run [options]``."""

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

from numpyro.diagnostics import bulk_effective_sample_size, rank_normalized_r_hat

HERE = Path(__file__).parent
CASES = (
    "eight schools",
    "logistic 1000x25",
    "logistic 100000x10",
    "radon",
    "gaussian process",
    "hidden markov",
    "stochastic volatility",
)
OURS = "this project"


def work(python: str, what: str, case: str, folder: str, *options: str) -> dict[str, Any]:
    """The figures of one worker process; the error's last line where it failed."""
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": folder, "PYTHONWARNINGS": "ignore"}
    command = [python, "-m", "benchmarks.worker", "--what", what, "--case", case, *options]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no output"}
    return json.loads(done.stdout.strip().splitlines()[-1])


def best(results: list[dict[str, Any]]) -> dict[str, Any]:
    """The minimum of each figure over repetitions."""
    good = [result for result in results if "error" not in result]
    if not good:
        return results[-1]
    return {key: min(r[key] for r in good) if not isinstance(good[0][key], str) else good[0][key] for key in good[0]}


def time_cases(pythons: dict[str, str], cases: list[str], repeat: int, seconds: float, folder: str) -> dict[str, Any]:
    """Compile times and leapfrog costs of every case, environments taking turns."""
    table: dict[str, Any] = {}
    for case in cases:
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in [*pythons, "bare"]}
        for _ in range(repeat):
            for name, python in pythons.items():
                compiling = work(python, "compiling", case, folder)
                leapfrog = work(python, "leapfrog", case, folder, "--seconds", str(seconds))
                found[name].append(compiling | leapfrog)
            found["bare"].append(work(pythons[OURS], "bare", case, folder, "--seconds", str(seconds)))
        table[case] = {name: best(results) for name, results in found.items()}
        print_case(case, table[case])
    return table


def print_case(case: str, row: dict[str, dict[str, Any]]) -> None:
    """One block of the table: our figures, and their ratios to the others."""
    ours = row[OURS]
    print(f"\n{case}")
    for name, figures in row.items():
        if "error" in figures:
            print(f"  {name}: failed, {figures['error']}")
            continue
        parts = [f"{key} {figures[key]:.3g}" for key in ("first", "again", "leapfrog") if key in figures]
        parts += [f"compiles {figures['compiles_first']:.0f}+{figures['compiles_again']:.0f}"] * ("first" in figures)
        parts.append(f"{figures['peak_memory_mb']:.0f} MB")
        print(f"  {name:14s} {', '.join(parts)}")
    for name, figures in row.items():
        if name != OURS and "error" not in figures and "error" not in ours:
            ratios = [f"{k} {ours[k] / figures[k]:.3f}" for k in ("first", "again", "leapfrog") if k in figures]
            print(f"  ratio to {name}: {', '.join(ratios)}")
    sys.stdout.flush()


def sample_posteriors(pythons: dict[str, str], names: list[str], posteriors: str, folder: str) -> dict[str, Any]:
    """Whole runs on posteriors with reference answers: efficiency, and whether the answers are right."""
    reference = json.loads((Path(posteriors) / "reference.json").read_text())
    table: dict[str, Any] = {}
    for posterior in names:
        table[posterior] = {}
        truth = next(value for key, value in reference.items() if key.split("-", 1)[1] == posterior)
        for name, python in pythons.items():
            path = str(Path(folder) / "draws.npz")
            options = ("--posteriors", str(Path(posteriors).resolve()), "--draws", path)
            figures = work(python, "sampling", posterior, folder, *options)
            figures.pop("draws", None)
            if "error" not in figures:
                figures |= judge(path, truth, figures["cpu"])
            table[posterior][name] = figures
            print(
                posterior, name, {k: round(v, 3) if isinstance(v, float) else v for k, v in figures.items()}, flush=True
            )
    for name in pythons:
        both = [row for row in table.values() if "ess_per_second" in row[OURS] and "ess_per_second" in row[name]]
        ratios = [row[OURS]["ess_per_second"] / row[name]["ess_per_second"] for row in both]
        if name != OURS and ratios:
            mean = np.exp(np.mean(np.log(ratios)))
            print(f"ESS per CPU second, ratio to {name}: geometric mean {mean:.2f} over {len(ratios)}")
    return table


def judge(path: str, truth: dict[str, dict[str, float]], seconds: float) -> dict[str, Any]:
    """Efficiency of draws, and their largest departure from the reference, in its standard deviations."""
    with np.load(path) as file:
        draws = {name: file[name].astype(np.float64) for name in file}
    scalars = {}
    for name, value in draws.items():
        flat = value.reshape(*value.shape[:2], -1)
        for i in range(flat.shape[2]):
            label = f"{name}[{i + 1}]" if value.ndim > 2 else name
            scalars[label] = flat[:, :, i]
    ess = min(float(bulk_effective_sample_size(x)) for x in scalars.values() if x.std() > 0)
    shared = [label for label in truth if label in scalars]
    off = max(abs(scalars[s].mean() - truth[s]["mean"]) / truth[s]["sd"] for s in shared)
    spread = [scalars[s].std() / truth[s]["sd"] for s in shared]
    r_hat = max(float(rank_normalized_r_hat(scalars[s])) for s in shared)
    right = off < 0.1 and min(spread) > 0.85 and max(spread) < 1.15 and r_hat < 1.02
    return {
        "min_ess": ess,
        "ess_per_second": ess / seconds,
        "mean_off": float(off),
        "r_hat": r_hat,
        "right": bool(right),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", nargs="*", default=[], metavar="NAME=ENVIRONMENT")
    parser.add_argument("--posteriors", default="", help="a folder with reference.json and data/")
    parser.add_argument("--cases", nargs="*", default=list(CASES))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="CPU time of a leapfrog measurement")
    parser.add_argument("--json", default="benchmarks-results.json")
    options = parser.parse_args()
    pythons = {OURS: sys.executable}
    for peer in options.peers:
        name, _, environment = peer.partition("=")
        pythons[name] = str(Path(environment) / "bin" / "python")
    results: dict[str, Any] = {"date": str(date.today()), "machine": platform.machine(), "cores": os.cpu_count()}
    with tempfile.TemporaryDirectory() as folder:
        # A copy apart from the package, so that an environment's own numpyro is the one that its worker imports.
        shutil.copytree(HERE, Path(folder) / "benchmarks")
        if options.cases:
            results["cases"] = time_cases(pythons, options.cases, options.repeat, options.seconds, folder)
        if options.posteriors:
            from benchmarks.posteriors import POSTERIORS

            results["posteriors"] = sample_posteriors(pythons, list(POSTERIORS), options.posteriors, folder)
    Path(options.json).write_text(json.dumps(results, indent=1))
    print(f"\nwritten to {options.json}")


if __name__ == "__main__":
    main()
