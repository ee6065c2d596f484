"""The conditional autoregressive distribution over the nodes of a graph."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random

from numpyro._errors import UsageError
from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._maths import HALF_LOG_TWO_PI, broadcast_to
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_key, concrete, validate_sample
from numpyro.distributions.continuous.adjacency import Adjacency, as_sparse, solve_by_edges, spectrum
from numpyro.distributions.continuous.low_rank_multivariate_normal import back_substitute
from numpyro.distributions.continuous.multivariate_normal import whiten
from numpyro.distributions.distribution import Distribution
from numpyro.ops.linalg import add_diag, tri_logabsdet


class CAR(Distribution):
    r"""The conditional autoregressive distribution: each node is normal around the mean of its neighbours.

    .. math:: x \sim \mathcal{N}\bigl(\mu, Q^{-1}\bigr), \quad Q = \tau (D - \rho W), \quad
        p(x) = (2\pi)^{-n/2} \det(Q)^{1/2} \exp\bigl(-\tfrac12 (x - \mu)^\top Q (x - \mu)\bigr)

    where :math:`D` is the diagonal matrix of the sums of the rows of :math:`W`.

    :param loc: mean :math:`\mu`, of shape ``(..., n)``, or a scalar for all nodes.
    :param correlation: how much neighbours have in common, :math:`\rho` in (-1, 1).
    :param conditional_precision: :math:`\tau > 0`, of a node given its neighbours, per unit of weight.
    :param adj_matrix: weights :math:`W` of the edges, symmetric, every node having some: an array of shape
        ``(..., n, n)``, or for ``is_sparse`` a matrix of ``scipy.sparse`` or one concrete array.
    :param is_sparse: whether to go through the edges one by one, in :math:`O(\text{edges})`, instead of multiplying by
        a matrix.
    :support: :math:`x \in \mathbb{R}^n`
    :raises ValueError: when shapes do not agree, :math:`W` is not symmetric, or a node has no neighbours.

    Where :math:`W` is concrete, the determinant takes :math:`O(n)` by the eigenvalues :math:`\lambda` of
    :math:`D^{-1/2} W D^{-1/2}`, which are computed once:
    :math:`\log\det(D - \rho W) = \sum_i \log d_i + \log(1 - \rho\lambda_i)`. A traced one costs a Cholesky
    factorisation every time.

    **Reference:** X. Jin, B. P. Carlin, S. Banerjee (2005), "Generalized hierarchical multivariate CAR models for areal
    data".
    """

    __module__ = "numpyro.distributions.continuous"
    arg_constraints = {
        "loc": constraints.real_vector,
        "correlation": constraints.open_interval(-1.0, 1.0),
        "conditional_precision": constraints.positive,
        "adj_matrix": constraints.dependent(is_discrete=False, event_dim=2),
    }
    support = constraints.real_vector
    reparametrized_params = ["loc", "correlation", "conditional_precision", "adj_matrix"]
    pytree_aux_fields = ("is_sparse",)

    def __init__(
        self,
        loc: ArrayLike,
        correlation: ArrayLike,
        conditional_precision: ArrayLike,
        adj_matrix: Any,
        *,
        is_sparse: bool = False,
        validate_args: bool | None = None,
    ) -> None:
        self.is_sparse = is_sparse
        adj_matrix = as_sparse(adj_matrix) if is_sparse else adj_matrix
        if not is_sparse and hasattr(adj_matrix, "tocsr"):
            raise UsageError("CAR: adj_matrix is a sparse matrix so please specify `is_sparse=True`.")
        loc = np.reshape(loc, (1,)) if isinstance(loc, (int, float)) else jnp.reshape(loc, jnp.shape(loc) or (1,))
        batch_shape, event_shape = self.infer_shapes(
            jnp.shape(loc), jnp.shape(correlation), jnp.shape(conditional_precision), tuple(np.shape(adj_matrix))
        )
        loc = loc if loc.shape[-1:] == event_shape else broadcast_to(loc, loc.shape[:-1] + event_shape)
        (self.loc,) = promote_shapes(loc, shape=batch_shape + (1,))
        self.correlation: Any = promote_shapes(correlation, shape=batch_shape)[0]
        self.conditional_precision: Any = promote_shapes(conditional_precision, shape=batch_shape)[0]
        self.adj_matrix = adj_matrix if is_sparse else promote_shapes(adj_matrix, shape=batch_shape + (1, 1))[0]
        super().__init__(batch_shape, event_shape, validate_args=validate_args)

    @classmethod
    def infer_shapes(  # type: ignore[override]
        cls, loc: Shape, correlation: Shape, conditional_precision: Shape, adj_matrix: Shape
    ) -> tuple[Shape, Shape]:
        if len(adj_matrix) < 2 or adj_matrix[-1] != adj_matrix[-2]:
            raise ValueError(f"CAR: `adj_matrix` must be of shape (..., n, n); got {adj_matrix}.")
        if loc and loc[-1] not in (1, adj_matrix[-1]):
            raise ValueError(
                f"CAR: the last dimension of `loc`, of shape {loc}, must be that of `adj_matrix`, of shape"
                f" {adj_matrix}."
            )
        batch_shape = lax.broadcast_shapes(loc[:-1], correlation, conditional_precision, adj_matrix[:-2])
        return batch_shape, tuple(adj_matrix[-1:])

    def validate_args(self, strict: bool = True) -> None:
        super().validate_args(strict)
        adjacency = self._adjacency()
        if adjacency is None:
            return
        matrix = adjacency.matrix
        transposed = matrix.T if self.is_sparse else np.swapaxes(matrix, -2, -1)
        if (matrix != transposed).sum():
            raise UsageError("CAR: adjacency matrix must be symmetric, but `adj_matrix` differs from its transpose.")
        if not (adjacency.degrees > 0).all():
            lonely = np.argwhere(~(adjacency.degrees > 0))[:, -1].tolist()
            raise UsageError(
                f"CAR: all sites in adjacency matrix must have neighbours, but sites {lonely[:8]} have none."
            )

    def _adjacency(self) -> Adjacency | None:
        """The adjacency matrix, where its values are known."""
        if self.is_sparse:
            return Adjacency(self.adj_matrix)
        matrix = concrete(self.adj_matrix)
        return None if matrix is None else Adjacency(matrix)

    def _weights(self) -> Array:
        """The adjacency matrix as an array."""
        dense = self.adj_matrix.toarray() if self.is_sparse else self.adj_matrix
        return jnp.asarray(dense, jnp.result_type(float, dense))

    def _scaled_precision(self) -> Array:
        """``D - correlation * W``, of shape ``(..., n, n)``."""
        weights = self._weights()
        return add_diag(-jnp.expand_dims(self.correlation, (-2, -1)) * weights, jnp.sum(weights, -1))

    @property
    def precision_matrix(self) -> Array:
        """Of shape ``(..., n, n)``."""
        return jnp.expand_dims(self.conditional_precision, (-2, -1)) * self._scaled_precision()

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        if self.is_sparse and (self.adj_matrix.data >= 0).all():
            return self._sample_by_edges(key, sample_shape)
        noise = random.normal(key, self.shape(sample_shape))
        factor = jnp.linalg.cholesky(self._scaled_precision())
        scale = lax.rsqrt(jnp.asarray(self.conditional_precision, noise.dtype))[..., None]
        return self.loc + scale * back_substitute(factor, noise)

    def _sample_by_edges(self, key: Key, sample_shape: Shape) -> Array:
        r"""Draw in the memory of the edges: :math:`Q^{-1} b` where :math:`b` has covariance :math:`Q`.

        The precision :math:`Q = D - \rho W` is the sum of squares of :meth:`_quadratic_form_of_edges`, and :math:`b`
        the sum of their roots, each times a normal number of its own (Papandreou and Yuille 2010).
        """
        adjacency = Adjacency(self.adj_matrix)
        rows, columns, weights = adjacency.edges
        shape, n = self.shape(sample_shape), self.event_shape[0]
        key_nodes, key_edges = random.split(key)
        noise = random.normal(key_nodes, shape)
        between = random.normal(key_edges, (*shape[:-1], len(rows))) * np.sqrt(weights).astype(noise.dtype)
        sign = jnp.where(jnp.less(self.correlation, 0), -1, 1)[..., None]
        size = sign * jnp.expand_dims(self.correlation, -1)
        own = jnp.sqrt(1 - size) * np.sqrt(adjacency.degrees).astype(noise.dtype) * noise
        between = jnp.sqrt(jnp.maximum(size, jnp.finfo(noise.dtype).tiny)) * between  # no infinite slope at 0
        target = own.at[..., rows].add(between).at[..., columns].add(-sign * between)
        correlation = jnp.broadcast_to(jnp.asarray(self.correlation, noise.dtype), self.batch_shape)
        flat = target.reshape(-1, n), jnp.broadcast_to(correlation, shape[:-1]).reshape(-1)
        deviation = jax.vmap(functools.partial(solve_by_edges, adjacency))(*flat).reshape(shape)
        return self.loc + lax.rsqrt(jnp.asarray(self.conditional_precision, noise.dtype))[..., None] * deviation

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        y = jnp.asarray(value) - self.loc
        squares = self._quadratic_form_of_edges(y) if self.is_sparse else self._quadratic_form(y)
        return 0.5 * (self._log_det() - self.conditional_precision * squares) - self.event_shape[0] * HALF_LOG_TWO_PI

    def _quadratic_form(self, y: Array) -> Array:
        """``y^T (D - correlation W) y``."""
        weights = self._weights()
        neighbours = jnp.einsum("...i,...ij->...j", y, weights, precision=lax.Precision.HIGHEST)
        rest = y * jnp.sum(weights, -1) - jnp.expand_dims(self.correlation, -1) * neighbours
        return jnp.sum(y * rest, -1)

    def _quadratic_form_of_edges(self, y: Array) -> Array:
        r"""The same as :math:`(1 - |\rho|) \sum_i d_i y_i^2 + |\rho| \sum_{i \le j} w_{ij} (y_i \mp y_j)^2`."""
        adjacency = Adjacency(self.adj_matrix)
        rows, columns, weights = adjacency.edges
        sign = jnp.where(jnp.less(self.correlation, 0), -1, 1)
        size = sign * self.correlation
        own = jnp.sum(adjacency.degrees.astype(y.dtype) * jnp.square(y), -1)
        differences = y[..., rows] - sign[..., None] * y[..., columns]
        between = jnp.sum(weights.astype(y.dtype) * jnp.square(differences), -1)
        return (1 - size) * own + size * between

    def _log_det(self) -> Array:
        """The logarithm of the determinant of the precision matrix."""
        n, adjacency = self.event_shape[0], self._adjacency()
        if adjacency is None:
            log_det = 2 * tri_logabsdet(jnp.linalg.cholesky(self._scaled_precision()))
        else:
            log_degrees, eigenvalues = spectrum(adjacency)
            correlation = jnp.expand_dims(self.correlation, -1)
            dtype = jnp.result_type(float, correlation)
            log_det = jnp.asarray(log_degrees, dtype) + jnp.sum(jnp.log1p(-correlation * eigenvalues.astype(dtype)), -1)
        return log_det + n * jnp.log(self.conditional_precision)

    def entropy(self) -> Array:
        n = self.event_shape[0]
        return broadcast_to(n * (0.5 + HALF_LOG_TWO_PI) - 0.5 * self._log_det(), self.batch_shape)

    @property
    def mean(self) -> Array:
        return broadcast_to(self.loc, self.shape())

    @property
    def mode(self) -> Array:
        return self.mean

    @property
    def variance(self) -> Array:
        if self.is_sparse and (self.adj_matrix.data >= 0).all():
            return self._variance_by_edges()
        factor = jnp.linalg.cholesky(self._scaled_precision())
        # column by column of the inverse of the factor
        identity = np.eye(factor.shape[-1], dtype=factor.dtype).reshape(
            (-1,) + (1,) * (factor.ndim - 2) + factor.shape[-1:]
        )
        inverse = jnp.sum(jnp.square(whiten(factor, identity)), -1)
        return broadcast_to(
            jnp.moveaxis(inverse, 0, -1) / jnp.expand_dims(self.conditional_precision, -1), self.shape()
        )

    def _variance_by_edges(self) -> Array:
        """The diagonal of the inverse of the precision matrix, one column after the other."""
        n, dtype = self.event_shape[0], jnp.result_type(float, self.correlation)
        solve = functools.partial(solve_by_edges, Adjacency(self.adj_matrix))

        def diagonal(correlation: Array) -> Array:
            return lax.map(lambda i: solve(jnp.zeros(n, dtype).at[i].set(1), correlation)[i], np.arange(n))

        correlation = jnp.asarray(self.correlation, dtype)
        scaled = jax.vmap(diagonal)(correlation.reshape(-1)).reshape(*correlation.shape, n)
        return broadcast_to(scaled / jnp.expand_dims(self.conditional_precision, -1), self.shape())

    # A sparse matrix is no array: it is part of the structure of the pytree, compared by its content.

    def tree_flatten(self) -> tuple[tuple[Any, ...], Any]:
        children, (data, aux) = super().tree_flatten()
        if not self.is_sparse:
            return children, (data, aux)
        arrays = {name: value for name, value in zip(data, children, strict=True) if name != "adj_matrix"}
        return tuple(arrays.values()), (tuple(arrays), (*aux, ("adj_matrix", Adjacency(self.adj_matrix))))

    @classmethod
    def tree_unflatten(cls, aux_data: Any, params: Sequence[Any]) -> CAR:
        data, aux = aux_data
        aux = tuple((name, value.matrix if isinstance(value, Adjacency) else value) for name, value in aux)
        return super().tree_unflatten((data, aux), params)  # type: ignore[return-value]
