"""Models with their discrete sites summed out, against the sum over all assignments."""

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
from numpyro.contrib.funsor import config_enumerate, enum, log_density, markov
from numpyro.infer.util import log_density as log_joint

TRANSITION = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]])


def row(state):
    return jnp.asarray(TRANSITION)[state]


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def over_all_assignments(model, params):
    """The log of the sum of the joint density over all values of the discrete latent sites."""
    with handlers.trace() as sites, handlers.seed(rng_seed=0), handlers.substitute(data=params):
        model()
    cells = []
    for name, site in sites.items():
        if site["type"] == "sample" and not site["is_observed"] and name not in params:
            support = np.asarray(site["fn"].enumerate_support(expand=False)).reshape(-1)
            cells.append((name, np.shape(site["value"]), support))
    spaces = [itertools.product(support, repeat=int(np.prod(shape))) for _, shape, support in cells]
    assignments = list(itertools.product(*spaces))
    stacked = {
        name: np.array([values[i] for values in assignments]).reshape(-1, *shape)
        for i, (name, shape, _) in enumerate(cells)
    }
    densities = jax.vmap(lambda values: log_joint(model, (), {}, params | values)[0])(stacked)
    return np.logaddexp.reduce(np.asarray(densities))


def chain():
    x = 0
    for t in markov(range(5)):
        x = numpyro.sample(f"x{t}", dist.Categorical(row(x)))
        numpyro.sample(f"y{t}", dist.Normal(x, 1.0), obs=0.3 * t)


def chain_of_two_steps():
    x = before = 0
    for t in markov(range(4), history=2):
        x, before = numpyro.sample(f"x{t}", dist.Categorical((row(x) + row(before)) / 2)), x
        numpyro.sample(f"y{t}", dist.Normal(x + before, 1.0), obs=0.3 * t)


def nested_plates():
    a = numpyro.sample("a", dist.Bernoulli(0.3))
    with numpyro.plate("p", 2, dim=-1):
        b = numpyro.sample("b", dist.Bernoulli(0.3 + 0.2 * a))
        with numpyro.plate("q", 2, dim=-2):
            c = numpyro.sample("c", dist.Bernoulli(0.1 + 0.2 * b))
            numpyro.sample("o", dist.Normal(c + b + a, 1.0), obs=np.arange(4.0).reshape(2, 2))


def chains_in_a_plate():
    with numpyro.plate("n", 2):
        x = 0
        for t in markov(range(3)):
            x = numpyro.sample(f"x{t}", dist.Categorical(row(x)))
            numpyro.sample(f"y{t}", dist.Normal(x, 1.0), obs=np.array([0.3 * t, 1.0]))


def two_chains():
    w = x = 0
    for t in markov(range(4)):
        w = numpyro.sample(f"w{t}", dist.Categorical(row(w)))
        x = numpyro.sample(f"x{t}", dist.Bernoulli(jnp.array([0.2, 0.6])[x]))
        numpyro.sample(f"y{t}", dist.Normal(x - w, 1.0), obs=0.3 * t)


def masked():
    with handlers.mask(mask=np.array([True, False])), numpyro.plate("n", 2):
        z = numpyro.sample("z", dist.Categorical(TRANSITION[0]))
        numpyro.sample("x", dist.Normal(z, 1.0), obs=np.array([0.2, 0.3]))


def partly_observed():
    with numpyro.plate("n", 3):
        z = numpyro.sample("z", dist.Bernoulli(0.3), obs=np.array([0, 1, 1]), obs_mask=np.array([True, False, True]))
        numpyro.sample("x", dist.Normal(z, 1.0), obs=np.array([0.2, 0.3, 0.1]))


def used_after_its_chain():
    x = 0
    for t in markov(range(3)):
        x = numpyro.sample(f"x{t}", dist.Categorical(row(x)))
    numpyro.sample("y", dist.Normal(x, 1.0), obs=0.2)


def recursion():
    @markov
    def step(t, x):
        x = numpyro.sample(f"x{t}", dist.Categorical(row(x)))
        if t < 3:
            step(t + 1, x)
        numpyro.sample(f"y{t}", dist.Normal(x, 1.0), obs=0.2 * t)

    step(0, 0)


