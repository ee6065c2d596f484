"""Constraints: which values are inside, without compiling; equality, pytrees, pickles; users' own."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro._errors import UsageError
from numpyro.distributions import constraints as C
from numpyro.distributions.transforms import biject_to

inf, nan = math.inf, math.nan
EYE = np.eye(2).tolist()

# name -> (constraint, elements inside, elements outside)
SCALARS: dict[str, tuple[C.Constraint, list[Any], list[Any]]] = {
    "real": (C.real, [0, -1.5, 1e30], [nan, inf, -inf]),
    "complex": (C.complex, [0, 1 - 2j], [complex(nan, 1), complex(1, inf)]),
    "positive": (C.positive, [1e-30, 1, inf], [0, -1, nan, -inf]),
    "softplus_positive": (C.softplus_positive, [1e-30, 1], [0, -1, nan]),
    "nonnegative": (C.nonnegative, [0, 1], [-1e-30, nan]),
    "unit_interval": (C.unit_interval, [0, 0.5, 1], [-1e-6, 1.001, nan, inf]),
    "circular": (C.circular, [-math.pi, 0, math.pi], [3.2, -3.2, nan]),
    "greater_than": (C.greater_than(2), [2.1, inf], [2, 1, nan]),
    "greater_than_eq": (C.greater_than_eq(2), [2, 3], [1.9, nan]),
    "less_than": (C.less_than(2.0), [1.9, -inf], [2, 3, nan]),
    "less_than_eq": (C.less_than_eq(2.0), [2, -1], [2.1, nan]),
    "interval": (C.interval(-1, 2.0), [-1, 0, 2], [-1.1, 2.1, nan, inf]),
    "open_interval": (C.open_interval(-1, 2.0), [-0.9, 1.9], [-1, 2, nan]),
    "boolean": (C.boolean, [0, 1], [2, 0.5, nan, -1]),
    "integer_interval": (C.integer_interval(1, 4), [1, 4, 2.0], [0, 5, 2.5, nan, inf]),
    "integer_greater_than": (C.integer_greater_than(3), [3, 4], [2, 3.5, nan, inf, -inf]),
    "positive_integer": (C.positive_integer, [1, 7], [0, 1.5, nan]),
    "nonnegative_integer": (C.nonnegative_integer, [0, 7], [-1, 1.5, nan]),
}
EVENTS: dict[str, tuple[C.Constraint, list[Any], list[Any]]] = {
    "simplex": (C.simplex, [[0.2, 0.3, 0.5], [0, 0, 1]], [[0.2, 0.3, 0.6], [-0.1, 0.6, 0.5], [nan, 0.5, 0.5]]),
    "sphere": (C.sphere, [[0.6, 0.8], [-1, 0]], [[1, 1], [nan, 1], [0, 0]]),
    "l1_ball": (C.l1_ball, [[0, 0], [-0.5, 0.5]], [[-0.6, 0.5], [nan, 0]]),
    "ordered_vector": (C.ordered_vector, [[-1, 0, 2]], [[1, 1, 2], [2, 1, 3], [nan, 1, 2]]),
    "positive_ordered_vector": (C.positive_ordered_vector, [[0.1, 2]], [[0, 1], [2, 1], [1, nan]]),
    "positive_definite_circulant_vector": (
        C.positive_definite_circulant_vector,
        [[2, 0.5, 0.1, 0.5], [1, 0, 0, 0]],
        [[1, 2, 0, 2], [2, 0.5, 0.1, 0.4], [0, 0, 0, 0], [nan, 0, 0, 0]],
    ),
    "multinomial": (C.multinomial(3), [[1, 2], [3, 0]], [[1, 1], [-1, 4], [1.5, 1.5], [nan, 3]]),
    "real_vector": (C.real_vector, [[1, -2]], [[1, nan], [inf, 0]]),
    "independent": (C.independent(C.positive, 1), [[1, 2]], [[1, -2], [nan, 1]]),
    "zero_sum": (C.zero_sum(1), [[1, -3, 2]], [[1, 1, 1], [nan, 0, 0], [inf, -inf, 0]]),
    "real_matrix": (C.real_matrix, [EYE], [[[nan, 0], [0, 1]]]),
    "zero_sum_2": (C.zero_sum(2), [[[1, -1], [-1, 1]]], [[[1, -1], [1, -1]], [[1, 1], [-1, -1]], EYE]),
    "lower_cholesky": (C.lower_cholesky, [EYE, [[2, 0], [-3, 1]]], [[[1, 1], [0, 1]], [[1, 0], [0, -1]]]),
    "softplus_lower_cholesky": (C.softplus_lower_cholesky, [EYE], [[[1, 0], [nan, 1]], [[0, 0], [0, 1]]]),
    "scaled_unit_lower_cholesky": (C.scaled_unit_lower_cholesky, [EYE], [[[1, 0], [0, 0]]]),
    "corr_cholesky": (C.corr_cholesky, [EYE, [[1, 0], [0.6, 0.8]]], [[[2, 0], [0, 1]], [[1, 0], [0.6, -0.8]]]),
    "corr_matrix": (
        C.corr_matrix,
        [EYE, [[1, 0.5], [0.5, 1]]],
        [[[1, 2], [2, 1]], [[2, 0.5], [0.5, 1]], [[1, 0.5], [0.4, 1]], [[nan, 0], [0, 1]]],
    ),
    "positive_definite": (
        C.positive_definite,
        [EYE, [[2, 1], [1, 2]]],
        [[[1, 2], [2, 1]], [[1, 1], [0, 1]], [[1, 0], [0, 0]], [[1, nan], [nan, 1]], [[inf, 0], [0, 1]]],
    ),
    "positive_semidefinite": (
        C.positive_semidefinite,
        [EYE, [[1, 1], [1, 1]], [[0, 0], [0, 0]]],
        [[[1, 2], [2, 1]], [[1, 1], [0, 1]], [[nan, 0], [0, 1]]],
    ),
}
ALL = SCALARS | EVENTS
INTEGERS = {"integer_interval", "integer_greater_than", "positive_integer", "nonnegative_integer", "multinomial"}
DISCRETE = INTEGERS | {"boolean"}


@pytest.mark.parametrize("name", ALL)
def test_members_are_inside_and_others_outside(name: str, precision: np.dtype) -> None:
    constraint, inside, outside = ALL[name]
    dtype = np.result_type(precision, np.complex64) if name == "complex" else precision
    values = np.asarray(inside + outside, dtype)
    expected = [True] * len(inside) + [False] * len(outside)
    assert np.asarray(constraint(values)).tolist() == expected
    assert np.asarray(constraint(jnp.asarray(values))).tolist() == expected
    assert np.asarray(jax.jit(lambda x: constraint(x))(values)).tolist() == expected
    assert np.asarray(constraint.check(values)).tolist() == expected


@pytest.mark.parametrize("name", ALL)
def test_concrete_values_are_judged_without_compiling(name: str) -> None:
    constraint, inside, _ = ALL[name]
    values = np.asarray(inside)
    values_on_device = jnp.asarray(values)
    with _no_compilation():
        answer = constraint(values)
        answer_on_device = constraint(values_on_device)
    assert isinstance(answer, np.ndarray | np.bool_)
    assert isinstance(answer_on_device, jax.Array)


class _no_compilation:
    """Fail if anything is lowered inside the block."""

    def __enter__(self) -> None:
        self.events: list[str] = []
        jax.monitoring.register_event_duration_secs_listener(self._listen)

    def _listen(self, event: str, duration: float, **_: Any) -> None:
        if "compile" in event:
            self.events.append(event)

    def __exit__(self, *_: object) -> None:
        jax.monitoring.clear_event_listeners()
        assert not self.events, self.events


def test_the_guard_against_compilation_sees_one() -> None:
    with pytest.raises(AssertionError), _no_compilation():
        jax.jit(lambda x: x * 3.25)(np.ones(7)).block_until_ready()


@pytest.mark.parametrize("name", ALL)
def test_feasible_points_are_inside(name: str, precision: np.dtype) -> None:
    constraint, inside, _ = ALL[name]
    shape = (4, *np.shape(inside[0]))
    prototype = np.full(shape, 17.0, precision)
    point = constraint.feasible_like(prototype)
    assert point.shape == shape
    assert isinstance(point, jax.Array)
    assert np.asarray(constraint(point)).all()
    if name in INTEGERS:
        assert jnp.issubdtype(point.dtype, jnp.integer)
    else:
        assert point.dtype == precision
    traced = jax.jit(constraint.feasible_like)(prototype)
    np.testing.assert_array_equal(traced, point)


@pytest.mark.parametrize(("low", "high"), [(0.0, inf), (-inf, 2.0), (-inf, inf)])
def test_feasible_points_of_unbounded_intervals(low: float, high: float) -> None:
    constraint = C.interval(low, high)
    point = constraint.feasible_like(np.zeros(3))
    assert np.isfinite(point).all()
    assert np.asarray(constraint(point)).all()


@pytest.mark.parametrize("name", ALL)
def test_event_dim_is_the_rank_of_an_element(name: str) -> None:
    constraint, inside, _ = ALL[name]
    assert constraint.event_dim == np.ndim(inside[0])
    assert constraint.is_discrete == (name in DISCRETE)


def test_positions_of_batch_and_bounds_broadcast() -> None:
    low, high = np.zeros(3), np.array([[1.0], [2.0]])
    inside = C.interval(low, high)(np.full((2, 3), 1.5))
    assert inside.tolist() == [[False] * 3, [True] * 3]
    traced = jax.jit(lambda low: C.greater_than(low)(np.ones(2)))(np.array([0.0, 2.0]))
    assert traced.tolist() == [True, False]


def test_bounds_take_the_precision_of_the_value() -> None:
    # 0.1 in single precision is greater than 0.1 in double; a log density in single precision cannot tell.
    value = np.float32(0.1)
    assert C.interval(np.float64(0.0), np.float64(0.1))(value)
    assert not C.less_than(np.array(0.1))(value)


def test_integers_booleans_and_lists_are_values_too() -> None:
    assert C.positive(np.array([0, 3])).tolist() == [False, True]
    assert C.boolean(np.array([True, False])).all()
    assert C.nonnegative_integer(np.array([True, False])).all()
    assert C.real(3) and C.real([1.0, 2.0]).all()
    assert C.simplex(np.array([0, 1])) and C.positive_definite(np.eye(2, dtype=int))


def test_empty_arrays() -> None:
    assert C.positive(np.zeros(0)).shape == (0,)
    assert C.real_vector(np.zeros((3, 0))).tolist() == [True] * 3
    assert C.simplex(np.zeros((3, 0))).tolist() == [False] * 3  # an empty sum is not 1
    assert C.lower_cholesky(np.zeros((2, 0, 0))).all()
    assert C.positive_definite(np.zeros((2, 0, 0))).all()
    assert C.zero_sum(2)(np.zeros((3, 0, 2))).all()


def test_matrices_that_are_not_square_are_outside() -> None:
    for constraint in (C.lower_cholesky, C.corr_matrix, C.positive_definite):
        assert constraint(np.ones((4, 2, 3))).tolist() == [False] * 4


def test_tolerance_follows_the_precision(precision: np.dtype) -> None:
    # Products in floating point are symmetric, and rows of unit length, only up to rounding.
    rng = np.random.default_rng(0)
    factor = rng.normal(size=(20, 30, 30)).astype(precision)
    factor = np.tril(factor) / np.linalg.norm(np.tril(factor), axis=-1, keepdims=True)
    factor = factor * np.sign(np.diagonal(factor, axis1=-2, axis2=-1))[..., None, :]
    assert C.corr_cholesky(factor).all()
    wide = rng.normal(size=(20, 5, 50)).astype(precision)
    noisy = wide @ np.swapaxes(wide, -2, -1) * (1 + np.finfo(precision).eps * rng.normal(size=(20, 5, 5)))
    assert C.positive_definite(noisy.astype(precision)).all()
    weights = rng.gamma(1.0, size=(20, 1000)).astype(precision)
    assert C.simplex(weights / weights.sum(-1, keepdims=True)).all()
    rank_one = weights[:, :5, None] * weights[:, None, :5]
    assert C.positive_semidefinite(rank_one).all()
    assert not C.positive_definite(-rank_one).any()


def test_independent_reduces_and_merges() -> None:
    nested = C.independent(C.independent(C.positive, 1), 2)
    assert nested.event_dim == 3
    assert nested.base_constraint is C.positive
    assert C.independent(C.simplex, 1).event_dim == 2
    with pytest.raises(ValueError, match=r"2 dimensions or more.*shape \(3,\)"):
        C.independent(C.real, 2)(np.zeros(3))
    for bad in (lambda: C.independent(C.real, -1), lambda: C.independent(3, 1)):
        with pytest.raises(UsageError):
            bad()


def test_cat_stands_side_by_side_along_a_batch_dimension() -> None:
    constraint = C.cat([C.positive, C.real], dim=-1, lengths=[1, 2])
    assert constraint(np.array([-1.0, -1.0, 2.0])).tolist() == [False, True, True]
    rows = C.cat([C.simplex, C.ordered_vector], dim=0, lengths=[1, 2])
    assert rows.event_dim == 1
    assert rows(np.array([[0.5, 0.5], [0.5, 0.5], [0.0, 1.0]])).tolist() == [True, False, True]
    np.testing.assert_allclose(rows.feasible_like(np.zeros((3, 2))), [[0.5, 0.5], [0, 1], [0, 1]])


def test_cat_along_an_event_dimension_asks_all_pieces() -> None:
    constraint = C.cat([C.positive, C.simplex], dim=-1, lengths=[1, 2])
    values = np.array([[1.0, 0.5, 0.5], [-1.0, 0.5, 0.5], [1.0, 0.5, 0.6]])
    assert constraint(values).tolist() == [True, False, False]


def test_cat_says_what_is_wrong_with_its_pieces() -> None:
    with pytest.raises(UsageError, match="empty"):
        C.cat([])
    with pytest.raises(UsageError, match="holds 3"):
        C.cat([C.positive, 3])
    with pytest.raises(UsageError, match="lengths"):
        C.cat([C.positive, C.real], lengths=[1])
    with pytest.raises(ValueError, match="size 3 along dimension -1"):
        C.cat([C.positive, C.real], dim=-1)(np.zeros((1, 3)))


def test_equality_is_that_of_sets() -> None:
    assert C.positive == C.greater_than(0.0) == C.positive
    assert C.unit_interval == C.interval(0, 1.0)
    assert C.real_vector == C.independent(C.real, 1)
    assert C.nonnegative_integer == C.integer_greater_than(0)
    assert C.greater_than(jnp.ones(2)) == C.greater_than(np.ones(2))
    for a, b in [
        (C.positive, C.nonnegative),
        (C.greater_than(0.0), C.greater_than(1.0)),
        (C.greater_than(0.0), C.greater_than_eq(0.0)),
        (C.real_vector, C.real_matrix),
        (C.zero_sum(1), C.zero_sum(2)),
        (C.lower_cholesky, C.corr_cholesky),
        (C.real, 3),
    ]:
        assert a != b
        assert b != a
    assert C.cat([C.real, C.positive], dim=-1) == C.cat((C.real, C.positive), dim=-1, lengths=[1, 1])
    assert C.cat([C.real, C.positive], dim=-1) != C.cat([C.real, C.positive], dim=0)


def test_equality_of_traced_bounds() -> None:
    answers = jax.jit(
        lambda a: (C.greater_than(a).eq(C.greater_than(1.0)), C.independent(C.less_than(a), 1).eq(C.real))
    )
    traced, static = answers(1.0)
    assert traced and not static
    assert not answers(2.0)[0]

    def compare_statically(a: jax.Array) -> jax.Array:
        constraint = C.interval(0.0, a)
        assert constraint.eq(C.interval(0.0, a), static=True) is True  # one and the same tracer
        assert (constraint == C.interval(0.0, 1.0)) is False
        return a

    jax.jit(compare_statically)(1.0)
    assert C.greater_than(0.0).eq(C.greater_than(np.zeros(3))) is True  # fields broadcast unless static
    assert C.greater_than(0.0) != C.greater_than(np.zeros(3))


@pytest.mark.parametrize("name", ALL)
def test_survives_copies_pickles_and_transformations(name: str) -> None:
    constraint = ALL[name][0]
    leaves, treedef = jax.tree.flatten(constraint)
    for other in (
        copy.deepcopy(constraint),
        pickle.loads(pickle.dumps(constraint)),
        treedef.unflatten(leaves),
        jax.jit(lambda c: c)(constraint),
    ):
        assert other.eq(constraint)
        assert (other.event_dim, other.is_discrete) == (constraint.event_dim, constraint.is_discrete)
        if isinstance(constraint, C.ParameterFreeConstraint):
            assert other is constraint


def test_bounds_are_leaves_that_vmap_maps() -> None:
    nested = C.independent(C.cat([C.interval(0.0, 1.0), C.greater_than(3.0)], dim=-1), 1)
    assert jax.tree.leaves(nested) == [0.0, 1.0, 3.0]
    stacked = jax.vmap(lambda low: C.interval(low, low + 1))(jnp.arange(3.0))
    inside = jax.vmap(lambda c, x: c(x))(stacked, jnp.array([0.5, 0.5, 2.5]))
    assert inside.tolist() == [True, False, True]


def test_names_and_representations() -> None:
    assert repr(C.positive) == "Positive(lower_bound=0.0)"
    assert repr(C.interval(-1, 2.0)) == "Interval(lower_bound=-1, upper_bound=2.0)"
    assert repr(C.independent(C.real, 2)) == "IndependentConstraint(Real(), 2)"
    assert repr(C.real_vector) == "RealVector(Real(), 1)"
    assert repr(C.zero_sum(2)) == "ZeroSum(event_dim=2)"
    assert all(type(c).__module__ == "numpyro.distributions.constraints" for c, _, _ in ALL.values())


class Support:
    low = 2.0

    @C.dependent_property(is_discrete=False, event_dim=0)
    def declared(self) -> C.Constraint:
        return C.greater_than(self.low)

    @C.dependent_property
    def undeclared(self) -> C.Constraint:
        return C.real_vector


def test_dependent_properties_tell_what_was_declared() -> None:
    assert Support().declared == C.greater_than(2.0)
    assert Support().undeclared is C.real_vector
    declared: Any = Support.declared
    undeclared: Any = Support.undeclared
    assert (declared.event_dim, declared.is_discrete) == (0, False)
    for attribute in ("event_dim", "is_discrete"):
        with pytest.raises(NotImplementedError, match=attribute):
            getattr(undeclared, attribute)
    assert C.is_dependent(declared) and C.is_dependent(C.dependent) and not C.is_dependent(C.real)


def test_dependent_knows_what_it_is_told_and_judges_nothing() -> None:
    known = C.dependent(is_discrete=True)(event_dim=1)
    assert (known.is_discrete, known.event_dim) == (True, 1)
    with pytest.raises(ValueError, match="instance"):
        known(np.zeros(3))
    with pytest.raises(NotImplementedError):
        known.feasible_like(np.zeros(3))


class Even(C.Constraint):
    """A user's constraint without parameters."""

    is_discrete = True

    def __call__(self, x: Any) -> Any:
        return x % 2 == 0

    def feasible_like(self, prototype: Any) -> Any:
        return jnp.zeros_like(prototype)


