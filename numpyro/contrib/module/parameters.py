"""A pytree of parameters as sites of a model: cut into named arrays, sampled where there are priors, put together."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from numpyro._typing import Key, PyTree, Shape
from numpyro.distributions import Distribution
from numpyro.distributions.foreign import as_distribution
from numpyro.handlers import substitute
from numpyro.primitives import param, sample
from numpyro.util import find_stack_level

Prior = Distribution | Mapping[str, Distribution] | Callable[[str, Shape], Distribution | None]
"""One distribution for all arrays, distributions by name, or a function of a name and a shape."""
Naming = Callable[[tuple], str]
Init = Callable[[Key], PyTree]


@jax.tree_util.register_static
@dataclass(frozen=True)
class ParamShape:
    """The place of an array that is sampled, in the param site of a random module; a pytree without leaves.

    :param shape: the shape of the array.
    """

    shape: Shape = ()


ParamShape.__module__ = "numpyro.contrib.module"


def is_place(node: Any) -> bool:
    """Whether a node of a pytree stands for an array that is sampled."""
    return isinstance(node, ParamShape)


def dotted(path: tuple) -> str:
    """The name of a leaf of nested dictionaries: the keys on the way to it, joined by dots."""
    return ".".join(str(getattr(key, "key", getattr(key, "name", key))) for key in path)


def attribute_path(path: tuple) -> str:
    """The name of a leaf of an object: the expression that leads to it, ``layers[0].weight``."""
    return jax.tree_util.keystr(path).removeprefix(".")


def param_site(name: str, values: PyTree) -> PyTree:
    """The param site of a network whose first parameters are known.

    :param name: the name of the network.
    :param values: the first values.
    """
    site = f"{name}$params"
    # A pytree may be callable itself, which `param` would take for a function that initialises.
    with substitute(data={site: values}):
        return param(site, values)


def init_site(name: str, init: Init) -> PyTree:
    """The param site of a network whose first parameters are drawn.

    :param name: the name of the network.
    :param init: a function of a key that returns the first values.
    """
    return param(f"{name}$params", init)


def random_sites(
    name: str, first: PyTree, prior: Prior, *, naming: Naming, init: Init | None = None, scope_divider: str = "/"
) -> PyTree:
    """The sites of a network whose parameters have priors: its param site, and a sample site for each prior.

    :param name: the name of the network.
    :param first: the first values of parameters, or their shapes where there is an ``init``.
    :param prior: priors; an array without one stays in the param site.
    :param naming: the name of an array by its path.
    :param init: a function of a key that returns the first values. It is called where some array has no prior.
    :param scope_divider: what stands between ``name`` and the names of arrays.
    :return: the parameters, arrays throughout.
    """
    priors = _Priors(name, prior)

    def places(params: PyTree) -> PyTree:
        """The parameters, with places in the stead of arrays that have priors."""

        def place(path: tuple, leaf: Any) -> Any:
            return leaf if priors.of(naming(path), np.shape(leaf)) is None else ParamShape(tuple(np.shape(leaf)))

        return jax.tree_util.tree_map_with_path(place, params)

    marked = places(first)
    priors.check_names([naming(path) for path, _ in jax.tree_util.tree_leaves_with_path(first)])
    if init is None or not jax.tree.leaves(marked):
        declared = param_site(name, marked)
    else:
        declared = init_site(name, lambda rng_key: places(init(rng_key)))

    def draw(path: tuple, node: Any) -> Any:
        leaf_name, shape = naming(path), tuple(node.shape if is_place(node) else np.shape(node))
        fn = priors.of(leaf_name, shape)
        return node if fn is None else sample(f"{name}{scope_divider}{leaf_name}", fn)

    return jax.tree_util.tree_map_with_path(draw, declared, is_leaf=is_place)


class _Priors:
    """Priors by the names and shapes of arrays, each asked for once.

    :raises TypeError: for what is no prior, naming the module.
    """

    def __init__(self, module: str, prior: Prior) -> None:
        prior = as_distribution(prior) or prior
        if not isinstance(prior, (Distribution, Mapping)) and not callable(prior):
            raise TypeError(
                f"`prior` of the module '{module}' must be a distribution, a dictionary of distributions by the names "
                f"of parameters, or a function of a name and a shape; got {type(prior).__name__}."
            )
        self._module, self._prior = module, prior
        self._known: dict[str, Distribution | None] = {}

    def of(self, name: str, shape: Shape) -> Distribution | None:
        """The distribution of an array, or ``None`` where it has no prior."""
        if name not in self._known:
            self._known[name] = self._find(name, tuple(shape))
        return self._known[name]

    def _find(self, name: str, shape: Shape) -> Distribution | None:
        prior = self._prior
        if isinstance(prior, Mapping):
            fn = prior.get(name)
        elif isinstance(prior, Distribution):
            fn = prior
        else:
            fn = prior(name, shape)
        if fn is None:
            return None
        given, fn = fn, as_distribution(fn)
        if fn is None:
            raise TypeError(
                f"The prior of the parameter '{name}' of the module '{self._module}' must be a distribution, got "
                f"{type(given).__name__}."
            )
        batch_shape = shape[: len(shape) - fn.event_dim]
        if fn.event_dim > len(shape) or (fn.event_dim and fn.event_shape != shape[len(shape) - fn.event_dim :]):
            raise ValueError(
                f"The prior of the parameter '{name}' of the module '{self._module}' has event shape {fn.event_shape}, "
                f"which does not fit the shape {shape} of the parameter."
            )
        return fn.expand(batch_shape).to_event(len(batch_shape)) if batch_shape else fn

    def check_names(self, names: list[str]) -> None:
        """Warn of priors by names that no parameter has."""
        unknown = sorted(set(self._prior) - set(names)) if isinstance(self._prior, Mapping) else []
        if unknown:
            warnings.warn(
                f"The module '{self._module}' has no parameters {unknown}, which `prior` names: its parameters are "
                f"{sorted(names)}.",
                UserWarning,
                stacklevel=find_stack_level(),
            )
