"""The worker of this project and of a peer that shares its interface; it uses nothing that only one of them has."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

import numpyro
from benchmarks.compiles import CompileCounter
from benchmarks.models import CASES, Case
from benchmarks.protocol import Request, Stopwatch, serve
from numpyro.infer import MCMC, NUTS


def load_case(request: Request) -> Case:
    """The model that is asked for, with the precision that it needs."""
    if request.case in CASES:
        case = CASES[request.case]()
    else:
        from benchmarks.posteriors import load

        case = load(request.posteriors, request.case)
    numpyro.enable_x64(case.x64)
    return case


def run(case: Case, seed: int, warmup: int, draws: int, kernel: Any = None, state: Any = None, **options: Any) -> Any:
    """One run on a new MCMC object; the CPU and wall seconds that it took, and the object."""
    watch = Stopwatch()
    mcmc = MCMC(kernel or NUTS(case.model), num_warmup=warmup, num_samples=draws, progress_bar=False, **options)
    if state is not None:
        mcmc.post_warmup_state = state
    mcmc.run(jax.random.PRNGKey(seed), *case.args, extra_fields=("num_steps",))
    jax.block_until_ready(mcmc.get_samples())
    return *watch.read(), mcmc


def compiling(request: Request) -> dict[str, Any]:
    """First and repeated runs with one warm-up iteration and one draw."""
    case, compiles = load_case(request), CompileCounter()
    first, first_wall, _ = run(case, 0, 1, 1)
    compiled = compiles.take()
    again = [run(case, seed, 1, 1)[0] for seed in (1, 2, 3)]
    return {
        "first": first,
        "first_wall": first_wall,
        "again": min(again),
        "compiles_first": compiled,
        "compiles_again": compiles.take() / 3,
    }


def leapfrog(request: Request) -> dict[str, Any]:
    """CPU time of a leapfrog step after warm-up: of runs of n draws less those of one draw.

    A peer compiles in both, and not in quite the same time, so that n grows until the difference is twice as much.
    """
    case = load_case(request)
    kernel = NUTS(case.model)
    _, _, mcmc = run(case, 0, min(request.warmup, 300), 1, kernel)
    state, draws = mcmc.last_state, 50
    run(case, 1, 0, draws, kernel, state)
    while True:
        overhead, _, _ = run(case, 1, 0, 1, kernel, state)
        used, _, mcmc = run(case, 1, 0, draws, kernel, state)
        steps = int(np.sum(mcmc.get_extra_fields()["num_steps"]))
        net, wanted = used - overhead, max(request.seconds, 2 * overhead)
        if net > wanted:
            return {"leapfrog": net / steps * 1e6, "steps": steps}
        draws = int(draws * min(max(1.3 * wanted / max(net, 1e-6), 2), 20))


def sampling(request: Request) -> dict[str, Any]:
    """A whole run of several chains, one after another; what a tiny run costs, first and again, is compiling."""
    case, options = load_case(request), {"num_chains": request.chains, "chain_method": "sequential"}
    first, first_wall, _ = run(case, 0, 2, 2, **options)
    used, wall, mcmc = run(case, request.seed, request.warmup, request.samples, **options)
    steps = int(np.sum(mcmc.get_extra_fields()["num_steps"]))
    np.savez(request.draws, **{k: np.asarray(v) for k, v in mcmc.get_samples(group_by_chain=True).items()})
    again, again_wall, _ = run(case, 1, 2, 2, **options)
    return {
        "compile": first,
        "compile_wall": first_wall,
        "cpu": used - again,
        "wall": wall - again_wall,
        "steps": steps,
    }


def bare(request: Request) -> dict[str, Any]:
    """The limit: leapfrog steps without a sampler."""
    from benchmarks.bare import microseconds_per_leapfrog

    return {"leapfrog": microseconds_per_leapfrog(request.case, load_case(request).args, request.seconds)}


if __name__ == "__main__":
    measures = {"compiling": compiling, "leapfrog": leapfrog, "sampling": sampling, "bare": bare}
    serve(f"numpyro {numpyro.__version__}", measures)
