"""Factors that stand in plates, by tensor variable elimination."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp

from numpyro._errors import UsageError
from numpyro._typing import Array
from numpyro.ops.sum_product.chain import Links, Passage, eliminate_time
from numpyro.ops.sum_product.contraction import Sum, contract
from numpyro.ops.sum_product.named import NamedArray, Reduce, log_sum_exp

Plates = frozenset[str]


class Plate(NamedTuple):
    """A plate, or the steps of a loop over time.

    :param size: the number of entries.
    :param scale: what the logarithm of the product over the entries is multiplied by.
    :param links: for a loop over time, how its variables are linked from one step to the next.
    """

    size: int
    scale: Any = 1.0
    links: Links | None = None


class Variable(NamedTuple):
    """A variable to be summed out: the number of its values, and the plates that it stands in."""

    size: int
    plates: Plates


class Factor(NamedTuple):
    """A factor by its logarithm.

    :param log: the logarithm, with axes for variables and plates.
    :param plates: the plates that it stands in, of which ``log`` may lack an axis if all entries have the same.
    :param origins: the names of the sites that it comes from.
    """

    log: NamedArray
    plates: Plates
    origins: tuple[str, ...]


class Problem(NamedTuple):
    """What is to be summed.

    :param factors: the factors.
    :param variables: the variables to be summed out, by name.
    :param plates: the plates, by name.
    :param kept: plates that stay in the result.
    :param fixed: other variables, by name, of which the result stays a function.
    """

    factors: Sequence[Factor]
    variables: Mapping[str, Variable]
    plates: Mapping[str, Plate]
    kept: Plates = frozenset()
    fixed: Mapping[str, Variable] = {}


class Solution(NamedTuple):
    """The logarithm of the sum, as terms to be added, and the steps that led to it.

    A term still stands in the plates that are kept, and in those of its fixed variables.
    """

    terms: list[Factor]
    steps: list[Sum | Passage]

    @property
    def total(self) -> Array:
        """The sum of the terms, where no plate was kept."""
        arrays = [term.log.array for term in self.terms]
        return sum(arrays[1:], arrays[0]) if arrays else jnp.zeros(())


def eliminate(problem: Problem, reduce: Reduce = log_sum_exp) -> Solution:
    """Sum a product of factors over all assignments of the variables, in every entry of their plates.

    From the innermost plates outwards: factors that share variables of these plates are joined, the variables are
    summed out within each entry, and the product over the entries of a plate is taken as soon as no variable is
    left that stands in it.

    :param reduce: the sum over a variable; :func:`~numpyro.ops.sum_product.maximum` for the best assignment.
    :raises ValueError: (and ``AssertionError``) where a factor depends on a variable whose plates it does not stand in,
        or the sum would couple all entries of a plate; naming the sites and the plates.
    """
    waiting: dict[Plates, list[Factor]] = {}
    for factor in problem.factors:
        _check_inside(factor, {**problem.variables, **problem.fixed})
        waiting.setdefault(factor.plates, []).append(factor)
    terms: list[Factor] = []
    steps: list[Sum | Passage] = []
    while waiting:
        here = max(waiting, key=lambda plates: (len(plates), sorted(plates)))
        local = {name for name, variable in problem.variables.items() if variable.plates == here}
        found = waiting.pop(here)
        needed = _needed_after(waiting, problem)
        links = _links_at(here, found, needed, problem)
        tied = [chain for links_of_time in links.values() for chain in links_of_time.chains]
        for factors in connected(found, local, tied):
            left, taken = _sum_component(factors, here, local, problem, links, needed, reduce)
            steps.extend(taken)
            if _variables_of(left.log, problem.variables):
                waiting.setdefault(left.plates, []).append(left)
            else:
                terms.append(left)
    return Solution(terms, steps)


def connected(
    factors: Iterable[Factor], variables: Iterable[str], tied: Iterable[tuple[str, ...]] = ()
) -> list[list[Factor]]:
    """Factors in groups that share some of the variables, or variables that are ``tied`` to one another."""
    ties = [set(names) for names in tied]
    groups: list[tuple[set[str], list[Factor]]] = []
    variables = set(variables)
    for factor in factors:
        names = variables.intersection(factor.log.names)
        names = names.union(*(tie for tie in ties if names & tie))
        joined, others = [factor], []
        for group in groups:
            if names & group[0]:
                names |= group[0]
                joined = [*group[1], *joined]
            else:
                others.append(group)
        groups = [*others, (names, joined)]
    return [group for _, group in groups]


def _needed_after(waiting: Mapping[Plates, list[Factor]], problem: Problem) -> set[str]:
    """The variables that factors still to be summed depend on, directly or by links from step to step."""
    names = {name for factors in waiting.values() for factor in factors for name in factor.log.names}
    linked = [
        ({*chain[:-1], *last}, {*chain, *first})
        for plate in problem.plates.values()
        if plate.links is not None
        for chain, first, last in zip(*plate.links, strict=True)
    ]
    while reached := set().union(*(causes for effects, causes in linked if effects & names)) - names:
        names |= reached
    return names


def _links_at(here: Plates, factors: list[Factor], needed: set[str], problem: Problem) -> dict[str, Links]:
    """The loops whose steps depend on one another, with the variables by which they do."""
    names = {name for factor in factors for name in factor.log.names}
    found = {}
    for time in here:
        links = problem.plates[time].links
        if links is not None:
            ends = zip(links.chains, links.last, strict=True)
            found[time] = links.subset(
                [bool(names.intersection(chain[:-1]) or needed.intersection(last)) for chain, last in ends]
            )
    return {time: links for time, links in found.items() if links.chains}


def _sum_component(
    factors: list[Factor],
    here: Plates,
    local: set[str],
    problem: Problem,
    links_at: Mapping[str, Links],
    needed: set[str],
    reduce: Reduce,
) -> tuple[Factor, list[Sum | Passage]]:
    """Sum factors over the variables of their plates, and multiply over the plates that no variable is left in."""
    names = local.intersection(name for factor in factors for name in factor.log.names)
    times = {time: links for time, links in links_at.items() if names.intersection(links.names)}
    steps: list[Sum | Passage] = []
    if not times:
        table, sums = contract([factor.log for factor in factors], local, reduce)
        steps.extend(sums)
        return _leave_plates(table, factors, here, problem), steps
    time, links = next(iter(times.items()))
    links = links.restricted(names)
    unlinked = local - set(links.names)
    logs = []
    for group in connected(factors, unlinked):
        log, sums = contract([factor.log for factor in group], unlinked, reduce)
        logs.append(log)
        steps.extend(sums)
    _check_time(logs, time, links, factors, here, {**problem.variables, **problem.fixed})
    end_is_needed = any(name in needed for names in links.last for name in names)
    sizes = {name: problem.variables[name].size for name in links.names}
    passage = eliminate_time(logs, time, problem.plates[time].size, links, sizes, reduce, end_is_needed=end_is_needed)
    steps.append(passage)
    left = _leave_plates(passage.result, factors, here - {time}, problem, coming_from=here)
    return left, steps


def _leave_plates(
    table: NamedArray, factors: list[Factor], here: Plates, problem: Problem, coming_from: Plates | None = None
) -> Factor:
    """The product of a table over the entries of the plates that none of its variables stands in."""
    remaining = _variables_of(table, problem.variables)
    fixed = _variables_of(table, problem.fixed)
    above = frozenset().union(
        *(problem.variables[name].plates for name in remaining), *(problem.fixed[name].plates for name in fixed)
    )
    left = here - above - problem.kept
    if remaining and not left and coming_from is None:
        _raise_intractable([*remaining, *fixed], here, factors, {**problem.variables, **problem.fixed})
    for name in sorted(left):
        plate = problem.plates[name]
        if name in table.names:
            axis = table.names.index(name)
            table = NamedArray(jnp.sum(table.array, axis), table.names[:axis] + table.names[axis + 1 :])
        else:
            table = NamedArray(table.array * plate.size, table.names)
        if not (isinstance(plate.scale, int | float) and plate.scale == 1):
            table = NamedArray(table.array * plate.scale, table.names)
    origins = dict.fromkeys(origin for factor in factors for origin in factor.origins)
    return Factor(table, here - left, tuple(origins))


def _check_time(
    logs: list[NamedArray],
    time: str,
    links: Links,
    factors: list[Factor],
    here: Plates,
    variables: Mapping[str, Variable],
) -> None:
    """Raise where a chain in inner plates depends on other variables that each step has."""
    names = {name for log in logs for name in log.names} - set(links.names)
    others = [name for name in names if name in variables and time in variables[name].plates]
    if others:
        _raise_intractable([*others, *links.newest], here, factors, variables)


def _variables_of(array: NamedArray, variables: Mapping[str, Variable]) -> list[str]:
    return [name for name in array.names if name in variables]


def _check_inside(factor: Factor, variables: Mapping[str, Variable]) -> None:
    for name in _variables_of(factor.log, variables):
        outside = variables[name].plates - factor.plates
        if outside:
            raise UsageError(
                f"The site '{factor.origins[0]}' depends on the enumerated site '{name}', which stands in "
                f"{_plates(outside)}, but stands outside itself: the exact sum would couple all entries of the plate, "
                "of which there are exponentially many assignments. Move "
                f"'{factor.origins[0]}' into {_plates(outside)} (the same plate object, or one of the same name), or "
                f"put '{name}' outside."
            )


def _raise_intractable(
    remaining: list[str], here: Plates, factors: list[Factor], variables: Mapping[str, Variable]
) -> None:
    origins = dict.fromkeys(origin for factor in factors for origin in factor.origins)
    sites = ", ".join(f"'{origin}'" for origin in origins)
    stand = "; ".join(f"'{name}' in {_plates(variables[name].plates)}" for name in remaining)
    raise UsageError(
        f"The sum over the enumerated sites cannot be done exactly within their plates: {sites}, in {_plates(here)}, "
        f"couples {stand}, so that the number of terms grows exponentially with the sizes of the plates. Move one of "
        "these sites out of its plate, or sample it, with DiscreteHMCGibbs or MixedHMC, instead of enumerating it "
        "(infer={'enumerate': None})."
    )


def _plates(names: Iterable[str]) -> str:
    names = sorted(names)
    listed = ", ".join(f"'{name}'" for name in names)
    return "no plate" if not names else f"the plate{'s' if len(names) > 1 else ''} {listed}"
