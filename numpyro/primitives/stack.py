"""The handler stack: one list of handlers per thread, and the way a message travels through it."""

from __future__ import annotations

import copy
import functools
import threading
from collections.abc import Callable, Iterator, MutableSequence
from types import TracebackType
from typing import Any

from numpyro._errors import UsageError
from numpyro.distributions.distribution import Distribution


class HandlerStack(threading.local, MutableSequence):
    """The active handlers of the current thread, outermost first.

    It reads and changes like a list (``len``, iteration, indexing, ``append``, ``pop``, ...), and every thread has its
    own, so that several threads can run models at once.
    """

    def __init__(self) -> None:
        # threading.local runs __init__ once in every thread that touches the object.
        self.handlers: list[Messenger] = []

    def __len__(self) -> int:
        return len(self.handlers)

    def __getitem__(self, index: Any) -> Any:
        return self.handlers[index]

    def __setitem__(self, index: Any, handler: Any) -> None:
        self.handlers[index] = handler

    def __delitem__(self, index: Any) -> None:
        del self.handlers[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.handlers)

    def __reversed__(self) -> Iterator[Any]:
        return reversed(self.handlers)

    def __eq__(self, other: object) -> bool:
        return self.handlers == (other.handlers if isinstance(other, HandlerStack) else other)

    __hash__ = None  # type: ignore[assignment]

    def insert(self, index: int, value: Any) -> None:
        self.handlers.insert(index, value)

    def __repr__(self) -> str:
        return repr(self.handlers)


_PYRO_STACK = HandlerStack()