class Ball(C.Constraint):
    """A user's constraint with a parameter, by the documented tree_flatten."""

    event_dim = 1

    def __init__(self, radius: Any) -> None:
        self.radius = radius

    def __call__(self, x: Any) -> Any:
        return (x**2).sum(-1) <= self.radius**2

    def tree_flatten(self) -> Any:
        return (self.radius,), (("radius",), {})


class Hidden(C.Constraint):
    """A user's constraint whose parameter is declared nowhere."""

    def __init__(self, bound: float) -> None:
        self.bound = bound


def test_users_define_their_own() -> None:
    assert Even() == Even() and Even() != C.real
    assert C.independent(Even(), 1)(np.array([2, 4])) and jax.jit(lambda c: c)(Even()).is_discrete
    ball = jax.jit(lambda c: c)(Ball(2.0))
    assert ball(np.array([1.0, 1.0])) and float(ball.radius) == 2.0
    assert jax.tree.leaves(Ball(2.0)) == [2.0]
    with pytest.raises(NotImplementedError, match=r"Hidden.*bound.*pytree_data_fields"):
        jax.tree.leaves(Hidden(1.0))
    with pytest.raises(NotImplementedError, match="__call__"):
        Hidden(1.0)(1.0)
    with pytest.raises(NotImplementedError, match="feasible_like"):
        Ball(1.0).feasible_like(np.zeros(2))


@pytest.mark.parametrize("name", sorted(DISCRETE))
def test_discrete_sets_have_no_bijection(name: str) -> None:
    with pytest.raises(NotImplementedError, match="discrete"):
        biject_to(ALL[name][0])
