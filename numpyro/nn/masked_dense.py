"""A dense layer in which some connections are cut."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import random
from jax.nn.initializers import glorot_normal, normal

from numpyro._typing import Array, ArrayLike, Key, Shape

Layer = tuple[Callable[..., Any], Callable[..., Any]]


def MaskedDense(
    mask: ArrayLike,
    bias: bool = True,
    W_init: Callable[..., Array] = glorot_normal(),
    b_init: Callable[..., Array] = normal(),
) -> Layer:
    r"""A dense layer with cut connections, :math:`y = x (M \odot W) + b`.

    :param mask: :math:`M`, of shape ``(size of the input, size of the output)``: 1 where two units are connected, else
        0.
    :param bias: whether there is a bias :math:`b`.
    :param W_init: initializer ``(rng_key, shape) -> array`` of :math:`W`.
    :param b_init: initializer of :math:`b`.
    :return: a pair ``(init_fun, apply_fun)``. Parameters are ``(W, b)``, or ``W`` without bias.

    >>> import jax, jax.numpy as jnp, numpy as np
    >>> init, apply = MaskedDense(np.array([[1, 0], [1, 1]]))
    >>> shape, params = init(jax.random.key(0), (2,))
    >>> (jax.jacobian(lambda x: apply(params, x))(jnp.ones(2)) != 0).tolist()
    [[True, True], [False, True]]
    """

    def init_fun(rng_key: Key, input_shape: Shape) -> tuple[Shape, Any]:
        key_weights, key_bias = random.split(rng_key)
        shape = jnp.shape(mask)
        if tuple(input_shape[-1:]) != shape[:1]:
            raise ValueError(
                f"MaskedDense expected inputs of size {shape[0]}, the first of its mask's shape {shape}, but got input "
                f"shape {tuple(input_shape)}."
            )
        weights = W_init(key_weights, shape)
        return (*input_shape[:-1], shape[-1]), (weights, b_init(key_bias, shape[-1:])) if bias else weights

    def apply_fun(params: Any, inputs: ArrayLike, **kwargs: Any) -> Array:
        weights, offset = params if bias else (params, None)
        outputs = jnp.dot(inputs, weights * mask)
        return outputs if offset is None else outputs + offset

    return init_fun, apply_fun
