"""Every family against scipy, quadrature, its own draws and finite differences, in both precisions.

Statistical tests use a fixed key; with a new one each would fail wrongly with probability below 1e-3.
"""

from __future__ import annotations

import copy
import pickle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st

import numpyro.distributions as dist
from numpyro.distributions import constraints
from numpyro.distributions.batch_util import promote_batch_shape
from tests.helpers.distributions import (
    CASES,
    QUANTILES,
    RARER_CASES,
    Case,
    bounds,
    draws,
    exact,
    facts,
    is_floating,
    is_scalar,
    precision,
    quadrature,
)

TOLERANCE = {"float32": 1e-4, "float64": 1e-8}
both_precisions = pytest.mark.parametrize("dtype", ["float32", "float64"])


def _marked(case: Case) -> Any:
    return pytest.param(case, marks=pytest.mark.slow) if any(case is rarer for rarer in RARER_CASES) else case


@pytest.fixture(params=[_marked(case) for case in CASES], ids=[str(case) for case in CASES], scope="module")
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


@pytest.fixture(params=CASES, ids=[str(case) for case in CASES], scope="module")
def any_case(request: pytest.FixtureRequest) -> Case:
    """For what compiles next to nothing: rarer families too run with the fast tests."""
    return request.param


def close(actual: Any, expected: Any, case: Case, dtype: str) -> None:
    tolerance = TOLERANCE[dtype] * case.loose
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def reference(case: Case, *methods: str) -> list[Any]:
    """The first of these methods that the references have, for each member of the batch."""
    for method in methods:
        if case.references and hasattr(case.references[0], method):
            return [getattr(r, method) for r in case.references]
    pytest.skip(f"no reference with {methods}")


# Densities


@both_precisions
def test_log_prob_agrees_with_the_reference(case: Case, dtype: str) -> None:
    points, log_prob = facts(case, dtype)["points"], facts(case, dtype)["log_prob"]
    for b, logpdf in enumerate(reference(case, "logpdf", "logpmf")):
        expected = [np.squeeze(logpdf(exact(case, x))) for x in points[:, b]]
        close(log_prob[:, b], expected, case, dtype)


def test_density_integrates_to_one(case: Case) -> None:
    if not is_scalar(case):
        pytest.skip("quadrature is for single numbers")
    _, weights = quadrature(case)
    density = np.exp(facts(case, "float64")["nodes_log_prob"])
    elsewhere = [1 - getattr(r, "atom", 0) for r in case.references] or 1
    np.testing.assert_allclose(np.sum(np.where(weights > 0, weights * density, 0), 0), elsewhere, rtol=1e-6)


def test_gradients_agree_with_finite_differences(case: Case) -> None:
    with precision("float64"):
        params, points = case.arrays("float64"), facts(case, "float64")["draws"][:5]
        rest = {k: v for k, v in params.items() if not is_floating(v)}
        arguments = {"params": {k: v for k, v in params.items() if is_floating(v)}}
        if not case.example.is_discrete:
            arguments["value"] = points
        rng = np.random.default_rng(0)
        weights = rng.normal(size=points.shape[:2])

        def density(arguments: Any) -> Any:
            d = case.build(arguments["params"] | rest)
            return jnp.sum(weights * d.log_prob(arguments.get("value", points)))

        def step(x: np.ndarray) -> np.ndarray:  # relative, so that signs stay
            return x * rng.uniform(0.5, 1, x.shape)

        steps = jax.tree_util.tree_map(step, arguments)
        if is_scalar(case) and "value" in steps:  # keep within the support
            lower, upper = bounds(case.example.support)
            steps["value"] = np.minimum(np.abs(steps["value"]), np.minimum(points - lower, upper - points))

        @jax.jit
        def derivatives(arguments: Any, steps: Any) -> Any:
            def along(t: float) -> Any:
                return density(jax.tree_util.tree_map(lambda x, step: x + t * step, arguments, steps))

            return jax.grad(density)(arguments), (along(1e-5) - along(-1e-5)) / 2e-5

        gradient, difference = derivatives(arguments, steps)
        pairs = zip(jax.tree.leaves(gradient), jax.tree.leaves(steps), strict=True)
        terms = [np.sum(g * s) for g, s in pairs]
        assert np.isfinite(terms).all()
        scale = max([1.0, *np.abs(terms)])
        np.testing.assert_allclose(np.sum(terms) / scale, difference / scale, atol=1e-6)


