"""``lazy_property``: a quantity that a distribution computes when it is first asked for, and then keeps."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax


class lazy_property:
    """A read-only attribute computed by ``wrapped`` at its first use and kept in the instance's ``__dict__``.

    What is computed inside a JAX transformation (a tracer) is not kept: it would outlive its trace. The compiler merges
    the repeated computations.

    :param wrapped: a method without arguments.

    >>> class Circle:
    ...     def __init__(self, radius): self.radius = radius
    ...     @lazy_property
    ...     def area(self): return 3.14 * self.radius**2
    >>> Circle(2.0).area
    12.56
    """

    __module__ = "numpyro.distributions.util"

    def __init__(self, wrapped: Callable[[Any], Any]) -> None:
        self.wrapped = wrapped
        functools.update_wrapper(self, wrapped)  # type: ignore[arg-type]

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:  # asked of the class, say by `hasattr`
            return self
        value = self.wrapped(instance)
        if not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree_util.tree_leaves(value)):
            instance.__dict__[self.wrapped.__name__] = value
        return value

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the value anew, on the instance given."""
        return self.wrapped(*args, **kwargs)
