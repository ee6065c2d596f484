"""Plated elimination against summation over all assignments of the unrolled variables."""

from __future__ import annotations

import itertools
from collections import Counter

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numpyro._errors import UsageError
from numpyro.ops.sum_product import (
    Factor,
    NamedArray,
    Plate,
    Problem,
    Variable,
    choose_best,
    choose_draw,
    decode,
    eliminate,
    maximum,
)
from numpyro.ops.sum_product.chain import Links, time_order

RNG = np.random.default_rng(0)


def table(*names, sizes):
    return NamedArray(RNG.normal(size=[sizes[name] for name in names]), names)


class Ground:
    """The variables of a problem unrolled over plates and times, and all their assignments."""

    def __init__(self, problem, tied=()):
        self.problem = problem
        self.cells = []
        for name, variable in problem.variables.items():
            axes = sorted(variable.plates)
            self.cells.extend((name, index) for index in np.ndindex(*(problem.plates[p].size for p in axes)))
        self.alias = dict(tied)
        self.free = [cell for cell in self.cells if cell not in self.alias]

    def cell(self, name, where):
        cell = (name, tuple(where[p] for p in sorted(self.problem.variables[name].plates)))
        while cell in self.alias:
            cell = self.alias[cell]
        return cell

    def assignments(self):
        sizes = [self.problem.variables[name].size for name, _ in self.free]
        for values in itertools.product(*(range(size) for size in sizes)):
            yield dict(zip(self.free, values, strict=True))

    def log_weight(self, assignment):
        total = 0.0
        for factor in self.problem.factors:
            plates = sorted(factor.plates)
            for index in np.ndindex(*(self.problem.plates[p].size for p in plates)):
                where = dict(zip(plates, index, strict=True))
                at = tuple(
                    where[name] if name in where else assignment[self.cell(name, where)] for name in factor.log.names
                )
                total += factor.log.array[at]
        return total


def check_against_enumeration(problem, tied=(), draws=0):
    with jax.enable_x64(True):
        ground = Ground(problem, tied)
        weights = np.array([ground.log_weight(a) for a in ground.assignments()])
        expected = np.logaddexp.reduce(weights)
        np.testing.assert_allclose(eliminate(problem).total, expected, rtol=1e-10, atol=1e-10)
        best = eliminate(problem, maximum)
        np.testing.assert_allclose(best.total, weights.max(), rtol=1e-10, atol=1e-10)
        assert ground.log_weight(positions_of(ground, decode(problem, best, choose_best))) == pytest.approx(
            weights.max(), rel=1e-10, abs=1e-10
        )
        if draws:
            draw = jax.jit(jax.vmap(lambda key: decode(problem, eliminate(problem), choose_draw, key)))
            found = jax.tree.map(np.asarray, draw(jax.random.split(jax.random.key(1), draws)))
            probs = np.exp(weights - expected)
            counts = Counter(
                tuple(positions_of(ground, {n: v[i] for n, v in found.items()}).values()) for i in range(draws)
            )
            observed = np.array([counts[tuple(a.values())] for a in ground.assignments()])
            assert observed.sum() == draws
            # Pearson's statistic, less its mean, in standard deviations: 5 of them fail once in millions of keys.
            statistic = np.sum((observed - draws * probs) ** 2 / (draws * probs))
            spread = np.sqrt(2 * len(probs) + np.sum(1 / (draws * probs)))
            assert abs(statistic - len(probs) + 1) < 5 * spread


def positions_of(ground, found):
    values = {}
    for name, index in ground.cells:
        value = int(found[name][index])
        cell = (name, index)
        if cell in ground.alias:
            target = cell
            while target in ground.alias:
                target = ground.alias[target]
            assert values.get(target, int(found[target[0]][target[1]])) == value
        else:
            values[cell] = value
    return values


