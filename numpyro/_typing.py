"""Types that the whole library shares: arrays, keys, pytrees and the messages of effect handlers.

A *message* is the dictionary that a primitive (``sample``, ``param``, ``plate``, ...) sends through the handler stack.
It stays a plain ``dict`` because users' own handlers index it; every key that any handler may rely on is declared here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias, TypedDict

import jax
import numpy as np

Array: TypeAlias = jax.Array
ArrayLike: TypeAlias = jax.typing.ArrayLike
Key: TypeAlias = jax.Array
PyTree: TypeAlias = Any
Shape: TypeAlias = tuple[int, ...]
NumpyArray: TypeAlias = np.ndarray

MessageType: TypeAlias = Literal[
    "sample", "param", "plate", "deterministic", "mutable", "prng_key", "subsample", "inspect", "control_flow"
]


class CondIndepStackFrame(NamedTuple):
    """One plate that a site stands in: its ``name``, its batch dimension ``dim`` (negative) and its (sub)``size``."""

    name: str
    dim: int | None
    size: int


class Message(TypedDict, total=False):
    """A message of the handler stack. Which keys are there depends on ``type``."""

    type: MessageType
    name: str
    fn: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    value: Any
    scale: Any
    is_observed: bool
    intermediates: list[Any]
    cond_indep_stack: Sequence[CondIndepStackFrame]
    infer: dict[str, Any]
    mask: Any
    stop: bool
