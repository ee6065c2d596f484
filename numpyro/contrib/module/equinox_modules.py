"""Modules of Equinox, which are pytrees themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax

from numpyro._typing import PyTree
from numpyro.contrib.module.parameters import Prior, attribute_path, param_site, random_sites


def eqx_module(name: str, nn_module: Any) -> Any:
    """An Equinox module whose parameters are fitted, as the param site ``{name}$params``.

    :param name: the name of the module.
    :param nn_module: an ``equinox.Module``. Its arrays of floating point are the first values.
    :return: the module, with the values of the param site.

    What a module changes as it runs is an ``equinox.nn.State`` of its own: keep it in a ``numpyro.mutable`` site.

    .. code-block:: python

        def model(x, y):
            net = eqx_module("net", eqx.nn.Linear(3, 1, key=jax.random.key(0)))
            numpyro.sample("y", dist.Normal(jax.vmap(net)(x)[:, 0], 1.0), obs=y)
    """
    return _equinox(nn_module, lambda first: param_site(name, first))


def random_eqx_module(name: str, nn_module: Any, prior: Prior, scope_divider: str = "/") -> Any:
    """An Equinox module whose parameters have priors: the sample sites ``{name}/{path}``, as ``net/layers[0].weight``.

    :param name: the name of the module.
    :param nn_module: see :func:`eqx_module`.
    :param prior: one distribution for all arrays, a dictionary ``{"layers[0].weight": ...}`` of distributions, or a
        function of a name and a shape that returns one. Arrays without a prior are fitted, as in :func:`eqx_module`.
    :param scope_divider: what stands between ``name`` and the path.
    :return: the module, with the sampled parameters.
    """

    def declare(first: PyTree) -> PyTree:
        return random_sites(name, first, prior, naming=attribute_path, scope_divider=scope_divider)

    return _equinox(nn_module, declare)


def _equinox(nn_module: Any, declare: Callable[[PyTree], PyTree]) -> Any:
    import equinox

    params, others = equinox.partition(nn_module, equinox.is_inexact_array)
    return equinox.combine(declare(params), others)


def eqx_to_dict(tree: PyTree) -> dict[str, Any]:
    """The arrays of an Equinox module (or of any pytree) by their paths, such as ``layers[0].weight``.

    :param tree: a pytree of arrays, such as ``eqx.filter(module, eqx.is_array)``.
    """
    return {attribute_path(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def eqx_from_dict(data: Mapping[str, Any], tree: PyTree) -> PyTree:
    """The inverse of :func:`eqx_to_dict`.

    :param data: arrays by their paths.
    :param tree: a pytree of the structure that comes back.
    :raises KeyError: naming the paths that ``data`` does not have.
    """
    paths = [attribute_path(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]
    missing = [path for path in paths if path not in data]
    if missing:
        raise KeyError(f"`data` has no arrays for {missing}; it has {sorted(data)}.")
    return jax.tree.unflatten(jax.tree.structure(tree), [data[path] for path in paths])


for _function in (eqx_from_dict, eqx_module, eqx_to_dict, random_eqx_module):
    _function.__module__ = "numpyro.contrib.module"
