"""Rewrite random variables in other coordinates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from numpyro._errors import UsageError
from numpyro.primitives import Messenger


class reparam(Messenger):
    """Rewrite sample sites by the strategies of :mod:`numpyro.infer.reparam`.

    A strategy samples auxiliary sites and computes the value from them, so that the variable has the distribution that
    it had, while inference sees the auxiliary sites. The original site becomes a deterministic one.

    :param fn: the model.
    :param config: strategies by the names of sample sites, or a function of a sample site that returns its strategy,
        or ``None`` for sites to be left alone.
    :raises ValueError: if ``config`` is neither.

    Source: Gorinova, Moore and Hoffman (2019), Automatic Reparameterisation of Probabilistic Programs.

    >>> import numpyro, numpyro.distributions as dist
    >>> from numpyro.infer.reparam import LocScaleReparam
    >>> def model():
    ...     numpyro.sample("x", dist.Normal(1, 2))
    >>> rewritten = numpyro.handlers.reparam(model, config={"x": LocScaleReparam(0)})
    >>> trace = numpyro.handlers.trace(numpyro.handlers.seed(rewritten, rng_seed=0)).get_trace()
    >>> {name: site["type"] for name, site in trace.items()}
    {'x_decentered': 'sample', 'x': 'deterministic'}
    """

    __module__ = "numpyro.handlers"

    def __init__(
        self,
        fn: Callable[..., Any] | None = None,
        config: Mapping[str, Any] | Callable[[Any], Any] | None = None,
    ) -> None:
        if not isinstance(config, Mapping) and not callable(config):
            raise UsageError(
                "`config` of reparam must be a dictionary from site names to strategies of numpyro.infer.reparam, or a "
                f"function of a site, but got {type(config).__name__}."
            )
        self.config = config
        super().__init__(fn)

    def process_message(self, msg: Any) -> None:
        if self.enters_body(msg) or msg["type"] != "sample":
            return
        strategy = self.config.get(msg["name"]) if isinstance(self.config, Mapping) else self.config(msg)
        if strategy is None:
            return
        if not callable(strategy):
            raise TypeError(
                f"The reparametrization of the site '{msg['name']}' must be a strategy of numpyro.infer.reparam, "
                f"called with (name, fn, obs), but got {strategy!r}."
            )
        fn, value = strategy(msg["name"], msg["fn"], msg["value"])
        if value is not None:
            if fn is None:
                # The auxiliary sites determine the value.
                msg["type"] = "deterministic"
                msg["value"] = value
                for key in list(msg):
                    if key not in ("type", "name", "value", "cond_indep_stack"):
                        del msg[key]
                return
            if msg["value"] is None:
                msg["is_observed"] = True
            msg["value"] = value
        msg["fn"] = fn
