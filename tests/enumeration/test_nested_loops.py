"""Loops in the bodies of loops, both with enumerated sites, against the sum over all assignments."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.contrib.control_flow import scan
from numpyro.contrib.funsor import config_enumerate, enum, infer_discrete, log_density
from numpyro.infer.util import log_density as log_joint
from numpyro.ops.sum_product.chain import time_order
from tests.enumeration.brute_force import assignments, check_sum, weights

DATA = np.arange(6.0).reshape(3, 2) / 3
STAY = np.array([[0.8, 0.2], [0.4, 0.6]])
MIXED = np.array([[[0.7, 0.3], [0.5, 0.5]], [[0.1, 0.9], [0.35, 0.65]]])


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def inner(theta, w, init, ys, **options):
    """A chain whose transitions depend on ``w``."""

    def step(x, y):
        x = numpyro.sample("x", dist.Categorical(logits=theta * jnp.log(MIXED)[w, x]))
        numpyro.sample("y", dist.Normal(x + 0.5 * w, 1.0), obs=y)
        return x, None

    return scan(step, init, ys, **options)[0]


def closed(theta):
    """The inner chain begins anew at each outer step."""

    def step(w, ys):
        w = numpyro.sample("w", dist.Categorical(logits=theta * jnp.log(STAY)[w]))
        inner(theta, w, 0, ys)
        return w, None

    scan(step, 0, DATA)


def only_inner(theta):
    def step(carry, ys):
        inner(theta, 0, 0, ys)
        return carry, None

    scan(step, None, DATA)


def goes_on(theta):
    """The inner chain goes on where it stopped at the outer step before."""

    def step(x, ys):
        return inner(theta, 0, x, ys), None

    x, _ = scan(step, 0, DATA)
    numpyro.sample("end", dist.Normal(theta * x, 1.0), obs=0.4)


def goes_on_with_both(theta):
    def step(carry, ys):
        w = numpyro.sample("w", dist.Categorical(logits=theta * jnp.log(STAY)[carry[0]]))
        x = inner(theta, w, carry[1], ys)
        return (w, x), None

    scan(step, (0, 0), DATA)


def outer_site_after(theta):
    """The outer site depends on the last state of the inner chain, and comes after it."""

    def step(w, ys):
        x = inner(theta, w, 0, ys)
        w = numpyro.sample("w", dist.Categorical(logits=theta * jnp.log(MIXED)[w, x]))
        numpyro.sample("v", dist.Normal(x - w, 1.0), obs=0.3)
        return w, None

    scan(step, 0, DATA)


def starts_from_outer(theta):
    def step(w, ys):
        w = numpyro.sample("w", dist.Categorical(logits=theta * jnp.log(STAY)[w]))
        x = inner(theta, 0, w, ys)
        return x, None

    scan(step, 0, DATA)


def one_inner_step(theta):
    def step(carry, ys):
        w = numpyro.sample("w", dist.Categorical(logits=theta * jnp.log(STAY)[carry[0]]))
        return (w, inner(theta, w, carry[1], ys[:1])), None

    scan(step, (0, 0), DATA)


def one_outer_step(theta):
    def step(carry, ys):
        w = numpyro.sample("w", dist.Categorical(logits=theta * jnp.log(STAY)[carry[0]]))
        return (w, inner(theta, w, carry[1], ys)), None

    _, x = scan(step, (0, 0), DATA.reshape(1, 6)[:, :4])[0]
    numpyro.sample("end", dist.Normal(theta * x, 1.0), obs=0.4)


def reversed_loops(theta):
    def step(carry, ys):
        w = numpyro.sample("w", dist.Categorical(logits=theta * jnp.log(STAY)[carry[0]]))
        return (w, inner(theta, w, carry[1], ys, reverse=True)), None

    scan(step, (0, 0), DATA, reverse=True)


def longer_memory(theta):
    def step(carry, ys):
        def deep(states, y):
            x = numpyro.sample("x", dist.Categorical(logits=theta * jnp.log(MIXED)[states[0], states[1]]))
            numpyro.sample("y", dist.Normal(x, 1.0), obs=y)
            return (x, states[0]), None

        states, _ = scan(deep, (carry, 0), ys, history=2)
        return states[0], None

    scan(step, 0, np.arange(8.0).reshape(2, 4) / 3)


def plates_everywhere(theta):
    with numpyro.plate("n", 2):

        def step(carry, ys):
            w = numpyro.sample("w", dist.Bernoulli(jnp.array([0.2, 0.7])[carry[0]] ** theta))
            return (w, inner(theta, w, carry[1], ys)), None

        scan(step, (jnp.zeros(2, int), jnp.zeros(2, int)), np.arange(8.0).reshape(2, 2, 2) / 3)


def plate_in_the_body(theta):
    def step(w, ys):
        w = numpyro.sample("w", dist.Categorical(logits=theta * jnp.log(STAY)[w]))
        with numpyro.plate("n", 2):
            inner(theta, w, jnp.zeros(2, int), ys)
        return w, None

    scan(step, 0, np.arange(8.0).reshape(2, 2, 2) / 3)


def carries_data(theta):
    """The outer carry holds data, so that its steps run one after the other."""

    def step(carry, ys):
        w = numpyro.sample("w", dist.Categorical(logits=theta * jnp.log(STAY)[carry[0]]))
        x = inner(theta, w, carry[1], ys + 0.1 * carry[2])
        return (w, x, carry[2] + ys.sum()), None

    scan(step, (0, 0, 0.0), DATA)


def outside_variable(theta):
    u = numpyro.sample("u", dist.Categorical(logits=theta * jnp.log(STAY)[0]))

    def step(x, ys):
        numpyro.sample("v", dist.Normal(u, 1.0), obs=ys[0])
        return inner(theta, u, x, ys), None

    scan(step, 0, DATA)


def two_in_one_body(theta):
    def step(carry, ys):
        x = inner(theta, 0, carry, ys)

        def other(v, y):
            v = numpyro.sample("v", dist.Categorical(logits=theta * jnp.log(STAY)[v]))
            numpyro.sample("o", dist.Normal(v, 1.0), obs=y)
            return v, None

        v, _ = scan(other, x, ys)
        return v, None

    scan(step, 0, DATA[:2])


def three_deep(theta):
    def outermost(a, xs):
        def middle(b, ys):
            x = inner(theta, a, b, ys)
            return numpyro.sample("b", dist.Categorical(logits=theta * jnp.log(MIXED)[b, x])), None

        b, _ = scan(middle, a, xs)
        return b, None

    scan(outermost, 0, np.arange(8.0).reshape(2, 2, 2) / 3)


def masks_around(theta):
    def step(carry, inputs):
        ys, keep = inputs
        w = numpyro.sample("w", dist.Categorical(logits=theta * jnp.log(STAY)[carry[0]]))
        with handlers.mask(mask=keep):
            return (w, inner(theta, w, carry[1], ys)), None

    with handlers.scale(scale=0.5):
        scan(step, (0, 0), (DATA, np.array([[True, False], [True, True], [False, True]])))


def masks_around_both(theta):
    def step(carry, ys):
        return inner(theta, 0, carry, ys), None

    with handlers.mask(mask=np.array([[True, False], [True, True], [False, True]])):
        scan(step, 0, DATA)


def unlinked(theta):
    """A variable that only the next step looks at, and that does not depend on its own past."""

    def step(before, y):
        x = numpyro.sample("x", dist.Categorical(logits=theta * jnp.log(STAY)[0]))
        numpyro.sample("y", dist.Normal(theta * before, 1.0), obs=y)
        return x, None

    scan(step, 0, DATA.reshape(-1))


MODELS = [
    closed,
    only_inner,
    goes_on,
    goes_on_with_both,
    outer_site_after,
    starts_from_outer,
    one_inner_step,
    one_outer_step,
    reversed_loops,
    longer_memory,
    plates_everywhere,
    plate_in_the_body,
    carries_data,
    outside_variable,
    two_in_one_body,
    three_deep,
    masks_around,
    masks_around_both,
    unlinked,
]
QUICK = [goes_on_with_both, closed]


@pytest.mark.parametrize(
    "model, order",
    [
        pytest.param(m, order, marks=() if order == "sequential" or m in QUICK else pytest.mark.slow)
        for m in MODELS
        for order in ("sequential", "parallel")
    ],
)
def test_value_and_gradient_are_those_of_the_sum_over_all_assignments(model, order):
    with time_order(order):
        check_sum(model, first_available_dim=-2)


@pytest.mark.parametrize("model", [goes_on_with_both, reversed_loops, plates_everywhere], ids=lambda m: m.__name__)
def test_the_best_paths_and_draws_of_paths(model):
    values, logs = assignments(model, 0.7), weights(model, 0.7)
    marked = config_enumerate(model)
    sites = lambda key, temperature: handlers.trace(
        infer_discrete(marked, first_available_dim=-2, temperature=temperature, rng_key=key)
    ).get_trace(0.7)
    best = {name: sites(None, 0)[name]["value"] for name in values}
    assert {name: np.shape(value) for name, value in best.items()} == {n: v.shape[1:] for n, v in values.items()}
    np.testing.assert_allclose(log_joint(model, (0.7,), {}, best)[0], logs.max(), rtol=1e-10)
    draw = jax.jit(jax.vmap(lambda key: {name: sites(key, 1)[name]["value"] for name in values}))
    draws = draw(jax.random.split(jax.random.key(0), 4000))
    probs = jnp.exp(logs - jax.nn.logsumexp(logs))
    pairs = lambda found: np.concatenate([np.reshape(v, (len(v), -1)) for v in found.values()], 1)
    of_all, of_draws = pairs(values), pairs(draws)
    for statistic in (lambda z: z, lambda z: z[:, 1:] * z[:, :-1], lambda z: z[:, :1] * z):
        mean = probs @ statistic(of_all)
        spread = np.sqrt(mean * (1 - mean) / 4000)
        # Six standard errors: fails once in millions of keys.
        assert np.all(np.abs(statistic(of_draws).mean(0) - mean) < 6 * spread + 1e-9)


def test_each_body_is_traced_a_fixed_number_of_times():
    counts = {"outer": 0, "inner": 0}

    def model(length):
        def step(carry, ys):
            counts["outer"] += 1

            def within(x, y):
                counts["inner"] += 1
                x = numpyro.sample("x", dist.Categorical(jnp.asarray(STAY)[x]))
                numpyro.sample("y", dist.Normal(x, 1.0), obs=y)
                return x, None

            return scan(within, carry, ys)[0], None

        scan(step, 0, np.zeros((length, length)))

    for length in (5, 50):
        jax.make_jaxpr(lambda n=length: log_density(enum(config_enumerate(model)), (n,), {}, {})[0])()
    assert counts == {"outer": 2 * 3, "inner": 2 * 9}
