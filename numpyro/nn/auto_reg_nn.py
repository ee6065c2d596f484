"""Networks whose outputs depend on earlier inputs only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.example_libraries import stax

from numpyro._errors import UsageError
from numpyro._typing import ArrayLike, Key, NumpyArray, Shape
from numpyro.nn.masked_dense import Layer, MaskedDense


def _masks(
    input_dim: int, hidden_dims: Sequence[int], permutation: NumpyArray, copies: int
) -> tuple[list[NumpyArray], NumpyArray]:
    """The masks of the layers, and of connections straight from the inputs to the outputs.

    Every unit has a degree, which a connection must not lower: input ``permutation[d]`` has degree ``d + 1``, hidden
    units have degrees evenly spread from 1 to ``input_dim - 1``, and the output for an input connects to units of lower
    degree than this input only.
    """
    input_degrees = np.argsort(permutation) + 1
    degrees = [input_degrees] + [np.round(np.linspace(1, input_dim - 1, size)) for size in hidden_dims]
    masks = [low[:, None] <= high for low, high in zip(degrees[:-1], degrees[1:], strict=True)]
    to_outputs = [np.tile(degree[:, None] < input_degrees, copies) for degree in (degrees[-1], input_degrees)]
    return [mask.astype(np.float32) for mask in (*masks, to_outputs[0])], to_outputs[1].astype(np.float32)


def AutoregressiveNN(
    input_dim: int,
    hidden_dims: Sequence[int],
    param_dims: Sequence[int] = [1, 1],
    permutation: ArrayLike | None = None,
    skip_connections: bool = False,
    nonlinearity: Layer = stax.Relu,
) -> Layer:
    """A network of dense layers whose outputs for one input depend only on the inputs that come before it.

    :param input_dim: number of inputs :math:`d`.
    :param hidden_dims: sizes of the hidden layers, none of them below :math:`d`.
    :param param_dims: how many numbers of each kind there are for an input; default a mean and a logarithmic scale, one
        number each.
    :param permutation: the order of the inputs; default ``0, 1, ..., d - 1``.
    :param skip_connections: whether to connect inputs to outputs directly as well.
    :param nonlinearity: layer between dense ones.
    :return: a pair ``(init_fun, apply_fun)``. For inputs of shape ``batch_shape + (d,)`` the output is a tuple of
        arrays, one for each of ``param_dims``: of shape ``batch_shape + (d,)`` where that is 1, else
        ``(size,) + batch_shape + (d,)``; with a single entry of ``param_dims``, that array itself.
    :raises ValueError: when a hidden layer is smaller than the input.

    >>> import jax, jax.numpy as jnp
    >>> init, apply = AutoregressiveNN(2, [8])
    >>> _, params = init(jax.random.key(0), (2,))
    >>> mean, log_scale = apply(params, jnp.array([0.3, -0.5]))
    >>> bool(jnp.all(mean[0] == apply(params, jnp.array([5.0, 7.0]))[0][0]))  # the first depends on nothing
    True

    Reference: M. Germain, K. Gregor, I. Murray, H. Larochelle (2015), "MADE: masked autoencoder for distribution
    estimation".
    """
    if any(size < input_dim for size in hidden_dims):
        raise ValueError(
            f"Hidden dimension must not be less than input dimension: got hidden_dims {list(hidden_dims)} for "
            f"{input_dim} inputs."
        )
    order = np.arange(input_dim) if permutation is None else np.asarray(permutation)
    if sorted(order.tolist()) != list(range(input_dim)):
        raise UsageError(f"AutoregressiveNN expected a permutation of 0, ..., {input_dim - 1}, but got {order}.")
    masks, skip_mask = _masks(input_dim, hidden_dims, order, sum(param_dims))
    layers = [layer for mask in masks[:-1] for layer in (MaskedDense(mask), nonlinearity)]
    net_init, net_apply = stax.serial(*layers, MaskedDense(masks[-1]))
    if skip_connections:
        both = stax.parallel((net_init, net_apply), MaskedDense(skip_mask, bias=False))
        net_init, net_apply = stax.serial(stax.FanOut(2), both, stax.FanInSum)
    ends = np.cumsum(param_dims)[:-1]

    def init_fun(rng_key: Key, input_shape: Shape) -> tuple[Shape, Any]:
        if tuple(input_shape[-1:]) != (input_dim,):
            raise UsageError(f"AutoregressiveNN expected {input_dim} inputs, but got input shape {tuple(input_shape)}.")
        return net_init(rng_key, input_shape)

    def apply_fun(params: Any, inputs: ArrayLike, **kwargs: Any) -> Any:
        outputs = net_apply(params, inputs, **kwargs)
        outputs = jnp.moveaxis(outputs.reshape((*outputs.shape[:-1], -1, input_dim)), -2, 0)
        parts = tuple(part[0] if len(part) == 1 else part for part in jnp.split(outputs, ends))
        return parts[0] if len(parts) == 1 else parts

    return init_fun, apply_fun
