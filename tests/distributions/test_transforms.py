"""Transforms: log determinants against autodiff Jacobians, round trips, shapes, sets, pytrees, extreme arguments."""

from __future__ import annotations

import copy
import gc
import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro._errors import UsageError
from numpyro.distributions import constraints as C
from numpyro.distributions import transforms as T
from numpyro.distributions.transforms import biject_to
from numpyro.ops.linalg import matrix_to_tril_vec


def identity(x: Any) -> Any:
    return x


def flat(x: Any) -> Any:
    return jnp.reshape(x, -1)


def reals_of(y: Any) -> Any:
    return jnp.concatenate([flat(y.real), flat(y.imag)])


def below_diagonal(y: Any) -> Any:
    return matrix_to_tril_vec(y, -1)


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape)


@dataclass(frozen=True)
class Case:
    """A transform, a point ``u`` of free coordinates, and how they make the argument and are read off the value.

    ``free`` of ``None`` says that the image is a subspace, whose volume is that of the Gram matrix of the Jacobian.
    """

    transform: T.Transform
    u: np.ndarray
    embed: Callable[[Any], Any] = identity
    free: Callable[[Any], Any] | None = flat


CASES = {
    "identity": Case(T.IdentityTransform(), normal()),
    "exp": Case(T.ExpTransform(), normal()),
    "exp_ordered": Case(T.ExpTransform(C.ordered_vector), np.array([-1.0, 0.5, 0.7])),
    "sigmoid": Case(T.SigmoidTransform(), normal()),
    "softplus": Case(T.SoftplusTransform(), normal()),
    "affine": Case(T.AffineTransform(1.0, -2.5), normal()),
    "affine_vector": Case(T.AffineTransform(np.ones(3), np.array([1.0, 2, -3]), domain=C.real_vector), normal(3)),
    "power": Case(T.PowerTransform(2.5), np.array(0.7)),
    "power_negative": Case(T.PowerTransform(-1.5), np.array(0.7)),
    "stick_breaking": Case(T.StickBreakingTransform(), normal(4), free=lambda y: y[:-1]),
    "stick_breaking_1": Case(T.StickBreakingTransform(), normal(1), free=lambda y: y[:-1]),
    "l1_ball": Case(T.L1BallTransform(), normal(4)),
    "ordered": Case(T.OrderedTransform(), normal(4)),
    "simplex_to_ordered": Case(
        T.SimplexToOrderedTransform(0.7), normal(3), embed=lambda u: T.StickBreakingTransform()(u)
    ),
    "zero_sum": Case(T.ZeroSumTransform(), normal(3), free=None),
    "zero_sum_2": Case(T.ZeroSumTransform(2), normal(2, 3), free=None),
    "lower_cholesky": Case(T.LowerCholeskyTransform(), normal(6), free=matrix_to_tril_vec),
    "softplus_lower_cholesky": Case(T.SoftplusLowerCholeskyTransform(), normal(6), free=matrix_to_tril_vec),
    "scaled_unit_lower_cholesky": Case(T.ScaledUnitLowerCholeskyTransform(), normal(6), free=matrix_to_tril_vec),
    "cholesky": Case(
        T.CholeskyTransform(),
        normal(6),
        embed=lambda u: biject_to(C.positive_definite)(u),
        free=matrix_to_tril_vec,
    ),
    "corr_cholesky": Case(T.CorrCholeskyTransform(), normal(6), free=below_diagonal),
    "corr_cholesky_2": Case(T.CorrCholeskyTransform(), normal(1), free=below_diagonal),
    "corr_matrix_cholesky": Case(
        T.CorrMatrixCholeskyTransform(), normal(6), embed=lambda u: biject_to(C.corr_matrix)(u), free=below_diagonal
    ),
    "lower_cholesky_affine": Case(
        T.LowerCholeskyAffine(np.ones(3), np.tril(normal(3, 3)) + 3 * np.eye(3)), normal(3)
    ),
    "permute": Case(T.PermuteTransform(np.array([2, 0, 1])), normal(3)),
    "reshape": Case(T.ReshapeTransform((2, 3), (6,)), normal(6)),
    "complex": Case(T.ComplexTransform(), normal(2), free=reals_of),
    "fourier_even": Case(
        T.RealFastFourierTransform(6), normal(6), free=T.PackRealFastFourierCoefficientsTransform((6,)).inv
    ),
    "fourier_odd": Case(
        T.RealFastFourierTransform(5), normal(5), free=T.PackRealFastFourierCoefficientsTransform((5,)).inv
    ),
    "pack_even": Case(T.PackRealFastFourierCoefficientsTransform((6,)), normal(6), free=None),
    "pack_odd": Case(T.PackRealFastFourierCoefficientsTransform((5,)), normal(5), free=None),
    "cosine": Case(T.DiscreteCosineTransform(), normal(5)),
    "cosine_smooth": Case(T.DiscreteCosineTransform(dim=-2, smooth=1.5), normal(4, 2)),
    "haar": Case(T.HaarTransform(), normal(7)),
    "haar_flip": Case(T.HaarTransform(dim=-2, flip=True), normal(6, 2)),
    "recursive": Case(T.RecursiveLinearTransform(normal(2, 2), np.ones(2)), normal(4, 2)),
    "independent": Case(T.IndependentTransform(T.ExpTransform(), 2), normal(2, 3)),
    "compose": Case(T.ComposeTransform([T.ExpTransform(), T.AffineTransform(1.0, 3.0)]), normal()),
    "compose_events": Case(
        T.ComposeTransform([T.ExpTransform(), T.OrderedTransform(), T.AffineTransform(0.0, 2.0)]), normal(3)
    ),
    "compose_matrix": Case(
        T.ComposeTransform([T.AffineTransform(0.0, 0.5), T.LowerCholeskyTransform(), T.CholeskyTransform().inv]),
        normal(6),
        free=matrix_to_tril_vec,
    ),
    "cat": Case(T.CatTransform([T.StickBreakingTransform(), T.IndependentTransform(T.ExpTransform(), 1)], dim=-1,
                               lengths=[2, 2]), normal(4), free=lambda y: y[jnp.array([0, 1, 3, 4])]),
    "interval": Case(biject_to(C.interval(-1.0, 3.0)), normal()),
    "greater_than": Case(biject_to(C.greater_than(2.0)), normal()),
    "less_than": Case(biject_to(C.less_than(-2.0)), normal()),
    "positive_ordered": Case(biject_to(C.positive_ordered_vector), normal(3)),
    "inverse": Case(T.StickBreakingTransform().inv, normal(3), embed=lambda u: T.StickBreakingTransform()(u)),
}  # fmt: skip


