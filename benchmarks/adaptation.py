"""Compares the ways of adaptation over twelve posteriors: ``python -m benchmarks.adaptation --posteriors FOLDER``.

Everything is counted in gradients, so that figures do not depend on the machine: the leapfrog steps of warm-up, the
smallest bulk effective sample size for a thousand leapfrog steps of sampling, and of the whole run; and whether the
posterior is right: means within a tenth of a deviation of the reference, deviations within 15 %, r_hat below 1.02.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.data import POSTERIORS as FILES
from benchmarks.models import Case
from benchmarks.posteriors import POSTERIORS, load
from numpyro.diagnostics import bulk_effective_sample_size, rank_normalized_r_hat
from numpyro.infer import MCMC, NUTS

ADAPTATIONS = ("windows", "fisher", "low_rank")
CHAINS = 4


def measure(
    case: Case, reference: dict[str, Any], seed: int, warmup: int, draws: int, **options: Any
) -> dict[str, Any]:
    """The figures of one run of four chains."""
    kernel = NUTS(case.model, **options)
    vectorized = options.get("pooled_adaptation", False)
    mcmc = MCMC(
        kernel,
        num_warmup=warmup,
        num_samples=draws,
        num_chains=CHAINS,
        chain_method="vectorized" if vectorized else "sequential",
        progress_bar=False,
    )
    key = jax.random.PRNGKey(seed)
    mcmc.warmup(key, *case.args, extra_fields=("num_steps",), collect_warmup=True)
    warmup_steps = int(mcmc.get_extra_fields()["num_steps"].sum())
    mcmc.run(jax.random.fold_in(key, 1), *case.args, extra_fields=("num_steps",))
    extra = mcmc.get_extra_fields()
    steps = int(extra["num_steps"].sum())
    samples = {name: np.asarray(value) for name, value in mcmc.get_samples(group_by_chain=True).items()}
    effective = min(float(np.min(bulk_effective_sample_size(value))) for value in samples.values())
    r_hat = max(float(np.max(rank_normalized_r_hat(value))) for value in samples.values())
    offset, ratio = agreement(samples, reference)
    return {
        "warmup_steps": warmup_steps,
        "steps": steps,
        "ess": effective,
        "ess_per_1000": 1000 * effective / steps,
        "ess_per_1000_whole": 1000 * effective / (steps + warmup_steps),
        "divergences": int(extra["diverging"].sum()),
        "r_hat": r_hat,
        "offset": offset,
        "ratio": ratio,
        "right": bool(offset < 0.1 and ratio < 0.15 and r_hat < 1.02),
    }


def agreement(samples: dict[str, np.ndarray], reference: dict[str, Any]) -> tuple[float, float]:
    """The largest error of a mean in reference deviations, and the largest relative error of a deviation."""
    offset = ratio = 0.0
    for name, truth in reference.items():
        draws = column(samples, name)
        if draws is not None:
            offset = max(offset, abs(draws.mean() - truth["mean"]) / truth["sd"])
            ratio = max(ratio, abs(draws.std() / truth["sd"] - 1))
    return float(offset), float(ratio)


def column(samples: dict[str, np.ndarray], name: str) -> np.ndarray | None:
    """The draws of one parameter, named as in ``theta[3]``."""
    site, _, index = name.partition("[")
    if site not in samples:
        return None
    draws = samples[site]
    return draws[(..., *(int(i) - 1 for i in index.rstrip("]").split(",")))] if index else draws


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--posteriors", required=True)
    parser.add_argument("--only", nargs="*", default=list(POSTERIORS))
    parser.add_argument("--adaptations", nargs="*", default=list(ADAPTATIONS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--warmup", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--output", default="")
    options = parser.parse_args()
    references = json.loads((Path(options.posteriors) / "reference.json").read_text())
    table: dict[str, Any] = {}
    for name in options.only:
        case = load(options.posteriors, name)
        with jax.enable_x64(case.x64):
            for adaptation in options.adaptations:
                runs = [
                    measure(
                        case,
                        references[f"{FILES[name]}-{name}"],
                        seed,
                        options.warmup,
                        options.draws,
                        adaptation=adaptation,
                    )
                    for seed in range(options.seeds)
                ]
                table.setdefault(name, {})[adaptation] = runs
                print(line(name, adaptation, runs), flush=True)
    summarise(table, options.adaptations)
    if options.output:
        Path(options.output).write_text(json.dumps(table, indent=1))


def line(name: str, adaptation: str, runs: list[dict[str, Any]]) -> str:
    middle = {key: float(np.median([run[key] for run in runs])) for key in runs[0]}
    right = sum(run["right"] for run in runs)
    return (
        f"{name:24s} {adaptation:10s} warm-up {middle['warmup_steps']:8.0f}  steps {middle['steps']:8.0f}  "
        f"ESS {middle['ess']:6.0f}  per 1000 {middle['ess_per_1000']:7.2f}  whole {middle['ess_per_1000_whole']:7.2f}  "
        f"divergences {middle['divergences']:4.0f}  right {right}/{len(runs)}  "
        f"worst {max(run['offset'] for run in runs):.3f} {max(run['ratio'] for run in runs):.3f} "
        f"{max(run['r_hat'] for run in runs):.3f}"
    )


def summarise(table: dict[str, Any], adaptations: list[str]) -> None:
    """Geometric means of the ratios to the first way of adaptation."""
    first, *others = adaptations
    for other in others:
        for key in ("warmup_steps", "ess_per_1000", "ess_per_1000_whole"):
            logs = [
                np.log(np.median([run[key] for run in row[other]]) / np.median([run[key] for run in row[first]]))
                for row in table.values()
            ]
            middle, least, most = np.exp([np.mean(logs), np.min(logs), np.max(logs)])
            print(f"{other} / {first}: {key} {middle:.2f}, from {least:.2f} to {most:.2f}")


if __name__ == "__main__":
    main()
