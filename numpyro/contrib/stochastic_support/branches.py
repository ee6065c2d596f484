"""The straight-line programs of a model, and what their inference has in common."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import Array, Key
from numpyro.handlers import condition, seed, trace
from numpyro.util import find_stack_level

Branch = dict[str, Any]
"""The values of the branching sites of a program, by name, in the order of the model."""


class StochasticSupportInference(ABC):
    """Inference in each straight-line program of a model, and the weights of the programs.

    :param model: a model with branching sites.
    :param num_slp_samples: how often the model is drawn from to find its programs.
    :param max_slps: how many programs are taken, those found most often first.
    :raises ValueError: if a number is not positive.
    """

    def __init__(self, model: Callable, num_slp_samples: int, max_slps: int) -> None:
        for name, number in (("num_slp_samples", num_slp_samples), ("max_slps", max_slps)):
            if int(number) != number or number < 1:
                raise ValueError(f"`{name}` must be a positive integer, got {number}.")
        self.model = model
        self.num_slp_samples = int(num_slp_samples)
        self.max_slps = int(max_slps)

    def run(self, rng_key: Key, *args: Any, **kwargs: Any) -> Any:
        """Find the programs, run inference in each, and weigh them.

        :param rng_key: a key.
        :param args: arguments of the model.
        :param kwargs: keyword arguments of the model.
        :raises RuntimeError: for a branching site that is not discrete.
        """
        find_key, *run_keys = jax.random.split(rng_key, 2)
        branches = find_branches(self.model, find_key, self.num_slp_samples, self.max_slps, args, kwargs)
        results, log_weights = {}, {}
        for index, (name, branch) in enumerate(branches.items()):
            infer_key, weigh_key = jax.random.split(jax.random.fold_in(run_keys[0], index))
            program = condition(self.model, data=branch)
            results[name] = self._infer(infer_key, program, args, kwargs)
            log_weights[name] = self._log_weight(weigh_key, program, results[name], args, kwargs)
        weights = jax.nn.softmax(jnp.stack([jnp.asarray(w) for w in log_weights.values()]))
        return self._result(results, dict(zip(log_weights, weights)))

    @abstractmethod
    def _infer(self, rng_key: Key, program: Callable, args: tuple, kwargs: dict) -> Any:
        """Inference in one program."""

    @abstractmethod
    def _log_weight(self, rng_key: Key, program: Callable, result: Any, args: tuple, kwargs: dict) -> Array:
        """The log of the weight of a program, up to a constant."""

    @abstractmethod
    def _result(self, results: dict[str, Any], weights: dict[str, Array]) -> Any:
        """What :meth:`run` returns."""


def find_branches(
    model: Callable, rng_key: Key, num_samples: int, most: int, args: tuple, kwargs: dict
) -> dict[str, Branch]:
    """The programs that draws of the model run through, by the values of their branching sites put together."""
    found: dict[str, Branch] = {}
    counts: Counter[str] = Counter()
    for key in jax.random.split(rng_key, num_samples):
        model_trace = trace(seed(model, key)).get_trace(*args, **kwargs)
        # NumPy's numbers stay concrete where JAX traces the model, so that Python can branch on them.
        branch = {name: np.asarray(site["value"]) for name, site in model_trace.items() if _is_branching(site)}
        name = ",".join(_digits(site, value) for site, value in branch.items())
        found.setdefault(name, branch)
        counts[name] += 1
    if len(found) > most:
        warnings.warn(
            f"The model has at least {len(found)} straight-line programs, of which the {most} most frequent are taken. "
            "Their weights are relative to each other: raise `max_slps` to take more.",
            UserWarning,
            stacklevel=find_stack_level(),
        )
    return {name: found[name] for name, _ in counts.most_common(most)}


def _is_branching(site: Mapping[str, Any]) -> bool:
    if site["type"] != "sample" or site["is_observed"] or not site["infer"].get("branching", False):
        return False
    if not site["fn"].is_discrete:
        raise RuntimeError(
            f"Branching is only supported for discrete sampling sites, and '{site['name']}' "
            f"({type(site['fn']).__name__}) is not."
        )
    return True


def _digits(name: str, value: Any) -> str:
    if np.size(value) != 1:
        raise UsageError(
            f"The branching site '{name}' must be a single number, and its value has shape {np.shape(value)}: use a "
            "site for each number."
        )
    return str(int(np.asarray(value).reshape(())))
