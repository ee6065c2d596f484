"""The likelihood of a subsample: what each row of a plate contributes, and estimates of what all rows do."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax.numpy as jnp

from numpyro._errors import UsageError
from numpyro._typing import Array
from numpyro.distributions._shapes import scale_and_mask
from numpyro.infer.model.evaluate import trace_at
from numpyro.primitives import Messenger, factor

Rows: TypeAlias = dict[str, Array]
"""Log likelihoods of the rows of subsamples, by plate, each a vector."""
PlateSizes: TypeAlias = Mapping[str, tuple[int, int]]
"""The size and the subsample size of plates, by name."""


class estimate_likelihood(Messenger):
    """Replace the likelihood of rows in subsampled plates by an estimate.

    The observed sites within plates that draw a subsample no longer count; in their place the model has the factor
    ``_estimated_log_likelihood``.

    :param fn: the model.
    :param method: a function of the log likelihoods of the rows in the subsample, by plate, a vector each, that
        returns the estimate, a scalar. Without it there is no factor, and :attr:`rows` has the log likelihoods.
    :raises ValueError: for a site in two plates that draw subsamples.
    """

    def __init__(self, fn: Callable | None = None, method: Callable[[Rows], Array] | None = None) -> None:
        self.method = method
        self.rows: Rows = {}
        self._sizes: dict[str, int] = {}
        super().__init__(fn)

    def __enter__(self) -> Any:
        self.rows, self._sizes = {}, {}
        return super().__enter__()

    def __exit__(self, *args: Any) -> None:
        super().__exit__(*args)
        if self.method is not None and args[0] is None:
            factor("_estimated_log_likelihood", self.method(self.rows))

    def process_message(self, msg: Any) -> None:
        if msg["type"] == "plate" and msg["args"][1] not in (None, msg["args"][0]):
            self._sizes[msg["name"]] = msg["args"][0]
        if msg["type"] != "sample" or not msg["is_observed"]:
            return
        frames = [frame for frame in msg["cond_indep_stack"] if frame.name in self._sizes]
        if not frames:
            return
        if len(frames) > 1:
            names = [frame.name for frame in frames]
            raise UsageError(f"The site '{msg['name']}' is in several plates that draw subsamples, {names}; one may.")
        (frame,) = frames
        scale = 1.0 if msg["scale"] is None else msg["scale"]
        scale = scale * (frame.size / self._sizes[frame.name])  # that of the plate taken out
        terms = scale_and_mask(msg["fn"].log_prob(msg["value"]), scale)
        axis = jnp.ndim(terms) + frame.dim
        rows = jnp.sum(terms, tuple(i for i in range(jnp.ndim(terms)) if i != axis))
        self.rows[frame.name] = self.rows.get(frame.name, 0.0) + rows
        msg["fn"] = msg["fn"].mask(False)


def rows_at(model: Callable, args: tuple, kwargs: Mapping[str, Any], values: Mapping[str, Any]) -> Rows:
    """The log likelihoods of rows.

    :param values: unconstrained values of latent sites, and the indices of plates: of a subsample, or of all rows.
    """
    rows = estimate_likelihood()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # plates warn of indices of another number than their subsample size
        trace_at(_within(rows, model), args, kwargs, values, None)
    return rows.rows


def _within(handler: estimate_likelihood, model: Callable) -> Callable:
    def run(*args: Any, **kwargs: Any) -> None:
        with handler:
            model(*args, **kwargs)

    return run


estimate_likelihood.__module__ = "numpyro.infer.hmc_gibbs"