# Draws


@both_precisions
def test_dtypes_are_those_of_the_precision(case: Case, dtype: str) -> None:
    with precision(dtype):
        drawn = jax.eval_shape(lambda p, key: case.build(p).sample(key, (2,)), case.arrays(dtype), jax.random.key(0))
    integer = case.example.is_discrete and not case.floating_draws
    assert drawn.dtype == (dtype.replace("float", "int") if integer else dtype)
    assert facts(case, dtype)["log_prob"].dtype == dtype


def test_draws_lie_in_the_support(case: Case) -> None:
    drawn, d = draws(case, "float32"), case.example
    assert drawn.shape[1:] == d.shape()
    assert np.asarray(d.support(drawn)).all()


@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
def test_draws_follow_the_distribution(case: Case, dtype: str) -> None:
    drawn = draws(case, dtype)
    if is_scalar(case):
        reference(case, "cdf")
        marginals = [[r] for r in case.references]
    elif case.marginals:
        marginals = case.members(case.marginals)
    else:
        pytest.skip("no marginals")
    drawn = drawn.reshape(*drawn.shape[:2], -1)
    for b, components in enumerate(marginals):
        for i, component in enumerate(components):
            x = drawn[:, b, i].astype(float)
            if hasattr(component, "atom"):  # of a density that has a mass at zero besides
                assert st.binomtest(np.sum(x == 0), len(x), component.atom).pvalue > 1e-4
                p_value = st.kstest(x[x != 0], lambda x, r=component: (r.cdf(x) - r.atom) / (1 - r.atom)).pvalue
            else:
                discrete = case.example.is_discrete
                p_value = chi_square(x, component) if discrete else st.kstest(x, component.cdf).pvalue
            assert p_value > 1e-4


def chi_square(draws: np.ndarray, reference: Any) -> float:
    """p-value of a chi-square test over bins of some five per cent each."""
    edges = np.unique(reference.ppf(np.linspace(0.05, 0.95, 19)))
    expected = np.diff(np.concatenate([[0.0], reference.cdf(edges), [1.0]])) * len(draws)
    observed = np.diff(np.concatenate([[0], [np.sum(draws <= edge) for edge in edges], [len(draws)]]))
    keep = expected > 1e-9
    assert observed[~keep].sum() == 0
    return st.chisquare(observed[keep], expected[keep]).pvalue if keep.sum() > 1 else 1.0


def test_differentiated_draws_move_the_mean(case: Case) -> None:
    finite = case.has("mean", "variance") and np.isfinite(facts(case, "float32")["variance"]).all()
    if not case.example.has_rsample or not finite:
        pytest.skip("not reparametrised, or without moments")
    params = {k: v for k, v in case.arrays("float32").items() if is_floating(v)}
    rest = {k: v for k, v in case.arrays("float32").items() if not is_floating(v)}

    @jax.jit
    def slopes(params: Any) -> Any:
        def draw(params: Any) -> Any:
            return case.build(params | rest).rsample(jax.random.key(3), (2000,))

        tangent = jax.jvp(draw, (params,), (params,))[1]
        return tangent, jax.jvp(lambda p: case.build(p | rest).mean, (params,), (params,))[1]

    tangent, expected = slopes(params)
    assert np.isfinite(tangent).all()
    error = np.std(tangent, 0) / np.sqrt(len(tangent))
    assert (np.abs(np.mean(tangent, 0) - expected) < 4.5 * error + 1e-4).all()