def argument_of(case: Case, u: Any) -> Any:
    return case.embed(u.reshape(case.u.shape))


@pytest.mark.parametrize("name", CASES)
def test_log_determinant_is_that_of_the_jacobian(name: str, x64: None) -> None:
    case = CASES[name]
    u = jnp.asarray(case.u)

    def forward(u: Any) -> Any:
        y = case.transform(argument_of(case, u))
        return reals_of(y) if case.free is None else flat(case.free(y))

    def embedding(u: Any) -> Any:
        return flat(_free_of(case.transform.domain)(argument_of(case, u)))

    @jax.jit
    def evaluate(u: Any) -> Any:
        x = argument_of(case, u)
        y, intermediates = case.transform.call_with_intermediates(x)
        log_dets = (
            case.transform.log_abs_det_jacobian(x, y),
            case.transform.log_abs_det_jacobian(x, y, intermediates),
            -case.transform.inv.log_abs_det_jacobian(y, x),
        )
        # d free(T(embed(u))) / du = d free(T) / dx . d embed / du, both on free coordinates.
        of_embedding = jnp.eye(u.size) if case.embed is identity else jax.jacfwd(embedding)(u)
        return jax.jacfwd(forward)(u), of_embedding, log_dets

    jacobian, of_embedding, log_dets = evaluate(u)
    jacobian = np.reshape(jacobian, (-1, u.size))
    of_embedding = np.linalg.slogdet(np.reshape(of_embedding, (u.size, u.size)))[1]
    expected = np.linalg.slogdet(jacobian.T @ jacobian)[1] / 2 - of_embedding
    for log_det in log_dets:
        np.testing.assert_allclose(log_det, expected, atol=1e-10)


def _free_of(constraint: C.Constraint) -> Callable[[Any], Any]:
    if constraint == C.simplex:
        return lambda x: x[:-1]
    if constraint == C.corr_matrix:
        return below_diagonal
    return matrix_to_tril_vec if constraint == C.positive_definite else identity


