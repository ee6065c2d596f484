"""The density that a kernel samples, and the programs of a kernel for it: positions are flat vectors inside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._typing import Array, Key, PyTree
from numpyro.infer.mcmc.sampler import Sampler, record
from numpyro.infer.model import InitializationError, Layout, ModelView, initial_candidate
from numpyro.infer.model.initial import MAX_TRIES, no_start_error, value_and_gradient
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

    tuning: PyTree
    potential: tuple[Any, ...]
    draw: tuple[Any, ...]
    postprocess: tuple[Any, ...]
    model: PyTree


class Point(NamedTuple):
    """A position, a flat vector, with its potential energy and the gradient of that (0 where it is not asked for)."""

    z: Array
    potential: Array
    grad: Array


class TargetSampler(Sampler):
    """The programs of an algorithm for one target: what all of them have in common.

    :param name: tells the kinds of samplers apart.
    :param algorithm: two functions, ``init(evaluate, tuning, start, rng_key)`` and ``step(evaluate, tuning, state)``,
        over flat vectors; compares equal where programs are the same.
    :param layout: how positions lie in the flat vector.
    :param tuning: run-time settings, any pytree.
    :param target: the density.
    :param flat_fields: the fields of the state that hold positions or gradients.
    :param with_gradient: the algorithm uses gradients; otherwise none is computed.
    :param forward_mode: differentiate in forward mode.
    """

    def __init__(
        self,
        name: str,
        algorithm: Any,
        layout: Layout,
        tuning: PyTree,
        target: Target,
        *,
        flat_fields: tuple[str, ...],
        with_gradient: bool = True,
        forward_mode: bool = False,
    ) -> None:
        self.algorithm, self.layout, self.view = algorithm, layout, target.view
        self.flat_fields, self.with_gradient = flat_fields, with_gradient
        flat = jax.ShapeDtypeStruct((layout.size,), layout.dtype)
        data = jax.eval_shape(lambda data: data, target.data)
        key = jax.eval_shape(lambda: jax.random.key(0))

        def potential(data: PyTree, flat: Array) -> tuple[Array, ...]:
            def energy(flat: Array) -> Array:
                return jnp.asarray(target.potential(data, layout.unravel(flat)))

            return value_and_gradient(energy, forward_mode)(flat) if with_gradient else (energy(flat),)

        self._potential = Program(potential, data, flat)
        self._draw = None
        draw = target.draw_initial
        if draw is not None:
            self._draw = Program(lambda data, key: layout.ravel(draw(data, key)), data, key)
        self._postprocess = Program(lambda data, flat: target.postprocess(data, layout.unravel(flat)), data, flat)
        draw_key, draw_consts = (self._draw.key, self._draw.consts) if self._draw else (None, ())
        self.key: tuple[Any, ...] = (
            name,
            algorithm,
            layout,
            jax.tree.structure(tuning),
            self._potential.key,
            self._postprocess.key,
            draw_key,
        )
        self.data = Data(tuning, self._potential.consts, draw_consts, self._postprocess.consts, target.data)

    def potential_and_grad(self, data: Data) -> Callable[[Array], tuple[Array, Array]]:
        """The potential energy of a flat vector, and its gradient (0 where it is not asked for)."""

        def evaluate(flat: Array) -> tuple[Array, Array]:
            potential, *grad = self._potential(data.potential, data.model, flat)
            return potential, (grad[0] if grad else jnp.zeros_like(flat))

        return evaluate

    def evaluate(self, data: Data) -> Callable[[Array], tuple[Array, ...]]:
        """The potential energy in the form that the algorithm takes."""
        return self.potential_and_grad(data)

    def init(self, data: Data, rng_key: Key, init_params: PyTree) -> Any:
        init_key, state_key = jax.random.split(rng_key)
        evaluate = self.potential_and_grad(data)
        if init_params is not None:
            flat = self.layout.ravel(init_params)
            start = Point(flat, *evaluate(flat))
        else:
            start = self._find_start(evaluate, data, init_key)
        return self.unpack(self.algorithm.init(self.evaluate(data), data.tuning, start, state_key))

    def _find_start(self, evaluate: Callable[[Array], tuple[Array, Array]], data: Data, rng_key: Key) -> Point:
        draw = self._draw
        if draw is None:
            raise TypeError("this sampler starts from given positions only")
        if not jnp.issubdtype(rng_key.dtype, jax.dtypes.prng_key):
            rng_key = jax.random.wrap_key_data(rng_key)
        flat, potential, grad, _ = initial_candidate(
            evaluate, lambda key: draw(data.draw, data.model, key), rng_key, MAX_TRIES
        )
        return Point(flat, potential, grad)

    def step(self, data: Data, state: Any) -> Any:
        return self.algorithm.step(self.evaluate(data), data.tuning, state)

    def refresh(self, data: Data, state: Any) -> Any:
        """The documented state with the potential energy, and its gradient, computed anew at its position."""
        potential, grad = self.potential_and_grad(data)(self.layout.ravel(state.z))
        state = state._replace(potential_energy=potential)
        return state._replace(z_grad=self.layout.unravel(grad)) if self.with_gradient else state

    def fields(self, state: Any, names: tuple[str, ...]) -> dict[str, PyTree]:
        return record(state, names)

    def postprocess(self, data: Data, draw: PyTree) -> PyTree:
        return self._postprocess(data.postprocess, data.model, self.layout.ravel(draw))

    def largest_factor(self) -> int:
        return self._potential.largest_factor()

    def identity(self) -> tuple[Any, PyTree]:
        *without_draw, _ = self.key
        return tuple(without_draw), self.data._replace(draw=())

    def pack(self, state: Any) -> Any:
        return state._replace(**{name: self.layout.ravel(getattr(state, name)) for name in self.flat_fields})

    def unpack(self, state: Any) -> Any:
        return state._replace(**{name: self.layout.unravel(getattr(state, name)) for name in self.flat_fields})

    def without_data(self) -> TargetSampler:
        bare = object.__new__(type(self))
        bare.__dict__.update(
            self.__dict__,
            data=None,
            view=None,
            _potential=self._potential.without_consts(),
            _draw=self._draw and self._draw.without_consts(),
            _postprocess=self._postprocess.without_consts(),
        )
        return bare

    def check_start(self, state: Any) -> None:
        energies, grad = np.asarray(state.potential_energy), getattr(state, "z_grad", ())
        finite = np.isfinite(energies)
        for leaf in jax.tree.leaves(grad):
            finite &= np.all(np.isfinite(np.asarray(leaf)).reshape(*energies.shape, -1), axis=-1)
        if np.all(finite):
            return
        if self.view is None:
            slope = f" and its gradient {grad}; both" if self.with_gradient else "; it"
            raise InitializationError(
                f"Cannot find valid initial parameters: at init_params the potential energy is "
                f"{state.potential_energy}{slope} must be finite."
            )
        z = state.z
        if energies.ndim:  # of several chains the first that has no start
            bad = int(np.argmin(finite))
            z = jax.tree.map(lambda leaf: leaf[bad], z)
        raise no_start_error(self.view, self.data.model, dict(z), MAX_TRIES if self._draw else 1)
