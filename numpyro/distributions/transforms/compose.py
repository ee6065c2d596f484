"""Transforms made of others: one after another, repeated over batch dimensions, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._errors import UsageError
from numpyro._typing import Shape
from numpyro.distributions import constraints
from numpyro.distributions._shapes import sum_rightmost
from numpyro.distributions.constraints import Constraint
from numpyro.distributions.constraints.structured import batch_axis, checked_parts, cut
from numpyro.distributions.transforms.base import Transform
from numpyro.distributions.transforms.registry import biject_to


class ComposeTransform(Transform):
    r"""One transform after another: :math:`T(x) = T_n(\dots T_2(T_1(x)))`.

    :param parts: the transforms, the one that is applied first standing first; none makes the identity.
    :domain: that of the first part
    :codomain: that of the last part
    :log determinant: :math:`\sum_i \log |\det \partial T_i|`, each at the value of those before it

    >>> import numpy as np
    >>> from numpyro.distributions.transforms import AffineTransform, ComposeTransform, ExpTransform
    >>> float(ComposeTransform([ExpTransform(), AffineTransform(1.0, 2.0)])(0.0))
    3.0
    """

    pytree_data_fields = ("parts",)

    def __init__(self, parts: Sequence[Transform]) -> None:
        self.parts = parts

    def _event_dims(self) -> list[int]:
        """Event dimensions before the first part and after each.

        A part that maps single numbers leaves as many as it meets, so that the first count is the least one with which
        every part finds the event dimensions that it needs.
        """
        before, gained = 0, 0
        for part in self.parts:
            before = max(before, part.domain.event_dim - gained)
            gained += part.codomain.event_dim - part.domain.event_dim
        dims = [before]
        for part in self.parts:
            dims.append(dims[-1] + part.codomain.event_dim - part.domain.event_dim)
        return dims

    @property
    def domain(self) -> Constraint:  # type: ignore[override]
        if not self.parts:
            return constraints.real
        return _with_event_dim(self.parts[0].domain, self._event_dims()[0])

    @property
    def codomain(self) -> Constraint:  # type: ignore[override]
        if not self.parts:
            return constraints.real
        return _with_event_dim(self.parts[-1].codomain, self._event_dims()[-1])

    @property
    def bijective(self) -> bool:  # type: ignore[override]
        return all(part.bijective for part in self.parts)

    @property
    def sign(self) -> Any:
        sign: Any = 1
        for part in self.parts:
            sign = sign * part.sign
        return sign

    def __call__(self, x: Any) -> Any:
        for part in self.parts:
            x = part(x)
        return x

    def _inverse(self, y: Any) -> Any:
        for part in reversed(self.parts):
            y = part.inv(y)
        return y

    def call_with_intermediates(self, x: Any) -> tuple[Any, Any]:
        if not self.parts:
            return x, []
        intermediates: list[Any] = []
        for part in self.parts[:-1]:
            x, of_part = part.call_with_intermediates(x)
            intermediates.append([x, of_part])
        x, of_last = self.parts[-1].call_with_intermediates(x)
        intermediates.append(of_last)
        return x, intermediates

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        if not self.parts:
            return jnp.zeros_like(x)
        if intermediates is None:
            intermediates = self._intermediates(x)
        result: Any = 0.0
        last = len(self.parts) - 1
        for i, (part, event_dim) in enumerate(zip(self.parts, self._event_dims(), strict=False)):
            value, of_part = (y, intermediates[i]) if i == last else intermediates[i]
            term = part.log_abs_det_jacobian(x, value, of_part)
            result = result + sum_rightmost(term, event_dim - part.domain.event_dim)
            x = value
        return result

    def _intermediates(self, x: Any) -> list[Any]:
        intermediates: list[Any] = []
        for part in self.parts[:-1]:
            x, of_part = part.call_with_intermediates(x)
            intermediates.append([x, of_part])
        return [*intermediates, None]

    def forward_shape(self, shape: Shape) -> Shape:
        for part in self.parts:
            shape = part.forward_shape(shape)
        return shape

    def inverse_shape(self, shape: Shape) -> Shape:
        for part in reversed(self.parts):
            shape = part.inverse_shape(shape)
        return shape


def _with_event_dim(constraint: Constraint, event_dim: int) -> Constraint:
    missing = event_dim - constraint.event_dim
    return constraints.independent(constraint, missing) if missing else constraint


class IndependentTransform(Transform):
    r"""A transform repeated over batch dimensions that count as event dimensions.

    :math:`y_i = T(x_i)` for all indices :math:`i` of these dimensions.

    :param base_transform: the transform :math:`T`; where it is itself independent, the two merge into one.
    :param reinterpreted_batch_ndims: how many dimensions more make up an event.
    :domain: arrays whose elements are in that of the base
    :codomain: arrays whose elements are in that of the base
    :log determinant: :math:`\sum_i \log |\det \partial T(x_i)|`
    :raises UsageError: when an argument is of the wrong kind.
    """

    pytree_data_fields = ("base_transform",)
    pytree_aux_fields = ("reinterpreted_batch_ndims",)

    def __init__(self, base_transform: Transform, reinterpreted_batch_ndims: int) -> None:
        if not isinstance(base_transform, Transform):
            raise UsageError(f"base_transform must be a Transform, but it is {base_transform!r}.")
        if not isinstance(reinterpreted_batch_ndims, int | np.integer) or reinterpreted_batch_ndims < 0:
            raise UsageError(
                "reinterpreted_batch_ndims must be an integer that is not negative, but it is"
                f" {reinterpreted_batch_ndims!r}."
            )
        if isinstance(base_transform, IndependentTransform):
            reinterpreted_batch_ndims += base_transform.reinterpreted_batch_ndims
            base_transform = base_transform.base_transform
        self.base_transform: Transform = base_transform
        self.reinterpreted_batch_ndims: int = int(reinterpreted_batch_ndims)

    @property
    def domain(self) -> Constraint:  # type: ignore[override]
        return constraints.independent(self.base_transform.domain, self.reinterpreted_batch_ndims)

    @property
    def codomain(self) -> Constraint:  # type: ignore[override]
        return constraints.independent(self.base_transform.codomain, self.reinterpreted_batch_ndims)

    @property
    def bijective(self) -> bool:  # type: ignore[override]
        return self.base_transform.bijective

    def __call__(self, x: Any) -> Any:
        return self.base_transform(x)

    def _inverse(self, y: Any) -> Any:
        return self.base_transform._inverse(y)

    def call_with_intermediates(self, x: Any) -> tuple[Any, Any]:
        return self.base_transform.call_with_intermediates(x)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        result = self.base_transform.log_abs_det_jacobian(x, y, intermediates)
        if np.ndim(result) < self.reinterpreted_batch_ndims:
            raise ValueError(
                f"{self!r} maps arrays of {self.domain.event_dim} dimensions or more, but x has shape {np.shape(x)}."
            )
        return sum_rightmost(result, self.reinterpreted_batch_ndims)

    def forward_shape(self, shape: Shape) -> Shape:
        return self.base_transform.forward_shape(shape)

    def inverse_shape(self, shape: Shape) -> Shape:
        return self.base_transform.inverse_shape(shape)


class CatTransform(Transform):
    r"""Different transforms of consecutive pieces of an array along one dimension.

    :math:`(x_1, \dots, x_m) \mapsto (T_1(x_1), \dots, T_m(x_m))`

    :param tseq: the transforms :math:`T_i`, in order.
    :param dim: the dimension along which the array is cut.
    :param lengths: how long each piece of the argument is along ``dim``; 1 each by default.
    :domain: the pieces in those of the parts
    :codomain: the pieces in those of the parts
    :log determinant: :math:`\sum_i \log |\det \partial T_i(x_i)|`; where ``dim`` is a batch dimension, the terms stand
        side by side
    :raises UsageError: when there is no transform, something else than a transform, or a length too few or too many.

    >>> import numpy as np
    >>> from numpyro.distributions.transforms import CatTransform, ExpTransform, IdentityTransform
    >>> CatTransform([ExpTransform(), IdentityTransform()], lengths=[1, 2])(np.zeros(3)).tolist()
    [1.0, 0.0, 0.0]
    """

    pytree_data_fields = ("transforms",)
    pytree_aux_fields = ("dim", "lengths")

    def __init__(self, tseq: Sequence[Transform], dim: int = 0, lengths: Sequence[int] | None = None) -> None:
        self.transforms, self.lengths = checked_parts("tseq", tseq, Transform, lengths)
        self.dim = dim

    @property
    def length(self) -> int:
        """The size of the argument along ``dim``."""
        return sum(self.lengths)

    @property
    def domain(self) -> Constraint:  # type: ignore[override]
        return constraints.cat([t.domain for t in self.transforms], self.dim, self.lengths)

    @property
    def codomain(self) -> Constraint:  # type: ignore[override]
        lengths = self._output_lengths(None)
        return constraints.cat([t.codomain for t in self.transforms], self.dim, lengths)

    @property
    def bijective(self) -> bool:  # type: ignore[override]
        return all(t.bijective for t in self.transforms)

    def _output_lengths(self, ndim: int | None) -> tuple[int, ...]:
        """How long the pieces of the value are along ``dim``."""
        event_dim = max(t.domain.event_dim for t in self.transforms)
        ndim = max(event_dim, self.dim + 1, -self.dim) if ndim is None else ndim
        if batch_axis(self.dim, ndim, event_dim) is not None:
            return self.lengths
        shapes = [[1] * ndim for _ in self.lengths]
        for shape, length in zip(shapes, self.lengths, strict=True):
            shape[self.dim] = length
        return tuple(t.forward_shape(tuple(shape))[self.dim] for t, shape in zip(self.transforms, shapes, strict=True))

    def __call__(self, x: Any) -> Any:
        pieces = cut(x, self.dim, self.lengths)
        return jnp.concatenate([t(piece) for t, piece in zip(self.transforms, pieces, strict=True)], axis=self.dim)

    def _inverse(self, y: Any) -> Any:
        pieces = cut(y, self.dim, self._output_lengths(np.ndim(y)))
        return jnp.concatenate([t.inv(piece) for t, piece in zip(self.transforms, pieces, strict=True)], axis=self.dim)

    def call_with_intermediates(self, x: Any) -> tuple[Any, Any]:
        pieces = cut(x, self.dim, self.lengths)
        results = [t.call_with_intermediates(piece) for t, piece in zip(self.transforms, pieces, strict=True)]
        return jnp.concatenate([y for y, _ in results], axis=self.dim), [of_part for _, of_part in results]

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        event_dim = max(t.domain.event_dim for t in self.transforms)
        if intermediates is None:
            intermediates = [None] * len(self.transforms)
        xs, ys = cut(x, self.dim, self.lengths), cut(y, self.dim, self._output_lengths(np.ndim(y)))
        terms = [
            sum_rightmost(t.log_abs_det_jacobian(piece, value, of_part), event_dim - t.domain.event_dim)
            for t, piece, value, of_part in zip(self.transforms, xs, ys, intermediates, strict=True)
        ]
        axis = batch_axis(self.dim, np.ndim(x), event_dim)
        if axis is None:
            return sum(terms)
        shape = lax.broadcast_shapes(*(np.shape(t)[:axis] + np.shape(t)[axis + 1 :] for t in terms))
        full = [jnp.broadcast_to(t, (*shape[:axis], np.shape(t)[axis], *shape[axis:])) for t in terms]
        return jnp.concatenate(full, axis=axis)

    def forward_shape(self, shape: Shape) -> Shape:
        return self._resized(shape, self.lengths, self._output_lengths(len(shape)))

    def inverse_shape(self, shape: Shape) -> Shape:
        return self._resized(shape, self._output_lengths(len(shape)), self.lengths)

    def _resized(self, shape: Shape, old: Sequence[int], new: Sequence[int]) -> Shape:
        if shape[self.dim] != sum(old):
            raise ValueError(f"{self!r} expects size {sum(old)} along dimension {self.dim}, but got shape {shape}.")
        axis = self.dim % len(shape)
        return (*shape[:axis], sum(new), *shape[axis + 1 :])


@biject_to.register(constraints.independent)
@biject_to.register(constraints.real_vector)
@biject_to.register(constraints.real_matrix)
def _to_independent(constraint: Any) -> Transform:
    return IndependentTransform(biject_to(constraint.base_constraint), constraint.reinterpreted_batch_ndims)


@biject_to.register(constraints.cat)
def _to_cat(constraint: Any) -> Transform:
    transforms = [biject_to(c) for c in constraint.cseq]
    return CatTransform(transforms, constraint.dim, constraint.lengths)
