"""Run a model with the values of an earlier run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from numpyro._errors import UsageError
from numpyro.handlers._data import defer_to_control_flow
from numpyro.primitives import Messenger


class replay(Messenger):
    """Give the sample sites and plates of a model the values that they have in a trace.

    Observed sites of the model keep their observations.

    :param fn: the model.
    :param trace: sites by name, as :class:`~numpyro.handlers.trace` records them.
    :raises ValueError: if there is no trace.
    :raises RuntimeError: if a latent sample of the model is observed in the trace, or is no sample there.

    >>> import numpyro, numpyro.distributions as dist
    >>> model = numpyro.handlers.seed(lambda: numpyro.sample("a", dist.Normal(0, 1)), rng_seed=0)
    >>> earlier = numpyro.handlers.trace(model).get_trace()
    >>> again = numpyro.handlers.replay(model, trace=earlier)()
    >>> bool(again == earlier["a"]["value"])
    True
    """

    __module__ = "numpyro.handlers"

    def __init__(self, fn: Callable[..., Any] | None = None, trace: Mapping[str, Any] | None = None) -> None:
        if trace is None:
            raise UsageError("`replay` needs a trace: write replay(model, trace=trace(guide).get_trace(...)).")
        self.trace = trace
        super().__init__(fn)

    def process_message(self, msg: Any) -> None:
        if msg["type"] == "control_flow":
            defer_to_control_flow(self, msg, "replay", self.trace)
        if msg["type"] not in ("sample", "plate") or msg["name"] not in self.trace or msg.get("_control_flow_done"):
            return
        recorded = self.trace[msg["name"]]
        if msg["type"] == "plate":
            if recorded["type"] != "plate":
                raise RuntimeError(
                    f"Site {msg['name']} must be a plate in trace, but it is a {recorded['type']} there."
                )
            msg["value"] = self._here(msg, recorded["value"])
        elif not msg["is_observed"]:
            if recorded["type"] != "sample" or recorded["is_observed"]:
                kind = "an observed sample" if recorded["type"] == "sample" else f"a {recorded['type']}"
                raise RuntimeError(
                    f"Site {msg['name']} must be sampled in trace, but it is {kind} there. Sites that the trace only "
                    "observes can be left out with numpyro.handlers.block."
                )
            msg["value"] = self._here(msg, recorded["value"])
            msg["infer"] = recorded["infer"].copy()

    def in_body(self, step: Any) -> Messenger:
        return self._at(step)

    def values_along_steps(self) -> Any:
        return {name: site.get("value") for name, site in self.trace.items() if site["type"] in ("sample", "plate")}
