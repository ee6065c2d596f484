"""Hide sites from the handlers outside."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from numpyro.handlers._keys import needs_key
from numpyro.primitives import Messenger
from numpyro.primitives.stack import request_key


class block(Messenger):
    """Hide sites from the handlers outside this one.

    Exactly one rule decides, the first that is given of ``hide_fn``, ``hide``, ``expose_types``, ``expose``; with none
    of them all sites are hidden. Random keys reach hidden sites all the same.

    :param fn: the model.
    :param hide_fn: a function of a site that tells whether to hide it.
    :param hide: names of the sites to hide.
    :param expose_types: types of sites (``"sample"``, ``"param"``, ...) to leave visible; all others are hidden.
    :param expose: names of the sites to leave visible; all others are hidden.

    >>> import numpyro, numpyro.distributions as dist
    >>> def model():
    ...     numpyro.sample("a", dist.Normal(0, 1))
    ...     numpyro.sample("b", dist.Normal(0, 1))
    >>> hidden = numpyro.handlers.block(numpyro.handlers.seed(model, rng_seed=0), hide=["a"])
    >>> list(numpyro.handlers.trace(hidden).get_trace())
    ['b']
    """

    __module__ = "numpyro.handlers"

    def __init__(
        self,
        fn: Callable[..., Any] | None = None,
        hide_fn: Callable[[Any], Any] | None = None,
        hide: Collection[str] | None = None,
        expose_types: Collection[str] | None = None,
        expose: Collection[str] | None = None,
    ) -> None:
        if hide_fn is not None:
            self.hide_fn = hide_fn
        elif hide is not None:
            self.hide_fn = lambda msg: msg.get("name") in hide
        elif expose_types is not None:
            self.hide_fn = lambda msg: msg.get("type") not in expose_types
        elif expose is not None:
            self.hide_fn = lambda msg: msg.get("name") not in expose
        else:
            self.hide_fn = lambda msg: True
        super().__init__(fn)

    def process_message(self, msg: Any) -> None:
        if self.enters_body(msg):
            if msg.get("_hidden_by") == id(self):
                msg["stop"] = True
            return
        if msg["type"] == "prng_key" or not self.hide_fn(msg):
            return
        if needs_key(msg):  # the seed handler outside does not get to see the site
            msg["kwargs"]["rng_key"] = request_key()
        msg["stop"] = True
        msg["_hidden_by"] = id(self)
