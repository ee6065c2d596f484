"""Blocks in turn, as the engine advances them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._typing import Array, Key, PyTree
from numpyro.infer.gibbs.blocks import Block, KernelBlock
from numpyro.infer.gibbs.conditioning import any_changed
from numpyro.infer.gibbs.density import JointDensity
from numpyro.infer.gibbs.states import GibbsState
from numpyro.infer.mcmc.sampler import Sampler, record
from numpyro.infer.model.initial import MAX_TRIES, no_start_error
from numpyro.infer.program import Program

Z = dict[str, Any]


class Positions:
    """Where chains start, and what users see of positions.

    :param density: the joint density.
    :param init_params: values of some sites to start from, for their shapes, or ``None``.
    :param strategy: an initialization strategy for continuous sites.
    :param postprocess_fn: what to make of a draw, in place of constraining it.
    """

    def __init__(
        self,
        density: JointDensity,
        init_params: PyTree,
        strategy: Callable,
        postprocess_fn: Callable | None,
        model_data: PyTree,
    ) -> None:
        if init_params is not None:
            density.check_position(init_params)
        data = jax.eval_shape(lambda data: data, model_data)
        key = jax.eval_shape(lambda: jax.random.key(0))
        finish = postprocess_fn
        self.draw = Program(lambda data, key: density.draw(data, key, strategy), data, key)
        self.postprocess = Program(
            lambda data, z: density.constrain(data, z, deterministic=True) if finish is None else finish(z),
            data,
            density.prototype,
        )
        self.dtypes = {name: shape.dtype for name, shape in density.prototype.items()}
        self.key = (self.draw.key, self.postprocess.key)
        self.data = (self.draw.consts, self.postprocess.consts)

    def without_data(self) -> Positions:
        bare = object.__new__(Positions)
        bare.__dict__.update(
            self.__dict__,
            data=None,
            draw=self.draw.without_consts(),
            postprocess=self.postprocess.without_consts(),
        )
        return bare

    def start(
        self, data: PyTree, model_data: PyTree, rng_key: Key, init_params: PyTree, energy: Callable[[Z], Array]
    ) -> Z:
        """Draw positions until ``energy`` is finite, with the given values at the sites that have them."""
        if not jnp.issubdtype(rng_key.dtype, jax.dtypes.prng_key):
            rng_key = jax.random.wrap_key_data(rng_key)
        given = {name: jnp.asarray(value, self.dtypes[name]) for name, value in (init_params or {}).items()}
        tries = 1 if set(given) == set(self.dtypes) else MAX_TRIES

        def attempt(carry: tuple) -> tuple:
            tried, key, _, _ = carry
            key, draw_key = jax.random.split(key)
            z = {**self.draw(data[0], model_data, draw_key), **given}
            return tried + 1, key, z, jnp.isfinite(energy(z))

        nowhere = {name: jnp.zeros(shape.shape, shape.dtype) for name, shape in self.draw.out_shape.items()}
        first = (jnp.zeros((), jnp.int32), rng_key, nowhere, jnp.array(False))
        return lax.while_loop(lambda carry: (carry[0] < tries) & ~carry[3], attempt, first)[2]


class GibbsSampler(Sampler):
    """The programs of blocks in turn.

    :param blocks: the blocks.
    :param positions: where chains start.
    :param density: the joint density.
    :param model_data: the data of the model.
    :param make_state: the type of states.
    :param settings: what else tells the programs apart.
    """

    def __init__(
        self,
        blocks: tuple[Block, ...],
        positions: Positions,
        density: JointDensity,
        model_data: PyTree,
        make_state: type[Any],
        settings: Hashable = (),
    ) -> None:
        self.blocks, self.positions, self.density, self.make_state = blocks, positions, density, make_state
        self.key: tuple[Any, ...] = (
            "gibbs",
            (make_state.__name__, settings),
            tuple(block.names for block in blocks),
            tuple(block.key for block in blocks),
            positions.key,
        )
        self.data = (model_data, tuple(block.data for block in blocks), positions.data)

    def init(self, data: PyTree, rng_key: Key, init_params: PyTree) -> Any:
        start = self._init(data, rng_key, init_params)
        return self.make_state(*start)

    def _init(self, data: PyTree, rng_key: Key, init_params: PyTree) -> GibbsState:
        model_data, block_data, draw_data = data
        start_key, state_key, *keys = jax.random.split(rng_key, 2 + len(self.blocks))

        def energy(z: Z) -> Array:
            energies = [block.start_energy(d, model_data, z) for block, d in zip(self.blocks, block_data)]
            return sum((e for e in energies if e is not None), jnp.zeros(()))

        z = self.positions.start(draw_data, model_data, start_key, init_params, energy)
        states = []
        for block, d, key in zip(self.blocks, block_data, keys):
            states.append(block.init(d, model_data, key, z))
            if isinstance(block, KernelBlock):
                z = {**z, **block.first_values(d, model_data, states[-1], z)}
        return GibbsState(z, tuple(states), state_key)

    def step(self, data: PyTree, state: Any) -> Any:
        model_data, block_data, _ = data
        rng_key, *keys = jax.random.split(state.rng_key, 1 + len(self.blocks))
        z, energy = state.z, self._energy_of(state)
        states: list[Any] = []
        changed: list[Array] = []
        for i, (block, d, block_state, key) in enumerate(zip(self.blocks, block_data, state.block_states, keys)):
            # Of what the blocks behind this one did in the iteration before, nothing is known.
            is_last = i == len(self.blocks) - 1
            stale = any_true(changed) if is_last else True
            moved = block.step(d, model_data, block_state, key, z, energy, stale)
            changed.append(any_changed(block.own(z), moved.values))
            states.append(moved.state)
            z, energy = {**z, **moved.values}, moved.energy
        return self.make_state(z, tuple(states), rng_key)

    def _energy_of(self, state: Any) -> Array | None:
        """The potential energy, which the last block knows, if it does."""
        return getattr(state.block_states[-1], "potential_energy", None) if self._last_knows else None

    @property
    def _last_knows(self) -> bool:
        return not isinstance(self.blocks[-1], KernelBlock)

    def refresh(self, data: PyTree, state: Any) -> Any:
        """The state with all that is known of the density computed anew."""
        model_data, block_data, _ = data
        states = [b.refresh(d, model_data, s, state.z) for b, d, s in zip(self.blocks, block_data, state.block_states)]
        return state._replace(block_states=tuple(states))

    def fields(self, state: Any, names: tuple[str, ...]) -> dict[str, PyTree]:
        return record(state, names)

    def postprocess(self, data: PyTree, draw: PyTree) -> PyTree:
        return self.positions.postprocess(data[2][1], data[0], draw)

    def pack(self, state: Any) -> Any:
        return state._replace(block_states=tuple(b.pack(s) for b, s in zip(self.blocks, state.block_states)))

    def unpack(self, state: Any) -> Any:
        return state._replace(block_states=tuple(b.unpack(s) for b, s in zip(self.blocks, state.block_states)))

    def largest_factor(self) -> int:
        return max(block.largest_factor() for block in self.blocks)

    def identity(self) -> tuple[Any, PyTree]:
        name, state, names, blocks, (_, postprocess) = self.key
        return (name, state, names, blocks, postprocess), (*self.data[:2], self.data[2][1])

    def without_data(self) -> GibbsSampler:
        bare = object.__new__(type(self))
        bare.__dict__.update(
            self.__dict__,
            data=None,
            density=None,
            blocks=tuple(block.without_data() for block in self.blocks),
            positions=self.positions.without_data(),
        )
        return bare

    def check_start(self, state: Any) -> None:
        energies = [np.asarray(s.potential_energy) for s in state.block_states if hasattr(s, "potential_energy")]
        if all(np.all(np.isfinite(energy)) for energy in energies):
            return
        view, unconstrained = self.density.at(state.z)
        raise no_start_error(view, self.data[0], unconstrained, MAX_TRIES)


def any_true(conditions: list[Array]) -> Array | bool:
    """Whether any condition holds; ``False`` where there is none."""
    return jnp.any(jnp.stack(conditions)) if conditions else False
