"""Values of discrete latent sites given all others, by exact enumeration."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax

from numpyro._errors import UsageError
from numpyro._typing import Array, Key
from numpyro.enumeration import conditional_values, enum, marginal_problem
from numpyro.handlers import block, infer_config, seed, substitute, trace
from numpyro.infer.model.density import Prototype, is_latent
from numpyro.infer.model.evaluate import mark_enumerable
from numpyro.primitives.stack import request_key


def infer_discrete(
    fn: Callable | None = None,
    first_available_dim: int | None = None,
    temperature: int = 1,
    rng_key: Key | None = None,
) -> Callable:
    """Run a model with its enumerated sites at values from their distribution given all other sites.

    Sites marked ``infer={"enumerate": "parallel"}`` get a draw from :math:`p(z \\mid x, \\theta)`, where :math:`x` are
    the observed and :math:`\\theta` the other latent sites, or the most probable values together.

    :param fn: the model; ``None`` to use the function as a decorator.
    :param first_available_dim: the first dimension, negative, that no plate takes, ``-1 - max_plate_nesting``; by
        default it is found by a run of the model.
    :param temperature: 1 for a draw, 0 for the most probable values (the joint mode).
    :param rng_key: a key for the draw; by default one of a surrounding ``seed`` handler. The key also serves other
        latent sites that have no value.
    :return: a function with the arguments of the model.
    :raises ValueError: if ``temperature`` is neither 0 nor 1, or there is no key for a draw.

    >>> import jax, numpyro, numpyro.distributions as dist
    >>> def model():
    ...     z = numpyro.sample("z", dist.Categorical(np.array([0.4, 0.6])), infer={"enumerate": "parallel"})
    ...     numpyro.sample("x", dist.Normal(z, 0.1), obs=0.1)
    ...     return z
    >>> import numpy as np
    >>> int(infer_discrete(model, first_available_dim=-1, temperature=0)())
    0
    """
    if fn is None:
        return functools.partial(
            infer_discrete, first_available_dim=first_available_dim, temperature=temperature, rng_key=rng_key
        )
    if temperature not in (0, 1):
        raise UsageError(
            f"temperature of infer_discrete must be 1, for a draw, or 0, for the most probable values, but got "
            f"{temperature!r}."
        )

    @functools.wraps(fn)
    def inferred(*args: Any, **kwargs: Any) -> Any:
        key = request_key() if rng_key is None else rng_key
        if key is None and temperature == 1:
            raise UsageError(
                "infer_discrete(temperature=1) draws values and needs a random key: give it rng_key=jax.random.key(0), "
                "or run the model under numpyro.handlers.seed."
            )
        values = discrete_values(
            fn, args, kwargs, key, first_available_dim=first_available_dim, is_draw=temperature == 1
        )
        with substitute(data=values):
            return fn(*args, **kwargs)

    return inferred


def discrete_values(
    model: Callable,
    args: tuple,
    kwargs: Mapping[str, Any],
    rng_key: Key | None,
    *,
    first_available_dim: int | None = None,
    is_draw: bool = True,
    mark: bool = False,
) -> dict[str, Array]:
    """Values of all latent sites of a model: those that have one keep it, enumerated sites get one given the others.

    :param rng_key: a key for draws, of latent sites that have no value as well.
    :param is_draw: draw; otherwise take the most probable values.
    :param mark: enumerate all discrete latent sites of finite support, whether they are marked or not.
    """
    model_key, draw_key = (None, None) if rng_key is None else jax.random.split(rng_key)
    if mark:
        model = infer_config(model, config_fn=mark_enumerable)
    if model_key is not None:
        model = seed(model, model_key)
    with block():
        if first_available_dim is None:
            first_available_dim = find_first_available_dim(model, args, kwargs)
        with trace() as model_trace, enum(first_available_dim=first_available_dim):
            model(*args, **kwargs)
        discrete = conditional_values(model_trace, marginal_problem(model_trace), draw_key if is_draw else None)
    latent = {name: site["value"] for name, site in model_trace.items() if is_latent(site)}
    return latent | discrete


def find_first_available_dim(model: Callable, args: tuple, kwargs: Mapping[str, Any]) -> int:
    """The first dimension to the left of all batch dimensions of a model."""

    def run() -> None:
        with block(), trace() as model_trace, seed(rng_seed=jax.random.key(0)), Prototype():
            model(*args, **kwargs)
        found.append(max((len(s["fn"].batch_shape) for s in model_trace.values() if s["type"] == "sample"), default=0))

    found: list[int] = []
    try:
        jax.eval_shape(run)
    except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError):
        run()  # the model needs concrete values
    return -1 - found[0]


infer_discrete.__module__ = "numpyro.contrib.funsor.discrete"
