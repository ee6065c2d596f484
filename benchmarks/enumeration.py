"""What it costs to sum discrete sites out, here and in NumPyro with funsor, on four models.

::

    python -m benchmarks.enumeration --peer /path/to/environment

Each measurement is a process of its own, ours and the peer's in turn. Figures are CPU time: of tracing the log density
with its gradient from nothing, of compiling it, and of one evaluation; the least of several rounds.
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
from typing import Any

CASES = ("mixture", "annotation", "hidden markov", "factorial")
FIGURES = ("trace", "compile", "gradient")


def _models() -> dict[str, tuple[Callable, tuple]]:
    import jax.numpy as jnp
    import numpy as np

    import numpyro
    import numpyro.distributions as dist
    from numpyro.contrib.control_flow import scan

    rng = np.random.default_rng(0)

    def mixture(data: Any) -> None:
        weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(10)))
        locs = numpyro.sample("locs", dist.Normal(0, 3).expand([10]).to_event(1))
        scale = numpyro.sample("scale", dist.LogNormal(0, 1))
        with numpyro.plate("data", data.shape[0]):
            z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
            numpyro.sample("x", dist.Normal(locs[z], scale), obs=data)

    def annotation(positions: Any, labels: Any) -> None:
        with numpyro.plate("annotator", 5, dim=-2), numpyro.plate("class", 4):
            beta = numpyro.sample("beta", dist.Dirichlet(jnp.ones(4)))
        pi = numpyro.sample("pi", dist.Dirichlet(jnp.ones(4)))
        with numpyro.plate("item", labels.shape[0], dim=-2):
            c = numpyro.sample("c", dist.Categorical(pi), infer={"enumerate": "parallel"})
            with numpyro.plate("position", 5):
                numpyro.sample("y", dist.Categorical(beta[positions, c, :]), obs=labels)

    def hidden_markov(data: Any) -> None:
        with numpyro.plate("state", 16):
            p = numpyro.sample("p", dist.Dirichlet(jnp.ones(16)))
        locs = numpyro.sample("locs", dist.Normal(0, 3).expand([16]).to_event(1))

        def step(x: Any, y: Any) -> tuple[Any, None]:
            x = numpyro.sample("x", dist.Categorical(p[x]), infer={"enumerate": "parallel"})
            numpyro.sample("y", dist.Normal(locs[x], 1.0), obs=y)
            return x, None

        scan(step, 0, data)

    def factorial(data: Any) -> None:
        with numpyro.plate("state", 4):
            p = numpyro.sample("p", dist.Dirichlet(jnp.ones(4)))
            q = numpyro.sample("q", dist.Dirichlet(jnp.ones(4)))
        locs = numpyro.sample("locs", dist.Normal(0, 3).expand([4, 4, 8]).to_event(3))

        def step(carry: Any, y: Any) -> tuple[Any, None]:
            w = numpyro.sample("w", dist.Categorical(p[carry[0]]), infer={"enumerate": "parallel"})
            x = numpyro.sample("x", dist.Categorical(q[carry[1]]), infer={"enumerate": "parallel"})
            with numpyro.plate("tones", 8):
                numpyro.sample("y", dist.Normal(locs[w, x, jnp.arange(8)], 1.0), obs=y)
            return (w, x), None

        scan(step, (0, 0), data)

    labels = jnp.asarray(rng.integers(0, 4, size=(500, 5)))
    return {
        "mixture": (mixture, (jnp.asarray(rng.normal(size=10_000)),)),
        "annotation": (annotation, (jnp.tile(jnp.arange(5), (500, 1)), labels)),
        "hidden markov": (hidden_markov, (jnp.asarray(rng.normal(size=1000)),)),
        "factorial": (factorial, (jnp.asarray(rng.normal(size=(200, 8))),)),
    }


def measure(case: str) -> dict[str, float]:
    """The figures of a model in the environment that this runs in."""
    import jax

    from numpyro.infer.util import initialize_model

    model, args = _models()[case]
    info = initialize_model(jax.random.PRNGKey(0), model, model_args=args, dynamic_args=True)
    z = info.param_info.z
    program = jax.jit(jax.value_and_grad(lambda z, *args: info.potential_fn(*args)(z)))
    traces = []
    for _ in range(3):
        jax.clear_caches()
        start = time.process_time()
        traced = program.trace(z, *args)
        traces.append(time.process_time() - start)
    start = time.process_time()
    compiled = traced.lower().compile()
    compile_time = time.process_time() - start
    jax.block_until_ready(compiled(z, *args))
    rounds = []
    for _ in range(8):
        start = time.process_time()
        for _ in range(10):
            jax.block_until_ready(compiled(z, *args))
        rounds.append((time.process_time() - start) / 10)
    return {"trace": min(traces), "compile": compile_time, "gradient": min(rounds)}


def _measure_in(python: str, case: str, path: str) -> dict[str, float]:
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": path}
    command = [python, str(Path(__file__).resolve()), "--case", case]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(result.stdout.splitlines()[-1])


def main() -> None:
    """Print a table of ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", help="an environment with NumPyro and funsor")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--case", choices=CASES, help="measure one model here, and print its figures")
    options = parser.parse_args()
    if options.case:
        print(json.dumps(measure(options.case)))
        return
    root = str(Path(__file__).resolve().parent.parent)
    print("| model | " + " | ".join(f"{figure} | NumPyro | ratio" for figure in FIGURES) + " |")
    print("|---" * (1 + 3 * len(FIGURES)) + "|")
    for case in CASES:
        ours, peers = [], []
        for _ in range(options.rounds):
            ours.append(_measure_in(sys.executable, case, root))
            if options.peer:
                peers.append(_measure_in(f"{options.peer}/bin/python", case, ""))
        cells = []
        for figure in FIGURES:
            own = min(found[figure] for found in ours)
            other = min((found[figure] for found in peers), default=float("nan"))
            cells.append(f"{own * 1e3:.3g} ms | {other * 1e3:.3g} ms | {own / other:.2f}")
        print(f"| {case} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
