"""What scan returns, the sites that it makes, and its errors."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from numpyro._errors import UsageError
from numpyro.contrib.control_flow import scan
from numpyro.infer.util import log_density, potential_energy
from numpyro.primitives import Messenger, mutable
from tests.contrib.control_flow.loops import DATA, LENGTH, ROWS, VALUES, by_python, by_scan, per_step


def sites_of(fn, *args, seed=0, **kwargs):
    return handlers.trace(handlers.seed(fn, rng_seed=seed)).get_trace(*args, **kwargs)


def one_site(distribution, length=LENGTH, **options):
    def step(carry, x):
        return carry, numpyro.sample("x", distribution(carry, x), **options)

    return scan(step, jnp.float32(1.0), jnp.arange(float(length)))


# -- results


def test_without_handlers_it_is_lax_scan():
    step = lambda carry, x: (carry + x["a"], (carry * x["b"], None))
    xs = {"a": np.arange(5.0, dtype=np.float32), "b": np.ones((5, 2), np.float32)}
    for reverse in (False, True):
        ours, theirs = scan(step, 1.0, xs, reverse=reverse), jax.lax.scan(step, 1.0, xs, reverse=reverse)
        jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    carry, ys = scan(lambda carry, _: (carry + 1, None), 0, None, length=3)
    assert carry == 3
    assert ys is None


def test_values_carry_and_outputs_are_those_of_a_python_loop():
    with handlers.seed(rng_seed=0), handlers.substitute(data={**VALUES, **per_step(VALUES)}):
        (carry, outputs), (carry_loop, outputs_loop) = by_scan(), by_python()
    np.testing.assert_allclose(carry, carry_loop, rtol=1e-6)
    np.testing.assert_allclose(outputs, outputs_loop, rtol=1e-6)


def test_the_sites_have_the_steps_in_front():
    sites = sites_of(by_scan)
    assert list(sites) == ["drift", "rows", "z", "s", "f", "total", "y"]
    assert sites["z"]["value"].shape == sites["z"]["fn"].batch_shape == (LENGTH, ROWS)
    assert sites["s"]["value"].shape == sites["s"]["fn"].batch_shape == (LENGTH,)
    assert sites["f"]["fn"].log_prob(sites["f"]["value"]).shape == (LENGTH,)
    assert sites["total"]["value"].shape == (LENGTH,)
    assert [(frame.name, frame.dim, frame.size) for frame in sites["z"]["cond_indep_stack"]] == [("rows", -1, ROWS)]
    assert sites["rows"]["value"].tolist() == [0, 1, 2]
    assert sites["drift"]["value"] == 0.5
    np.testing.assert_array_equal(sites["y"]["value"], DATA)
    assert [name for name, site in sites.items() if site.get("is_observed")] == ["f", "y"]
    np.testing.assert_allclose(sites["total"]["value"], sites["z"]["value"].sum(-1), rtol=1e-5)
    np.testing.assert_allclose(sites["y"]["fn"].loc, sites["total"]["value"], rtol=1e-6)
    assert len(np.unique(sites["z"]["value"])) == LENGTH * ROWS


def test_the_density_and_its_gradient_are_those_of_a_python_loop():
    def density(model, values):
        return log_density(model, (), {}, values)[0]

    ours, gradient = jax.value_and_grad(lambda v: density(by_scan, v))(VALUES)
    theirs, expected = jax.value_and_grad(lambda v: density(by_python, per_step(v)))(VALUES)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    for name in VALUES:
        np.testing.assert_allclose(gradient[name], expected[name], rtol=1e-4, atol=1e-5)


def test_the_potential_energy_counts_the_jacobians_of_all_steps():
    unconstrained = {"z": VALUES["z"], "s": np.log(VALUES["s"])}
    for handler in (lambda fn: fn, lambda fn: handlers.scale(fn, scale=2.5), lambda fn: handlers.mask(fn, mask=False)):
        ours = potential_energy(handler(by_scan), (), {}, unconstrained)
        theirs = potential_energy(handler(by_python), (), {}, per_step(unconstrained))
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_reverse_runs_backwards_and_keeps_the_order():
    def step(carry, x):
        y = numpyro.sample("y", dist.Normal(carry, 1.0), obs=x)
        numpyro.deterministic("before", carry)
        return x, carry + 0 * y

    sites = sites_of(lambda: scan(step, jnp.float32(9.0), DATA, reverse=True))
    np.testing.assert_array_equal(sites["y"]["value"], DATA)
    np.testing.assert_array_equal(sites["before"]["value"], [*DATA[1:], 9.0])


DISTRIBUTIONS = {
    "same at all steps": lambda c, x: dist.Normal(0.0, 1.0),
    "one parameter": lambda c, x: dist.Normal(x, 2.0),
    "array from outside": lambda c, x: dist.Normal(x, np.full((3,), 2.0, np.float32)),
    "independent": lambda c, x: dist.Normal(x * jnp.ones((2, 3)), 1.0).to_event(1),
    "expanded": lambda c, x: dist.Gamma(x + 1.0, 2.0).expand([2]),
    "multivariate": lambda c, x: dist.MultivariateNormal(x * jnp.ones(2), np.eye(2, dtype=np.float32)),
    "multivariate batch": lambda c, x: dist.MultivariateNormal(np.zeros((3, 2), np.float32), (1 + x) * jnp.eye(2)),
    "transformed": lambda c, x: dist.TransformedDistribution(
        dist.Normal(np.zeros(2, np.float32), 1.0), [dist.transforms.AffineTransform(x, 2.0)]
    ),
    "masked": lambda c, x: dist.Normal(x, np.ones(2, np.float32)).mask(x > 1),
    "masked by a constant": lambda c, x: dist.Normal(x, np.ones(2, np.float32)).mask(np.array([True, False])),
    "mixture": lambda c, x: dist.MixtureSameFamily(
        dist.Categorical(np.full(2, 0.5, np.float32)), dist.Normal(jnp.stack([x, -x]), 1.0)
    ),
    "truncated": lambda c, x: dist.TruncatedNormal(x, 1.0, low=0.0),
    "uniform": lambda c, x: dist.Uniform(x, x + 1),
    "dirichlet": lambda c, x: dist.Dirichlet((1 + x) * jnp.ones(3)),
    "discrete": lambda c, x: dist.Categorical(logits=x * jnp.arange(4.0)),
    "correlation": lambda c, x: dist.LKJCholesky(3, 1.0 + x),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_distribution_of_a_site_is_that_of_each_step(name):
    make = DISTRIBUTIONS[name]
    site = sites_of(one_site, make, 3)["x"]
    one = make(jnp.float32(1.0), jnp.float32(0.0))
    assert type(site["fn"]) is type(one)
    assert site["fn"].batch_shape == (3, *one.batch_shape)
    assert site["fn"].event_shape == one.event_shape
    log_prob = site["fn"].log_prob(site["value"], *([site["intermediates"]] if site["intermediates"] else []))
    assert log_prob.shape == (3, *one.batch_shape)
    for t in range(3):
        expected = make(jnp.float32(1.0), jnp.float32(t)).log_prob(site["value"][t])
        np.testing.assert_allclose(log_prob[t], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("value", "batch"),
    [(np.float32(1.0), (3,)), (np.ones(3, np.float32), ()), (np.ones((2, 1), np.float32), (3,))],
)
def test_observations_of_other_ranks_broadcast_at_each_step(value, batch):
    def model():
        fn = lambda x: dist.Normal(x, 1.0).expand(batch)
        scan(lambda c, x: (c, numpyro.sample("y", fn(x), obs=value)), 0.0, jnp.arange(4.0))

    fn = lambda t: dist.Normal(float(t), 1.0).expand(batch)
    site = handlers.trace(model).get_trace()["y"]
    expected = np.stack([fn(t).log_prob(value) for t in range(4)])
    np.testing.assert_allclose(site["fn"].log_prob(site["value"]), expected, rtol=1e-5)


def test_draws_by_sample_shape_become_part_of_the_batch():
    site = sites_of(one_site, lambda c, x: dist.Normal(x, 0.001), sample_shape=(5,))["x"]
    assert site["value"].shape == site["fn"].batch_shape == (LENGTH, 5)
    np.testing.assert_allclose(site["value"].mean(-1), np.arange(4.0), atol=0.01)


def test_a_loop_of_no_steps():
    sites = sites_of(one_site, lambda c, x: dist.Normal(x, np.ones(2, np.float32)), 0)
    assert sites["x"]["value"].shape == sites["x"]["fn"].batch_shape == (0, 2)
    assert sites["x"]["fn"].log_prob(sites["x"]["value"]).sum() == 0


def test_a_loop_in_a_loop():
    def model(data):
        def outer(carry, row):
            level = numpyro.sample("level", dist.Normal(carry, 1.0))
            inner = lambda c, x: (numpyro.sample("x", dist.Normal(c, 1.0), obs=x), None)
            return level, scan(inner, level, row)[0]

        return scan(outer, 0.0, data)

    data = np.arange(6.0, dtype=np.float32).reshape(2, 3)
    sites = sites_of(model, data)
    assert sites["x"]["value"].shape == sites["x"]["fn"].batch_shape == (2, 3)
    np.testing.assert_array_equal(sites["x"]["fn"].loc[:, 1:], data[:, :-1])
    np.testing.assert_array_equal(sites["x"]["fn"].loc[:, 0], sites["level"]["value"])

    latent = handlers.uncondition(model)
    values = {"x": data + 10, "level": np.array([7.0, 8.0], np.float32)}
    for fn in (handlers.substitute(latent, data=values), lambda d: handlers.substitute(model, data=values)(0 * d)):
        sites = sites_of(fn, data)
        np.testing.assert_array_equal(sites["x"]["value"], values["x"])
        np.testing.assert_array_equal(sites["level"]["value"], values["level"])
    gradient = jax.grad(lambda x: log_density(latent, (0 * data,), {}, {**values, "x": x})[0])(values["x"])
    full = jax.grad(
        lambda x: sum(
            dist.Normal(jnp.concatenate([values["level"][i : i + 1], x[i, :-1]]), 1.0).log_prob(x[i]).sum()
            for i in range(2)
        )
    )(values["x"])
    np.testing.assert_allclose(gradient, full, rtol=1e-5)


# -- params, mutables, keys


def test_a_param_is_declared_once_for_all_steps():
    def model():
        def step(c, _):
            w = numpyro.param("w", lambda key: jax.random.normal(key, (2,)))
            v = numpyro.param("v", 2.0, constraint=dist.constraints.positive)
            return c, numpyro.sample("x", dist.Normal(v, 1e-6)) + numpyro.deterministic("w_here", w)

        return scan(step, 0.0, None, length=3)

    sites = sites_of(model)
    assert sites["w"]["value"].shape == (2,)
    np.testing.assert_array_equal(sites["w_here"]["value"], np.broadcast_to(sites["w"]["value"], (3, 2)))
    assert sites["v"]["kwargs"] == {"constraint": dist.constraints.positive}
    assert sites_of(handlers.substitute(model, data={"v": 5.0}))["x"]["fn"].loc.tolist() == [5.0] * 3
    gradient = jax.grad(lambda v: handlers.seed(handlers.substitute(model, data={"v": v}), 0)()[1].sum())(2.0)
    np.testing.assert_allclose(gradient, 6.0, rtol=1e-5)


def test_a_mutable_goes_on_from_step_to_step():
    def model(data):
        def step(c, x):
            state = mutable("state", {"count": 0, "sum": jnp.float32(0.0)})
            state["count"] = state["count"] + 1
            state["sum"] = state["sum"] + x
            return c, state["sum"]

        return scan(step, 0.0, data)[1]

    with handlers.trace() as sites:
        sums = model(DATA)
    np.testing.assert_allclose(sums, np.cumsum(DATA))
    assert sites["state"]["value"]["count"] == LENGTH
    np.testing.assert_allclose(sites["state"]["value"]["sum"], DATA.sum())


def test_each_step_has_its_own_key():
    def model():
        def step(c, _):
            return c, (numpyro.prng_key(), numpyro.sample("x", dist.Normal(0.0, 1.0)))

        return scan(step, 0.0, None, length=5)[1]

    for seed in (jax.random.PRNGKey(0), jax.random.key(0)):
        keys, draws = handlers.seed(model, rng_seed=seed)()
        assert keys.dtype == seed.dtype
        words = np.asarray(keys if keys.dtype == np.uint32 else jax.random.key_data(keys))
        assert len(np.unique(words, axis=0)) == len(np.unique(draws)) == 5


def test_draws_are_those_of_the_distributions():
    def model():
        return scan(lambda c, _: (c, numpyro.sample("x", dist.Normal(1.0, 2.0))), 0.0, None, length=20_000)[1]

    draws = np.asarray(handlers.seed(model, rng_seed=0)())
    # five standard errors: a false alarm once in two million
    assert abs(draws.mean() - 1) < 5 * 2 / np.sqrt(20_000)
    assert abs(draws.std() - 2) < 5 * 2 / np.sqrt(40_000)
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 5 / np.sqrt(20_000)


# -- plates


def test_a_plate_around_is_a_plate_in_the_body():
    def around():
        with numpyro.plate("rows", ROWS):
            return scan(step, np.zeros(ROWS, np.float32), DATA)

    def inside():
        def wrapped(carry, x):
            with numpyro.plate("rows", ROWS):
                return step(carry, x)

        return scan(wrapped, np.zeros(ROWS, np.float32), DATA)

    def step(carry, x):
        with numpyro.plate("columns", 2, dim=-2):
            u = numpyro.sample("u", dist.Normal(0.0, 1.0))
        z = numpyro.sample("z", dist.Normal(carry + u.sum(0), 1.0))
        numpyro.sample("y", dist.Normal(z, 1.0), obs=x)
        return z, None

    with handlers.seed(rng_seed=0):
        sites, expected = handlers.trace(around).get_trace(), handlers.trace(inside).get_trace()
    assert sorted(sites) == sorted(expected)
    for name in ("u", "z", "y"):
        assert sites[name]["cond_indep_stack"] == expected[name]["cond_indep_stack"]
        assert sites[name]["fn"].batch_shape == expected[name]["fn"].batch_shape
        assert sites[name]["value"].shape == expected[name]["value"].shape
    values = {name: expected[name]["value"] for name in ("u", "z")}
    densities = [float(log_density(model, (), {}, values)[0]) for model in (around, inside)]
    np.testing.assert_allclose(*densities, rtol=1e-6)


@pytest.mark.parametrize("where", ["around", "inside"])
def test_the_scale_of_a_subsample_counts_once(where):
    def step(carry, x):
        numpyro.sample("x", dist.Normal(0.0, 1.0), obs=x)
        return carry, None

    def model():
        rows = lambda: numpyro.plate("rows", 10, subsample_size=2)
        if where == "around":
            with rows():
                scan(step, 0.0, DATA)
        else:

            def wrapped(carry, x):
                with rows():
                    return step(carry, x)

            scan(wrapped, 0.0, DATA)

    sites = sites_of(model)
    assert sites["x"]["scale"] == 5.0
    assert sites["x"]["fn"].batch_shape == (LENGTH, 2)
    assert sites["rows"]["value"].shape == ((2,) if where == "around" else (LENGTH, 2))
    density = log_density(handlers.seed(model, 0), (), {}, {})[0]
    np.testing.assert_allclose(density, 5 * 2 * dist.Normal(0.0, 1.0).log_prob(DATA).sum(), rtol=1e-5)


def test_an_inner_plate_takes_a_dimension_that_is_free_of_those_around():
    def model():
        with numpyro.plate("outer", 2):
            scan(step, 0.0, None, length=3)

    def step(carry, _):
        with numpyro.plate("inner", 4):
            numpyro.sample("x", dist.Normal(0.0, 1.0))
        return carry, None

    site = sites_of(model)["x"]
    assert site["fn"].batch_shape == (3, 4, 2)
    with pytest.raises(UsageError, match="stands within itself"), numpyro.plate("inner", 2):
        sites_of(model)


# -- tracing


def _traces(run):
    calls = []
    run(lambda: calls.append(None))
    return len(calls)


@pytest.mark.parametrize("init", [0.0, np.float32(0.0)])
def test_the_body_is_traced_once_to_draw_and_once_for_a_gradient(init):
    def model(count):
        def step(carry, x):
            count()
            z = numpyro.sample("z", dist.Normal(carry, 1.0))
            numpyro.sample("y", dist.Normal(z, 1.0), obs=x)
            return z, None

        scan(step, init, DATA)

    z = np.zeros(LENGTH, np.float32)
    assert _traces(lambda count: sites_of(model, count)) == 1
    assert _traces(lambda count: jax.jit(lambda: sites_of(model, count)["z"]["value"])()) == 1
    gradient = jax.grad(lambda count, z: potential_energy(model, (count,), {}, {"z": z}), argnums=1)
    assert _traces(lambda count: gradient(_Static(count), z)) == 1


class _Static:
    """A function that JAX takes for no array."""

    def __init__(self, fn):
        self.fn = fn

    def __call__(self):
        self.fn()


jax.tree_util.register_pytree_node(_Static, lambda s: ((), s.fn), lambda fn, _: _Static(fn))


def test_only_what_depends_on_the_step_is_stacked_by_the_loop():
    matrix = np.eye(50, dtype=np.float32)

    def model(matrix):
        fn = dist.MultivariateNormal(np.zeros(50, np.float32), scale_tril=matrix)
        scan(lambda c, _: (c, numpyro.sample("x", fn)), 0.0, None, length=7)

    jaxpr = jax.make_jaxpr(lambda m, x: log_density(model, (m,), {}, {"x": x})[0])(
        matrix, np.zeros((7, 50), np.float32)
    )
    loop = next(equation for equation in jaxpr.eqns if equation.primitive.name == "scan")
    assert max((out.aval.size for out in loop.outvars), default=0) <= 7 * 50


# -- errors


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((1.0, 0.0, DATA), TypeError, "must be a function"),
        ((lambda c, x: (c, x), 0.0, None), UsageError, "number of steps"),
        ((lambda c, x: (c, x), 0.0, 1.0), UsageError, "scalar"),
        ((lambda c, x: (c, x), 0.0, {"a": DATA, "b": np.zeros(3)}), UsageError, r"4 \(xs\['a'\]\), 3 \(xs\['b'\]\)"),
        ((lambda c, x: (c, x), 0.0, DATA, 3), UsageError, r"3 \(length\), 4 \(xs\)"),
        ((lambda c, x: (c, x), 0.0, None, -1), UsageError, "negative"),
        ((lambda c, x: (c, x), 0.0, None, 2.5), TypeError, "integer"),
        ((lambda c, x: (c, x), 0.0, DATA, None, False, -1), UsageError, "history"),
        ((lambda c, x: (c, x), 0.0, DATA, None, False, 0.5), TypeError, "history"),
        ((lambda c, x: c, 0.0, DATA), TypeError, "must return a pair"),
        (
            (lambda c, x: (jnp.zeros(2), x), 0.0, DATA),
            TypeError,
            r"float32\[\] and becomes float32\[2\]. Give init that",
        ),
        ((lambda c, x: ({"a": c["a"] > 0}, x), {"a": 0.0}, DATA), TypeError, r"carry\['a'\] is float32\[\] and .*bool"),
        ((lambda c, x: ((c, c), x), 0.0, DATA), TypeError, "structure"),
    ],
)
def test_errors_say_what_is_wrong(arguments, error, match):
    if jnp.result_type(float) != np.float32 and "float32" in match:
        match = match.replace("float32", "float64")
    with pytest.raises(error, match=match):
        scan(*arguments)
    with pytest.raises(error, match=match), handlers.seed(rng_seed=0):
        scan(*arguments)


def test_a_carry_that_takes_the_shape_of_the_plates_around():
    def model():
        with numpyro.plate("rows", ROWS):
            scan(lambda c, _: (numpyro.sample("x", dist.Normal(c, 1.0)), None), 0.0, None, length=2)

    with pytest.raises(TypeError, match=r"the plates around have shape \(3,\)"):
        sites_of(model)


def test_a_site_that_cannot_be_drawn_is_named():
    model = lambda: one_site(lambda c, x: dist.Normal(x, 1.0))
    with pytest.raises(UsageError, match="'x'.*needs a random key"):
        handlers.trace(model).get_trace()
    with pytest.raises(UsageError, match="latent site 'x'.*has no value"):
        potential_energy(model, (), {}, {})
    with pytest.raises(UsageError, match="duplicated"):
        sites_of(lambda: (model(), model()))


def test_an_error_in_the_body_leaves_the_handlers_as_they_were():
    class Sentinel(Exception):
        pass

    def step(c, x):
        raise Sentinel

    with handlers.trace() as trace, handlers.seed(rng_seed=0):
        with pytest.raises(Sentinel):
            scan(step, 0.0, DATA)
        numpyro.sample("after", dist.Normal(0.0, 1.0))
    assert list(trace) == ["after"]


def test_handlers_of_users_see_finished_sites():
    class Seen(Messenger):
        def __init__(self):
            self.sites = []
            super().__init__(None)

        def process_message(self, msg):
            if msg["type"] == "sample":
                self.sites.append((msg["name"], msg["fn"].batch_shape, msg["value"] is not None))

    with handlers.seed(rng_seed=0), Seen() as seen:
        one_site(lambda c, x: dist.Normal(x, 1.0))
    assert seen.sites == [("x", (LENGTH,), True)]
