"""Flows: inverse and log determinant against autodiff, and as parts of distributions."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro.distributions as dist
from numpyro.distributions.flows import BlockNeuralAutoregressiveTransform, InverseAutoregressiveTransform
from numpyro.nn import AutoregressiveNN, BlockNeuralAutoregressiveNN

X = np.array([[0.3, -1.0, 0.2], [2.0, 0.5, -3.0]], np.float32)


def network(kind: Any, *args: Any, **kwargs: Any) -> Any:
    init, apply = kind(3, *args, **kwargs)
    _, params = init(jax.random.key(1), (3,))
    return lambda x: apply(params, x)


def scaled(factor: float) -> Any:
    """An autoregressive network with outputs of some size, so that clipping matters."""
    arn = network(AutoregressiveNN, [8], permutation=[1, 2, 0], skip_connections=True)
    return lambda x: tuple(factor * out for out in arn(x))


FLOWS = [
    InverseAutoregressiveTransform(scaled(1.0)),
    InverseAutoregressiveTransform(scaled(5.0), log_scale_min_clip=-0.5, log_scale_max_clip=0.25),
    BlockNeuralAutoregressiveTransform(network(BlockNeuralAutoregressiveNN, [4])),
    BlockNeuralAutoregressiveTransform(network(BlockNeuralAutoregressiveNN, [4], "gated")),
]


@pytest.mark.parametrize("flow", FLOWS)
def test_log_determinant(flow: Any) -> None:
    y, intermediates = flow.call_with_intermediates(X)
    np.testing.assert_allclose(flow(X), y, rtol=1e-6)
    log_det = flow.log_abs_det_jacobian(X, y)
    np.testing.assert_allclose(flow.log_abs_det_jacobian(X, y, intermediates), log_det, rtol=1e-5)
    if getattr(flow, "log_scale_min_clip", -5.0) == -5.0:  # beyond the bounds the derivative is that without them
        expected = jnp.linalg.slogdet(jax.vmap(jax.jacobian(flow))(X))[1]
    else:
        log_scale = np.clip(flow.arn(X)[1], flow.log_scale_min_clip, flow.log_scale_max_clip)
        expected = log_scale.sum(-1)
    np.testing.assert_allclose(log_det, expected, atol=1e-4)


@pytest.mark.parametrize("flow", FLOWS[:2])
def test_inverse(flow: Any) -> None:
    np.testing.assert_allclose(flow.inv(flow(X)), X, rtol=1e-3, atol=1e-4)


def test_clipped_scales_keep_their_derivatives() -> None:
    def total(log_scale: float) -> Any:
        return InverseAutoregressiveTransform(lambda x: (0 * x, 0 * x + log_scale))(jnp.ones(3)).sum()

    np.testing.assert_allclose(total(10.0), 3 * np.exp(3.0), rtol=1e-6)
    np.testing.assert_allclose(jax.grad(total)(10.0), 3 * np.exp(3.0), rtol=1e-6)
    np.testing.assert_allclose(total(-10.0), 3 * np.exp(-5.0), rtol=1e-5)


def test_the_block_flow_says_why_it_has_no_inverse() -> None:
    with pytest.raises(NotImplementedError, match="sample_with_intermediates"):
        FLOWS[2].inv(X)


@pytest.mark.parametrize("flow", FLOWS)
def test_flows_make_distributions(flow: Any) -> None:
    d = dist.TransformedDistribution(dist.Normal(np.zeros(3), 1.0).to_event(1), [flow])
    draws, intermediates = d.sample_with_intermediates(jax.random.key(0), (4,))
    log_prob = d.log_prob(draws, intermediates)
    assert draws.shape == (4, 3) and log_prob.shape == (4,)
    if isinstance(flow, InverseAutoregressiveTransform):
        np.testing.assert_allclose(d.log_prob(draws), log_prob, rtol=1e-3, atol=1e-3)


def test_equality_and_pytrees() -> None:
    arn = FLOWS[0].arn
    assert InverseAutoregressiveTransform(arn) == FLOWS[0]
    assert InverseAutoregressiveTransform(scaled(1.0)) != FLOWS[0]
    assert InverseAutoregressiveTransform(arn, -4.0) != FLOWS[0]
    for flow in FLOWS:
        leaves, structure = jax.tree_util.tree_flatten(flow)
        assert jax.tree_util.tree_unflatten(structure, leaves) == flow
    assert jax.tree_util.tree_leaves(FLOWS[0]) == [-5.0, 3.0]
    assert FLOWS[0].domain is FLOWS[0].codomain is dist.constraints.real_vector
    assert FLOWS[2].forward_shape((2, 3)) == FLOWS[2].inverse_shape((2, 3)) == (2, 3)
