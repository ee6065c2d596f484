"""Options for inference, site by site."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from numpyro.primitives import Messenger


class infer_config(Messenger):
    """Update the ``infer`` dictionary of sample sites.

    :param fn: the model.
    :param config_fn: a function of a sample site that returns the entries to set in ``site["infer"]``.

    >>> import numpyro, numpyro.distributions as dist
    >>> model = numpyro.handlers.infer_config(
    ...     lambda: numpyro.sample("z", dist.Bernoulli(0.5)), config_fn=lambda site: {"enumerate": "parallel"}
    ... )
    >>> numpyro.handlers.trace(numpyro.handlers.seed(model, rng_seed=0)).get_trace()["z"]["infer"]
    {'enumerate': 'parallel'}
    """

    __module__ = "numpyro.handlers"

    def __init__(
        self,
        fn: Callable[..., Any] | None = None,
        config_fn: Callable[[Any], Mapping[str, Any] | None] | None = None,
    ) -> None:
        super().__init__(fn)
        self.config_fn = config_fn

    def process_message(self, msg: Any) -> None:
        if self.enters_body(msg):
            return
        if msg["type"] == "sample" and self.config_fn is not None:
            msg["infer"].update(self.config_fn(msg) or {})
