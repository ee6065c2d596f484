"""Objectives: exact values where a guide is the posterior, closed forms elsewhere, gradients, and mistakes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st

import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints
from numpyro.infer import ELBO, RenyiELBO, Trace_ELBO, TraceMeanField_ELBO

KEY = jax.random.key(0)
KEYS = jax.random.split(KEY, 4000)
Y = np.array([0.5, 1.5, 2.5], np.float32)

# Prior N(0, 1), likelihood N(mu, 1): the posterior is N(sum / 4, 1 / 4), the evidence a normal density.
POSTERIOR = {"loc": float(Y.sum() / 4), "scale": 0.5}
LOG_EVIDENCE = st.multivariate_normal.logpdf(Y, np.zeros(3), np.eye(3) + np.ones((3, 3)))


def model(y):
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    with numpyro.plate("data", len(y)):
        numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)


def guide(y):
    loc = numpyro.param("loc", 0.0)
    scale = numpyro.param("scale", 1.0, constraint=constraints.positive)
    numpyro.sample("mu", dist.Normal(loc, scale))


def exact_elbo(loc, scale):
    """E_q[log p] + entropy, in closed form."""
    prior = -0.5 * np.log(2 * np.pi) - 0.5 * (loc**2 + scale**2)
    likelihood = np.sum(-0.5 * np.log(2 * np.pi) - 0.5 * ((Y - loc) ** 2 + scale**2))
    return prior + likelihood + 0.5 * np.log(2 * np.pi * np.e * scale**2)


EXACT = [
    Trace_ELBO(),
    Trace_ELBO(num_particles=5),
    Trace_ELBO(num_particles=5, vectorize_particles=False),
    Trace_ELBO(num_particles=5, vectorize_particles=jax.vmap),
    RenyiELBO(num_particles=3),
    RenyiELBO(alpha=0.5, num_particles=3),
    RenyiELBO(alpha=2.0, num_particles=3),
]


@pytest.mark.parametrize("objective", EXACT, ids=lambda o: f"{type(o).__name__}-{o.num_particles}")
def test_with_the_posterior_as_guide_every_draw_gives_the_evidence(objective):
    loss = jax.jit(lambda key: objective.loss(key, POSTERIOR, model, guide, Y))
    for seed in range(3):
        np.testing.assert_allclose(loss(jax.random.key(seed)), -LOG_EVIDENCE, rtol=1e-5)


def test_the_mean_field_objective_with_the_posterior_as_guide():
    """The mean over draws is the evidence: within 4 standard errors, one false alarm in 15 000."""
    loss = jax.jit(jax.vmap(lambda key: TraceMeanField_ELBO().loss(key, POSTERIOR, model, guide, Y)))
    losses = np.asarray(loss(jax.random.split(KEY, 4000)))
    assert abs(losses.mean() + LOG_EVIDENCE) < 4 * losses.std() / np.sqrt(len(losses))


@pytest.mark.parametrize("objective", [Trace_ELBO(), TraceMeanField_ELBO()])
def test_losses_and_gradients_are_unbiased(objective):
    """Against the closed form, within 4.5 standard errors: six comparisons, one false alarm in 20 000 together."""
    point = {"loc": jnp.array(0.3), "scale": jnp.array(0.8)}
    estimate = jax.jit(jax.vmap(jax.value_and_grad(lambda p, key: objective.loss(key, p, model, guide, Y)), (None, 0)))
    values, gradients = estimate(point, jax.random.split(KEY, 20_000))
    step = 1e-4
    exact = {
        "loc": -(exact_elbo(0.3 + step, 0.8) - exact_elbo(0.3 - step, 0.8)) / (2 * step),
        "scale": -(exact_elbo(0.3, 0.8 + step) - exact_elbo(0.3, 0.8 - step)) / (2 * step),
    }
    for found, expected in [(values, -exact_elbo(0.3, 0.8)), *((gradients[name], exact[name]) for name in exact)]:
        found = np.asarray(found, np.float64)
        assert abs(found.mean() - expected) < 4.5 * found.std() / np.sqrt(len(found)) + 1e-5


def test_closed_form_divergences_take_their_noise_away():
    """With a likelihood that says nothing of the draw nothing is left to chance; without closed forms, the noise is."""
    point = {"loc": 0.3, "scale": 0.8}

    def conjugate():
        numpyro.sample("mu", dist.Normal(0.0, 1.0))

    loss = jax.jit(jax.vmap(lambda key: TraceMeanField_ELBO().loss(key, point, conjugate, lambda: guide(None))))
    np.testing.assert_allclose(loss(jax.random.split(KEY, 5)), 0.5 * (0.8**2 + 0.3**2 - 1 - np.log(0.8**2)), rtol=1e-5)
    plain = jax.jit(jax.vmap(lambda key: Trace_ELBO().loss(key, point, conjugate, lambda: guide(None))))
    # log q - log p at 0.3 + 0.8 e is 0.32 e^2 - 0.5 e^2 + 0.24 e and a constant: its variance is 2 * 0.18^2 + 0.24^2.
    draws = np.asarray(plain(jax.random.split(KEY, 20_000)), np.float64)
    np.testing.assert_allclose(draws.var(), 2 * 0.18**2 + 0.24**2, rtol=0.08)


def test_renyi_gradients_are_those_of_the_bound():
    """The surrogate has the value and the derivative of the bound itself, which passes through the draws."""
    for alpha in (0.0, 0.5, 3.0):
        objective = RenyiELBO(alpha, num_particles=4)

        def bound(p, alpha=alpha):
            keys = jax.random.split(KEY, 4)
            log_weights = jax.vmap(lambda key: -Trace_ELBO().loss(key, p, model, guide, Y))(keys)
            powers = (1 - alpha) * log_weights
            return -(jax.scipy.special.logsumexp(powers) - jnp.log(4.0)) / (1 - alpha)

        point = {"loc": jnp.array(0.3), "scale": jnp.array(0.8)}
        found = jax.value_and_grad(lambda p: objective.loss(KEY, p, model, guide, Y))(point)  # noqa: B023
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5), found, jax.value_and_grad(bound)(point))


def test_renyi_bounds_of_subsamples():
    """A subsample of a plate that holds everything: the bound of the subsample, times the scale. Else it is refused."""

    def local(y, whole):
        with numpyro.plate("data", len(y), subsample_size=None if whole else 3):
            z = numpyro.sample("z", dist.Normal(0.0, 1.0))
            numpyro.sample("y", dist.Normal(z, 1.0), obs=y[:3] if not whole else y)

    def local_guide(y, whole):
        with numpyro.plate("data", len(y), subsample_size=None if whole else 3):
            numpyro.sample("z", dist.Normal(0.3, 0.8))

    objective = RenyiELBO(0.5, num_particles=4)
    losses = [
        np.mean(jax.jit(jax.vmap(lambda k: objective.loss(k, {}, local, local_guide, y, whole)))(KEYS))  # noqa: B023
        for y, whole in ((Y, True), (np.concatenate([Y, Y]), False))
    ]
    np.testing.assert_allclose(losses[1], 2 * losses[0], rtol=0.02)

    def with_global(y):
        mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
        with numpyro.plate("data", 6, subsample_size=3):
            numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)

    with pytest.raises(ValueError, match=r"'mu' stands outside of \['data'\].*Trace_ELBO"):
        RenyiELBO().loss(KEY, POSTERIOR, with_global, guide, Y)


def test_importance_weights_tighten_the_bound():
    point = {"loc": 0.0, "scale": 1.0}
    means = [
        np.mean(jax.jit(jax.vmap(lambda key: -o.loss(key, point, model, guide, Y)))(jax.random.split(KEY, 2000)))  # noqa: B023
        for o in (Trace_ELBO(), RenyiELBO(num_particles=5), RenyiELBO(num_particles=50))
    ]
    assert means[0] < means[1] < means[2] < LOG_EVIDENCE + 0.05


def test_terms_by_site_sum_to_the_loss():
    point = {"loc": 0.3, "scale": 0.8}
    for cls in (Trace_ELBO, TraceMeanField_ELBO):
        terms = cls(num_particles=3, sum_sites=False).loss(KEY, point, model, guide, Y)
        assert set(terms) == {"mu", "y"}
        np.testing.assert_allclose(
            sum(terms.values()), cls(num_particles=3).loss(KEY, point, model, guide, Y), rtol=1e-5
        )


def test_a_guide_that_proposes_many_draws_is_averaged():
    def many(y):
        numpyro.sample("mu", dist.Normal(POSTERIOR["loc"], 0.5).expand([7]))

    loss = Trace_ELBO(multi_sample_guide=True).loss(KEY, {}, model, many, Y)
    np.testing.assert_allclose(loss, -LOG_EVIDENCE, rtol=1e-5)


def test_scales_and_masks_count():
    def subsampled(y):
        mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
        with numpyro.plate("data", 6, subsample_size=3), numpyro.handlers.mask(mask=np.array([True, False, True])):
            numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)

    def delta(y):
        numpyro.sample("mu", dist.Delta(numpyro.param("loc", 0.3), log_density=0.0))

    loss = Trace_ELBO().loss(KEY, {}, subsampled, delta, Y)
    expected = st.norm.logpdf(0.3) + 2 * st.norm.logpdf(Y[[0, 2]], 0.3).sum()
    np.testing.assert_allclose(loss, -expected, rtol=1e-6)
    np.testing.assert_allclose(TraceMeanField_ELBO().loss(KEY, {}, subsampled, delta, Y), -expected, rtol=1e-6)


def test_the_log_density_of_a_delta_counts():
    def delta(y):
        numpyro.sample("mu", dist.Delta(0.3, log_density=1.7))

    expected = st.norm.logpdf(0.3) + st.norm.logpdf(Y, 0.3).sum() - 1.7
    for objective in (Trace_ELBO(), TraceMeanField_ELBO()):
        np.testing.assert_allclose(objective.loss(KEY, {}, model, delta, Y), -expected, rtol=1e-6)


def test_mutable_state_comes_out():
    def counting(y):
        count = numpyro.primitives.mutable("count", {"runs": jnp.array(0)})
        count["runs"] = count["runs"] + 1
        model(y)

    result = Trace_ELBO().loss_with_mutable_state(KEY, {"count": {"runs": jnp.array(4)}}, counting, guide, Y)
    assert int(result["mutable_state"]["count"]["runs"]) == 5
    with pytest.raises(ValueError, match="num_particles=1"):
        Trace_ELBO(num_particles=2).loss_with_mutable_state(KEY, {}, counting, guide, Y)
    with pytest.raises(NotImplementedError, match="mutable state"):
        RenyiELBO().loss_with_mutable_state(KEY, {}, counting, guide, Y)


# Mistakes


def test_a_guide_without_a_site_is_named():
    with pytest.warns(UserWarning, match="in model but not guide: {'mu'}"):
        Trace_ELBO().loss(KEY, {}, model, lambda y: None, Y)
    with pytest.warns(UserWarning, match="not guide"), pytest.raises(KeyError, match="no sample site 'mu'"):
        TraceMeanField_ELBO().loss(KEY, {}, model, lambda y: None, Y)


def test_a_guide_with_a_site_too_many_is_named():
    def more(y, **infer):
        guide(y)
        numpyro.sample("extra", dist.Normal(0, 1), infer=infer)

    for objective in (Trace_ELBO(), RenyiELBO()):
        with pytest.warns(UserWarning, match=r"in guide but not model, consider .*is_auxiliary.*\n\{'extra'\}"):
            objective.loss(KEY, {}, model, more, Y)
    with pytest.warns(UserWarning, match="extra"), pytest.raises(ValueError, match="no sample site 'extra'"):
        TraceMeanField_ELBO().loss(KEY, {}, model, more, Y)
    auxiliary = lambda y: more(y, is_auxiliary=True)
    for objective in (Trace_ELBO(), RenyiELBO(), TraceMeanField_ELBO()):
        assert np.isfinite(objective.loss(KEY, {}, model, auxiliary, Y))


def test_shapes_that_differ_are_named():
    def vector():
        with numpyro.plate("rows", 3):
            numpyro.sample("x", dist.Normal(0, 1))

    with pytest.raises(ValueError, match=r"event_dims disagree at site 'x': 0 vs 1"):
        Trace_ELBO().loss(KEY, {}, vector, lambda: numpyro.sample("x", dist.Normal(np.zeros(3), 1).to_event(1)))
    with pytest.raises(ValueError, match=r"shapes disagree at site 'x': \(3,\) vs \(\), with the plates \['rows'\]"):
        Trace_ELBO().loss(KEY, {}, vector, lambda: numpyro.sample("x", dist.Normal(0, 1)))


@pytest.mark.parametrize("count", [np.int64(3), np.int32(1), 2])
def test_whole_numbers_of_any_kind(count):
    assert type(ELBO(count).num_particles) is int and ELBO(count).num_particles == count


@pytest.mark.parametrize("count", [0, -1, 1.5, True, np.bool_(True), np.float64(2.0), "2", None])
def test_numbers_of_particles(count):
    with pytest.raises(ValueError, match="positive integer"):
        ELBO(count)
    with pytest.raises(ValueError, match="alpha should not be equal to 1"):
        RenyiELBO(alpha=1)


def test_derivatives_pass_through_values_of_the_guide_whatever_the_prior_of_the_model():
    """A mixture has no reparametrised draws, but its values come from the guide, which does."""
    prior = dist.MixtureSameFamily(dist.Categorical(probs=np.full(2, 0.5)), dist.Normal(np.array([-3.0, 3.0]), 0.5))

    def model():
        numpyro.sample("z", prior)

    def guide():
        numpyro.sample("z", dist.Normal(numpyro.param("loc", 0.0), 0.1))

    loss = lambda loc: Trace_ELBO(100).loss(jax.random.key(0), {"loc": loc}, model, guide)
    assert abs(jax.grad(loss)(4.0) - 4.0) < 0.3  # (4 - 3) / 0.5^2, five standard errors of 0.1 / 0.25 / 10
