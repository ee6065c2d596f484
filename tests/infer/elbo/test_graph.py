"""Gradients through draws that are not reparametrised, against sums over all of them; what each term depends on."""

from __future__ import annotations

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro.contrib.control_flow import scan
from numpyro.handlers import mask, scale, seed
from numpyro.infer import RenyiELBO, Trace_ELBO, TraceGraph_ELBO, TraceMeanField_ELBO
from numpyro.infer.elbo import (
    MultiFrameTensor,
    get_importance_log_probs,
    get_nonreparam_deps,
    guess_max_plate_nesting,
)
from numpyro.primitives import CondIndepStackFrame

KEY = jax.random.key(0)
Y = np.array([0.5, -0.3, 1.8], np.float32)
DRAWS = 10_000


def normal(value, loc, scale):
    return dist.Normal(loc, scale).log_prob(value)


# A global and three local discrete draws; a continuous one, outside of the plate, whose location is the mean of the
# local ones; two likelihoods, one in a plate of its own.


def model(y):
    shift = numpyro.param("shift", 0.3)
    x = numpyro.sample("x", dist.Bernoulli(0.4))
    with numpyro.plate("rows", 3):
        z = numpyro.sample("z", dist.Categorical(probs=np.array([0.2, 0.3, 0.5])))
    g = numpyro.sample("g", dist.Normal(0.0, 1.0))
    with numpyro.plate("rows", 3):
        numpyro.sample("y", dist.Normal(z * g + x + shift, 1.0), obs=y)
    with numpyro.plate("others", 2):
        numpyro.sample("o", dist.Normal(1.5 * x - g, 0.5), obs=np.array([0.2, 1.0]))


def guide(y):
    a, b, c, d, e = (numpyro.param(name, 0.0) for name in "abcde")
    x = numpyro.sample("x", dist.Bernoulli(logits=a))
    with numpyro.plate("rows", 3):
        z = numpyro.sample("z", dist.Categorical(logits=jnp.stack([b * x, 0.0 * b, c])))
    numpyro.sample("g", dist.Normal(d + e * jnp.mean(z), 0.7))


POINT = {name: jnp.float32(value) for name, value in zip("abcde", (0.3, -0.5, 0.4, 0.2, 0.6), strict=True)}
POINT["shift"] = jnp.float32(0.3)


