"""The documented functions of a model: densities, maps between spaces, models made ready for a sampler."""

from __future__ import annotations

import pickle
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.distributions import constraints
from numpyro.distributions.transforms import ExpTransform, IdentityTransform
from numpyro.infer import init_to_value
from numpyro.infer.util import (
    ModelInfo,
    ParamInfo,
    _unconstrain_reparam,
    compute_log_probs,
    constrain_fn,
    find_valid_initial_params,
    get_potential_fn,
    get_transforms,
    initialize_model,
    log_density,
    log_likelihood,
    potential_energy,
    transform_fn,
    unconstrain_fn,
)
from tests.helpers.compilations import count_compilations

KEY = jax.random.key(0)
Y = np.array([1.0, 0.5, -1.0], np.float32)


def model(y=None):
    mu = numpyro.sample("mu", dist.Normal(0, 1))
    scale = numpyro.sample("scale", dist.HalfNormal(1))
    numpyro.sample("below", dist.Uniform(0, scale))
    factor = numpyro.param("factor", 1.5, constraint=constraints.positive)
    numpyro.deterministic("sum", mu + scale)
    with numpyro.plate("data", 3):
        numpyro.sample("y", dist.Normal(mu, scale * factor), obs=y)


def plain(y):
    """Without deterministic sites or supports that depend on other sites."""
    scale = numpyro.sample("scale", dist.HalfNormal(1))
    numpyro.sample("y", dist.Normal(0, scale), obs=y)


def discrete():
    c = numpyro.sample("c", dist.Poisson(0.5))
    numpyro.sample("x", dist.Normal(c, 1))


VALUES = {"mu": 0.3, "scale": 0.8, "below": 0.2}
CLOSED_FORM = {
    "mu": stats.norm.logpdf(0.3),
    "scale": stats.halfnorm.logpdf(0.8),
    "below": -np.log(0.8),
    "y": stats.norm.logpdf(Y, 0.3, 0.8 * 1.5),
}
Z = {"mu": 0.3, "scale": np.log(0.8), "below": np.log(0.2 / 0.6)}
# Volumes of the maps onto (0, inf) and (0, 0.8).
LOG_DET = np.log(0.8) + np.log(0.8 * 0.25 * 0.75)


# Densities


def test_log_density_is_the_sum_over_sites(precision):
    expected = sum(np.sum(term) for term in CLOSED_FORM.values())
    log_joint, trace = log_density(model, (Y.astype(precision),), {}, VALUES)
    assert log_joint.shape == () and log_joint.dtype == precision
    np.testing.assert_allclose(log_joint, expected, rtol=1e-6)
    assert list(trace) == ["mu", "scale", "below", "factor", "sum", "data", "y"]
    assert trace["y"]["is_observed"] and trace["mu"]["value"] == 0.3


@pytest.mark.parametrize("sum_log_prob", [True, False])
def test_compute_log_probs_tells_them_site_by_site(sum_log_prob):
    log_probs, trace = compute_log_probs(model, (Y,), None, VALUES, sum_log_prob)
    expected = {name: np.sum(term) if sum_log_prob else term for name, term in CLOSED_FORM.items()}
    assert list(log_probs) == ["mu", "scale", "below", "y"] and trace["data"]["type"] == "plate"
    for name, log_prob in log_probs.items():
        np.testing.assert_allclose(log_prob, expected[name], rtol=1e-5)
        assert np.shape(log_prob) == np.shape(expected[name])


def test_values_may_be_given_for_sites_of_any_kind():
    scaled = handlers.scale(lambda: numpyro.sample("x", dist.Normal(numpyro.param("p", 0.0), 1)), 3.0)
    np.testing.assert_allclose(
        log_density(scaled, (), {}, {"x": 1.0, "p": 0.5})[0], 3 * stats.norm.logpdf(0.5), rtol=1e-6
    )
    with_sum = lambda y: numpyro.sample("y", dist.Normal(numpyro.deterministic("d", 0.0), 1), obs=y)
    np.testing.assert_allclose(log_density(with_sum, (0.0,), {}, {"d": 2.0})[0], stats.norm.logpdf(2.0), rtol=1e-6)
    assert log_density(lambda: None, (), {}, {})[0] == 0.0