def test_a_key_that_is_none_is_an_error(any_case: Case) -> None:
    with pytest.raises(ValueError, match="key"):
        any_case.example.sample(None)


@pytest.mark.parametrize("sample_shape", [3, [3]])
def test_a_sample_shape_that_is_no_tuple_is_an_error(any_case: Case, sample_shape: Any) -> None:
    message = r"expected sample_shape to be a tuple of integers, such as \(3,\), but got"
    for d in (any_case.example, any_case.example.expand((3, any_case.batch_size)), any_case.example.to_event(1)):
        with pytest.raises(TypeError, match=message):
            d.sample(jax.random.key(0), sample_shape)


# Moments, distribution functions, entropy


@both_precisions
@pytest.mark.parametrize(("name", "method"), [("mean", "mean"), ("variance", "var")])
def test_moments(case: Case, name: str, method: str, dtype: str) -> None:
    if not case.has(name):
        with pytest.raises(NotImplementedError, match=type(case.example).__name__):
            getattr(case.example, name)
        return
    actual, draws = facts(case, dtype)[name], facts(case, dtype)["draws"]
    assert actual.shape == case.example.batch_shape + case.example.event_shape
    if case.references and hasattr(case.references[0], method):
        for b, r in enumerate(case.references):
            expected = np.asarray(getattr(r, method)(), float)
            finite = np.isfinite(expected)
            close(np.where(finite, actual[b], 0), np.where(finite, expected, 0), case, dtype)
            assert not np.isfinite(actual[b][~finite]).any()
    else:
        deviations = draws - np.mean(draws, 0)
        terms = draws if name == "mean" else deviations**2
        error = np.std(terms, 0) / np.sqrt(len(draws))
        assert (np.abs(np.mean(terms, 0) - actual) < 5 * error + 1e-6).all()


@both_precisions
def test_cdf_and_icdf(case: Case, dtype: str) -> None:
    if not is_scalar(case):
        pytest.skip("for single numbers")
    for name, argument in (("cdf", 0.5), ("icdf", 0.5)):
        if not case.has(name):
            with pytest.raises(NotImplementedError, match=type(case.example).__name__):
                getattr(case.example, name)(argument)
    points = facts(case, dtype)["points"]
    if case.has("cdf"):
        for b, cdf in enumerate(reference(case, "cdf")):
            close(facts(case, dtype)["cdf"][:, b], cdf(np.asarray(points[:, b], float)), case, dtype)
    if case.has("icdf"):
        for b, ppf in enumerate(reference(case, "ppf")):
            close(facts(case, dtype)["icdf"][:, b], ppf(QUANTILES.astype(dtype).astype(float)), case, dtype)


@both_precisions
def test_entropy(case: Case, dtype: str) -> None:
    if not case.has("entropy"):
        with pytest.raises(NotImplementedError, match=type(case.example).__name__):
            case.example.entropy()
        return
    entropy, surprise = facts(case, dtype)["entropy"], -facts(case, dtype)["draws_log_prob"]
    assert entropy.shape == case.example.batch_shape
    error = np.std(surprise, 0) / np.sqrt(len(surprise))
    assert (np.abs(np.mean(surprise, 0) - entropy) < 4.5 * error + 1e-4).all()
    if case.references and hasattr(case.references[0], "entropy"):
        close(entropy, [np.squeeze(r.entropy()) for r in case.references], case, dtype)


def test_support_is_enumerated(case: Case) -> None:
    d = case.example
    if not d.has_enumerate_support:
        with pytest.raises(NotImplementedError):
            d.enumerate_support()
        return
    values, unexpanded = np.asarray(d.enumerate_support()), np.asarray(d.enumerate_support(expand=False))
    assert values.shape[1:] == d.shape()
    assert unexpanded.shape == (len(values), *[1] * len(d.batch_shape), *d.event_shape)
    np.testing.assert_allclose(np.exp(d.log_prob(values)).sum(0), 1, rtol=1e-5)


