"""Enumerated sites in loops, against the sum over all assignments."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from numpyro._errors import UsageError
from numpyro.contrib.control_flow import cond, scan
from numpyro.contrib.funsor import config_enumerate, enum, infer_discrete, log_density
from numpyro.infer import MCMC, NUTS, Predictive, init_to_mean
from numpyro.infer.util import log_density as log_joint
from numpyro.ops.sum_product.chain import time_order
from tests.enumeration.test_marginals import over_all_assignments, row

OBSERVED = np.array([0.1, 0.5, 1.9, 0.4])
PAIRS = np.arange(6.0).reshape(3, 2) / 3


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def hidden_step(x, y):
    x = numpyro.sample("x", dist.Categorical(row(x)))
    numpyro.sample("y", dist.Normal(x, 1.0), obs=y)
    return x, None


def chain():
    scan(hidden_step, 0, OBSERVED)


def backwards():
    scan(hidden_step, 0, OBSERVED, reverse=True)


def last_state_is_used():
    x, _ = scan(hidden_step, 0, OBSERVED)
    numpyro.sample("z", dist.Normal(x, 1.0), obs=0.3)


def one_step():
    x, _ = scan(hidden_step, 0, OBSERVED[:1])
    numpyro.sample("z", dist.Normal(x, 1.0), obs=0.3)


def variables_outside_and_within():
    w = numpyro.sample("w", dist.Bernoulli(0.3))

    def step(x, y):
        x = numpyro.sample("x", dist.Categorical(row(x)))
        u = numpyro.sample("u", dist.Bernoulli(0.2 + 0.1 * x))
        numpyro.sample("y", dist.Normal(x + w + u, 1.0), obs=y)
        return x, None

    scan(step, 0, OBSERVED[:3])


def two_steps_back():
    def step(carry, y):
        x = numpyro.sample("x", dist.Categorical((row(carry[0]) + row(carry[1])) / 2))
        numpyro.sample("y", dist.Normal(x, 1.0), obs=y)
        return (x, carry[0]), None

    scan(step, (0, 0), OBSERVED, history=2)


def in_a_plate():
    with numpyro.plate("n", 2):
        scan(hidden_step, jnp.zeros(2, int), PAIRS)


def around_a_plate():
    def step(x, y):
        with numpyro.plate("n", 2):
            return hidden_step(x, y)

    scan(step, jnp.zeros(2, int), PAIRS)


def two_chains():
    def step(carry, y):
        w = numpyro.sample("w", dist.Categorical(row(carry[0])))
        x = numpyro.sample("x", dist.Bernoulli(jnp.array([0.2, 0.7])[carry[1]]))
        with numpyro.plate("k", 2):
            numpyro.sample("y", dist.Normal(w - x, 1.0), obs=y)
        return (w, x), None

    scan(step, (0, 0), np.arange(8.0).reshape(4, 2) / 3)


def carries_data():
    def step(carry, y):
        x = numpyro.sample("x", dist.Categorical(row(carry[0])))
        numpyro.sample("y", dist.Normal(x + 0.5 * carry[1], 1.0), obs=y)
        return (x, y), None

    scan(step, (0, 0.0), OBSERVED)


def without_links():
    def step(carry, y):
        x = numpyro.sample("x", dist.Categorical(row(0)))
        numpyro.sample("y", dist.Normal(x, 1.0), obs=y)
        return carry, None

    scan(step, None, OBSERVED)


def continuous_below():
    def step(x, y):
        x = numpyro.sample("x", dist.Categorical(row(x)))
        w = numpyro.sample("w", dist.Normal(x, 1.0))
        numpyro.sample("y", dist.Normal(w, 1.0), obs=y)
        return x, None

    scan(step, 0, OBSERVED)


def branches():
    def step(x, y):
        x = cond(
            y > 0.45,
            lambda x: numpyro.sample("x", dist.Categorical(row(x))),
            lambda x: numpyro.sample("x", dist.Categorical(row(2 - x))),
            x,
        )
        numpyro.sample("y", dist.Normal(x, 1.0), obs=y)
        return x, None

    scan(step, 0, OBSERVED)


def plates_side_by_side():
    def step(carry, y):
        with numpyro.plate("a", 2):
            w = numpyro.sample("w", dist.Bernoulli(jnp.array([0.2, 0.7])[carry[0]]))
        with numpyro.plate("b", 2):
            x = numpyro.sample("x", dist.Bernoulli(jnp.array([0.4, 0.6])[carry[1]]))
            numpyro.sample("y", dist.Normal(x, 1.0), obs=y)
        return (w, x), None

    scan(step, (jnp.zeros(2, int), jnp.zeros(2, int)), PAIRS)


def events_in_the_carry():
    def step(carry, y):
        z = numpyro.sample("z", dist.Categorical(carry[0] @ row(jnp.arange(3))))
        w = numpyro.sample("w", dist.Categorical(carry[1] @ row(jnp.arange(3))))
        numpyro.sample("y", dist.Normal(z - w, 1.0), obs=y)
        return (jnp.eye(3)[z], jnp.eye(3)[w]), None

    scan(step, (jnp.eye(3)[0], jnp.eye(3)[0]), OBSERVED[:3])


def starts_from_a_variable():
    x, _ = scan(hidden_step, numpyro.sample("first", dist.Categorical(row(0))), OBSERVED[:2])
    numpyro.sample("z", dist.Normal(x, 1.0), obs=0.3)


MODELS = [
    chain,
    backwards,
    last_state_is_used,
    one_step,
    variables_outside_and_within,
    two_steps_back,
    in_a_plate,
    around_a_plate,
    two_chains,
    carries_data,
    without_links,
    continuous_below,
    branches,
    plates_side_by_side,
    events_in_the_carry,
    starts_from_a_variable,
]


def in_both_orders(models, quick):
    """Pairs of a model and an order in time, of which the sequential ones are slow but for the ``quick`` models."""
    return [
        pytest.param(
            model,
            order,
            id=f"{model.__name__}-{order}",
            marks=() if order == "parallel" or model in quick else pytest.mark.slow,
        )
        for model in models
        for order in ("parallel", "sequential")
    ]


@pytest.mark.parametrize("model, order", in_both_orders(MODELS, [chain, one_step, two_steps_back, around_a_plate]))
def test_the_marginal_is_the_sum_over_all_assignments(model, order):
    params = {"w": np.array([0.1, 0.2, 0.3, 0.4])} if model is continuous_below else {}
    with time_order(order):
        found, _ = log_density(enum(config_enumerate(model), first_available_dim=-3), (), {}, params)
    np.testing.assert_allclose(found, over_all_assignments(model, params), rtol=1e-10)


@pytest.mark.parametrize("model, order", in_both_orders([two_steps_back, backwards, in_a_plate], [backwards]))
def test_the_best_path_and_draws_of_paths(model, order):
    shape = (3, 2) if model is in_a_plate else (4,)
    size = int(np.prod(shape))
    paths = jnp.array(list(itertools.product(range(3), repeat=size))).reshape(-1, *shape)
    weights = jax.jit(jax.vmap(lambda path: log_joint(model, (), {}, {"x": path})[0]))(paths)
    with time_order(order):
        best = handlers.trace(infer_discrete(config_enumerate(model), temperature=0)).get_trace()["x"]["value"]
        draw = lambda key: handlers.trace(infer_discrete(config_enumerate(model), rng_key=key)).get_trace()["x"][
            "value"
        ]
        draws = jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(0), 4000))
    assert best.shape == shape
    np.testing.assert_array_equal(best, paths[jnp.argmax(weights)])
    probs = jnp.exp(weights - jax.nn.logsumexp(weights))
    for statistic in (lambda x: x == 1, lambda x: x == 2, lambda x: x[:, 1:] * x[:, :-1]):
        values = statistic(paths).reshape(len(paths), -1)
        mean = probs @ values
        spread = jnp.sqrt(probs @ values**2 - mean**2) / np.sqrt(4000)
        # Six standard errors: fails once in millions of keys.
        assert np.all(np.abs(statistic(draws).reshape(4000, -1).mean(0) - mean) < 6 * spread)


def test_scales_around_and_masks_within_count_once():
    mask = np.array([True, False, True, True])

    def step(x, inputs):
        y, keep = inputs
        with handlers.mask(mask=keep):
            return hidden_step(x, y)

    def model():
        with handlers.scale(scale=0.5):
            scan(step, 0, (OBSERVED, mask))

    found, _ = log_density(enum(config_enumerate(model), first_available_dim=-2), (), {}, {})
    paths = jnp.array(list(itertools.product(range(3), repeat=4)))

    def weight(path):
        before = jnp.concatenate([jnp.zeros(1, int), path[:-1]])
        terms = dist.Categorical(row(before)).log_prob(path) + dist.Normal(path, 1.0).log_prob(OBSERVED)
        return 0.5 * jnp.sum(jnp.where(mask, terms, 0.0))

    np.testing.assert_allclose(found, jax.nn.logsumexp(jax.vmap(weight)(paths)), rtol=1e-10)


def test_nuts_and_predictive_through_a_hidden_chain():
    rng = np.random.default_rng(0)
    states = (np.cumsum(rng.random(60) < 0.1) % 2).astype(int)
    data = np.array([-1.0, 1.0])[states] + 0.3 * rng.normal(size=60)

    def model(data):
        stay = numpyro.sample("stay", dist.Beta(8.0, 2.0))
        locs = numpyro.sample("locs", dist.Normal(np.array([-1.0, 1.0]), 0.5).to_event(1))
        transition = jnp.array([[stay, 1 - stay], [1 - stay, stay]])

        def step(x, y):
            x = numpyro.sample("x", dist.Categorical(transition[x]))
            numpyro.sample("y", dist.Normal(locs[x], 0.3), obs=y)
            return x, None

        scan(step, 0, data)

    mcmc = MCMC(NUTS(model, init_strategy=init_to_mean), num_warmup=150, num_samples=150, progress_bar=False)
    mcmc.run(jax.random.key(0), data)
    np.testing.assert_allclose(mcmc.get_samples()["locs"].mean(0), [-1.0, 1.0], atol=0.2)
    x = Predictive(model, mcmc.get_samples(), infer_discrete=True)(jax.random.key(1), data)["x"]
    assert x.shape == (150, 60)
    assert np.mean(np.round(x.mean(0)) == states) > 0.9


def test_the_body_is_traced_as_often_as_promised():
    count = 0

    def counted(x, y):
        nonlocal count
        count += 1
        return hidden_step(x, y)

    model = enum(config_enumerate(lambda: scan(counted, 0, np.zeros(50))), first_available_dim=-1)
    jax.make_jaxpr(lambda: log_density(model, (), {}, {})[0])()
    assert count == 3  # the first step, what it depends on, and all others


def test_a_history_that_is_too_short_is_named():
    def step(carry, y):
        x = numpyro.sample("x", dist.Categorical((row(carry[0]) + row(carry[1])) / 2))
        numpyro.sample("y", dist.Normal(x, 1.0), obs=y)
        return (x, carry[0]), None

    with pytest.raises(UsageError, match="'x' more than history=1 steps back: set history"):
        log_density(enum(config_enumerate(lambda: scan(step, (0, 0), OBSERVED))), (), {}, {})
