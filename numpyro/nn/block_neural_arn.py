r"""Monotone autoregressive networks, which know the logarithm of their derivatives.

Layers take and return a pair: the units, of shape ``batch_shape + (d * factor,)``, a block of ``factor`` units for each
of the :math:`d` inputs, and the logarithms of the derivatives of a block by its input, of shape
``batch_shape + (d, 1, factor)``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import nn, random
from jax.example_libraries import stax
from jax.nn.initializers import glorot_uniform, normal

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.nn.masked_dense import Layer
from numpyro.ops.special import logmatmulexp


def BlockMaskedDense(
    num_blocks: int, in_factor: int, out_factor: int, bias: bool = True, W_init: Callable[..., Array] = glorot_uniform()
) -> Layer:
    r"""A dense layer between blocks of units: increasing within a block, any function of earlier blocks, no later ones.

    .. math:: y_j = e^{s_j} \sum_i \frac{\hat W_{ij}}{|\hat W_{\cdot j}|}\, x_i + b_j

    where :math:`\hat W` is :math:`e^W` on the diagonal of blocks, :math:`W` above, and 0 below.

    :param num_blocks: number of blocks.
    :param in_factor: number of units in each block of the input.
    :param out_factor: number of units in each block of the output.
    :param bias: whether there is a bias :math:`b`.
    :param W_init: initializer of :math:`W`, called for the inputs that a block of outputs has.
    :return: a pair ``(init_fun, apply_fun)``. Parameters are ``(W, s, b)``, or ``(W, s)`` without bias.
    """
    in_block, out_block = (np.repeat(np.arange(num_blocks), factor) for factor in (in_factor, out_factor))
    diagonal, above = in_block[:, None] == out_block, in_block[:, None] < out_block

    def init_fun(rng_key: Key, input_shape: Shape) -> tuple[Shape, Any]:
        key_weights, key_scale, key_bias = random.split(rng_key, 3)
        columns = []
        for block, key in enumerate(random.split(key_weights, num_blocks)):
            column = W_init(key, ((block + 1) * in_factor, out_factor))
            columns.append(jnp.pad(column, [(0, (num_blocks - 1 - block) * in_factor), (0, 0)]))
        size = num_blocks * out_factor
        params = [jnp.concatenate(columns, -1), jnp.log(1 - random.uniform(key_scale, (size,)))]
        if bias:
            params.append(random.uniform(key_bias, (size,), minval=-1, maxval=1) / np.sqrt(size))
        return (*input_shape[:-1], size), tuple(params)

    def apply_fun(params: Any, inputs: Any, **kwargs: Any) -> tuple[Array, Array]:
        x, log_derivative = inputs if isinstance(inputs, tuple) else (inputs, None)
        weights, log_scale = params[:2]
        raw = jnp.where(diagonal, jnp.exp(jnp.where(diagonal, weights, 0)), jnp.where(above, weights, 0))
        log_factor = log_scale - 0.5 * jnp.log(jnp.sum(jnp.square(raw), 0))
        outputs = jnp.dot(x, raw * jnp.exp(log_factor))
        outputs = outputs + params[2] if bias else outputs
        blocks = (weights + log_factor).reshape(num_blocks, in_factor, num_blocks, out_factor)
        log_blocks = blocks[np.arange(num_blocks), :, np.arange(num_blocks)]
        if log_derivative is None:
            return outputs, jnp.broadcast_to(log_blocks, (*outputs.shape[:-1], *log_blocks.shape))
        return outputs, logmatmulexp(log_derivative, log_blocks)

    return init_fun, apply_fun


def _keep_shape(rng_key: Key, input_shape: Shape) -> tuple[Shape, Any]:
    return input_shape, ()


def _activation(function: Callable[[Array], Array], log_derivative: Callable[[Array], Array]) -> Layer:
    def apply_fun(params: Any, inputs: tuple[Array, Array], **kwargs: Any) -> tuple[Array, Array]:
        x, before = inputs
        return function(x), before + log_derivative(x).reshape(before.shape)

    return _keep_shape, apply_fun


def _log_derivative_of_tanh(x: Array) -> Array:
    # 1 - tanh(x)^2 = 4 / (e^x + e^-x)^2
    return 2 * (np.log(2) - jnp.logaddexp(x, -x))


def Tanh() -> Layer:
    """The hyperbolic tangent, of units and their derivatives."""
    return _activation(jnp.tanh, _log_derivative_of_tanh)


def LeakyTanh(min_grad: float = 0.01) -> Layer:
    """The hyperbolic tangent and ``min_grad * x`` added to it, of units and their derivatives; it is not bounded.

    :param min_grad: its smallest derivative, positive.
    """
    return _activation(
        lambda x: jnp.tanh(x) + min_grad * x, lambda x: jnp.logaddexp(_log_derivative_of_tanh(x), np.log(min_grad))
    )


def FanInResidualNormal() -> Layer:
    """The sum of a network's output and its input, and the logarithms of its derivatives."""

    def init_fun(rng_key: Key, input_shape: Any) -> tuple[Shape, Any]:
        return input_shape[0], ()

    def apply_fun(params: Any, inputs: Any, **kwargs: Any) -> tuple[Array, Array]:
        (fx, log_derivative), x = inputs
        return fx + x, nn.softplus(log_derivative)

    return init_fun, apply_fun


