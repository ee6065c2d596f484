"""Modules of Flax NNX."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax

from numpyro._typing import PyTree
from numpyro.contrib.module.parameters import Prior, dotted, param_site, random_sites
from numpyro.primitives import mutable


def nnx_module(name: str, nn_module: Any) -> Callable:
    """A Flax NNX module whose parameters are fitted, as the param site ``{name}$params``.

    :param name: the name of the module.
    :param nn_module: an ``nnx.Module``, whose own parameters are the first values. It is not changed: what it changes
        as it runs (statistics of batches, counters of random keys) is the mutable site ``{name}$state``.
    :return: a function of the inputs of the module.
    :raises TypeError: if ``nn_module`` is no such module, but its class, say.

    .. code-block:: python

        net = nnx.Linear(3, 1, rngs=nnx.Rngs(0))

        def model(x, y):
            mean = nnx_module("net", net)(x)[:, 0]
            numpyro.sample("y", dist.Normal(mean, 1.0), obs=y)
    """
    return _nnx(name, nn_module, partial(param_site, name))


def random_nnx_module(name: str, nn_module: Any, prior: Prior, scope_divider: str = "/") -> Callable:
    """A Flax NNX module whose parameters have priors: the sample sites ``{name}/{path}``, as ``net/layers.0.kernel``.

    :param name: the name of the module.
    :param nn_module: see :func:`nnx_module`.
    :param prior: one distribution for all arrays, a dictionary ``{"layers.0.kernel": ...}`` of distributions, or a
        function of a name and a shape that returns one. Arrays without a prior are fitted, as in :func:`nnx_module`.
    :param scope_divider: what stands between ``name`` and the path.
    :return: a function of the inputs of the module, with the sampled parameters.
    """
    return _nnx(
        name, nn_module, lambda first: random_sites(name, first, prior, naming=dotted, scope_divider=scope_divider)
    )


def _nnx(name: str, nn_module: Any, declare: Callable[[PyTree], PyTree]) -> Callable:
    from flax import nnx

    if not isinstance(nn_module, nnx.Module):
        raise TypeError(f"The module '{name}' must be an nnx.Module, such as nnx.Linear(...), got {nn_module!r}.")
    parts: Any = nnx.split(nn_module, nnx.Param, ...)
    graph, variables, rest = parts
    params = declare(nnx.to_pure_dict(variables))
    state = nnx.to_pure_dict(rest)
    holder = mutable(f"{name}$state", {"state": state}) if jax.tree.leaves(state) else None

    def apply(params: PyTree, *args: Any, **kwargs: Any) -> Any:
        filled, others = (jax.tree.map(lambda leaf: leaf, part) for part in (variables, rest))  # parts of their own
        nnx.replace_by_pure_dict(filled, params)
        if holder is not None:
            nnx.replace_by_pure_dict(others, holder["state"])
        module = nnx.merge(graph, filled, others)
        out = module(*args, **kwargs)
        if holder is not None:
            holder["state"] = nnx.to_pure_dict(nnx.state(module, nnx.Not(nnx.Param)))
        return out

    return partial(apply, params)


for _function in (nnx_module, random_nnx_module):
    _function.__module__ = "numpyro.contrib.module"
