"""MCMC: what a run returns and in which form, how chains and phases fit together, and what is said of mistakes."""

from __future__ import annotations

import pickle
import re

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest
from jax.interpreters import ad, mlir

import numpyro
import numpyro.distributions as dist
from numpyro._errors import UsageError
from numpyro.infer import HMC, MCMC, NUTS

KEY = jax.random.PRNGKey(0)
FIELDS = ("num_steps", "potential_energy")
DATA = np.array([1.0, 2.0, 4.0], np.float32)


def model(y=None, sigma=1.0):
    mu = numpyro.sample("mu", dist.Normal(0.0, 10.0))
    tau = numpyro.sample("tau", dist.HalfNormal(1.0).expand([2]).to_event(1))
    numpyro.deterministic("sum", mu + tau.sum())
    numpyro.sample("y", dist.Normal(mu, sigma), obs=y)


KERNEL = NUTS(model, max_tree_depth=4)


def make(kernel=KERNEL, num_warmup=10, num_samples=12, **options):
    options = {"progress_bar": False, "chain_method": "sequential", **options}
    return MCMC(kernel, num_warmup=num_warmup, num_samples=num_samples, **options)


def run(key=KEY, *args, extra_fields=(), init_params=None, kernel=KERNEL, **options):
    mcmc = make(kernel, **options)
    mcmc.run(key, *(args or (DATA,)), extra_fields=extra_fields, init_params=init_params)
    return mcmc


def assert_same(a, b, **tolerance):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    check = (lambda x, y: np.testing.assert_allclose(x, y, **tolerance)) if tolerance else np.testing.assert_array_equal
    jax.tree.map(check, a, b)


def shapes(tree):
    return jax.tree.map(np.shape, tree)


# What comes back


def test_samples_have_chains_and_draws_in_front():
    mcmc = run(num_chains=3)
    assert shapes(mcmc.get_samples()) == {"mu": (36,), "tau": (36, 2), "sum": (36,)}
    grouped = mcmc.get_samples(group_by_chain=True)
    assert shapes(grouped) == {"mu": (3, 12), "tau": (3, 12, 2), "sum": (3, 12)}
    assert_same(mcmc.get_samples(), jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), grouped))
    assert all(isinstance(leaf, jax.Array) and leaf.dtype == np.float32 for leaf in jax.tree.leaves(grouped))
    np.testing.assert_allclose(grouped["sum"], grouped["mu"] + grouped["tau"].sum(-1), rtol=1e-5)
    assert np.all(grouped["tau"] > 0)
    assert shapes(run().get_samples(group_by_chain=True)) == {"mu": (1, 12), "tau": (1, 12, 2), "sum": (1, 12)}


def test_extra_fields_reach_into_nested_states():
    fields = ("potential_energy", "z.tau", "adapt_state.step_size", "adapt_state.inverse_mass_matrix")
    mcmc = run(num_chains=2, extra_fields=fields)
    extra = mcmc.get_extra_fields(group_by_chain=True)
    assert shapes(extra) == {
        "diverging": (2, 12),
        "potential_energy": (2, 12),
        "z.tau": (2, 12, 2),
        "adapt_state.step_size": (2, 12),
        "adapt_state.inverse_mass_matrix": {("mu", "tau"): (2, 12, 3)},
    }
    assert shapes(mcmc.get_extra_fields()["z.tau"]) == (24, 2)
    assert extra["diverging"].dtype == bool
    np.testing.assert_allclose(np.exp(extra["z.tau"]), mcmc.get_samples(True)["tau"], rtol=1e-5)
    assert list(run().get_extra_fields()) == ["diverging"]
    # a field that is asked for twice, or is the draw itself, comes once
    assert list(run(extra_fields=("z", "diverging", "diverging")).get_extra_fields()) == ["diverging"]


def test_the_last_state_has_an_axis_of_chains_where_there_are_several():
    one, several = run(extra_fields=("z.mu",)), run(num_chains=2, extra_fields=("z.mu",))
    assert shapes(one.last_state.z) == {"mu": (), "tau": (2,)}
    assert shapes(several.last_state.z) == {"mu": (2,), "tau": (2, 2)}
    assert several.last_state.rng_key.shape == (2, 2)
    np.testing.assert_array_equal(several.last_state.i, [22, 22])
    np.testing.assert_array_equal(several.last_state.z["mu"], several.get_extra_fields(True)["z.mu"][:, -1])
    np.testing.assert_array_equal(one.last_state.z["mu"], one.get_extra_fields()["z.mu"][-1])