def FanInResidualGated(gate_init: Callable[..., Array] = normal(1.0)) -> Layer:
    r"""The average of a network's output and its input, with weight :math:`\sigma(g)` for the output.

    :param gate_init: initializer of the parameter :math:`g`, a scalar.
    """

    def init_fun(rng_key: Key, input_shape: Any) -> tuple[Shape, Any]:
        return input_shape[0], gate_init(rng_key, ())

    def apply_fun(params: Any, inputs: Any, **kwargs: Any) -> tuple[Array, Array]:
        (fx, log_derivative), x = inputs
        gate = nn.sigmoid(params)
        log_weighted = nn.log_sigmoid(params) + log_derivative
        return gate * fx + nn.sigmoid(-params) * x, jnp.logaddexp(log_weighted, nn.log_sigmoid(-params))

    return init_fun, apply_fun


_RESIDUALS = {"normal": FanInResidualNormal, "gated": FanInResidualGated}


def BlockNeuralAutoregressiveNN(
    input_dim: int,
    hidden_factors: Sequence[int] = [8, 8],
    residual: str | None = None,
    activation: Layer | None = None,
) -> Layer:
    r"""A network of :math:`d` inputs and outputs, each output an increasing function of its input, dependent on earlier
    ones.

    :param input_dim: number of inputs :math:`d`.
    :param hidden_factors: for each hidden layer, how many units it has for each input.
    :param residual: ``"normal"`` to add the input, :math:`x + f(x)`; ``"gated"`` for an average
        :math:`\sigma(g) f(x) + (1 - \sigma(g))\,x`; default :math:`f(x)` alone.
    :param activation: layer between dense ones, which acts on pairs as this module describes; default
        :func:`LeakyTanh`, under which :math:`f` takes all values.
    :return: a pair ``(init_fun, apply_fun)``. For inputs of shape ``batch_shape + (d,)`` the output is a pair of arrays
        of this shape: the values, and the logarithms of the derivatives :math:`\partial y_i / \partial x_i`.
    :raises ValueError: when ``residual`` is something else.

    Reference: N. De Cao, I. Titov, W. Aziz (2019), "Block neural autoregressive flow".
    """
    if residual is not None and residual not in _RESIDUALS:
        raise ValueError(f"BlockNeuralAutoregressiveNN expected residual None, 'normal' or 'gated', got {residual!r}.")
    between = LeakyTanh() if activation is None else activation
    factors = [1, *hidden_factors, 1]
    layers: list[Layer] = []
    for in_factor, out_factor in zip(factors[:-1], factors[1:], strict=True):
        layers += [BlockMaskedDense(input_dim, in_factor, out_factor), between]
    net = stax.serial(*layers[:-1])
    if residual is not None:
        net = stax.serial(stax.FanOut(2), stax.parallel(net, stax.Identity), _RESIDUALS[residual]())
    net_init, net_apply = net

    def apply_fun(params: Any, inputs: ArrayLike, **kwargs: Any) -> tuple[Array, Array]:
        outputs, log_derivative = net_apply(params, inputs, **kwargs)
        return outputs, log_derivative.reshape(outputs.shape)

    return net_init, apply_fun
