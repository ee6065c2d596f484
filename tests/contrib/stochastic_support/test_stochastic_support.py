"""Models whose branches differ in dimension, with weights known in closed form; keys are fixed."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st

import numpyro
import numpyro.distributions as dist
from numpyro.contrib.stochastic_support import DCC, SDVI
from numpyro.infer import HMC
from numpyro.infer.autoguide import AutoMultivariateNormal

MCMC_KWARGS = {"num_warmup": 300, "num_samples": 2000, "progress_bar": False}
Y = np.array([1.5, 2.5])


def model(y, scale=0.001):
    """None, one or three latent values, on scales that differ by a factor of a thousand."""
    kind = numpyro.sample("kind", dist.Categorical(jnp.array([0.2, 0.3, 0.5])), infer={"branching": True})
    if kind == 0:
        mean = 1.0
    elif kind == 1:
        mean = numpyro.sample("small", dist.Normal(0.0, scale)) / scale
    else:
        mean = numpyro.sample("three", dist.Normal(1.0, 1.0).expand([3]).to_event(1)).sum()
        numpyro.deterministic("mean", mean)
    numpyro.sample("y", dist.Normal(mean, 1.0), obs=y)


def exact():
    def evidence(mean, variance):
        return st.multivariate_normal([mean] * 2, np.eye(2) + variance).pdf(Y)

    joint = np.array([0.2 * evidence(1.0, 0.0), 0.3 * evidence(0.0, 1.0), 0.5 * evidence(3.0, 3.0)])
    return dict(zip("012", joint / joint.sum()))


def test_dcc_finds_the_weights_of_branches():
    result = DCC(model, mcmc_kwargs=MCMC_KWARGS, num_slp_samples=40).run(jax.random.key(0), Y)
    assert set(result.slp_weights) == set("012")
    for name, weight in exact().items():
        assert abs(result.slp_weights[name] - weight) < 0.02
    assert result.samples["0"] == {}
    assert result.samples["1"]["small"].shape == (2000,)
    assert {k: v.shape for k, v in result.samples["2"].items()} == {"three": (2000, 3), "mean": (2000,)}
    # the posterior of the sum of three, by the normal equations
    variance = 1 / (1 / 3 + 2)
    assert abs(result.samples["2"]["mean"].mean() - variance * (1.0 + Y.sum())) < 0.15


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_weights_do_not_depend_on_the_scale_of_proposals(scale):
    dcc = DCC(model, MCMC_KWARGS | {"num_chains": 2}, kernel_cls=HMC, num_slp_samples=40, proposal_scale=scale)
    weights = dcc.run(jax.random.key(1), Y).slp_weights
    for name, weight in exact().items():
        assert abs(weights[name] - weight) < 0.04


def test_sdvi_is_exact_where_guides_are():
    sdvi = SDVI(
        model,
        numpyro.optim.Adam(0.02),
        svi_num_steps=3000,
        guide_init=AutoMultivariateNormal,
        num_slp_samples=40,
    )
    # Steps of 0.02 do not find a scale of a thousandth.
    result = sdvi.run(jax.random.key(2), Y, 0.5)
    for name, weight in exact().items():
        assert abs(result.slp_weights[name] - weight) < 0.08
    guide, params = result.guides["2"]
    draws = guide.sample_posterior(jax.random.key(3), params, Y, 0.5, sample_shape=(2000,))
    assert abs(draws["three"].sum(-1).mean() - (1.0 + Y.sum()) / (1 / 3 + 2)) < 0.15
    assert result.guides["0"] == (None, {})


def test_programs_are_named_by_the_values_of_their_branches():
    def nested():
        probs = jnp.zeros(12).at[jnp.array([1, 10, 11])].set(1 / 3)
        size = numpyro.sample("size", dist.Categorical(probs), infer={"branching": True})
        if size > 10 and numpyro.sample("more", dist.Bernoulli(0.5), infer={"branching": True}):
            numpyro.sample("x", dist.Normal())
        numpyro.sample("y", dist.Normal())

    kwargs = {"num_warmup": 5, "num_samples": 4, "progress_bar": False}
    result = DCC(nested, kwargs, num_slp_samples=40).run(jax.random.key(0))
    expected = {"1", "10", "11,0", "11,1"}
    assert set(result.samples) == expected and set(result.samples["11,1"]) == {"x", "y"}
    with pytest.warns(UserWarning, match="max_slps"):
        result = DCC(nested, kwargs, num_slp_samples=30, max_slps=2).run(jax.random.key(0))
    assert len(result.samples) == 2 and abs(sum(result.slp_weights.values()) - 1) < 1e-5


def test_a_model_without_branches_is_one_program():
    def plain():
        numpyro.sample("x", dist.Normal())

    result = DCC(plain, {"num_warmup": 5, "num_samples": 4, "progress_bar": False}, num_slp_samples=2).run(
        jax.random.key(0)
    )
    assert result.slp_weights == {"": 1.0} and result.samples[""]["x"].shape == (4,)


def test_what_is_no_branch_is_refused():
    def continuous():
        numpyro.sample("x", dist.Normal(), infer={"branching": True})

    def many():
        with numpyro.plate("two", 2):
            numpyro.sample("x", dist.Bernoulli(0.5), infer={"branching": True})

    with pytest.raises(RuntimeError, match="only supported for discrete"):
        DCC(continuous, {}).run(jax.random.key(0))
    with pytest.raises(ValueError, match="single number"):
        DCC(many, {}).run(jax.random.key(0))
    for make in (
        lambda: DCC(many, {}, num_slp_samples=0),
        lambda: DCC(many, {}, max_slps=0),
        lambda: DCC(many, {}, proposal_scale=0.0),
        lambda: SDVI(many, None, svi_num_steps=0),
    ):
        with pytest.raises(ValueError, match="must be"):
            make()
