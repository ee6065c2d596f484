"""A small cache of functions that lives with the function or object that makes them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

_MAX_CACHED = 8
_LOCK = threading.Lock()


def cached_by(outer_fn: Any, *keys: Hashable) -> Callable[[Function], Function]:
    """Decorate an inner function so that ``outer_fn`` makes it once for each value of ``keys``.

    A closure is a new object each time that it is defined, and ``jax.jit`` compiles each anew. Decorated, the closure
    first defined under the same name and keys is used again. The eight used last are kept, on ``outer_fn`` itself.

    :param outer_fn: a function or object that takes attributes; the cache is its attribute ``_cache``.
    :param keys: hashable values, all that the inner function depends on.
    :return: a decorator, giving the function cached under ``keys`` and the decorated function's name.
    :raises TypeError: when a key is not hashable.

    >>> def make_adder(n):
    ...     @cached_by(make_adder, n)
    ...     def add(x):
    ...         return x + n
    ...
    ...     return add
    >>> make_adder(1) is make_adder(1), make_adder(1) is make_adder(2)
    (True, False)
    """

    def decorate(fn: Function) -> Function:
        key = (*keys, fn.__name__)
        with _LOCK:
            if not hasattr(outer_fn, "_cache"):
                outer_fn._cache = OrderedDict()
            cache = outer_fn._cache
            if key in cache:
                cache.move_to_end(key)
                return cache[key]
            cache[key] = fn
            if len(cache) > _MAX_CACHED:
                cache.popitem(last=False)
            return fn

    return decorate
