"""What every transform is: a map between constrained sets, its inverse, and the volume that it changes."""

from __future__ import annotations

import weakref
from typing import Any

import jax.numpy as jnp
import numpy as np

from numpyro._typing import Array, Shape
from numpyro.distributions import constraints
from numpyro.distributions._record import Record
from numpyro.distributions.constraints import Constraint


class Transform(Record):
    r"""A bijection :math:`y = T(x)` between two sets, differentiable with :math:`\log |\det \partial y / \partial x|`.

    Both sets are constraints; their ``event_dim`` say how many rightmost dimensions of ``x`` and ``y`` belong together.
    All dimensions to the left of them are batch dimensions, over which the map is repeated. Users define their own by
    subclassing: :meth:`__call__`, ``_inverse`` and :meth:`log_abs_det_jacobian` hold the mathematics, ``domain`` and
    ``codomain`` the sets, and ``pytree_data_fields`` names the parameters that JAX may trace.

    :ivar domain: the set of arguments.
    :ivar codomain: the set of values.
    :ivar bijective: whether different arguments have different values.
    """

    domain: Any = constraints.real
    codomain: Any = constraints.real
    bijective: bool = True
    _inverse_of_self: Any = None

    @property
    def inv(self) -> Transform:
        """The inverse transform; the inverse of which is this one."""
        inverse = None if self._inverse_of_self is None else self._inverse_of_self()
        if inverse is None:
            inverse = _InverseTransform(self)
            self._inverse_of_self = weakref.ref(inverse)
        return inverse

    @property
    def sign(self) -> Any:
        """The sign of the derivative, for maps of single numbers: 1 where increasing, -1 where decreasing."""
        raise NotImplementedError(f"Transform `{type(self).__name__}` does not implement `sign`.")

    def __call__(self, x: Any) -> Any:
        """Return :math:`T(x)`.

        :param x: array of shape ``batch_shape`` + the domain's event shape.
        :return: array of shape ``batch_shape`` + the codomain's event shape.
        """
        raise NotImplementedError(f"{type(self).__name__} must define __call__(x).")

    def _inverse(self, y: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define _inverse(y), or it has no inverse.")

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        r"""Return :math:`\log |\det \partial y / \partial x|`, of shape ``batch_shape``.

        Where an event of the codomain has fewer degrees of freedom than elements (a simplex, a triangular matrix), the
        determinant is that of its free elements.

        :param x: the argument.
        :param y: the value.
        :param intermediates: what :meth:`call_with_intermediates` returned along with ``y``.
        """
        raise NotImplementedError(f"{type(self).__name__} must define log_abs_det_jacobian(x, y, intermediates=None).")

    def call_with_intermediates(self, x: Any) -> tuple[Any, Any]:
        """Return the value, and whatever of its computation spares :meth:`log_abs_det_jacobian` work."""
        return self(x), None

    def forward_shape(self, shape: Shape) -> Shape:
        """Return the shape of the value for an argument of the given shape."""
        return shape

    def inverse_shape(self, shape: Shape) -> Shape:
        """Return the shape of the argument for a value of the given shape."""
        return shape

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_inverse_of_self"}

    def __repr__(self) -> str:
        names = (*self.pytree_data_fields, *self.pytree_aux_fields)
        fields = ", ".join(f"{name.lstrip('_')}={getattr(self, name)}" for name in names)
        return f"{type(self).__name__}({fields})"


class ParameterFreeTransform(Transform):
    """A transform without parameters: all instances of one class are equal, and none has anything to trace."""


class _InverseTransform(Transform):
    """The inverse of a transform, as ``transform.inv`` returns it."""

    pytree_data_fields = ("_inv",)

    def __init__(self, transform: Transform) -> None:
        self._inv = transform

    @property
    def domain(self) -> Constraint:  # type: ignore[override]
        return self._inv.codomain

    @property
    def codomain(self) -> Constraint:  # type: ignore[override]
        return self._inv.domain

    @property
    def bijective(self) -> bool:  # type: ignore[override]
        return self._inv.bijective

    @property
    def sign(self) -> Any:
        return self._inv.sign

    @property
    def inv(self) -> Transform:
        return self._inv

    def __call__(self, x: Any) -> Any:
        return self._inv._inverse(x)

    def _inverse(self, y: Any) -> Any:
        return self._inv(y)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        return -self._inv.log_abs_det_jacobian(y, x)

    def forward_shape(self, shape: Shape) -> Shape:
        return self._inv.inverse_shape(shape)

    def inverse_shape(self, shape: Shape) -> Shape:
        return self._inv.forward_shape(shape)

    def __repr__(self) -> str:
        return f"{self._inv!r}.inv"


def as_float(x: Any) -> Array:
    """Return ``x`` as a floating-point JAX array, leaving alone what is one."""
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(jnp.result_type(float))


def zeros_of_batch(x: Any, event_dim: int) -> Array:
    """Return zeros of the batch shape of ``x``: the log determinant of a map that keeps volumes."""
    shape = np.shape(x)
    dtype = jnp.result_type(x)
    dtype = jnp.finfo(dtype).dtype if jnp.issubdtype(dtype, jnp.inexact) else jnp.result_type(float)
    return jnp.zeros(shape[: len(shape) - event_dim], dtype)


def check_rank(transform: Transform, shape: Shape, event_dim: int) -> None:
    """Raise a ``ValueError`` if ``shape`` has fewer than ``event_dim`` dimensions."""
    if len(shape) < event_dim:
        raise ValueError(
            f"{type(transform).__name__}: expected a shape of {event_dim} dimensions or more, but got {shape}: too few"
            " dimensions."
        )
