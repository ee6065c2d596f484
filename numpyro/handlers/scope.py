"""Prefix the names of sites."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from numpyro.primitives import Messenger


class scope(Messenger):
    """Put a prefix before the names of all sites and plates, so that a submodel can be used more than once.

    :param fn: the model.
    :param prefix: the prefix.
    :param divider: what stands between prefix and name.
    :param hide_types: types of sites (``"sample"``, ``"param"``, ``"plate"``, ...) that keep their names.

    >>> import numpyro, numpyro.distributions as dist
    >>> def model():
    ...     with numpyro.handlers.scope(prefix="a"):
    ...         return numpyro.sample("x", dist.Bernoulli(0.5))
    >>> list(numpyro.handlers.trace(numpyro.handlers.seed(model, rng_seed=0)).get_trace())
    ['a/x']
    """

    __module__ = "numpyro.handlers"

    def __init__(
        self,
        fn: Callable[..., Any] | None = None,
        prefix: str = "",
        divider: str = "/",
        *,
        hide_types: Collection[str] | None = None,
    ) -> None:
        self.prefix = prefix
        self.divider = divider
        self.hide_types = [] if hide_types is None else hide_types
        super().__init__(fn)

    def process_message(self, msg: Any) -> None:
        if self.enters_body(msg):
            return
        if msg.get("name") and msg["type"] not in self.hide_types:
            msg["name"] = self._scoped(msg["name"])
        if msg.get("cond_indep_stack") and "plate" not in self.hide_types:
            msg["cond_indep_stack"] = [
                frame._replace(name=self._scoped(frame.name)) for frame in msg["cond_indep_stack"]
            ]

    def _scoped(self, name: str) -> str:
        return f"{self.prefix}{self.divider}{name}"