def branches_that_see_each_other():
    context = markov(keep=True)
    with context:
        a = numpyro.sample("a", dist.Bernoulli(0.3))
    with context:
        b = numpyro.sample("b", dist.Bernoulli(0.2 + 0.5 * a))
        numpyro.sample("x", dist.Normal(a + 2 * b, 1.0), obs=0.7)


def continuous_below_discrete():
    z = numpyro.sample("z", dist.Bernoulli(0.3))
    w = numpyro.sample("w", dist.Normal(z, 1.0))
    with numpyro.plate("n", 3):
        numpyro.sample("x", dist.Normal(w + z, 1.0), obs=np.arange(3.0))


def batch_without_plate():
    z = numpyro.sample("z", dist.Bernoulli(0.3))
    numpyro.sample("x", dist.Normal(z, 1.0), obs=np.arange(3.0))


def scaled():
    z = numpyro.sample("z", dist.Bernoulli(0.3))
    with handlers.scale(scale=0.5):
        numpyro.sample("x", dist.Normal(z, 1.0), obs=0.4)


def events():
    with numpyro.plate("n", 2):
        z = numpyro.sample("z", dist.Categorical(TRANSITION[0]))
        numpyro.sample("x", dist.MultivariateNormal(jnp.eye(3)[z], np.eye(3)), obs=np.ones((2, 3)))


def one_value():
    z = numpyro.sample("z", dist.Categorical(np.ones(1)))
    numpyro.sample("x", dist.Normal(z, 1.0), obs=0.4)


def more_states_than_declared():
    x = before = 0
    for t in markov(range(4), history=1):
        x, before = numpyro.sample(f"x{t}", dist.Categorical((row(x) + row(before)) / 2)), x
        numpyro.sample(f"y{t}", dist.Normal(x, 1.0), obs=0.3 * t)


