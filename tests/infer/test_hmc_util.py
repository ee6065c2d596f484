"""Merging sub-posteriors: exact where they are normal."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro.infer.hmc_util import consensus, parametric, parametric_draws

COUNT = 20_000


def subposteriors(diagonal, count=COUNT):
    """Draws from normal sub-posteriors over ``a`` and ``b``, with the mean and covariance of their product."""
    rng = np.random.default_rng(0)
    factors = [
        np.array([[1.0, 0, 0], [0.6, 0.8, 0], [0.1, -0.4, 0.5]]),
        np.array([[0.5, 0, 0], [0, 2.0, 0], [1, 0, 1.0]]),
    ]
    means = [np.array([1.0, -1.0, 0.0]), np.array([0.0, 2.0, 1.0])]
    if diagonal:
        factors = [np.diag(np.diag(factor)) for factor in factors]
    draws = [mean + rng.normal(size=(count, 3)) @ factor.T for mean, factor in zip(means, factors)]
    precisions = [np.linalg.inv(factor @ factor.T) for factor in factors]
    covariance = np.linalg.inv(sum(precisions))
    mean = covariance @ sum(p @ m for p, m in zip(precisions, means))
    return [{"b": jnp.asarray(d[:, 1:]), "a": jnp.asarray(d[:, 0])} for d in draws], mean, covariance


def flat(draws):
    return np.concatenate([np.asarray(draws["a"])[:, None], np.asarray(draws["b"])], -1)


@pytest.mark.parametrize("diagonal", [False, True])
def test_normal_parts_make_the_normal_whole(diagonal):
    parts, mean, covariance = subposteriors(diagonal)
    merged = {
        "consensus": consensus(parts, diagonal=diagonal),
        "some draws": consensus(parts, num_draws=15_000, diagonal=diagonal, rng_key=jax.random.key(1)),
        "parametric": parametric_draws(parts, 15_000, diagonal=diagonal, rng_key=jax.random.key(2)),
    }
    scale = np.sqrt(np.diag(covariance))
    for draws in merged.values():
        found = flat(draws)
        assert np.all(np.abs(found.mean(0) - mean) < 5 * scale / np.sqrt(1000))
        np.testing.assert_allclose(np.cov(found.T), covariance, atol=0.06 * scale.max() ** 2)
    loc, spread = parametric(parts, diagonal=diagonal)
    np.testing.assert_allclose(loc, mean, atol=0.05)
    np.testing.assert_allclose(spread, np.diag(covariance) if diagonal else covariance, atol=0.02)


def test_consensus_is_the_weighted_average():
    """Scott et al. (2016), equation 2, of draws in pairs."""
    parts, *_ = subposteriors(False, count=50)
    draws = [flat(part) for part in parts]
    weights = [np.linalg.inv(np.cov(d.T)) for d in draws]
    expected = sum(d @ w for d, w in zip(draws, weights)) @ np.linalg.inv(sum(weights))
    np.testing.assert_allclose(flat(consensus(parts)), expected, rtol=2e-3, atol=2e-4)
    weights = [1 / np.var(d, 0, ddof=1) for d in draws]
    expected = sum(d * w for d, w in zip(draws, weights)) / sum(weights)
    np.testing.assert_allclose(flat(consensus(parts, diagonal=True)), expected, rtol=1e-4, atol=1e-5)


def test_shapes_and_pytrees():
    parts, *_ = subposteriors(False, count=30)
    assert {k: v.shape for k, v in consensus(parts, num_draws=100).items()} == {"a": (100,), "b": (100, 2)}
    assert {k: v.shape for k, v in parametric_draws(parts, 7).items()} == {"a": (7,), "b": (7, 2)}
    arrays = [part["b"] for part in parts]
    assert consensus(arrays).shape == (30, 2) and parametric(arrays)[1].shape == (2, 2)
    one = [part["a"] for part in parts]
    assert consensus(one).shape == (30,) and parametric(one)[1].shape == (1, 1)
    uneven = [arrays[0], arrays[1][:20]]
    assert consensus(uneven, num_draws=10).shape == (10, 2)
    assert parametric(uneven)[0].shape == (2,)


def test_what_cannot_be_merged_is_refused():
    parts, *_ = subposteriors(False, count=30)
    with pytest.raises(ValueError, match="at least one"):
        consensus([])
    with pytest.raises(ValueError, match="the same sites"):
        consensus([parts[0], {"a": parts[1]["a"]}])
    with pytest.raises(ValueError, match="num_draws"):
        consensus([parts[0], {"a": parts[1]["a"][:20], "b": parts[1]["b"][:20]}])
    with pytest.raises(ValueError, match="two draws"):
        parametric([{"a": jnp.ones(1)}])
    with pytest.raises(ValueError, match="more than 3 draws"):
        parametric([{"a": part["a"][:3], "b": part["b"][:3]} for part in parts])