@pytest.mark.parametrize("thinning", [2, 5, 12])
def test_thinning_keeps_every_nth_draw_counted_from_the_last(thinning):
    every = run(num_chains=2).get_samples(group_by_chain=True)["mu"]
    kept = run(num_chains=2, thinning=thinning).get_samples(group_by_chain=True)["mu"]
    np.testing.assert_array_equal(kept, every[:, ::-1][:, ::thinning][:, : 12 // thinning][:, ::-1])


def test_a_postprocessing_function_makes_the_draws():
    mcmc = run(
        num_chains=2, postprocess_fn=lambda z: {"square": z["mu"] ** 2, "both": z["tau"].sum()}, extra_fields=("z.mu",)
    )
    assert shapes(mcmc.get_samples(True)) == {"square": (2, 12), "both": (2, 12)}
    np.testing.assert_allclose(mcmc.get_samples()["square"], mcmc.get_extra_fields()["z.mu"] ** 2, rtol=1e-6)


def test_the_posterior_is_right():
    mcmc = run(num_warmup=200, num_samples=500, num_chains=2)
    precision = 1 / 100 + 3
    mu = np.asarray(mcmc.get_samples()["mu"])
    assert mu.mean() == pytest.approx(DATA.sum() / precision, abs=5 * precision**-0.5 / np.sqrt(250))
    assert mu.std() == pytest.approx(precision**-0.5, rel=0.2)


def test_draws_are_kept_in_host_memory():
    mcmc = run()
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(mcmc._states))
    before = mcmc.get_samples()
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(before))
    mcmc.transfer_states_to_host()
    drawn = (mcmc.get_samples(), mcmc.get_samples(group_by_chain=True), mcmc.get_extra_fields())
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(drawn))
    assert_same(mcmc.get_samples(), before)
    typed = run(jax.random.key(0))
    typed.transfer_states_to_host()
    assert typed.get_samples()["mu"].shape == (12,)


def test_a_finished_run_survives_pickling():
    mcmc = run(num_chains=2)
    twin = pickle.loads(pickle.dumps(mcmc))
    assert_same(twin.get_samples(), mcmc.get_samples())
    assert_same(twin.last_state, mcmc.last_state)
    twin.run(KEY, DATA)
    assert_same(twin.get_samples(), mcmc.get_samples())


# Summaries


def test_the_summary_is_a_table_of_latent_sites(capsys):
    mcmc = run(num_chains=2)
    mcmc.print_summary()
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[0] == ["mean", "std", "median", "5.0%", "95.0%", "n_eff", "r_hat"]
    assert [line[0] for line in lines[1:-1]] == ["mu", "tau[0]", "tau[1]"]
    assert float(lines[1][1]) == pytest.approx(float(mcmc.get_samples()["mu"].mean()), abs=0.006)
    assert re.fullmatch(r"Number of divergences: \d+", " ".join(lines[-1]))
    assert int(lines[-1][-1]) == mcmc.get_extra_fields()["diverging"].sum()


def test_the_summary_shows_deterministic_sites_and_other_intervals_where_asked(capsys):
    mcmc = run()
    mcmc.print_summary(prob=0.5, exclude_deterministic=False)
    out = capsys.readouterr().out
    assert "25.0%" in out
    assert "75.0%" in out
    assert re.search(r"^\s+sum ", out, re.MULTILINE)


def test_the_summary_counts_divergences(capsys):
    def cliff():
        x = numpyro.sample("x", dist.Normal(0.0, 1.0))
        numpyro.factor("cliff", jnp.where(x > 0.5, -1e6, 0.0))

    mcmc = make(NUTS(cliff, step_size=0.5, adapt_step_size=False), num_warmup=0, num_samples=30)
    mcmc.run(KEY)
    mcmc.print_summary()
    count = int(mcmc.get_extra_fields()["diverging"].sum())
    assert count > 0
    assert f"Number of divergences: {count}" in capsys.readouterr().out


def test_draws_that_are_no_dictionary_have_a_summary_too(capsys):
    mcmc = make(NUTS(potential_fn=lambda z: 0.5 * jnp.sum(z**2)))
    mcmc.run(KEY, init_params=np.zeros(2, np.float32))
    mcmc.print_summary()
    assert "Param:0[1]" in capsys.readouterr().out


# Chains


def test_chain_methods_draw_the_same():
    options = {"num_chains": 2, "extra_fields": FIELDS}
    runs = {m: run(chain_method=m, **options) for m in ("sequential", "parallel", "vectorized")}
    first = runs["sequential"]
    assert_same(runs["parallel"].get_samples(True), first.get_samples(True))
    assert_same(runs["parallel"].last_state, first.last_state)
    together = runs["vectorized"]
    assert shapes(together.get_extra_fields(True)) == shapes(first.get_extra_fields(True))
    assert shapes(together.last_state) == shapes(first.last_state)
    np.testing.assert_allclose(
        together.get_samples(True)["mu"][:, :3], first.get_samples(True)["mu"][:, :3], rtol=1e-3, atol=1e-3
    )


