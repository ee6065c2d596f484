"""What the handlers that give values to sites share."""

from __future__ import annotations

from typing import Any

from numpyro.primitives import Messenger


def defer_to_control_flow(handler: Messenger, msg: Any, kind: str, data: Any) -> None:
    """Hand the values on to a control flow primitive, whose body applies them to the sites within.

    :param handler: the handler.
    :param msg: a message of type ``control_flow``; its ``substitute_stack`` grows by one entry.
    :param kind: the handler's name: ``"substitute"``, ``"condition"`` or ``"replay"``.
    :param data: the handler's values by name, or its function of a site.
    """
    entry = ("handler", handler) if handler._steps else (kind, data)
    msg["kwargs"]["substitute_stack"].append(entry)
