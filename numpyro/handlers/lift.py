"""Parameters become random variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from numpyro.distributions.distribution import Distribution
from numpyro.distributions.foreign import as_distribution
from numpyro.primitives import Messenger


class lift(Messenger):
    """Give parameters a prior: ``param`` sites become ``sample`` sites.

    :param fn: the model.
    :param prior: one distribution for all params, or distributions by name; params without one stay as they are.

    >>> import numpyro, numpyro.distributions as dist
    >>> model = numpyro.handlers.lift(lambda: numpyro.param("p", 1.0), prior={"p": dist.Exponential(1.0)})
    >>> numpyro.handlers.trace(numpyro.handlers.seed(model, rng_seed=0)).get_trace()["p"]["type"]
    'sample'
    """

    __module__ = "numpyro.handlers"

    def __init__(
        self,
        fn: Callable[..., Any] | None = None,
        prior: Distribution | Mapping[str, Distribution] | None = None,
    ) -> None:
        super().__init__(fn)
        self.prior = prior
        self._samples_cache: dict[str, Any] = {}

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._samples_cache = {}
        super().__exit__(exc_type, exc_value, traceback)

    def process_message(self, msg: Any) -> None:
        if msg["type"] != "param":
            return
        prior = as_distribution(self.prior.get(msg["name"]) if isinstance(self.prior, Mapping) else self.prior)
        if prior is None:
            return
        options = msg["kwargs"]
        msg.update(
            type="sample",
            fn=prior,
            args=(),
            kwargs={"rng_key": options.get("rng_key"), "sample_shape": options.get("sample_shape", ())},
            is_observed=False,
            intermediates=[],
            infer={},
        )
        if msg["name"] in self._samples_cache:
            # A param may be declared several times; as a random variable it is one site with one value.
            msg["value"] = self._samples_cache[msg["name"]]
            msg["stop"] = True

    def postprocess_message(self, msg: Any) -> None:
        if msg["type"] == "sample":
            self._samples_cache[msg["name"]] = msg["value"]