# The wrappers, and JAX's transformations


def test_wrappers_batches_and_masks_agree(case: Case) -> None:
    params, points = case.arrays("float32"), facts(case, "float32")["draws"][:3]
    n_batch = case.batch_size

    @jax.jit
    def compute(params: Any, points: Any) -> Any:
        d = case.build(params)
        mask = jnp.arange(n_batch) % 2 == 0
        wrong = jnp.where(
            mask.reshape((-1,) + (1,) * d.event_dim), points, jnp.full_like(points, -7 if d.is_discrete else jnp.nan)
        )

        def masked(params: Any, x: Any) -> Any:
            return case.build(params).mask(mask).log_prob(x).sum()

        floating = {k: v for k, v in params.items() if jnp.issubdtype(v.dtype, jnp.floating)}
        gradient = jax.grad(lambda p: masked(params | p, wrong))(floating)
        if not d.is_discrete:
            gradient = gradient, jax.grad(masked, 1)(params, wrong)
        return {
            "plain": d.log_prob(points),
            "expanded": d.expand((3, 2, n_batch)).log_prob(points[:, None]),
            "independent": d.to_event(1).log_prob(points),
            "masked": d.mask(mask).log_prob(wrong),
            "mask_gradient": gradient,
            "mapped": jax.vmap(lambda p, x: case.build(p).log_prob(x), (0, 1), 1)(params, points),
        }

    got = jax.tree_util.tree_map(np.asarray, compute(params, points))
    plain = got["plain"]
    np.testing.assert_allclose(got["expanded"], np.broadcast_to(plain[:, None], (3, 2, n_batch)), rtol=1e-5)
    np.testing.assert_allclose(got["independent"], plain.sum(-1), rtol=1e-5)
    np.testing.assert_allclose(got["masked"], np.where(np.arange(n_batch) % 2 == 0, plain, 0), rtol=1e-5)
    np.testing.assert_allclose(got["mapped"], plain, rtol=1e-5, atol=1e-5)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(got["mask_gradient"]))


def test_survives_pytrees_pickles_and_copies(case: Case) -> None:
    d = case.example
    leaves, structure = jax.tree_util.tree_flatten(d)
    assert structure == jax.tree_util.tree_structure(case.build(case.arrays("float32")))
    points = facts(case, "float32")["draws"][0]
    expected = np.asarray(d.log_prob(points))
    through_jit = jax.jit(lambda d: d)(d)
    for same in (
        jax.tree_util.tree_unflatten(structure, leaves),
        pickle.loads(pickle.dumps(d)),
        copy.deepcopy(d),
        through_jit,
    ):
        assert type(same) is type(d)
        assert (same.batch_shape, same.event_shape) == (d.batch_shape, d.event_shape)
        close(same.log_prob(points), expected, case, "float32")  # jit rounds parameters to single precision
        assert repr(same.support) == repr(d.support)


def test_batches_made_by_vmap_promote(case: Case) -> None:
    if not case.has("parameters"):
        pytest.skip("there is nothing to map over")
    d = promote_batch_shape(jax.vmap(case.build)(case.arrays("float32")))
    assert (d.batch_shape, d.event_shape) == (case.example.batch_shape, case.example.event_shape)
    points = facts(case, "float32")["draws"][:3]
    np.testing.assert_allclose(d.log_prob(points), case.example.log_prob(points), rtol=1e-5, atol=1e-6)


def test_shapes_are_inferred(any_case: Case) -> None:
    shapes = {name: np.shape(value) for name, value in any_case.params.items()} | any_case.static
    if any_case.has("infer_shapes"):
        assert type(any_case.example).infer_shapes(**shapes) == (
            any_case.example.batch_shape,
            any_case.example.event_shape,
        )


