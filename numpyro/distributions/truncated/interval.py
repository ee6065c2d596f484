"""Densities, quantiles and expectations of a standard distribution restricted to an interval.

All derivatives come from the identity ``F(x) = F(a) + q (F(b) - F(a))``, so that they do not cancel either. The
functions are compiled by themselves, so that outside of other programs too each is compiled once for all calls.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._typing import Array
from numpyro.distributions.truncated.standard import Standard, finite_or
from numpyro.distributions.truncated.standard_normal import StandardNormal

_compiled = functools.partial(jax.jit, static_argnums=0)
_with_derivative = functools.partial(jax.custom_jvp, nondiff_argnums=(0,))


def reference(family: Standard, theta: Any, a: Array, b: Array) -> Array:
    """The reference of the interval, as a constant: nothing depends on which point it is."""
    return lax.stop_gradient(family.reference(theta, a, b))


@_with_derivative
def log_mass(family: Standard, theta: Any, a: Array, b: Array, r: Array) -> Array:
    """The logarithm of the mass between ``a`` and ``b`` over the density at their reference ``r``."""
    return family.log_mass(theta, a, b, r)


@log_mass.defjvp
def _log_mass_jvp(family: Standard, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    theta, a, b, r = primals
    theta_dot, a_dot, b_dot, _ = tangents
    value = log_mass(family, theta, a, b, r)
    at_a, at_b = _density(family, theta, a, r, value), _density(family, theta, b, r, value)
    tangent = at_b * b_dot - at_a * a_dot
    if theta is not None:
        _, density_dot = jax.jvp(lambda theta: family.log_pdf(theta, r), (theta,), (theta_dot,))
        drift = at_a * _drift(family, theta, a, r) - at_b * _drift(family, theta, b, r)
        tangent = tangent + drift * theta_dot - density_dot
    return value, tangent


def _density(family: Standard, theta: Any, z: Array, r: Array, log_mass_value: Array) -> Array:
    """The density at ``z``, in units of that at ``r`` over the mass; 0 at infinity, where it has no slope either."""
    finite, z = finite_or(z, r)
    return jnp.where(finite, jnp.exp(family.log_ratio(theta, z, r) - log_mass_value), 0)


def _drift(family: Standard, theta: Any, z: Array, r: Array) -> Array:
    finite, z = finite_or(z, r)
    return jnp.where(finite, family.drift(theta, z), 0)


@_compiled
def log_density(family: Standard, theta: Any, a: Array, b: Array, z: Array) -> Array:
    """The logarithm of the density at ``z`` given that it lies between ``a`` and ``b``."""
    r = reference(family, theta, a, b)
    return family.log_ratio(theta, z, r) - log_mass(family, theta, a, b, r)


@_compiled
def log_probability(family: Standard, theta: Any, a: Array, b: Array) -> Array:
    """The logarithm of the probability of lying between ``a`` and ``b``."""
    r = reference(family, theta, a, b)
    return log_mass(family, theta, a, b, r) + family.log_pdf(theta, r)


@_compiled
def probability(family: Standard, theta: Any, a: Array, b: Array, z: Array) -> Array:
    """The probability of at most ``z``, given that it lies between ``a`` and ``b``."""
    inside = (z > a) & (z < b)
    end = jnp.where(inside, z, b)
    part, whole = reference(family, theta, a, end), reference(family, theta, a, b)
    log_masses = log_mass(family, theta, a, end, part) - log_mass(family, theta, a, b, whole)
    share = jnp.exp(log_masses + family.log_ratio(theta, part, whole))
    return jnp.where(inside, jnp.minimum(share, 1), jnp.where(z >= b, 1.0, 0.0))


@_with_derivative
def _quantile(family: Standard, theta: Any, a: Array, b: Array, q: Array, p: Array) -> Array:
    """The point below which a share ``q``, and above which a share ``p = 1 - q``, of the mass of the interval lies.

    Both are wanted so that neither end of the interval is seen through the rounding of the other.
    """
    r = reference(family, theta, a, b)
    log_below, log_total, log_above = family.masses(theta, a, b, r)
    log_total = log_total + family.log_pdf(theta, r)
    log_lower = jnp.logaddexp(log_below, jnp.log(q) + log_total)
    log_upper = jnp.logaddexp(log_above, jnp.log(p) + log_total)
    z = family.quantile(theta, log_lower, log_upper)
    # where even the logarithms overflow, all of the mass is at the reference
    z = jnp.clip(jnp.where(jnp.isneginf(log_total), r, z), a, b)
    z = jnp.where(q == 0, a, jnp.where(p == 0, b, z))
    return jnp.where((q >= 0) & (p >= 0), z, jnp.nan)


@_quantile.defjvp
def _quantile_jvp(family: Standard, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    theta, a, b, q, p = primals
    theta_dot, a_dot, b_dot, q_dot, _ = tangents
    z = quantile(family, theta, a, b, q, p)
    r = reference(family, theta, a, b)
    log_total = log_mass(family, theta, a, b, r)
    zero = jnp.zeros_like(z)
    at_a, at_b = p * _density(family, theta, a, z, zero), q * _density(family, theta, b, z, zero)
    tangent = at_a * a_dot + at_b * b_dot + jnp.exp(log_total - family.log_ratio(theta, z, r)) * q_dot
    if theta is not None:
        drift = _drift(family, theta, z, r)
        drift = drift - at_a * _drift(family, theta, a, r) - at_b * _drift(family, theta, b, r)
        tangent = tangent + drift * theta_dot
    return z, tangent


quantile = _compiled(_quantile)


@_compiled
def nodes(family: Standard, theta: Any, a: Array, b: Array) -> tuple[Array, Array]:
    """Points of the interval, along a new last dimension, and their weights in an expectation.

    The double exponential rule in ``t``, for the probability ``q = 1 / (1 + exp(-pi sinh t))``, reaches so far into the
    tails that quantiles may grow like powers there. A density with a kink is integrated on either side of it.
    """
    if not family.has_kink:
        return _smooth_nodes(family, theta, a, b)
    middle = jnp.clip(jnp.zeros_like(a), a, b)
    share = probability(family, theta, a, b, middle)[..., None]
    below, below_weights = _smooth_nodes(family, theta, a, jnp.where(middle > a, middle, b))
    above, above_weights = _smooth_nodes(family, theta, jnp.where(middle < b, middle, a), b)
    weights = jnp.concatenate([share * below_weights, (1 - share) * above_weights], -1)
    return jnp.concatenate([below, above], -1), weights


def _smooth_nodes(family: Standard, theta: Any, a: Array, b: Array) -> tuple[Array, Array]:
    reach, step = (4.0, 0.1) if a.dtype == np.float32 else (6.0, 0.08)
    t = np.arange(-reach, reach + step / 2, step)
    u = np.pi * np.sinh(t)
    q, p = np.exp(-np.logaddexp(0, -u)), np.exp(-np.logaddexp(0, u))
    weights = np.cosh(t) * q * p
    theta = None if theta is None else jnp.asarray(theta)[..., None]
    points = quantile(family, theta, a[..., None], b[..., None], q.astype(a.dtype), p.astype(a.dtype))
    largest = jnp.finfo(a.dtype).max  # beyond which there may be quantiles, of next to no weight
    return jnp.clip(points, -largest, largest), jnp.asarray(weights / weights.sum(), a.dtype)


@_with_derivative
def _normal_score(family: StandardNormal, log_below: Array, log_above: Array) -> Array:
    return family.quantile(None, log_below, log_above)


@_normal_score.defjvp
def _normal_score_jvp(
    family: StandardNormal, primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> tuple[Array, Array]:
    log_below, log_above = primals
    z = _normal_score(family, log_below, log_above)
    # from the smaller mass m: dz = m / density * d log m
    from_below = log_below < log_above
    tail, tail_dot = jnp.where(from_below, log_below, log_above), jnp.where(from_below, tangents[0], -tangents[1])
    finite, safe = finite_or(z, jnp.zeros_like(z))
    ratio = jnp.exp(jnp.where(finite, tail, 0.0) - family.log_pdf(None, safe))
    return z, jnp.where(finite, ratio * tail_dot, 0)


def normal_score(log_below: Array, log_above: Array) -> Array:
    """The standard normal quantile with these logarithms of the masses below and above it."""
    log_below, log_above = jnp.broadcast_arrays(log_below, log_above)
    return _compiled_normal_score(_NORMAL, log_below, log_above)


_compiled_normal_score = _compiled(_normal_score)
_NORMAL = StandardNormal()
