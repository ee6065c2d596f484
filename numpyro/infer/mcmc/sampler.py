"""What the engine advances: a chain's program as pure functions of run-time data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from typing import Any

import jax
import jax.numpy as jnp

from numpyro._typing import Array, Key, PyTree
from numpyro.infer.mcmc.kernel import MCMCKernel
from numpyro.infer.program import Program
from numpyro.util import nested_attrgetter


class Moves(ABC):
    """An iteration in moves of equal cost, for chains that advance together but not in step.

    With ``underway = begin(data, state)``, one ``underway = move(data, state, underway)`` or as many as it takes until
    ``has_ended``, and ``finish``, this is :meth:`Sampler.step`.
    """

    @abstractmethod
    def begin(self, data: PyTree, state: PyTree) -> Any:
        """An iteration of which nothing is done yet."""

    @abstractmethod
    def restart(self, data: PyTree, state: PyTree, underway: Any) -> Any:
        """The same in the memory of an iteration that has ended."""

    @abstractmethod
    def move(self, data: PyTree, state: PyTree, underway: Any) -> Any:
        """One move further."""

    @abstractmethod
    def has_ended(self, data: PyTree, state: PyTree, underway: Any) -> Array:
        """Whether the iteration needs no more moves."""

    @abstractmethod
    def finish(self, data: PyTree, state: PyTree, underway: Any, ended: Array) -> PyTree:
        """The next state; it means nothing where ``ended``, which tells whether the iteration has ended, is false."""

    @abstractmethod
    def choose(self, condition: Array, new: Any, old: Any) -> Any:
        """The iteration ``new``, which came of ``old``, where the condition holds, and ``old`` elsewhere."""


class Sampler(ABC):
    """The pure functions behind a run.

    ``key`` tells programs apart: two samplers with equal keys have the same functions, so that what was compiled for
    one serves the other. ``data`` holds all arrays that the functions need; they are handed to every call and are
    never captured. States are what the kernel documents.
    """

    key: Hashable
    data: PyTree

    @abstractmethod
    def init(self, data: PyTree, rng_key: Key, init_params: PyTree) -> PyTree:
        """The first state of a chain."""

    @abstractmethod
    def step(self, data: PyTree, state: PyTree) -> PyTree:
        """The next state."""

    @abstractmethod
    def fields(self, state: PyTree, names: tuple[str, ...]) -> dict[str, PyTree]:
        """The fields of a state to be recorded."""

    @abstractmethod
    def postprocess(self, data: PyTree, draw: PyTree) -> PyTree:
        """One recorded draw of the sample field as the user sees it."""

    def memory(self, data: PyTree, state: PyTree) -> PyTree:
        """Memory for :meth:`step_over` to write over, of any content."""
        return ()

    def step_over(self, data: PyTree, state: PyTree, memory: PyTree) -> tuple[PyTree, PyTree]:
        """:meth:`step` in the memory of the step before, which saves copies in a loop of steps; and that memory."""
        return self.step(data, state), memory

    def moves(self) -> Moves | None:
        """:meth:`step` in moves, where it can be cut so."""
        return None

    def without_data(self) -> Sampler:
        """The functions alone, to be kept with a compiled program without keeping its data alive."""
        return self

    def identity(self) -> tuple[Any, PyTree]:
        """The key and the data of all that steps depend on, by which a run is known again; how it began is left out."""
        return self.key, self.data

    def largest_factor(self) -> int:
        """The rows of the largest matrix that a step factorises; 0 for none."""
        return 0

    def pack(self, state: PyTree) -> PyTree:
        """The state as :meth:`step` takes it, from the state as it is documented."""
        return state

    def unpack(self, state: PyTree) -> PyTree:
        """The state as it is documented, from the state as :meth:`step` leaves it."""
        return state

    def check_start(self, state: PyTree) -> None:
        """Raise where a first state, now concrete, cannot be gone on from."""


class KernelSampler(Sampler):
    """Any kernel, through the documented protocol alone."""

    def __init__(
        self,
        kernel: MCMCKernel,
        model_args: tuple,
        model_kwargs: dict,
        state: PyTree,
        postprocess_fn: Callable[[PyTree], PyTree] | None,
    ) -> None:
        """:param state: a state of one chain (of all chains for an ensemble kernel), from which shapes are taken."""
        self._step = Program(lambda state: kernel.sample(state, model_args, model_kwargs), state)
        names = (kernel.sample_field,)
        draw = jax.eval_shape(lambda state: nested_attrgetter(*names)(state), state)
        finish = postprocess_fn or kernel.postprocess_fn(model_args, model_kwargs)
        if kernel.is_ensemble_kernel:
            draw = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), draw)
        self._postprocess = Program(finish, draw)
        self.key = ("kernel", self._step.key, self._postprocess.key)
        self.data = (self._step.consts, self._postprocess.consts)

    def init(self, data: PyTree, rng_key: Key, init_params: PyTree) -> PyTree:
        raise TypeError("the protocol's own init has run already")

    def step(self, data: PyTree, state: PyTree) -> PyTree:
        return self._step(data[0], state)

    def fields(self, state: PyTree, names: tuple[str, ...]) -> dict[str, PyTree]:
        return record(state, names)

    def postprocess(self, data: PyTree, draw: PyTree) -> PyTree:
        return self._postprocess(data[1], draw)

    def largest_factor(self) -> int:
        return self._step.largest_factor()

    def without_data(self) -> KernelSampler:
        bare = object.__new__(KernelSampler)
        bare.__dict__.update(
            self.__dict__,
            data=None,
            _step=self._step.without_consts(),
            _postprocess=self._postprocess.without_consts(),
        )
        return bare


def record(state: PyTree, names: tuple[str, ...]) -> dict[str, Any]:
    """The named fields of a state, by name; dots reach into nested states.

    :raises ValueError: for a field that the state does not have.
    """
    values = {}
    for name in names:
        try:
            values[name] = jax.tree.map(jnp.asarray, nested_attrgetter(name)(state))
        except (AttributeError, KeyError) as error:
            known = ", ".join(getattr(state, "_fields", ())) or "none by name"
            raise ValueError(
                f"extra field '{name}': the state of the kernel has no such field; it has {known}."
            ) from error
    return values
