"""HMC and NUTS as the engine advances them: over a flat vector, with the model's gradient traced once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._typing import Array, Key, PyTree
from numpyro.infer.hmc.machine import NUTSMoves
from numpyro.infer.hmc.one_kernel import LARGE_PRODUCT, apart_from_kernels
from numpyro.infer.hmc.state import HMCState
from numpyro.infer.hmc.transition import HMCAlgorithm, Tuning
from numpyro.infer.mcmc.sampler import Sampler, record
from numpyro.infer.model import InitializationError, ModelView, initial_candidate
from numpyro.infer.model.initial import MAX_TRIES, no_start_error, value_and_gradient
from numpyro.infer.model.layout import Layout
from numpyro.infer.program import Program


class Target(NamedTuple):
    """The density to sample. Its functions take the model's ``data`` and a position, a pytree like ``prototype``.

    - **prototype** - a position, or its shapes.
    - **data** - what the functions take at run time.
    - **potential** - minus the log density.
    - **draw_initial** - a function of the data and a key that draws a position; ``None`` where a start is given.
    - **postprocess** - what the user sees of a position.
    - **view** - the model, for messages; ``None`` for a bare potential.
    """

    prototype: PyTree
    data: PyTree
    potential: Callable[[PyTree, PyTree], Array]
    draw_initial: Callable[[PyTree, Key], PyTree] | None
    postprocess: Callable[[PyTree, PyTree], PyTree]
    view: ModelView | None


class Data(NamedTuple):
    """All run-time values of a run: settings, the arrays that the programs captured, and the data of the model."""

    tuning: Tuning
    potential: tuple[Any, ...]
    draw: tuple[Any, ...]
    postprocess: tuple[Any, ...]
    model: PyTree


class HMCSampler(Sampler):
    """The programs of one kernel for one model, shapes and settings.

    :param algorithm: what to run.
    :param layout: how positions lie in the flat vector.
    :param tuning: run-time settings.
    :param target: the density.
    :param forward_mode: differentiate it in forward mode.
    """

    def __init__(
        self, algorithm: HMCAlgorithm, layout: Layout, tuning: Tuning, target: Target, forward_mode: bool
    ) -> None:
        self.algorithm, self.layout, self.view = algorithm, layout, target.view
        flat = jax.ShapeDtypeStruct((layout.size,), layout.dtype)
        data = jax.eval_shape(lambda data: data, target.data)
        key = jax.eval_shape(lambda: jax.random.key(0))

        def potential_and_grad(data: PyTree, flat: Array) -> tuple[Array, Array]:
            return value_and_gradient(lambda z: target.potential(data, layout.unravel(z)), forward_mode)(flat)

        self._potential = Program(potential_and_grad, data, flat)
        self._has_large_product = self._potential.largest_product() >= LARGE_PRODUCT
        self._draw = None
        draw = target.draw_initial
        if draw is not None:
            self._draw = Program(lambda data, key: layout.ravel(draw(data, key)), data, key)
        self._postprocess = Program(lambda data, flat: target.postprocess(data, layout.unravel(flat)), data, flat)
        draw_key, draw_consts = (self._draw.key, self._draw.consts) if self._draw else (None, ())
        structure = jax.tree.structure(tuning)
        self.key: tuple[Any, ...] = (
            "hmc",
            algorithm,
            layout,
            structure,
            self._potential.key,
            draw_key,
            self._postprocess.key,
        )
        self.data = Data(tuning, self._potential.consts, draw_consts, self._postprocess.consts, target.data)

    def potential_and_grad(self, data: Data) -> Callable[[Array], tuple[Array, Array]]:
        def evaluate(flat: Array) -> tuple[Array, Array]:
            potential, grad = self._potential(data.potential, data.model, flat)
            return apart_from_kernels(potential) if self._has_large_product else potential, grad

        return evaluate

    def init(self, data: Data, rng_key: Key, init_params: PyTree) -> HMCState:
        init_key, state_key = jax.random.split(rng_key)
        potential_and_grad = self.potential_and_grad(data)
        if init_params is not None:
            flat = self.layout.ravel(init_params)
            potential, grad = potential_and_grad(flat)
        else:
            draw = self._draw
            if draw is None:
                raise TypeError("this sampler starts from given positions only")
            if not jnp.issubdtype(init_key.dtype, jax.dtypes.prng_key):
                init_key = jax.random.wrap_key_data(init_key)
            flat, potential, grad, _ = initial_candidate(
                potential_and_grad, lambda key: draw(data.draw, data.model, key), init_key, MAX_TRIES
            )
        state = self.algorithm.init(potential_and_grad, data.tuning, flat, potential, grad, state_key)
        return self.unpack(state)

    def step(self, data: Data, state: HMCState) -> HMCState:
        return self.algorithm.step(self.potential_and_grad(data), data.tuning, state)

    def moves(self) -> NUTSMoves | None:
        algorithm = self.algorithm
        # Chains that learn from each other are to be at the same iteration.
        apart = algorithm.num_checkpoints is not None and not algorithm.warmup.pooled
        return NUTSMoves(algorithm, self.potential_and_grad) if apart else None

    def fields(self, state: HMCState, names: tuple[str, ...]) -> dict[str, PyTree]:
        return record(state, names)

    def postprocess(self, data: Data, draw: PyTree) -> PyTree:
        return self._postprocess(data.postprocess, data.model, self.layout.ravel(draw))

    def largest_factor(self) -> int:
        return self._potential.largest_factor()

    def identity(self) -> tuple[Any, PyTree]:
        name, algorithm, layout, structure, potential, _, postprocess = self.key
        return (name, algorithm, layout, structure, potential, postprocess), self.data._replace(draw=())

    def pack(self, state: HMCState) -> HMCState:
        return state._replace(z=self.layout.ravel(state.z), z_grad=self.layout.ravel(state.z_grad))

    def unpack(self, state: HMCState) -> HMCState:
        return state._replace(z=self.layout.unravel(state.z), z_grad=self.layout.unravel(state.z_grad))

    def without_data(self) -> HMCSampler:
        bare = object.__new__(HMCSampler)
        bare.__dict__.update(
            self.__dict__,
            data=None,
            view=None,
            _potential=self._potential.without_consts(),
            _draw=self._draw and self._draw.without_consts(),
            _postprocess=self._postprocess.without_consts(),
        )
        return bare

    def check_start(self, state: HMCState) -> None:
        finite = np.isfinite(np.asarray(state.potential_energy)) & np.isfinite(
            np.asarray(sum(np.sum(np.asarray(g)) for g in jax.tree.leaves(state.z_grad)))
        )
        if np.all(finite):
            return
        if self.view is None:
            raise _bare_potential_error(state)
        raise no_start_error(self.view, self.data.model, dict(state.z), MAX_TRIES if self._draw else 1)


def _bare_potential_error(state: HMCState) -> InitializationError:
    return InitializationError(
        f"Cannot find valid initial parameters: at init_params the potential energy is {state.potential_energy} and "
        f"its gradient {state.z_grad}; both must be finite."
    )
