"""Kernels of discrete sites and subsamples beside NumPyro's, on one model each: steps and effective draws per second.

``python -m benchmarks.samplers [CASE ...]`` runs each case in turn here and, in an environment of its own, under
NumPyro (``--peer PYTHON``, its interpreter), alternating ``--repeat`` times, and prints a table. Both have one
interface, so that a case is one function; :data:`CASES` takes more.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import numpyro
import numpyro.distributions as dist
from numpyro.diagnostics import effective_sample_size
from numpyro.infer import HMC, HMCECS, MCMC, NUTS, DiscreteHMCGibbs, HMCGibbs, MixedHMC


class Case(NamedTuple):
    """A kernel with its model's arguments, how long to run it, and the site whose effective draws count."""

    kernel: Callable[[], Any]
    args: tuple
    num_warmup: int
    num_samples: int
    site: str


def four_components(probs: Any, locs: Any) -> None:
    c = numpyro.sample("c", dist.Categorical(probs))
    numpyro.sample("x", dist.Normal(locs[c], 0.5))


def mixture(data: Any) -> None:
    locs = numpyro.sample("locs", dist.Normal(jnp.array([-2.0, 2.0]), 1.0).to_event(1))
    with numpyro.plate("N", data.shape[0]):
        c = numpyro.sample("c", dist.Bernoulli(0.4))
        numpyro.sample("obs", dist.Normal(locs[c], 1.0), obs=data)


def sum_of_two() -> None:
    x = numpyro.sample("x", dist.Normal(0.0, 2.0))
    y = numpyro.sample("y", dist.Normal(0.0, 2.0))
    numpyro.sample("obs", dist.Normal(x + y, 1.0), obs=1.0)


def draw_x(rng_key: Any, gibbs_sites: Any, hmc_sites: Any) -> Any:
    return {"x": dist.Normal(0.8 * (1 - hmc_sites["y"]), 0.8**0.5).sample(rng_key)}


def regression(x: Any, y: Any, subsample: int) -> None:
    w = numpyro.sample("w", dist.Normal(jnp.zeros(x.shape[1]), 1.0).to_event(1))
    with numpyro.plate("N", x.shape[0], subsample_size=subsample):
        batch_x, batch_y = numpyro.subsample(x, event_dim=1), numpyro.subsample(y, event_dim=0)
        numpyro.sample("obs", dist.Bernoulli(logits=batch_x @ w), obs=batch_y)


def _regression_data(rows: int) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 5)).astype(np.float32)
    w = np.array([0.5, -1.0, 0.2, 0.0, 1.0], np.float32)
    y = (rng.random(rows) < 1 / (1 + np.exp(-x @ w))).astype(np.int32)
    return jnp.asarray(x), jnp.asarray(y), w


def cases() -> dict[str, Case]:
    """The cases by name."""
    four = (jnp.array([0.15, 0.3, 0.3, 0.25]), jnp.array([-2.0, 0.0, 2.0, 4.0]))
    rng = np.random.default_rng(1)
    data = (jnp.asarray(np.where(rng.random(50) < 0.4, 2.0, -2.0) + rng.normal(size=50), jnp.float32),)
    x, y, w = _regression_data(100_000)
    proxy = HMCECS.taylor_proxy({"w": jnp.asarray(w)}, degree=2)
    return {
        "DiscreteHMCGibbs, four components": Case(
            lambda: DiscreteHMCGibbs(NUTS(four_components), modified=True), four, 500, 20_000, "x"
        ),
        "DiscreteHMCGibbs, 50 labels": Case(lambda: DiscreteHMCGibbs(NUTS(mixture)), data, 300, 2000, "locs"),
        "MixedHMC, four components": Case(
            lambda: MixedHMC(HMC(four_components, trajectory_length=1.2), num_discrete_updates=20),
            four,
            500,
            20_000,
            "x",
        ),
        "HMCGibbs, sum of two": Case(lambda: HMCGibbs(NUTS(sum_of_two), draw_x, ["x"]), (), 500, 20_000, "y"),
        "HMCECS, 1e5 rows": Case(
            lambda: HMCECS(NUTS(regression), num_blocks=10, proxy=proxy), (x, y, 1000), 300, 1000, "w"
        ),
    }


def measure(name: str) -> dict[str, float]:
    """Run a case twice, the first time to compile; seconds of process CPU time of the second, steps and ESS in them."""
    case = cases()[name]
    mcmc = MCMC(case.kernel(), num_warmup=case.num_warmup, num_samples=case.num_samples, progress_bar=False)
    began = time.perf_counter()
    mcmc.run(jax.random.PRNGKey(0), *case.args)
    jax.block_until_ready(mcmc.get_samples())
    first = time.perf_counter() - began
    mcmc.warmup(jax.random.PRNGKey(1), *case.args)
    key = mcmc.post_warmup_state.rng_key
    mcmc.run(key, *case.args)  # compile what sampling alone takes
    cpu = time.process_time()
    mcmc.run(key, *case.args)
    jax.block_until_ready(mcmc.get_samples())
    cpu = time.process_time() - cpu
    draws = np.asarray(mcmc.get_samples(group_by_chain=True)[case.site], np.float64)
    ess = float(np.min(effective_sample_size(np.concatenate(np.array_split(draws, 2, axis=1)))))
    return {"first": first, "steps": case.num_samples / cpu, "ess": ess / cpu}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", help="names of cases, or parts of them; all by default")
    parser.add_argument("--peer", help="the Python interpreter of an environment with NumPyro")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    names = [name for name in cases() if not options.cases or any(part in name for part in options.cases)]
    print("| case | steps/s | NumPyro | ratio | ESS/s | NumPyro | ratio | first run | NumPyro |\n|" + "---|" * 9)
    for name in names:
        found: dict[str, list[dict[str, float]]] = {"ours": [], "peer": []}
        for _ in range(options.repeat):
            found["ours"].append(_in_process(sys.executable, name, own=True))
            if options.peer:
                found["peer"].append(_in_process(options.peer, name, own=False))
        ours, peer = (
            {key: float(np.median([run[key] for run in runs])) for key in runs[0]} if runs else None
            for runs in found.values()
        )
        row = [name]
        for key in ("steps", "ess"):
            row.append(f"{ours[key]:.0f}")  # type: ignore[index]
            row += [f"{peer[key]:.0f}", f"{ours[key] / peer[key]:.1f}"] if peer else ["–", "–"]  # type: ignore[index]
        row += [f"{ours['first']:.1f} s", f"{peer['first']:.1f} s" if peer else "–"]  # type: ignore[index]
        print("| " + " | ".join(row) + " |", flush=True)


def _in_process(python: str, name: str, *, own: bool) -> dict[str, float]:
    """Measure in a new process; under NumPyro this file alone is run, apart from this project."""
    root = Path(__file__).resolve().parent.parent
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"JAX_PLATFORMS": "cpu"}
    if own:
        command, environment["PYTHONPATH"] = [python, "-m", "benchmarks.samplers"], str(root)
    else:
        command = [
            python,
            "-c",
            f"import runpy; runpy.run_path({str(Path(__file__).resolve())!r}, run_name='__main__')",
        ]
    process = subprocess.run(
        [*command, "--measure", name], capture_output=True, text=True, env=environment, cwd="/", check=False
    )
    if process.returncode:
        raise RuntimeError(f"'{name}' under {python} failed:\n{process.stderr[-2000:]}")
    return json.loads(process.stdout.strip().splitlines()[-1])


if __name__ == "__main__":
    main()