def test_potential_energy_counts_the_volume_of_the_map(precision):
    expected = -sum(np.sum(term) for term in CLOSED_FORM.values()) - LOG_DET
    energy = potential_energy(model, (Y.astype(precision),), {}, Z)
    assert energy.shape == () and energy.dtype == precision
    np.testing.assert_allclose(energy, expected, rtol=1e-5)
    np.testing.assert_allclose(potential_energy(model, (Y,), {}, Z, enum=True), expected, rtol=1e-5)


def test_discrete_sites_that_cannot_be_summed_out_are_named():
    for function in (
        lambda: potential_energy(discrete, (), {}, {"x": 0.0}, enum=True),
        lambda: find_valid_initial_params(KEY, discrete, enum=True),
        lambda: initialize_model(KEY, discrete),
        lambda: get_potential_fn(discrete, {}, enum=True)[0]({"x": 0.0}),
    ):
        with pytest.raises(ValueError, match="discrete latent sites: 'c'"):
            function()
    with pytest.raises(ValueError, match="discrete sample site 'c'"):
        potential_energy(discrete, (), {}, {"c": 1, "x": 0.0})


def coin_below_a_plate():
    with numpyro.plate("n", 3):
        c = numpyro.sample("c", dist.Bernoulli(0.3))
        x = numpyro.sample("x", dist.Normal(c, 1))
    numpyro.deterministic("largest", x.max() + c.sum())


def test_discrete_sites_of_finite_support_are_summed_out():
    z = {"x": np.array([0.1, -0.4, 1.3])}
    expected = -np.sum(np.log(0.7 * stats.norm.pdf(z["x"]) + 0.3 * stats.norm.pdf(z["x"], 1.0)))
    assert potential_energy(coin_below_a_plate, (), {}, z, enum=True) == pytest.approx(expected, rel=1e-5)
    potential_fn, postprocess_fn = get_potential_fn(coin_below_a_plate, {}, enum=True, replay_model=True)
    assert potential_fn(z) == pytest.approx(expected, rel=1e-5)
    assert (postprocess_fn(z)["largest"] - 1.3) % 1 == pytest.approx(0, abs=1e-5)
    info = initialize_model(KEY, coin_below_a_plate)
    assert info.potential_fn(z) == pytest.approx(expected, rel=1e-5)
    assert info.model_trace["c"]["value"].shape == (3,)
    assert info.postprocess_fn(z)["largest"].shape == ()
    (found, _, _), _ = find_valid_initial_params(KEY, coin_below_a_plate, enum=True)
    assert list(found) == ["x"]
    with pytest.raises(ValueError, match="discrete latent sites, 'c': write enum=True"):
        find_valid_initial_params(KEY, coin_below_a_plate)


def test_latent_sites_need_values():
    missing = {"mu": 0.3, "scale": 0.8}
    for function in (log_density, potential_energy, constrain_fn, unconstrain_fn, get_transforms):
        with pytest.raises(AssertionError, match="below"):
            function(model, (Y,), {}, missing)


def test_log_likelihood_is_for_each_draw_and_observation():
    draws = {"mu": np.linspace(-1, 1, 6), "scale": np.linspace(0.5, 1, 6), "below": np.full(6, 0.1)}
    expected = stats.norm.logpdf(Y, draws["mu"][:, None], 1.5 * draws["scale"][:, None])
    result = log_likelihood(model, draws, Y)
    assert list(result) == ["y"]
    np.testing.assert_allclose(result["y"], expected, rtol=1e-5)
    np.testing.assert_allclose(log_likelihood(model, draws, parallel=True, y=Y)["y"], expected, rtol=1e-5)
    by_chain = {name: draw.reshape(2, 3) for name, draw in draws.items()}
    np.testing.assert_allclose(
        log_likelihood(model, by_chain, Y, batch_ndims=2)["y"].reshape(6, 3), expected, rtol=1e-5
    )
    np.testing.assert_allclose(log_likelihood(model, VALUES, Y, batch_ndims=0)["y"], CLOSED_FORM["y"], rtol=1e-5)
    assert log_likelihood(model, dict(draws, y=np.zeros((6, 3)))) == {}  # nothing is observed


def test_log_likelihood_is_masked_but_not_scaled():
    def weighted(y):
        x = numpyro.sample("x", dist.Normal(0, 1))
        with handlers.scale(scale=10.0), handlers.mask(mask=np.array([True, False, True])):
            numpyro.sample("y", dist.Normal(x, 1), obs=y)

    expected = stats.norm.logpdf(Y) * [1, 0, 1]
    np.testing.assert_allclose(log_likelihood(weighted, {"x": np.zeros(2)}, Y)["y"], [expected] * 2, rtol=1e-5)


