"""What Wishart and inverse Wishart distributions share, over matrices and over their Cholesky factors."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jax.scipy.linalg import cho_solve, solve_triangular

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._lazy import lazy_property
from numpyro.distributions._maths import LOG_PI, LOG_TWO, broadcast_to, require_one_of, where_inside
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_parameter, validate_sample
from numpyro.distributions.distribution import Distribution, TransformedDistribution
from numpyro.distributions.transforms import CholeskyTransform
from numpyro.ops.linalg import add_diag, cholesky_of_inverse, diagonal
from numpyro.ops.log_gamma import gammaln, gammaln_ratio
from numpyro.ops.rejection import loggamma

WISHART_CONSTRAINTS: dict[str, Any] = {
    "concentration": constraints.dependent(is_discrete=False, event_dim=0),
    "scale_matrix": constraints.positive_definite,
    "rate_matrix": constraints.positive_definite,
    "scale_tril": constraints.lower_cholesky,
}


class CholeskyWishart(Distribution):
    """What the Cholesky forms share: the parameters, and the scale matrix in its three guises."""

    arg_constraints = WISHART_CONSTRAINTS
    support = constraints.lower_cholesky
    reparametrized_params = ["concentration", "scale_matrix", "rate_matrix", "scale_tril"]

    def __init__(
        self,
        concentration: ArrayLike,
        scale_matrix: ArrayLike | None = None,
        rate_matrix: ArrayLike | None = None,
        scale_tril: ArrayLike | None = None,
        *,
        validate_args: bool | None = None,
    ) -> None:
        name, matrix = require_one_of(scale_matrix=scale_matrix, rate_matrix=rate_matrix, scale_tril=scale_tril)
        batch_shape, event_shape = infer_wishart_shapes(type(self), jnp.shape(concentration), name, jnp.shape(matrix))
        self.concentration: Any = promote_shapes(concentration, shape=batch_shape)[0]
        (matrix,) = promote_shapes(matrix, shape=batch_shape + event_shape)
        setattr(self, name, matrix)
        if name != "scale_tril":
            factorise = jnp.linalg.cholesky if name == "scale_matrix" else cholesky_of_inverse
            self.scale_tril = factorise(jnp.asarray(matrix, jnp.result_type(float, matrix)))
        super().__init__(batch_shape, event_shape, validate_args=validate_args)

    def validate_args(self, strict: bool = True) -> None:
        super().validate_args(strict)
        check_parameter(self, "concentration", constraints.greater_than(self.event_shape[-1] - 1), self.concentration)

    @lazy_property
    def scale_matrix(self) -> Array:
        factor = jnp.asarray(self.scale_tril)
        return jnp.matmul(factor, jnp.swapaxes(factor, -2, -1), precision=lax.Precision.HIGHEST)

    @lazy_property
    def rate_matrix(self) -> Array:
        """The inverse of the scale matrix."""
        factor = jnp.asarray(self.scale_tril)
        return cho_solve((factor, True), broadcast_to(np.eye(factor.shape[-1], dtype=factor.dtype), factor.shape))

    @classmethod
    def infer_shapes(  # type: ignore[override]
        cls,
        concentration: Shape = (),
        scale_matrix: Shape | None = None,
        rate_matrix: Shape | None = None,
        scale_tril: Shape | None = None,
    ) -> tuple[Shape, Shape]:
        name, shape = require_one_of(scale_matrix=scale_matrix, rate_matrix=rate_matrix, scale_tril=scale_tril)
        return infer_wishart_shapes(cls, concentration, name, shape)

    def _freedom(self) -> Array:
        """Degrees of freedom of the squares on the diagonal: ``concentration - i`` for row ``i``."""
        p = self.event_shape[-1]
        concentration = jnp.asarray(self.concentration, jnp.result_type(float, self.concentration))
        return concentration[..., None] - np.arange(p, dtype=concentration.dtype)


class MatrixWishart(TransformedDistribution):
    """What the matrix forms share: each is the distribution of ``L L^T``, for ``L`` of a Cholesky form."""

    arg_constraints = WISHART_CONSTRAINTS
    support = constraints.positive_definite
    reparametrized_params = ["concentration", "scale_matrix", "rate_matrix", "scale_tril"]
    cholesky_form: ClassVar[type[CholeskyWishart]]
    base_dist: CholeskyWishart

    def __init__(
        self,
        concentration: ArrayLike,
        scale_matrix: ArrayLike | None = None,
        rate_matrix: ArrayLike | None = None,
        scale_tril: ArrayLike | None = None,
        *,
        validate_args: bool | None = None,
    ) -> None:
        base = self.cholesky_form(concentration, scale_matrix, rate_matrix, scale_tril, validate_args=False)
        super().__init__(base, CholeskyTransform().inv, validate_args=validate_args)

    def validate_args(self, strict: bool = True) -> None:
        for name, value in self.base_dist.get_args().items():
            constraint = self.arg_constraints[name]
            if name == "concentration":
                constraint = constraints.greater_than(self.event_shape[-1] - 1)
            check_parameter(self, name, constraint, value)

    @property
    def concentration(self) -> Any:
        return self.base_dist.concentration

    @property
    def scale_matrix(self) -> Any:
        return self.base_dist.scale_matrix

    @property
    def rate_matrix(self) -> Any:
        return self.base_dist.rate_matrix

    @property
    def scale_tril(self) -> Any:
        return self.base_dist.scale_tril

    @classmethod
    def infer_shapes(  # type: ignore[override]
        cls,
        concentration: Shape = (),
        scale_matrix: Shape | None = None,
        rate_matrix: Shape | None = None,
        scale_tril: Shape | None = None,
    ) -> tuple[Shape, Shape]:
        return cls.cholesky_form.infer_shapes(concentration, scale_matrix, rate_matrix, scale_tril)

    @validate_sample
    def log_prob(self, value: ArrayLike, intermediates: list[Any] | None = None) -> Array:
        """By that of the Cholesky factor; minus infinity where there is none."""
        value = jnp.asarray(value)
        factor = intermediates[0][0] if intermediates else jnp.linalg.cholesky(value)
        p = factor.shape[-1]
        definite = jnp.all(diagonal(factor) > 0, -1)
        factor = jnp.where(definite[..., None, None], factor, np.eye(p, dtype=factor.dtype))
        # d A / d L: 2^p times L_ii to the power p - i, i from 0
        log_jacobian = p * LOG_TWO + jnp.sum(np.arange(p, 0, -1) * jnp.log(diagonal(factor)), -1)
        return where_inside(definite, self.base_dist.log_prob(factor) - log_jacobian)


def infer_wishart_shapes(cls: type, concentration: Shape, name: str, shape: Shape) -> tuple[Shape, Shape]:
    """Batch and event shape from the shapes of the concentration and of the matrix that is called ``name``."""
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ValueError(f"{cls.__name__}: `{name}` must be of shape (..., p, p); got {shape}.")
    return lax.broadcast_shapes(tuple(concentration), tuple(shape[:-2])), tuple(shape[-2:])


def log_multigamma(a: ArrayLike, p: int) -> Array:
    r"""The logarithm of the multivariate gamma function, :math:`\pi^{p(p-1)/4} \prod_{i<p} \Gamma(a - i/2)`."""
    return p * (p - 1) / 4 * LOG_PI + jnp.sum(gammaln(jnp.expand_dims(a, -1) - np.arange(p) / 2), -1)


def log_chi_mean(k: Array) -> Array:
    """The logarithm of the mean of the root of a chi squared variable of ``k`` degrees of freedom."""
    return 0.5 * LOG_TWO + gammaln_ratio(0.5 * k, 0.5)


def chi_variance(k: Array) -> Array:
    """The variance of the root of a chi squared variable, ``k`` less the square of its mean."""
    large = k > 50
    y = 1 / jnp.where(large, k, 50)
    # asymptotic series of that difference of large numbers
    series = 0.5 - y / 8 * (1 + y / 2 * (1 - y * (5 / 8 + y * (23 / 16 - y * (53 / 64)))))
    near = jnp.where(large, 1, k)
    return jnp.where(large, series, near - jnp.exp(2 * log_chi_mean(near)))


def random_lower(key: Key, freedom: Array, shape: Shape) -> Array:
    """Lower triangular matrices of standard normal numbers below a diagonal of roots of chi squared ones.

    :param key: random key.
    :param freedom: degrees of freedom of the diagonal, of shape ``(..., p)``.
    :param shape: of the result, without the last two dimensions.
    """
    p = freedom.shape[-1]
    key_normal, key_gamma = random.split(key)
    below = jnp.tril(random.normal(key_normal, (*shape, p, p), freedom.dtype), -1)
    # half the logarithm of twice a gamma variable: for few degrees of freedom the variable underflows
    log_square = loggamma(key_gamma, 0.5 * freedom, (*shape, p), freedom.dtype) + LOG_TWO
    tiny = float(jnp.finfo(freedom.dtype).tiny)
    return add_diag(below, jnp.maximum(jnp.exp(0.5 * log_square), tiny))


def solve_lower(factor: ArrayLike, right: ArrayLike, *, transpose: bool = False) -> Array:
    """``factor^-1 right``, or that of the transposed factor, for lower triangular factors whose batches broadcast."""
    factor, right = jnp.asarray(factor), jnp.asarray(right)
    batch = lax.broadcast_shapes(factor.shape[:-2], right.shape[:-2])
    factor = broadcast_to(factor, batch + factor.shape[-2:])
    right = broadcast_to(right, batch + right.shape[-2:])
    return solve_triangular(factor, right, trans=int(transpose), lower=True)
