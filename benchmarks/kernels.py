"""Steps and effective draws a second of the samplers beside HMC, here and in NumPyro, on one logistic regression.

::

    python -m benchmarks.kernels --peer /path/to/environment

Each case is a process of its own, ours and the peer's in turn. Figures are CPU time of what grows with the number of
iterations: a long run less a short one, both with compiled programs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

CASES = {"BarkerMH": 20_000, "SA": 20_000, "AIES": 4_000, "ESS": 1_500}
"""Kernels, and iterations of sampling; half as many are warm-up."""
CHAINS = 24
"""The chains of ensembles; the other kernels run one."""


def measure(case: str) -> dict[str, Any]:
    """The figures of a kernel in the environment that this runs in."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    import numpyro
    import numpyro.distributions as dist
    from numpyro.diagnostics import effective_sample_size
    from numpyro.infer import AIES, ESS, MCMC, SA, BarkerMH

    x = np.random.default_rng(0).normal(size=(200, 8))
    probs = 1 / (1 + np.exp(-x @ np.linspace(-1, 1, 8)))
    y = (np.random.default_rng(1).uniform(size=200) < probs).astype(np.float32)

    def model(x: Any, y: Any) -> None:
        intercept = numpyro.sample("intercept", dist.Normal(0, 2))
        slopes = numpyro.sample("slopes", dist.Normal(0, 2).expand([8]).to_event(1))
        numpyro.sample("y", dist.Bernoulli(logits=intercept + x @ slopes), obs=y)

    kernels = {
        "BarkerMH": lambda: BarkerMH(model),
        "SA": lambda: SA(model),
        "AIES": lambda: AIES(model, moves={AIES.DEMove(): 0.5, AIES.StretchMove(): 0.5}),
        "ESS": lambda: ESS(model),
    }
    kernel, is_ensemble = kernels[case](), case in ("AIES", "ESS")

    def run(iterations: int, seed: int) -> tuple[Any, float]:
        mcmc = MCMC(
            kernel,
            num_warmup=iterations // 2,
            num_samples=iterations,
            num_chains=CHAINS if is_ensemble else 1,
            chain_method="vectorized" if is_ensemble else "sequential",
            progress_bar=False,
        )
        start = time.process_time()
        mcmc.run(jax.random.PRNGKey(seed), x, y)
        draws = jax.block_until_ready(mcmc.get_samples(group_by_chain=True)["slopes"])
        return np.asarray(jnp.asarray(draws)), time.process_time() - start

    def effective(values: Any) -> float:
        """Of an ensemble, whose chains depend on each other, the draws of its mean count, as those of one chain."""
        if not is_ensemble:
            return effective_sample_size(values)
        means = values.mean(0)
        return effective_sample_size(means[None]) * values.var() / means.var()

    long, short = CASES[case], CASES[case] // 10
    run(long, 0), run(short, 1)
    seconds = min(run(long, seed)[1] for seed in (0, 2)) - min(run(short, seed)[1] for seed in (1, 3))
    sizes = [min(effective(draws[..., j]) for j in range(8)) for draws in (run(long, seed)[0] for seed in (4, 5, 6))]
    return {
        "us_per_step": 1e6 * seconds / (1.5 * (long - short)),
        "ess_per_s": float(np.median(sizes)) * (1 - short / long) / seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", help="the folder of an environment with NumPyro")
    parser.add_argument("--case", choices=list(CASES), help="one case, here; prints a line of JSON")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    if options.case:
        warnings.simplefilter("ignore")
        print(json.dumps(measure(options.case)))
        return
    if not options.peer:
        parser.error("--peer is needed")
    root = Path(__file__).resolve().parent.parent
    ours, peer = (sys.executable, {"PYTHONPATH": str(root)}), (str(Path(options.peer) / "bin" / "python"), {})
    print("| kernel | µs a step | NumPyro | ratio | ESS a second | NumPyro | ratio |\n|---|---|---|---|---|---|---|")
    for case in CASES:
        figures: list[list[dict[str, float]]] = [[], []]
        for _ in range(options.rounds):
            for (python, variables), found in zip((ours, peer), figures):
                with tempfile.TemporaryDirectory() as folder:
                    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | variables
                    command = [python, str(Path(__file__).resolve()), "--case", case]
                    done = subprocess.run(
                        command, env=environment | {"JAX_PLATFORMS": "cpu"}, cwd=folder, capture_output=True, text=True
                    )
                found.append(json.loads(done.stdout.strip().splitlines()[-1]))
        steps = [min(f["us_per_step"] for f in found) for found in figures]
        sizes = [max(f["ess_per_s"] for f in found) for found in figures]
        print(
            f"| {case} | {steps[0]:.3g} | {steps[1]:.3g} | {steps[1] / steps[0]:.2f} | {sizes[0]:.3g} | "
            f"{sizes[1]:.3g} | {sizes[0] / sizes[1]:.2f} |"
        )


if __name__ == "__main__":
    main()
