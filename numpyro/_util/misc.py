"""Keys, tracers, attribute paths, caches: tools of a few lines each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import jax
import numpy as np

T = TypeVar("T")

_UINT32 = np.dtype(np.uint32)
_RBG_IMPLEMENTATIONS = ("rbg", "unsafe_rbg")


def identity(x: T, *args: Any, **kwargs: Any) -> T:
    """Return ``x``, whatever else is passed."""
    return x


def is_prng_key(key: Any) -> bool:
    """Tell whether ``key`` is one JAX random key: a typed scalar key, or a raw ``uint32`` key.

    A raw key has the shape of JAX's default generator: ``(2,)``, or ``(4,)`` where ``jax_default_prng_impl`` is
    ``"rbg"`` or ``"unsafe_rbg"``. A batch of keys is not a key. Only shape and dtype are looked at, so tracers and
    ``jax.ShapeDtypeStruct`` will do.

    >>> is_prng_key(jax.random.key(0)), is_prng_key(jax.random.PRNGKey(0)), is_prng_key(0)
    (True, True, False)
    """
    dtype, shape = getattr(key, "dtype", None), getattr(key, "shape", None)
    if dtype is None or shape is None:
        return False
    if dtype == _UINT32:
        is_rbg = getattr(jax.config, "jax_default_prng_impl", None) in _RBG_IMPLEMENTATIONS
        return shape == ((4,) if is_rbg else (2,))
    return shape == () and jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key)


def not_jax_tracer(x: Any) -> bool:
    """Tell whether ``x`` is concrete, not a value under ``jit``, ``vmap``, ``grad`` or the like."""
    return not isinstance(x, jax.core.Tracer)


def nested_attrgetter(*collect_fields: str) -> Callable[[Any], Any]:
    """Return a function that reads fields of an object by dotted paths.

    Each step of a path is an attribute, or a key where the object has no such attribute.

    :param collect_fields: paths such as ``"z"`` or ``"adapt_state.step_size"``.
    :return: a function of one object, giving the field where there is one path, else the tuple of fields.
    :raises AttributeError: (``KeyError`` where the object is a mapping) when the function meets an object without
        the field.

    >>> nested_attrgetter("real", "real.imag")(3 + 4j)
    (3.0, 0.0)
    """
    paths = [field.split(".") for field in collect_fields]

    def get(obj: Any) -> Any:
        values = tuple(_follow(obj, path) for path in paths)
        return values[0] if len(values) == 1 else values

    return get


def _follow(obj: Any, path: list[str]) -> Any:
    value = obj
    for step in path:
        if hasattr(value, step):
            value = getattr(value, step)
        elif isinstance(value, Mapping):
            if step not in value:
                raise KeyError(f"no key '{step}' (of the path '{'.'.join(path)}'); the keys are {list(value)}.")
            value = value[step]
        else:
            known = getattr(value, "_fields", None) or [name for name in dir(value) if not name.startswith("_")]
            raise AttributeError(
                f"'{type(value).__name__}' has no field '{step}' (of the path '{'.'.join(path)}'); "
                f"the fields are {', '.join(known)}."
            )
    return value


def optional(condition: Any, context_manager: AbstractContextManager[T]) -> AbstractContextManager[T | None]:
    """Return ``context_manager`` where ``condition`` is true, else a context that does nothing."""
    return context_manager if condition else nullcontext()
