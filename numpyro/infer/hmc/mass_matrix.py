"""The mass matrix that a kernel is asked for: its blocks, and the values to start from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from numpyro._typing import PyTree
from numpyro.infer.adaptation import LowRankMatrix
from numpyro.infer.hmc.metric import (
    AdaptedMetric,
    BlockMetric,
    BlockOf,
    DenseMetric,
    DiagonalMetric,
    LowRankMetric,
)
from numpyro.infer.model import Layout

DenseMass = bool | Sequence[tuple[str, ...]]


MAX_RANK = 16
"""The most directions in which a low-rank mass matrix differs from a diagonal one."""


def build_metric(
    prototype: PyTree, dense_mass: DenseMass, *, named: bool, low_rank: bool = False
) -> tuple[Layout, AdaptedMetric]:
    """The layout of positions, the sites of a block side by side, and the metric over it.

    :param prototype: a position, or its shapes.
    :param dense_mass: see :class:`~numpyro.infer.HMC`.
    :param named: positions are dictionaries by site, over which blocks can be named.
    :param low_rank: the matrix is diagonal but for a few directions.
    :raises ValueError: when blocks name sites that there are not, or a site twice.
    """
    layout = Layout(prototype)
    if low_rank:
        metric = LowRankMetric(layout.size, min(layout.size, MAX_RANK))
        return layout, BlockMetric({layout.names: metric}) if named and layout.names is not None else metric
    if not named or layout.names is None:
        if not isinstance(dense_mass, bool):
            raise ValueError("blocks of sites in `dense_mass` need a model; with potential_fn use True or False.")
        return layout, (DenseMetric if dense_mass else DiagonalMetric)(layout.size)
    blocks = _blocks(dense_mass, layout.names)
    layout = Layout(prototype, [name for block in blocks for name in block])
    metrics: dict[Any, BlockOf] = {}
    for block, dense in blocks.items():
        spans = [layout.span(name) for name in block]
        metrics[block] = (DenseMetric if dense else DiagonalMetric)(sum(s.stop - s.start for s in spans))
    return layout, BlockMetric(metrics)


def _blocks(dense_mass: DenseMass, names: tuple[str, ...]) -> dict[tuple[str, ...], bool]:
    """The blocks of the mass matrix, each with whether it is dense."""
    if isinstance(dense_mass, bool):
        return {names: dense_mass}
    blocks: dict[tuple[str, ...], bool] = {}
    seen: set[str] = set()
    for entry in dense_mass:
        block = (entry,) if isinstance(entry, str) else tuple(entry)
        unknown = [name for name in block if name not in names]
        if unknown or seen & set(block) or len(set(block)) < len(block):
            problem = f"unknown sites {unknown}" if unknown else "a site twice"
            raise ValueError(f"`dense_mass` has {problem}; the latent sites are {list(names)}.")
        seen.update(block)
        blocks[block] = True
    rest = tuple(name for name in names if name not in seen)
    return blocks | ({rest: False} if rest else {})


def first_inverse_mass_matrix(given: Any, metric: AdaptedMetric) -> PyTree:
    """The inverse mass matrix to start from in the form that ``metric`` has, or ``None`` for the identity.

    :param given: an array, or a dictionary of arrays by blocks of sites; blocks that it lacks start from the identity.
    :raises ValueError: when shapes or blocks do not fit.
    """
    if given is None:
        return None
    if not isinstance(metric, BlockMetric):
        return _check_matrix(given, metric)
    blocks = dict(metric.blocks)
    if not isinstance(given, dict):
        if len(blocks) > 1:
            raise ValueError(
                f"`inverse_mass_matrix` must be a dictionary by blocks of sites, with the keys {list(blocks)}, since "
                "`dense_mass` has several blocks."
            )
        given = {next(iter(blocks)): given}
    given = {(key,) if isinstance(key, str) else tuple(key): value for key, value in given.items()}
    unknown = [key for key in given if key not in blocks]
    if unknown:
        raise ValueError(f"`inverse_mass_matrix` has the blocks {unknown}; `dense_mass` makes {list(blocks)}.")
    dtype = jnp.result_type(float)
    return {
        key: _check_matrix(given[key], block) if key in given else block.identity(dtype)
        for key, block in blocks.items()
    }


def _check_matrix(matrix: Any, metric: BlockOf) -> PyTree:
    """The matrix in the form that the metric has; a diagonal may stand for any."""
    dtype = jnp.result_type(float)
    if isinstance(metric, LowRankMetric):
        return _check_low_rank(matrix, metric, dtype)
    matrix = jnp.asarray(matrix, dtype)
    dense = isinstance(metric, DenseMetric)
    if dense and matrix.shape == (metric.size,):
        matrix = jnp.diag(matrix)
    expected = (metric.size, metric.size) if dense else (metric.size,)
    if matrix.shape != expected:
        raise ValueError(f"`inverse_mass_matrix` must have shape {expected}, got {matrix.shape}.")
    return matrix


def _check_low_rank(matrix: Any, metric: LowRankMetric, dtype: Any) -> LowRankMatrix:
    expected = (metric.size,), (metric.size, metric.rank), (metric.rank,)
    if isinstance(matrix, tuple) and len(matrix) == 3:
        parts = LowRankMatrix(*(jnp.asarray(part, dtype) for part in matrix))
        if tuple(part.shape for part in parts) == expected:
            return parts
        found: Any = tuple(part.shape for part in parts)
    else:
        diagonal = jnp.asarray(matrix, dtype)
        if diagonal.shape == (metric.size,):
            return metric.identity(dtype)._replace(scale=jnp.sqrt(diagonal))
        found = diagonal.shape
    raise ValueError(
        f"`inverse_mass_matrix` must be a diagonal of shape {(metric.size,)} with adaptation='low_rank', or the scale, "
        f"vectors and values that it found in another run, of shapes {expected}; got {found}."
    )