@st.composite
def problems(draw):
    plates = {"a": Plate(draw(st.integers(1, 2))), "b": Plate(2)}
    subsets = [frozenset(), frozenset("a"), frozenset("ab"), frozenset("b")]
    variables = {}
    for i in range(draw(st.integers(1, 4))):
        variables[f"z{i}"] = Variable(draw(st.integers(1, 3)), draw(st.sampled_from(subsets)))
    sizes = {n: v.size for n, v in variables.items()} | {n: p.size for n, p in plates.items()}
    factors = []
    for i in range(draw(st.integers(1, 6))):
        names = draw(st.lists(st.sampled_from(sorted(variables)), max_size=3, unique=True))
        inside = frozenset().union(*(variables[n].plates for n in names), draw(st.sampled_from(subsets)))
        shown = [p for p in sorted(inside) if draw(st.booleans()) or any(p in variables[n].plates for n in names)]
        factors.append(Factor(table(*shown, *names, sizes=sizes), inside, (f"f{i}",)))
    used = {name for factor in factors for name in factor.log.names}
    return Problem(factors, {n: v for n, v in variables.items() if n in used}, plates)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(problems())
def test_plated_sums_and_maxima(problem):
    cells = sum(4 ** len(v.plates) for v in problem.variables.values())
    if cells > 12:
        return
    try:
        eliminate(problem)
    except UsageError as error:
        assert "exactly" in str(error)
        return
    check_against_enumeration(problem)


def test_draws_in_plates():
    sizes = {"x": 2, "y": 3, "w": 2, "a": 2}
    plates = {"a": Plate(2)}
    variables = {"x": Variable(2, frozenset()), "y": Variable(3, frozenset("a")), "w": Variable(2, frozenset("a"))}
    factors = [
        Factor(table("x", sizes=sizes), frozenset(), ("x",)),
        Factor(table("a", "x", "y", sizes=sizes), frozenset("a"), ("y",)),
        Factor(table("w", "y", sizes=sizes), frozenset("a"), ("w",)),
    ]
    check_against_enumeration(Problem(factors, variables, plates), draws=4000)


def chain(history=1, length=3, size=2, inner=False, after=False, local=False):
    names = tuple(f"z@{lag}" for lag in range(history, -1, -1))
    first = tuple(f"first{i}" for i in range(history))
    last = tuple(f"last{i}" for i in range(history))
    links = Links((names,), (first,), (last,))
    plates = {"time": Plate(length, links=links), "p": Plate(2)}
    around = frozenset("p") if inner else frozenset()
    variables = {name: Variable(size, around) for name in (*first, *last)}
    variables |= {name: Variable(size, around | {"time"}) for name in names}
    sizes = {n: v.size for n, v in variables.items()} | {"time": length, "p": 2, "u": 2}
    extra = ("p",) if inner else ()
    factors = [
        Factor(table("time", *extra, *names, sizes=sizes), around | {"time"}, ("z",)),
        Factor(table(*names[-1:], sizes=sizes), around | {"time"}, ("x",)),
        Factor(table(*extra, *first, sizes=sizes), around, ("first",)),
    ]
    if local:
        variables["u"] = Variable(2, around | {"time"})
        factors.append(Factor(table("u", names[-1], sizes=sizes), around | {"time"}, ("u",)))
    if after:
        factors.append(Factor(table(*extra, *last, sizes=sizes), around, ("after",)))
    tied = {}
    for place in itertools.product(*[range(2)] * inner):  # axes in sorted order: p, time
        for lag in range(1, history + 1):
            for t in range(length):
                source = (names[history], (*place, t - lag)) if t >= lag else (first[t - lag + history], place)
                tied[(f"z@{lag}", (*place, t))] = source
        for i in range(history):
            t = length - history + i
            tied[(last[i], place)] = (names[history], (*place, t)) if t >= 0 else (first[t + history], place)
    return Problem(factors, variables, plates), tied


@pytest.mark.parametrize("order", ["sequential", "parallel"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"length": 4},
        {"after": True},
        {"length": 5, "after": True, "local": True},
        {"history": 2},
        {"history": 2, "length": 4, "after": True},
        {"inner": True, "length": 2},
        {"inner": True, "length": 2, "after": True},
        {"local": True},
        {"length": 1},
    ],
    ids=str,
)
def test_loops_over_time(order, options):
    problem, tied = chain(**options)
    with time_order(order):
        check_against_enumeration(problem, tied)


@pytest.mark.parametrize("order", ["sequential", "parallel"])
@pytest.mark.parametrize("options", [{}, {"length": 4, "after": True}, {"inner": True, "length": 2}], ids=str)
def test_draws_of_loops_over_time(order, options):
    problem, tied = chain(**options)
    with time_order(order):
        check_against_enumeration(problem, tied, draws=3000)
