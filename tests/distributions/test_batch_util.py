"""Distributions that go into and come out of vmap."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro.distributions as dist
from numpyro.distributions import constraints, transforms
from numpyro.distributions.batch_util import promote_batch_shape, vmap_over

LOCS = np.arange(5.0)
MASK = np.array([True, False, True])


def chained(loc: Any) -> Any:
    parts = [transforms.AffineTransform(loc, 2.0), transforms.ExpTransform()]
    return dist.TransformedDistribution(dist.Normal(0.0, 1.0), parts)


@pytest.mark.parametrize(
    ("make", "batch_shape"),
    [
        (lambda loc: dist.Normal(loc, 1.0), ()),
        (lambda loc: dist.Normal(loc, np.arange(1.0, 4.0)), (3,)),
        (lambda loc: dist.Normal(loc, 1.0).expand((3,)), (3,)),
        (lambda loc: dist.Normal(loc + np.zeros((3, 1)), 1.0).expand((2, 3, 4)), (2, 3, 4)),
        (lambda loc: dist.Normal(loc, 1.0).expand((3,)).to_event(1), ()),
        (lambda loc: dist.Normal(loc, np.ones(3)).mask(MASK), (3,)),
        (lambda loc: dist.Normal(loc, 1.0).expand((3,)).mask(MASK).expand((2, 3)), (2, 3)),
        (lambda loc: dist.Normal(loc, 1.0).mask(False), ()),
        (lambda loc: dist.LogNormal(loc, np.ones(3)), (3,)),
        (lambda loc: dist.LogNormal(loc, 1.0).expand((3,)), (3,)),
        (lambda loc: dist.HalfNormal(loc + 1.0).expand((3,)), (3,)),
        (chained, ()),
        (lambda loc: chained(loc).expand((3,)).to_event(1), ()),
        (lambda loc: dist.FoldedDistribution(dist.Normal(loc, 1.0)), ()),
        (lambda loc: dist.Delta(loc), ()),
        (lambda loc: dist.Delta(loc + np.zeros(3), event_dim=1), ()),
        (lambda loc: dist.Dirichlet(loc + np.ones(3)).expand((2,)), (2,)),
        (lambda loc: dist.Bernoulli(logits=loc).expand((2,)), (2,)),
        (lambda loc: dist.ImproperUniform(constraints.greater_than(loc + np.zeros(2)), (), (2,)), ()),
        (lambda loc: dist.Unit(loc), ()),
    ],
)
def test_promoted_batches_are_what_a_loop_makes(make: Any, batch_shape: tuple[int, ...]) -> None:
    members = [make(loc) for loc in LOCS]
    assert members[0].batch_shape == batch_shape
    d = promote_batch_shape(jax.vmap(make)(LOCS))
    assert type(d) is type(members[0])
    assert (d.batch_shape, d.event_shape) == ((5, *batch_shape), members[0].event_shape)
    if isinstance(d, (dist.Unit, dist.ImproperUniform)):
        value = jnp.full(d.shape(), 10.0)
    else:
        value = d.sample(jax.random.key(0))
        assert value.shape == d.shape()
    expected = [np.asarray(member.log_prob(v)) for member, v in zip(members, value, strict=True)]
    np.testing.assert_allclose(d.log_prob(value), expected, rtol=1e-5, atol=1e-6)


def test_promotion_of_two_axes_and_of_none() -> None:
    d = jax.vmap(jax.vmap(lambda loc: dist.Normal(loc, 1.0).expand((3,))))(LOCS.reshape(5, 1))
    assert promote_batch_shape(d).batch_shape == (5, 1, 3)
    plain = dist.Normal(LOCS, 1.0)
    assert promote_batch_shape(plain) is plain


def test_vmap_over_names_the_axes_of_fields() -> None:
    d = dist.Normal(np.arange(3.0), 2.0)
    axes = vmap_over(d, loc=0)
    assert (axes.loc, axes.scale) == (0, None)
    batched = dist.Normal(np.arange(6.0).reshape(3, 2), 2.0)
    columns = jax.vmap(lambda d: d.loc, in_axes=(vmap_over(batched, loc=1),), out_axes=1)(batched)
    np.testing.assert_array_equal(columns, batched.loc)


def test_vmap_over_reaches_into_wrappers() -> None:
    d = jax.vmap(lambda loc: dist.Normal(loc, np.ones(3)).to_event(1), out_axes=0)(LOCS)
    axes = vmap_over(d, base_dist=vmap_over(d.base_dist, loc=0, scale=0))
    densities = jax.vmap(lambda d: d.log_prob(np.ones(3)), in_axes=(axes,))(d)
    expected = [dist.Normal(loc, 1.0).log_prob(1.0) * 3 for loc in LOCS]
    np.testing.assert_allclose(densities, expected, rtol=1e-6)


def test_vmap_over_shares_axes_with_derived_distributions() -> None:
    axes = vmap_over(dist.LogNormal(np.zeros(3), 1.0), loc=0)
    assert (axes.loc, axes.scale, axes.base_dist.loc, axes.base_dist.scale) == (0, None, 0, None)


@pytest.mark.parametrize(
    ("d", "axes"),
    [
        (dist.BetaProportion(np.float32([0.3, 0.6]), 2.0), {"mean": 0}),
        (dist.NegativeBinomial2(np.float32([0.3, 6.0]), 2.0), {"mean": 0}),
        (dist.NegativeBinomialProbs(np.float32([1.3, 6.0]), 0.3), {"total_count": 0}),
        (dist.Chi2(np.float32([1.3, 6.0])), {"df": 0}),
        (dist.StudentT(np.float32([1.3, 6.0]), 0.0, 1.0), {"df": 0}),
        (dist.Pareto(np.float32([0.3, 0.6]), 2.0), {"scale": 0}),
        (dist.Pareto(0.3, np.float32([2.0, 6.0])), {"alpha": 0}),
        (dist.LogUniform(np.float32([0.3, 0.6]), 8.0), {"low": 0}),
        (dist.InverseGamma(np.float32([2.0, 6.0]), 1.5), {"concentration": 0}),
        (dist.RelaxedBernoulliLogits(np.float32([0.7, 2.0]), 0.3), {"temperature": 0}),
        (dist.ZeroInflatedPoisson(np.float32([0.3, 0.6]), 2.0), {"gate": 0}),
        (dist.ZeroInflatedPoisson(0.3, np.float32([2.0, 6.0])), {"rate": 0}),
        (dist.AsymmetricLaplaceQuantile(np.float32([2.0, 6.0]), 1.0, 0.3), {"loc": 0}),
        (dist.BetaBinomial(np.float32([2.0, 6.0]), 1.5, 10), {"concentration1": 0}),
        (dist.Wishart(np.float32([4.0, 6.0]), np.eye(2, dtype=np.float32)), {"concentration": 0}),
        (dist.MultivariateNormal(0.0, np.float32([np.eye(2), 2 * np.eye(2)])), {"covariance_matrix": 0}),
    ],
    ids=lambda x: type(x).__name__ if isinstance(x, dist.Distribution) else "-".join(x),
)
def test_what_a_family_computes_from_a_mapped_parameter_is_mapped(d: Any, axes: dict[str, int]) -> None:
    value = d.sample(jax.random.key(0))[0]
    batched = jax.vmap(lambda d, key: (d.sample(key), d.log_prob(value)), (vmap_over(d, **axes), 0))
    draws, log_prob = batched(d, jax.random.split(jax.random.key(1), 2))
    # inside, the batch shape is still that of the whole
    assert draws.shape == (2, *d.shape())
    np.testing.assert_allclose(jnp.reshape(log_prob, (2, -1))[:, 0], d.log_prob(value), rtol=1e-5)


def test_vmap_over_unknown_fields_is_an_error() -> None:
    with pytest.raises(ValueError, match="loc, scale"):
        vmap_over(dist.Normal(0.0, 1.0), rate=0)


def test_distributions_are_outputs_of_vmap_and_carried_by_scan() -> None:
    d = jax.vmap(lambda loc: dist.Normal(loc, 1.0), out_axes=vmap_over(dist.Normal(0.0, 1.0), loc=0, scale=0))(LOCS)
    np.testing.assert_array_equal(d.loc, LOCS)

    def step(d: Any, x: Any) -> Any:
        return dist.Normal(d.loc + x, d.scale), d.log_prob(x)

    last, _ = jax.lax.scan(step, dist.Normal(jnp.array(0.0), jnp.array(1.0)), LOCS)
    assert last.loc == LOCS.sum()
