"""Runs with stores, for tests to begin, to go on with, and to compare."""

from __future__ import annotations

import hashlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import numpyro
import numpyro.distributions as dist
from numpyro.infer import MCMC, NUTS

METHODS = ["sequential", "parallel", "vectorized"]
KEY = jax.random.key(3)
Y = np.array([0.5, 1.0, -0.3], np.float32)
FIELDS = ("num_steps", "z_grad", "rng_key")


def model(y):
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0).expand([3]).to_event(1))
    numpyro.deterministic("group/twice", 2 * mu)
    numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)


def prepare(store=None, kernel=None, num_chains=2, method="sequential", num_samples=60, **settings):
    return MCMC(
        kernel or NUTS(model),
        num_warmup=30,
        num_samples=num_samples,
        num_chains=num_chains,
        chain_method=method,
        progress_bar=False,
        progress_rate=7,
        store=store,
        **settings,
    )


def resume(store, kernel=None, y=Y, **settings):
    return MCMC.resume(store, kernel or NUTS(model), y, progress_bar=False, **settings)


def drawn(mcmc):
    """All that a run recorded, as NumPy arrays."""
    mcmc.transfer_states_to_host()
    tree = {"draws": mcmc.get_samples(group_by_chain=True), "extra": mcmc.get_extra_fields(group_by_chain=True)}
    is_key = lambda leaf: jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.tree.map(lambda leaf: np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf), tree)


def assert_same(actual, expected):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


def contents(store):
    return {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(Path(store).rglob("*")) if p.is_file()}
