"""A trace as a pytree, so that it can leave a compiled function or stand in a loop's carry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

_NUMERIC = (jax.Array, np.ndarray, np.generic, bool, int, float, complex)
# The keys of a message that may hold arrays. Plates are described by integers, which have to stay integers.
_DYNAMIC_KEYS = ("args", "fn", "intermediates", "kwargs", "mask", "scale", "value")


class Static:
    """What is fixed about the sites of a trace: equal if its items are, found by the names and types of the sites."""

    def __init__(self, sites: dict[str, dict[str, Any]], kwargs: dict[str, dict[str, Any]]) -> None:
        self.sites = sites
        self.kwargs = kwargs

    def __hash__(self) -> int:
        return hash(tuple((name, site.get("type")) for name, site in self.sites.items()))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Static)
            and list(self.sites) == list(other.sites)
            and _same(self.sites, other.sites)
            and _same(self.kwargs, other.kwargs)
        )

    def __repr__(self) -> str:
        return f"Static({', '.join(self.sites)})"


@jax.tree_util.register_pytree_node_class
class PytreeTrace:
    """A trace whose arrays are the leaves of a pytree.

    Leaves are the arrays in a site's ``value``, ``fn`` (a distribution's parameters), ``args``, ``kwargs``, ``scale``,
    ``mask`` and ``intermediates``; names, types, plates and everything that is no array belong to the structure. The
    order of sites is kept.

    :param trace: a dictionary of sites, as ``handlers.trace(fn).get_trace()`` returns; found again as ``.trace``. Sites
        that went through flattening carry ``_control_flow_done=True``: handlers see to it that such a site, sent
        again from outside of a loop, is not processed as a new one.

    >>> trace = {"x": {"type": "sample", "name": "x", "value": np.ones(2), "infer": {}}}
    >>> jax.tree.map(lambda x: 2 * x, PytreeTrace(trace)).trace["x"]["value"]
    array([2., 2.])
    """

    def __init__(self, trace: dict[str, dict[str, Any]]) -> None:
        self.trace = trace

    def tree_flatten(self) -> tuple[tuple[dict[str, Any], ...], Static]:
        """Return the arrays of each site, and all else as the structure."""
        arrays: list[dict[str, Any]] = []
        sites: dict[str, dict[str, Any]] = {}
        static_kwargs: dict[str, dict[str, Any]] = {}
        for name, site in self.trace.items():
            dynamic = {key: site[key] for key in _DYNAMIC_KEYS if key in site and _is_dynamic(site, key)}
            if "kwargs" in site:
                kwargs = site["kwargs"]
                dynamic["kwargs"] = {key: value for key, value in kwargs.items() if _holds_arrays(value)}
                static_kwargs[name] = {key: value for key, value in kwargs.items() if not _holds_arrays(value)}
            static = {key: value for key, value in site.items() if key not in dynamic}
            sites[name] = {**static, "_control_flow_done": True}
            arrays.append(dynamic)
        return tuple(arrays), Static(sites, static_kwargs)

    @classmethod
    def tree_unflatten(cls, aux_data: Static, children: tuple[dict[str, Any], ...]) -> PytreeTrace:
        """Put arrays and structure together again."""
        trace = {}
        for (name, static), dynamic in zip(aux_data.sites.items(), children):
            trace[name] = {**static, **dynamic}
            if name in aux_data.kwargs:
                trace[name]["kwargs"] = {**aux_data.kwargs[name], **dynamic.get("kwargs", {})}
        return cls(trace)


def _is_dynamic(site: Mapping[str, Any], key: str) -> bool:
    value = site[key]
    if key == "kwargs":  # divided into arrays and the rest
        return True
    if key == "fn" and site.get("type") != "sample":
        return False
    if key == "args" and site.get("type") == "plate":
        return False
    return all(isinstance(leaf, _NUMERIC) for leaf in jax.tree.leaves(value))


def _holds_arrays(value: Any) -> bool:
    leaves = jax.tree.leaves(value)
    return all(isinstance(leaf, _NUMERIC) for leaf in leaves) and any(
        isinstance(leaf, (jax.Array, np.ndarray)) for leaf in leaves
    )


def _same(a: Any, b: Any) -> bool:
    """Equality of nested containers, in which arrays are compared by identity or by value."""
    if a is b:
        return True
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, (jax.core.Tracer, jax.Array, np.ndarray)) or isinstance(b, (jax.Array, np.ndarray)):
        concrete = not isinstance(a, jax.core.Tracer) and not isinstance(b, jax.core.Tracer)
        return concrete and np.array_equal(a, b)
    return bool(a == b)