def test_first_draws_of_vectorised_chains_agree_up_to_rounding():
    options = {"num_chains": 2, "num_warmup": 0, "num_samples": 2, "extra_fields": FIELDS}
    together, apart = (run(chain_method=method, **options) for method in ("vectorized", "sequential"))
    np.testing.assert_array_equal(together.get_extra_fields()["num_steps"], apart.get_extra_fields()["num_steps"])
    assert_same(together.get_samples(), apart.get_samples(), rtol=1e-5)


def test_a_callable_chain_method_maps_one_chain():
    seen = []

    def one_after_another(run_one):
        def mapped(arguments):
            seen.append(shapes(arguments))
            return jax.lax.map(run_one, arguments)

        return mapped

    mcmc = run(num_chains=2, chain_method=one_after_another)
    assert seen == [((2, 2), None, None)]
    assert_same(mcmc.get_samples(), run(num_chains=2).get_samples(), rtol=1e-3, atol=1e-3)


def test_more_chains_than_cores_are_no_error():
    mcmc = run(num_chains=9, chain_method="parallel", num_samples=3)
    assert_same(mcmc.get_samples(), run(num_chains=9, num_samples=3).get_samples())
    assert len(np.unique(mcmc.get_samples(True)["mu"][:, -1])) == 9


@pytest.mark.parametrize("make_key", [jax.random.PRNGKey, jax.random.key], ids=["raw", "typed"])
@pytest.mark.parametrize("method", ["sequential", "vectorized"])
def test_a_batch_of_keys_gives_each_chain_its_own(make_key, method):
    keys = jax.random.split(make_key(3), 2)
    both = run(keys, num_chains=2, chain_method=method).get_samples(group_by_chain=True)
    swapped = run(keys[::-1], num_chains=2, chain_method=method).get_samples(group_by_chain=True)
    assert_same(both, jax.tree.map(lambda x: x[::-1], swapped), rtol=1e-5)
    assert not np.array_equal(both["mu"][0], both["mu"][1])


def test_raw_and_typed_keys_draw_the_same():
    assert_same(run(jax.random.key(5)).get_samples(), run(jax.random.PRNGKey(5)).get_samples())


def test_chains_start_where_they_are_told():
    start = {"mu": np.array([5.0, -5.0], np.float32), "tau": np.zeros((2, 2), np.float32)}
    options = {"num_chains": 2, "num_warmup": 0, "num_samples": 1}
    kernel = NUTS(model, step_size=1e-6, max_tree_depth=4)
    for method in ("sequential", "vectorized", "parallel"):
        z = run(kernel=kernel, init_params=start, chain_method=method, **options).last_state.z
        np.testing.assert_allclose(z["mu"], [5, -5], atol=1e-3)
        np.testing.assert_allclose(z["tau"], 0, atol=1e-3)
    one = run(kernel=kernel, init_params={"mu": 5.0, "tau": np.zeros(2)}, num_warmup=0, num_samples=1)
    assert one.last_state.z["mu"] == pytest.approx(5, abs=1e-3)


# Phases


@pytest.mark.parametrize("num_chains", [1, 2])
def test_warm_up_and_sampling_may_be_run_apart(num_chains):
    whole = run(num_chains=num_chains)
    parts = make(num_chains=num_chains)
    assert parts.post_warmup_state is None
    parts.warmup(KEY, DATA)
    assert parts.post_warmup_state is parts.last_state
    np.testing.assert_array_equal(parts.last_state.i, 10 if num_chains == 1 else [10, 10])
    parts.run(parts.post_warmup_state.rng_key, DATA)
    assert_same(parts.get_samples(), whole.get_samples())
    assert_same(parts.last_state, whole.last_state)


def test_a_run_may_be_continued():
    whole = run(num_chains=2, num_samples=24)
    parts = run(num_chains=2)
    first = parts.get_samples(group_by_chain=True)
    parts.post_warmup_state = parts.last_state
    parts.run(parts.post_warmup_state.rng_key, DATA)
    second = parts.get_samples(group_by_chain=True)
    joined = jax.tree.map(lambda a, b: np.concatenate([a, b], 1), first, second)
    assert_same(joined, whole.get_samples(group_by_chain=True))


