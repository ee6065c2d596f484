"""Maps that only arrange: reshape, permute, unpack into a pytree, pair real numbers into complex ones."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._errors import UsageError
from numpyro._typing import Array, ArrayLike, PyTree, Shape
from numpyro.distributions import constraints
from numpyro.distributions.constraints import Constraint
from numpyro.distributions.transforms.base import (
    ParameterFreeTransform,
    Transform,
    as_float,
    check_rank,
    zeros_of_batch,
)
from numpyro.distributions.transforms.registry import biject_to


class ReshapeTransform(Transform):
    r"""The map that gives events another shape of the same size.

    :math:`y_{j_1 \dots j_m} = x_{i_1 \dots i_l}` where both indices stand at the same place in row-major order.

    :param forward_shape: the shape of an event of the values.
    :param inverse_shape: the shape of an event of the arguments.
    :domain: real arrays of shape ``inverse_shape``
    :codomain: real arrays of shape ``forward_shape``
    :log determinant: :math:`0`
    :raises ValueError: when the two differ in size.
    """

    pytree_aux_fields = ("_forward_shape", "_inverse_shape")

    def __init__(self, forward_shape: Shape, inverse_shape: Shape) -> None:
        if math.prod(forward_shape) != math.prod(inverse_shape):
            raise ValueError(
                f"forward shape {forward_shape} (size {math.prod(forward_shape)}) and inverse shape {inverse_shape}"
                f" (size {math.prod(inverse_shape)}) are not compatible: they must be of one size."
            )
        self._forward_shape = tuple(forward_shape)
        self._inverse_shape = tuple(inverse_shape)

    @property
    def domain(self) -> Constraint:  # type: ignore[override]
        return constraints.independent(constraints.real, len(self._inverse_shape))

    @property
    def codomain(self) -> Constraint:  # type: ignore[override]
        return constraints.independent(constraints.real, len(self._forward_shape))

    def forward_shape(self, shape: Shape) -> Shape:
        return _swap_event(self, shape, self._inverse_shape, self._forward_shape)

    def inverse_shape(self, shape: Shape) -> Shape:
        return _swap_event(self, shape, self._forward_shape, self._inverse_shape)

    def __call__(self, x: Any) -> Array:
        return jnp.reshape(x, self.forward_shape(np.shape(x)))

    def _inverse(self, y: Any) -> Array:
        return jnp.reshape(y, self.inverse_shape(np.shape(y)))

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Array:
        return zeros_of_batch(x, len(self._inverse_shape))


def _swap_event(transform: Transform, shape: Shape, old: Shape, new: Shape) -> Shape:
    batch = len(shape) - len(old)
    if batch < 0 or tuple(shape[batch:]) != old:
        raise ValueError(f"{transform!r} expected a shape that ends in {old}, but got {shape}.")
    return (*shape[:batch], *new)


class PermuteTransform(Transform):
    r"""The map that permutes vectors, :math:`y_i = x_{\pi(i)}`: ``y = x[..., permutation]``.

    :param permutation: :math:`\pi`, an array of shape ``(n,)`` that holds each of ``0, ..., n - 1`` once.
    :domain: :math:`\mathbb{R}^n`
    :codomain: :math:`\mathbb{R}^n`
    :log determinant: :math:`0`
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    pytree_data_fields = ("permutation",)

    def __init__(self, permutation: ArrayLike) -> None:
        self.permutation = permutation

    def __call__(self, x: Any) -> Array:
        return jnp.asarray(x)[..., self._indices(self.permutation)]

    def _inverse(self, y: Any) -> Array:
        xp = jnp if isinstance(self.permutation, jax.core.Tracer) else np
        return jnp.asarray(y)[..., self._indices(xp.argsort(self._indices(self.permutation)))]

    @staticmethod
    def _indices(permutation: Any) -> Any:
        return permutation if isinstance(permutation, jax.core.Tracer) else np.asarray(permutation)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Array:
        return zeros_of_batch(x, 1)


class UnpackTransform(Transform):
    r"""The map of a vector to a pytree of its pieces, and back.

    :math:`(x_1, \dots, x_n) \mapsto` the same numbers, in arrays.

    :param unpack_fn: function of a vector of shape ``(n,)`` that returns the pytree.
    :param pack_fn: its inverse, needed for ``inv`` only.
    :domain: :math:`\mathbb{R}^n`
    :codomain: pytrees of real arrays with :math:`n` elements together
    :log determinant: :math:`0`
    """

    domain = constraints.real_vector
    codomain = constraints.dependent
    pytree_aux_fields = ("unpack_fn", "pack_fn")

    def __init__(self, unpack_fn: Callable[[Any], PyTree], pack_fn: Callable[[PyTree], Any] | None = None) -> None:
        self.unpack_fn = unpack_fn
        self.pack_fn = pack_fn

    def __call__(self, x: Any) -> PyTree:
        unpack = self.unpack_fn
        for _ in range(np.ndim(x) - 1):
            unpack = jax.vmap(unpack)
        return unpack(x)

    def _inverse(self, y: PyTree) -> Any:
        if self.pack_fn is None:
            raise NotImplementedError("pack_fn needs to be provided to perform UnpackTransform.inv.")
        first = {np.shape(leaf)[0] if np.ndim(leaf) else None for leaf in jax.tree.leaves(y)}
        if len(first) == 1 and None not in first and len(jax.tree.leaves(y)) > 1:
            warnings.warn(
                "UnpackTransform.inv might lead to an unexpected behavior because it cannot transform a batch of"
                " unpacked arrays: map it over the batch with jax.vmap.",
                stacklevel=3,
            )
        return self.pack_fn(y)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Array:
        return zeros_of_batch(x, 1)

    def forward_shape(self, shape: Shape) -> Shape:
        raise NotImplementedError("the value of an UnpackTransform is a pytree, which has no one shape.")

    def inverse_shape(self, shape: Shape) -> Shape:
        raise NotImplementedError("the value of an UnpackTransform is a pytree, which has no one shape.")


class ComplexTransform(ParameterFreeTransform):
    r"""The map of a pair of real numbers to the complex one :math:`y = x_1 + \mathrm{i} x_2`.

    :domain: :math:`\mathbb{R}^2`
    :codomain: :math:`\mathbb{C}`
    :log determinant: :math:`0`
    """

    domain = constraints.real_vector
    codomain = constraints.complex

    def __call__(self, x: Any) -> Array:
        x = as_float(x)
        self.forward_shape(x.shape)
        return lax.complex(x[..., 0], x[..., 1])

    def _inverse(self, y: Any) -> Array:
        y = jnp.asarray(y)
        return jnp.stack([y.real, y.imag], axis=-1)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Array:
        return zeros_of_batch(x, 1)

    def forward_shape(self, shape: Shape) -> Shape:
        check_rank(self, shape, 1)
        if shape[-1] != 2:
            raise UsageError(f"Input must have a trailing dimension of size 2, but its shape is {shape}.")
        return shape[:-1]

    def inverse_shape(self, shape: Shape) -> Shape:
        return (*shape, 2)


@biject_to.register(constraints.complex)
def _to_complex(constraint: Any) -> Transform:
    return ComplexTransform()
