"""The distribution of the direction of a normal vector."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax, random
from jax.scipy.special import log_ndtr

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._maths import HALF_LOG_TWO_PI
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.distribution import Distribution

# Below -1 the recursion of moments runs backwards, from this many orders above: 1e-8 (float32), 1e-15 (float64) remain.
_EXTRA_ORDERS = 120


def log_half_line_moment(t: ArrayLike, order: int) -> Array:
    r"""The logarithm of a moment of a normal density that is cut to the half line.

    .. math:: M_k(t) = \int_0^\infty r^k e^{-(r - t)^2/2}\,dr, \qquad M_k = t M_{k-1} + (k-1) M_{k-2}, \qquad
        M_1 = t M_0 + e^{-t^2/2}

    The ratios :math:`M_k / M_{k-1}` follow from each other. Forwards they lose digits for negative ``t``, where the
    moments are the minimal solution of the recursion; there it runs backwards, as a continued fraction.

    :param t: the centre of the normal density.
    :param order: :math:`k`, at least 1.
    :return: array of the shape of ``t``.
    """
    t = jnp.asarray(t)
    backwards = t < -1
    forward_t, s = jnp.where(backwards, 0, t), jnp.where(backwards, -t, 1)

    log_moment = log_ndtr(forward_t) + HALF_LOG_TWO_PI
    ratio = forward_t + jnp.exp(-0.5 * lax.square(forward_t) - log_moment)
    log_forwards = log_moment + jnp.log(ratio)
    for k in range(2, order + 1):
        ratio = forward_t + (k - 1) / ratio
        log_forwards = log_forwards + jnp.log(ratio)

    last = order + _EXTRA_ORDERS
    start = 0.5 * (jnp.sqrt(lax.square(s) + 4 * last) - s)
    ratio = lax.fori_loop(0, _EXTRA_ORDERS, lambda i, ratio: (last - 1 - i) / (s + ratio), start)
    log_backwards = jnp.log(ratio)
    for k in range(order, 1, -1):
        ratio = (k - 1) / (s + ratio)
        log_backwards = log_backwards + jnp.log(ratio)
    # M_0 = e^(-t^2/2) / (s + M_1 / M_0)
    log_backwards = log_backwards - jnp.log(s + ratio) - 0.5 * lax.square(s)
    return jnp.where(backwards, log_backwards, log_forwards)


class ProjectedNormal(Distribution):
    r"""The distribution of :math:`z / |z|`, a unit vector, where :math:`z \sim \text{Normal}(\mu, 1)` in :math:`d`
    dimensions.

    .. math:: p(x) = (2\pi)^{-d/2} e^{-(|\mu|^2 - t^2)/2} \int_0^\infty r^{d-1} e^{-(r - t)^2/2}\,dr, \quad t = \mu^T x

    with respect to the area of the unit sphere.

    :param concentration: :math:`\mu`, of shape ``batch_shape + (d,)``; its direction is the mode, its length the
        concentration.
    :support: :math:`x \in \mathbb{R}^d`, :math:`|x| = 1`
    :raises ValueError: when ``concentration`` is a scalar, or has one component only.

    **Reference:** D. Hernandez-Stumpfhauser, F. J. Breidt, M. J. van der Woerd (2017), "The general projected normal
    distribution of arbitrary dimension".
    """

    __module__ = "numpyro.distributions.directional"
    arg_constraints = {"concentration": constraints.real_vector}
    support = constraints.sphere
    reparametrized_params = ["concentration"]
    _reasons = {
        "variance": "mean is a direction, not the mean of the components; estimate what you need by draws",
        "entropy": "the mean of the log density has no closed form",
    }

    def __init__(self, concentration: ArrayLike, *, validate_args: bool | None = None) -> None:
        batch_shape, event_shape = self.infer_shapes(jnp.shape(concentration))
        self.concentration: Any = concentration
        super().__init__(batch_shape=batch_shape, event_shape=event_shape, validate_args=validate_args)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        return _direction(self.concentration + random.normal(key, self.shape(sample_shape)))

    @validate_sample
    def log_prob(self, value: ArrayLike, intermediates: Any = None) -> Array:
        d = self.event_shape[0]
        concentration = jnp.asarray(self.concentration)
        t = jnp.sum(concentration * value, -1)
        # |mu|^2 - t^2, as the square of what is left of mu without its part along x
        across = jnp.sum(lax.square(concentration - t[..., None] * value), -1)
        return log_half_line_moment(t, d - 1) - 0.5 * across - d * HALF_LOG_TWO_PI

    @property
    def mean(self) -> Array:
        """The mean direction, a unit vector."""
        return _direction(jnp.asarray(self.concentration))

    @property
    def mode(self) -> Array:
        return self.mean

    @classmethod
    def infer_shapes(cls, concentration: Shape) -> tuple[Shape, Shape]:  # type: ignore[override]
        if not concentration or concentration[-1] < 2:
            raise ValueError(
                "ProjectedNormal: `concentration` must be of shape (..., d) with d at least 2; got shape"
                f" {tuple(concentration)}."
            )
        return tuple(concentration[:-1]), tuple(concentration[-1:])


def _direction(vector: Array) -> Array:
    """``vector`` divided by its length; for 0, the direction in which all components are equal."""
    is_zero = jnp.all(vector == 0, -1, keepdims=True)
    vector = jnp.where(is_zero, 1, vector)
    # no overflow nor underflow of squares: the largest component is 1
    vector = vector / lax.stop_gradient(jnp.max(jnp.abs(vector), -1, keepdims=True))
    return vector / jnp.sqrt(jnp.sum(jnp.square(vector), -1, keepdims=True))
