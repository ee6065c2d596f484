"""Packed triangular matrices, Cholesky factors, normalisation: against numpy's dense linear algebra."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro.ops import linalg


def matrices(*shape: int) -> np.ndarray:
    """Positive definite matrices."""
    a = np.random.default_rng(0).normal(size=(*shape, shape[-1]))
    return a @ np.swapaxes(a, -2, -1) + np.eye(shape[-1])


@pytest.mark.parametrize("diagonal", [0, -1, -2])
def test_triangles_are_packed_row_by_row(diagonal: int, precision: np.dtype) -> None:
    full = np.random.default_rng(1).normal(size=(2, 3, 5, 5)).astype(precision)
    rows, columns = np.tril_indices(5, diagonal)
    packed = linalg.matrix_to_tril_vec(full, diagonal)
    np.testing.assert_array_equal(packed, full[..., rows, columns])
    unpacked = linalg.vec_to_tril_matrix(packed, diagonal)
    np.testing.assert_array_equal(unpacked, np.tril(full, diagonal))
    assert unpacked.dtype == precision


def test_upper_diagonals_can_be_read() -> None:
    full = np.arange(9.0).reshape(3, 3)
    assert linalg.matrix_to_tril_vec(full, 1).tolist() == [0, 1, 3, 4, 5, 6, 7, 8]


def test_packing_is_linear_with_packing_as_transpose() -> None:
    weights = np.random.default_rng(2).normal(size=(4, 4))
    gradient = jax.jit(jax.grad(lambda t: jnp.sum(weights * linalg.vec_to_tril_matrix(t))))(np.ones(10))
    np.testing.assert_allclose(gradient, weights[np.tril_indices(4)], rtol=1e-6)


@pytest.mark.parametrize(("length", "diagonal"), [(2, 0), (5, -1), (3, 1)])
def test_lengths_of_no_triangle(length: int, diagonal: int) -> None:
    with pytest.raises(ValueError, match=f"length {length}"):
        linalg.vec_to_tril_matrix(np.ones(length), diagonal)


def test_sizes_of_triangles() -> None:
    for n in range(60):
        assert linalg.tril_size(n * (n + 1) // 2) == n
        assert linalg.tril_size(n * (n + 1) // 2, -1) == n + 1


@pytest.mark.parametrize("n", [1, 7, 128, 129, 300])
def test_sums_before_each_element(n: int) -> None:
    x = np.random.default_rng(3).normal(size=(2, n)).astype(np.float32)
    expected = np.cumsum(x.astype(float), axis=-1) - x
    np.testing.assert_allclose(linalg.exclusive_cumulative_sum(x), expected, atol=2e-5)


def test_adding_to_a_diagonal() -> None:
    matrix = np.ones((3, 2, 2))
    assert linalg.add_diag(matrix, 1.0).tolist() == (matrix + np.eye(2)).tolist()
    added = linalg.add_diag(matrix, np.arange(8.0).reshape(4, 1, 2))
    assert added.shape == (4, 3, 2, 2)
    np.testing.assert_allclose(added[1, 0], [[3, 1], [1, 4]])


def test_log_determinant_of_triangular_matrices() -> None:
    lower = np.tril(np.random.default_rng(4).normal(size=(5, 3, 3)))
    np.testing.assert_allclose(linalg.tri_logabsdet(lower), np.linalg.slogdet(lower)[1], rtol=1e-5)


def test_cholesky_factor_of_the_inverse(precision: np.dtype) -> None:
    matrix = matrices(2, 3, 4).astype(precision)
    factor = np.asarray(linalg.cholesky_of_inverse(matrix))
    assert (np.triu(factor, 1) == 0).all()
    tolerance = 1e-10 if precision == np.float64 else 2e-4
    np.testing.assert_allclose(
        factor, np.linalg.cholesky(np.linalg.inv(matrix.astype(float))), rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize("coef", [1.0, 0.3, -0.1, 0.0])
def test_rank_one_updates_of_cholesky_factors(coef: float, x64: None) -> None:
    matrix = matrices(5, 4)
    x = np.random.default_rng(5).normal(size=(5, 4)) / 3
    factor = np.linalg.cholesky(matrix)
    expected = np.linalg.cholesky(matrix + coef * x[..., :, None] * x[..., None, :])
    np.testing.assert_allclose(linalg.cholesky_update(factor, x, coef), expected, atol=1e-12)
    one = linalg.cholesky_update(factor[0], x, np.full(5, coef))
    np.testing.assert_allclose(one[0], expected[0], atol=1e-12)


def test_updates_of_cholesky_factors_differentiate(x64: None) -> None:
    factor, x = np.linalg.cholesky(matrices(3)), np.array([0.3, -0.5, 0.7])

    def dense(x: jax.Array) -> jax.Array:
        return jnp.sum(jnp.linalg.cholesky(factor @ factor.T + 0.5 * jnp.outer(x, x)))

    ours = jax.jit(jax.grad(lambda x: jnp.sum(linalg.cholesky_update(factor, x, 0.5))))(x)
    np.testing.assert_allclose(ours, jax.jit(jax.grad(dense))(x), atol=1e-12)


def test_signed_stick_breaking_makes_correlations(precision: np.dtype) -> None:
    t = np.random.default_rng(6).uniform(-1, 1, size=(4, 6)).astype(precision)
    factor = np.asarray(linalg.signed_stick_breaking_tril(t))
    np.testing.assert_allclose((factor**2).sum(-1), 1, rtol=1e-5)
    assert (np.diagonal(factor, axis1=-2, axis2=-1) > 0).all()
    # The first column holds the first partial correlations, which are correlations.
    np.testing.assert_allclose(factor[..., 1:, 0], t[..., [0, 1, 3]], rtol=1e-6)
    np.testing.assert_allclose(factor[..., 2, 1], t[..., 2] * np.sqrt(1 - t[..., 1] ** 2), rtol=1e-4)
    at_the_edge = np.asarray(linalg.signed_stick_breaking_tril(np.array([1.0, -1.0, 1.0])))
    assert (np.diagonal(at_the_edge) > 0).all()


@pytest.mark.parametrize("p", [1, 2, 3.5])
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_normalised_vectors_have_norm_one(p: float, scale: float) -> None:
    x = scale * np.random.default_rng(7).normal(size=(5, 4))
    unit = np.asarray(linalg.safe_normalize(x, p=p))
    np.testing.assert_allclose(unit, x / np.linalg.norm(x, ord=p, axis=-1, keepdims=True), rtol=1e-5)


def test_normalising_zero_is_defined_and_differentiable() -> None:
    np.testing.assert_allclose(linalg.safe_normalize(np.zeros((2, 4))), 0.5)
    jacobian = jax.jit(jax.jacrev(linalg.safe_normalize))
    assert np.isfinite(jacobian(np.zeros(3))).all()
    x = np.array([3.0, 4.0])
    # d (x / |x|) / dx = (I - u u^T) / |x|
    np.testing.assert_allclose(jacobian(x), (np.eye(2) - np.outer(x, x) / 25) / 5, rtol=1e-5)
    with pytest.raises(ValueError, match="positive"):
        linalg.safe_normalize(x, p=0)
