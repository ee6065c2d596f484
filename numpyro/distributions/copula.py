r"""Gaussian copulas: a joint distribution of given marginal distributions, dependent as a multivariate normal is.

With the normal scores :math:`z_i = \Phi^{-1}(F_i(x_i))` and the correlation matrix :math:`R`,

.. math:: p(x) = \frac{\mathcal N(z; 0, R)}{\mathcal N(z; 0, I)} \prod_i f_i(x_i).
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import ndtr

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._interval_mass import log_interval_mass
from numpyro.distributions._lazy import lazy_property
from numpyro.distributions._maths import broadcast_to, require_one_of
from numpyro.distributions._validation import check_key, check_parameter, validate_sample
from numpyro.distributions.batch_util import _insert, _replace, leading_shape, with_leading_shape
from numpyro.distributions.continuous import Beta, MultivariateNormal
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.truncated.interval import normal_score

__all__ = ["GaussianCopula", "GaussianCopulaBeta"]

_FARTHEST = 1e4  # normal scores are cut here: at the ends of the support they are infinite


class GaussianCopula(Distribution):
    r"""A joint distribution of given marginals, with the dependence of a multivariate normal distribution.

    .. math:: p(x) = \det(R)^{-1/2} \exp\bigl(-\tfrac12 z^\top (R^{-1} - 1) z\bigr) \prod_i f_i(x_i), \quad
        z_i = \Phi^{-1}(F_i(x_i))

    with marginal densities :math:`f_i` and distribution functions :math:`F_i`, and :math:`\Phi` that of the standard
    normal distribution.

    :param marginal_dist: a continuous distribution of single numbers, with ``cdf`` and ``icdf``, of batch shape
        ``(..., d)``: the marginal of each component.
    :param correlation_matrix: correlations :math:`R` of the normal scores :math:`z`, of shape ``(..., d, d)``.
    :param correlation_cholesky: its lower Cholesky factor. Exactly one of the two is to be given.
    :support: vectors with all components in the support of ``marginal_dist``
    :raises ValueError: when none or both are given, or ``marginal_dist`` has vector events, discrete values, or a batch
        that does not fit.

    >>> import numpy as np, numpyro.distributions as dist
    >>> d = GaussianCopula(dist.Gamma(np.array([2.0, 3.0])), np.array([[1.0, 0.5], [0.5, 1.0]]))
    >>> d.batch_shape, d.event_shape
    ((), (2,))

    **Reference:** R. Nelsen (2006), "An Introduction to Copulas", section 2.3.
    """

    __module__ = "numpyro.distributions.copula"
    arg_constraints = {
        "correlation_matrix": constraints.corr_matrix,
        "correlation_cholesky": constraints.corr_cholesky,
    }
    reparametrized_params = ["correlation_matrix", "correlation_cholesky"]
    pytree_data_fields = ("marginal_dist", "base_dist")

    def __init__(
        self,
        marginal_dist: Distribution,
        correlation_matrix: ArrayLike | None = None,
        correlation_cholesky: ArrayLike | None = None,
        *,
        validate_args: bool | None = None,
    ) -> None:
        name, matrix = require_one_of(correlation_matrix=correlation_matrix, correlation_cholesky=correlation_cholesky)
        if marginal_dist.event_shape:
            raise ValueError(
                "`marginal_dist` needs to be a univariate distribution, but the events of "
                f"{type(marginal_dist).__name__} have shape {marginal_dist.event_shape}."
            )
        if marginal_dist.is_discrete:
            raise ValueError(
                f"`marginal_dist` needs to be continuous, but {type(marginal_dist).__name__} is discrete: its copula "
                "has no density in terms of the cdf."
            )
        if self._validate_args if validate_args is None else validate_args:
            check_parameter(self, name, self.arg_constraints[name], matrix)
        self.marginal_dist = marginal_dist
        keyword = "covariance_matrix" if name == "correlation_matrix" else "scale_tril"
        self.base_dist: Any = MultivariateNormal(**{keyword: matrix}, validate_args=False)
        size, marginals = self.base_dist.event_shape[0], marginal_dist.batch_shape
        if marginals and marginals[-1] not in (1, size):
            raise ValueError(
                f"{type(self).__name__} got marginals of batch shape {marginals}, whose last dimension does not fit "
                f"the {size} rows of {name}."
            )
        batch_shape = lax.broadcast_shapes(marginals[:-1], self.base_dist.batch_shape)
        super().__init__(batch_shape, (size,), validate_args=validate_args)

    @constraints.dependent_property(event_dim=1)
    def support(self) -> Any:
        return constraints.independent(self.marginal_dist.support, 1)

    @property
    def correlation_cholesky(self) -> Array:
        """The lower Cholesky factor of the correlation matrix."""
        return self.base_dist.scale_tril

    @lazy_property
    def correlation_matrix(self) -> Array:
        """The matrix of correlations of the normal scores."""
        return self.base_dist.covariance_matrix

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        shape = tuple(sample_shape) + self.batch_shape
        scores = self.base_dist.expand(self.batch_shape).sample(key, sample_shape)
        probabilities = ndtr(scores)
        limits = jnp.finfo(probabilities.dtype)
        probabilities = jnp.clip(probabilities, float(limits.tiny), 1 - float(limits.eps) / 2)
        return jnp.broadcast_to(self.marginal_dist.icdf(probabilities), shape + self.event_shape)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        inside = jnp.asarray(self.marginal_dist.support(value))
        log_below = log_interval_mass(self.marginal_dist, None, value)
        log_above = log_interval_mass(self.marginal_dist, value, None)
        scores = jnp.clip(normal_score(log_below, log_above), -_FARTHEST, _FARTHEST)
        factor = self.base_dist.scale_tril
        shape = lax.broadcast_shapes(jnp.shape(scores)[:-1], factor.shape[:-2]) + self.event_shape
        scores = jnp.broadcast_to(scores, shape)
        white = solve_triangular(jnp.broadcast_to(factor, (*shape, shape[-1])), scores[..., None], lower=True)[..., 0]
        # (|white|^2 - |scores|^2) / 2 without the difference of large squares
        log_ratio = -0.5 * jnp.sum((white - scores) * (white + scores), -1)
        log_ratio = log_ratio - jnp.sum(jnp.log(jnp.diagonal(factor, axis1=-2, axis2=-1)), -1)
        log_marginals = jnp.sum(jnp.broadcast_to(self.marginal_dist.log_prob(value), shape), -1)
        # the support is that of all components
        return jnp.where(jnp.all(inside, -1) & (log_marginals > -jnp.inf), log_ratio + log_marginals, -jnp.inf)

    def entropy(self) -> Array:
        """The entropies of the marginals, less the information that they have of each other."""
        marginals = jnp.sum(jnp.broadcast_to(self.marginal_dist.entropy(), self.shape()), -1)
        diagonal = jnp.diagonal(self.base_dist.scale_tril, axis1=-2, axis2=-1)
        return broadcast_to(marginals + jnp.sum(jnp.log(diagonal), -1), self.batch_shape)

    @property
    def mean(self) -> Array:
        return broadcast_to(self.marginal_dist.mean, self.shape())

    @property
    def variance(self) -> Array:
        return broadcast_to(self.marginal_dist.variance, self.shape())


class GaussianCopulaBeta(GaussianCopula):
    r"""A Gaussian copula of beta distributions.

    .. math:: p(x) = \det(R)^{-1/2} \exp\bigl(-\tfrac12 z^\top (R^{-1} - 1) z\bigr)
        \prod_i \frac{x_i^{\alpha_i - 1} (1 - x_i)^{\beta_i - 1}}{B(\alpha_i, \beta_i)}, \quad z_i = \Phi^{-1}(F_i(x_i))

    where :math:`F_i` is the distribution function of :math:`\text{Beta}(\alpha_i, \beta_i)`, and :math:`\Phi` that of
    the standard normal distribution.

    :param concentration1: :math:`\alpha > 0` of the components, of shape ``(..., d)``.
    :param concentration0: :math:`\beta > 0` of the components, of shape ``(..., d)``.
    :param correlation_matrix: correlations :math:`R` of the normal scores :math:`z`, of shape ``(..., d, d)``.
    :param correlation_cholesky: its lower Cholesky factor. Exactly one of the two is to be given.
    :param validate_args: whether to check parameters and values; default ``False``.
    :support: :math:`x \in [0, 1]^d`
    :raises ValueError: when none or both are given, or shapes do not fit.

    **Reference:** R. Nelsen (2006), "An Introduction to Copulas", section 2.3.
    """

    __module__ = "numpyro.distributions.copula"
    arg_constraints = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
        "correlation_matrix": constraints.corr_matrix,
        "correlation_cholesky": constraints.corr_cholesky,
    }
    support = constraints.independent(constraints.unit_interval, 1)
    reparametrized_params = ["concentration1", "concentration0", "correlation_matrix", "correlation_cholesky"]
    pytree_data_fields = ("concentration1", "concentration0")

    def __init__(
        self,
        concentration1: ArrayLike,
        concentration0: ArrayLike,
        correlation_matrix: ArrayLike | None = None,
        correlation_cholesky: ArrayLike | None = None,
        *,
        validate_args: bool | None = False,
    ) -> None:
        self.concentration1: Any = concentration1
        self.concentration0: Any = concentration0
        super().__init__(
            Beta(concentration1, concentration0, validate_args=validate_args),
            correlation_matrix,
            correlation_cholesky,
            validate_args=validate_args,
        )


@leading_shape.register
def _leading_shape_of_copula(d: GaussianCopula) -> Shape:
    return max(leading_shape(d.base_dist), leading_shape(d.marginal_dist), key=len)


@with_leading_shape.register
def _copula_with_leading_shape(d: GaussianCopula, lead: Shape, pad: int) -> Any:
    rank = pad + len(d.batch_shape)
    fields = {
        "base_dist": with_leading_shape(d.base_dist, lead, rank - len(d.base_dist.batch_shape)),
        # one dimension more, that of the event
        "marginal_dist": with_leading_shape(d.marginal_dist, lead, rank + 1 - len(d.marginal_dist.batch_shape)),
    }
    if isinstance(d, GaussianCopulaBeta):
        names = ("concentration1", "concentration0")
        fields |= {name: _insert(getattr(d, name), lead, rank + 1) for name in names}
    return _replace(d, lead + (1,) * pad + d.batch_shape, fields)
