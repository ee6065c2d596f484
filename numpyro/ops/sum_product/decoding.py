"""The way back through an elimination: a value for each variable that was summed out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._typing import Array, Key
from numpyro.ops.sum_product.chain import Passage, at_step
from numpyro.ops.sum_product.contraction import Sum
from numpyro.ops.sum_product.elimination import Problem, Solution
from numpyro.ops.sum_product.named import NamedArray, product

Assignment = dict[str, NamedArray]
"""For each variable the position of its value, with axes for the plates that it stands in."""

Choose = Callable[[Any, Array], Array]
"""Picks a position along the last axis of log weights: :func:`choose_draw` or :func:`choose_best`."""


def choose_draw(rng_key: Any, log_weights: Array) -> Array:
    """A draw, with probabilities proportional to the weights along the last axis."""
    return jax.random.categorical(rng_key, log_weights)


def choose_best(rng_key: Any, log_weights: Array) -> Array:
    """The position of the largest weight along the last axis."""
    return jnp.argmax(log_weights, -1)


def decode(problem: Problem, solution: Solution, choose: Choose, rng_key: Any = None) -> dict[str, Array]:
    """Values for all variables: a draw from their joint distribution, or the best assignment.

    :param problem: what was solved, by a sum for a draw (``choose_draw``), by a maximum for the best (``choose_best``).
    :param solution: its solution.
    :param choose: how a value is picked from its log weights.
    :param rng_key: a key, for draws.
    :return: the position of the value of each variable, with an axis for each of its plates, by sorted names.

    Variables are picked in the order opposite to that in which they were summed out, each given those picked before.
    """
    keys = iter(jax.random.split(rng_key, len(solution.steps) + 1)) if rng_key is not None else iter(())
    found: Assignment = {}
    for step in reversed(solution.steps):
        key = next(keys, None)
        if isinstance(step, Sum):
            _decode_sum(step, found, partial(choose, key), problem)
        else:
            _decode_passage(step, found, choose, key, problem)
    positions = {}
    for name, variable in problem.variables.items():
        axes = sorted(variable.plates)
        shape = tuple(problem.plates[plate].size for plate in axes)
        if name in found:
            positions[name] = jnp.broadcast_to(found[name].aligned(axes), shape)
        else:  # of one value, or without any factor
            positions[name] = jnp.zeros(shape, jnp.result_type(int))
    return positions


def given(factor: NamedArray, found: Assignment) -> NamedArray:
    """A factor at the values of the variables that are known."""
    known = [name for name in factor.names if name in found]
    if not known:
        return factor
    free = [name for name in factor.names if name not in known]
    plates = [name for known_name in known for name in found[known_name].names]
    names = list(dict.fromkeys([*free, *plates]))
    index: list[Any] = []
    for name in factor.names:
        if name in known:
            index.append(found[name].aligned(names))
        else:
            shape = [1] * len(names)
            shape[names.index(name)] = -1
            index.append(np.arange(factor.sizes[name]).reshape(shape))
    return NamedArray(jnp.asarray(factor.array)[tuple(index)], tuple(names))


def _decode_sum(step: Sum, found: Assignment, choose: Callable[[Array], Array], problem: Problem) -> None:
    joint = product([given(factor, found) for factor in step.operands])
    plates = sorted(
        set().union(*(problem.variables[name].plates for name in step.eliminated if name in problem.variables))
    )
    batch = list(dict.fromkeys([*(name for name in joint.names if name not in step.eliminated), *plates]))
    sizes = joint.sizes | {name: problem.plates[name].size for name in plates}
    _pick(joint, list(step.eliminated), batch, sizes, found, choose)


def _pick(
    joint: NamedArray,
    variables: Sequence[str],
    batch: Sequence[str],
    sizes: Mapping[str, int],
    found: Assignment,
    choose: Callable[[Array], Array],
) -> None:
    """Pick the values of ``variables`` together, and add them to what was found."""
    shape = tuple(sizes[name] for name in variables)
    weights = jnp.reshape(joint.aligned([*batch, *variables]), (*(joint.sizes.get(n, 1) for n in batch), prod(shape)))
    weights = jnp.broadcast_to(weights, (*(sizes[name] for name in batch), prod(shape)))
    positions = jnp.unravel_index(choose(weights), shape)
    found.update((name, NamedArray(p, tuple(batch))) for name, p in zip(variables, positions, strict=True))


def _decode_passage(passage: Passage, found: Assignment, choose: Choose, rng_key: Key | None, problem: Problem) -> None:
    links = passage.links
    first = [name for names in links.first for name in names]
    start = {before: found[name] for before, name in zip(links.before, first, strict=True) if name in found}
    outside = {name: found[name] for name in passage.batch if name in found}
    batch = list(dict.fromkeys([name for name in passage.batch if name not in outside] + _axes(start, outside)))
    sizes = {name: problem.plates[name].size for name in batch} | passage.sizes
    keys = jax.random.split(rng_key, passage.length + 1) if rng_key is not None else jnp.zeros(passage.length + 1)
    if passage.messages is None:
        newest = _walk_in_parallel(passage, start, outside, batch, sizes, found, choose, keys)
    else:
        newest = _walk(passage, passage.messages, start, outside, batch, sizes, choose, keys)
    for chain, after in zip(links.chains, links.last, strict=True):
        drawn = newest[chain[-1]]
        earlier = [jnp.broadcast_to(start[name].aligned(batch), drawn.shape[1:])[None] for name in chain[:-1]]
        values = jnp.concatenate([*earlier, drawn])
        for position, name in enumerate(chain):
            found[name] = NamedArray(values[position : position + passage.length], (passage.time, *batch))
        for position, name in enumerate(after):
            found.setdefault(name, NamedArray(values[passage.length + position], tuple(batch)))


def _axes(*assignments: Assignment) -> list[str]:
    return [name for assignment in assignments for value in assignment.values() for name in value.names]


def _walk(
    passage: Passage,
    messages: NamedArray,
    start: Assignment,
    outside: Assignment,
    batch: list[str],
    sizes: dict[str, int],
    choose: Choose,
    keys: Array,
) -> dict[str, Array]:
    """Forward in time: each step's variables given the state before it and the message from after it."""
    links = passage.links
    arrays, of_step = at_step([*passage.factors, messages], passage.time)
    shape = tuple(sizes[name] for name in batch)
    state = [jnp.broadcast_to(start[name].aligned(batch), shape) for name in links.before]

    def step(state: list[Array], inputs: tuple[Array, list[Array]]) -> tuple[list[Array], list[Array]]:
        key, slices = inputs
        known = outside | {n: NamedArray(p, tuple(batch)) for n, p in zip(links.before, state, strict=True)}
        joint = product([given(factor, known) for factor in of_step(slices)])
        picked: Assignment = {}
        _pick(joint, links.newest, batch, sizes, picked, partial(choose, key))
        known |= picked
        return [known[name].array for name in links.after], [picked[name].array for name in links.newest]

    _, newest = lax.scan(step, state, (keys[: passage.length], arrays))
    return dict(zip(links.newest, newest, strict=True))


