"""What can be wrong with a site, said in terms of the site: wrong types, shapes that do not fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from numpyro._errors import UsageError
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.foreign import as_distribution
from numpyro.util import is_prng_key


def check_name(name: Any, primitive: str) -> None:
    """Raise ``TypeError`` unless ``name`` is a string."""
    if not isinstance(name, str):
        raise TypeError(
            f"The name of a numpyro.{primitive} site must be a string, but got {name!r} of type {type(name).__name__}; "
            f"write numpyro.{primitive}('name', ...)."
        )


def check_distribution(name: str, fn: Any) -> Distribution:
    """Return ``fn`` as a distribution, which one of TensorFlow Probability is made; else raise ``TypeError``."""
    if isinstance(fn, Distribution):
        return fn
    found = as_distribution(fn)
    if found is not None:
        return found
    if isinstance(fn, type) and issubclass(fn, Distribution):
        remedy = f"That is the class itself: call it with its parameters, as in {fn.__name__}(...)."
    elif isinstance(fn, int | float | np.ndarray | jax.Array):
        remedy = f"For a known value use numpyro.deterministic('{name}', value) or numpyro.distributions.Delta(value)."
    else:
        remedy = (
            "Distributions are in numpyro.distributions; your own ones subclass numpyro.distributions.Distribution."
        )
    raise TypeError(
        f"Invalid type for 'fn' at the site '{name}': expected an instance of numpyro.distributions.Distribution, "
        f"but received {type(fn).__name__}. {remedy}"
    )


def check_key(name: str, rng_key: Any) -> None:
    """Raise an error unless ``rng_key`` is ``None`` or one JAX random key."""
    if rng_key is not None and not is_prng_key(rng_key):
        shape = getattr(rng_key, "shape", None)
        came = type(rng_key).__name__ if shape is None else f"an array of shape {shape} and dtype {rng_key.dtype}"
        raise UsageError(
            f"rng_key of the site '{name}' must be one JAX random key, but got {came}; make one with jax.random.key(0) "
            "or jax.random.PRNGKey(0)."
        )


def as_sample_shape(name: str, sample_shape: Any) -> tuple[int, ...]:
    """Return ``sample_shape`` as a tuple of integers, or raise ``TypeError``."""
    try:
        shape = tuple(int(size.__index__()) for size in sample_shape)
    except (TypeError, AttributeError):
        raise TypeError(
            f"sample_shape of the site '{name}' must be a tuple of integers, but got {sample_shape!r}; "
            "for n draws write sample_shape=(n,)."
        ) from None
    if any(size < 0 for size in shape):
        raise ValueError(f"sample_shape of the site '{name}' must not be negative, but got {shape}.")
    return shape


def as_obs_mask(name: str, fn: Distribution, obs_mask: Any) -> Any:
    """Return ``obs_mask`` as a boolean array (or bool) that broadcasts with the batch shape of ``fn``, or raise."""
    if isinstance(obs_mask, bool | np.bool_):
        return bool(obs_mask)
    mask = obs_mask if hasattr(obs_mask, "dtype") else np.asarray(obs_mask)
    if mask.dtype != np.bool_:
        raise ValueError(
            f"obs_mask of the site '{name}' must be a boolean array, True where the value is observed, "
            f"but got dtype {mask.dtype}; write obs_mask.astype(bool)."
        )
    try:
        np.broadcast_shapes(mask.shape, fn.batch_shape)
    except ValueError:
        events = f" (one entry for each event of shape {fn.event_shape})" if fn.event_shape else ""
        raise ValueError(
            f"obs_mask of the site '{name}' must broadcast with the batch shape {fn.batch_shape} of its "
            f"{type(fn).__name__}{events}, but got shape {mask.shape}."
        ) from None
    return mask


def _value_batch_shape(site: Mapping[str, Any]) -> tuple[int, ...] | None:
    """The shape of a site's value without its event dimensions; ``None`` where the value is not one array."""
    value, event_dim = site["value"], site["fn"].event_dim
    shape = getattr(value, "shape", None)
    if shape is None:
        if not isinstance(value, bool | int | float | list | tuple):
            return None
        try:
            shape = np.shape(value)
        except ValueError:
            return None
    return tuple(shape)[: len(shape) - event_dim]


def check_plates(site: Mapping[str, Any]) -> None:
    """Check that the observations of a site have the size of each plate that the site stands in.

    Along a plate's dimension the observations must have the plate's (subsample) size, or size 1, or no such dimension.

    :param site: a message or a site of a trace, of an observed sample.
    :raises ValueError: where the sizes differ, naming site, plate, dimension, and both sizes.
    """
    if not site["cond_indep_stack"] or not isinstance(site["fn"], Distribution):
        return
    batch_shape = _value_batch_shape(site)
    if batch_shape is None:
        return
    for frame in site["cond_indep_stack"]:
        if frame.dim is None or -frame.dim > len(batch_shape):
            continue
        found = batch_shape[frame.dim]
        if found not in (1, frame.size):
            raise ValueError(
                f"The observations of the site '{site['name']}' do not fit the plate '{frame.name}': along dimension "
                f"{frame.dim} the plate has size {frame.size}, but the observations, of shape "
                f"{np.shape(site['value'])}, have size {found} there. Give the plate the size of the data, or, where "
                f"it takes a subsample, observe the same subsample: index the data by the plate's indices "
                f"(`with numpyro.plate(...) as idx`) or call numpyro.subsample(data, event_dim="
                f"{site['fn'].event_dim})."
            )
