"""Enumerated sites in loops of a guide: the bound against the sum over all assignments."""

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
from numpyro.contrib.control_flow import scan
from numpyro.contrib.funsor import config_kl, enum, log_density
from numpyro.infer import SVI, TraceEnum_ELBO
from numpyro.infer.util import log_density as log_joint

ENUMERATED = {"enumerate": "parallel"}
DATA = np.array([0.1, 1.2, 0.8, 0.3])


def rows(x):
    return jnp.array([[0.8, 0.2], [0.3, 0.7]])[x]


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def model(data, infer=ENUMERATED, shift=0.0):
    def step(x, y):
        x = numpyro.sample("x", dist.Categorical(rows(x)), infer=infer)
        numpyro.sample("y", dist.Normal(x + shift, 1.0), obs=y)
        return x, None

    return scan(step, 0, data)[0]


def with_a_local_variable(data):
    def step(x, y):
        x = numpyro.sample("x", dist.Categorical(rows(x)), infer=ENUMERATED)
        u = numpyro.sample("u", dist.Bernoulli(0.2 + 0.3 * x), infer=ENUMERATED)
        numpyro.sample("y", dist.Normal(x - u, 1.0), obs=y)
        return x, None

    scan(step, 0, data)


def with_a_last_site(data):
    numpyro.sample("end", dist.Normal(model(data), 1.0), obs=0.4)


def with_a_global_variable(data):
    w = numpyro.sample("w", dist.Bernoulli(0.3), infer=ENUMERATED)
    with handlers.scale(scale=0.5):
        model(data, shift=0.5 * w)


def two_steps_back(data):
    def step(carry, y):
        x = numpyro.sample("x", dist.Categorical((rows(carry[0]) + rows(1 - carry[1])) / 2))
        numpyro.sample("y", dist.Normal(x, 1.0), obs=y)
        return (x, carry[0]), None

    scan(step, (0, 0), data, history=2)


def in_a_plate(data):
    def step(x, y):
        with numpyro.plate("n", 2):
            x = numpyro.sample("x", dist.Categorical(rows(x)), infer=ENUMERATED)
            numpyro.sample("y", dist.Normal(x, 1.0), obs=y)
        return x, None

    scan(step, jnp.zeros(2, int), data[:, None] + np.array([0.0, 0.4]))


def mean_field(params, data):
    def step(_, probs):
        numpyro.sample("x", dist.Bernoulli(probs), infer=ENUMERATED)
        return None, None

    scan(step, None, jax.nn.sigmoid(params["local"]))


def chain(params, data):
    def step(x, logits):
        return numpyro.sample("x", dist.Bernoulli(logits=logits[x]), infer=ENUMERATED), None

    scan(step, 0, params["linked"])


def constant_chain(params, data):
    def step(x, _):
        return numpyro.sample("x", dist.Bernoulli(logits=params["linked"][0][x]), infer=ENUMERATED), None

    scan(step, 0, None, length=len(data))


def chain_given_global(params, data):
    w = numpyro.sample("w", dist.Bernoulli(logits=params["local"][0]), infer=ENUMERATED)

    def step(x, logits):
        return numpyro.sample("x", dist.Bernoulli(logits=logits[x] + 0.3 * w), infer=ENUMERATED), None

    scan(step, 0, params["linked"])


def remembers_two(params, data):
    def step(carry, logits):
        x = numpyro.sample("x", dist.Bernoulli(logits=logits[carry[0]] + 0.5 * carry[1]), infer=ENUMERATED)
        return (x, carry[0]), None

    scan(step, (0, 0), params["linked"], history=2)


def plated(params, data):
    def step(x, logits):
        with numpyro.plate("n", 2):
            x = numpyro.sample("x", dist.Bernoulli(logits=logits[x] + jnp.array([0.1, -0.2])), infer=ENUMERATED)
        return x, None

    scan(step, jnp.zeros(2, int), params["linked"])


PARAMS = {
    "local": np.array([0.3, -0.4, 0.8, 0.1]),
    "linked": np.array([[0.2, 0.9], [-0.5, 0.4], [0.1, 0.7], [-0.3, -0.8]]),
}
PAIRS = [
    (model, mean_field),
    (model, chain),
    (model, constant_chain),
    (with_a_local_variable, chain),
    (with_a_last_site, chain),
    (with_a_global_variable, chain_given_global),
    (two_steps_back, remembers_two),
    (in_a_plate, plated),
]


def bound(model, guide, params, data):
    """The negative bound, by a sum over all assignments of the guide's sites."""
    shapes = {"x": (len(data), 2) if guide is plated else (len(data),)}
    if guide is chain_given_global:
        shapes["w"] = ()
    spaces = [itertools.product((0, 1), repeat=int(np.prod(shape))) for shape in shapes.values()]
    values = list(itertools.product(*spaces))
    z = {name: np.array([v[i] for v in values]).reshape(-1, *shape) for i, (name, shape) in enumerate(shapes.items())}

    def term(z):
        log_q = log_joint(guide, (params, data), {}, z)[0]
        log_p = log_density(enum(handlers.substitute(model, data=z), first_available_dim=-2), (data,), {}, {})[0]
        return jnp.exp(log_q) * (log_p - log_q)

    return -jnp.sum(jax.vmap(term)(z))


@pytest.mark.parametrize("model, guide", PAIRS, ids=lambda fn: fn.__name__)
def test_value_and_gradient_are_those_of_all_assignments(model, guide):
    data = DATA[:3] if guide is plated else DATA
    params = jax.tree.map(lambda leaf: leaf[: len(data)], PARAMS)
    loss = lambda params: TraceEnum_ELBO(max_plate_nesting=1).loss(
        jax.random.key(0), {}, model, lambda data: guide(params, data), data
    )
    found = jax.jit(jax.value_and_grad(loss))(params)
    expected = jax.jit(jax.value_and_grad(lambda params: bound(model, guide, params, data)))(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10), found, expected)


