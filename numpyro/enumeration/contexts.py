"""Markov contexts: which enumerated variables a part of a model may depend on."""

from __future__ import annotations

import functools
import operator
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from numpyro._errors import UsageError


class Frame:
    """The variables of one step of a context, for each handler by the dimensions that it gave them."""

    def __init__(self) -> None:
        self._names: dict[int, dict[int, str]] = {}

    def of(self, handler: object) -> dict[int, str]:
        """The variables of this step by the dimensions that ``handler`` gave them."""
        return self._names.setdefault(id(handler), {})


class _Entered(threading.local):
    def __init__(self) -> None:
        # threading.local runs __init__ once in every thread that touches the object.
        self.frames: list[tuple[_Context, Frame]] = []


_entered = _Entered()


def visible_frames() -> list[Frame]:
    """The steps that the running one may depend on, itself last: of each context it and the ``history`` before it."""
    seen: dict[int, int] = {}
    frames = []
    for context, frame in reversed(_entered.frames):
        seen[id(context)] = seen.get(id(context), 0) + 1
        if seen[id(context)] <= context.history + 1:
            frames.append(frame)
    return frames[::-1]


class _Context:
    """One use of :func:`markov`, as a decorator or in a ``with`` statement."""

    def __init__(self, history: int, keep: bool) -> None:
        self.history = history
        self.keep = keep
        self.depth = 0
        self.kept: list[Frame] = []

    def __enter__(self) -> _Context:
        if self.keep and self.depth < len(self.kept):
            frame = self.kept[self.depth]
        else:
            frame = Frame()
            if self.keep:
                self.kept.append(frame)
        self.depth += 1
        _entered.frames.append((self, frame))
        return self

    def __exit__(self, *error: object) -> None:
        self.depth -= 1
        for position in range(len(_entered.frames) - 1, -1, -1):
            if _entered.frames[position][0] is self:
                del _entered.frames[position:]
                break

    def __call__(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(fn)
        def within(*args: Any, **kwargs: Any) -> Any:
            with self:
                return fn(*args, **kwargs)

        return within


def _steps(iterable: Iterable[Any], history: int, keep: bool) -> Iterator[Any]:
    """Each item in a step of one context; steps too old to be depended on are left."""
    context = _Context(history, keep)
    try:
        for item in iterable:
            with_item = (context, Frame())
            _entered.frames.append(with_item)
            own = [entry for entry in _entered.frames if entry[0] is context]
            for entry in own[: -(history + 1)]:
                _entered.frames.remove(entry)
            yield item
    finally:
        _entered.frames = [entry for entry in _entered.frames if entry[0] is not context]


def markov(fn: Any = None, history: int = 1, keep: bool = False) -> Any:
    """Declare that a step depends on the enumerated variables of only the ``history`` steps before it.

    Dimensions of variables that no later step may depend on are used again, so that a chain of any length needs only
    ``history + 1`` of them. Outside of enumeration it changes nothing.

    :param fn: what the context is for: an iterable, ``for t in markov(range(T)):``, each item of which is a step; or a
        function, each call of which is a step (a recursive call is the next one); or ``None`` for a context manager,
        ``with markov():``.
    :param history: how many steps back the variables of a step may depend on, not negative.
    :param keep: whether a step that is entered again sees the variables that it had the first time, so that
        neighbouring branches of a tree may depend on each other.
    :raises ValueError: if ``history`` is negative.
    :raises TypeError: if ``history`` is no integer.

    >>> [t for t in markov(range(3))]
    [0, 1, 2]
    """
    if operator.index(history) < 0:
        raise UsageError(f"history of markov must not be negative, but got {history}.")
    if fn is None:
        return _Context(history, keep)
    if callable(fn):
        return _Context(history, keep)(fn)
    if isinstance(fn, Iterable):
        return _steps(fn, history, keep)
    raise UsageError(f"markov takes an iterable, a function, or nothing, but got {type(fn).__name__}.")
