"""One model in one environment: ``python -m benchmarks.worker --case NAME ...`` prints one line of JSON.

It runs under this project and under a peer that shares the interface; it uses nothing that only one of them has.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from typing import Any

import jax
import numpy as np

import numpyro
from benchmarks.models import CASES, Case
from numpyro.infer import MCMC, NUTS

_compiles = 0


def _count(event: str, duration: float, **_: Any) -> None:
    global _compiles
    _compiles += event == "/jax/core/compile/backend_compile_duration"


def run(case: Case, seed: int, warmup: int, draws: int, kernel: Any = None, state: Any = None, **options: Any) -> Any:
    """One run on a new MCMC object; the CPU and wall seconds that it took, and the object."""
    cpu, wall = time.process_time(), time.perf_counter()
    mcmc = MCMC(kernel or NUTS(case.model), num_warmup=warmup, num_samples=draws, progress_bar=False, **options)
    if state is not None:
        mcmc.post_warmup_state = state
    mcmc.run(jax.random.PRNGKey(seed), *case.args, extra_fields=("num_steps",))
    jax.block_until_ready(mcmc.get_samples())
    return time.process_time() - cpu, time.perf_counter() - wall, mcmc


def compiling(case: Case) -> dict[str, Any]:
    """First and repeated runs with one warm-up iteration and one draw."""
    before = _compiles
    first, first_wall, _ = run(case, 0, 1, 1)
    compiled = _compiles - before
    again = [run(case, seed, 1, 1)[0] for seed in (1, 2, 3)]
    return {
        "first": first,
        "first_wall": first_wall,
        "again": min(again),
        "compiles_first": compiled,
        "compiles_again": (_compiles - before - compiled) / 3,
    }


def leapfrog(case: Case, seconds: float) -> dict[str, Any]:
    """CPU time of a leapfrog step after warm-up: of runs of n draws less those of one draw, with n growing."""
    kernel = NUTS(case.model)
    _, _, mcmc = run(case, 0, 300, 1, kernel)
    state, draws = mcmc.last_state, 50
    while True:
        run(case, 1, 0, draws, kernel, state)
        overhead, _, _ = run(case, 1, 0, 1, kernel, state)
        used, _, mcmc = run(case, 1, 0, draws, kernel, state)
        steps = int(np.sum(mcmc.get_extra_fields()["num_steps"]))
        if used - overhead > seconds:
            return {"leapfrog": (used - overhead) / steps * 1e6, "steps": steps}
        draws *= 4


def sampling(case: Case, warmup: int, draws: int, path: str) -> dict[str, Any]:
    """A whole run of four chains, compiled before; its draws go to ``path`` for the effective sample size."""
    options = {"num_chains": 4, "chain_method": "sequential"}
    run(case, 0, 2, 2, **options)
    used, wall, mcmc = run(case, 3, warmup, draws, **options)
    samples = mcmc.get_samples(group_by_chain=True)
    np.savez(path, **{name: np.asarray(value) for name, value in samples.items()})
    steps = int(np.sum(mcmc.get_extra_fields()["num_steps"]))
    return {"cpu": used, "wall": wall, "steps": steps, "draws": path}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--case", required=True)
    parser.add_argument("--what", choices=["compiling", "leapfrog", "bare", "sampling"], required=True)
    parser.add_argument("--posteriors", default="")
    parser.add_argument("--draws", default="")
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    jax.monitoring.register_event_duration_secs_listener(_count)
    if options.case in CASES:
        case = CASES[options.case]()
    else:
        from benchmarks.posteriors import load

        case = load(options.posteriors, options.case)
    numpyro.enable_x64(case.x64)
    if options.what == "compiling":
        figures = compiling(case)
    elif options.what == "leapfrog":
        figures = leapfrog(case, options.seconds)
    elif options.what == "bare":
        from benchmarks.bare import microseconds_per_leapfrog

        figures = {"leapfrog": microseconds_per_leapfrog(options.case, case.args, options.seconds)}
    else:
        figures = sampling(case, 1000, 1000, options.draws)
    figures["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures["version"] = numpyro.__version__
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
