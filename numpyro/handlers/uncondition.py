"""Forget observations."""

from __future__ import annotations

from typing import Any

from numpyro.primitives import Messenger


class uncondition(Messenger):
    """Turn observed sample sites into latent ones, which are drawn from their distributions.

    The observation is kept in ``site["infer"]["obs"]``, and ``site["infer"]["was_observed"]`` tells of it.

    :param fn: the model.

    >>> import numpyro, numpyro.distributions as dist
    >>> model = numpyro.handlers.uncondition(lambda: numpyro.sample("x", dist.Normal(0, 1), obs=3.0))
    >>> site = numpyro.handlers.trace(numpyro.handlers.seed(model, rng_seed=0)).get_trace()["x"]
    >>> site["is_observed"], site["infer"]["obs"]
    (False, 3.0)
    """

    __module__ = "numpyro.handlers"

    def process_message(self, msg: Any) -> None:
        if self.enters_body(msg):
            return
        if msg["type"] == "sample" and msg["is_observed"]:
            msg["is_observed"] = False
            msg["infer"].update(was_observed=True, obs=msg["value"])
            msg["value"] = None