@pytest.mark.parametrize(
    "draws, message",
    [
        ({"mu": np.zeros(4), "scale": np.ones(3)}, "site scale and mu should be the same"),
        ({}, "No sample sites"),
        ({"mu": np.zeros(4)}, "scale"),
    ],
)
def test_log_likelihood_needs_draws_of_all_latent_sites(draws, message):
    with pytest.raises(ValueError, match=message):
        log_likelihood(model, draws, Y)


# Maps


def test_constrain_and_unconstrain_are_inverse():
    constrained = constrain_fn(model, (Y,), {}, Z)
    assert list(constrained) == ["mu", "scale", "below"]
    for name, value in VALUES.items():
        np.testing.assert_allclose(constrained[name], value, rtol=1e-5)
    back = unconstrain_fn(model, (Y,), {}, constrained)
    for name, value in Z.items():
        np.testing.assert_allclose(back[name], value, rtol=1e-4)


def test_constrain_returns_deterministic_sites_and_params_on_demand():
    z = dict(Z, factor=np.log(2.0), unknown=1.0)
    everything = constrain_fn(model, (Y,), {}, z, return_deterministic=True)
    assert set(everything) == {"mu", "scale", "below", "factor", "sum"}
    np.testing.assert_allclose(everything["factor"], 2.0, rtol=1e-6)
    np.testing.assert_allclose(everything["sum"], 1.1, rtol=1e-6)
    back = unconstrain_fn(model, (Y,), {}, dict(VALUES, factor=2.0, sum=5.0))
    np.testing.assert_allclose(back["factor"], np.log(2.0), rtol=1e-6)
    assert back["sum"] == 5.0


@pytest.mark.parametrize("batch_shape", [(4,), (2, 3)])
def test_constrain_maps_over_draws(batch_shape):
    z = {name: np.full(batch_shape, value, np.float32) for name, value in Z.items()}
    constrained = constrain_fn(model, (Y,), {}, z, return_deterministic=True, batch_ndims=len(batch_shape))
    assert {value.shape for value in constrained.values()} == {batch_shape}
    np.testing.assert_allclose(constrained["below"], 0.2, rtol=1e-5)


def test_transforms_lead_onto_supports():
    transforms = get_transforms(model, (Y,), {}, VALUES)
    assert list(transforms) == ["mu", "scale", "below", "factor"]
    assert transforms["mu"] == IdentityTransform()
    np.testing.assert_allclose(transforms["below"](0.0), 0.4, rtol=1e-6)
    assert list(get_transforms(discrete, (), {}, {"c": 1, "x": 0.0})) == ["x"]
    there = transform_fn({"a": ExpTransform()}, {"a": 2.0, "b": 3.0})
    np.testing.assert_allclose(there["a"], np.exp(2.0), rtol=1e-6)
    assert there["b"] == 3.0
    np.testing.assert_allclose(transform_fn({"a": ExpTransform()}, there, invert=True)["a"], 2.0, rtol=1e-6)


def test_substituted_reparam_gives_the_same_density():
    substituted = handlers.substitute(model, substitute_fn=partial(_unconstrain_reparam, Z))
    with handlers.trace() as trace:
        substituted(Y)
    assert {"_scale_log_det", "_below_log_det"} < set(trace) and "_mu_log_det" not in trace
    np.testing.assert_allclose(
        -log_density(substituted, (Y,), {}, {})[0], potential_energy(model, (Y,), {}, Z), rtol=1e-5
    )
    scaled, site = handlers.scale(plain, 3.0), {"scale": 0.5}
    substituted = handlers.substitute(scaled, substitute_fn=partial(_unconstrain_reparam, site))
    np.testing.assert_allclose(
        -log_density(substituted, (Y,), {}, {})[0], potential_energy(scaled, (Y,), {}, site), rtol=1e-5
    )
    assert _unconstrain_reparam({"factor": 2.0}, trace["factor"]) == 2.0
    assert _unconstrain_reparam({}, trace["mu"]) is None


# Models made ready