@pytest.mark.parametrize("name", CASES)
def test_inverse_shapes_and_sets(name: str, x64: None) -> None:
    case = CASES[name]
    transform = case.transform
    batched = case.u + 0.1 * np.random.default_rng(1).normal(size=(4, 2, *case.u.shape))
    if transform.domain in (C.positive, C.ordered_vector):
        batched = np.sort(np.abs(batched), axis=-1)

    def log_det(x: Any) -> Any:
        return transform.log_abs_det_jacobian(x, transform(x))

    @jax.jit
    def evaluate(x: Any) -> Any:
        x = jax.vmap(jax.vmap(case.embed))(x)
        y = transform(x)
        return x, y, transform.inv(y), log_det(x), jax.vmap(jax.vmap(log_det))(x)

    x, y, back, log_dets, one_by_one = evaluate(batched)
    np.testing.assert_allclose(back, x, rtol=1e-9, atol=1e-10)
    assert transform.forward_shape(x.shape) == y.shape
    assert transform.inverse_shape(y.shape) == x.shape
    assert transform.inv.forward_shape(y.shape) == x.shape
    assert transform.inv.inverse_shape(x.shape) == y.shape
    for constraint, value in ((transform.domain, x), (transform.codomain, y)):
        inside = np.asarray(constraint(value))
        assert inside.all()
        assert inside.shape == (4, 2)
    assert log_dets.shape == (4, 2)
    np.testing.assert_allclose(log_dets, one_by_one, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", CASES)
def test_survives_pytrees_pickles_and_copies(name: str) -> None:
    case = CASES[name]
    transform = case.transform

    @jax.jit
    def constant(u: Any) -> Any:
        x = case.embed(u)
        return x, transform(x), transform.log_abs_det_jacobian(x, transform(x))

    @jax.jit
    def traced(transform: T.Transform, inverse: T.Transform, x: Any) -> Any:
        y = transform(x)
        return inverse(y), y, transform.log_abs_det_jacobian(x, y), transform, inverse

    x, y, log_det = constant(np.float32(case.u))
    back, *same, transform_of_jit, inverse_of_jit = traced(transform, transform.inv, x)
    for ours, theirs in zip(same, (y, log_det), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=1e-5)
    np.testing.assert_allclose(back, x, rtol=2e-3, atol=1e-3)
    assert jax.tree.structure(transform_of_jit) == jax.tree.structure(transform)
    assert jax.tree.structure(inverse_of_jit) == jax.tree.structure(transform.inv)
    assert jax.tree.map(identity, transform.inv) == transform.inv
    for other in (pickle.loads(pickle.dumps(transform)), copy.deepcopy(transform)):
        assert other == transform
        assert other.inv is not transform.inv
        assert other.inv.inv == transform
    assert type(case.transform).__module__ == "numpyro.distributions.transforms"
    assert repr(case.transform)


OF_NUMBERS = ["exp", "sigmoid", "softplus", "affine", "power", "power_negative", "interval", "less_than"]


@pytest.mark.parametrize("name", OF_NUMBERS)
def test_sign_is_that_of_the_derivative(name: str) -> None:
    case = CASES[name]
    assert case.transform.sign == np.sign(jax.grad(case.transform)(float(abs(case.u))))
    assert case.transform.inv.sign == case.transform.sign


def test_sign_of_arrays_and_of_maps_without() -> None:
    assert T.AffineTransform(0.0, np.array([2.0, -1.0])).sign.tolist() == [1, -1]
    assert jax.jit(lambda s: T.AffineTransform(0.0, s).sign)(-3.0) == -1
    with pytest.raises(NotImplementedError, match="sign"):
        _ = T.OrderedTransform().sign


CONTINUOUS = {
    "real": C.real, "positive": C.positive, "nonnegative": C.nonnegative, "softplus_positive": C.softplus_positive,
    "unit_interval": C.unit_interval, "circular": C.circular, "interval": C.interval(-1.0, 2.0),
    "open_interval": C.open_interval(0.0, 3.0), "greater_than": C.greater_than(1.0),
    "greater_than_eq": C.greater_than_eq(1.0), "less_than": C.less_than(1.0), "less_than_eq": C.less_than_eq(1.0),
    "half_line_as_interval": C.interval(0.0, math.inf), "half_line_below": C.interval(-math.inf, 1.0),
    "line_as_interval": C.interval(-math.inf, math.inf),
    "simplex": C.simplex, "l1_ball": C.l1_ball, "ordered_vector": C.ordered_vector,
    "positive_ordered_vector": C.positive_ordered_vector, "zero_sum": C.zero_sum(2), "real_vector": C.real_vector,
    "real_matrix": C.real_matrix, "lower_cholesky": C.lower_cholesky, "corr_cholesky": C.corr_cholesky,
    "softplus_lower_cholesky": C.softplus_lower_cholesky, "scaled_unit_lower_cholesky": C.scaled_unit_lower_cholesky,
    "corr_matrix": C.corr_matrix, "positive_definite": C.positive_definite,
    "positive_semidefinite": C.positive_semidefinite, "complex": C.complex,
    "independent": C.independent(C.simplex, 1), "cat": C.cat([C.positive, C.unit_interval], dim=-1, lengths=[2, 4]),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTINUOUS)
def test_biject_to_reaches_the_set(name: str, precision: np.dtype) -> None:
    constraint = CONTINUOUS[name]
    transform = biject_to(constraint)
    x = np.random.default_rng(2).normal(size=(5, 3, 2 if name == "complex" else 6)).astype(precision) / 2
    y, back = jax.jit(lambda x: (transform(x), transform.inv(transform(x))))(x)
    assert np.asarray(constraint(y)).all()
    assert transform.codomain.event_dim == constraint.event_dim
    assert y.dtype == (np.result_type(precision, np.complex64) if name == "complex" else precision)
    # The set is reached from all of the real numbers.
    domain = transform.domain
    base = domain.base_constraint if isinstance(domain, C.independent) else domain
    assert name == "cat" or base == C.real
    tolerance = 1e-9 if precision == np.float64 else 2e-3
    np.testing.assert_allclose(back, x, rtol=tolerance, atol=tolerance)
    point = jax.jit(lambda y: transform.inv(constraint.feasible_like(y)))(y)
    assert np.isfinite(point).all()


# Sets that are bounded stay finite everywhere; the others are finite as long as the numbers are representable.
BOUNDED = ["unit_interval", "circular", "interval", "open_interval", "simplex", "independent", "l1_ball"]
BOUNDED += ["corr_cholesky", "corr_matrix"]
AT_MOST_LINEAR = ["real", "softplus_positive", "softplus_lower_cholesky", "scaled_unit_lower_cholesky", "zero_sum"]


@pytest.mark.parametrize("name", BOUNDED + AT_MOST_LINEAR)
def test_extreme_arguments_stay_finite(name: str, precision: np.dtype) -> None:
    transform = biject_to(CONTINUOUS[name])
    signs = np.random.default_rng(3).choice([-1.0, 0.0, 1.0], size=(7, 2, 6))
    signs[:2] = [[[1.0]], [[-1.0]]]
    x = np.concatenate([30 * signs, 1000 * signs]).astype(precision)

    @jax.jit
    def evaluate(x: Any) -> Any:
        def total(x: Any) -> Any:
            y = transform(x)
            return jnp.sum(transform.log_abs_det_jacobian(x, y)) + jnp.sum(y), y

        (value, y), gradient = jax.value_and_grad(total, has_aux=True)(x)
        return y, value, gradient, transform.inv(y)

    y, value, gradient, back = evaluate(x)
    for result in (y, value, gradient):
        assert np.isfinite(result).all()
    if name in ("unit_interval", "simplex", "corr_cholesky", "l1_ball", "interval", "circular"):
        assert np.asarray(transform.codomain(y)).all()
    if name == "unit_interval":
        assert ((y > 0) & (y < 1)).all()
    if name == "simplex":
        assert (y > 0).all()
        assert np.isfinite(back).all()


@pytest.mark.parametrize("name", ["simplex", "corr_cholesky", "unit_interval", "l1_ball", "scaled_unit_lower_cholesky"])
def test_single_precision_is_exact_far_out(name: str) -> None:
    transform = biject_to(CONTINUOUS[name])
    x = np.random.default_rng(4).normal(size=(50, 6)) * 12
    evaluate = jax.jit(lambda x: (transform(x), transform.log_abs_det_jacobian(x, transform(x))))
    single = evaluate(np.float32(x))
    jax.config.update("jax_enable_x64", True)
    try:
        double = evaluate(np.float32(x).astype(float))
    finally:
        jax.config.update("jax_enable_x64", False)
    np.testing.assert_allclose(single[0], double[0], rtol=3e-5, atol=2e-6)
    np.testing.assert_allclose(single[1], double[1], rtol=2e-6, atol=1e-5)
    if name == "simplex":  # each piece to its own scale
        representable = np.asarray(double[0]) > 1e-37
        np.testing.assert_allclose(single[0][representable], double[0][representable], rtol=2e-4)


def test_zero_makes_the_middle() -> None:
    zeros = np.zeros(3, np.float32)
    np.testing.assert_allclose(T.StickBreakingTransform()(zeros), np.full(4, 0.25), rtol=1e-6)
    np.testing.assert_allclose(T.CorrCholeskyTransform()(zeros), np.eye(3))
    np.testing.assert_allclose(biject_to(C.interval(-1.0, 3.0))(zeros), np.ones(3))
    np.testing.assert_allclose(T.OrderedTransform()(zeros), [0, 1, 2])


def test_simplex_of_one_element_has_no_freedom() -> None:
    transform = T.StickBreakingTransform()
    x = np.zeros((3, 0), np.float32)
    assert transform(x).tolist() == [[1.0]] * 3
    assert transform.inv(transform(x)).shape == (3, 0)
    assert transform.log_abs_det_jacobian(x, transform(x)).tolist() == [0.0] * 3


def test_stick_breaking_by_hand() -> None:
    x = np.array([0.3, -0.7, 1.1])
    rest, pieces = 1.0, []
    for i, t in enumerate(x):
        part = 1 / (1 + math.exp(-(t - math.log(3 - i))))
        pieces.append(rest * part)
        rest *= 1 - part
    np.testing.assert_allclose(T.StickBreakingTransform()(x), [*pieces, rest], rtol=1e-6)


def test_corr_cholesky_by_hand() -> None:
    a, b, c = np.tanh([0.3, -0.7, 1.1])
    rows = [[1, 0, 0], [a, math.sqrt(1 - a * a), 0],
            [b, c * math.sqrt(1 - b * b), math.sqrt((1 - b * b) * (1 - c * c))]]  # fmt: skip
    np.testing.assert_allclose(T.CorrCholeskyTransform()(np.array([0.3, -0.7, 1.1])), rows, rtol=1e-6)


def test_isometries_keep_lengths() -> None:
    x = normal(2, 5, 6).astype(np.float32)
    for transform in (T.HaarTransform(), T.DiscreteCosineTransform(), T.ZeroSumTransform(2), T.HaarTransform(dim=-2)):
        y = np.asarray(jax.jit(lambda t, x: t(x))(transform, x))
        np.testing.assert_allclose((y**2).sum((-2, -1)), (x**2).sum((-2, -1)), rtol=1e-5)


def test_cosine_and_fourier_match_their_definitions() -> None:
    x = normal(5)
    k, j = np.arange(5)[:, None], np.arange(5)
    cosine = np.sqrt(2 / 5) * np.cos(np.pi * k * (2 * j + 1) / 10) * np.where(k == 0, math.sqrt(0.5), 1)
    np.testing.assert_allclose(T.DiscreteCosineTransform()(x), cosine @ x, rtol=1e-4, atol=1e-6)
    smooth = T.DiscreteCosineTransform(smooth=2.0)(x) / (cosine @ x)
    np.testing.assert_allclose(smooth / smooth[0], (2 * np.arange(5) + 1) ** 2, rtol=1e-4)
    np.testing.assert_allclose(np.prod(smooth), 1, rtol=1e-4)
    np.testing.assert_allclose(T.RealFastFourierTransform()(x), np.fft.rfft(x), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(T.RealFastFourierTransform((4, 3), 2)(normal(2, 4, 3)), np.fft.rfft2(normal(2, 4, 3)),
                               rtol=1e-4, atol=1e-5)  # fmt: skip


def test_haar_by_hand() -> None:
    r = math.sqrt(0.5)
    x = np.array([1.0, 2.0, 3.0, 5.0, 7.0])
    s, d = [3 * r, 8 * r], [-r, -2 * r]
    np.testing.assert_allclose(T.HaarTransform()(x), [(s[0] + s[1]) * r, (s[0] - s[1]) * r, *d, 7], rtol=1e-6)
    np.testing.assert_allclose(T.HaarTransform(flip=True)(x), T.HaarTransform()(x[::-1].copy()), rtol=1e-6)


def test_recursion_by_hand_and_in_batches() -> None:
    matrix, start, x = normal(2, 2), np.array([1.0, -1.0]), normal(3, 4, 2)
    y = T.RecursiveLinearTransform(matrix, start)(x)
    state = np.broadcast_to(start, (3, 2))
    for t in range(4):
        state = state @ matrix.T + x[:, t]
        np.testing.assert_allclose(y[:, t], state, rtol=1e-4, atol=1e-5)
    from_zero = T.RecursiveLinearTransform(matrix)(x)
    np.testing.assert_allclose(from_zero[:, 0], x[:, 0], rtol=1e-6)
    many = T.RecursiveLinearTransform(np.stack([matrix] * 3), np.ones((5, 1, 2)))
    assert many(x).shape == (5, 3, 4, 2)
    np.testing.assert_allclose(many.inv(many(x)), np.broadcast_to(x, (5, 3, 4, 2)), rtol=1e-3, atol=1e-4)


def test_unpack_maps_batches_and_packs_one() -> None:
    def unpack(x: Any) -> dict[str, Any]:
        return {"a": x[:2].reshape(2, 1), "b": x[2]}

    def pack(tree: dict[str, Any]) -> Any:
        return jnp.concatenate([tree["a"].reshape(-1), tree["b"][None]])

    transform = T.UnpackTransform(unpack, pack)
    x = np.arange(12.0).reshape(4, 3)
    tree = transform(x)
    assert tree["a"].shape == (4, 2, 1) and tree["b"].shape == (4,)
    np.testing.assert_allclose(transform.inv(transform(x[0])), x[0])
    assert transform.log_abs_det_jacobian(x, tree).tolist() == [0.0] * 4
    assert jax.jit(lambda t, x: t(x))(transform, x)["b"].tolist() == [2, 5, 8, 11]
    with pytest.warns(UserWarning, match="batch"), pytest.raises(TypeError):
        transform.inv({"a": jnp.ones((3, 2, 1)), "b": jnp.ones(3)})
    with pytest.raises(NotImplementedError, match="pack_fn"):
        T.UnpackTransform(unpack).inv(tree)
    with pytest.raises(NotImplementedError, match="pytree"):
        transform.forward_shape((3,))


def test_absolute_value_has_no_inverse() -> None:
    transform = T.AbsTransform()
    assert not transform.bijective
    assert transform(np.array([-2.0, 3.0])).tolist() == [2, 3]
    with pytest.warns(UserWarning, match="not a bijective"):
        assert transform.inv(2.0) == 2.0
    with pytest.raises(NotImplementedError):
        transform.log_abs_det_jacobian(1.0, 1.0)


@pytest.mark.parametrize(
    ("domain", "codomain"),
    [
        (C.real, C.real),
        (C.positive, C.less_than(1.0)),
        (C.greater_than_eq(1.0), C.less_than_eq(-1.0)),
        (C.less_than(1.0), C.greater_than(-1.0)),
        (C.interval(0.0, 2.0), C.interval(-3.0, 1.0)),
        (C.independent(C.positive, 1), C.independent(C.less_than(1.0), 1)),
    ],
)
def test_image_under_a_decreasing_affine_map(domain: C.Constraint, codomain: C.Constraint) -> None:
    assert T.AffineTransform(1.0, -2.0, domain=domain).codomain == codomain
    assert T.AffineTransform(np.array(1.0), np.array(-2.0), domain=domain).codomain.eq(codomain)
    assert T.AffineTransform(0.0, 1.0, domain=domain).codomain == domain


def test_image_under_the_exponential() -> None:
    assert T.ExpTransform().codomain is C.positive
    assert T.ExpTransform(C.real_vector).codomain == C.independent(C.positive, 1)
    assert T.ExpTransform(C.greater_than(0.0)).codomain == C.greater_than(1.0)
    assert T.ExpTransform(C.less_than(0.0)).codomain == C.interval(0.0, 1.0)
    assert T.ExpTransform(C.unit_interval).codomain == C.interval(1.0, math.e)
    assert T.ExpTransform(C.ordered_vector).codomain is C.positive_ordered_vector


def test_images_that_are_not_known() -> None:
    for transform in (T.ExpTransform(C.simplex), T.AffineTransform(0.0, 1.0, domain=C.simplex)):
        with pytest.raises(NotImplementedError, match="Simplex"):
            _ = transform.codomain
    with pytest.raises(NotImplementedError, match="both signs"):
        _ = T.AffineTransform(0.0, np.array([1.0, -1.0]), domain=C.positive).codomain


def test_parameters_broadcast() -> None:
    transform = T.AffineTransform(np.zeros((2, 1)), np.full(3, 2.0))
    assert transform.forward_shape((3,)) == transform(np.ones(3)).shape == (2, 3)
    assert transform.log_abs_det_jacobian(np.ones(3), transform(np.ones(3))).shape == (2, 3)
    affine = T.LowerCholeskyAffine(np.zeros((5, 1, 2)), np.stack([np.eye(2)] * 4))
    assert affine.forward_shape((2,)) == affine(np.ones(2)).shape == (5, 4, 2)
    assert affine.inv(np.ones(2)).shape == (5, 4, 2)
    assert affine.log_abs_det_jacobian(np.ones(2), affine(np.ones(2))).shape == (5, 4)
    ordered = T.SimplexToOrderedTransform(np.array([0.0, 1.0]))
    assert ordered(np.full((2, 3), 1 / 3)).shape == (2, 2)


def test_composition_counts_event_dimensions() -> None:
    compose = T.ComposeTransform([T.ExpTransform(), T.StickBreakingTransform(), T.AffineTransform(0.0, 2.0)])
    assert compose.domain == C.independent(C.real, 1)
    assert compose.codomain == C.independent(C.real, 1)
    matrix = T.ComposeTransform([T.AffineTransform(0.0, 1.0), T.LowerCholeskyTransform()])
    assert matrix.domain.event_dim == 1 and matrix.codomain is C.lower_cholesky
    last_is_wide = T.ComposeTransform([T.ExpTransform(), T.IndependentTransform(T.ExpTransform(), 2)])
    assert last_is_wide.domain.event_dim == last_is_wide.codomain.event_dim == 2
    x = normal(2, 3, 4).astype(np.float32)
    assert last_is_wide.log_abs_det_jacobian(x, last_is_wide(x)).shape == (2,)


def test_composition_of_nothing_is_the_identity() -> None:
    compose = T.ComposeTransform([])
    assert compose(2.0) == compose.inv(2.0) == 2.0
    assert compose.domain is compose.codomain is C.real
    assert compose.log_abs_det_jacobian(2.0, 2.0) == 0 and compose.sign == 1
    assert compose.call_with_intermediates(2.0) == (2.0, [])


def test_intermediates_spare_the_parts() -> None:
    calls = []

    class Counting(T.ParameterFreeTransform):
        def __call__(self, x: Any) -> Any:
            calls.append(x)
            return 2 * x

        def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
            return math.log(2) + 0 * x

    compose = T.ComposeTransform([Counting(), Counting()])
    y, intermediates = compose.call_with_intermediates(1.0)
    assert compose.log_abs_det_jacobian(1.0, y, intermediates) == 2 * math.log(2)
    assert len(calls) == 2
    assert compose.log_abs_det_jacobian(1.0, y) == 2 * math.log(2)
    assert len(calls) == 3  # the last value is given


def test_independent_merges_and_checks() -> None:
    nested = T.IndependentTransform(T.IndependentTransform(T.ExpTransform(), 1), 2)
    assert nested.reinterpreted_batch_ndims == 3 and isinstance(nested.base_transform, T.ExpTransform)
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        T.IndependentTransform(T.ExpTransform(), 2).log_abs_det_jacobian(np.ones(3), np.ones(3))
    for bad in (lambda: T.IndependentTransform(T.ExpTransform(), -1), lambda: T.IndependentTransform(3, 1)):
        with pytest.raises(UsageError):
            bad()


def test_cat_along_a_batch_dimension() -> None:
    transform = T.CatTransform([T.ExpTransform(), T.IdentityTransform()], dim=0, lengths=[1, 2])
    x = normal(3, 2).astype(np.float32)
    y = transform(x)
    np.testing.assert_allclose(y, np.concatenate([np.exp(x[:1]), x[1:]]), rtol=1e-6)
    np.testing.assert_allclose(transform.log_abs_det_jacobian(x, y), np.concatenate([x[:1], 0 * x[1:]]))
    assert transform.length == 3 and transform.domain == C.cat([C.real, C.real], dim=0, lengths=[1, 2])
    assert transform.codomain == C.cat([C.positive, C.real], dim=0, lengths=[1, 2])
    rows = T.CatTransform([T.OrderedTransform(), T.L1BallTransform()], dim=-2, lengths=[2, 1])
    assert rows.log_abs_det_jacobian(x, rows(x)).shape == (3,)
    np.testing.assert_allclose(rows.inv(rows(x)), x, rtol=1e-4, atol=1e-5)


def test_cat_whose_pieces_change_their_length() -> None:
    transform = T.CatTransform([T.StickBreakingTransform(), T.StickBreakingTransform()], dim=-1, lengths=[2, 1])
    x = normal(4, 3).astype(np.float32)
    y, back = jax.jit(lambda x: (transform(x), transform.inv(transform(x))))(x)
    assert transform.forward_shape((4, 3)) == y.shape == (4, 5)
    assert transform.inverse_shape((4, 5)) == (4, 3)
    assert transform.codomain == C.cat([C.simplex, C.simplex], dim=-1, lengths=[3, 2])
    assert transform.codomain(y).all()
    np.testing.assert_allclose(back, x, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: T.StickBreakingTransform().forward_shape(()), "StickBreaking.*1 dimensions"),
        (lambda: T.StickBreakingTransform()(np.float32(1)), "StickBreaking.*1 dimensions"),
        (lambda: T.CorrCholeskyTransform().forward_shape((2,)), "length 2"),
        (lambda: T.CorrCholeskyTransform()(np.zeros(2)), "length 2"),
        (lambda: T.LowerCholeskyTransform()(np.zeros(4)), "length 4"),
        (lambda: T.LowerCholeskyTransform().inverse_shape((2, 3)), "square"),
        (lambda: T.CorrCholeskyTransform().inverse_shape((3,)), "2 dimensions"),
        (lambda: T.ReshapeTransform((2, 3), (5,)), "size 6.*size 5"),
        (lambda: T.ReshapeTransform((2, 3), (6,)).forward_shape((5, 4)), r"ends in \(6,\)"),
        (lambda: T.ComplexTransform()(np.zeros(3)), "size 2"),
        (lambda: T.LowerCholeskyAffine(np.zeros(2), np.zeros(2)), "scale_tril"),
        (lambda: T.RealFastFourierTransform((3, 4), 1), "Length of transform shape"),
        (lambda: T.PackRealFastFourierCoefficientsTransform().inv(np.zeros(3, complex)), "Shape must be specified"),
        (lambda: T.PackRealFastFourierCoefficientsTransform((4,))(np.zeros(5)), r"Got `\(4,\)`"),
        (lambda: T.HaarTransform(dim=1), "negative"),
        (lambda: T.DiscreteCosineTransform(dim=0), "negative"),
        (lambda: T.ZeroSumTransform(2)(np.zeros(3)), "2 dimensions"),
        (lambda: T.CatTransform([]), "empty"),
        (lambda: T.CatTransform([T.ExpTransform()], lengths=[1, 2]), "lengths"),
        (lambda: T.CatTransform([T.ExpTransform()] * 2)(np.zeros(3)), "size 3"),
    ],
)
def test_mistakes_are_named(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_inverse_is_one_object_while_it_lives() -> None:
    transform = T.ExpTransform()
    inverse = transform.inv
    assert transform.inv is inverse and inverse.inv is transform
    assert inverse.domain is C.positive and inverse.codomain is C.real
    gc.disable()
    try:
        inverse_of_copy = copy.copy(transform).inv
        assert inverse_of_copy == inverse and inverse_of_copy is not inverse
    finally:
        gc.enable()


def test_equality() -> None:
    assert T.ExpTransform() == T.ExpTransform() != T.ExpTransform(C.positive)
    assert T.ExpTransform().inv == T.ExpTransform().inv != T.ExpTransform()
    assert T.AffineTransform(jnp.ones(2), 2) == T.AffineTransform(np.ones(2), 2.0) != T.AffineTransform(1.0, 2.0)
    assert T.HaarTransform() != T.HaarTransform(flip=True)
    assert T.ComposeTransform([T.ExpTransform()]) == T.ComposeTransform((T.ExpTransform(),))
    assert T.ComposeTransform([T.ExpTransform()]) != T.ComposeTransform([])
    traced = jax.jit(lambda a: T.AffineTransform(a, 1.0).eq(T.AffineTransform(3.0, 1.0)))
    assert traced(3.0) and not traced(2.0)


def test_vmap_maps_parameters() -> None:
    transforms = jax.vmap(lambda loc: T.AffineTransform(loc, 2.0))(jnp.arange(3.0))
    y = jax.vmap(lambda t, x: t.inv(x))(transforms, jnp.ones(3))
    np.testing.assert_allclose(y, [0.5, 0.0, -0.5])


class Cube(C.Constraint):
    """A user's set."""

    event_dim = 1

    def __init__(self, half_width: Any) -> None:
        self.half_width = half_width

    def __call__(self, x: Any) -> Any:
        return (abs(x) < self.half_width).all(-1)

    def tree_flatten(self) -> Any:
        return (self.half_width,), (("half_width",), {})


class SmallCube(Cube):
    """A subclass, which needs a registration of its own."""


class ToCube(T.Transform):
    """A user's transform, by the documented tree_flatten."""

    domain = C.real_vector

    def __init__(self, half_width: Any) -> None:
        self.half_width = half_width

    @property
    def codomain(self) -> C.Constraint:  # type: ignore[override]
        return Cube(self.half_width)

    def __call__(self, x: Any) -> Any:
        return self.half_width * jnp.tanh(x)

    def _inverse(self, y: Any) -> Any:
        return jnp.arctanh(y / self.half_width)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        return jnp.log(self.half_width * (1 - jnp.tanh(x) ** 2)).sum(-1)

    def tree_flatten(self) -> Any:
        return (self.half_width,), (("half_width",), {})


def test_users_register_their_own_sets() -> None:
    registry = T.ConstraintRegistry()
    with pytest.raises(NotImplementedError, match=r"Cube.*@biject_to.register\(Cube\)"):
        registry(Cube(2.0))

    @registry.register(Cube)
    def _(constraint: Cube) -> T.Transform:
        return ToCube(constraint.half_width)

    transform = registry(Cube(2.0))
    y = jax.jit(lambda t, x: t(x))(transform, np.array([0.3, 5.0], np.float32))
    assert Cube(2.0)(y) and transform.codomain == Cube(2.0)
    np.testing.assert_allclose(transform.inv(y)[0], 0.3, rtol=1e-5)
    with pytest.raises(NotImplementedError):
        registry(SmallCube(1.0))
    assert registry.register(SmallCube(1.0), T.ExpTransform) is T.ExpTransform
    assert SmallCube in registry._registry


def test_registry_says_why_there_is_none() -> None:
    for constraint, message in [
        (C.sphere, r"Sphere\(\).*register"),
        (C.multinomial(3), "discrete"),
        (C.dependent, "depends on parameters"),
        (3, "got 3"),
    ]:
        with pytest.raises(NotImplementedError, match=message):
            biject_to(constraint)
    for bad in (3, int):
        with pytest.raises(TypeError, match="Constraint"):
            biject_to.register(bad, T.ExpTransform)


def test_base_class_names_what_is_missing() -> None:
    transform = T.Transform()
    for call, name in [
        (lambda: transform(1.0), "__call__"),
        (lambda: transform.inv(1.0), "_inverse"),
        (lambda: transform.log_abs_det_jacobian(1.0, 1.0), "log_abs_det_jacobian"),
    ]:
        with pytest.raises(NotImplementedError, match=name):
            call()
