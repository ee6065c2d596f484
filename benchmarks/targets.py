"""The targets, each with what was measured and whether it is met."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from typing import Any, NamedTuple

from benchmarks.environments import OURS, Environment, Runner
from benchmarks.table import Rows, mean_of_logs, ratio, show

PEER = "numpyro"
SMALL = ("eight schools", "logistic 1000x25", "radon")
# Cases whose chains run beside each other, and how many times more draws than warm-up, so that the runs take a while.
CHAIN_CASES = {"eight schools": 20, "radon": 5, "stochastic volatility": 1}
IMPORTS = (
    "import time, resource; import jax; a = time.perf_counter(); import numpyro; print(time.perf_counter() - a)",
    "import time; import jax; a = time.process_time(); import numpyro; print(time.process_time() - a)",
)


class Target(NamedTuple):
    """A bound, what was measured (``None``: it was not), and of which cases that is the worst."""

    what: str
    bound: float
    measured: float | None
    detail: str = ""
    at_least: bool = False

    @property
    def verdict(self) -> str:
        """``ok``, ``missed`` or ``-``."""
        if self.measured is None:
            return "-"
        met = self.measured >= self.bound if self.at_least else self.measured <= self.bound
        return "ok" if met else "missed"

    def line(self) -> str:
        """As a line of a Markdown table."""
        sign = "≥" if self.at_least else "≤"
        return f"| {self.what} | {sign} {self.bound:g} | {show(self.measured)} | {self.verdict} | {self.detail} |"


def worst(what: str, bound: float, found: dict[str, float | None]) -> Target:
    """The target for the largest of several ratios; all of them stand in the detail."""
    known = {case: value for case, value in found.items() if value is not None}
    detail = ", ".join(f"{case} {show(value)}" for case, value in known.items())
    return Target(what, bound, max(known.values()) if known else None, detail)


def ratios(rows: Rows, cases: Iterable[str], key: str, peer: str = PEER) -> dict[str, float | None]:
    """Our figure over the peer's, by case."""
    return {case: ratio(rows.get(case, {}).get(OURS, {}), rows.get(case, {}).get(peer, {}), key) for case in cases}


def judge_targets(cases: Rows, posteriors: Rows, extra: dict[str, Any]) -> list[Target]:
    """All targets, from the figures of the cases, of the posteriors, and of :func:`measure_extra`."""
    compiled = {case: row.get(OURS, {}).get("compiles_again") for case, row in cases.items()}
    every = list(cases)
    leapfrogs = [
        worst(f"per leapfrog: {name}", bound, ratios(cases, names, "leapfrog"))
        for name, names, bound in (
            ("schools, stochastic volatility", ("eight schools", "stochastic volatility"), 0.25),
            ("radon", ("radon",), 0.6),
            ("GP, one BLAS thread", ("gaussian process",), 0.7),
            ("logistic 1000x25, HMM", ("logistic 1000x25", "hidden markov"), 1.0),
        )
    ]
    to_bare = ratios(cases, ("logistic 1000x25", "hidden markov"), "leapfrog", "bare")
    return [
        worst("first run of a small model, CPU time", 0.33, ratios(cases, SMALL, "first")),
        worst("repeated run, CPU time", 0.05, ratios(cases, every, "again")),
        worst("compilations of a repeated run", 0, compiled),
        *leapfrogs,
        worst("per leapfrog to bare: logistic 1000x25, HMM", 1.2, to_bare),
        *extra_targets(extra),
        *efficiency_targets(posteriors),
    ]


def extra_targets(extra: dict[str, Any]) -> list[Target]:
    """Those of bar, chains, import and memory."""
    ours, theirs = (extra.get("chains", {}).get(name, {}) for name in (OURS, PEER))
    chains = [
        worst(f"4 chains, wall time, {name}", 0.55, {c: ratio(ours[c], theirs.get(c, {}), key) for c in ours})
        for name, key in (
            ("in a fresh process", "wall_whole"),
            ("repeated run", "wall_again"),
            ("less compiling", "wall_default"),
        )
    ]
    one_by_one = {case: {"wall_default": row.get("wall_sequential")} for case, row in ours.items()}
    speedup = {c: ratio(ours[c], one_by_one[c], "wall_default") for c in ours}
    chains.append(worst("4 chains to our own in sequence (2 cores: at best 0.5)", 0.55, speedup))
    bar, memory = extra.get("bar", {}), extra.get("memory", {})
    return [
        Target("progress bar, CPU time with it to without", 1.02, bar.get("bar_cpu"), _pairs(bar)),
        *chains,
        Target(
            "import beyond import jax, s", 0.2, extra.get("import", {}).get("wall"), _pairs(extra.get("import", {}))
        ),
        Target("device bytes, 100000 draws to 1000", 1.05, memory.get("growth"), _pairs(memory)),
    ]


def efficiency_targets(posteriors: Rows) -> list[Target]:
    """The geometric mean of the ratios of min ESS per second over the posteriors."""
    found = []
    for name, key in (("compiled before", "ess_compiled"), ("with compiling", "ess_whole")):
        known = {k: v for k, v in ratios(posteriors, posteriors, key).items() if v}
        detail = ", ".join(f"{case} {show(value)}" for case, value in known.items())
        mean = mean_of_logs(known.values()) if known else None
        found.append(Target(f"min ESS/s, geometric mean, {name}", 3, mean, detail, at_least=True))
    return found


def _pairs(figures: dict[str, Any]) -> str:
    return ", ".join(f"{k} {v if isinstance(v, str) else show(v)}" for k, v in figures.items() if k != "version")


def measure_extra(runner: Runner, environments: list[Environment], warmup: int, seconds: float) -> dict[str, Any]:
    """What the workers of the cases do not measure."""
    ours, worker = environments[0], "benchmarks.target_worker"
    found: dict[str, Any] = {"chains": {}}
    for environment in environments:
        if environment.name in (OURS, PEER):
            found["chains"][environment.name] = {
                case: runner.work(
                    environment,
                    "chains",
                    case,
                    *("--warmup", str(warmup), "--samples", str(times * warmup)),
                    worker=worker,
                )
                for case, times in CHAIN_CASES.items()
            }
    found["bar"] = runner.work(ours, "bar", "eight schools", "--seconds", str(4 * seconds), worker=worker)
    found["memory"] = runner.work(ours, "memory", "eight schools", worker=worker)
    found["import"] = {name: import_seconds(runner, ours, code) for name, code in zip(("wall", "cpu"), IMPORTS)}
    return found


def import_seconds(runner: Runner, environment: Environment, code: str) -> float:
    """What the import of this project adds to that of JAX; the least of five."""
    variables = runner.variables(environment, runner.folder, 1)
    command = [environment.python, "-c", code]
    return min(
        float(subprocess.run(command, env=variables, cwd=runner.folder, capture_output=True, text=True).stdout)
        for _ in range(5)
    )