def test_initialize_model_gives_a_start_and_functions():
    info = initialize_model(KEY, model, model_args=(Y,))
    assert isinstance(info, ModelInfo) and isinstance(info.param_info, ParamInfo)
    z, energy, gradient = info.param_info
    assert set(z) == set(gradient) == {"mu", "scale", "below"}
    np.testing.assert_allclose(energy, potential_energy(model, (Y,), {}, z), rtol=1e-5)
    value, own_gradient = jax.jit(jax.value_and_grad(info.potential_fn))(z)
    np.testing.assert_allclose(value, energy, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), own_gradient, gradient)
    constrained = info.postprocess_fn(z)
    assert set(constrained) == {"mu", "scale", "below", "sum"}
    trace = info.model_trace
    assert list(trace) == ["mu", "scale", "below", "factor", "sum", "data", "y"]
    np.testing.assert_allclose(trace["below"]["value"], constrained["below"], rtol=1e-5)
    assert isinstance(trace["y"]["fn"], dist.ExpandedDistribution) and trace["y"]["cond_indep_stack"][0].name == "data"
    np.testing.assert_allclose(trace["below"]["fn"].high, trace["scale"]["value"], rtol=1e-6)


def test_the_functions_can_be_jitted_mapped_and_pickled():
    for some_model, count in ((model, 4), (plain, 1)):
        info = initialize_model(KEY, some_model, model_args=(Y,))
        z = jax.tree.map(lambda x: np.full(5, x), info.param_info.z)
        draws = jax.vmap(info.postprocess_fn)(z)
        assert len(draws) == count and draws["scale"].shape == (5,)
        potential_fn, postprocess_fn = pickle.loads(pickle.dumps((info.potential_fn, info.postprocess_fn)))
        np.testing.assert_allclose(potential_fn(info.param_info.z), info.param_info.potential_energy, rtol=1e-5)
        np.testing.assert_allclose(postprocess_fn(info.param_info.z)["scale"], draws["scale"][0], rtol=1e-5)


def test_potential_functions_know_their_sites():
    info = initialize_model(KEY, model, model_args=(Y,))
    with pytest.raises(ValueError, match="'below' .Uniform. has no value"):
        info.potential_fn({"mu": 0.0, "scale": 0.0})
    with pytest.raises(ValueError, match=r"'mu'.*must have shape \(\), but has shape \(2,\)"):
        info.potential_fn({"mu": np.zeros(2), "scale": 0.0, "below": 0.0})


def test_arguments_may_come_later():
    info = initialize_model(KEY, model, model_args=(Y,), dynamic_args=True)
    np.testing.assert_allclose(info.potential_fn(y=2 * Y)(Z), potential_energy(model, (2 * Y,), {}, Z), rtol=1e-6)
    np.testing.assert_allclose(info.postprocess_fn(Y)(Z)["sum"], 1.1, rtol=1e-6)
    pickle.loads(pickle.dumps(info.potential_fn))(Y)(Z)


@pytest.mark.parametrize(
    "keys", [jax.random.split(KEY, 3), jax.random.split(jax.random.PRNGKey(2), 3)], ids=["typed", "raw"]
)
def test_a_batch_of_keys_starts_a_batch_of_chains(keys):
    info = initialize_model(keys, plain, model_args=(Y,))
    z, energy, gradient = info.param_info
    assert z["scale"].shape == energy.shape == gradient["scale"].shape == (3,)
    assert np.unique(z["scale"]).size == 3
    np.testing.assert_allclose(jax.vmap(info.potential_fn)(z), energy, rtol=1e-5)


def test_options_of_the_start():
    start = partial(initialize_model, KEY, plain, model_args=(Y,))
    at_two = start(init_strategy=init_to_value(values={"scale": 2.0}))
    np.testing.assert_allclose(at_two.param_info.z["scale"], np.log(2.0), rtol=1e-6)
    forward = start(forward_mode_differentiation=True).param_info
    np.testing.assert_allclose(forward.z_grad["scale"], start().param_info.z_grad["scale"], rtol=1e-4)
    assert start(validate_grad=False).param_info.z_grad is None


def test_a_model_without_latent_sites_has_its_likelihood():
    info = initialize_model(KEY, lambda y: numpyro.sample("y", dist.Normal(0, 1), obs=y), model_args=(Y,))
    assert info.param_info.z == {} and info.postprocess_fn({}) == {}
    np.testing.assert_allclose(info.potential_fn({}), -stats.norm.logpdf(Y).sum(), rtol=1e-6)


