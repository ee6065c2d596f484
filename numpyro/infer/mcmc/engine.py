"""The engine: it advances chains in chunks of one compiled program.

A chunk is one call of a compiled program that takes a state, the data and the number of iterations, all at run time,
and returns the next state with the draws that it recorded, in buffers of a fixed number of rows. The same program
serves warm-up, sampling, every chain, and repeated runs. Between chunks draws go to host memory, the progress bar
moves, and an interrupt is seen. Draws do not depend on the length of chunks.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, PartitionSpec

from numpyro._typing import Array, Key, PyTree
from numpyro.infer.chain_axis import CHAIN_AXIS, any_chain
from numpyro.infer.mcmc.sampler import Moves, Sampler
from numpyro.infer.program import compiled_programs, jit

BUFFER_BYTES = 1 << 20
"""About the size of the buffers of one chain's chunk."""
MAX_ROWS = 1024
"""The most draws that a chunk records."""
PACE = "NUMPYRO_VECTORIZED_PACE"
"""An environment variable: ``own`` lets each chain of ``chain_method="vectorized"`` go on to its next iteration as soon
as it is done with one, which is the default on accelerators; ``common`` keeps them in step, which is the default on
processors. The draws are the same up to rounding."""


class Plan(NamedTuple):
    """Iterations to run: ``skip`` of which nothing is kept, then ``rows`` draws, one every ``thinning`` iterations."""

    skip: int
    rows: int
    thinning: int

    @classmethod
    def thinned(cls, iterations: int, thinning: int) -> Plan:
        """So many iterations, of which every ``thinning``-th is kept, the last one among them."""
        rows = iterations // thinning
        return cls(iterations - rows * thinning, rows, thinning)

    @property
    def iterations(self) -> int:
        return self.skip + self.rows * self.thinning


class Chains(Enum):
    """How chains lie in a state.

    One alone, batched by a leading axis, the same with the axis dealt out to devices, or as one ensemble that the
    kernel advances.
    """

    SEPARATE = "separate"
    BATCHED = "batched"
    SHARDED = "sharded"
    ENSEMBLE = "ensemble"


class Programs(NamedTuple):
    """The compiled programs of a sampler; what ``jax.jit`` returns."""

    init: Any
    chunk: Any
    finish: Any
    rows: int


def compile_programs(
    sampler: Sampler,
    fields: tuple[str, ...],
    rows: int,
    chains: Chains,
    excluded: frozenset[str],
    *,
    top_level: bool,
    mesh: Mesh | None = None,
) -> Programs:
    """The programs of ``sampler``, reused where they were compiled before.

    :param fields: the fields to record.
    :param rows: the rows of a chunk's buffers.
    :param chains: how the chains lie in a state.
    :param excluded: names of sites that are left out of the draws.
    :param top_level: the run is not part of a trace.
    :param mesh: the devices that sharded chains are dealt out to.
    """
    apart = chains in (Chains.BATCHED, Chains.SHARDED) and _chains_go_apart()
    return compiled_programs.get(
        (sampler.key, fields, rows, chains, excluded, top_level, mesh, apart),
        lambda: _build(sampler.without_data(), fields, rows, chains, excluded, top_level, mesh, apart),
    )


