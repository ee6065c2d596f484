"""Values made of declared fields, which constraints and transforms are.

A record names its fields once. From these names it is a pytree (data fields are children, auxiliary ones static),
compares with other records, and prints itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np


class Record:
    """A value described by its fields: a pytree that compares by value.

    A subclass lists the names of its attributes in :attr:`pytree_data_fields` (arrays or records, which JAX may trace)
    and :attr:`pytree_aux_fields` (static). Alternatively it overrides :meth:`tree_flatten` so that it returns
    ``(values, (names, static))``, with one name for every value and a dictionary of static attributes.
    """

    pytree_data_fields: ClassVar[tuple[str, ...]] = ()
    pytree_aux_fields: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        jax.tree_util.register_pytree_node(cls, _flatten, cls.tree_unflatten)

    def tree_flatten(self) -> tuple[tuple[Any, ...], tuple[tuple[str, ...], dict[str, Any]]]:
        """Return the values of the data fields, and with them their names and the static fields.

        :raises NotImplementedError: when the instance has attributes but its class declares none of them.
        """
        names, static = self.pytree_data_fields, self.pytree_aux_fields
        if not names and not static and _undeclared(self):
            raise NotImplementedError(
                f"{type(self).__name__} has the attributes {_undeclared(self)}, but does not say which of them JAX may"
                " trace: list these in the class attribute pytree_data_fields and the static ones in pytree_aux_fields,"
                " or define tree_flatten."
            )
        return tuple(getattr(self, name) for name in names), (names, {name: getattr(self, name) for name in static})

    @classmethod
    def tree_unflatten(cls, aux_data: tuple[Sequence[str], dict[str, Any]], params: Sequence[Any]) -> Self:
        """Rebuild a record from what :meth:`tree_flatten` returned, without calling ``__init__``."""
        names, static = aux_data
        record = cls.__new__(cls)
        for name, value in (*zip(names, params, strict=True), *static.items()):
            setattr(record, name, value)
        return record

    def eq(self, other: object, static: bool = False) -> Any:
        """Say whether ``other`` is of the same class, with fields of the same value.

        :param other: anything.
        :param static: whether the answer must be a Python ``bool``; a traced field then equals only itself. Otherwise
            fields may be broadcast, and the answer is a traced boolean where it depends on a traced value.
        """
        if self is other:
            return True
        if type(self) is not type(other):
            return False
        names = (*self.pytree_data_fields, *self.pytree_aux_fields)
        return same([getattr(self, n) for n in names], [getattr(other, n) for n in names], static)

    def __eq__(self, other: object) -> bool:
        return bool(self.eq(other, static=True))

    __hash__ = None  # type: ignore[assignment]  # fields may be arrays

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value}" for name, value in vars(self).items() if not name.startswith("_"))
        return f"{type(self).__name__.lstrip('_')}({fields})"


def same(a: Any, b: Any, static: bool) -> Any:
    """Compare two fields by value: records, sequences, arrays, traced or not, or any other objects."""
    if a is b:
        return True
    if isinstance(a, Record):
        return a.eq(b, static=static)
    if isinstance(a, tuple | list) and isinstance(b, tuple | list):
        return len(a) == len(b) and _all_same(a, b, static)
    if isinstance(a, jax.core.Tracer) or isinstance(b, jax.core.Tracer):
        return False if static else jnp.array_equiv(a, b)
    if isinstance(a, jax.Array | np.ndarray) or isinstance(b, jax.Array | np.ndarray):
        return bool((np.array_equal if static else np.array_equiv)(np.asarray(a), np.asarray(b)))
    return bool(a == b)


def _all_same(a: Sequence[Any], b: Sequence[Any], static: bool) -> Any:
    result: Any = True
    for x, y in zip(a, b, strict=True):
        equal = same(x, y, static)
        if equal is False:
            return False
        result = equal if result is True else result & equal
    return result


def _flatten(record: Record) -> tuple[tuple[Any, ...], tuple[tuple[str, ...], dict[str, Any]]]:
    return record.tree_flatten()


def _undeclared(record: Record) -> list[str]:
    return [name for name in vars(record) if not name.startswith("_")]
