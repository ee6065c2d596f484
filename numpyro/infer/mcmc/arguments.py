"""What is required of the arguments of :class:`~numpyro.infer.MCMC`."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from numpyro._typing import Key, PyTree
from numpyro.infer.mcmc.kernel import MCMCKernel
from numpyro.infer.mcmc.stopping import Until
from numpyro.infer.util import ParamInfo
from numpyro.util import is_prng_key

CHAIN_METHODS = ("sequential", "parallel", "vectorized")


def require_kernel(sampler: Any) -> None:
    if not isinstance(sampler, MCMCKernel):
        raise ValueError(f"`sampler` must be an MCMCKernel, such as NUTS(model), got {type(sampler).__name__}.")


def require_counts(num_warmup: Any, num_samples: Any, num_chains: Any, thinning: Any, progress_rate: Any) -> None:
    _require_integer("num_warmup", num_warmup, 0)
    _require_integer("num_samples", num_samples, 1)
    _require_integer("num_chains", num_chains, 1)
    _require_integer("thinning", thinning, 1)
    if num_samples < thinning:
        raise ValueError(f"num_samples must not be less than thinning, got {num_samples} and thinning={thinning}.")
    if progress_rate is not None:
        _require_integer("progress_rate", progress_rate, 1)


def _require_integer(name: str, value: Any, least: int) -> None:
    kind = {0: "nonnegative", 1: "positive"}[least]
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} must be a {kind} integer, got {value!r}.")


def require_choices(chain_method: Any, progress_bar: Any, postprocess_fn: Any, store: Any) -> None:
    if not callable(chain_method) and chain_method not in CHAIN_METHODS:
        raise ValueError(
            'Only supporting the following methods to draw chains: "sequential", "parallel", or "vectorized", or a '
            f"callable; got {chain_method!r}."
        )
    if store is not None and callable(chain_method):
        raise ValueError("`store` needs chains that advance in pieces: chain_method must not be a function.")
    if isinstance(progress_bar, str) and progress_bar != "one":
        raise ValueError(f"`progress_bar` must be True, False or 'one', got {progress_bar!r}.")
    if postprocess_fn is not None and not callable(postprocess_fn):
        raise TypeError(f"`postprocess_fn` must be a function, got {type(postprocess_fn).__name__}.")


def require_limits(until: Any, time_budget: Any) -> None:
    if until is not None and not isinstance(until, Until):
        raise ValueError(f"`until` must be a target, such as Until(min_bulk_ess=400), got {until!r}.")
    if time_budget is not None and not time_budget > 0:
        raise ValueError(f"`time_budget` must be a positive number of seconds, got {time_budget!r}.")


def as_signals(stop_signals: Any) -> tuple[signal.Signals, ...]:
    """Signals that can be listened to."""
    try:
        signals = tuple(signal.Signals(number) for number in stop_signals)
    except (TypeError, ValueError):
        signals = (signal.SIGKILL,)
    if {signal.SIGKILL, signal.SIGSTOP} & set(signals):
        raise ValueError(
            "`stop_signals` must be a sequence of signals that can be listened to, such as (signal.SIGINT, "
            f"signal.SIGTERM), got {stop_signals!r}."
        )
    return signals


def is_batch_of_keys(rng_key: Key, num_chains: int) -> bool:
    """Whether ``rng_key``, which is a key or a batch of keys, is a batch, one for each chain."""
    if is_prng_key(rng_key):
        return False
    shape = np.shape(rng_key)
    typed = hasattr(rng_key, "dtype") and jax.dtypes.issubdtype(rng_key.dtype, jax.dtypes.prng_key)
    if hasattr(rng_key, "dtype") and (typed or (len(shape) == 2 and rng_key.dtype == np.uint32)):
        if len(shape) == (1 if typed else 2) and shape[0] == num_chains:
            return True
        raise ValueError(
            f"`rng_key` must be one key or a batch of num_chains={num_chains} keys, got a batch of shape {shape}."
        )
    raise ValueError(
        f"`rng_key` must be a key, such as jax.random.key(0), or a batch of num_chains keys; got {rng_key!r}."
    )


def position_of(init_params: PyTree) -> PyTree:
    """The values to start from, where what is given is the ``param_info`` of
    :func:`~numpyro.infer.util.initialize_model`, which has them with their potential energy."""
    return init_params.z if isinstance(init_params, ParamInfo) else init_params


def require_init_params(init_params: PyTree, num_chains: int) -> None:
    if init_params is None or num_chains == 1:
        return
    for leaf in jax.tree.leaves(init_params):
        if np.ndim(leaf) == 0 or np.shape(leaf)[0] != num_chains:
            raise ValueError(
                "`init_params` must have the same leading dimension as `num_chains`: expected leaves of shape "
                f"({num_chains}, ...), got {np.shape(leaf)}."
            )


def split_fields(extra_fields: Sequence[str], sample_field: str) -> tuple[frozenset[str], list[str]]:
    """The sites that are not to be collected, named as in ``"~z.site"``, and the fields to be."""
    if isinstance(extra_fields, str) or not all(isinstance(field, str) for field in extra_fields):
        raise ValueError("`extra_fields` must be a sequence of names of fields, such as ('potential_energy',).")
    prefix = f"~{sample_field}."
    wrong = [field for field in extra_fields if field.startswith("~") and not field.startswith(prefix)]
    if wrong:
        raise ValueError(f"extra field '{wrong[0]}': a site to be left out is named as in '{prefix}site'.")
    excluded = frozenset(field.removeprefix(prefix) for field in extra_fields if field.startswith(prefix))
    return excluded, [field for field in extra_fields if not field.startswith("~")]
