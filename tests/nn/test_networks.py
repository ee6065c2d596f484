"""Networks of flows: which output depends on which input, derivatives against autodiff, structure of parameters."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.example_libraries import stax

from numpyro import nn
from numpyro.nn.block_neural_arn import BlockMaskedDense, LeakyTanh, Tanh

KEY = jax.random.key(0)


def shapes(tree: Any) -> Any:
    return jax.tree_util.tree_map(jnp.shape, tree)


@pytest.mark.parametrize("bias", [True, False])
def test_masked_dense(bias: bool) -> None:
    mask = np.array([[1, 0], [1, 1], [0, 1]])
    init, apply = nn.MaskedDense(mask, bias=bias)
    shape, params = init(KEY, (4, 3))
    weights, offset = params if bias else (params, np.zeros(2))
    x = np.random.default_rng(0).normal(size=(4, 3))
    assert shape == (4, 2)
    np.testing.assert_allclose(apply(params, x), x @ (mask * weights) + offset, rtol=1e-5)
    with pytest.raises(ValueError, match="inputs of size 3"):
        init(KEY, (4,))


@pytest.mark.parametrize("permutation", [None, [2, 0, 3, 1]])
@pytest.mark.parametrize("skip_connections", [False, True])
def test_outputs_depend_on_earlier_inputs_only(permutation: Any, skip_connections: bool) -> None:
    init, apply = nn.AutoregressiveNN(
        4, [6, 9], permutation=permutation, skip_connections=skip_connections, nonlinearity=stax.Tanh
    )
    shape, params = init(KEY, (4,))
    assert shape == (8,)
    order = np.arange(4) if permutation is None else np.array(permutation)
    place = np.argsort(order)
    jacobians = jax.jacobian(lambda x: apply(params, x))(jnp.array([0.3, -1.0, 0.2, 2.0]))
    assert len(jacobians) == 2
    for jacobian in jacobians:
        np.testing.assert_array_equal(jacobian != 0, place[:, None] > place)


def test_masks_are_those_of_evenly_spread_degrees() -> None:
    # seen at the derivative with respect to the weights, of which a cut one has none
    init, apply = nn.AutoregressiveNN(4, [9], nonlinearity=stax.Tanh)
    _, params = init(KEY, (4,))
    x = jax.random.normal(KEY, (20, 4))
    gradient = jax.grad(lambda params: sum(jnp.sum(out * x**2) for out in apply(params, x)))(params)
    degrees = np.array([1, 1, 2, 2, 2, 2, 2, 3, 3])
    np.testing.assert_array_equal(gradient[0][0] != 0, np.arange(1, 5)[:, None] <= degrees)
    np.testing.assert_array_equal(gradient[2][0] != 0, np.tile(degrees[:, None] < np.arange(1, 5), 2))


@pytest.mark.parametrize(
    ("param_dims", "expected"),
    [([1, 1], ((5, 3), (5, 3))), ([2, 1], ((2, 5, 3), (5, 3))), ([1], (5, 3)), ([3], (3, 5, 3))],
)
def test_shapes_of_outputs(param_dims: list[int], expected: Any) -> None:
    init, apply = nn.AutoregressiveNN(3, [4], param_dims=param_dims)
    shape, params = init(KEY, (5, 3))
    assert shape == (5, 3 * sum(param_dims))
    assert shapes(apply(params, jnp.ones((5, 3)))) == expected


def test_structure_of_parameters() -> None:
    layers = [((3, 5), (5,)), (), ((5, 6), (6,)), (), ((6, 6), (6,))]
    assert shapes(nn.AutoregressiveNN(3, [5, 6])[0](KEY, (3,))[1]) == layers
    skipping = nn.AutoregressiveNN(3, [5, 6], skip_connections=True)
    assert shapes(skipping[0](KEY, (3,))[1]) == [(), (layers, (3, 6)), ()]
    blocks = [((3, 12), (12,), (12,)), (), ((12, 3), (3,), (3,))]
    assert shapes(nn.BlockNeuralAutoregressiveNN(3, [4])[0](KEY, (3,))[1]) == blocks
    normal, gated = (nn.BlockNeuralAutoregressiveNN(3, [4], residual=r) for r in ("normal", "gated"))
    assert shapes(normal[0](KEY, (3,))[1]) == [(), (blocks, ()), ()]
    assert shapes(gated[0](KEY, (3,))[1]) == [(), (blocks, ()), ()]
    assert jnp.shape(gated[0](KEY, (3,))[1][2]) == ()


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="Hidden dimension must not be less than input dimension"):
        nn.AutoregressiveNN(5, [4])
    with pytest.raises(ValueError, match="permutation of 0, ..., 2"):
        nn.AutoregressiveNN(3, [4], permutation=[0, 0, 2])
    with pytest.raises(ValueError, match="expected 3 inputs"):
        nn.AutoregressiveNN(3, [4])[0](KEY, (2,))
    with pytest.raises(ValueError, match="'normal' or 'gated', got 'sum'"):
        nn.BlockNeuralAutoregressiveNN(3, residual="sum")


@pytest.mark.parametrize("residual", [None, "normal", "gated"])
@pytest.mark.parametrize("activation", [None, Tanh(), LeakyTanh(0.2)])
@pytest.mark.parametrize("hidden_factors", [[], [3, 2]])
def test_log_derivatives_of_blocks(residual: str | None, activation: Any, hidden_factors: list[int]) -> None:
    init, apply = nn.BlockNeuralAutoregressiveNN(3, hidden_factors, residual, activation)
    shape, params = init(KEY, (3,))
    assert shape == (3,)
    x = jnp.array([[0.3, -1.0, 0.2], [2.0, 0.5, -3.0]])
    y, log_derivative = jax.jit(apply)(params, x)
    jacobian = jax.vmap(jax.jacobian(lambda x: apply(params, x)[0]))(x)
    assert y.shape == log_derivative.shape == x.shape
    np.testing.assert_allclose(log_derivative, jnp.log(jnp.diagonal(jacobian, axis1=1, axis2=2)), atol=1e-4)
    np.testing.assert_array_equal(jnp.triu(jacobian, 1), 0)


def test_block_layer_follows_its_formula() -> None:
    init, apply = BlockMaskedDense(2, 3, 2)
    shape, (weights, log_scale, bias) = init(KEY, (6,))
    assert shape == (4,)
    weights, x = np.array(weights), np.random.default_rng(0).normal(size=6)
    raw = weights.copy()
    raw[:3, :2], raw[3:, 2:] = np.exp(weights[:3, :2]), np.exp(weights[3:, 2:])
    assert (raw[3:, :2] == 0).all()
    matrix = np.exp(log_scale) * raw / np.linalg.norm(raw, axis=0)
    y, log_derivative = apply((weights, log_scale, bias), x)
    np.testing.assert_allclose(y, x @ matrix + bias, rtol=1e-5)
    np.testing.assert_allclose(np.exp(log_derivative[1]), matrix[3:, 2:], rtol=1e-5)
