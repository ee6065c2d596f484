"""The LKJ distribution over correlation matrices, and over their Cholesky factors."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import random
from jax.scipy.special import digamma

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._maths import LOG_PI, broadcast_to, xlogy
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.distribution import Distribution, TransformedDistribution
from numpyro.distributions.transforms import CorrMatrixCholeskyTransform
from numpyro.ops.log_gamma import gammaln_ratio
from numpyro.ops.rejection import beta


class LKJCholesky(Distribution):
    r"""The distribution of the lower Cholesky factor of a correlation matrix which has an :class:`LKJ` distribution.

    .. math:: p(L) = \prod_{i=2}^{d} L_{ii}^{d - i + 2\eta - 2} \prod_{k=1}^{d-1}
        \frac{\Gamma\bigl(\eta + (d - 1)/2\bigr)}{\pi^{k/2}\, \Gamma\bigl(\eta + (d - 1 - k)/2\bigr)}

    with respect to the elements below the diagonal.

    The rows are independent: the entries left of the diagonal in row :math:`i = k + 1` have a density
    proportional to :math:`(1 - |w|^2)^{b_k - 1}` in the unit ball of :math:`k` dimensions,
    :math:`b_k = \eta + (d - 1 - k)/2`, so that :math:`|w|^2` has the distribution :math:`\text{Beta}(k/2, b_k)`, and
    :math:`w` a uniform direction.

    :param dimension: :math:`d`, at least 2.
    :param concentration: :math:`\eta > 0`; for 1 the correlation matrix is uniform, above 1 it is drawn to the
        identity.
    :param sample_method: ``"onion"`` draws row by row as above; ``"cvine"`` draws partial correlations, column by
        column. Both are exact.
    :support: lower triangular :math:`L` with a positive diagonal and rows of unit length
    :raises ValueError: when the dimension is below 2 or the method unknown.

    **Reference:** D. Lewandowski, D. Kurowicka, H. Joe (2009), "Generating random correlation matrices based on vines
    and extended onion method".
    """

    __module__ = "numpyro.distributions.continuous"
    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_cholesky
    pytree_aux_fields = ("dimension", "sample_method")
    reparametrized_params = ["concentration"]

    def __init__(
        self,
        dimension: int,
        concentration: ArrayLike = 1.0,
        sample_method: str = "onion",
        *,
        validate_args: bool | None = None,
    ) -> None:
        if dimension < 2:
            raise ValueError(f"LKJCholesky: Dimension must be greater than or equal to 2; got {dimension}.")
        if sample_method not in ("onion", "cvine"):
            raise ValueError(
                f"LKJCholesky: `sample_method` should be one of 'cvine' or 'onion'; got {sample_method!r}."
            )
        self.dimension = dimension
        self.concentration: Any = concentration
        self.sample_method = sample_method
        super().__init__(
            batch_shape=jnp.shape(concentration), event_shape=(dimension, dimension), validate_args=validate_args
        )

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        return self._onion(key, sample_shape) if self.sample_method == "onion" else self._cvine(key, sample_shape)

    def _onion(self, key: Key, sample_shape: Shape) -> Array:
        shape, d = sample_shape + self.batch_shape, self.dimension
        key_beta, key_normal = random.split(key)
        k = np.arange(1.0, d)
        b = jnp.expand_dims(self.concentration, -1) + (d - 1 - k) / 2
        squared_norm = beta(key_beta, k / 2, b, (*shape, d - 1))
        normal = jnp.tril(random.normal(key_normal, (*shape, d - 1, d - 1)))
        direction = normal / jnp.linalg.norm(normal, axis=-1, keepdims=True)
        return _with_diagonal(jnp.sqrt(squared_norm)[..., None] * direction, jnp.sqrt(1 - squared_norm))

    def _cvine(self, key: Key, sample_shape: Shape) -> Array:
        shape, d = sample_shape + self.batch_shape, self.dimension
        # partial correlation of row and column given the columns before: 2 Beta(b, b) - 1, b depending on the column
        b = jnp.expand_dims(self.concentration, -1) + (d - 2 - np.arange(0.0, d - 1)) / 2
        b = b[..., None, :]
        partial = jnp.tril(2 * beta(key, b, b, (*shape, d - 1, d - 1)) - 1)
        # what the columns before have left of a row's unit length
        left = jnp.cumprod(jnp.sqrt(1 - jnp.square(partial)), axis=-1)
        before = jnp.concatenate([jnp.ones_like(left[..., :1]), left[..., :-1]], axis=-1)
        return _with_diagonal(partial * before, left[..., -1])

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        d = self.dimension
        k, b = _row_parameters(self)
        diagonal = jnp.diagonal(value, axis1=-2, axis2=-1)[..., 1:]
        # of row k: gamma(b + k/2) / (pi^(k/2) gamma(b)) (1 - |w|^2)^(b - 1)
        log_normalizer = jnp.sum(gammaln_ratio(b, k / 2), -1) - (d * (d - 1) / 4) * LOG_PI
        return 2 * jnp.sum(xlogy(b - 1, diagonal), -1) + log_normalizer

    def _diagonal_mean(self) -> Array:
        k, b = _row_parameters(self)
        return jnp.exp(gammaln_ratio(b, 0.5) - gammaln_ratio(b + k / 2, 0.5))

    def entropy(self) -> Array:
        log_normalizer, log_squares = _row_expectations(self)
        k, b = _row_parameters(self)
        return broadcast_to(-log_normalizer - jnp.sum((b - 1) * log_squares, -1), self.batch_shape)

    @property
    def mean(self) -> Array:
        rows = jnp.zeros((*self.batch_shape, self.dimension - 1, self.dimension - 1))
        return _with_diagonal(rows, self._diagonal_mean())

    @property
    def variance(self) -> Array:
        k, b = _row_parameters(self)
        d, square = self.dimension, 1 / (2 * b + k)  # of an element below the diagonal
        rows = square[..., None] * np.tri(d - 1, dtype=np.dtype(square.dtype))
        matrix = _with_diagonal(rows, 2 * b * square - jnp.square(self._diagonal_mean()))
        return matrix * (np.arange(d * d).reshape(d, d) > 0)


def _row_parameters(d: Any) -> tuple[np.ndarray, Array]:
    """Of row ``k``: ``k``, and ``b`` such that its element on the diagonal has a square that is Beta(b, k/2)."""
    k = np.arange(1.0, d.dimension)
    return k, jnp.expand_dims(d.concentration, -1) + (d.dimension - 1 - k) / 2


def _row_expectations(d: Any) -> tuple[Array, Array]:
    """The logarithm of the normalizer of an LKJ density, and the means of the logarithms of the squared diagonal."""
    k, b = _row_parameters(d)
    log_normalizer = jnp.sum(gammaln_ratio(b, k / 2), -1) - (d.dimension * (d.dimension - 1) / 4) * LOG_PI
    return log_normalizer, digamma(b) - digamma(b + k / 2)


def _with_diagonal(rows: Array, diagonal: Array) -> Array:
    """A lower triangular matrix of size ``d``: a first row of (1, 0, ...), below it ``rows`` and ``diagonal``.

    :param rows: lower triangular, of shape ``(..., d - 1, d - 1)``.
    :param diagonal: of shape ``(..., d - 1)``.
    """
    d = rows.shape[-1] + 1
    batch = [(0, 0)] * (rows.ndim - 2)
    below = jnp.pad(rows, [*batch, (1, 0), (0, 1)])
    diagonal = jnp.pad(diagonal, [*batch, (1, 0)], constant_values=1)
    return below + diagonal[..., None] * np.eye(d, dtype=np.dtype(diagonal.dtype))


class LKJ(TransformedDistribution):
    r"""The LKJ distribution over correlation matrices.

    .. math:: p(C) = \det(C)^{\eta - 1} \prod_{k=1}^{d-1}
        \frac{\Gamma\bigl(\eta + (d - 1)/2\bigr)}{\pi^{k/2}\, \Gamma\bigl(\eta + (d - 1 - k)/2\bigr)}

    with respect to the elements below the diagonal.

    :param dimension: number of rows :math:`d`, at least 2.
    :param concentration: :math:`\eta > 0`; for 1 the matrix is uniform, above 1 it is drawn to the identity.
    :param sample_method: ``"onion"`` or ``"cvine"``, as for :class:`LKJCholesky`.
    :support: correlation matrices :math:`C`: symmetric, positive definite, :math:`C_{ii} = 1`
    :raises ValueError: when the dimension is below 2 or the method unknown.

    **Reference:** D. Lewandowski, D. Kurowicka, H. Joe (2009), "Generating random correlation matrices based on vines
    and extended onion method".
    """

    __module__ = "numpyro.distributions.continuous"
    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_matrix
    pytree_aux_fields = ("dimension", "sample_method")
    reparametrized_params = ["concentration"]

    def __init__(
        self,
        dimension: int,
        concentration: ArrayLike = 1.0,
        sample_method: str = "onion",
        *,
        validate_args: bool | None = None,
    ) -> None:
        base = LKJCholesky(dimension, concentration, sample_method, validate_args=False)
        self.dimension, self.concentration, self.sample_method = dimension, concentration, sample_method
        super().__init__(base, CorrMatrixCholeskyTransform().inv, validate_args=validate_args)

    @property
    def mean(self) -> Array:
        return broadcast_to(np.eye(self.dimension, dtype=jnp.result_type(float)), self.batch_shape + self.event_shape)

    @property
    def variance(self) -> Array:
        """``1 / (2 concentration + dimension - 1)`` of each correlation."""
        single = 1 / (2 * jnp.asarray(self.concentration, jnp.result_type(float)) + (self.dimension - 1))
        return single[..., None, None] * (1 - np.eye(self.dimension, dtype=np.dtype(single.dtype)))

    def entropy(self) -> Array:
        log_normalizer, log_squares = _row_expectations(self)
        concentration = jnp.asarray(self.concentration)
        return broadcast_to(-log_normalizer - (concentration - 1) * jnp.sum(log_squares, -1), self.batch_shape)
