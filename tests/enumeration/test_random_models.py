"""Random models with plates, chains and loops: densities, gradients, marginals and modes against all assignments."""

from __future__ import annotations

import contextlib
import itertools
from math import prod
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from numpyro._errors import UsageError
from numpyro.contrib.control_flow import scan
from numpyro.contrib.funsor import config_enumerate, enum, infer_discrete, log_density, markov
from numpyro.infer.util import log_density as log_joint

PLATES = {"a": (2, -1), "b": (2, -2)}
STEPS = 3


class Node(NamedTuple):
    """A site: its kind, the plates that it stands in, the number of its values, and the sites that it depends on."""

    kind: str  # "latent", "observed", "chain" (a Python loop) or "scan"
    plates: tuple[str, ...]
    size: int
    parents: tuple[int, ...]


@st.composite
def graphs(draw):
    nodes: list[Node] = []
    for _ in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["latent", "latent", "observed", "chain", "scan"]))
        plates = draw(st.sampled_from([(), ("a",), ("b",), ("a", "b")]))
        latent = [i for i, n in enumerate(nodes) if n.kind == "latent" and set(n.plates) <= set(plates)]
        parents = draw(st.lists(st.sampled_from(latent), unique=True, max_size=2)) if latent else []
        nodes.append(Node(kind, plates, draw(st.integers(2, 3)), tuple(parents)))
    return nodes


def cells(node):
    entries = prod(PLATES[name][0] for name in node.plates)
    return {"latent": 1, "observed": 0, "chain": STEPS, "scan": STEPS}[node.kind] * entries


def model_of(nodes):
    rng = np.random.default_rng(sum(len(n.parents) + 7 * n.size for n in nodes))
    tables = []
    for node in nodes:
        shape = [nodes[i].size for i in node.parents] + ([node.size] if node.kind in ("chain", "scan") else [])
        tables.append(jnp.asarray(rng.normal(size=[*shape, node.size])))

    def model(strength):
        values = {}
        for i, (node, table) in enumerate(zip(nodes, tables, strict=True)):
            given = tuple(values[parent] for parent in node.parents)
            with contextlib.ExitStack() as stack:
                for name in node.plates:
                    stack.enter_context(numpyro.plate(name, PLATES[name][0], dim=PLATES[name][1]))
                if node.kind == "latent":
                    values[i] = numpyro.sample(f"z{i}", dist.Categorical(logits=strength * table[given]))
                elif node.kind == "observed":
                    numpyro.sample(f"y{i}", dist.Normal(strength * (sum(given) + 0.0), 1.0), obs=0.7)
                elif node.kind == "chain":
                    x = jnp.array(0)
                    for t in markov(range(STEPS)):
                        x = numpyro.sample(f"x{i}_{t}", dist.Categorical(logits=strength * table[(*given, x)]))
                        numpyro.sample(f"y{i}_{t}", dist.Normal(strength * x, 1.0), obs=0.3 * t)
                else:
                    rank = max((-PLATES[name][1] for name in node.plates), default=0)
                    shape = [1] * rank
                    for name in node.plates:
                        shape[PLATES[name][1]] = PLATES[name][0]

                    def step(x, y, i=i, given=given, table=table):
                        x = numpyro.sample(f"x{i}", dist.Categorical(logits=strength * table[(*given, x)]))
                        numpyro.sample(f"y{i}", dist.Normal(strength * x, 1.0), obs=y)
                        return x, None

                    scan(step, jnp.zeros(shape, int), 0.3 * np.arange(STEPS))

    return model


def latent_sites(model):
    """Shapes, and numbers of values, of the latent sites; nothing is drawn."""
    found = {}

    def run():
        with handlers.trace() as sites, handlers.seed(rng_seed=0):
            model(1.0)
        for name, site in sites.items():
            if site["type"] == "sample" and not site["is_observed"]:
                found[name] = np.shape(site["value"]), site["fn"].enumerate_support(expand=False).shape[0]

    jax.eval_shape(run)
    return found


def check(nodes):
    if not 0 < sum(map(cells, nodes)) <= 9:
        return False
    model = model_of(nodes)
    enumerated = enum(config_enumerate(model), first_available_dim=-3)
    marginal = lambda strength: log_density(enumerated, (strength,), {}, {})[0]
    try:
        found, gradient = jax.jit(jax.value_and_grad(marginal))(1.3)
    except UsageError as error:
        assert "exactly" in str(error)  # plates that cross
        return False
    latent = latent_sites(model)
    spaces = [itertools.product(range(size), repeat=prod(shape)) for shape, size in latent.values()]
    assignments = list(itertools.product(*spaces))
    values = {
        name: np.array([a[i] for a in assignments]).reshape(-1, *shape)
        for i, (name, (shape, _)) in enumerate(latent.items())
    }

    def all_weights(strength):
        return jax.vmap(lambda given: log_joint(model, (strength,), {}, given)[0])(values)

    exact = lambda strength: jax.nn.logsumexp(all_weights(strength))
    expected, expected_gradient = jax.jit(jax.value_and_grad(exact))(1.3)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-8, atol=1e-8)

    if sum(map(cells, nodes)) % 3:  # the way back takes longer, and is taken for a third of the models
        return True

    def inferred(temperature, key):
        trace = handlers.trace(infer_discrete(config_enumerate(model), -3, temperature, key)).get_trace(1.3)
        return {name: trace[name]["value"] for name in latent}

    mode = jax.jit(lambda: inferred(0, None))()
    weights = np.asarray(all_weights(1.3))
    np.testing.assert_allclose(log_joint(model, (1.3,), {}, mode)[0], weights.max(), rtol=1e-10, atol=1e-10)
    draws = jax.jit(jax.vmap(lambda key: inferred(1, key)))(jax.random.split(jax.random.key(0), 1000))
    probs = np.exp(weights - weights.max())
    probs /= probs.sum()
    for name in latent:
        marginals = probs @ (values[name].reshape(len(probs), -1) == 1)
        observed = np.mean(np.asarray(draws[name]).reshape(1000, -1) == 1, 0)
        # Six standard errors and the size of one draw: fails once in millions of marginals.
        assert np.all(np.abs(observed - marginals) <= 6 * np.sqrt(marginals * (1 - marginals) / 1000) + 1e-3)
    return True


def run(count, key):
    tested = 0

    @seed(key)
    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=[*HealthCheck])
    @given(graphs())
    def test(nodes):
        nonlocal tested
        with jax.enable_x64(True):
            tested += check(nodes)
        if tested % 25 == 0:
            jax.clear_caches()

    test()
    return tested


def test_some_random_models():
    assert run(12, 0) >= 4


@pytest.mark.slow
@pytest.mark.parametrize("key", range(1, 11))
def test_many_random_models(key):
    """More than 500 in all."""
    assert run(230, key) >= 50