def test_marks_of_the_model_do_not_matter_and_closed_forms_agree():
    guide = lambda data: chain(PARAMS, data)
    elbo = TraceEnum_ELBO(max_plate_nesting=0)
    losses = [
        elbo.loss(jax.random.key(0), {}, which, guide, DATA)
        for which in (model, lambda data: model(data, infer={}), config_kl(model))
    ]
    np.testing.assert_allclose(losses, losses[0], rtol=1e-12)


def test_continuous_draws_beside_enumerated_ones():
    def noisy(data):
        def step(x, y):
            x = numpyro.sample("x", dist.Categorical(rows(x)), infer=ENUMERATED)
            w = numpyro.sample("w", dist.Normal(0.0, 1.0))
            numpyro.sample("y", dist.Normal(x + w, 1.0), obs=y)
            return x, None

        scan(step, 0, data)

    def guide(data):
        def step(x, inputs):
            logits, loc = inputs
            x = numpyro.sample("x", dist.Bernoulli(logits=logits[x]), infer=ENUMERATED)
            numpyro.sample("w", dist.Normal(loc, 1e-7))
            return x, None

        scan(step, 0, (PARAMS["linked"], PARAMS["local"]))

    drawn = {"w": PARAMS["local"]}
    log_p = lambda x: log_joint(noisy, (DATA,), {}, {"x": x} | drawn)[0]
    log_q = lambda x: log_joint(chain, (PARAMS, DATA), {}, {"x": x})[0]
    paths = np.array(list(itertools.product((0, 1), repeat=4)))
    exact = jnp.sum(jax.vmap(lambda x: jnp.exp(log_q(x)) * (log_p(x) - log_q(x)))(paths))
    losses = jax.vmap(lambda key: TraceEnum_ELBO(max_plate_nesting=0).loss(key, {}, noisy, guide, DATA))(
        jax.random.split(jax.random.key(0), 400)
    )
    entropy = 4 * 0.5 * (1 + np.log(2 * np.pi * 1e-14))
    # log q of four draws has a standard deviation of sqrt(2): six standard errors of the mean, one in a billion.
    assert abs(-losses.mean() - exact - entropy) < 6 * np.sqrt(2 / 400)


def test_svi_finds_the_posterior_of_a_chain():
    def guide(data):
        first = numpyro.param("first", jnp.zeros(()))
        linked = numpyro.param("linked", jnp.zeros((3, 2)))

        def step(x, logits):
            return numpyro.sample("x", dist.Bernoulli(logits=logits[x]), infer=ENUMERATED), None

        scan(step, 0, jnp.concatenate([jnp.array([[first, 0.0]]), linked]))

    svi = SVI(model, guide, numpyro.optim.Adam(0.1), TraceEnum_ELBO(max_plate_nesting=0))
    result = svi.run(jax.random.key(0), 300, DATA, progress_bar=False)
    evidence = log_density(enum(model), (DATA,), {}, {})[0]
    np.testing.assert_allclose(result.losses[-1], -evidence, atol=1e-3)


def test_what_cannot_be_summed_is_named():
    elbo = TraceEnum_ELBO(max_plate_nesting=1)
    loss = lambda model, guide: elbo.loss(jax.random.key(0), {}, model, guide, DATA)
    of = lambda guide: lambda data: guide(PARAMS, data)

    def memory_of_two(data):
        scan(lambda x, y: (numpyro.sample("x", dist.Categorical(rows(x))), None), 0, data, history=2)

    def without_a_loop(data):
        with numpyro.plate("n", 4):
            numpyro.sample("x", dist.Bernoulli(0.3))

    with pytest.raises(UsageError, match="The guide enumerates 'x' in a scan. The model must have them"):
        loss(memory_of_two, of(chain))
    with pytest.raises(UsageError, match="The guide enumerates 'x' in a scan. The model must have them"):
        loss(without_a_loop, of(chain))

    def own_chain(data):
        def step(carry, y):
            x = numpyro.sample("x", dist.Categorical(rows(carry[0])), infer=ENUMERATED)
            u = numpyro.sample("u", dist.Categorical(rows(carry[1])), infer=ENUMERATED)
            numpyro.sample("y", dist.Normal(x - u, 1.0), obs=y)
            return (x, u), None

        scan(step, (0, 0), data)

    with pytest.raises(UsageError, match="cannot be done exactly"):
        loss(own_chain, of(chain))

    def dependent(data):
        def step(x, logits):
            x = numpyro.sample("x", dist.Bernoulli(logits=logits[x]), infer=ENUMERATED)
            numpyro.sample("w", dist.Normal(x, 1.0))
            return x, None

        scan(step, 0, PARAMS["linked"])

    with pytest.raises(UsageError, match="site 'w' in a scan of the guide depends on sites that are enumerated"):
        loss(model, dependent)

    def scored(data):
        def step(x, logits):
            x = numpyro.sample("x", dist.Bernoulli(logits=logits[x]), infer=ENUMERATED)
            numpyro.sample("w", dist.Poisson(2.0))
            return x, None

        scan(step, 0, PARAMS["linked"])

    with pytest.raises(UsageError, match="draws the site 'w' \\(Poisson\\), which cannot be reparametrised"):
        loss(model, scored)

    def nested(data):
        scan(lambda carry, logits: (chain({"linked": logits}, data), None), None, PARAMS["linked"].reshape(2, 2, 2))

    with pytest.raises(UsageError, match="in a scan inside the body of another scan"):
        loss(model, nested)
