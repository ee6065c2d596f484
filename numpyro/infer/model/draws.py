"""A function of a model mapped over many draws, in one program that is compiled once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._errors import UsageError
from numpyro._typing import Key, PyTree, Shape
from numpyro.infer.program import Program, compiled_programs, in_jit, is_traced, jit

OfOneDraw = Callable[[Any, PyTree], PyTree]

_NEEDS_VALUES = (
    jax.errors.ConcretizationTypeError,
    jax.errors.NonConcreteBooleanIndexError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
)


def common_batch_shape(samples: Mapping[str, PyTree], batch_ndims: int) -> Shape:
    """The leading dimensions that all samples share.

    :param samples: arrays, or pytrees of them, by the names of sites.
    :param batch_ndims: number of leading dimensions that count draws.
    :raises TypeError: for what is no dictionary of arrays.
    :raises ValueError: where the shapes differ.
    """
    if not isinstance(samples, Mapping):
        raise TypeError(
            f"posterior_samples must be a dictionary of arrays by the names of sites, but got {type(samples).__name__}."
        )
    first: tuple[str, Shape] | None = None
    for name, sample in samples.items():
        for leaf in jax.tree.leaves(sample):
            if isinstance(sample, list | tuple) or not (hasattr(leaf, "shape") or np.isscalar(leaf)):
                raise TypeError(f"posterior_samples['{name}'] must be an array, but got {type(sample).__name__}.")
            shape = tuple(np.shape(leaf)[:batch_ndims])
            if first is None:
                first = (name, shape)
            elif shape != first[1]:
                raise UsageError(
                    f"Batch shapes at site {name} and {first[0]} should be the same, but got {shape} and {first[1]}: "
                    f"with batch_ndims={batch_ndims}, the first {batch_ndims} dimensions of all posterior samples "
                    "count the draws."
                )
    if first is None:
        raise UsageError("No sample sites in posterior samples to infer `num_samples`.")
    return first[1]


def map_draws(
    fn: OfOneDraw,
    rng_key: Key | None,
    draws: PyTree,
    batch_shape: Shape,
    *,
    parallel: bool = False,
    batch_size: int | None = None,
) -> PyTree:
    """Evaluate ``fn(key, draw)`` for each draw.

    Outside of traces this is one compiled program, found again when the same computation comes over draws of the same
    shapes, whatever the values of the draws and of the arrays that ``fn`` captures.

    :param fn: a pure function of a key and one draw.
    :param rng_key: it is split, one key for each draw; ``None`` where ``fn`` needs none.
    :param draws: pytree of arrays with leading dimensions ``batch_shape``; may be empty.
    :param parallel: evaluate all draws at once (``vmap``), instead of one after the other (``lax.map``).
    :param batch_size: bring so many draws to the device at a time, and their results to host memory before the next.
        Inside of traces, evaluate so many at once.
    :return: the results, with leading dimensions ``batch_shape``; NumPy arrays where they come in batches.
    """
    if batch_size is not None:
        batch_size = min(batch_size, prod(batch_shape))
    over_batch = lambda fn, rng_key, draws: _over_batch(fn, rng_key, draws, batch_shape, parallel, batch_size)
    if is_traced((rng_key, draws)) or in_jit():
        return over_batch(fn, rng_key, draws)
    one_draw = jax.eval_shape(
        lambda tree: jax.tree.map(lambda leaf: jnp.reshape(leaf, (-1, *_event(leaf, batch_shape)))[0], tree), draws
    )
    try:
        program = Program(fn, jax.eval_shape(lambda key: key, rng_key), one_draw)
    except _NEEDS_VALUES:  # computed from arrays that ``fn`` captures, which ``vmap`` leaves concrete
        return over_batch(fn, rng_key, draws)
    if is_traced(program.consts):  # of a trace around us, which may differentiate
        return over_batch(fn, rng_key, draws)
    bare = program.without_consts()
    if batch_size is not None and batch_shape:
        in_one = compiled_programs.get(
            ("draws in batches", batch_size, parallel, program.key),
            lambda: jit(
                lambda consts, keys, flat: _over_keys(lambda key, draw: bare(consts, key, draw), keys, flat, parallel)
            ),
        )
        return _in_batches(partial(in_one, program.consts), rng_key, draws, batch_shape, batch_size)
    compiled = compiled_programs.get(
        ("draws", batch_shape, parallel, program.key),
        lambda: jit(lambda consts, *args: over_batch(lambda key, draw: bare(consts, key, draw), *args)),
    )
    return compiled(program.consts, rng_key, draws)


def _over_batch(
    fn: OfOneDraw, rng_key: Key | None, draws: PyTree, batch_shape: Shape, parallel: bool, batch_size: int | None
) -> PyTree:
    if not batch_shape:
        return fn(rng_key, draws)
    keys = None if rng_key is None else jax.random.split(rng_key, prod(batch_shape))
    flat = jax.tree.map(lambda leaf: jnp.reshape(leaf, (-1, *_event(leaf, batch_shape))), draws)
    results = _over_keys(fn, keys, flat, parallel, batch_size)
    return jax.tree.map(lambda leaf: jnp.reshape(leaf, (*batch_shape, *leaf.shape[1:])), results)


def _over_keys(fn: OfOneDraw, keys: Key | None, flat: PyTree, parallel: bool, batch_size: int | None = None) -> PyTree:
    """``fn`` over one leading axis of keys and draws."""
    if parallel and batch_size is None:
        return jax.vmap(fn)(keys, flat)
    return lax.map(lambda key_and_draw: fn(*key_and_draw), (keys, flat), batch_size=batch_size)


def _in_batches(
    in_one: Callable[[Any, PyTree], PyTree], rng_key: Key | None, draws: PyTree, batch_shape: Shape, batch_size: int
) -> PyTree:
    """The results of ``in_one``, a program of ``batch_size`` draws, over all draws, in host memory."""
    total = prod(batch_shape)
    words, as_keys = None, lambda words: words
    if rng_key is not None:
        keys = jax.random.split(rng_key, total)
        if jax.dtypes.issubdtype(keys.dtype, jax.dtypes.prng_key):
            as_keys = partial(jax.random.wrap_key_data, impl=jax.random.key_impl(keys))
            keys = jax.random.key_data(keys)
        words = np.asarray(keys)  # taking pieces of an array of JAX would compile a program for each of them
    flat = jax.tree.map(lambda leaf: np.reshape(np.asarray(leaf), (-1, *_event(leaf, batch_shape))), draws)
    pieces = []
    for start in range(0, total, batch_size):
        # The last batch begins earlier where draws run out, so that one program serves all.
        begin = min(start, total - batch_size)
        rows = slice(begin, begin + batch_size)
        words_here, flat_here = jax.tree.map(lambda leaf: leaf[rows], (words, flat))  # noqa: B023
        results = in_one(None if words is None else as_keys(words_here), flat_here)
        pieces.append(jax.tree.map(lambda leaf: np.asarray(leaf)[start - begin :], results))  # noqa: B023
    joined = jax.tree.map(lambda *leaves: np.concatenate(leaves), *pieces)
    return jax.tree.map(lambda leaf: leaf.reshape((*batch_shape, *leaf.shape[1:])), joined)


def _event(leaf: Any, batch_shape: Shape) -> Shape:
    return tuple(np.shape(leaf)[len(batch_shape) :])
