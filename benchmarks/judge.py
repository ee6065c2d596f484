"""What draws are worth: their effective sample size, and whether they agree with a reference."""

from __future__ import annotations

from typing import Any

import numpy as np

from numpyro.diagnostics import bulk_effective_sample_size, rank_normalized_r_hat


def scalars_of(path: str) -> dict[str, np.ndarray]:
    """The draws in a file, each parameter by itself, named as in ``theta[3]`` or ``rows[1,2]``; chains by draws."""
    found = {}
    with np.load(path) as file:
        for name in file:
            value = file[name].astype(np.float64)
            for index in np.ndindex(*value.shape[2:]):
                label = f"{name}[{','.join(str(i + 1) for i in index)}]" if index else name
                found[label] = value[(slice(None), slice(None), *index)]
    return found


def judge(path: str, figures: dict[str, Any], truth: dict[str, dict[str, float]] | None = None) -> dict[str, Any]:
    """Efficiency of draws, and their departure from the reference where there is one.

    :param path: the file of draws.
    :param figures: the worker's, for the CPU time of the run and of compiling.
    :param truth: mean and sd of parameters. Right is: every mean within a tenth of a deviation, every deviation
        within 15 %, and r_hat below 1.02.
    """
    scalars = {label: draws for label, draws in scalars_of(path).items() if draws.std() > 0}
    ess = min(float(bulk_effective_sample_size(draws)) for draws in scalars.values())
    found: dict[str, Any] = {
        "min_ess": ess,
        "ess_compiled": ess / max(figures["cpu"], 1e-6),
        "ess_whole": ess / (max(figures["cpu"], 0.0) + figures["compile"]),
        "r_hat": max(float(rank_normalized_r_hat(draws)) for draws in scalars.values()),
    }
    if truth is not None:
        shared = [label for label in truth if label in scalars]
        off = max(abs(scalars[s].mean() - truth[s]["mean"]) / truth[s]["sd"] for s in shared)
        spread = max(abs(scalars[s].std() / truth[s]["sd"] - 1) for s in shared)
        right = off < 0.1 and spread < 0.15 and found["r_hat"] < 1.02
        found |= {"mean_off": float(off), "spread_off": float(spread), "right": bool(right)}
    return found
