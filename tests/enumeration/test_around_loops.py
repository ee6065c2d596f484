"""Masks, scales and subsamples around loops with enumerated sites, against the sum over all assignments."""

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
from numpyro.contrib.funsor import config_enumerate, enum, log_density
from numpyro.infer.util import log_density as log_joint
from numpyro.infer.util import potential_energy
from tests.enumeration.brute_force import check_sum, weights
from tests.enumeration.test_marginals import row

OBSERVED = np.array([0.1, 0.5, 1.9])  # as many as a site has values, so that axes could be mistaken for one another
TRIPLES = np.arange(9.0).reshape(3, 3) / 3
STEPS = np.array([True, False, True])
PLATES = np.array([True, True, False])


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def chain(theta, data=OBSERVED, init=0, reverse=False):
    def step(x, y):
        x = numpyro.sample("x", dist.Categorical(logits=theta * row(x)))
        numpyro.sample("y", dist.Normal(theta * x, 1.0), obs=y)
        return x, None

    return scan(step, init, data, reverse=reverse)


def per_step_mask(theta):
    with handlers.mask(mask=STEPS):
        chain(theta)


def per_step_mask_reversed(theta):
    with handlers.mask(mask=STEPS):
        chain(theta, reverse=True)


def per_step_scale(theta):
    with handlers.scale(scale=np.array([0.5, 2.0, 1.5])):
        chain(theta)


def traced_scale(theta):
    with handlers.scale(scale=jnp.array([0.5, theta, 1.5])):
        chain(theta)


def plate_mask(theta):
    with numpyro.plate("n", 3), handlers.mask(mask=PLATES):
        chain(theta, TRIPLES[:2], jnp.zeros(3, int))


def mask_of_steps_and_plates(theta):
    with (
        handlers.mask(mask=STEPS[:2, None] & PLATES),
        handlers.scale(scale=np.array([[0.5], [2.0]])),
        numpyro.plate("n", 3),
    ):
        chain(theta, TRIPLES[:2], jnp.zeros(3, int))


def same_axis_of_one(theta):
    with numpyro.plate("n", 3), handlers.mask(mask=PLATES[None]):
        chain(theta, TRIPLES[:2], jnp.zeros(3, int))


def plates_within(theta):
    def step(x, y):
        with numpyro.plate("n", 3):
            x = numpyro.sample("x", dist.Categorical(logits=theta * row(x)))
            numpyro.sample("y", dist.Normal(theta * x, 1.0), obs=y)
        return x, None

    with handlers.mask(mask=PLATES), handlers.scale(scale=np.array([[0.5], [2.0]])):
        scan(step, jnp.zeros(3, int), TRIPLES[:2])


def loop_without_enumerated_sites(theta):
    z = numpyro.sample("z", dist.Categorical(logits=theta * row(0)))

    def step(_, y):
        numpyro.sample("y", dist.Normal(theta * z, 1.0), obs=y)
        return None, None

    with handlers.mask(mask=STEPS), handlers.scale(scale=np.array([0.5, 2.0, 1.5])):
        scan(step, None, OBSERVED)


def carries_data(theta):
    def step(carry, y):
        x = numpyro.sample("x", dist.Categorical(logits=theta * row(carry[0])))
        numpyro.sample("y", dist.Normal(theta * x + 0.5 * carry[1], 1.0), obs=y)
        return (x, y), None

    with handlers.mask(mask=np.array([True, True, False, True])):
        scan(step, (0, 0.0), np.append(OBSERVED, 0.4))


MODELS = [
    per_step_mask,
    per_step_mask_reversed,
    per_step_scale,
    traced_scale,
    plate_mask,
    mask_of_steps_and_plates,
    same_axis_of_one,
    plates_within,
    loop_without_enumerated_sites,
    carries_data,
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_masks_and_scales_count_as_without_enumeration(model):
    check_sum(model, first_available_dim=-1 if model in (per_step_mask, per_step_scale) else -3)


def test_a_subsample_around_a_loop_is_scaled():
    def whole(theta):
        with numpyro.plate("n", 3):
            chain(theta, TRIPLES[:2], jnp.zeros(3, int))

    def part(theta, index):
        with handlers.substitute(data={"n": np.array([index])}), numpyro.plate("n", 3, subsample_size=1):
            chain(theta, TRIPLES[:2, [index]], jnp.zeros(1, int))

    density = lambda model, *args: log_density(enum(config_enumerate(model), first_available_dim=-2), args, {}, {})[0]
    parts = [density(part, 0.7, i) for i in range(3)]
    np.testing.assert_allclose(np.mean(parts), density(whole, 0.7), rtol=1e-10)


@pytest.mark.parametrize("place", ["around", "within"])
def test_masked_sites_of_bounded_support(place):
    """What a mask leaves out is no part of the density of the unconstrained values either."""
    data = np.append(OBSERVED, 0.4)
    keep = np.array([True, False, True, True])

    def model(theta):
        def step(x, inputs):
            y, kept = inputs
            x = numpyro.sample("x", dist.Bernoulli(jnp.array([0.2, 0.7])[x]))
            with handlers.mask(mask=kept if place == "within" else True):
                w = numpyro.sample("w", dist.LogNormal(theta * x, 1.0))
            numpyro.sample("y", dist.Normal(w, 1.0), obs=y)
            return x, None

        with handlers.mask(mask=keep if place == "around" else True):
            scan(step, 0, (data, keep))

    unconstrained = {"w": np.array([0.1, -0.3, 0.2, 0.4])}
    found = -potential_energy(model, (0.7,), {}, unconstrained, enum=True)
    constrained = {"w": np.exp(unconstrained["w"])}
    exact = jax.nn.logsumexp(weights(model, 0.7, constrained)) + unconstrained["w"][keep].sum()
    np.testing.assert_allclose(found, exact, rtol=1e-10)


def test_loops_without_enumeration_mask_bounded_supports_alike():
    keep = np.array([True, False, True])

    def model(place):
        def step(_, kept):
            with handlers.mask(mask=kept if place == "within" else True):
                numpyro.sample("w", dist.LogNormal(0.3, 1.0))
            return None, None

        with handlers.mask(mask=keep if place == "around" else True):
            scan(step, None, keep)

    z = {"w": np.array([0.1, -0.3, 0.2])}
    exact = log_joint(model, ("within",), {}, {"w": np.exp(z["w"])})[0] + z["w"][keep].sum()
    for place in ("around", "within"):
        np.testing.assert_allclose(-potential_energy(model, (place,), {}, z), exact, rtol=1e-10)


def test_masks_that_fit_neither_steps_nor_plates_are_named():
    for mask in (STEPS[:, None], np.array([True, False])):

        def model(theta, mask=mask):
            with handlers.mask(mask=mask):
                chain(theta)

        with pytest.raises(UsageError, match="around a scan does not fit its site 'x'.*axis of size 3"):
            log_density(enum(config_enumerate(model), first_available_dim=-2), (0.7,), {}, {})
