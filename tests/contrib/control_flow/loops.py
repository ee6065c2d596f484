"""A state space model written twice: with scan, and with a Python loop whose sites have a name for each step."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.contrib.control_flow import scan
from numpyro.infer.util import log_density

LENGTH = 4
ROWS = 3
DATA = np.array([0.5, -1.0, 2.0, 0.25], np.float32)


def body(suffix, wrap=lambda fn: fn):
    """The body of the model; ``suffix(t)`` comes after the names of its sites."""

    def step(carry, inputs):
        t, obs = inputs
        end = suffix(t)

        def statements():
            drift = numpyro.param("drift", 0.5)
            with numpyro.plate("rows", ROWS):
                z = numpyro.sample(f"z{end}", dist.Normal(0.9 * carry + drift, 1.5))
            s = numpyro.sample(f"s{end}", dist.LogNormal(0.1 * carry[0], 0.5))
            numpyro.factor(f"f{end}", -0.1 * s**2)
            total = numpyro.deterministic(f"total{end}", z.sum())
            numpyro.sample(f"y{end}", dist.Normal(total, s), obs=obs)
            return z, s

        return wrap(statements)()

    return step


def by_scan(data=DATA, wrap=lambda fn: fn):
    steps = np.arange(LENGTH)
    return scan(body(lambda t: "", wrap), np.zeros(ROWS, np.float32), (steps, data))


def by_python(data=DATA, wrap=lambda fn: fn):
    step, carry, outputs = body(lambda t: f"_{t}", wrap), np.zeros(ROWS, np.float32), []
    for t in range(LENGTH):
        carry, y = step(carry, (t, None if data is None else data[t]))
        outputs.append(y)
    return carry, jnp.stack(outputs)


def per_step(values):
    """Values of the scan's sites by the names of the loop's."""
    return {f"{name}_{t}": value[t] for name, value in values.items() for t in range(LENGTH)}


VALUES = {
    "z": np.random.default_rng(0).normal(size=(LENGTH, ROWS)).astype(np.float32),
    "s": np.random.default_rng(1).uniform(0.5, 2, size=LENGTH).astype(np.float32),
}


def densities(handler, values=VALUES, **options):
    """The log densities of both models under a handler (a function that wraps a model)."""
    both = []
    for model, given in ((by_scan, values), (by_python, per_step(values))):
        seeded = handlers.seed(handler(model), rng_seed=0)
        both.append(float(log_density(seeded, (), options, given)[0]))
    return both
