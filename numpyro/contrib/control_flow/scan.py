"""Loops in models."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._errors import UsageError
from numpyro._typing import Key, PyTree
from numpyro.contrib.control_flow.body import (
    Declarations,
    Surroundings,
    Undeclared,
    emit,
    run_body,
    with_keys,
    write_back,
)
from numpyro.contrib.control_flow.enumerated import EnumeratedLoop
from numpyro.contrib.control_flow.leaves import Leaves, inside_of
from numpyro.contrib.control_flow.pieces import whole, with_rank
from numpyro.contrib.control_flow.step import Step
from numpyro.primitives import apply_stack
from numpyro.primitives.stack import _PYRO_STACK

Body = Callable[[PyTree, PyTree], tuple[PyTree, PyTree]]


def scan(
    f: Body, init: PyTree, xs: PyTree, length: int | None = None, reverse: bool = False, history: int = 1
) -> tuple[PyTree, PyTree]:
    r"""Run ``carry, y = f(carry, x)`` for each entry of ``xs``, with statements of a model in ``f``.

    It means what a Python loop would,

    .. code-block:: python

        ys = []
        for x in xs:
            carry, y = f(carry, x)
            ys.append(y)
        return carry, stack(ys)

    where the sites of all steps are one site each: a site of batch shape :math:`B` in the body is a site of batch
    shape :math:`(T, *B)` of the model, of the same name. The body is traced once and compiled once, however long the
    loop.

    - *Values* that handlers (``substitute``, ``condition``, ``replay``, ``do``) have for a site carry the time axis
      in front; without it, the value is the same at all steps. A shorter time axis than ``length`` gives the first
      steps their values, and the others are drawn: that is how to forecast.
    - *Plates* may stand in the body, and around the loop, where they have the dimensions that they have in the body.
    - ``param`` and ``mutable`` are declared once for all steps, not once a step.
    - ``scale`` and ``mask`` around the loop act on the sites of all steps: an array broadcasts with :math:`(T, *B)`.

    :param f: the body, a function of a carry and an entry of ``xs``. The carry that it returns must have the
        structure, shapes and dtypes of the one that it takes.
    :param init: the first carry, any pytree of arrays.
    :param xs: any pytree of arrays, whose leading axes have one length; ``None`` for a body that takes nothing.
    :param length: the number of steps; needed where ``xs`` is ``None``.
    :param reverse: run from the last entry to the first. Values and sites keep the order of ``xs``.
    :param history: how many steps back a discrete variable that is enumerated in the body may be looked at.
    :return: the last carry, and the ``y`` of all steps, stacked.
    :raises TypeError: if ``f`` is no function, returns no pair, or changes the structure, a shape or a dtype of the
        carry.
    :raises ValueError: if the length of the loop is unknown or ambiguous, or ``history`` is negative.

    >>> import jax, numpyro, numpyro.distributions as dist
    >>> from numpyro.contrib.control_flow import scan
    >>> def random_walk(length):
    ...     def step(x, _):
    ...         x = numpyro.sample("x", dist.Normal(x, 1.0))
    ...         return x, x
    ...     return scan(step, 0.0, None, length=length)[1]
    >>> trace = numpyro.handlers.trace(numpyro.handlers.seed(random_walk, rng_seed=0)).get_trace(5)
    >>> trace["x"]["fn"].batch_shape
    (5,)
    """
    if not callable(f):
        raise TypeError(f"The body of scan must be a function of (carry, x), but got {type(f).__name__}.")
    length = _length(xs, length)
    history = _history(history)
    init = jax.tree.map(_as_array, init)
    if not _PYRO_STACK.handlers:
        carry, _, ys = _run(f, init, xs, length, reverse, None, [])
        return carry, ys
    msg = apply_stack(
        {
            "type": "control_flow",
            "fn": _scan,
            "args": (f, init, xs, length, reverse),
            "kwargs": {"rng_key": None, "substitute_stack": [], "history": history},
            "value": None,
        }
    )
    carry, (sites, ys) = msg["value"]
    emit(sites)
    return carry, ys


def _scan(
    f: Body,
    init: PyTree,
    xs: PyTree,
    length: int,
    reverse: bool,
    *,
    rng_key: Key | None,
    substitute_stack: Sequence[tuple[str, Any]],
    history: int,
) -> tuple[PyTree, tuple[list[Any], PyTree]]:
    """What the message of a scan computes: the last carry, the sites of all steps, and the stacked outputs."""
    carry, sites, ys = _run(f, init, xs, length, reverse, rng_key, substitute_stack, history)
    return carry, (sites, ys)


def _run(
    f: Body,
    init: PyTree,
    xs: PyTree,
    length: int,
    reverse: bool,
    rng_key: Key | None,
    substitute_stack: Sequence[tuple[str, Any]],
    history: int = 1,
) -> tuple[PyTree, list[Any], PyTree]:
    loop = Loop(f, length, Surroundings(substitute_stack), rng_key)
    handler = loop.surroundings.enumerating()

    def run() -> tuple[PyTree, list[Any], PyTree]:
        if handler is not None and length > 0:
            found = EnumeratedLoop(loop, handler, history, reverse).run(init, xs)
            if found is not None:
                return found
        return loop.run(init, xs, reverse)

    try:
        return run()
    except Undeclared:
        loop.declare(init, xs)
        return run()


class Loop:
    """A body, what acts in it, and what it shares between steps.

    :param f: the body.
    :param length: the number of steps.
    :param surroundings: the handlers that act in the body.
    :param rng_key: key of all that is drawn, or ``None``.
    """

    def __init__(self, f: Body, length: int, surroundings: Surroundings, rng_key: Key | None) -> None:
        self.f = f
        self.length = length
        self.surroundings = surroundings
        self.rng_key = rng_key
        self.ids, self.values = surroundings.values_along(length)
        self.params: dict[str, Any] = {}
        self.holders: dict[str, Any] = {}  # mutables as the model has them
        self.mutables: dict[str, Any] = {}  # what is in them

    def run(self, init: PyTree, xs: PyTree, reverse: bool) -> tuple[PyTree, list[Any], PyTree]:
        """Run all steps: the last carry, the sites of all steps, the stacked outputs."""
        traced: list[Leaves] = []
        carries: list[PyTree] = []
        first_enumerated = self.surroundings.first_enumerated

        def step(carry: PyTree, inputs: PyTree) -> tuple[PyTree, PyTree]:
            (carry, mutables), (x, *where) = carry, inputs
            carry, y, sites, mutables = self.step(carry, x, where, mutables)
            carries.append(carry)
            if first_enumerated is not None:
                sites = [with_rank(site, first_enumerated) for site in sites]
            leaves = Leaves(sites, inside_of(where[0]))
            traced.append(leaves)
            return (carry, mutables), (y, leaves.arrays)

        inputs = (xs, np.arange(self.length), with_keys(self.rng_key, self.length), self.values)

        def over(init: PyTree) -> Any:
            return lax.scan(step, (init, self.mutables), inputs, length=self.length, reverse=reverse)

        try:
            (carry, mutables), (ys, arrays) = over(jax.tree.map(_strong, init))
        except TypeError as error:
            if not _is_about_carry(error):
                raise
            try:  # a weakly typed number may still take the type that the body gives it
                (carry, mutables), (ys, arrays) = over(init)
            except TypeError as error:
                if not _is_about_carry(error) or not carries:
                    raise
                raise TypeError(_describe_change(init, carries[-1], self.surroundings.plate_shape)) from error
        write_back(self.holders, mutables)
        return carry, [whole(site, self.length) for site in traced[-1].stacked(arrays, self.length)], ys

    def step(
        self, carry: PyTree, x: PyTree, where: Sequence[Any], mutables: PyTree, declare: Callable | None = None
    ) -> tuple[PyTree, PyTree, list[Any], Any]:
        """Run one step.

        :param where: the index of the step, its key, and the slices of the values in handlers.
        :param mutables: the mutables of the model as they are before the step.
        :param declare: declares what the body has of params and mutables.
        :return: the carry, the output, the sites of the step, and the mutables after it.
        """
        index, rng_key, slices = where
        surroundings, slices = self.surroundings, dict(zip(self.ids, slices))
        step = Step(index, self.length, rng_key, slices, surroundings.plate_shape, surroundings.first_enumerated)
        result, sites = run_body(
            lambda: self.f(carry, x),
            step,
            self.surroundings,
            {**self.params, **mutables},
            inside_of(index),
            declare,
        )
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise TypeError(
                f"The body of scan must return a pair (carry, y), but returned {_kind(result)}; where there is no "
                "output, return (carry, None)."
            )
        return (*result, sites, mutables)

    def declare(self, init: PyTree, xs: PyTree) -> None:
        """Run the first step, outside of the loop, to declare the params and mutables of the body."""
        inputs = (xs, np.arange(self.length), with_keys(self.rng_key, max(self.length, 1)), self.values)
        if self.length == 0:
            first = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape[1:], leaf.dtype), inputs[:2])
        else:
            first = jax.tree.map(lambda leaf: leaf[0], inputs[:2])
        declarations = Declarations()
        where = (first[1], *jax.tree.map(lambda leaf: leaf[0], inputs[2:]))
        self.step(init, first[0], where, {}, declarations)
        self.params, self.holders = declarations.of("param"), declarations.of("mutable")
        self.mutables = jax.tree.map(_as_array, self.holders)


def _length(xs: PyTree, length: int | None) -> int:
    """The number of steps."""
    if length is not None:
        try:
            length = operator.index(length)
        except TypeError:
            raise TypeError(f"length of scan must be an integer, but got {length!r}.") from None
        if length < 0:
            raise UsageError(f"length of scan must not be negative, but got {length}.")
    sizes = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(xs):
        shape = np.shape(leaf)
        if not shape:
            raise UsageError(
                f"xs{jax.tree_util.keystr(path)} of scan is a scalar, but must have the steps as its leading axis. A "
                "value that is the same at all steps can be used in the body directly."
            )
        sizes.append((f"xs{jax.tree_util.keystr(path)}", shape[0]))
    if length is not None:
        sizes.insert(0, ("length", length))
    if not sizes:
        raise UsageError("scan must know the number of steps: give xs, or length=...")
    if len({size for _, size in sizes}) > 1:
        listed = ", ".join(f"{size} ({name})" for name, size in sizes)
        raise UsageError(f"The leading axes of xs and the length of scan must agree, but there are {listed}.")
    return sizes[0][1]


def _history(history: Any) -> int:
    try:
        history = operator.index(history)
    except TypeError:
        raise TypeError(f"history of scan must be an integer, but got {history!r}.") from None
    if history < 0:
        raise UsageError(f"history of scan must not be negative, but got {history}.")
    return history


def _as_array(leaf: Any) -> Any:
    """A number as an array of the type that JAX gives it; weakly typed ones stay so."""
    return leaf if isinstance(leaf, jax.Array | bool | int | float | complex) else jnp.asarray(leaf)


def _strong(leaf: Any) -> Any:
    """A weakly typed float as an ordinary one, which spares JAX to trace the body twice."""
    if isinstance(leaf, float):
        return np.asarray(leaf, jnp.result_type(float))
    if isinstance(leaf, jax.Array) and leaf.weak_type and jnp.issubdtype(leaf.dtype, jnp.floating):
        return lax.convert_element_type(leaf, leaf.dtype)
    return leaf


def _is_about_carry(error: TypeError) -> bool:
    return "scan body function carry" in str(error)


def _kind(tree: PyTree) -> str:
    return f"{type(tree).__name__} of {len(tree)}" if isinstance(tree, tuple | list) else type(tree).__name__


def _describe_change(init: PyTree, carry: PyTree, plate_shape: tuple[int, ...]) -> str:
    """Say what part of the carry a body changes, and how to keep it."""
    before: Any = jax.tree.structure(init)
    after: Any = jax.tree.structure(carry)
    start = "The body of scan must return a carry of the structure, shapes and dtypes of `init`, but "
    if before != after:
        return f"{start}init is {before} and the body returns {after}."
    changes = []
    of_shape = False
    for (path, old), new in zip(jax.tree_util.tree_leaves_with_path(init), jax.tree.leaves(carry), strict=True):
        types = [f"{jnp.result_type(leaf).name}{list(np.shape(leaf))}" for leaf in (old, new)]
        if types[0] != types[1]:
            of_shape = of_shape or np.shape(old) != np.shape(new)
            changes.append(f"carry{jax.tree_util.keystr(path)} is {types[0]} and becomes {types[1]}")
    remedy = "Give init that shape" if of_shape else "Give init that dtype, as in jnp.asarray(init, dtype)"
    if of_shape and plate_shape:
        remedy += f" (the plates around have shape {plate_shape}, which draws in the body take)"
    return f"{start}{'; '.join(changes)}. {remedy}, or make the body keep it."
