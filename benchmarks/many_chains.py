"""What many chains cost and are worth that advance together: NUTS in step, NUTS at own pace, and ChEES.

::

    python -m benchmarks.many_chains --models "eight schools" radon --chains 64 256

Everything is counted in evaluations of the gradient for all chains at once, which on an accelerator is what takes time,
so that figures do not depend on the machine. An iteration of NUTS in step costs the sum over doublings of the largest
number of leaves of any chain; at own pace all iterations cost the steps of the chain that has most; ChEES takes as many
steps in every chain. Effective draws are those of the worst scalar, the smaller of bulk and tail.
"""

from __future__ import annotations

import argparse
from typing import Any

import jax
import numpy as np

from benchmarks.models import CASES, Case
from numpyro.diagnostics import bulk_effective_sample_size, rank_normalized_r_hat, tail_effective_sample_size
from numpyro.infer import MCMC, NUTS, ChEES

WARMUP, DRAWS = 500, 256
KERNELS = {
    "NUTS": NUTS,
    "NUTS, pooled": lambda model: NUTS(model, adaptation="fisher", pooled_adaptation=True),
    "ChEES": ChEES,
}


def in_step(steps: np.ndarray) -> int:
    """The rounds of chains that wait for each other at the end of each doubling.

    :param steps: the leapfrog steps of each trajectory, of shape ``(chains, iterations)``.
    """
    rounds, begun, doubling = 0, 0, 1
    while np.any(steps > begun):
        rounds += int(np.clip(steps - begun, 0, doubling).max(0).sum())
        begun, doubling = begun + doubling, 2 * doubling
    return rounds


def own_pace(steps: np.ndarray) -> int:
    """The rounds until the last chain has its draws."""
    return int(steps.sum(1).max())


def measure(name: str, case: Case, num_chains: int, seed: int) -> list[tuple[str, dict[str, float]]]:
    """The figures of one run, by pace."""
    mcmc = MCMC(
        KERNELS[name](case.model),
        num_warmup=WARMUP,
        num_samples=DRAWS,
        num_chains=num_chains,
        chain_method="vectorized",
        progress_bar=False,
    )

    def steps() -> np.ndarray:
        return np.asarray(mcmc.get_extra_fields(group_by_chain=True)["num_steps"])

    key = jax.random.key(seed)
    mcmc.warmup(key, *case.args, extra_fields=("num_steps",), collect_warmup=True)
    warmup_steps = steps()
    mcmc.run(jax.random.fold_in(key, 1), *case.args, extra_fields=("num_steps",))
    scalars = [np.asarray(value, np.float64) for value in mcmc.get_samples(group_by_chain=True).values()]
    effective = min(
        float(np.min(size(value)))
        for value in scalars
        for size in (bulk_effective_sample_size, tail_effective_sample_size)
    )
    shared: dict[str, Any] = {
        "effective": effective / (num_chains * DRAWS),
        "r_hat": max(float(np.max(rank_normalized_r_hat(value))) for value in scalars),
        "divergences": float(np.sum(mcmc.get_extra_fields()["diverging"])),
        "mean": float(steps().mean()),
    }
    if name == "ChEES":
        paces = {"": lambda steps: int(steps[0].sum())}
    elif "pooled" in name:
        paces = {", in step": in_step}  # chains that pool their adaptation are at the same iteration
    else:
        paces = {", in step": in_step, ", own pace": own_pace}
    return [
        (
            name + pace,
            shared
            | {
                "rounds": rounds(steps()) / DRAWS,
                "warmup": rounds(warmup_steps),
                "worth": effective / rounds(steps()),
            },
        )
        for pace, rounds in paces.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", choices=list(CASES), default=["eight schools", "radon"])
    parser.add_argument("--chains", nargs="+", type=int, default=[64, 256])
    parser.add_argument("--kernels", nargs="+", choices=list(KERNELS), default=list(KERNELS))
    parser.add_argument("--seeds", type=int, default=3, help="runs, of whose figures the medians are printed")
    options = parser.parse_args()
    print(
        "| model | chains | kernel | gradients of a chain, a draw | batched gradients, a draw | effective, of a draw | "
        "effective draws a batched gradient | batched gradients of warm-up | divergences | r_hat |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for model in options.models:
        for num_chains in options.chains:
            for name in options.kernels:
                runs = [measure(name, CASES[model](), num_chains, seed) for seed in range(options.seeds)]
                for same in zip(*runs):
                    found = {key: float(np.median([figures[key] for _, figures in same])) for key in same[0][1]}
                    print(
                        f"| {model} | {num_chains} | {same[0][0]} | {found['mean']:.1f} | {found['rounds']:.1f} | "
                        f"{found['effective']:.2f} | {found['worth']:.2f} | {found['warmup']:.0f} | "
                        f"{found['divergences']:.0f} | {found['r_hat']:.3f} |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
