"""The statements of a model other than plates: sample, param, deterministic, factor, and their kin."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro.distributions.distribution import Distribution, Unit
from numpyro.primitives.checks import (
    as_obs_mask,
    as_sample_shape,
    check_distribution,
    check_key,
    check_name,
    check_plates,
)
from numpyro.primitives.stack import _PYRO_STACK, apply_stack, draw, request_key
from numpyro.util import identity


def sample(
    name: str,
    fn: Distribution,
    obs: Any = None,
    rng_key: jax.Array | None = None,
    sample_shape: tuple[int, ...] = (),
    infer: Mapping[str, Any] | None = None,
    obs_mask: Any = None,
) -> Any:
    """Declare a random variable, latent or observed, and return its value.

    Outside of all handlers it returns ``obs``, or else a draw with ``rng_key``.

    :param name: the name of the site, unique in the model.
    :param fn: the distribution, ours or one of ``tensorflow_probability.substrates.jax``.
    :param obs: the observed value, of shape ``fn.batch_shape + fn.event_shape`` or one that broadcasts with it;
        ``None`` (default) for a latent variable.
    :param rng_key: a random key to draw with; by default a ``seed`` handler provides one.
    :param sample_shape: shape of independent draws, put before the batch shape.
    :param infer: options for inference algorithms, such as ``{"enumerate": "parallel"}``.
    :param obs_mask: a boolean array that broadcasts with ``fn.batch_shape``, ``True`` where ``obs`` is observed. The
        variable then splits into the observed site ``{name}_observed`` and the latent site ``{name}_unobserved``, and
        ``name`` becomes a deterministic site that merges the two.
    :return: the value, of shape ``sample_shape + fn.batch_shape + fn.event_shape`` where it is drawn.
    :raises TypeError: if ``name`` is no string, ``fn`` no distribution, ``infer`` no dictionary, or ``sample_shape`` no
        tuple of integers.
    :raises ValueError: if there is neither a value nor a key to draw one, or shapes do not fit.

    >>> import numpyro, numpyro.distributions as dist
    >>> with numpyro.handlers.seed(rng_seed=0):
    ...     x = numpyro.sample("x", dist.Normal(0, 1), sample_shape=(3,))
    >>> x.shape
    (3,)
    """
    check_name(name, "sample")
    fn = check_distribution(name, fn)
    check_key(name, rng_key)
    if infer is not None and not isinstance(infer, Mapping):
        raise TypeError(f"infer of the site '{name}' must be a dictionary, but got {type(infer).__name__}.")
    if sample_shape != ():
        sample_shape = as_sample_shape(name, sample_shape)

    if obs_mask is not None:
        return _sample_partly_observed(name, fn, obs, rng_key, sample_shape, infer, obs_mask)
    if not _PYRO_STACK.handlers:
        return obs if obs is not None else draw(name, fn, rng_key=rng_key, sample_shape=sample_shape)

    msg = apply_stack(
        {
            "type": "sample",
            "name": name,
            "fn": fn,
            "args": (),
            "kwargs": {"rng_key": rng_key, "sample_shape": sample_shape},
            "value": obs,
            "scale": None,
            "is_observed": obs is not None,
            "intermediates": [],
            "cond_indep_stack": [],
            "infer": {} if infer is None else dict(infer),
        }
    )
    if msg["type"] == "sample" and msg["is_observed"]:
        check_plates(msg)
    return msg["value"]


def _sample_partly_observed(
    name: str,
    fn: Distribution,
    obs: Any,
    rng_key: Any,
    sample_shape: tuple[int, ...],
    infer: Mapping[str, Any] | None,
    obs_mask: Any,
) -> Any:
    """Split a variable into its observed and its unobserved part, each masked where the other one holds."""
    mask = as_obs_mask(name, fn, obs_mask)
    unobserved_mask: Any = not mask if isinstance(mask, bool) else ~mask
    observed_fn = fn if mask is True else fn.mask(mask)
    unobserved_fn = fn if unobserved_mask is True else fn.mask(unobserved_mask)
    observed = sample(f"{name}_observed", observed_fn, obs, rng_key, sample_shape, infer)
    unobserved = sample(f"{name}_unobserved", unobserved_fn, None, rng_key, sample_shape, infer)
    event_mask = np.reshape(mask, np.shape(mask) + (1,) * fn.event_dim) if fn.event_dim else mask
    return deterministic(name, jnp.where(event_mask, observed, unobserved))


def param(name: str, init_value: Any = None, **kwargs: Any) -> Any:
    """Declare a parameter that optimisation is to fit, and return its value.

    :param name: the name of the site.
    :param init_value: its initial value (any pytree), or a function of a random key that returns it. Outside of
        inference the value is the initial value.
    :param kwargs: ``constraint``, a constraint that the value keeps (default: real); ``event_dim``, the number of
        rightmost dimensions that belong to one event: where it is given, the dimensions left of it are those of the
        surrounding plates, and a plate that takes a subsample returns the parameter of that subsample.
    :return: the value of the parameter.
    :raises ValueError: if a callable ``init_value`` finds no ``seed`` handler around.

    >>> import numpyro, numpyro.distributions as dist
    >>> numpyro.param("scale", 1.0, constraint=dist.constraints.positive)
    1.0
    """
    check_name(name, "param")
    fn: Callable[..., Any]
    args: tuple[Any, ...]
    if callable(init_value):
        fn, args = functools.partial(_initialize, name, init_value), ()
    else:
        fn, args = identity, (init_value,)
    if not _PYRO_STACK.handlers:
        return fn(*args)
    msg: dict[str, Any] = {
        "type": "param",
        "name": name,
        "fn": fn,
        "args": args,
        "kwargs": kwargs,
        "value": None,
        "scale": None,
        "cond_indep_stack": [],
    }
    return apply_stack(msg)["value"]


def _initialize(name: str, init_value: Callable[[Any], Any], **kwargs: Any) -> Any:
    rng_key = request_key()
    if rng_key is None:
        raise UsageError(
            f"The param site '{name}' has a callable initial value, which needs a random key; run the model under a "
            "seed, as in numpyro.handlers.seed(model, rng_seed=0)(...)."
        )
    return init_value(rng_key)


def deterministic(name: str, value: Any) -> Any:
    """Record a value of the model under a name, so that traces and samples hold it.

    :param name: the name of the site.
    :param value: the value (any pytree).
    :return: the value.
    """
    check_name(name, "deterministic")
    if not _PYRO_STACK.handlers:
        return value
    msg = {"type": "deterministic", "name": name, "value": value, "cond_indep_stack": []}
    return apply_stack(msg)["value"]


def mutable(name: str, init_value: Any = None) -> Any:
    """Declare a value that the model itself changes from run to run, such as a moving average.

    :param name: the name of the site.
    :param init_value: its value (any pytree) where no handler holds one. A dictionary can be changed in place, and
        inference carries what it holds to the next run.
    :return: the current value.
    """
    check_name(name, "mutable")
    if not _PYRO_STACK.handlers:
        return init_value
    msg = {
        "type": "mutable",
        "name": name,
        "fn": identity,
        "args": (init_value,),
        "kwargs": {},
        "value": init_value,
    }
    return apply_stack(msg)["value"]


def factor(name: str, log_factor: Any) -> None:
    """Add ``log_factor`` to the log density of the model.

    :param name: the name of the site.
    :param log_factor: an array or scalar; inside plates it broadcasts as the density of a sample does.
    """
    check_name(name, "factor")
    if isinstance(log_factor, list | tuple):
        log_factor = jnp.asarray(log_factor)
    dtype = np.dtype(float) if isinstance(log_factor, bool | int | float) else getattr(log_factor, "dtype", None)
    if dtype is None or not (jnp.issubdtype(dtype, jnp.number) or dtype == np.bool_):
        raise TypeError(f"log_factor of the site '{name}' must be a number or an array of numbers, not {log_factor!r}.")
    nothing = np.empty((*np.shape(log_factor), 0), jnp.result_type(float))
    sample(name, Unit(log_factor), obs=nothing, infer={"is_auxiliary": True})


def prng_key() -> jax.Array | None:
    """Return a fresh random key from the surrounding ``seed`` handler.

    :return: a key of the kind that the seed handler was given; outside of handlers ``None``, with a warning.
    """
    if not _PYRO_STACK.handlers:
        warnings.warn("Cannot generate JAX PRNG key outside of `seed` handler.", stacklevel=2)
        return None
    return request_key()


def get_mask() -> Any:
    """Return the mask of the surrounding ``mask`` handlers.

    A model can use it to leave out expensive terms that are masked anyway.

    :return: ``None`` where there is no mask, else a bool or a boolean array: the conjunction of all masks.
    """
    return _mask(is_around_loops=True)


def get_mask_in_body() -> Any:
    """Return the mask of the ``mask`` handlers within the body of the loop that runs, leaving out those around it."""
    return _mask(is_around_loops=False)


def _mask(is_around_loops: bool) -> Any:
    if not _PYRO_STACK.handlers:
        return None
    msg = {"type": "inspect", "fn": lambda: True, "args": (), "kwargs": {}, "value": None, "mask": None}
    return apply_stack(msg | {"is_around_loops": is_around_loops})["mask"]


def subsample(data: Any, event_dim: int) -> Any:
    """Return the part of ``data`` that belongs to the subsamples of the surrounding plates.

    :param data: an array, or a pytree of arrays, whose dimensions left of the event dimensions are those of the plates.
    :param event_dim: the number of rightmost dimensions that belong to one event.
    :return: the data of the subsample; ``data`` itself where no plate takes a subsample.
    :raises ValueError: if a dimension of the data is neither 1 nor the size of its plate.

    >>> import numpy as np, numpyro
    >>> with numpyro.handlers.seed(rng_seed=0), numpyro.plate("N", 100, subsample_size=10):
    ...     batch = numpyro.subsample(np.zeros((100, 3)), event_dim=1)
    >>> batch.shape
    (10, 3)
    """
    if not _PYRO_STACK.handlers:
        return data
    if not isinstance(event_dim, int) or event_dim < 0:
        raise ValueError(f"event_dim of numpyro.subsample must be a non-negative integer, but got {event_dim!r}.")
    return apply_stack({"type": "subsample", "value": data, "kwargs": {"event_dim": event_dim}})["value"]


def module(
    name: str, nn: tuple[Callable[..., Any], Callable[..., Any]], input_shape: tuple[int, ...] | None = None
) -> Any:
    """Declare a neural network whose parameters are to be fitted: the param site ``{name}$params``.

    :param name: the name of the network.
    :param nn: a pair of functions as in ``jax.example_libraries.stax``: ``init_fun(rng_key, input_shape)``, which
        returns the output shape and the parameters, and ``apply_fun(params, inputs)``.
    :param input_shape: the shape of the inputs, needed to initialise the parameters.
    :return: ``apply_fun`` with the parameters filled in, a ``functools.partial``.
    :raises TypeError: if ``nn`` is not a pair of functions.
    :raises ValueError: if the parameters have no value yet and ``input_shape`` or a seed handler is missing.
    """
    check_name(name, "module")
    if not isinstance(nn, tuple | list) or len(nn) != 2 or not all(callable(part) for part in nn):
        raise TypeError(
            f"nn of the module '{name}' must be a pair of functions (init_fun, apply_fun), but got {type(nn).__name__}."
        )
    init_fun, apply_fun = nn

    def init_params(rng_key: jax.Array) -> Any:
        if input_shape is None:
            raise ValueError(f"Valid value for `input_shape` needed to initialize the module '{name}'.")
        return init_fun(rng_key, input_shape)[1]

    return functools.partial(apply_fun, param(f"{name}$params", init_params))
