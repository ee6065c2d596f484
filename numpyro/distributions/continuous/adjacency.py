"""Known graphs: adjacency matrices that can be static parts of programs, their spectra, and linear systems by edges."""

from __future__ import annotations

import functools
import hashlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._typing import Array, NumpyArray
from numpyro.distributions._validation import concrete


class Adjacency:
    """A known adjacency matrix, dense or sparse, that compares and hashes by its content."""

    def __init__(self, matrix: Any) -> None:
        self.matrix = matrix

    @functools.cached_property
    def digest(self) -> bytes:
        is_dense = isinstance(self.matrix, np.ndarray)
        parts = [self.matrix] if is_dense else [self.matrix.indptr, self.matrix.indices, self.matrix.data]
        content = hashlib.blake2b(repr((is_dense, self.matrix.shape)).encode())
        for part in parts:
            content.update(str(part.dtype).encode())
            content.update(np.ascontiguousarray(part).tobytes())
        return content.digest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Adjacency) and (self.matrix is other.matrix or self.digest == other.digest)

    def __hash__(self) -> int:
        return hash(self.digest)

    @functools.cached_property
    def degrees(self) -> NumpyArray:
        """The sums of the rows."""
        total = np.asarray(self.matrix.sum(-1), np.float64)
        return total if isinstance(self.matrix, np.ndarray) else total.reshape(-1)

    @property
    def edges(self) -> tuple[NumpyArray, NumpyArray, NumpyArray]:
        """Both nodes and the weight of each edge of a sparse matrix; of an edge from a node to itself half of it."""
        matrix = self.matrix.tocoo()
        once = matrix.row <= matrix.col
        rows, columns = matrix.row[once], matrix.col[once]
        return rows, columns, np.where(rows == columns, 0.5, 1.0) * matrix.data[once]


@functools.lru_cache(maxsize=8)
def spectrum(adjacency: Adjacency) -> tuple[NumpyArray, NumpyArray]:
    """The logarithm of the determinant of ``D``, and the eigenvalues of ``D^(-1/2) W D^(-1/2)``."""
    degrees, matrix = adjacency.degrees, adjacency.matrix
    root = np.sqrt(degrees)
    if isinstance(matrix, np.ndarray):
        eigenvalues = np.linalg.eigvalsh(matrix.astype(np.float64) / (root[..., :, None] * root[..., None, :]))
    else:
        eigenvalues = _eigenvalues_of_band(matrix, root)
    return np.log(degrees).sum(-1), np.clip(eigenvalues, -1, 1)


def _eigenvalues_of_band(matrix: Any, root: NumpyArray) -> NumpyArray:
    """The same eigenvalues of a sparse matrix, in memory of its size times the width of its band.

    Nodes are put into the order of Cuthill and McKee (1969), in which neighbours are close to each other.
    """
    from scipy.linalg import eigvals_banded
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    n = matrix.shape[0]
    place = np.empty(n, int)
    place[reverse_cuthill_mckee(matrix, symmetric_mode=True)] = np.arange(n)
    entries = matrix.tocoo()
    offset = place[entries.row] - place[entries.col]
    lower = offset >= 0
    band = np.zeros((int(offset.max(initial=0)) + 1, n))
    values = entries.data / (root[entries.row] * root[entries.col])
    band[offset[lower], place[entries.col][lower]] = values[lower]
    return eigvals_banded(band, lower=True)


def solve_by_edges(adjacency: Adjacency, target: Array, correlation: Array) -> Array:
    """``x`` with ``(D - correlation W) x = target``, by conjugate gradients; all of shape ``(n,)``.

    Scaled by ``D``, the condition number is at most ``(1 + |correlation|) / (1 - |correlation|)``.
    """
    entries = adjacency.matrix.tocoo()
    degrees, weights = (np.asarray(x, target.dtype) for x in (adjacency.degrees, entries.data))

    def multiply(x: Array) -> Array:
        neighbours = jnp.zeros_like(x).at[entries.row].add(weights * x[entries.col])
        return x * degrees - correlation * neighbours

    tolerance = 4 * float(jnp.finfo(target.dtype).eps)
    return jax.scipy.sparse.linalg.cg(multiply, target, tol=tolerance, M=lambda x: x / degrees)[0]


def as_sparse(matrix: Any) -> Any:
    """A matrix of ``scipy.sparse`` in the format of compressed rows."""
    if not hasattr(matrix, "tocsr"):
        array = concrete(matrix)
        if array is None or isinstance(matrix, jax.core.Tracer):
            raise ValueError(
                "CAR: with `is_sparse=True`, adj_matrix needs to be a scipy sparse matrix or a concrete array, such as"
                " a numpy array, since its edges are read when the program is built; got"
                f" {type(matrix).__name__}. Do not give it as an argument of a transformed function, or leave"
                " `is_sparse` out."
            )
        from scipy.sparse import csr_matrix

        matrix = csr_matrix(array)
    matrix = matrix.tocsr()
    matrix.sum_duplicates()
    return matrix