def _build(
    sampler: Sampler,
    fields: tuple[str, ...],
    rows: int,
    chains: Chains,
    excluded: frozenset[str],
    top_level: bool,
    mesh: Mesh | None,
    apart: bool,
) -> Programs:
    def init(data: PyTree, rng_key: Key, chain: Any, init_params: PyTree) -> PyTree:
        """``chain`` is the chain's index, or ``None`` where ``rng_key`` is the chain's own."""
        return sampler.init(data, rng_key if chain is None else jax.random.fold_in(rng_key, chain), init_params)

    def init_all(data: PyTree, rng_key: Key, chain: Any, init_params: PyTree) -> PyTree:
        over_keys = (0, None) if chain is None else (None, 0)
        axes = (None, *over_keys, None if init_params is None else 0)
        return jax.vmap(init, axes, axis_name=CHAIN_AXIS)(data, rng_key, chain, init_params)

    def chunk(data: PyTree, state: PyTree, plan: Plan) -> tuple[PyTree, PyTree]:
        return run_chunk(sampler, data, state, plan, fields, rows)

    moves = sampler.moves() if apart else None

    def batched_chunk(data: PyTree, state: PyTree, plan: Plan) -> tuple[PyTree, PyTree]:
        if moves is None:
            return chunk(data, state, plan)
        return run_chunk_by_moves(sampler, moves, data, state, plan, fields, rows)

    def sharded_chunk(data: PyTree, state: PyTree, plan: Plan) -> tuple[PyTree, PyTree]:
        def of_one_device(data: PyTree, state: PyTree, plan: Plan) -> tuple[PyTree, PyTree]:
            # A processor takes its chains one after another; an accelerator is made for all at once.
            if jax.default_backend() == "cpu":
                return lax.map(lambda state: chunk(data, state, plan), state)
            if moves is None:
                return jax.vmap(chunk, (None, 0, None))(data, state, plan)
            return jax.vmap(batched_chunk, (None, 0, None), axis_name=CHAIN_AXIS)(data, state, plan)

        over_chains = PartitionSpec(*mesh.axis_names) if mesh else PartitionSpec()
        specs = (PartitionSpec(), over_chains, PartitionSpec())
        return jax.shard_map(of_one_device, mesh=mesh, in_specs=specs, out_specs=over_chains, check_vma=False)(
            data, state, plan
        )

    def ensemble_chunk(data: PyTree, state: PyTree, plan: Plan) -> tuple[PyTree, PyTree]:
        state, records = chunk(data, state, plan)
        num_chains = jax.tree.leaves(records[fields[0]])[0].shape[1]

        def chains_first(leaf: Array) -> Array:
            """A number that the ensemble has as a whole counts for each of its chains."""
            return jnp.swapaxes(leaf, 0, 1) if leaf.ndim > 1 else jnp.broadcast_to(leaf, (num_chains, *leaf.shape))

        return state, jax.tree.map(chains_first, records)

    def finish(data: PyTree, records: dict[str, PyTree]) -> dict[str, PyTree]:
        # All records, since a model without latent sites has none of its own that tells their number.
        of_one = lambda record: sampler.postprocess(data, record[fields[0]])
        try:
            draws = jax.vmap(of_one)(records)
        except NotImplementedError:  # an operation of the model without a batching rule, as packages bring their own
            draws = jax.lax.map(of_one, records)
        if excluded and isinstance(draws, dict):
            draws = {name: draw for name, draw in draws.items() if name not in excluded}
        return {**records, fields[0]: draws}

    functions: dict[Chains, tuple[Callable, Callable, Callable]] = {
        Chains.SEPARATE: (init, chunk, finish),
        Chains.BATCHED: (
            init_all,
            jax.vmap(batched_chunk, (None, 0, None), axis_name=CHAIN_AXIS),
            jax.vmap(finish, (None, 0)),
        ),
        Chains.SHARDED: (init_all, sharded_chunk, jax.vmap(finish, (None, 0))),
        Chains.ENSEMBLE: (init_all, ensemble_chunk, jax.vmap(finish, (None, 0))),
    }
    # XLA's newer code for fusions runs the loops over all chains of an ensemble three times as fast.
    quick_to_compile = top_level and chains is not Chains.ENSEMBLE
    init_fn, chunk_fn, finish_fn = (jit(function, top_level=quick_to_compile) for function in functions[chains])
    return Programs(init_fn, chunk_fn, finish_fn, rows)


