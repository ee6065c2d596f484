"""The multivariate normal distribution whose covariance is a circulant matrix."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._errors import UsageError
from numpyro._typing import Array, ArrayLike, NumpyArray, Shape
from numpyro.distributions import constraints
from numpyro.distributions._lazy import lazy_property
from numpyro.distributions._maths import HALF_LOG_TWO_PI, broadcast_to, require_one_of
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import validate_sample
from numpyro.distributions.continuous.normal import Normal
from numpyro.distributions.distribution import Independent, TransformedDistribution
from numpyro.distributions.kl import kl_divergence
from numpyro.distributions.transforms import (
    AffineTransform,
    PackRealFastFourierCoefficientsTransform,
    RealFastFourierTransform,
)


class CirculantNormal(TransformedDistribution):
    r"""A multivariate normal distribution on a circle of :math:`n` points: the covariance depends on the lag alone.

    .. math:: \Sigma_{ij} = c_{(j - i) \bmod n}

    The discrete Fourier transform makes :math:`\Sigma` diagonal, so that draws and densities cost
    :math:`O(n \log n)`. With :math:`y = \text{DFT}(x - \mu)` and the eigenvalues :math:`\lambda = \text{DFT}(c)`,

    .. math:: \log p(x) = -\frac12 \sum_k \Bigl(\frac{|y_k|^2}{n \lambda_k} + \log(2\pi\lambda_k)\Bigr)

    :param loc: mean :math:`\mu`, of shape ``(..., n)``.
    :param covariance_row: first row :math:`c` of the covariance, of shape ``(..., n)``.
    :param covariance_rfft: its real Fourier transform, the first :math:`\lfloor n/2 \rfloor + 1` eigenvalues, positive.
        Exactly one of the two is to be given.
    :support: :math:`x \in \mathbb{R}^n`
    :raises ValueError: when none or both of the two are given, or the shapes do not agree.

    **Reference:** A. T. A. Wood and G. Chan (1994), "Simulation of stationary Gaussian processes in [0, 1]^d".
    """

    __module__ = "numpyro.distributions.continuous"
    arg_constraints = {
        "loc": constraints.real_vector,
        "covariance_row": constraints.positive_definite_circulant_vector,
        "covariance_rfft": constraints.independent(constraints.positive, 1),
    }
    support = constraints.real_vector
    reparametrized_params = ["loc", "covariance_row", "covariance_rfft"]

    def __init__(
        self,
        loc: ArrayLike,
        covariance_row: ArrayLike | None = None,
        covariance_rfft: ArrayLike | None = None,
        *,
        validate_args: bool | None = None,
    ) -> None:
        name, value = require_one_of(covariance_row=covariance_row, covariance_rfft=covariance_rfft)
        batch_shape, (n,) = self.infer_shapes(jnp.shape(loc), **{name: jnp.shape(value)})
        (self.loc,) = promote_shapes(loc, shape=batch_shape + (1,))
        (value,) = promote_shapes(value, shape=batch_shape + (1,))
        if name == "covariance_row":
            self.covariance_row = value
            fft = jnp.fft if isinstance(value, jax.Array) else np.fft
            value = fft.rfft(value).real
        self.covariance_rfft = value
        # of the coefficients with two parts, each part has half the variance
        parts = np.concatenate([np.arange(n // 2 + 1), np.arange(1, (n + 1) // 2)])
        half = np.where(_multiplicity(n, float)[parts] == 2, n / 2, n)
        with np.errstate(invalid="ignore"):  # what is not positive is told of in validation
            scale = (jnp.sqrt if isinstance(value, jax.Array) else np.sqrt)(
                half.astype(value.dtype) * value[..., parts]
            )
        packed = Normal(np.zeros((), scale.dtype), scale, validate_args=False).to_event(1)
        transforms = [
            PackRealFastFourierCoefficientsTransform((n,)),
            RealFastFourierTransform((n,)).inv,
            AffineTransform(self.loc, 1.0, domain=constraints.real_vector),
        ]
        super().__init__(packed, transforms, validate_args=validate_args)

    @classmethod
    def infer_shapes(  # type: ignore[override]
        cls, loc: Shape = (), covariance_row: Shape | None = None, covariance_rfft: Shape | None = None
    ) -> tuple[Shape, Shape]:
        name, shape = require_one_of(covariance_row=covariance_row, covariance_rfft=covariance_rfft)
        if not loc:
            raise UsageError("CirculantNormal: Location parameter must have at least one dimension.")
        n = loc[-1]
        size = n if name == "covariance_row" else n // 2 + 1
        if tuple(shape[-1:]) != (size,):
            raise ValueError(
                f"CirculantNormal: `{name}` must be of shape (..., {size}) for `loc` of shape {loc}; got {shape}."
            )
        return lax.broadcast_shapes(loc[:-1], shape[:-1]), (n,)

    @validate_sample
    def log_prob(self, value: ArrayLike, intermediates: list[Any] | None = None) -> Array:
        n = self.event_shape[0]
        coefficients = jnp.fft.rfft(value - jnp.asarray(self.loc))
        power = jnp.square(coefficients.real) + jnp.square(coefficients.imag)
        squares = jnp.sum(_multiplicity(n, power.dtype) / n * power / self.covariance_rfft, -1)
        return -0.5 * squares - (self._half_log_det() + n * HALF_LOG_TWO_PI)

    def _half_log_det(self) -> Array:
        log_eigenvalues = jnp.log(self.covariance_rfft)
        return 0.5 * jnp.sum(_multiplicity(self.event_shape[0], log_eigenvalues.dtype) * log_eigenvalues, -1)

    @lazy_property
    def covariance_row(self) -> Array:
        return jnp.fft.irfft(self.covariance_rfft, self.event_shape[0])

    @lazy_property
    def covariance_matrix(self) -> Array:
        lags = np.arange(self.event_shape[0])
        return jnp.asarray(self.covariance_row)[..., (lags - lags[:, None]) % len(lags)]

    def entropy(self) -> Array:
        entropy = self.event_shape[0] * (0.5 + HALF_LOG_TWO_PI) + self._half_log_det()
        return broadcast_to(entropy, self.batch_shape)

    @property
    def mean(self) -> Array:
        return broadcast_to(self.loc, self.shape())

    @property
    def mode(self) -> Array:
        return self.mean

    @property
    def variance(self) -> Array:
        n, eigenvalues = self.event_shape[0], jnp.asarray(self.covariance_rfft)
        total = jnp.sum(_multiplicity(n, eigenvalues.dtype) * eigenvalues, -1, keepdims=True)
        return broadcast_to(total / n, self.shape())


def _multiplicity(n: int, dtype: Any) -> NumpyArray:
    """How often each of the first ``n // 2 + 1`` eigenvalues occurs: that of a frequency and that of its negative."""
    weights = np.full(n // 2 + 1, 2, dtype)
    weights[0] = 1
    if n % 2 == 0:
        weights[-1] = 1
    return weights


@kl_divergence.register(CirculantNormal, CirculantNormal)
def _kl_circulant_circulant(p: CirculantNormal, q: CirculantNormal) -> Array:
    r""":math:`\frac12 \sum_k \Bigl(\frac{\lambda_k}{\lambda_k'} - 1 - \log\frac{\lambda_k}{\lambda_k'} +
    \frac{|y_k|^2}{n \lambda_k'}\Bigr), \; y = \text{DFT}(\mu - \mu')`.
    """
    n = p.event_shape[0]
    ratio = jnp.asarray(p.covariance_rfft) / q.covariance_rfft
    shift = jnp.fft.rfft(jnp.asarray(p.loc) - q.loc)
    power = jnp.square(shift.real) + jnp.square(shift.imag)
    weights = _multiplicity(n, ratio.dtype)
    distance = jnp.sum(weights / n * power / q.covariance_rfft, -1)
    return 0.5 * (jnp.sum(weights * (ratio - 1 - jnp.log(ratio)), -1) + distance)


@kl_divergence.register(Independent, CirculantNormal)
def _kl_independent_circulant(p: Independent, q: CirculantNormal) -> Array:
    r""":math:`-\log q(\text{E}_p x) + \frac12 \sum_i (\Sigma'^{-1})_{ii} \operatorname{Var}_p x_i - H(p)`."""
    # E[log q] takes the mean of p and its covariance, which is diagonal; the inverse of a circulant matrix has the mean
    # of the inverse eigenvalues on its diagonal
    if p.reinterpreted_batch_ndims != 1 or p.base_dist.event_shape:
        raise NotImplementedError(
            f"Could not find signature for kl_divergence: <{type(p).__name__}, {type(q).__name__}> where the former is "
            f"not of independent components, but of {type(p.base_dist).__name__}."
        )
    n = q.event_shape[0]
    eigenvalues = jnp.asarray(q.covariance_rfft)
    inverse = jnp.sum(_multiplicity(n, eigenvalues.dtype) / eigenvalues, -1) / n
    return -q.log_prob(p.mean) + 0.5 * inverse * jnp.sum(p.variance, -1) - p.entropy()