class Messenger:
    """An effect handler: while it is active it sees, and may change, the message of every primitive.

    Subclasses override :meth:`process_message`, which runs before the site has its value, innermost handler first,
    and :meth:`postprocess_message`, which runs after, outermost handler first. A message is a dictionary; its keys are
    listed in ``numpyro._typing.Message``. A handler that sets ``msg["stop"] = True`` hides the message from the
    handlers outside it.

    A handler is used as a context manager (``with handler: ...``), as a wrapper (``handler(model)`` or
    ``Handler(model, ...)``), or as a decorator, of functions and of methods alike.

    :param fn: the function to run with this handler active, or ``None`` for a context manager or a decorator.
    :raises ValueError: if ``fn`` is neither ``None`` nor callable.
    """

    __module__ = "numpyro.primitives"

    _binds = False
    # Of a handler inside the body of a loop: the steps that it is at, of the outermost loop first.
    _steps: tuple[Any, ...] = ()

    def __init__(self, fn: Callable[..., Any] | None = None) -> None:
        if fn is not None and not callable(fn):
            raise ValueError(
                f"Expected `fn` to be a Python callable object; instead found type(fn) = {type(fn)}. "
                f"Write {type(self).__name__}(model, ...), and name the handler's options by keyword."
            )
        self.fn = fn
        if fn is not None:
            functools.update_wrapper(self, fn, updated=[])

    def __enter__(self) -> Any:
        _PYRO_STACK.handlers.append(self)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        handlers = _PYRO_STACK.handlers
        in_order = bool(handlers) and handlers[-1] is self
        for position in range(len(handlers) - 1, -1, -1):
            if handlers[position] is self:
                del handlers[position:]
                break
        if exc_type is None and not in_order:
            raise UsageError(
                f"The handler {type(self).__name__} was left while a handler entered after it was still active; "
                "leave handlers in the reverse of the order in which they were entered, as nested `with` blocks do."
            )

    def process_message(self, msg: Any) -> None:
        """Change ``msg`` before the site has its value. Does nothing unless overridden."""

    def postprocess_message(self, msg: Any) -> None:
        """Change ``msg`` after the site has its value. Does nothing unless overridden."""

    def enters_body(self, msg: Any) -> bool:
        """Whether this handler has nothing to do with a message itself, as it acts within control flow.

        A handler on which the values of sites depend calls this first in :meth:`process_message`. To the message of a
        control flow primitive it adds itself, to be active in the body (see :meth:`in_body`); and messages that come
        out of a body, where it has acted already, it lets pass.
        """
        if msg["type"] == "control_flow":
            msg["kwargs"].get("substitute_stack", []).append(("handler", self))
            return True
        return bool(msg.get("_control_flow_done", False))

    def in_body(self, step: Any) -> Messenger:
        """The handler that stands for this one in the body of a control flow primitive: itself, unless overridden.

        :param step: the step at which the body runs, a ``numpyro.contrib.control_flow.step.Step``.
        """
        return self

    def values_along_steps(self) -> Any:
        """Values, by the names of sites, that may have the steps of a loop as their leading axis."""
        return {}

    def _at(self, step: Any) -> Any:
        """A copy of this handler that gives the values of one step."""
        handler = copy.copy(self)
        if step.length is not None:
            handler._steps = (*self._steps, step)
        return handler

    def _here(self, msg: Any, value: Any) -> Any:
        """What ``value`` is for a site at the step that this handler is at; outside of loops the value itself."""
        return self._steps[-1].value_of(msg, value, self._steps) if self._steps and value is not None else value

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run ``fn(*args, **kwargs)`` with this handler active; without an ``fn``, take the one argument as it."""
        if self.fn is None:
            if len(args) != 1 or kwargs or not callable(args[0]):
                raise UsageError(
                    f"This {type(self).__name__} handler has no function to run. Give it one, as in "
                    f"{type(self).__name__}(model, ...)(*args), or decorate a function with it."
                )
            self.fn = args[0]
            functools.update_wrapper(self, args[0], updated=[])
            return self
        with self:
            return self.fn(*args, **kwargs)

    def __set_name__(self, owner: type, name: str) -> None:
        # A function that was defined in the body of `owner` is a method and takes `self`; a handler of some other
        # function that is merely kept as a class attribute is called as it stands.
        self._binds = getattr(self, "__qualname__", None) == f"{owner.__qualname__}.{name}"

    def __get__(self, instance: Any, owner: type | None = None) -> Messenger:
        return self._bind(instance, owner) if self._binds and instance is not None else self

    def _bind(self, instance: Any, owner: type | None) -> Messenger:
        bound = copy.copy(self)
        if isinstance(self.fn, Messenger):
            bound.fn = self.fn._bind(instance, owner)
        elif self.fn is not None and hasattr(self.fn, "__get__"):
            bound.fn = self.fn.__get__(instance, owner)
        return bound


def default_process_message(msg: dict[str, Any]) -> None:
    """Give the site its value where no handler did: call ``msg["fn"]`` with the message's arguments.

    :param msg: a message; its ``value`` (and ``intermediates``, for a sample) is set in place.
    :raises UsageError: if a random draw is needed and there is no key.
    """
    if msg["value"] is not None or "fn" not in msg:
        return
    if msg["type"] == "sample" and isinstance(msg["fn"], Distribution):
        msg["value"], msg["intermediates"] = draw(msg["name"], msg["fn"], sample_intermediates=True, **msg["kwargs"])
    else:
        msg["value"] = msg["fn"](*msg["args"], **msg["kwargs"])


def draw(name: str, fn: Distribution, *, rng_key: Any, sample_shape: tuple[int, ...] = (), **options: Any) -> Any:
    """Draw from ``fn`` for the site ``name``, or say that a key is missing."""
    if rng_key is not None:
        return fn(rng_key=rng_key, sample_shape=sample_shape, **options)
    try:
        return fn(rng_key=None, sample_shape=sample_shape, **options)  # Delta and Unit need no key
    except (AssertionError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"The site '{name}' ({type(fn).__name__}) needs a random key to be sampled. Run the model under a seed, "
            f"as in numpyro.handlers.seed(model, rng_seed=0)(...), or give numpyro.sample('{name}', ..., rng_key=key)."
        ) from error


def request_key() -> Any:
    """Ask the handlers for a random key; ``None`` where no seed handler is active."""
    if not _PYRO_STACK.handlers:
        return None
    msg = {
        "type": "prng_key",
        "fn": lambda rng_key: rng_key,
        "args": (),
        "kwargs": {"rng_key": None},
        "value": None,
    }
    return apply_stack(msg)["value"]


def for_part(msg: Any, array: Any) -> Any:
    """What an array that broadcasts with the batch shape of a site is for a message of some steps of a loop.

    :param msg: a message; one that comes out of a loop may be of a part of its site.
    :param array: a mask or a scale.
    :return: the array, as the message needs it; ``None`` where the density of the site is counted elsewhere.
    """
    part = msg.get("_part")
    return array if part is None else part(array)


def apply_stack(msg: dict[str, Any]) -> dict[str, Any]:
    """Send a message through the active handlers and give it a value.

    Every handler's ``process_message`` runs from the innermost outwards, until one sets ``msg["stop"]``; then the site
    gets its default value if it has none; then ``postprocess_message`` of the handlers that saw the message runs, from
    the outermost inwards.

    :param msg: a message, changed in place.
    :return: the same message.
    """
    handlers = _PYRO_STACK.handlers
    outermost = len(handlers)
    for handler in reversed(handlers):
        outermost -= 1
        handler.process_message(msg)
        if msg.get("stop"):
            break
    default_process_message(msg)
    for handler in handlers[outermost:]:
        handler.postprocess_message(msg)
    return msg
