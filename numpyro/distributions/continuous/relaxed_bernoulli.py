"""The relaxed Bernoulli distribution: a continuous stand-in for draws of 0 and 1, differentiable in its parameters."""

from __future__ import annotations

from typing import Any, NoReturn

import jax.numpy as jnp

from numpyro._typing import Array, ArrayLike
from numpyro.distributions import constraints
from numpyro.distributions._maths import where_inside, xlog1py, xlogy
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import validate_sample
from numpyro.distributions.continuous.logistic import Logistic
from numpyro.distributions.discrete.support import logits_of_probs
from numpyro.distributions.distribution import TransformedDistribution
from numpyro.distributions.transforms import SigmoidTransform


class RelaxedBernoulliLogits(TransformedDistribution):
    r"""The distribution of the logistic function of :math:`(l + t)/T`, where :math:`t` is standard logistic.

    .. math:: p(x) = \frac{T\, e^{l} x^{-T-1} (1 - x)^{-T-1}}{\bigl(e^{l} x^{-T} + (1 - x)^{-T}\bigr)^2},
        \quad 0 < x < 1

    As :math:`T \to 0`, draws become those of a Bernoulli distribution of log odds :math:`l`.

    :param temperature: :math:`T > 0`.
    :param logits: log odds :math:`l`, a real number.
    :support: :math:`0 \le x \le 1`

    **Reference:** C. J. Maddison, A. Mnih, Y. W. Teh (2017), "The concrete distribution".
    """

    __module__ = "numpyro.distributions.continuous"
    arg_constraints = {"temperature": constraints.positive, "logits": constraints.real}
    support = constraints.unit_interval
    reparametrized_params = ["temperature", "logits"]

    def __init__(self, temperature: ArrayLike, logits: ArrayLike, *, validate_args: bool | None = None) -> None:
        self.temperature, self.logits = promote_shapes(temperature, logits)
        base = Logistic(self.logits / self.temperature, 1 / self.temperature, validate_args=False)
        super().__init__(base, SigmoidTransform(), validate_args=validate_args)

    @validate_sample
    def log_prob(self, value: ArrayLike, intermediates: list[Any] | None = None) -> Array:
        if intermediates:
            return super().log_prob(value, intermediates)
        temperature, logits = self.temperature, self.logits
        possible = jnp.greater_equal(value, 0) & jnp.less_equal(value, 1)
        value = jnp.where(possible, value, 0.5)
        inside = (value > 0) & (value < 1)
        x = jnp.where(inside, value, 0.5)
        # with z = l - T logit(x), the density of z on the line, T |dz/dx|, each end by the powers that are finite there
        z = logits - temperature * (jnp.log(x) - jnp.log1p(-x))
        side = jnp.where(jnp.where(inside, z > 0, value < 0.5), 1.0, -1.0)
        powers = xlogy(side * temperature - 1, value) - xlog1py(side * temperature + 1, -value)
        overlap = jnp.where(inside, jnp.log1p(jnp.exp(jnp.where(z > 0, -z, z))), 0)
        return where_inside(possible, jnp.log(temperature) - side * logits + powers - 2 * overlap)

    def cdf(self, value: ArrayLike) -> Array:
        return super().cdf(jnp.clip(value, 0, 1))

    @property
    def mean(self) -> Array:
        self._no_closed_form("mean")

    @property
    def variance(self) -> Array:
        self._no_closed_form("variance")

    def _no_closed_form(self, name: str) -> NoReturn:
        raise NotImplementedError(
            f"{type(self).__name__} has no {name}: the moments of a logistic function of a logistic variable have no "
            f"closed form. Estimate it from draws, or from icdf at evenly spaced probabilities."
        )


def RelaxedBernoulli(
    temperature: ArrayLike,
    probs: ArrayLike | None = None,
    logits: ArrayLike | None = None,
    *,
    validate_args: bool | None = None,
) -> RelaxedBernoulliLogits:
    """The relaxed Bernoulli distribution, by the probability or the log odds of 1.

    :param temperature: how far draws are from 0 and 1, positive.
    :param probs: probability of 1.
    :param logits: log odds of 1. One of the two is to be given; ``probs`` counts where both are.
    :return: :class:`RelaxedBernoulliLogits`.
    :raises ValueError: when neither is given.
    """
    if probs is not None:
        logits = logits_of_probs(probs)
    if logits is None:
        raise ValueError("RelaxedBernoulli: One of `probs` or `logits` must be specified; got neither.")
    return RelaxedBernoulliLogits(temperature, logits, validate_args=validate_args)


RelaxedBernoulli.__module__ = "numpyro.distributions.continuous"
