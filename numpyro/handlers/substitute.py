"""Set the values of sites."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax

from numpyro._errors import UsageError
from numpyro.handlers._data import defer_to_control_flow
from numpyro.primitives import Messenger


class substitute(Messenger):
    """Give sites values without marking them as observed.

    :param fn: the model.
    :param data: values by the names of sites: samples, params, plates (their indices), deterministic and mutable
        sites.
    :param substitute_fn: a function of a site that returns its value, or ``None`` to leave it as it is. Give either
        this or ``data``.
    :raises ValueError: if both or neither of ``data`` and ``substitute_fn`` are given.

    >>> import numpyro, numpyro.distributions as dist
    >>> model = numpyro.handlers.substitute(lambda: numpyro.sample("a", dist.Normal(0, 1)), data={"a": -1.0})
    >>> site = numpyro.handlers.trace(model).get_trace()["a"]
    >>> site["value"], site["is_observed"]
    (-1.0, False)
    """

    __module__ = "numpyro.handlers"

    def __init__(
        self,
        fn: Callable[..., Any] | None = None,
        data: Mapping[str, Any] | None = None,
        substitute_fn: Callable[[Any], Any] | None = None,
    ) -> None:
        if (data is None) == (substitute_fn is None):
            raise UsageError("Only one of `data` or `substitute_fn` should be provided, and one must be.")
        self.data = data
        self.substitute_fn = substitute_fn
        super().__init__(fn)

    def process_message(self, msg: Any) -> None:
        if msg["type"] == "control_flow":
            defer_to_control_flow(self, msg, "substitute", self.data if self.data is not None else self.substitute_fn)
        if msg["type"] not in ("sample", "param", "mutable", "plate", "deterministic") or msg.get("_control_flow_done"):
            return
        value = self.data.get(msg["name"]) if self.data is not None else self.substitute_fn(msg)  # type: ignore[misc]
        value = self._here(msg, value)
        if value is not None:
            # What a model changes in place is a copy, not the value that was given.
            msg["value"] = jax.tree.map(lambda leaf: leaf, value) if msg["type"] == "mutable" else value

    def in_body(self, step: Any) -> Messenger:
        return self._at(step)

    def values_along_steps(self) -> Any:
        return self.data or {}