def test_params_drawn_by_the_model_stay():
    def with_param():
        p = numpyro.param("p", lambda key: jax.random.normal(key))
        numpyro.sample("x", dist.Normal(p, 1))

    info = initialize_model(KEY, with_param)
    p, x = info.model_trace["p"]["value"], info.param_info.z["x"]
    np.testing.assert_allclose(info.potential_fn({"x": x}), -stats.norm.logpdf(x, p), rtol=1e-5)
    np.testing.assert_allclose(info.param_info.potential_energy, -stats.norm.logpdf(x, p), rtol=1e-5)


def test_new_data_and_keys_compile_nothing_new():
    prepare = lambda key, y: initialize_model(key, plain, model_args=(y,))
    key, other, y = jax.random.key(3), jax.random.key(4), 2 * Y
    prepare(key, Y)
    with count_compilations() as count:
        prepare(other, y)
    assert count() == 0


def test_it_may_run_inside_jit():
    @jax.jit
    def energy(key, y):
        info = initialize_model(key, plain, model_args=(y,))
        return info.param_info.potential_energy - info.potential_fn(info.param_info.z)

    np.testing.assert_allclose(energy(KEY, Y), 0.0, atol=1e-5)


def test_mistakes_are_told():
    with pytest.raises(TypeError, match="random key"):
        initialize_model(0, plain, model_args=(Y,))
    with pytest.raises(ValueError, match="outside the support"):
        initialize_model(KEY, lambda y: numpyro.sample("y", dist.HalfNormal(1), obs=y), model_args=(Y,))
    with pytest.raises(RuntimeError, match="Cannot find valid initial parameters"):
        initialize_model(KEY, lambda: numpyro.factor("f", np.nan * numpyro.sample("x", dist.Normal(0, 1))))

    def subsampled():
        with numpyro.plate("data", 10, subsample_size=4):
            numpyro.sample("x", dist.Normal(0, 1))

    with pytest.raises(ValueError, match="subsampling.*'data'"):
        initialize_model(KEY, subsampled)


def test_find_valid_initial_params_tells_whether_it_found_some():
    (z, energy, gradient), is_valid = find_valid_initial_params(KEY, plain, model_args=(Y,))
    assert is_valid and set(z) == set(gradient) == {"scale"}
    np.testing.assert_allclose(energy, potential_energy(plain, (Y,), {}, z), rtol=1e-5)
    (_, _, gradient), _ = find_valid_initial_params(KEY, plain, model_args=(Y,), validate_grad=False)
    assert gradient is None
    _, is_valid = find_valid_initial_params(
        jax.random.split(KEY, 2), lambda: numpyro.factor("f", jnp.nan * numpyro.sample("x", dist.Normal(0, 1)))
    )
    assert is_valid.shape == (2,) and not is_valid.any()
    find_valid_initial_params(KEY, plain, model_args=(Y,), prototype_params={"scale": 0.0})
    with pytest.raises(ValueError, match="prototype_params"):
        find_valid_initial_params(KEY, plain, model_args=(Y,), prototype_params={"scale": np.zeros(2)})


@pytest.mark.parametrize("dynamic_args", [False, True])
def test_potential_functions_by_transforms_or_by_replay(dynamic_args):
    transforms = get_transforms(model, (Y,), {}, VALUES)
    options = {"dynamic_args": True} if dynamic_args else {"model_args": (Y,)}
    for replay_model in (False, True):
        potential_fn, postprocess_fn = get_potential_fn(model, transforms, replay_model=replay_model, **options)
        if dynamic_args:
            potential_fn, postprocess_fn = potential_fn(Y), postprocess_fn(Y)
        np.testing.assert_allclose(potential_fn(Z), potential_energy(model, (Y,), {}, Z), rtol=1e-6)
        values = postprocess_fn(dict(Z, scale=np.log(1.6)))
        # The support of `below` is that of the transforms, or that which the value of `scale` makes.
        np.testing.assert_allclose(values["below"], 0.4 if replay_model else 0.2, rtol=1e-5)
        assert ("sum" in values) is replay_model


def test_rooms_of_inference_need_no_import_of_their_own():
    program = "import numpyro.infer; numpyro.infer.autoguide.AutoNormal; numpyro.infer.reparam.LocScaleReparam"
    subprocess.run([sys.executable, "-c", program], check=True)
    with pytest.raises(AttributeError, match="nosuch"):
        numpyro.infer.nosuch  # noqa: B018
