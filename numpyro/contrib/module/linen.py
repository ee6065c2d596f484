"""Modules of Flax Linen, and the pieces that all packages with ``init`` and ``apply`` share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from numpyro._errors import UsageError
from numpyro._typing import Key, PyTree, Shape
from numpyro.contrib.module.parameters import Init, Prior, dotted, init_site, random_sites
from numpyro.primitives import mutable as mutable_site
from numpyro.primitives import prng_key

Declare = Callable[[Init, Callable[[], PyTree]], PyTree]
"""Makes the sites of parameters from a function that draws their first values, and one that tells their shapes."""


def flax_module(
    name: str,
    nn_module: Any,
    *args: Any,
    input_shape: Shape | None = None,
    apply_rng: Sequence[str] | None = None,
    mutable: Sequence[str] | None = None,
    **kwargs: Any,
) -> Callable:
    """A Flax Linen module whose parameters are fitted, as the param site ``{name}$params``.

    :param name: the name of the module.
    :param nn_module: a ``flax.linen.Module``.
    :param args: inputs to initialise it with.
    :param input_shape: the shape of an input of ones, in place of ``args``.
    :param apply_rng: kinds of random keys that the module uses, such as ``["dropout"]``. At each call they are given as
        ``rngs={"dropout": key}``.
    :param mutable: collections that the module changes, such as ``["batch_stats"]``: the mutable site ``{name}$state``.
    :param kwargs: keyword inputs to initialise it with.
    :return: a function of the inputs of the module.
    :raises ValueError: (and ``AssertionError``) where ``apply_rng`` or ``mutable`` is no list of names, or the module
        has no such collections.

    .. code-block:: python

        def model(x, y):
            net = flax_module("net", flax.linen.Dense(1), input_shape=x.shape)
            numpyro.sample("y", dist.Normal(net(x)[:, 0], 1.0), obs=y)
    """
    return _linen(name, nn_module, args, input_shape, apply_rng, mutable, kwargs, fitted(name))


def random_flax_module(
    name: str,
    nn_module: Any,
    prior: Prior,
    *args: Any,
    input_shape: Shape | None = None,
    apply_rng: Sequence[str] | None = None,
    mutable: Sequence[str] | None = None,
    **kwargs: Any,
) -> Callable:
    """A Flax Linen module whose parameters have priors: the sample sites ``{name}/{path}``, as ``net/Dense_0.kernel``.

    :param name: the name of the module.
    :param nn_module: a ``flax.linen.Module``.
    :param prior: one distribution for all arrays, a dictionary ``{"Dense_0.kernel": ...}`` of distributions, or a
        function of a name and a shape that returns one. Arrays without a prior are fitted, as in :func:`flax_module`.
    :param args: see :func:`flax_module`.
    :param input_shape: see :func:`flax_module`.
    :param apply_rng: see :func:`flax_module`.
    :param mutable: see :func:`flax_module`.
    :param kwargs: see :func:`flax_module`.
    :return: a function of the inputs of the module, with the sampled parameters.

    .. code-block:: python

        def model(x, y):
            net = random_flax_module("net", Net(), {"Dense_0.kernel": dist.Normal()}, input_shape=x.shape)
            numpyro.sample("y", dist.Normal(net(x)[:, 0], 0.1), obs=y)
    """
    return _linen(name, nn_module, args, input_shape, apply_rng, mutable, kwargs, sampled(name, prior))


def _linen(
    name: str,
    nn_module: Any,
    args: tuple,
    input_shape: Shape | None,
    apply_rng: Sequence[str] | None,
    mutable: Sequence[str] | None,
    kwargs: dict[str, Any],
    declare: Declare,
) -> Callable:
    kinds = _names(name, "apply_rng", apply_rng)
    collections = _names(name, "mutable", mutable)
    args = example(args, input_shape)

    def init(rng_key: Key) -> tuple[PyTree, dict[str, PyTree]]:
        keys = jax.random.split(rng_key, 1 + len(kinds))
        variables = dict(nn_module.init(dict(zip(("params", *kinds), keys)), *args, **kwargs))
        missing = sorted(set(collections) - set(variables))
        if missing:
            raise UsageError(
                f"`mutable` of the module '{name}' names collections that it does not have: {missing}; it has "
                f"{sorted(set(variables) - {'params'})}."
            )
        return plain(variables.get("params", {})), {kind: plain(variables[kind]) for kind in collections}

    params, state = init_sites(name, init, declare, bool(collections))
    if state is None:
        return partial(lambda params, *args, **kwargs: nn_module.apply({"params": params}, *args, **kwargs), params)

    def apply(params: PyTree, *args: Any, **kwargs: Any) -> Any:
        kwargs.setdefault("mutable", list(collections))
        out = nn_module.apply({"params": params, **state}, *args, **kwargs)
        if kwargs["mutable"] is False:
            return out
        out, changed = out
        state.update(plain(changed))
        return out

    return partial(apply, params)


def fitted(name: str) -> Declare:
    """Parameters in a param site."""
    return lambda init, shapes: init_site(name, init)


def sampled(name: str, prior: Prior) -> Declare:
    """Parameters in sample sites where they have priors."""
    return lambda init, shapes: random_sites(name, shapes(), prior, naming=dotted, init=init)


def example(args: tuple, input_shape: Shape | None) -> tuple:
    """The inputs to initialise a module with."""
    return args if input_shape is None else (jnp.ones(input_shape), *args)


def init_sites(
    name: str, init: Callable[[Key], tuple[PyTree, PyTree]], declare: Declare, has_state: bool
) -> tuple[PyTree, Any]:
    """The parameters and the state of a module, as sites.

    :param init: a function of a key that returns the first parameters and the first state.
    :param declare: makes the sites of parameters.
    :return: the parameters, and the state or ``None``.
    """
    states: list[PyTree] = []

    def init_params(rng_key: Key) -> PyTree:
        params, state = init(rng_key)
        states.append(state)
        return params

    params = declare(init_params, lambda: jax.eval_shape(lambda key: init(key)[0], jax.random.key(0)))
    if not has_state:
        return params, None
    if not states:  # no parameters were drawn, but the state may have to be
        rng_key = prng_key()
        init_params(jax.random.key(0) if rng_key is None else rng_key)
    return params, mutable_site(f"{name}$state", states[-1])


def plain(tree: Any) -> Any:
    """Mappings of any kind, nested, as dictionaries."""
    return {key: plain(value) for key, value in tree.items()} if isinstance(tree, Mapping) else tree


def _names(module: str, argument: str, names: Sequence[str] | None) -> tuple[str, ...]:
    if names is None:
        return ()
    if not isinstance(names, (list, tuple)) or not all(isinstance(item, str) for item in names):
        raise UsageError(f"`{argument}` of the module '{module}' must be a list of names, got {names!r}.")
    return tuple(names)


for _function in (flax_module, random_flax_module):
    _function.__module__ = "numpyro.contrib.module"
