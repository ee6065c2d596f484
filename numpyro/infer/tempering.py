"""The parts of tempering: prior and likelihood, the next temperature, resampling, the particles' covariance."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.special import logsumexp

from numpyro._errors import UsageError
from numpyro._typing import Array, Key, PyTree
from numpyro.distributions import ImproperUniform, MaskedDistribution
from numpyro.infer.model import ModelView, trace_log_density
from numpyro.infer.model.density import is_latent, total
from numpyro.infer.model.evaluate import enumerated_trace_at
from numpyro.ops.sum_product import eliminate

_LEAST_SHRINKAGE = 1e-3  # keeps the root finite for fewer particles than dimensions
_NOT_DRAWN = ((ImproperUniform, "has an improper prior"), (MaskedDistribution, "is masked"))


def split_density(view: ModelView, data: PyTree, z: dict[str, Array]) -> tuple[Array, Array]:
    """The log prior of unconstrained values, Jacobian terms included, and their log likelihood."""
    dim = view.first_available_dim
    if dim is None:
        model_trace, log_dets = view.trace_at(data, z)
        _require_priors(model_trace)
        observed = {name: site for name, site in model_trace.items() if site.get("is_observed")}
        latent = {name: site for name, site in model_trace.items() if name not in observed}
        return sum(map(total, log_dets.values()), trace_log_density(latent)), trace_log_density(observed)
    args, kwargs = view.arguments.rebuild(data[1])
    model_trace, problem = enumerated_trace_at(view.model, args, kwargs, z, data[0], dim)
    _require_priors(model_trace)
    names = {name for name, site in model_trace.items() if site["type"] == "sample" and not is_latent(site)}
    prior = problem._replace(factors=[factor for factor in problem.factors if not names.issuperset(factor.origins)])
    log_prior = eliminate(prior).total
    return log_prior, eliminate(problem).total - log_prior


def _require_priors(model_trace: dict[str, Any]) -> None:
    """Raise where the density of a latent site is not that of what is drawn."""
    for name, site in model_trace.items():
        if site["type"] != "sample" or not is_latent(site):
            continue
        fn, why = site["fn"], "is scaled" if site["scale"] is not None else None
        while fn is not None and why is None:
            why = next((why for kind, why in _NOT_DRAWN if isinstance(fn, kind)), None)
            fn = getattr(fn, "base_dist", None)
        if why is not None:
            raise UsageError(
                f"TemperedSMC begins with draws of the prior, but the latent site '{name}' {why}. Give it a proper "
                "prior outside of handlers.scale and handlers.mask, and what it should count besides as numpyro.factor."
            )


def next_temperature(log_likelihood: Array, temperature: Array, ess_fraction: float) -> Array:
    """The highest temperature, up to 1, at which the weights keep a fraction of the effective sample size.

    Weights were equal before, where the conditional effective sample size is :math:`(\\sum w)^2 / \\sum w^2`. It is
    held against the number of particles whose likelihood is not 0.
    """
    centred = log_likelihood - jnp.max(log_likelihood)
    target = ess_fraction * jnp.sum(jnp.isfinite(log_likelihood))

    def is_enough(increment: Array) -> Array:
        log_weights = jnp.where(centred > -jnp.inf, increment * centred, -jnp.inf)
        return 2 * logsumexp(log_weights) - logsumexp(2 * log_weights) >= jnp.log(target)

    def halve(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = 0.5 * (low + high)
        enough = is_enough(middle)
        return jnp.where(enough, middle, low), jnp.where(enough, high, middle)

    rest = 1.0 - temperature
    low, _ = lax.fori_loop(0, 60, halve, (jnp.zeros_like(rest), rest))
    # The increment is at least what floating point can add, so that temperatures rise.
    return jnp.where(is_enough(rest), 1.0, jnp.maximum(temperature + low, jnp.nextafter(temperature, 2.0)))


def systematic(rng_key: Key, log_weights: Array) -> Array:
    """Indices of particles by systematic resampling: as many of each as expected, rounded up or down."""
    count = log_weights.shape[0]
    cumulative = jnp.cumsum(jnp.exp(log_weights - jnp.max(log_weights)))
    offset = 1.0 - jax.random.uniform(rng_key, (), log_weights.dtype)  # positive: weights of 0 are never chosen
    at = (jnp.arange(count) + offset) / count
    return jnp.minimum(jnp.searchsorted(cumulative, at * cumulative[-1]), count - 1)


def covariance_root(z: Array, share: float = 1.0) -> Array:
    r"""The lower triangular root of the particles' covariance, with its correlations shrunk.

    With :math:`r_{ij}` the correlations, means of products of standardised values :math:`u_i u_j`, and
    :math:`\operatorname{Var} r_{ij} = \operatorname{Var}(u_i u_j) / n`, they become

    .. math:: (1 - \lambda)\, r_{ij}, \qquad
        \lambda = \frac{\sum_{i \ne j} \operatorname{Var} r_{ij}}{\sum_{i \ne j} r_{ij}^2},

    so that those of many dimensions from few particles go, and those that are there stay.

    :param z: positions, of shape ``(particles, D)``.
    :param share: the share of the particles that are different, so that ``n = share * particles``.

    **Reference:** J. Schäfer, K. Strimmer, *A shrinkage approach to large-scale covariance matrix estimation* (2005).
    """
    count, size = z.shape
    centred = z - jnp.mean(z, 0)
    smallest = (jnp.finfo(z.dtype).eps * (1.0 + jnp.max(jnp.abs(z), 0))) ** 2
    deviation = jnp.sqrt(jnp.mean(centred**2, 0) + smallest)
    u = centred / deviation
    products = u.T @ u / count
    apart = 1.0 - jnp.eye(size, dtype=z.dtype)
    noise = jnp.sum(apart * ((u**2).T @ u**2 / count - products**2)) / (share * count)
    signal = jnp.sum(apart * products**2)
    shrinkage = jnp.clip(noise / jnp.maximum(signal, jnp.finfo(z.dtype).tiny), _LEAST_SHRINKAGE, 1.0)
    kept = jnp.where(apart == 1.0, (1.0 - shrinkage) * products, 1.0)
    return deviation[:, None] * jnp.linalg.cholesky(kept)


def halves(z: Array) -> tuple[Array, Array]:
    """The first half of the particles and the second."""
    middle = len(z) // 2
    return z[:middle], z[middle:]


def correlation(x: Array, y: Array) -> Array:
    """The correlation of two vectors; 0 where one of them does not vary."""
    x, y = x - jnp.mean(x), y - jnp.mean(y)
    size = jnp.sqrt(jnp.sum(x**2) * jnp.sum(y**2))
    return jnp.where(size > 0, jnp.sum(x * y) / jnp.where(size > 0, size, 1.0), 0.0)