def _walk_in_parallel(
    passage: Passage,
    start: Assignment,
    outside: Assignment,
    batch: list[str],
    sizes: dict[str, int],
    found: Assignment,
    choose: Choose,
    keys: Array,
) -> dict[str, Array]:
    """From the whole to its halves: the state between two known ones, in as many rounds as the steps were joined."""
    links = passage.links
    shape = tuple(sizes[name] for name in batch)
    state_sizes = tuple(sizes[name] for name in links.before)
    last = [name for names in links.last for name in names]

    def flat(values: Mapping[str, NamedArray], names: Sequence[str]) -> Array:
        each = [jnp.broadcast_to(values[name].aligned(batch), shape) for name in names]
        return jnp.ravel_multi_index(each, state_sizes, mode="clip")

    def rows(matrices: Array) -> NamedArray:
        return given(NamedArray(matrices, ("#", *passage.batch, "#a", "#b")), outside)

    def aligned(matrices: Array, *ends: str) -> Array:
        named = rows(matrices)
        full = jnp.broadcast_to(named.aligned(["#", *batch, *ends]), (matrices.shape[0], *shape, *matrices.shape[-2:]))
        return full

    rounds = [aligned(matrices, "#a", "#b") for matrices in passage.rounds]
    begin = flat(start, links.before)
    if all(name in found for name in last):
        end = flat(found, last)
    else:
        weights = jnp.take_along_axis(rounds[-1][0], begin[..., None, None], -2)[..., 0, :]
        end = choose(keys[-1], weights)
    states = jnp.stack([begin, end])  # the states at the ends of the steps of a round
    for depth, steps in enumerate(reversed(rounds[:-1])):
        even = steps.shape[0] // 2 * 2
        before, after = states[:-1][: even // 2], states[1:][: even // 2]
        left = jnp.take_along_axis(steps[0:even:2], before[..., None, None], -2)[..., 0, :]
        right = jnp.take_along_axis(steps[1:even:2], after[..., None, None], -1)[..., 0]
        middle = choose(keys[depth], left + right)
        paired = jnp.reshape(jnp.stack([before, middle], 1), (even, *shape))
        states = jnp.concatenate([paired, states[even // 2 :]])
    positions = dict(zip(links.after, jnp.unravel_index(states[1:], state_sizes), strict=True))
    return {name: positions[name] for name in links.newest}
