"""Runs the workers, in turn, prints one table of ratios and the targets, writes JSON: ``python -m benchmarks.run``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.data import CASES, POSTERIORS
from benchmarks.environments import DEFAULT_THREADS, Environment, Runner
from benchmarks.judge import judge
from benchmarks.table import LABELS, Rows, combine, least, mean_lines, mean_of_logs, notes, ratio_table
from benchmarks.targets import judge_targets, measure_extra

HERE = Path(__file__).parent
EVERY_CASE = [*CASES, f"gaussian process{DEFAULT_THREADS}"]


class Benchmark:
    """Environments and settings.

    :param runner: runs workers.
    :param environments: ours, then the peers.
    :param options: the command line.
    """

    def __init__(self, runner: Runner, environments: list[Environment], options: argparse.Namespace) -> None:
        self.runner, self.environments, self.options = runner, environments, options

    def time_case(self, case: str) -> dict[str, Any]:
        """Compiling, leapfrog and efficiency of a case in every environment, taking turns."""
        seconds = ("--seconds", str(self.options.seconds), "--warmup", str(self.options.warmup))
        parts: dict[str, dict[str, list[Any]]] = {e.name: {} for e in self.environments}
        bare = []
        for _ in range(self.options.repeat):
            for environment in self.environments:
                for what in ("compiling", "leapfrog"):
                    found = self.runner.work(environment, what, case, *seconds)
                    parts[environment.name].setdefault(what, []).append(found)
            bare.append(self.runner.work(self.environments[0], "bare", case, *seconds))
        row = {name: {what: least(found) for what, found in measures.items()} for name, measures in parts.items()}
        if not case.endswith(DEFAULT_THREADS):
            for environment in self.environments:
                row[environment.name]["sampling"] = self.sample(environment, case)
        bare_figures = least(bare)
        bare_figures.pop("peak_memory_mb", None)
        return {name: combine(measures) for name, measures in (row | {"bare": {"bare": bare_figures}}).items()}

    def sample(self, environment: Environment, case: str, truth: dict[str, Any] | None = None) -> dict[str, Any]:
        """Whole runs by default settings, one for each seed; geometric means of what differs between them."""
        path = str(Path(self.runner.folder) / "draws.npz")
        runs = []
        for seed in range(self.options.seeds):
            figures = self.runner.work(
                environment,
                "sampling",
                case,
                *("--posteriors", self.options.posteriors, "--draws", path, "--seed", str(seed + 3)),
                *("--warmup", str(self.options.warmup), "--samples", str(self.options.samples)),
            )
            if "error" in figures:
                return figures
            runs.append(figures | judge(path, figures, truth))
        means = {key: mean_of_logs([run[key] for run in runs]) for key in ("ess_whole", "ess_compiled", "min_ess")}
        worst = max(runs, key=lambda run: (not run.get("right", True), run["r_hat"]))
        return worst | means

    def time_posterior(self, name: str, truth: dict[str, Any]) -> dict[str, Any]:
        """Efficiency on one posterior, and whether its answers are right, in every environment."""
        return {e.name: combine({"sampling": self.sample(e, name, truth)}) for e in self.environments}


def print_rows(benchmark: Benchmark, rows: Rows, keys: list[str]) -> None:
    """The table, the means over its rows, and the notes."""
    names = [environment.name for environment in benchmark.environments] + ["bare"]
    used = [name for name in names if any(name in row for row in rows.values())]
    means = mean_lines(rows, used, keys) if len(rows) > 1 else []
    for lines in (ratio_table(rows, used, keys), means, notes(rows)):
        print("\n".join([*lines, ""]) if lines else "", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", nargs="*", default=[], metavar="NAME=ENVIRONMENT", help="numpyro, blackjax, nutpie")
    parser.add_argument("--posteriors", default="", help="a folder with reference.json and data/")
    parser.add_argument("--cases", nargs="*", default=EVERY_CASE)
    parser.add_argument("--only", nargs="*", default=list(POSTERIORS), help="of the posteriors, these")
    parser.add_argument("--no-targets", action="store_true", help="leave out what only the targets need")
    parser.add_argument(
        "--repeat", type=int, default=3, help="repetitions of compiling and leapfrogs; the least counts"
    )
    parser.add_argument("--seeds", type=int, default=1, help="whole runs; their geometric mean counts")
    parser.add_argument("--seconds", type=float, default=1.0, help="CPU time of a leapfrog measurement")
    parser.add_argument("--warmup", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--blas-threads", type=int, default=1, help="for all workers; 0 leaves them as they are")
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds for one worker")
    parser.add_argument("--json", default="benchmarks-results.json")
    return parser.parse_args()


def main() -> None:
    options = parse()
    options.posteriors = str(Path(options.posteriors).resolve()) if options.posteriors else ""
    environments = [Environment.ours(), *(Environment.parse(peer) for peer in options.peers)]
    results: dict[str, Any] = {
        "date": str(date.today()),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "options": vars(options),
        "cases": {},
        "posteriors": {},
        "extra": {},
    }

    def save() -> None:
        Path(options.json).write_text(json.dumps(results, indent=1))

    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(HERE, Path(folder) / "benchmarks", ignore=shutil.ignore_patterns("__pycache__"))
        benchmark = Benchmark(Runner(folder, options.timeout, options.blas_threads), environments, options)
        for case in options.cases:
            results["cases"][case] = benchmark.time_case(case)
            print_rows(benchmark, {case: results["cases"][case]}, list(LABELS))
            save()
        if options.posteriors:
            reference = json.loads((Path(options.posteriors) / "reference.json").read_text())
            for name in options.only:
                results["posteriors"][name] = benchmark.time_posterior(name, reference[f"{POSTERIORS[name]}-{name}"])
                save()
        if not options.no_targets:
            results["extra"] = measure_extra(benchmark.runner, environments, options.warmup, options.seconds)
    print("\n# The table\n")
    print_rows(benchmark, results["cases"], list(LABELS))
    if results["posteriors"]:
        print("\n# Posteriors\n")
        print_rows(benchmark, results["posteriors"], ["ess_compiled", "ess_whole"])
    targets = judge_targets(results["cases"], results["posteriors"], results["extra"])
    print("\n# Targets, as ratios to NumPyro unless they say otherwise\n")
    print("| target | bound | found | verdict | detail |\n|---|---|---|---|---|")
    print("\n".join(target.line() for target in targets))
    results["targets"] = [target._asdict() | {"verdict": target.verdict} for target in targets]
    save()
    print(f"\nwritten to {options.json}")


if __name__ == "__main__":
    main()
