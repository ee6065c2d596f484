"""What estimates an inverse mass matrix in warm-up: strategies with the same operations.

An estimator is a static object; what it has seen is its state, a pytree of arrays. The kernel calls ``update`` at each
iteration, ``estimate`` when the mass matrix is to change, and ``next_window`` at the end of each window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._typing import Array, PyTree
from numpyro.infer.adaptation.covariance import WelfordState, welford_covariance, welford_init, welford_update
from numpyro.infer.adaptation.fisher import first_inverse, fisher_diagonal, geometric_mean
from numpyro.infer.adaptation.low_rank import LowRankMatrix, low_rank_estimate
from numpyro.infer.chain_axis import rows_of_chains

DIAGONAL_REGULARIZATION = 1.0
"""So many draws that agree with the present matrix are added to those of a diagonal estimate."""
REGULARIZATION = 0.1
"""So many draws of an uncorrelated posterior are added to those of a dense or low-rank estimate."""
CUTOFF = 2.0
"""Directions whose eigenvalue is within this factor of 1 stay out of a low-rank matrix."""
BUFFER_ROWS = 128
"""The draws that a low-rank matrix is estimated from, at most."""


class Estimator(Protocol):
    """Estimates the inverse mass matrix over a flat vector, or a block of it.

    ``overlapping``: it uses all draws from the first on, in windows that grow and overlap; otherwise the windows are
    Stan's. ``continuous``: an estimate is cheap enough, and good enough early, to be made at each iteration.
    """

    overlapping: ClassVar[bool]

    @property
    def continuous(self) -> bool: ...

    def init(self, dtype: np.dtype) -> PyTree:
        """Nothing seen yet."""

    def first(self, inverse: PyTree, grad: Array) -> PyTree:
        """The inverse mass matrix to start from, given the gradient at the first position."""

    def update(self, state: PyTree, z: Array, grad: Array) -> PyTree:
        """Add a position and the gradient there."""

    def estimate(self, state: PyTree, inverse: PyTree) -> PyTree:
        """The inverse mass matrix; ``inverse`` is the present one."""

    def next_window(self, state: PyTree) -> PyTree:
        """The state at the beginning of a window."""


@dataclass(frozen=True)
class CovarianceEstimator:
    """The covariance (or variances) of the draws of a window, shrunk as Stan does."""

    size: int
    dense: bool
    regularize: bool
    pooled: bool
    overlapping: ClassVar[bool] = False
    continuous: ClassVar[bool] = False

    def init(self, dtype: np.dtype) -> tuple:
        return tuple(welford_init(self.size, self.dense, dtype))

    def first(self, inverse: Array, grad: Array) -> Array:
        return inverse

    def update(self, state: tuple, z: Array, grad: Array) -> tuple:
        return tuple(welford_update(WelfordState(*state), z, pooled=self.pooled))

    def estimate(self, state: tuple, inverse: Array) -> Array:
        return welford_covariance(WelfordState(*state), self.regularize)

    def next_window(self, state: tuple) -> tuple:
        return jax.tree.map(jnp.zeros_like, state)


class FisherState(NamedTuple):
    """Running covariances of positions and gradients: since the window before began, and since this one did."""

    foreground: tuple[WelfordState, WelfordState]
    background: tuple[WelfordState, WelfordState]


@dataclass(frozen=True)
class FisherEstimator:
    """The minimum of the Fisher divergence among diagonal or, with ``dense``, all matrices."""

    size: int
    dense: bool
    regularize: bool
    pooled: bool
    overlapping: ClassVar[bool] = True

    @property
    def continuous(self) -> bool:
        return not self.dense

    def init(self, dtype: np.dtype) -> FisherState:
        empty = welford_init(self.size, self.dense, dtype)
        return FisherState((empty, empty), (empty, empty))

    def first(self, inverse: Array, grad: Array) -> Array:
        diagonal = first_inverse(grad, pooled=self.pooled)
        return jnp.diag(diagonal) if self.dense else diagonal

    def update(self, state: FisherState, z: Array, grad: Array) -> FisherState:
        def add(pair: tuple[WelfordState, WelfordState]) -> tuple[WelfordState, WelfordState]:
            draws, grads = pair
            return welford_update(draws, z, pooled=self.pooled), welford_update(grads, grad, pooled=self.pooled)

        return FisherState(add(state.foreground), add(state.background))

    def estimate(self, state: FisherState, inverse: Array) -> Array:
        draws, grads = (welford_covariance(part, regularize=False) for part in state.foreground)
        count = state.foreground[0].num_positions.astype(inverse.dtype)
        if not self.dense:
            prior = DIAGONAL_REGULARIZATION / count if self.regularize else 0.0
            estimate = fisher_diagonal(draws + prior * inverse, grads + prior / inverse)
            return jnp.where(jnp.isfinite(estimate) & (estimate > 0) & (count >= 3), estimate, inverse)
        prior = REGULARIZATION / count if self.regularize else 0.0
        # Scaled so that the diagonal estimate is the identity, which is what small samples are shrunk towards.
        scale = jnp.sqrt(fisher_diagonal(jnp.diagonal(draws), jnp.diagonal(grads)))
        outer = jnp.outer(scale, scale)
        identity = prior * jnp.eye(self.size, dtype=inverse.dtype)
        estimate = outer * geometric_mean(draws / outer + identity, grads * outer + identity)
        return jnp.where(jnp.all(jnp.isfinite(estimate)), estimate, inverse)

    def next_window(self, state: FisherState) -> FisherState:
        return FisherState(state.background, jax.tree.map(jnp.zeros_like, state.background))


class BufferState(NamedTuple):
    """The last positions and gradients, in rings of rows: the ``n``-th is in row ``n % rows``.

    ``seen`` have come, of which those from ``foreground`` on count in estimates, and from ``background`` on after
    the next window has begun.
    """

    draws: Array
    grads: Array
    seen: Array
    foreground: Array
    background: Array


@dataclass(frozen=True)
class LowRankEstimator:
    """The minimum of the Fisher divergence among diagonal matrices with up to ``rank`` directions of their own."""

    size: int
    rank: int
    regularize: bool
    pooled: bool
    overlapping: ClassVar[bool] = True
    continuous: ClassVar[bool] = False

    def init(self, dtype: np.dtype) -> BufferState:
        rows = jnp.zeros((BUFFER_ROWS, self.size), dtype)
        none = jnp.zeros((), jnp.int32)
        return BufferState(rows, rows, none, none, none)

    def first(self, inverse: LowRankMatrix, grad: Array) -> LowRankMatrix:
        return inverse._replace(scale=jnp.sqrt(first_inverse(grad, pooled=self.pooled)))

    def update(self, state: BufferState, z: Array, grad: Array) -> BufferState:
        draws, grads = (rows_of_chains(row) if self.pooled else row[None] for row in (z, grad))
        added = draws.shape[0]
        if added > BUFFER_ROWS:  # as many chains as there are rows stand for all
            draws, grads, added = draws[:BUFFER_ROWS], grads[:BUFFER_ROWS], BUFFER_ROWS
        at = (state.seen + jnp.arange(added, dtype=jnp.int32)) % BUFFER_ROWS
        if added == 1:
            return state._replace(
                draws=lax.dynamic_update_index_in_dim(state.draws, draws[0], at[0], 0),
                grads=lax.dynamic_update_index_in_dim(state.grads, grads[0], at[0], 0),
                seen=state.seen + 1,
            )
        return state._replace(
            draws=state.draws.at[at].set(draws), grads=state.grads.at[at].set(grads), seen=state.seen + added
        )

    def estimate(self, state: BufferState, inverse: LowRankMatrix) -> LowRankMatrix:
        row = jnp.arange(BUFFER_ROWS, dtype=jnp.int32)
        # The newest position that a row can hold is the last one with that remainder.
        newest = state.seen - 1 - (state.seen - 1 - row) % BUFFER_ROWS
        used = newest >= state.foreground
        regularization = REGULARIZATION if self.regularize else 0.0
        estimate = low_rank_estimate(state.draws, state.grads, used, self.rank, regularization, CUTOFF)
        finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(part)) for part in estimate]))
        return jax.tree.map(lambda new, old: jnp.where(finite, new, old), estimate, inverse)

    def next_window(self, state: BufferState) -> BufferState:
        return state._replace(foreground=state.background, background=state.seen)