def test_runs_from_one_warm_up_follow_the_key_that_they_get():
    mcmc = make(num_chains=2)
    mcmc.warmup(KEY, DATA)
    draws = []
    for seed in (1, 2, 2):
        mcmc.run(jax.random.PRNGKey(seed), DATA)
        draws.append(mcmc.get_samples(group_by_chain=True)["mu"])
    assert not np.array_equal(draws[0], draws[1])
    np.testing.assert_array_equal(draws[1], draws[2])
    assert not np.array_equal(draws[0][0], draws[0][1])


def test_a_site_can_be_left_out_of_the_draws():
    mcmc = run(extra_fields=("~z.sum", "i"))
    whole = run()
    assert set(mcmc.get_samples()) == {"mu", "tau"}
    assert_same(mcmc.get_samples()["mu"], whole.get_samples()["mu"])
    assert "i" in mcmc.get_extra_fields() and "sum" in whole.get_samples()
    with pytest.raises(ValueError, match=r"'~sum'.*'~z\.site'"):
        run(extra_fields=("~sum",))


def test_warm_up_draws_are_thinned_too():
    mcmc = make(thinning=3)
    mcmc.warmup(KEY, DATA, collect_warmup=True, extra_fields=("i",))
    np.testing.assert_array_equal(mcmc.get_extra_fields()["i"], [4, 7, 10])


def test_warm_up_draws_are_kept_where_asked():
    mcmc = make(num_chains=2)
    mcmc.warmup(KEY, DATA, collect_warmup=True, extra_fields=("i",))
    assert shapes(mcmc.get_samples(True)) == {"mu": (2, 10), "tau": (2, 10, 2), "sum": (2, 10)}
    np.testing.assert_array_equal(mcmc.get_extra_fields(True)["i"][0], np.arange(1, 11))
    mcmc.run(mcmc.post_warmup_state.rng_key, DATA)
    assert_same(mcmc.get_samples(), run(num_chains=2).get_samples())
    mcmc.warmup(KEY, DATA)
    with pytest.raises(UsageError, match="`get_samples` has no draws.*collect_warmup=True"):
        mcmc.get_samples()


def test_without_warm_up_sampling_begins_at_the_start():
    mcmc = run(num_warmup=0, extra_fields=("i", "adapt_state.step_size"))
    np.testing.assert_array_equal(mcmc.get_extra_fields()["i"], np.arange(1, 13))
    np.testing.assert_array_equal(mcmc.get_extra_fields()["adapt_state.step_size"], 1)


def test_long_runs_are_cut_into_chunks_without_a_trace():
    short = run(num_samples=50).get_samples()
    long = run(num_samples=700).get_samples()
    assert long["tau"].shape == (700, 2)
    assert_same(jax.tree.map(lambda x: x[:50], long), short)
    assert len(np.unique(long["mu"])) > 300


