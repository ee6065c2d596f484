"""Ensembles leave the product of their chains' targets as it is: every half, every component, and all of them jointly.

Targets are maps of standard normal numbers, so draws are exact; many small ensembles start from them, and after some
iterations the numbers mapped back must be standard normal in each chain, and chains of an ensemble independent. Keys
are fixed; each bound fails for 1 key in 10^5.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from numpyro.infer import AIES, ESS
from numpyro.infer.ensemble import EnsembleSamplerState

ERROR_RATE = 1e-5
ENSEMBLES, CHAINS = 3000, 4
MANY, FEW = 30, 3


def to_normal(z):
    """A banana: its scales differ, and its components are not independent."""
    return jnp.stack([z[0] / 10.0, z[1] - z[0] ** 2 / 100.0])


def from_normal(u):
    return np.stack([10.0 * u[..., 0], u[..., 1] + u[..., 0] ** 2], -1)


def potential(z):
    return 0.5 * jnp.sum(to_normal(z) ** 2)


def after_steps(kernel, steps):
    """Standardised positions before and after, of shape ``(ENSEMBLES, CHAINS, 2)``."""
    start = np.random.default_rng(3).normal(size=(ENSEMBLES, CHAINS, 2)).astype(np.float32)
    keys = jax.random.split(jax.random.key(5), ENSEMBLES)

    def run(z, key):
        state = EnsembleSamplerState(z, kernel.init_inner_state(key), key)
        state = jax.lax.scan(lambda state, _: (kernel.sample(state), None), state, length=steps)[0]
        return jax.vmap(to_normal)(state.z)

    return start, np.asarray(jax.jit(jax.vmap(run))(from_normal(start).astype(np.float32), keys))


def p_values(u):
    """By what is tested: distributions of each half and component, and independence of the chains of an ensemble."""
    halves = {"first": u[:, : CHAINS // 2], "second": u[:, CHAINS // 2 :]}
    found = {}
    for half, values in halves.items():
        for component in range(2):
            # one chain of each ensemble at a time: those are independent
            for chain in range(CHAINS // 2):
                found[half, component, chain] = scipy.stats.kstest(values[:, chain, component], "norm").pvalue
        found[half, "both", 0] = scipy.stats.kstest(np.sum(values[:, 0] ** 2, -1), "chi2", (2,)).pvalue
        found[half, "variance"] = scipy.stats.kstest(np.sum(values**2, (1, 2)), "chi2", (CHAINS,)).pvalue
        for component in range(2):
            spread = np.sum((values[..., component] - values[..., component].mean(1, keepdims=True)) ** 2, 1)
            found[half, component, "spread"] = scipy.stats.kstest(spread, "chi2", (CHAINS // 2 - 1,)).pvalue
    for component in range(2):
        for name, f in (("value", lambda x: x), ("size", np.abs)):
            between = f(u[:, 0, component]), f(u[:, -1, component])
            found["between", component, name] = scipy.stats.pearsonr(*between).pvalue
            within = f(u[:, 0, component]), f(u[:, 1, component])
            found["within", component, name] = scipy.stats.pearsonr(*within).pvalue
    return found


DIFFERENCES = {AIES.DEMove(sigma=0.3, g0=0.5): 1.0}
KERNELS = {
    "AIES, differences": lambda: AIES(potential_fn=potential, moves=DIFFERENCES),
    "AIES, stretch": lambda: AIES(potential_fn=potential, moves={AIES.StretchMove(a=3.0): 1.0}),
    "AIES, mixture": lambda: AIES(
        potential_fn=potential, randomize_split=True, moves={AIES.StretchMove(): 0.3, AIES.DEMove(g0=0.8): 0.7}
    ),
    "ESS, differences": lambda: ESS(potential_fn=potential),
    "ESS, random": lambda: ESS(potential_fn=potential, moves={ESS.RandomMove(): 1.0}, randomize_split=False),
    "ESS, normal": lambda: ESS(potential_fn=potential, moves={ESS.GaussianMove(): 1.0}, init_mu=0.3),
    "ESS, density estimate": lambda: ESS(potential_fn=potential, moves={ESS.KDEMove(): 0.5, ESS.KDEMove(0.5): 0.5}),
    # limits that bite: an interval of one step, and chains that stay where they are
    "ESS, short": lambda: ESS(potential_fn=potential, init_mu=0.05, max_steps=3, max_iter=2),
}


SLOW = ["ESS, random", "ESS, normal", "ESS, density estimate", "ESS, short", "AIES, mixture"]


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in KERNELS])
def test_exact_draws_stay_exact(name):
    start, after = after_steps(KERNELS[name](), MANY if name.startswith("AIES") else FEW)
    assert np.mean(np.any(after != start, -1)) > 0.5
    bad = {what: p for what, p in p_values(after).items() if p < ERROR_RATE}
    assert not bad


class AgainstItself(AIES):
    """A mistake that leaves all means right: the second half moves along differences of its own chains."""

    def _advance(self, walkers, order_key, inner):
        half = walkers.z.shape[0] // 2
        first, second = (type(walkers)(*(leaf[part] for leaf in walkers)) for part in (slice(half), slice(half, None)))
        first, inner = self.update_active_chains(first, second.z, inner)
        second, inner = self.update_active_chains(second, second.z, inner)
        return jax.tree.map(lambda *halves: jnp.concatenate(halves), first, second), inner


class OfBefore(AIES):
    """Another: the second half moves given where the first was, not where it is."""

    def _advance(self, walkers, order_key, inner):
        half = walkers.z.shape[0] // 2
        first, second = (type(walkers)(*(leaf[part] for leaf in walkers)) for part in (slice(half), slice(half, None)))
        before = first.z
        first, inner = self.update_active_chains(first, second.z, inner)
        second, inner = self.update_active_chains(second, before, inner)
        return jax.tree.map(lambda *halves: jnp.concatenate(halves), first, second), inner


@pytest.mark.parametrize("mistaken", [AgainstItself, OfBefore])
def test_halves_that_are_moved_wrongly_are_found_out(mistaken):
    _, after = after_steps(mistaken(potential_fn=potential, moves=DIFFERENCES), MANY)
    assert min(p_values(after).values()) < ERROR_RATE
