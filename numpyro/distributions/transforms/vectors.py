"""Maps onto sets of vectors: simplex, l1 ball, ordered vectors, vectors that sum to zero."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._typing import Array, ArrayLike, Shape
from numpyro.distributions import constraints
from numpyro.distributions.constraints import Constraint
from numpyro.distributions.transforms.base import (
    ParameterFreeTransform,
    Transform,
    as_float,
    check_rank,
    zeros_of_batch,
)
from numpyro.distributions.transforms.compose import ComposeTransform
from numpyro.distributions.transforms.elementwise import ExpTransform, SigmoidTransform
from numpyro.distributions.transforms.registry import biject_to
from numpyro.ops.lean import select
from numpyro.ops.linalg import exclusive_cumulative_sum


def _tiny(x: Array) -> float:
    return float(jnp.finfo(x.dtype).tiny)


class StickBreakingTransform(ParameterFreeTransform):
    r"""The map of :math:`\mathbb{R}^{n-1}` onto the simplex that breaks a stick of unit length :math:`n - 1` times.

    With :math:`t_i = x_i - \log(n - i)`, so that :math:`x = 0` makes equal pieces,

    .. math:: y_i = \sigma(t_i) \prod_{j<i} (1 - \sigma(t_j)), \qquad y_n = \prod_{j<n} (1 - \sigma(t_j)).

    All is computed from logarithms: no piece is lost to cancellation, and none is less than the smallest normal
    number. The Jacobian of the first :math:`n - 1` elements is triangular, and its log determinant is
    :math:`\sum_{i=1}^n \log y_i`.

    :domain: :math:`\mathbb{R}^{n - 1}`
    :codomain: :math:`\{y \in \mathbb{R}^n : y_i \ge 0,\; \sum_i y_i = 1\}`
    :log determinant: :math:`\sum_{i=1}^n \log y_i`

    **Reference:** Stan Development Team, "Stan Reference Manual", section *Unit simplex*.
    """

    domain = constraints.real_vector
    codomain = constraints.simplex

    def __call__(self, x: Any) -> Array:
        return self.call_with_intermediates(x)[0]

    def call_with_intermediates(self, x: Any) -> tuple[Array, Array]:
        log_y = self._log_pieces(x)
        return lax.max(lax.exp(log_y), lax.full_like(log_y, _tiny(log_y))), log_y

    def _log_pieces(self, x: Any) -> Array:
        x = as_float(x)
        check_rank(self, x.shape, 1)
        t = x - self._offset(x.shape[-1], x.dtype)
        minus = lax.neg(t)
        positive = lax.gt(t, 0.0)  # all corners at 0 are on one side of it, so that derivatives are right there
        remainder = lax.log1p(lax.exp(select(positive, minus, t)))
        log_broken = lax.sub(select(positive, 0.0, t), remainder)  # log sigma(t)
        log_left = lax.sub(select(positive, minus, 0.0), remainder)  # log (1 - sigma(t))
        zero, last = np.zeros((), t.dtype), [(0, 0, 0)] * (x.ndim - 1) + [(0, 1, 0)]
        return lax.add(lax.pad(log_broken, zero, last), exclusive_cumulative_sum(lax.pad(log_left, zero, last)))

    @staticmethod
    def _offset(size: int, dtype: Any) -> np.ndarray:
        return np.log(np.arange(size, 0, -1)).astype(dtype)

    def _inverse(self, y: Any) -> Array:
        y = as_float(y)
        y = jnp.maximum(y, _tiny(y))
        rest = _sums_after(y)[..., :-1]
        return jnp.log(y[..., :-1]) - jnp.log(rest) + self._offset(y.shape[-1] - 1, y.dtype)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Array:
        return (self._log_pieces(x) if intermediates is None else intermediates).sum(-1)

    def forward_shape(self, shape: Shape) -> Shape:
        check_rank(self, shape, 1)
        return (*shape[:-1], shape[-1] + 1)

    def inverse_shape(self, shape: Shape) -> Shape:
        check_rank(self, shape, 1)
        return (*shape[:-1], shape[-1] - 1)


def _sums_after(y: Array) -> Array:
    """Return the sums of all that stands after each element along the last dimension."""
    return exclusive_cumulative_sum(y[..., ::-1])[..., ::-1]


class SimplexToOrderedTransform(Transform):
    r"""The map of a simplex to the cut points of an ordinal regression, whose differences of sigmoids it holds.

    .. math:: y_i = a + \operatorname{logit}\Big(\sum_{j \le i} x_j\Big), \qquad i = 1, \dots, n - 1

    :param anchor_point: the anchor :math:`a`, a number or an array of the batch's shape.
    :domain: :math:`\{x \in \mathbb{R}^n : x_i \ge 0,\; \sum_i x_i = 1\}`
    :codomain: :math:`\{y \in \mathbb{R}^{n-1} : y_1 < \dots < y_{n-1}\}`
    :log determinant: :math:`-\sum_i \log \sigma'(y_i - a)` with :math:`\sigma'(t) = \sigma(t) (1 - \sigma(t))`,
        :math:`\sigma(t) = 1 / (1 + e^{-t})`

    **Reference:** Betancourt, *Ordinal Regression*, section 2.2.
    """

    domain = constraints.simplex
    codomain = constraints.ordered_vector
    pytree_data_fields = ("anchor_point",)

    def __init__(self, anchor_point: ArrayLike = 0.0) -> None:
        self.anchor_point = anchor_point

    def _anchor(self) -> Any:
        return self.anchor_point if np.ndim(self.anchor_point) == 0 else jnp.expand_dims(self.anchor_point, -1)

    def __call__(self, x: Any) -> Array:
        x = as_float(x)
        return self._anchor() + jnp.log(jnp.cumsum(x, axis=-1)[..., :-1]) - jnp.log(_sums_after(x)[..., :-1])

    def _inverse(self, y: Any) -> Array:
        below = jax.nn.sigmoid(as_float(y) - self._anchor())
        edge = [(0, 0)] * (below.ndim - 1)
        return jnp.pad(below, [*edge, (0, 1)], constant_values=1) - jnp.pad(below, [*edge, (1, 0)])

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Array:
        return -SigmoidTransform().log_abs_det_jacobian(as_float(y) - self._anchor(), None).sum(-1)

    def forward_shape(self, shape: Shape) -> Shape:
        check_rank(self, shape, 1)
        return (*shape[:-1], shape[-1] - 1)

    def inverse_shape(self, shape: Shape) -> Shape:
        check_rank(self, shape, 1)
        return (*shape[:-1], shape[-1] + 1)


class L1BallTransform(ParameterFreeTransform):
    r"""The map of :math:`\mathbb{R}^n` onto the vectors with :math:`\sum_i |y_i| \le 1`, by signed stick breaking.

    .. math:: y_i = \tanh(x_i) \prod_{j<i} (1 - |\tanh x_j|)

    :domain: :math:`\mathbb{R}^n`
    :codomain: :math:`\{y \in \mathbb{R}^n : \sum_i |y_i| \le 1\}`
    :log determinant: :math:`\sum_{i=1}^n \bigl(\log(1 - t_i^2) + (n - i) \log(1 - |t_i|)\bigr)` with :math:`t = \tanh
        x`
    """

    domain = constraints.real_vector
    codomain = constraints.l1_ball

    def __call__(self, x: Any) -> Array:
        x = as_float(x)
        check_rank(self, x.shape, 1)
        return jnp.tanh(x) * jnp.exp(exclusive_cumulative_sum(_log_one_minus_abs_tanh(x)))

    def _inverse(self, y: Any) -> Array:
        # |t| / (1 - |t|) = |y_i| / rest_i, where rest_i is what |y_1|, ..., |y_i| leave of 1.
        size = jnp.abs(as_float(y))
        eps = float(jnp.finfo(size.dtype).eps)
        rest = jnp.maximum(1 - jnp.cumsum(size, axis=-1), eps * jnp.maximum(size, eps))
        return jnp.sign(y) * jnp.log1p(2 * size / rest) / 2

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Array:
        x = as_float(x)
        n = x.shape[-1]
        # Row i of the triangular Jacobian has (1 - t_i^2) prod_{j<i} (1 - |t_j|) on the diagonal.
        counts = np.arange(n - 1, -1, -1, dtype=x.dtype)
        return (log_derivative_of_tanh(x) + counts * _log_one_minus_abs_tanh(x)).sum(-1)


def _log_one_minus_abs_tanh(x: Array) -> Array:
    # 1 - tanh|x| = 2 / (1 + exp(2 |x|))
    return math.log(2) - jax.nn.softplus(2 * jnp.abs(x))


def log_derivative_of_tanh(x: Array) -> Array:
    r"""Return :math:`\log(1 - \tanh^2 x) = 2 (\log 2 - |x| - \log(1 + e^{-2|x|}))`."""
    distance = jnp.abs(x)
    return 2 * (math.log(2) - distance - jnp.log1p(jnp.exp(-2 * distance)))


class OrderedTransform(ParameterFreeTransform):
    r"""The map of :math:`\mathbb{R}^n` onto increasing vectors: :math:`y_1 = x_1`, :math:`y_i = y_{i-1} + e^{x_i}`.

    :domain: :math:`\mathbb{R}^n`
    :codomain: :math:`\{y \in \mathbb{R}^n : y_1 < \dots < y_n\}`
    :log determinant: :math:`\sum_{i=2}^n x_i`

    **Reference:** Stan Development Team, "Stan Reference Manual", section *Ordered vector*.
    """

    domain = constraints.real_vector
    codomain = constraints.ordered_vector

    def __call__(self, x: Any) -> Array:
        x = as_float(x)
        check_rank(self, x.shape, 1)
        return jnp.cumsum(jnp.concatenate([x[..., :1], jnp.exp(x[..., 1:])], axis=-1), axis=-1)

    def _inverse(self, y: Any) -> Array:
        y = as_float(y)
        return jnp.concatenate([y[..., :1], jnp.log(y[..., 1:] - y[..., :-1])], axis=-1)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Array:
        return as_float(x)[..., 1:].sum(-1)


class ZeroSumTransform(Transform):
    r"""The isometry of :math:`\mathbb{R}^{(n_1 - 1) \times \dots \times (n_d - 1)}` onto the arrays that sum to zero
    along each of their last :math:`d` dimensions.

    Each dimension is extended by one element :math:`y_n = -\sum_i x_i / \sqrt{n}`, and all others are shifted by
    :math:`-\sum_i x_i / (n + \sqrt{n})`: a reflection, which keeps volumes.

    :param transform_ndims: the number :math:`d`.
    :domain: :math:`\mathbb{R}^{(n_1 - 1) \times \dots \times (n_d - 1)}`
    :codomain: arrays in :math:`\mathbb{R}^{n_1 \times \dots \times n_d}` that sum to zero along each dimension
    :log determinant: :math:`0`
    """

    pytree_aux_fields = ("transform_ndims",)

    def __init__(self, transform_ndims: int = 1) -> None:
        self.transform_ndims = transform_ndims

    @property
    def domain(self) -> Constraint:  # type: ignore[override]
        return constraints.independent(constraints.real, self.transform_ndims)

    @property
    def codomain(self) -> Constraint:  # type: ignore[override]
        return constraints.zero_sum(self.transform_ndims)

    def _axes(self) -> range:
        return range(-self.transform_ndims, 0)

    def __call__(self, x: Any) -> Array:
        x = as_float(x)
        check_rank(self, x.shape, self.transform_ndims)
        for axis in self._axes():
            x = self.extend_axis(x, axis)
        return x

    def _inverse(self, y: Any) -> Array:
        y = as_float(y)
        check_rank(self, y.shape, self.transform_ndims)
        for axis in self._axes():
            y = self.extend_axis_rev(y, axis)
        return y

    def extend_axis(self, array: Array, axis: int) -> Array:
        """Add one element along ``axis`` so that the sums along it are zero."""
        n = array.shape[axis] + 1
        total = array.sum(axis, keepdims=True)
        return jnp.concatenate([array - total / (n + math.sqrt(n)), -total / math.sqrt(n)], axis=axis)

    def extend_axis_rev(self, array: Array, axis: int) -> Array:
        """Undo :meth:`extend_axis`."""
        n = array.shape[axis]
        axis = axis % array.ndim
        before = (slice(None),) * axis
        total = -math.sqrt(n) * array[(*before, slice(n - 1, n))]
        return array[(*before, slice(0, n - 1))] + total / (n + math.sqrt(n))

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Array:
        return zeros_of_batch(x, self.transform_ndims)

    def forward_shape(self, shape: Shape) -> Shape:
        return self._resized(shape, 1)

    def inverse_shape(self, shape: Shape) -> Shape:
        return self._resized(shape, -1)

    def _resized(self, shape: Shape, more: int) -> Shape:
        check_rank(self, shape, self.transform_ndims)
        batch = len(shape) - self.transform_ndims
        return (*shape[:batch], *(size + more for size in shape[batch:]))


@biject_to.register(constraints.simplex)
def _to_simplex(constraint: Any) -> Transform:
    return StickBreakingTransform()


@biject_to.register(constraints.l1_ball)
def _to_l1_ball(constraint: Any) -> Transform:
    return L1BallTransform()


@biject_to.register(constraints.ordered_vector)
def _to_ordered_vector(constraint: Any) -> Transform:
    return OrderedTransform()


@biject_to.register(constraints.positive_ordered_vector)
def _to_positive_ordered_vector(constraint: Any) -> Transform:
    return ComposeTransform([OrderedTransform(), ExpTransform()])


@biject_to.register(constraints.zero_sum)
def _to_zero_sum(constraint: Any) -> Transform:
    return ZeroSumTransform(constraint.event_dim)