MODELS = [
    chain,
    chain_of_two_steps,
    nested_plates,
    chains_in_a_plate,
    two_chains,
    masked,
    partly_observed,
    used_after_its_chain,
    recursion,
    branches_that_see_each_other,
    continuous_below_discrete,
    batch_without_plate,
    scaled,
    events,
    one_value,
    more_states_than_declared,
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_the_marginal_is_the_sum_over_all_assignments(model):
    params = {"w": 0.4} if model is continuous_below_discrete else {}
    found, _ = log_density(enum(config_enumerate(model), first_available_dim=-3), (), {}, params)
    np.testing.assert_allclose(found, over_all_assignments(model, params), rtol=1e-10, atol=1e-10)


def test_supports_that_differ_within_a_plate():
    def model():
        with numpyro.plate("n", 2):
            z = numpyro.sample("z", dist.DiscreteUniform(np.array([1, 3]), np.array([2, 4])))
            numpyro.sample("x", dist.Normal(z, 1.0), obs=np.arange(2.0))

    found, _ = log_density(enum(config_enumerate(model), first_available_dim=-2), (), {}, {})
    terms = [dist.Normal(np.array(values), 1.0).log_prob(x) for x, values in ((0.0, (1.0, 2.0)), (1.0, (3.0, 4.0)))]
    expected = sum(np.logaddexp.reduce(np.asarray(term)) - np.log(2) for term in terms)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_subsample_stands_for_the_whole_plate():
    def model(indices):
        with handlers.substitute(data={"n": indices}), numpyro.plate("n", 6, subsample_size=indices.shape[0]) as i:
            z = numpyro.sample("z", dist.Bernoulli(0.3))
            numpyro.sample("x", dist.Normal(z, 1.0), obs=jnp.arange(6.0)[i])

    model = enum(config_enumerate(model), first_available_dim=-2)
    whole = log_density(model, (np.arange(6),), {}, {})[0]
    halves = [log_density(model, (np.array(half),), {}, {})[0] for half in ([0, 2, 4], [1, 3, 5])]
    np.testing.assert_allclose(np.mean(halves), whole, rtol=1e-12)


def test_values_seen_by_the_model():
    seen = {}

    def model():
        seen["a"] = jnp.shape(numpyro.sample("a", dist.Categorical(TRANSITION[0])))
        with numpyro.plate("n", 4):
            seen["b"] = jnp.shape(numpyro.sample("b", dist.Bernoulli(0.5)))
        for t in markov(range(4)):
            seen[t] = jnp.shape(numpyro.sample(f"x{t}", dist.Bernoulli(0.5)))

    with handlers.trace() as sites:
        enum(config_enumerate(model), first_available_dim=-2)()
    assert seen["a"] == (3, 1)
    assert seen["b"] == (2, 1, 1)
    assert [len(seen[t]) for t in range(4)] == [4, 5, 4, 5]  # the dimensions of old steps are used again
    assert dict(sites["b"]["infer"]["dim_to_name"]) == {-3: "b", -1: "n"}
    assert sites["b"]["infer"]["name_to_dim"] == {"b": -3, "n": -1}


def test_gradients_agree_with_the_sum():
    def model(p):
        with numpyro.plate("n", 2):
            z = numpyro.sample("z", dist.Categorical(probs=p))
            numpyro.sample("x", dist.Normal(z, 1.0), obs=np.array([0.3, 1.2]))

    found = jax.grad(lambda p: log_density(enum(config_enumerate(model), first_available_dim=-2), (p,), {}, {})[0])
    at = jnp.array([0.2, 0.5, 0.3])
    step = 1e-6 * np.array([1.0, -1.0, 0.0])
    value = lambda p: over_all_assignments(lambda: model(p), {})
    np.testing.assert_allclose(
        found(at) @ np.array([1.0, -1.0, 0.0]), (value(at + step) - value(at - step)) / 2e-6, rtol=1e-6
    )


def test_impossible_values_leave_finite_gradients():
    def model(q):
        z = numpyro.sample("z", dist.Categorical(probs=jnp.array([1.0, 0.0])))
        numpyro.sample("x", dist.Normal(q * z, 1.0), obs=0.3)

    def density(q):
        return log_density(enum(config_enumerate(model)), (q,), {}, {})[0]

    assert np.isfinite(jax.grad(density)(0.2))


def in_plate_and_out():
    with numpyro.plate("p", 2):
        z = numpyro.sample("z", dist.Bernoulli(0.3))
    with numpyro.plate("other", 2):
        numpyro.sample("x", dist.Normal(z, 1.0), obs=np.zeros(2))


def crossed_plates():
    with numpyro.plate("a", 2, dim=-1):
        x = numpyro.sample("x", dist.Bernoulli(0.3))
    with numpyro.plate("b", 2, dim=-2):
        y = numpyro.sample("y", dist.Bernoulli(0.3))
    with numpyro.plate("a", 2, dim=-1), numpyro.plate("b", 2, dim=-2):
        numpyro.sample("o", dist.Normal(x + y, 1.0), obs=np.zeros((2, 2)))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (in_plate_and_out, "The site 'x' depends on the enumerated site 'z', which stands in the plate 'p'"),
        (crossed_plates, r"cannot be done exactly within their plates: 'o', in the plates 'a', 'b'"),
        (
            lambda: numpyro.sample("z", dist.Categorical(np.ones((5, 3)) / 3)),
            r"'z' .* has batch shape \(5,\), but its dimension -1 is no plate's",
        ),
        (
            lambda: numpyro.sample("z", dist.Poisson(1.0), infer={"enumerate": "parallel"}),
            r"'z' \(Poisson\) is marked to be enumerated, but its support is not a finite set",
        ),
        (
            lambda: numpyro.sample("z", dist.Bernoulli(0.5), infer={"enumerate": "sequential"}),
            "'z' is marked infer={'enumerate': 'sequential'}",
        ),
        (
            lambda: numpyro.sample("z", dist.Bernoulli(np.ones((2, 2)) / 2).to_event(1)),
            "'z'",
        ),
    ],
    ids=["outside", "crossed", "batch", "infinite", "sequential", "event"],
)
def test_what_cannot_be_summed_is_named(model, message):
    with pytest.raises(UsageError, match=message), handlers.seed(rng_seed=0):
        log_density(enum(config_enumerate(model), first_available_dim=-3), (), {}, {})


def test_plates_need_room():
    def model():
        with numpyro.plate("p", 5):
            numpyro.sample("x", dist.Normal(0.0, 1.0), obs=np.zeros(5))

    with pytest.raises(UsageError, match="plate 'p' takes dimension -1.*first_available_dim to -2"):
        log_density(enum(model, first_available_dim=-1), (), {}, {})
    with pytest.raises(UsageError, match="must be negative"):
        enum(model, first_available_dim=0)
    with pytest.raises(UsageError, match="history of markov must not be negative"):
        markov(range(3), history=-1)
