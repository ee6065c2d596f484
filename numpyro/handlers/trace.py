"""Record the sites of a model."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from numpyro._errors import UsageError
from numpyro.primitives import Messenger


class trace(Messenger):
    """Record the sites of a model in the order in which they are met.

    Entering the handler returns the record, an ``OrderedDict`` from names to messages; a new one is begun each time.

    :param fn: the model.
    :raises ValueError: while running, if two sites have the same name. Plates and params may be met again.

    >>> import numpyro, numpyro.distributions as dist
    >>> model = numpyro.handlers.seed(lambda: numpyro.sample("a", dist.Normal(0, 1)), rng_seed=0)
    >>> sites = numpyro.handlers.trace(model).get_trace()
    >>> sites["a"]["type"], sites["a"]["is_observed"]
    ('sample', False)
    """

    __module__ = "numpyro.handlers"

    def __enter__(self) -> OrderedDict[str, Any]:
        super().__enter__()
        self.trace: OrderedDict[str, Any] = OrderedDict()
        return self.trace

    def postprocess_message(self, msg: Any) -> None:
        if "name" not in msg or msg["type"] == "control_flow":
            # Requests for keys and masks have no name; a control flow primitive records the sites of its body itself.
            return
        name, kind = msg["name"], msg["type"]
        if name in self.trace:
            recorded = self.trace[name]["type"]
            if recorded != kind or kind not in ("param", "plate"):
                raise UsageError(
                    f"all sites must have unique names but got `{name}` duplicated: it is a "
                    f"{_describe(self.trace[name])} and then a {_describe(msg)}. Rename "
                    "one of them, or put the part of the model that is used twice under "
                    "numpyro.handlers.scope(prefix=...)."
                )
        self.trace[name] = msg.copy()

    def get_trace(self, *args: Any, **kwargs: Any) -> OrderedDict[str, Any]:
        """Run the model with the given arguments and return the record of its sites."""
        self(*args, **kwargs)
        return self.trace


def _describe(msg: Any) -> str:
    if msg["type"] != "sample":
        return f"{msg['type']} site"
    return f"{'observed' if msg['is_observed'] else 'latent'} sample site ({type(msg['fn']).__name__})"
