"""TraceEnum_ELBO against the bound summed over all assignments."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.contrib.control_flow import scan
from numpyro.contrib.funsor import config_kl, enum, log_density
from numpyro.infer import SVI, TraceEnum_ELBO
from numpyro.infer.autoguide import AutoNormal
from numpyro.infer.util import log_density as log_joint

ENUMERATED = {"enumerate": "parallel"}
DATA = np.array([0.2, 1.5])
SPACES = {
    "a": [np.array(value) for value in range(2)],
    "b": [np.array(value) for value in itertools.product(range(3), repeat=2)],
    "c": [np.array(value) for value in itertools.product(range(2), repeat=2)],
}
PARAMS = {"q": np.array(0.4), "r": np.array([[0.1, -0.3, 0.4], [0.2, 0.5, -0.1]])}


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def model(data):
    a = numpyro.sample("a", dist.Bernoulli(0.3), infer=ENUMERATED)
    with numpyro.plate("n", 2):
        b = numpyro.sample("b", dist.Categorical(jnp.array([[0.2, 0.5, 0.3], [0.6, 0.2, 0.2]])[a]), infer=ENUMERATED)
        c = numpyro.sample("c", dist.Bernoulli(0.2 + 0.2 * b), infer=ENUMERATED)
        numpyro.sample("x", dist.Normal(b + a - c, 1.0), obs=data)


def guide_of(*enumerated, infer=ENUMERATED):
    def guide(data):
        q = numpyro.param("q", 0.4)
        r = numpyro.param("r", jnp.zeros((2, 3)))
        a = numpyro.sample("a", dist.Bernoulli(q), infer=infer)
        if "b" in enumerated:
            with numpyro.plate("n", 2):
                numpyro.sample("b", dist.Categorical(logits=r[a]), infer=ENUMERATED)

    return guide


def bound(guide, names, params):
    """The negative bound, by a sum over all assignments."""
    rest = [name for name in SPACES if name not in names]
    total = 0.0
    for values in itertools.product(*(SPACES[name] for name in names)):
        z = dict(zip(names, values, strict=True))
        log_q = log_joint(guide, (DATA,), {}, params | z)[0]
        others = itertools.product(*(SPACES[name] for name in rest))
        log_p = jax.nn.logsumexp(
            jnp.stack([log_joint(model, (DATA,), {}, z | dict(zip(rest, w, strict=True)))[0] for w in others])
        )
        total += jnp.exp(log_q) * (log_p - log_q)
    return -total


@pytest.mark.parametrize("names", [("a",), ("a", "b")], ids=str)
def test_value_and_gradient_are_those_of_all_assignments(names):
    guide = guide_of(*names)
    elbo = TraceEnum_ELBO()
    loss = lambda params: elbo.loss(jax.random.key(0), params, model, guide, DATA)
    value, gradient = jax.value_and_grad(loss)(PARAMS)
    expected, expected_gradient = jax.value_and_grad(lambda params: bound(guide, names, params))(PARAMS)
    np.testing.assert_allclose(value, expected, rtol=1e-10)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10), gradient, expected_gradient)
    np.testing.assert_allclose(
        TraceEnum_ELBO(max_plate_nesting=3).loss(jax.random.key(0), PARAMS, model, guide, DATA), expected, rtol=1e-10
    )
    np.testing.assert_allclose(
        TraceEnum_ELBO().loss(jax.random.key(0), PARAMS, config_kl(model, sites=["a"]), guide, DATA),
        expected,
        rtol=1e-10,
    )


def test_an_empty_guide_gives_the_evidence():
    loss = TraceEnum_ELBO().loss(jax.random.key(0), {}, model, lambda data: None, DATA)
    evidence, _ = log_density(enum(model, first_available_dim=-2), (DATA,), {}, {})
    np.testing.assert_allclose(loss, -evidence, rtol=1e-12)


def test_the_exact_posterior_as_guide_gives_the_evidence():
    def coin(x):
        z = numpyro.sample("z", dist.Bernoulli(0.3), infer=ENUMERATED)
        numpyro.sample("x", dist.Normal(z, 1.0), obs=x)

    def guide(x):
        odds = 3 / 7 * jnp.exp(dist.Normal(1.0, 1.0).log_prob(x) - dist.Normal(0.0, 1.0).log_prob(x))
        numpyro.sample("z", dist.Bernoulli(odds / (1 + odds)), infer=ENUMERATED)

    evidence, _ = log_density(enum(coin), (0.7,), {}, {})
    np.testing.assert_allclose(TraceEnum_ELBO().loss(jax.random.key(0), {}, coin, guide, 0.7), -evidence, rtol=1e-10)


def test_draws_that_are_not_enumerated_count_by_their_scores():
    sampled, summed = guide_of("a", infer={}), guide_of("a")

    def hidden(data):
        with handlers.infer_config(config_fn=lambda site: {"enumerate": None} if site["name"] == "a" else {}):
            model(data)

    loss = lambda key, q: TraceEnum_ELBO().loss(key, {"q": q}, hidden, sampled, DATA)
    values, gradients = jax.vmap(jax.value_and_grad(loss, 1), (0, None))(jax.random.split(jax.random.key(1), 4000), 0.4)
    exact = jax.value_and_grad(lambda q: TraceEnum_ELBO().loss(jax.random.key(0), {"q": q}, model, summed, DATA))(0.4)
    for found, expected in zip((values, gradients), exact, strict=True):
        # Five standard errors: fails once in a million keys.
        assert abs(found.mean() - expected) < 5 * found.std() / np.sqrt(found.size)


def test_chains_in_the_guide():
    def chain(data):
        x = 0
        for t in numpyro.contrib.funsor.markov(range(3)):
            x = numpyro.sample(f"x{t}", dist.Bernoulli(jnp.array([0.2, 0.7])[x]), infer=ENUMERATED)
            y = numpyro.sample(f"y{t}", dist.Bernoulli(0.3), infer=ENUMERATED)
            numpyro.sample(f"o{t}", dist.Normal(x + y, 1.0), obs=data[t])

    def guide(data):
        x = 0
        for t in numpyro.contrib.funsor.markov(range(3)):
            q = numpyro.param(f"q{t}", jnp.array([0.3, 0.6]))
            x = numpyro.sample(f"x{t}", dist.Bernoulli(q[x]), infer=ENUMERATED)

    data = np.array([0.1, 1.2, 0.8])
    loss = TraceEnum_ELBO().loss(jax.random.key(0), {}, chain, guide, data)
    total = 0.0
    for xs in itertools.product((0, 1), repeat=3):
        z = {f"x{t}": x for t, x in enumerate(xs)}
        log_q = log_joint(guide, (data,), {}, z)[0]
        log_p = log_density(enum(handlers.condition(chain, data=z)), (data,), {}, {})[0]
        total += np.exp(log_q) * (log_p - log_q)
    np.testing.assert_allclose(loss, -total, rtol=1e-10)


def test_subsamples_are_scaled():
    def mixture(indices):
        weight = numpyro.sample("weight", dist.Beta(2.0, 2.0))
        with handlers.substitute(data={"n": indices}), numpyro.plate("n", 6, subsample_size=len(indices)) as i:
            z = numpyro.sample("z", dist.Bernoulli(weight), infer=ENUMERATED)
            numpyro.sample("x", dist.Normal(z, 1.0), obs=jnp.arange(6.0)[i] / 3)

    def guide(indices):
        numpyro.sample("weight", dist.Delta(jnp.array(0.3)))
        with handlers.substitute(data={"n": indices}), numpyro.plate("n", 6, subsample_size=len(indices)) as i:
            numpyro.sample("z", dist.Bernoulli(jnp.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])[i]), infer=ENUMERATED)

    loss = lambda indices: TraceEnum_ELBO().loss(jax.random.key(0), {}, mixture, guide, np.array(indices))
    np.testing.assert_allclose((loss([0, 2, 4]) + loss([1, 3, 5])) / 2, loss(range(6)), rtol=1e-10)


def test_svi_learns_a_mixture():
    rng = np.random.default_rng(0)
    data = np.where(rng.random(300) < 0.3, -2.0, 2.0) + 0.5 * rng.normal(size=300)

    def mixture(data):
        weight = numpyro.sample("weight", dist.Beta(1.0, 1.0))
        locs = numpyro.sample("locs", dist.Normal(np.array([-1.0, 1.0]), 3.0).to_event(1))
        with numpyro.plate("n", data.shape[0]):
            z = numpyro.sample("z", dist.Bernoulli(weight), infer=ENUMERATED)
            numpyro.sample("x", dist.Normal(locs[z], 0.5), obs=data)

    guide = AutoNormal(mixture)
    result = SVI(mixture, guide, numpyro.optim.Adam(0.05), TraceEnum_ELBO()).run(
        jax.random.key(0), 500, data, progress_bar=False
    )
    median = guide.median(result.params)
    order = np.argsort(median["locs"])
    np.testing.assert_allclose(median["locs"][order], [-2.0, 2.0], atol=0.2)
    share = np.mean(data > 0)
    assert median["weight"] == pytest.approx(share if order[1] == 1 else 1 - share, abs=0.05)


def hidden_states(data):
    def step(x, y):
        x = numpyro.sample("x", dist.Bernoulli(jnp.array([0.2, 0.7])[x]), infer=ENUMERATED)
        w = numpyro.sample("w", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(x + w, 1.0), obs=y)
        return x, None

    scan(step, 0, data)


def test_loops_of_the_model():
    data, w = np.array([0.1, 1.2, 0.8]), np.array([0.3, -0.2, 0.5])
    guide = lambda data: numpyro.sample("w", dist.Normal(w, 1e-6))
    loss = TraceEnum_ELBO().loss(jax.random.key(0), {}, hidden_states, guide, data)
    exact, _ = log_density(enum(handlers.substitute(hidden_states, data={"w": w})), (data,), {}, {})
    entropy = 3 * 0.5 * (1 + np.log(2 * np.pi * 1e-12))
    # log q of three draws has a standard deviation of 1.2 about minus the entropy.
    assert abs(-loss - exact - entropy) < 6


def test_bad_input():
    with pytest.raises(ValueError, match="max_plate_nesting"):
        TraceEnum_ELBO(max_plate_nesting=-1)
    with pytest.raises(ValueError, match="plate 'n' takes dimension -1"):
        TraceEnum_ELBO(max_plate_nesting=0).loss(jax.random.key(0), PARAMS, model, guide_of("a"), DATA)
