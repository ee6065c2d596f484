"""The matrix normal distribution."""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax, random

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._maths import HALF_LOG_TWO_PI, broadcast_to
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.continuous.multivariate_normal import whiten
from numpyro.distributions.distribution import Distribution
from numpyro.ops.linalg import tri_logabsdet


class MatrixNormal(Distribution):
    r"""The matrix normal distribution: of :math:`X = M + A Z B^\top`, where all of :math:`Z` is standard normal.

    The covariance of the rows is :math:`U = A A^\top`, that of the columns :math:`V = B B^\top`:

    .. math:: p(X) = \frac{\exp\bigl(-\tfrac12 \operatorname{tr}(V^{-1} (X - M)^\top U^{-1} (X - M))\bigr)}
        {(2\pi)^{np/2} \det(V)^{n/2} \det(U)^{p/2}}

    :param loc: mean :math:`M`, of shape ``(..., n, p)``.
    :param scale_tril_row: lower Cholesky factor :math:`A` of shape ``(..., n, n)``.
    :param scale_tril_column: lower Cholesky factor :math:`B` of shape ``(..., p, p)``.
    :support: :math:`X \in \mathbb{R}^{n \times p}`
    :raises ValueError: when the shapes do not agree.

    **Reference:** A. K. Gupta, D. K. Nagar (2000), "Matrix Variate Distributions", chapter 2.
    """

    __module__ = "numpyro.distributions.continuous"
    arg_constraints = {
        "loc": constraints.real_matrix,
        "scale_tril_row": constraints.lower_cholesky,
        "scale_tril_column": constraints.lower_cholesky,
    }
    support = constraints.real_matrix
    reparametrized_params = ["loc", "scale_tril_row", "scale_tril_column"]

    def __init__(
        self,
        loc: ArrayLike,
        scale_tril_row: ArrayLike,
        scale_tril_column: ArrayLike,
        *,
        validate_args: bool | None = None,
    ) -> None:
        shapes = jnp.shape(loc), jnp.shape(scale_tril_row), jnp.shape(scale_tril_column)
        batch_shape, event_shape = self.infer_shapes(*shapes)
        ones = batch_shape + (1, 1)
        (self.loc,) = promote_shapes(loc, shape=ones)
        (self.scale_tril_row,) = promote_shapes(scale_tril_row, shape=ones)
        (self.scale_tril_column,) = promote_shapes(scale_tril_column, shape=ones)
        super().__init__(batch_shape, event_shape, validate_args=validate_args)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        noise = random.normal(key, self.shape(sample_shape))
        columns = jnp.swapaxes(jnp.asarray(self.scale_tril_column), -2, -1)
        rows = jnp.matmul(self.scale_tril_row, noise, precision=lax.Precision.HIGHEST)
        return self.loc + jnp.matmul(rows, columns, precision=lax.Precision.HIGHEST)

    @validate_sample
    def log_prob(self, values: ArrayLike) -> Array:
        # A^-1 (X - M) B^-T, the columns and then the rows of the matrix as a batch of vectors
        columns = jnp.moveaxis(values - jnp.asarray(self.loc), -1, 0)
        rows = jnp.moveaxis(jnp.moveaxis(whiten(self.scale_tril_row, columns), 0, -1), -2, 0)
        white = whiten(self.scale_tril_column, rows)
        return -0.5 * jnp.sum(jnp.square(white), (0, -1)) - self._log_normalizer()

    def _log_normalizer(self) -> Array:
        n, p = self.event_shape
        log_dets = p * tri_logabsdet(self.scale_tril_row) + n * tri_logabsdet(self.scale_tril_column)
        return log_dets + n * p * HALF_LOG_TWO_PI

    def entropy(self) -> Array:
        n, p = self.event_shape
        return broadcast_to(0.5 * n * p + self._log_normalizer(), self.batch_shape)

    @property
    def mean(self) -> Array:
        return broadcast_to(self.loc, self.shape())

    @property
    def mode(self) -> Array:
        return self.mean

    @property
    def variance(self) -> Array:
        rows = jnp.sum(jnp.square(self.scale_tril_row), -1)
        columns = jnp.sum(jnp.square(self.scale_tril_column), -1)
        return broadcast_to(rows[..., :, None] * columns[..., None, :], self.shape())

    @classmethod
    def infer_shapes(  # type: ignore[override]
        cls, loc: Shape, scale_tril_row: Shape, scale_tril_column: Shape
    ) -> tuple[Shape, Shape]:
        if len(loc) < 2:
            raise ValueError(f"MatrixNormal: `loc` must be of shape (..., n, p); got {loc}.")
        named = (("scale_tril_row", scale_tril_row, loc[-2]), ("scale_tril_column", scale_tril_column, loc[-1]))
        for name, shape, size in named:
            if tuple(shape[-2:]) != (size, size):
                raise ValueError(
                    f"MatrixNormal: `{name}` must be of shape (..., {size}, {size}) for `loc` of shape {loc}; got"
                    f" {shape}."
                )
        return lax.broadcast_shapes(loc[:-2], scale_tril_row[:-2], scale_tril_column[:-2]), tuple(loc[-2:])
