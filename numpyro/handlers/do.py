"""Interventions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from numpyro.primitives import Messenger


class do(Messenger):
    """Intervene: the rest of the model sees the given values, whatever the sites' distributions or observations.

    The site itself stays in the model as it is, drawn or observed, but nothing that comes after it depends on it any
    more; what the statement returns is the value of the intervention. Of nested interventions on one site the
    innermost holds, since it has already cut the site off.

    :param fn: the model.
    :param data: values by the names of sample sites.

    Source: Richardson and Robins (2013), Single World Intervention Graphs.

    >>> import numpyro, numpyro.distributions as dist
    >>> def model():
    ...     rain = numpyro.sample("rain", dist.Normal(0, 1))
    ...     return numpyro.deterministic("wet", 2 * rain)
    >>> numpyro.handlers.seed(numpyro.handlers.do(model, data={"rain": 3.0}), rng_seed=0)()
    6.0
    """

    __module__ = "numpyro.handlers"

    def __init__(self, fn: Callable[..., Any] | None = None, data: Mapping[str, Any] | None = None) -> None:
        self.data = {} if data is None else data
        self._intervener_id = str(id(self))
        super().__init__(fn)

    def process_message(self, msg: Any) -> None:
        if self.enters_body(msg):
            return
        if msg["type"] == "sample" and self.data.get(msg["name"]) is not None and "_intervener_id" not in msg:
            msg["_intervener_id"] = self._intervener_id
            msg["_intervention"] = self._here(msg, self.data[msg["name"]])

    def postprocess_message(self, msg: Any) -> None:
        # The handlers outside have recorded the site by now; those within and the model see the intervention.
        if msg.get("_intervener_id") == self._intervener_id:
            msg["_factual"], msg["value"] = msg["value"], msg["_intervention"]

    def in_body(self, step: Any) -> Messenger:
        return self._at(step)

    def values_along_steps(self) -> Any:
        return self.data
