"""The worker of nutpie, over models in PyMC: compiled by numba, in double precision; the compiled model is kept."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import nutpie

from benchmarks.protocol import Request, Stopwatch, serve
from benchmarks.pymc_models import make


def sample(model: Any, warmup: int, draws: int, chains: int, seed: int) -> tuple[float, float, Any]:
    """One run, chains one after another; its CPU and wall seconds, and what it found."""
    watch = Stopwatch()
    found = nutpie.sample(
        model, draws=draws, tune=warmup, chains=chains, cores=1, seed=seed, progress_bar=False, save_warmup=False
    )
    return *watch.read(), found


def compiling(request: Request) -> dict[str, Any]:
    """First and repeated runs with one warm-up iteration and one draw, the compiled model kept."""
    watch = Stopwatch()
    model = nutpie.compile_pymc_model(make(request.case, request.posteriors))
    sample(model, 1, 1, 1, 0)
    first, first_wall = watch.read()
    again = [sample(model, 1, 1, 1, seed)[0] for seed in (1, 2, 3)]
    return {"first": first, "first_wall": first_wall, "again": min(again)}


def leapfrog(request: Request) -> dict[str, Any]:
    """CPU time of a leapfrog step after warm-up: of runs of n draws less those of one draw, with n growing."""
    model = nutpie.compile_pymc_model(make(request.case, request.posteriors))
    warmup, draws = min(request.warmup, 300), 50
    sample(model, warmup, 1, 1, 1)
    while True:
        overhead, _, _ = sample(model, warmup, 1, 1, 1)
        used, _, found = sample(model, warmup, draws, 1, 1)
        steps = int(found.sample_stats["n_steps"].sum())
        net = used - overhead
        if net > max(request.seconds, 2 * overhead):
            return {"leapfrog": net / steps * 1e6, "steps": steps}
        draws *= 4


def sampling(request: Request) -> dict[str, Any]:
    """A whole run of several chains, one after another."""
    watch = Stopwatch()
    model = nutpie.compile_pymc_model(make(request.case, request.posteriors))
    sample(model, 1, 1, 1, 0)
    compile_cpu, compile_wall = watch.read()
    cpu, wall, found = sample(model, request.warmup, request.samples, request.chains, request.seed)
    # What ends in underscores is an unconstrained value, what begins with one a part that only the PyMC model has.
    shown = {k: np.asarray(v) for k, v in found.posterior.items() if not k.endswith("__") and not k.startswith("_")}
    np.savez(request.draws, **shown)
    steps = int(found.sample_stats["n_steps"].sum())
    return {"compile": compile_cpu, "compile_wall": compile_wall, "cpu": cpu, "wall": wall, "steps": steps}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    serve(f"nutpie {nutpie.__version__}", {"compiling": compiling, "leapfrog": leapfrog, "sampling": sampling})
