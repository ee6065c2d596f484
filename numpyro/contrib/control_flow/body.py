"""A body of control flow, run under the handlers that act within it, and the record of its sites."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np

from numpyro._typing import Key, Shape
from numpyro.contrib.control_flow.step import Step
from numpyro.enumeration import Enumerating
from numpyro.handlers import condition, replay, substitute
from numpyro.primitives import Messenger, apply_stack, get_mask, plate
from numpyro.primitives.stack import _PYRO_STACK

Site = dict[str, Any]


class Undeclared(Exception):
    """A body has params or mutables, which belong to the whole loop and must be declared before it runs."""


class Surroundings:
    """The handlers around a control flow primitive that act in its body.

    :param entries: the ``substitute_stack`` of its message, innermost first: pairs of a kind and a handler's values
        (``"substitute"``, ``"condition"``, ``"replay"``), or of ``"handler"`` and a handler.
    """

    def __init__(self, entries: Sequence[tuple[str, Any]]) -> None:
        self.handlers = [_as_handler(kind, held) for kind, held in reversed(entries)]  # outermost first
        self.mask = get_mask()

    def values_along(self, length: int) -> tuple[list[int], list[Any]]:
        """The arrays in handlers whose leading axis has ``length`` entries, with the ``id`` that they are known by."""
        arrays: dict[int, Any] = {}
        for handler in self.handlers:
            for value in handler.values_along_steps().values():
                for leaf in jax.tree.leaves(value):
                    known = handler._steps[-1].slices.get(id(leaf)) if handler._steps else leaf
                    if isinstance(known, jax.Array | np.ndarray) and known.ndim > 0 and known.shape[0] == length:
                        arrays[id(leaf)] = known
        return list(arrays), list(arrays.values())

    def enumerating(self) -> Enumerating | None:
        """The handler of enumeration around, if there is one."""
        found = [handler for handler in self.handlers if isinstance(handler, Enumerating)]
        return found[-1] if found else None

    @property
    def first_enumerated(self) -> int | None:
        """The first dimension that enumerated sites take, where there is a handler of enumeration around."""
        handler = self.enumerating()
        return None if handler is None else handler.first_available_dim

    @property
    def plate_shape(self) -> Shape:
        """The batch shape of the plates around."""
        plates = [handler for handler in self.handlers if isinstance(handler, plate)]
        shape = [1] * max((-p.dim for p in plates), default=0)
        for p in plates:
            shape[p.dim] = p.subsample_size
        return tuple(shape)


def _as_handler(kind: str, held: Any) -> Messenger:
    if kind == "handler":
        return held
    if kind == "replay":
        return replay(trace=held)
    handler = {"substitute": substitute, "condition": condition}[kind]
    return handler(None, **({f"{kind}_fn": held} if callable(held) else {"data": held}))


class _Mask(Messenger):
    """Answers what the mask around a body is."""

    def __init__(self, mask: Any) -> None:
        self.mask = mask
        super().__init__(None)

    def process_message(self, msg: Site) -> None:
        if msg["type"] == "inspect" and self.mask is not None and msg.get("is_around_loops", True):
            msg["mask"] = self.mask if msg["mask"] is None else self.mask & msg["mask"]


class _Record(Messenger):
    """Records the sites of a body as they are when all handlers in it have acted.

    :param declared: params and mutables that have been declared outside, by name.
    :param declare: declares one more, given its message.
    :param is_inside: whether an array was computed by the body.
    """

    def __init__(
        self, declared: Mapping[str, Any], declare: Callable[[Site], Any], is_inside: Callable[[Any], bool]
    ) -> None:
        self.sites: list[Site] = []
        self._declared = declared
        self._declare = declare
        self._is_inside = is_inside
        super().__init__(None)

    def process_message(self, msg: Site) -> None:
        if msg["type"] not in ("param", "mutable") or msg.get("_control_flow_done"):
            return
        name = msg["name"]
        if msg["type"] == "param" and any(map(self._is_inside, jax.tree.leaves(msg["value"]))):
            return  # computed in the body, by a handler there
        msg["stop"] = True
        msg["value"] = self._declared[name] if name in self._declared else self._declare(msg)

    def postprocess_message(self, msg: Site) -> None:
        if "name" not in msg or msg["type"] == "control_flow":
            return
        if msg["type"] in ("param", "mutable") and not msg.get("_control_flow_done"):
            if not any(map(self._is_inside, jax.tree.leaves(msg["value"]))) or msg.get("stop"):
                return
        if msg["type"] == "plate" and any(site["name"] == msg["name"] for site in self.sites):
            return
        site = dict(msg)
        site.pop("stop", None)
        if "_factual" in site:
            site["value"] = site.pop("_factual")
        self.sites.append(site)


@contextmanager
def _only(handlers: list[Messenger]) -> Iterator[None]:
    """Let these be the active handlers of the thread, and no others."""
    around = _PYRO_STACK.handlers
    _PYRO_STACK.handlers = handlers
    try:
        yield
    finally:
        _PYRO_STACK.handlers = around


def run_body(
    body: Callable[[], Any],
    step: Step,
    surroundings: Surroundings,
    declared: Mapping[str, Any],
    is_inside: Callable[[Any], bool],
    declare: Callable[[Site], Any] | None = None,
) -> tuple[Any, list[Site]]:
    """Run a body at one step.

    :param body: the body, as a function of nothing.
    :param step: where it runs.
    :param surroundings: the handlers that act in it.
    :param declared: values of the params and mutables that have been declared outside.
    :param is_inside: whether an array was computed by the body.
    :param declare: declares a param or mutable, given its message, and returns its value; by default it is an error.
    :return: what the body returns, and its sites.
    :raises Undeclared: where a param or mutable has not been declared.
    """
    record = _Record(declared, _refuse if declare is None else declare, is_inside)
    handlers: list[Messenger] = [_Mask(surroundings.mask), *(h.in_body(step) for h in surroundings.handlers), record]
    with _only(handlers):
        result = body()
    return result, record.sites


def _refuse(msg: Site) -> Any:
    raise Undeclared


class Declarations(dict[str, Any]):
    """Params and mutables declared, once for all steps, where a control flow primitive stands.

    ``kinds`` are their types by name. Calling it declares one more and returns the value that a body may use; a
    mutable may be changed there, so it is a copy.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kinds: dict[str, str] = {}
        self._around = _PYRO_STACK.handlers

    def __call__(self, msg: Site) -> Any:
        name = msg["name"]
        if name not in self:
            with _only(self._around):
                self[name] = apply_stack({key: value for key, value in msg.items() if key != "stop"})["value"]
            self.kinds[name] = msg["type"]
        return jax.tree.map(lambda leaf: leaf, self[name])

    def of(self, kind: str) -> dict[str, Any]:
        """Those of one type."""
        return {name: value for name, value in self.items() if self.kinds[name] == kind}


def write_back(holders: Mapping[str, Any], mutables: Mapping[str, Any]) -> None:
    """Let mutables of the model have the values that a body has left in them."""
    for name, value in mutables.items():
        if isinstance(value, dict):
            holders[name].update(value)


def emit(sites: Sequence[Site]) -> None:
    """Send finished sites to the handlers that have not acted in the body."""
    if _PYRO_STACK.handlers:
        for site in sites:
            apply_stack({**site, "_control_flow_done": True})


def with_keys(rng_key: Key | None, length: int) -> Any:
    """A key for each step."""
    return None if rng_key is None else jax.random.split(rng_key, length)
