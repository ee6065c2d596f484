"""The linear state space model with normal noise."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.linalg import cho_solve

from numpyro._errors import UsageError
from numpyro._typing import Array, ArrayLike
from numpyro.distributions import constraints
from numpyro.distributions._lazy import lazy_property
from numpyro.distributions._maths import HALF_LOG_TWO_PI, broadcast_to, require_one_of
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_parameter, validate_sample
from numpyro.distributions.continuous.multivariate_normal import MultivariateNormal, whiten
from numpyro.distributions.distribution import TransformedDistribution
from numpyro.distributions.transforms import RecursiveLinearTransform
from numpyro.ops.linalg import cholesky_of_inverse, tri_logabsdet


class GaussianStateSpace(TransformedDistribution):
    r"""The states :math:`x_t = A x_{t-1} + \epsilon_t` of a linear system with independent normal noise.

    .. math:: p(x) = \prod_{t=1}^{n} \mathcal{N}(x_t \mid A x_{t-1}, \Sigma)

    :param num_steps: how many steps :math:`n`, a positive integer. An event has the shape ``(n, d)``.
    :param transition_matrix: :math:`A`, of shape ``(..., d, d)``.
    :param covariance_matrix: covariance :math:`\Sigma` of the noise, of shape ``(..., d, d)``.
    :param precision_matrix: its inverse.
    :param scale_tril: its lower Cholesky factor. Exactly one of the three is to be given.
    :param initial_value: the state :math:`x_0` before the first, of shape ``(..., d)``; default zero.
    :support: :math:`x \in \mathbb{R}^{n \times d}`
    :raises ValueError: when none or several of the three are given, or the shapes do not agree.

    **Reference:** J. Durbin, S. J. Koopman (2012), "Time Series Analysis by State Space Methods", chapter 3.
    """

    __module__ = "numpyro.distributions.continuous"
    arg_constraints = {
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
        "transition_matrix": constraints.real_matrix,
        "initial_value": constraints.real_vector,
    }
    support = constraints.real_matrix
    reparametrized_params = [
        "covariance_matrix",
        "precision_matrix",
        "scale_tril",
        "transition_matrix",
        "initial_value",
    ]
    pytree_data_fields: ClassVar[tuple[str, ...]] = ("_initial_value",)  # type: ignore[assignment]
    pytree_aux_fields = ("num_steps",)

    def __init__(
        self,
        num_steps: int,
        transition_matrix: ArrayLike,
        covariance_matrix: ArrayLike | None = None,
        precision_matrix: ArrayLike | None = None,
        scale_tril: ArrayLike | None = None,
        initial_value: ArrayLike | None = None,
        *,
        validate_args: bool | None = None,
    ) -> None:
        if not isinstance(num_steps, int | np.integer) or num_steps <= 0:
            raise UsageError(f"GaussianStateSpace: `num_steps` must be a positive integer; got {num_steps!r}.")
        name, matrix = require_one_of(
            covariance_matrix=covariance_matrix, precision_matrix=precision_matrix, scale_tril=scale_tril
        )
        shape = jnp.shape(transition_matrix)
        if len(shape) < 2 or shape[-1] != shape[-2]:
            raise UsageError(f"GaussianStateSpace: `transition_matrix` must be a square matrix; got shape {shape}.")
        d = shape[-1]
        if initial_value is None:
            initial_value = np.zeros(d, jnp.result_type(float))
        if jnp.shape(initial_value)[-1:] != (d,):
            raise UsageError(
                "GaussianStateSpace: Event shape of initial value must be the same as transition matrix, "
                f"({d},); got {jnp.shape(initial_value)}."
            )
        if jnp.shape(matrix)[-2:] != (d, d):
            raise UsageError(
                f"GaussianStateSpace: `{name}` must be of shape (..., {d}, {d}), as `transition_matrix` is; got"
                f" {jnp.shape(matrix)}."
            )
        batch_shape = lax.broadcast_shapes(shape[:-2], jnp.shape(matrix)[:-2], jnp.shape(initial_value)[:-1])
        self.num_steps = int(num_steps)
        (self.transition_matrix,) = promote_shapes(transition_matrix, shape=batch_shape + (1, 1))
        (self._initial_value,) = promote_shapes(initial_value, shape=batch_shape + (1,))
        (matrix,) = promote_shapes(matrix, shape=batch_shape + (1, 1))
        setattr(self, name, matrix)
        if name != "scale_tril":
            factorise = jnp.linalg.cholesky if name == "covariance_matrix" else cholesky_of_inverse
            self.scale_tril = factorise(jnp.asarray(matrix, jnp.result_type(float, matrix)))
        step = MultivariateNormal(np.zeros(d), scale_tril=self.scale_tril[..., None, :, :], validate_args=False)
        noise = step.expand((*batch_shape, self.num_steps)).to_event(1)
        transform = RecursiveLinearTransform(self.transition_matrix, self._initial_value)
        super().__init__(noise, transform, validate_args=validate_args)

    def validate_args(self, strict: bool = True) -> None:
        super().validate_args(strict)
        check_parameter(self, "initial_value", constraints.real_vector, self._initial_value)

    @validate_sample
    def log_prob(self, value: ArrayLike, intermediates: list[Any] | None = None) -> Array:
        value = broadcast_to(value, lax.broadcast_shapes(jnp.shape(value), self.shape()))
        # all steps at once
        noise = jnp.moveaxis(self.transforms[0]._inverse(value), -2, 0)
        squares = jnp.sum(jnp.square(whiten(self.scale_tril, noise)), (0, -1))
        return -0.5 * squares - self._log_normalizer()

    def _log_normalizer(self) -> Array:
        n, d = self.event_shape
        return n * (tri_logabsdet(self.scale_tril) + d * HALF_LOG_TWO_PI)

    def entropy(self) -> Array:
        n, d = self.event_shape
        return broadcast_to(0.5 * n * d + self._log_normalizer(), self.batch_shape)

    @property
    def initial_value(self) -> Any:
        return self._initial_value

    @lazy_property
    def covariance_matrix(self) -> Array:
        """The covariance of the noise of one step."""
        factor = jnp.asarray(self.scale_tril)
        return jnp.matmul(factor, jnp.swapaxes(factor, -2, -1), precision=lax.Precision.HIGHEST)

    @lazy_property
    def precision_matrix(self) -> Array:
        """The inverse of the covariance of the noise of one step."""
        factor = jnp.asarray(self.scale_tril)
        return cho_solve((factor, True), broadcast_to(np.eye(factor.shape[-1], dtype=factor.dtype), factor.shape))

    @property
    def mean(self) -> Array:
        n, d = self.event_shape
        zeros = jnp.zeros((n, d), jnp.result_type(float, self.transition_matrix, self._initial_value))
        return broadcast_to(self.transforms[0](zeros), self.shape())

    @property
    def mode(self) -> Array:
        return self.mean

    @property
    def variance(self) -> Array:
        """Of each state, whatever the others are: the diagonal of ``A S A^T`` plus the covariance of the noise."""
        transition = jnp.asarray(self.transition_matrix)
        noise = jnp.asarray(self.covariance_matrix)
        batch = lax.broadcast_shapes(transition.shape[:-2], noise.shape[:-2])
        noise = broadcast_to(noise, batch + noise.shape[-2:])

        def step(covariance: Array, _: None) -> tuple[Array, Array]:
            moved = jnp.matmul(transition, covariance, precision=lax.Precision.HIGHEST)
            moved = jnp.matmul(moved, jnp.swapaxes(transition, -2, -1), precision=lax.Precision.HIGHEST)
            covariance = moved + noise
            return covariance, jnp.diagonal(covariance, axis1=-2, axis2=-1)

        dtype = jnp.result_type(transition, noise)
        start = jnp.zeros(noise.shape, dtype)
        transition, noise = transition.astype(dtype), noise.astype(dtype)
        _, variances = lax.scan(step, start, None, length=self.num_steps)
        return broadcast_to(jnp.moveaxis(variances, 0, -2), self.shape())
