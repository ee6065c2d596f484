"""Initialization strategies: where inference starts, site by site.

A strategy is a function of a site that returns an initial value in the site's support, or ``None`` where there is
nothing to initialise: for observed and discrete variables, params, and deterministic sites. Without a site each of
these functions returns the strategy with its options filled in, a ``functools.partial``, which pickles and can be given
to inference as ``init_strategy=init_to_median(num_samples=10)``.

A strategy that draws all sites of a model at once has a method ``draw_initial(view, data, rng_key)``, as
:data:`~numpyro.infer.pathfinder.init_to_pathfinder` has.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro.distributions._validation import concrete, describe, failing
from numpyro.infer.model.bijection import innermost, site_bijection
from numpyro.util import not_jax_tracer

Strategy = Callable[[Any], Any]


def init_to_uniform(site: Mapping[str, Any] | None = None, radius: float = 2) -> Any:
    """Initialise uniformly on ``(-radius, radius)`` in the unconstrained space.

    :param site: a sample site, or ``None`` to get the strategy with its options.
    :param radius: half the width of the interval, not negative.
    :return: the value, of the shape of the site; or the strategy.
    :raises ValueError: if ``radius`` is negative, the site has no random key, or its support has no bijection to the
        reals.
    """
    if isinstance(radius, int | float) and radius < 0:
        raise ValueError(f"radius of init_to_uniform must not be negative, but got {radius}.")
    if site is None:
        return partial(init_to_uniform, radius=radius)
    if not _is_to_be_initialised(site):
        return None
    if site["value"] is not None:
        return _kept(site, "init_to_uniform")
    transform = site_bijection(site)
    shape = (*site["kwargs"]["sample_shape"], *transform.inverse_shape(site["fn"].shape()))
    if isinstance(radius, int | float) and radius == 0:
        return transform(jnp.asarray(np.zeros(shape, jnp.result_type(float))))
    return transform(jax.random.uniform(_key(site), shape, minval=-radius, maxval=radius))


def init_to_feasible(site: Mapping[str, Any] | None = None) -> Any:
    """Initialise at the point of the support that is 0 in the unconstrained space.

    :param site: a sample site, or ``None`` to get the strategy.
    :return: the value, of the shape of the site; or the strategy.
    """
    return init_to_uniform(site, radius=0)


def init_to_median(site: Mapping[str, Any] | None = None, num_samples: int = 15) -> Any:
    """Initialise at the median of prior draws.

    Where the support constrains several coordinates jointly (a simplex, a Cholesky factor), the median is taken in the
    unconstrained space, so that it lies in the support. Distributions that cannot be sampled are initialised by
    :func:`init_to_uniform`.

    :param site: a sample site, or ``None`` to get the strategy with its options.
    :param num_samples: the number of draws, at least 1.
    :return: the value, of the shape of the site; or the strategy.
    :raises ValueError: if ``num_samples`` is less than 1, or the site has no random key.
    """
    if num_samples < 1:
        raise ValueError(f"num_samples of init_to_median must be at least 1, but got {num_samples}.")
    if site is None:
        return partial(init_to_median, num_samples=num_samples)
    if not _is_to_be_initialised(site):
        return None
    if site["value"] is not None:
        return _kept(site, "init_to_median")
    transform = site_bijection(site)
    sample_shape = tuple(site["kwargs"]["sample_shape"])
    try:
        if num_samples == 1:
            return site["fn"].sample(_key(site), sample_shape=sample_shape)
        draws = site["fn"].sample(_key(site), sample_shape=(num_samples, *sample_shape))
    except NotImplementedError:
        return init_to_uniform(site)
    if _is_elementwise(site["fn"].support):
        return jnp.median(draws, axis=0)  # commutes with monotone maps
    return transform(jnp.median(transform.inv(draws), axis=0))


def init_to_sample(site: Mapping[str, Any] | None = None) -> Any:
    """Initialise with a draw from the prior.

    Distributions that cannot be sampled are initialised by :func:`init_to_uniform`.

    :param site: a sample site, or ``None`` to get the strategy.
    :return: the value, of the shape of the site; or the strategy.
    """
    return init_to_median(site, num_samples=1)


def init_to_mean(site: Mapping[str, Any] | None = None) -> Any:
    """Initialise at the prior mean.

    Where the mean is not finite (Cauchy, say) or lies outside a support that is not convex (Cholesky factors of
    correlation matrices), the value is that of :func:`init_to_feasible`; distributions that do not tell their mean are
    initialised by :func:`init_to_median`.

    :param site: a sample site, or ``None`` to get the strategy.
    :return: the value, of the shape of the site; or the strategy.
    """
    if site is None:
        return partial(init_to_mean)
    if not _is_to_be_initialised(site):
        return None
    if site["value"] is not None:
        return _kept(site, "init_to_mean")
    fn = site["fn"]
    try:
        mean = fn.mean
    except (NotImplementedError, ValueError):
        return init_to_median(site)
    shape = (*site["kwargs"]["sample_shape"], *fn.shape())
    dtype = jnp.result_type(mean, float)
    if not isinstance(mean, jax.Array) or mean.shape != shape or mean.dtype != dtype:
        mean = jnp.broadcast_to(jnp.asarray(mean, dtype), shape)
    inside = fn.support(mean)
    inside = jnp.isfinite(mean) & jnp.reshape(inside, inside.shape + (1,) * (mean.ndim - inside.ndim))
    if not_jax_tracer(inside) and np.asarray(inside).all():
        return mean
    return jnp.where(inside, mean, init_to_feasible(site))


def init_to_value(site: Mapping[str, Any] | None = None, values: Mapping[str, Any] = {}) -> Any:
    """Initialise at given values; sites that are not named are initialised by :func:`init_to_uniform`.

    :param site: a sample site, or ``None`` to get the strategy with its options.
    :param values: values, in the supports, by the names of sites.
    :return: the value; or the strategy.
    :raises ValueError: if a value is outside the support of its site, where both are known.
    """
    if site is None:
        return partial(init_to_value, values=values)
    if site.get("type") == "sample" and not site["is_observed"] and site["name"] in values:
        value = values[site["name"]]
        _check_inside(site, value)
        return value
    return init_to_uniform(site)


def _check_inside(site: Mapping[str, Any], value: Any) -> None:
    known, support = concrete(value), site["fn"].support
    if known is None or support is None or known.ndim < support.event_dim:
        return
    outside = failing(support, known)
    if outside is not None:
        raise ValueError(
            f"init_to_value: the value of site '{site['name']}' is outside the support of its "
            f"{type(site['fn']).__name__}: expected {support!r}, violated by {describe(known, outside)}."
        )


def _is_to_be_initialised(site: Mapping[str, Any]) -> bool:
    if "type" not in site:
        raise UsageError(
            f"An initialization strategy takes a site, but got {type(site).__name__} without the key 'type'. "
            "Name the options, as in init_to_value(values={...})."
        )
    return site["type"] == "sample" and not site["is_observed"] and not site["fn"].is_discrete


def _kept(site: Mapping[str, Any], strategy: str) -> Any:
    warnings.warn(
        f"{strategy}() skipping initialization of site '{site['name']}' which already stores a value.", stacklevel=3
    )
    return site["value"]


def _key(site: Mapping[str, Any]) -> Any:
    key = site["kwargs"].get("rng_key")
    if key is None:
        raise UsageError(
            f"The site '{site['name']}' has no random key to be initialised with; "
            "run the model under numpyro.handlers.seed, within the substitution."
        )
    return key


def _is_elementwise(support: Any) -> bool:
    return innermost(support).event_dim == 0