def exact_elbo(p):
    """The sum over x and z, and Gauss-Hermite quadrature over g."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(30)
    values = [(x, np.array(z)) for x in (0, 1) for z in product(range(3), repeat=3)]
    x, z = np.array([v[0] for v in values])[:, None], np.stack([v[1] for v in values])[:, None]
    q_x = dist.Bernoulli(logits=p["a"]).log_prob(x)
    logits = jnp.stack([p["b"] * x, 0.0 * x, p["c"] + 0.0 * x], -1)[..., None, :]
    q_z = dist.Categorical(logits=logits).log_prob(z).sum(-1)
    loc = p["d"] + p["e"] * z.mean(-1)
    g = loc + 0.7 * nodes
    log_p = dist.Bernoulli(0.4).log_prob(x) + dist.Categorical(np.array([0.2, 0.3, 0.5])).log_prob(z).sum(-1)
    log_p += normal(g, 0.0, 1.0) + normal(Y, z * g[..., None] + x[..., None] + p["shift"], 1.0).sum(-1)
    log_p += normal(np.array([0.2, 1.0]), (1.5 * x - g)[..., None], 0.5).sum(-1)
    log_q = q_x + q_z + normal(g, loc, 0.7)
    return jnp.sum(jnp.exp(q_x + q_z) * weights / weights.sum() * (log_p - log_q))


def gradients(objective, point, model, guide, *args, draws=DRAWS):
    estimate = jax.jit(
        jax.vmap(jax.value_and_grad(lambda p, key: objective.loss(key, p, model, guide, *args)), (None, 0))
    )
    return jax.tree.map(lambda x: np.asarray(x, np.float64), estimate(point, jax.random.split(KEY, draws)))


def assert_unbiased(found, exact, errors=4.5):
    for name, draws in found.items():
        assert draws.std() > 0 or np.isclose(draws[0], exact[name], rtol=1e-4), name
        assert abs(draws.mean() - exact[name]) < errors * draws.std() / np.sqrt(len(draws)) + 1e-4, name


OBJECTIVES = [Trace_ELBO(), TraceMeanField_ELBO(), TraceGraph_ELBO(), TraceGraph_ELBO(5), TraceGraph_ELBO(2, False)]


@pytest.mark.parametrize(
    "objectives", [[OBJECTIVES[0], *OBJECTIVES[2:4]], pytest.param(OBJECTIVES, marks=pytest.mark.slow)], ids=len
)
def test_gradients_are_those_of_the_sum_over_all_draws(objectives):
    """Within 4.5 standard errors: 35 comparisons, one false alarm in 4 000 together. And the variances are smaller."""
    value, exact = jax.jit(jax.value_and_grad(lambda p: -exact_elbo(p)))(POINT)
    spread = {}
    for objective in objectives:
        values, found = gradients(objective, POINT, model, guide, Y)
        assert_unbiased(found | {"value": values}, exact | {"value": value})
        spread[type(objective), objective.num_particles] = {k: v.var() for k, v in found.items()}
    for name in "abc":
        plain, graph, five = (
            spread[key][name] for key in ((Trace_ELBO, 1), (TraceGraph_ELBO, 1), (TraceGraph_ELBO, 5))
        )
        assert graph < plain and five < 0.2 * graph


def test_local_draws_are_charged_with_their_own_costs():
    """In a plate of n entries the variance of the plain estimate grows as n^3, that of single entries as n."""

    def local_model(y):
        with numpyro.plate("rows", len(y)):
            z = numpyro.sample("z", dist.Bernoulli(0.5))
            numpyro.sample("y", dist.Normal(z, 1.0), obs=y)

    def local_guide(y):
        with numpyro.plate("rows", len(y)):
            numpyro.sample("z", dist.Bernoulli(logits=numpyro.param("a", 0.0)))

    y = np.linspace(-1, 2, 30).astype(np.float32)
    found = {o: gradients(o, {"a": 0.3}, local_model, local_guide, y, draws=4000)[1]["a"] for o in OBJECTIVES[::2]}
    plain, graph, _ = (found[o].var() for o in OBJECTIVES[::2])
    assert graph < plain / 100

    def exact(a):
        q = jax.nn.sigmoid(a)
        entropy = -q * jnp.log(q) - (1 - q) * jnp.log1p(-q)
        return -jnp.sum(q * normal(y, 1.0, 1.0) + (1 - q) * normal(y, 0.0, 1.0) + np.log(0.5) + entropy)

    assert_unbiased({str(i): f for i, f in enumerate(found.values())}, dict.fromkeys("012", jax.grad(exact)(0.3)))


def test_subsamples_scales_and_masks():
    """Costs are scaled, draws are not: each was drawn once."""
    y = np.array([0.5, -0.3, 1.8, 2.2, -1.0, 0.1], np.float32)
    keep = jnp.array([True, True, False, True, True, True])

    def part_model(y):
        x = numpyro.sample("x", dist.Bernoulli(0.4))
        with numpyro.plate("rows", 6, subsample_size=2) as rows, mask(mask=keep[rows]), scale(scale=0.5):
            z = numpyro.sample("z", dist.Bernoulli(0.3 + 0.4 * x))
            numpyro.sample("y", dist.Normal(z + x, 1.0), obs=y[rows])

    def part_guide(y):
        x = numpyro.sample("x", dist.Bernoulli(logits=numpyro.param("a", 0.0)))
        with numpyro.plate("rows", 6, subsample_size=2) as rows, mask(mask=keep[rows]), scale(scale=0.5):
            numpyro.sample("z", dist.Bernoulli(logits=numpyro.param("b", 0.0) + x))

    def exact(p):
        loss = 0.0
        for x in (0, 1):
            q_x = dist.Bernoulli(logits=p["a"]).log_prob(x)
            f = dist.Bernoulli(0.4).log_prob(x) - q_x
            for z in (0, 1):
                q_z = dist.Bernoulli(logits=p["b"] + x).log_prob(z)
                cost = dist.Bernoulli(0.3 + 0.4 * x).log_prob(z) + normal(y, z + x, 1.0) - q_z
                f += 0.5 * jnp.sum(jnp.exp(q_z) * jnp.where(keep, cost, 0.0))
            loss -= jnp.exp(q_x) * f
        return loss

    point = {"a": jnp.float32(0.2), "b": jnp.float32(-0.4)}
    value, expected = jax.value_and_grad(exact)(point)
    for objective in (TraceGraph_ELBO(), TraceGraph_ELBO(3)):
        values, found = gradients(objective, point, part_model, part_guide, jnp.asarray(y))
        assert_unbiased(found | {"value": values}, expected | {"value": value})


def test_with_reparametrised_draws_it_is_the_plain_objective():
    def model(y):
        mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
        with numpyro.plate("data", len(y)):
            numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)

    def guide(y):
        numpyro.sample("mu", dist.Normal(numpyro.param("loc", 0.0), 0.5))

    for particles in (1, 3):
        plain, graph = (
            jax.jit(jax.value_and_grad(lambda p: cls(particles).loss(KEY, p, model, guide, Y)))({"loc": 0.3})  # noqa: B023
            for cls in (Trace_ELBO, TraceGraph_ELBO)
        )
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), plain, graph)


def test_loops_inside_of_models():
    """A while loop and a scan between a draw and what it costs; the gradient against the sum over both values."""

    def looping_model(y):
        x = numpyro.sample("x", dist.Bernoulli(0.4))
        doubled = jax.lax.fori_loop(0, 2, lambda i, v: v * 2.0, 1.0 * x)
        total, _ = jax.lax.scan(lambda s, v: (s + v * doubled, None), 0.0, jnp.ones(3))
        loc = jax.lax.cond(total > 1, lambda: total, lambda: 0.0)
        numpyro.sample("y", jax.jit(lambda loc: dist.Normal(loc, 5.0))(loc), obs=2.0)
        numpyro.sample("free", dist.Normal(0.0, 1.0), obs=1000.0)

    def plain_guide(y):
        numpyro.sample("x", dist.Bernoulli(logits=numpyro.param("a", 0.0)))

    def exact(p):
        q = jax.nn.sigmoid(p["a"])
        one = jnp.log(0.4) + normal(2.0, 12.0, 5.0) - jnp.log(q)
        return -(q * one + (1 - q) * (jnp.log(0.6) + normal(2.0, 0.0, 5.0) - jnp.log1p(-q)))

    _, found = gradients(TraceGraph_ELBO(), {"a": jnp.float32(0.3)}, looping_model, plain_guide, Y, draws=4000)
    assert_unbiased(found, jax.grad(exact)({"a": jnp.float32(0.3)}))
    assert found["a"].std() < 2.0  # the term of half a million which the draw has no effect on is not in it


def test_draws_within_a_scan():
    """Three tosses, each by the one before; against the sum over all eight ways."""

    def step(x, _):
        x = numpyro.sample("x", dist.Bernoulli(logits=numpyro.param("a", 0.0) + 0.5 * x))
        return 1.0 * x, None

    def scanning_guide():
        scan(step, 0.0, None, length=3)

    def scanning_model():
        def model_step(x, y):
            x = numpyro.sample("x", dist.Bernoulli(0.3 + 0.4 * x))
            numpyro.sample("y", dist.Normal(x, 1.0), obs=y)
            return 1.0 * x, None

        scan(model_step, 0.0, Y)

    def exact(p):
        loss = 0.0
        for x in product((0, 1), repeat=3):
            before = np.array([0, *x[:-1]])
            log_q = dist.Bernoulli(logits=p["a"] + 0.5 * before).log_prob(np.array(x)).sum()
            log_p = dist.Bernoulli(0.3 + 0.4 * before).log_prob(np.array(x)).sum() + normal(Y, np.array(x), 1.0).sum()
            loss -= jnp.exp(log_q) * (log_p - log_q)
        return loss

    point = {"a": jnp.float32(0.3)}
    value, expected = jax.value_and_grad(exact)(point)
    for objective in (Trace_ELBO(), TraceGraph_ELBO()):
        values, found = gradients(objective, point, scanning_model, scanning_guide, draws=4000)
        assert_unbiased(found | {"value": values}, expected | {"value": value})


def test_the_bound_of_importance_weights_has_unbiased_gradients_for_discrete_draws():
    def exact(p, alpha):
        log_q = jax.nn.log_sigmoid(jnp.stack([-p["a"], p["a"]]))
        log_w = jnp.log(jnp.array([0.6, 0.4])) + normal(Y[2], jnp.arange(2.0), 1.0) - log_q
        pairs = jnp.stack([log_w[:, None] + jnp.zeros((2, 2)), log_w[None] + jnp.zeros((2, 2))])
        bound = (jax.scipy.special.logsumexp((1 - alpha) * pairs, 0) - jnp.log(2.0)) / (1 - alpha)
        return -jnp.sum(jnp.exp(log_q[:, None] + log_q[None]) * bound)

    def discrete_model(y):
        x = numpyro.sample("x", dist.Bernoulli(0.4))
        numpyro.sample("y", dist.Normal(x, 1.0), obs=y)

    def discrete_guide(y):
        numpyro.sample("x", dist.Bernoulli(logits=numpyro.param("a", 0.0)))

    for alpha in (0.0, 2.0):
        point = {"a": jnp.float32(0.3)}
        values, found = gradients(RenyiELBO(alpha), point, discrete_model, discrete_guide, Y[2])
        value, expected = jax.value_and_grad(exact)(point, alpha)
        assert_unbiased(found | {"value": values}, expected | {"value": value})


def test_many_draws_of_a_discrete_guide_have_unbiased_gradients():
    def many(y):
        numpyro.sample("x", dist.Bernoulli(logits=numpyro.param("a", 0.0)).expand([3]))

    def discrete_model(y):
        numpyro.sample("x", dist.Bernoulli(0.4))

    q = jax.nn.sigmoid(0.3)
    expected = q * (1 - q) * (np.log(q / (1 - q)) - np.log(0.4 / 0.6))
    _, found = gradients(Trace_ELBO(multi_sample_guide=True), {"a": jnp.float32(0.3)}, discrete_model, many, Y)
    assert_unbiased(found, {"a": expected})


def test_mutable_state_comes_out():
    def counting(y):
        count = numpyro.primitives.mutable("count", {"runs": jnp.array(0)})
        count["runs"] = count["runs"] + 1
        model(y)

    state = POINT | {"count": {"runs": jnp.array(4)}}
    result = jax.jit(lambda p: TraceGraph_ELBO().loss_with_mutable_state(KEY, p, counting, guide, Y))(state)
    assert int(result["mutable_state"]["count"]["runs"]) == 5
    with pytest.raises(ValueError, match="num_particles=1"):
        TraceGraph_ELBO(2).loss(KEY, state, counting, guide, Y)


# What depends on what


def test_dependencies_go_by_way_of_other_draws():
    of_model, of_guide = get_nonreparam_deps(seed(model, 0), seed(guide, 1), (Y,), {}, POINT)
    names = lambda text: frozenset(text)
    assert of_guide == {"x": names("x"), "z": names("xz"), "g": names("xz")}
    assert of_model == {"x": names("x"), "z": names("xz"), "g": names("xz"), "y": names("xz"), "o": names("xz")}


def test_dependencies_on_given_sites():
    of_model, of_guide = get_nonreparam_deps(
        seed(model, 0), seed(guide, 1), (Y,), {}, POINT, latents={"g": jnp.array(0.5)}
    )
    assert {name for name, deps in of_model.items() if deps} == {"g", "y", "o"}
    assert {name for name, deps in of_guide.items() if deps} == {"g"}


def test_log_probabilities_have_the_shapes_of_their_sites():
    of_model, of_guide = get_importance_log_probs(seed(model, 0), seed(guide, 1), (Y,), {}, POINT)
    assert {name: jnp.shape(term) for name, term in of_model.items()} == {
        "x": (),
        "z": (3,),
        "g": (),
        "y": (3,),
        "o": (2,),
    }
    assert {name: jnp.shape(term) for name, term in of_guide.items()} == {"x": (), "z": (3,), "g": ()}


def test_plates_are_counted():
    def nested():
        with numpyro.plate("a", 2, dim=-3), numpyro.plate("b", 3):
            numpyro.sample("x", dist.Normal(np.zeros(5), 1.0).to_event(1))

    assert guess_max_plate_nesting(seed(model, 0), seed(guide, 1), (Y,), {}, POINT) == 1
    assert guess_max_plate_nesting(seed(nested, 0), lambda: None, (), {}, {}) == 3
    assert guess_max_plate_nesting(lambda: None, lambda: None, (), {}, {}) == 0


def test_sums_over_plates():
    a, b = CondIndepStackFrame("a", -1, 3), CondIndepStackFrame("b", -2, 2)
    terms = MultiFrameTensor(((a,), np.arange(3.0)), ((a, b), np.ones((2, 3))))
    terms.add(((), 1.0), ((a,), np.ones(3)))
    assert len(terms) == 3
    np.testing.assert_allclose(terms.sum_to(()), 13.0)
    np.testing.assert_allclose(terms.sum_to((a,)), np.arange(3.0) + 1.0 + 2.0 + 1.0)
    np.testing.assert_allclose(terms.sum_to((b,)), [[10.0], [10.0]])
    assert terms.sum_to((a, b)).shape == (2, 3)
    assert MultiFrameTensor().sum_to((a,)) == 0.0 and "MultiFrameTensor" in repr(terms)