# Mistakes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_warmup": -1}, "num_warmup must be a nonnegative integer, got -1"),
        ({"num_warmup": 1.5}, "num_warmup must be a nonnegative integer, got 1.5"),
        ({"num_samples": 0}, "num_samples must be a positive integer, got 0"),
        ({"num_samples": True}, "num_samples must be a positive integer, got True"),
        ({"num_samples": "10"}, "num_samples must be a positive integer, got '10'"),
        ({"num_chains": 0}, "num_chains must be a positive integer, got 0"),
        ({"num_chains": 2.0}, "num_chains must be a positive integer, got 2.0"),
        ({"thinning": 0}, "thinning must be a positive integer, got 0"),
        ({"thinning": 13}, "num_samples must not be less than thinning, got 12 and thinning=13"),
        ({"progress_rate": 0}, "progress_rate must be a positive integer, got 0"),
        ({"chain_method": "threads"}, '"sequential", "parallel", or "vectorized", or a callable; got \'threads\''),
    ],
)
def test_wrong_settings_are_named(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make(**options)


def test_counts_may_be_numpy_integers():
    assert make(num_warmup=np.int32(3), num_samples=np.int64(4), num_chains=np.int8(2)).num_chains == 2


def test_wrong_objects_are_named():
    with pytest.raises(ValueError, match="`sampler` must be an MCMCKernel, such as NUTS.model., got function"):
        make(model)
    with pytest.raises(ValueError, match="must be an MCMCKernel.*got ABCMeta"):
        make(NUTS)
    with pytest.raises(TypeError, match="`postprocess_fn` must be a function, got dict"):
        make(postprocess_fn={})


@pytest.mark.parametrize("key", [0, None, np.zeros(2), np.zeros(3, np.uint32), "key", [0, 1]])
def test_what_is_no_key_is_named(key):
    with pytest.raises(ValueError, match="`rng_key` must be"):
        run(key)


@pytest.mark.parametrize("make_key", [jax.random.PRNGKey, jax.random.key], ids=["raw", "typed"])
def test_a_batch_of_another_size_is_named(make_key):
    keys = jax.random.split(make_key(0), 3)
    with pytest.raises(ValueError, match=r"one key or a batch of num_chains=2 keys, got a batch of shape \(3"):
        run(keys, num_chains=2)


def test_starts_without_an_axis_of_chains_are_named():
    start = {"mu": np.zeros(3, np.float32), "tau": np.zeros((3, 2), np.float32)}
    message = r"`init_params` must have the same leading dimension as `num_chains`: expected leaves of shape \(2, ...\)"
    with pytest.raises(ValueError, match=message):
        run(init_params=start, num_chains=2)
    with pytest.raises(ValueError, match=message):
        run(init_params={"mu": 1.0, "tau": np.zeros((2, 2))}, num_chains=2)


def test_unknown_fields_are_named():
    with pytest.raises(ValueError, match="extra field 'momentum'.*it has i, z, z_grad"):
        run(extra_fields=("momentum",))
    with pytest.raises(ValueError, match="extra field 'adapt_state.epsilon'"):
        run(extra_fields=("adapt_state.epsilon",))
    with pytest.raises(ValueError, match="`extra_fields` must be a sequence of names"):
        run(extra_fields="energy")


@pytest.mark.parametrize("method", ["get_samples", "get_extra_fields", "print_summary"])
def test_results_need_a_run(method):
    mcmc = make()
    assert mcmc.last_state is None
    with pytest.raises(UsageError, match=f"`run` must be called before `{method}`"):
        getattr(mcmc, method)()


def test_a_failed_start_names_the_site_whatever_the_chain_method():
    def broken(y):
        numpyro.sample("x", dist.Normal(0.0, 1.0))
        numpyro.factor("always", -jnp.inf + 0 * y.sum())

    for method in ("sequential", "parallel", "vectorized"):
        with pytest.raises(RuntimeError, match="'always'"):
            run(kernel=NUTS(broken), num_chains=2, chain_method=method)


def test_hmc_and_nuts_agree():
    draws = [
        np.asarray(run(kernel=kernel, num_warmup=200, num_samples=500).get_samples()["mu"])
        for kernel in (KERNEL, HMC(model, trajectory_length=1.0))
    ]
    assert draws[0].mean() == pytest.approx(draws[1].mean(), abs=0.25)


@pytest.mark.parametrize("options", [{}, {"num_chains": 2, "chain_method": "vectorized"}])
def test_a_model_without_latent_sites_has_its_deterministic_sites(options):
    def observed():
        numpyro.deterministic("d", jnp.ones(3))
        numpyro.sample("x", dist.Normal(0.0, 1.0), obs=1.0)

    mcmc = MCMC(NUTS(observed), num_warmup=3, num_samples=5, progress_bar=False, **options)
    mcmc.run(jax.random.key(0))
    assert {name: draws.shape[1:] for name, draws in mcmc.get_samples().items()} == {"d": (3,)}


def test_a_state_of_the_documented_fields_alone_has_no_more_warmup():
    def normal():
        numpyro.sample("x", dist.Normal(0.0, 1.0))

    mcmc = MCMC(NUTS(normal), num_warmup=30, num_samples=5, progress_bar=False)
    mcmc.run(jax.random.key(0))
    state = mcmc.last_state
    adapt_state = type(state.adapt_state)(*state.adapt_state[:8])
    mcmc.post_warmup_state = state._replace(adapt_state=adapt_state)
    mcmc.run(jax.random.key(1))
    assert mcmc.last_state.adapt_state.step_size == state.adapt_state.step_size


def test_a_model_may_have_operations_without_a_batching_rule():
    double = jax.extend.core.Primitive("double_of_one")
    double.def_abstract_eval(lambda x: x)
    mlir.register_lowering(double, mlir.lower_fun(lambda x: 2 * x, multiple_results=False))
    ad.primitive_jvps[double] = lambda primals, tangents: (double.bind(*primals), 2 * tangents[0])

    def model():
        x = numpyro.sample("x", dist.Normal(0.0, 1.0))
        numpyro.deterministic("twice", double.bind(x))

    mcmc = MCMC(NUTS(model), num_warmup=5, num_samples=5, progress_bar=False)
    mcmc.run(jax.random.key(0))
    draws = mcmc.get_samples()
    np.testing.assert_allclose(draws["twice"], 2 * draws["x"], rtol=1e-6)
