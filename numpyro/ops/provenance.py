"""Which inputs of a program its outputs depend on.

A program is traced to a jaxpr, and sets of names are carried along its operations: each output of an operation depends
on what its operands depend on. Calls, branches, loops and scans are entered; what is carried round a loop is followed
until nothing is added. Dependence is that of the written operations: ``0 * x`` depends on ``x``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from typing import Any

import jax
from jax.ad_checkpoint import checkpoint_name
from jax.extend import core as jex_core

from numpyro._typing import PyTree

__all__ = ["eval_provenance", "mark", "provenance"]

Names = frozenset[str]
NOTHING: Names = frozenset()

_MARK = "numpyro.provenance:"
_JAXPRS = (jex_core.ClosedJaxpr, jex_core.Jaxpr)
# Primitives that evaluate one jaxpr, their operands being its arguments.
_CALLS = frozenset(
    {"jit", "pjit", "closed_call", "core_call", "core_closed_call", "remat", "remat2", "checkpoint"}
    | {"custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr", "custom_lin"}
)


def eval_provenance(fn: Callable[..., PyTree], **kwargs: PyTree) -> PyTree:
    """The names of the arguments that each output of a function depends on.

    :param fn: a function of keyword arguments, pytrees of arrays.
    :param kwargs: its arguments, or anything of their shapes and dtypes; they are not evaluated.
    :return: a pytree like ``fn(**kwargs)`` with a ``frozenset`` of names in place of each array.

    >>> import jax.numpy as jnp
    >>> found = eval_provenance(lambda x, y: {"sum": x + y, "first": x, "none": jnp.zeros(2)}, x=1.0, y=2.0)
    >>> sorted(found["sum"]), sorted(found["first"]), sorted(found["none"])
    (['x', 'y'], ['x'], [])
    """
    names = [jax.tree.map(lambda _, name=name: frozenset({name}), value) for name, value in sorted(kwargs.items())]
    leaves = jax.tree.leaves(names, is_leaf=lambda leaf: isinstance(leaf, frozenset))
    closed, shape = jax.make_jaxpr(lambda kwargs: fn(**kwargs), return_shape=True)(kwargs)
    return jax.tree.unflatten(jax.tree.structure(shape), _follow(closed.jaxpr, leaves))


def mark(value: PyTree, name: str) -> PyTree:
    """The value, which in :func:`provenance` depends on ``name``, and on nothing else, from here on."""
    return jax.tree.map(lambda leaf: checkpoint_name(leaf, _MARK + name), value)


def provenance(fn: Callable[[], PyTree]) -> PyTree:
    """The names of the marked values that each output of a function depends on.

    :param fn: a function without arguments that passes values through :func:`mark`.
    :return: a pytree like ``fn()`` with a ``frozenset`` of names in place of each array.
    """
    closed, shape = jax.make_jaxpr(fn, return_shape=True)()
    return jax.tree.unflatten(jax.tree.structure(shape), _follow(closed.jaxpr, ()))


def _follow(jaxpr: Any, inputs: Sequence[Names]) -> list[Names]:
    """What the outputs of a jaxpr depend on, given what its inputs depend on; captured arrays depend on nothing."""
    jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
    known = dict(zip(jaxpr.invars, inputs, strict=True))

    def read(atom: Any) -> Names:
        return NOTHING if isinstance(atom, jex_core.Literal) else known.get(atom, NOTHING)

    for equation in jaxpr.eqns:
        known.update(zip(equation.outvars, _outputs(equation, [read(atom) for atom in equation.invars]), strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _outputs(equation: Any, inputs: list[Names]) -> list[Names]:
    name, params = equation.primitive.name, equation.params
    if name == "name" and params["name"].startswith(_MARK):
        return [frozenset({params["name"].removeprefix(_MARK)})]
    if name == "scan":
        return _scan(params, inputs)
    if name == "while":
        return _while(params, inputs)
    if name == "cond":
        branches = [_follow(branch, inputs[1:]) for branch in params["branches"]]
        return [_union([inputs[0], *outputs]) for outputs in zip(*branches, strict=True)]
    inner = list(_inner(params))
    if name in _CALLS and inner and len(getattr(inner[0], "jaxpr", inner[0]).invars) == len(inputs):
        return _follow(inner[0], inputs)
    everything = _union([*inputs, *(found for jaxpr in inner for found in _marks(jaxpr))])
    return [everything] * len(equation.outvars)


def _scan(params: dict[str, Any], inputs: list[Names]) -> list[Names]:
    consts, carry = params["num_consts"], params["num_carry"]
    start, stop = consts, consts + carry

    def body(carried: list[Names]) -> list[Names]:
        return _follow(params["jaxpr"], inputs[:start] + carried + inputs[stop:])

    carried = _until_still(lambda carried: body(carried)[:carry], inputs[start:stop])
    return carried + body(carried)[carry:]


def _while(params: dict[str, Any], inputs: list[Names]) -> list[Names]:
    in_condition, in_body = params["cond_nconsts"], params["body_nconsts"]
    of_condition, of_body = inputs[:in_condition], inputs[in_condition : in_condition + in_body]
    start = inputs[in_condition + in_body :]
    carried = _until_still(lambda carried: _follow(params["body_jaxpr"], of_body + carried), start)
    goes_on = _follow(params["cond_jaxpr"], of_condition + carried)
    return [_union([names, *goes_on]) for names in carried]


def _until_still(body: Callable[[list[Names]], list[Names]], carried: list[Names]) -> list[Names]:
    while True:
        larger = [before | after for before, after in zip(carried, body(carried), strict=True)]
        if larger == carried:
            return carried
        carried = larger


def _marks(jaxpr: Any) -> Iterator[Names]:
    """All marks within a jaxpr, at any depth."""
    for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        if equation.primitive.name == "name" and equation.params["name"].startswith(_MARK):
            yield frozenset({equation.params["name"].removeprefix(_MARK)})
        for inner in _inner(equation.params):
            yield from _marks(inner)


def _inner(params: dict[str, Any]) -> Iterator[Any]:
    leaves = jax.tree.leaves(list(params.values()), is_leaf=lambda value: isinstance(value, _JAXPRS))
    return (leaf for leaf in leaves if isinstance(leaf, _JAXPRS))


def _union(sets: Iterable[Names]) -> Names:
    return reduce(frozenset.union, sets, NOTHING)