def run_chunk(
    sampler: Sampler, data: PyTree, state: PyTree, plan: Plan, fields: tuple[str, ...], rows: int
) -> tuple[PyTree, PyTree]:
    """Advance one chain by ``plan``, whose entries are run-time values; pure.

    :param rows: the rows of the buffers, at least ``plan.rows``.
    :returns: the next state and the recorded fields; rows from ``plan.rows`` on are void.
    """
    skip, kept, thinning = (jnp.asarray(entry, jnp.int32) for entry in plan)
    packed = sampler.pack(state)
    # A dictionary keeps pytrees of the recorded fields apart; buffers are written in place.
    shapes = jax.eval_shape(lambda s: sampler.fields(sampler.unpack(s), fields), packed)
    buffers = jax.tree.map(lambda leaf: jnp.zeros((rows, *leaf.shape), leaf.dtype), shapes)

    def advance(carry: tuple) -> tuple:
        count, packed, memory, buffers = carry
        packed, memory = sampler.step_over(data, packed, memory)
        # Every iteration writes the row of its draw; the last of a row's iterations is the one that stays.
        row = jnp.maximum(lax.div(count - skip, thinning), 0)
        values = sampler.fields(sampler.unpack(packed), fields)
        buffers = jax.tree.map(lambda buffer, value: _write(buffer, value, row), buffers, values)
        return count + 1, packed, memory, buffers

    total = skip + kept * thinning
    first = (jnp.int32(0), packed, sampler.memory(data, packed), buffers)
    _, packed, _, buffers = lax.while_loop(lambda carry: carry[0] < total, advance, first)
    return sampler.unpack(packed), buffers


def run_chunk_by_moves(
    sampler: Sampler, moves: Moves, data: PyTree, state: PyTree, plan: Plan, fields: tuple[str, ...], rows: int
) -> tuple[PyTree, PyTree]:
    """:func:`run_chunk` for one of several chains that are mapped together, each of which goes at its own pace.

    One round of the loop is one move of every chain; chains wait for each other only at the end of the chunk.
    """
    skip, kept, thinning = (jnp.asarray(entry, jnp.int32) for entry in plan)
    packed = sampler.pack(state)
    shapes = jax.eval_shape(lambda s: sampler.fields(sampler.unpack(s), fields), packed)
    # The last row takes what is written while nothing is to be recorded.
    buffers = jax.tree.map(lambda leaf: jnp.zeros((rows + 1, *leaf.shape), leaf.dtype), shapes)
    total = skip + kept * thinning

    def advance(carry: tuple) -> tuple:
        count, packed, underway, buffers = carry
        moving = count < total
        underway = moves.choose(moving, moves.move(data, packed, underway), underway)
        ended = moving & moves.has_ended(data, packed, underway)
        finished = moves.finish(data, packed, underway, ended)
        packed = jax.tree.map(lambda new, old: jnp.where(ended, new, old), finished, packed)
        underway = moves.choose(ended, moves.restart(data, packed, underway), underway)
        row = jnp.where(ended, jnp.maximum(lax.div(count - skip, thinning), 0), rows)
        values = sampler.fields(sampler.unpack(packed), fields)
        buffers = jax.tree.map(lambda buffer, value: _write(buffer, value, row), buffers, values)
        return count + ended, packed, underway, buffers

    first = (jnp.int32(0), packed, moves.begin(data, packed), buffers)
    _, packed, _, buffers = lax.while_loop(lambda carry: any_chain(carry[0] < total), advance, first)
    return sampler.unpack(packed), jax.tree.map(lambda buffer: buffer[:rows], buffers)


def _chains_go_apart() -> bool:
    """Whether chains that are batched go each at its own pace, see :data:`PACE`."""
    pace = os.environ.get(PACE, "").strip().lower()
    if pace not in ("", "own", "common"):
        raise ValueError(f"The environment variable {PACE} is 'own' or 'common', got {pace!r}.")
    return pace == "own" or (pace == "" and jax.default_backend() != "cpu")


def _write(buffer: Array, value: Array, row: Array) -> Array:
    """Write a row. XLA does not know how to write one without entries."""
    return lax.dynamic_update_index_in_dim(buffer, value, row, 0) if buffer.size else buffer


def buffer_rows(shapes: PyTree) -> int:
    """How many draws a chunk records, from the shapes of one draw: about :data:`BUFFER_BYTES`, a power of two."""
    leaves = jax.tree.leaves(shapes)
    size = sum(int(np.prod(leaf.shape)) * _itemsize(leaf.dtype) for leaf in leaves) or 1
    rows = max(1, min(MAX_ROWS, BUFFER_BYTES // size))
    return 1 << (rows.bit_length() - 1)


def _itemsize(dtype: Any) -> int:
    return getattr(dtype, "itemsize", 8)