@pytest.mark.parametrize("sample_shape", [(), (3,), (2, 1)])
def test_draws_have_the_sample_shape(any_case: Case, sample_shape: tuple[int, ...]) -> None:
    d = any_case.example
    drawn = jax.eval_shape(lambda key: d.sample(key, sample_shape), jax.random.key(0))
    assert drawn.shape == sample_shape + d.batch_shape + d.event_shape == d.shape(sample_shape)
    log_prob = jax.eval_shape(d.log_prob, drawn)
    assert log_prob.shape == sample_shape + d.batch_shape


# Validation


def test_invalid_parameters_are_errors(any_case: Case) -> None:
    good = any_case.arrays("float32")
    for name, value in good.items():
        bad = value.copy()
        bad.flat[0] = np.nan if is_floating(value) else -1
        constraint = type(any_case.example).arg_constraints.get(name)
        if constraint is None or constraints.is_dependent(constraint):
            continue
        message = rf"^\w+ distribution got invalid {name} parameter: expected .*, violated by 1 of"
        with pytest.raises(ValueError, match=message):
            any_case.build(good | {name: bad}, validate_args=True)
        jax.eval_shape(lambda bad, name=name: any_case.build(good | {name: bad}).mask(True), bad)  # traced: no verdict


def test_parameters_that_are_no_numbers_or_do_not_broadcast_are_errors(any_case: Case) -> None:
    good = any_case.arrays("float32")
    for name, value in good.items():
        constraint = type(any_case.example).arg_constraints.get(name)
        if constraint is None or constraints.is_dependent(constraint):
            continue
        with pytest.raises((TypeError, ValueError)):  # a promotion of shapes may fail before parameters are named
            any_case.build(good | {name: "one"}, validate_args=True)
        if len(good) > 1:
            with pytest.raises(ValueError, match=r"\(7"):
                any_case.build(good | {name: np.repeat(value[:1], 7, 0)}, validate_args=True)


def test_validation_adds_nothing_to_a_program(case: Case) -> None:
    def program(validate: bool) -> str:
        return str(
            jax.make_jaxpr(lambda params, x: case.build(params, validate_args=validate).log_prob(x))(
                case.arrays("float32"), facts(case, "float32")["draws"][:2]
            )
        )

    assert program(True) == program(False)


def test_values_outside_the_support_have_no_density(case: Case) -> None:
    d = case.example
    if not is_scalar(case) or d.support is constraints.real:
        pytest.skip("every number is in the support, or vectors")
    candidates = np.array([-1000, -1, 2, 1000]) if d.is_discrete else np.array([-1e3, -0.5, 1.5, 1e3], "float32")
    candidates = candidates[:, None]
    outside = ~np.broadcast_to(np.asarray(d.support(candidates)), (4, case.batch_size))
    assert outside.any()
    params = case.arrays("float32")
    with pytest.warns(UserWarning, match="Out-of-support values provided to log prob method"):
        eager = np.asarray(d.log_prob(candidates))
    traced = np.asarray(jax.jit(lambda p, x: case.build(p).log_prob(x))(params, candidates))
    for log_prob in (eager, traced):
        assert (log_prob[outside] == -np.inf).all()
        assert (log_prob[~outside] > -np.inf).all()


def test_values_of_a_wrong_shape_are_errors(any_case: Case) -> None:
    d = any_case.example
    value = np.zeros((any_case.batch_size + 1, *d.event_shape))
    with pytest.raises(ValueError, match=r"does not fit batch shape"):
        d.log_prob(value)


def test_the_table_has_every_family() -> None:
    frame = [getattr(dist.distribution, name) for name in dist.distribution.__all__]
    families = {
        family
        for family in vars(dist).values()
        if isinstance(family, type) and issubclass(family, dist.Distribution) and family not in frame
    }
    assert families <= {type(case.example) for case in CASES}
