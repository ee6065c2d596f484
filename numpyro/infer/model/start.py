"""The start of inference on a model, as one compiled program: a valid point, and the trace of the model there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from numpyro._typing import Key, PyTree
from numpyro.infer.model.evaluate import take_apart
from numpyro.infer.model.initial import MAX_TRIES, Start, find_initial, no_start_error
from numpyro.infer.model.view import ModelView
from numpyro.infer.program import Program, compiled_programs, in_jit, is_traced, jit
from numpyro.util import is_prng_key


def begin(
    view: ModelView,
    rng_key: Key,
    strategy: Callable,
    *,
    forward_mode: bool = False,
    validate_grad: bool = True,
    required: bool = True,
) -> tuple[Start, Key, dict[str, Any]]:
    """Find a starting point, or with a batch of keys a batch of them.

    :param required: raise where no valid point is found (which under a trace cannot be seen).
    :return: the start, the key of what else the model draws, and the trace of the model at the (first) start.
    :raises TypeError: if ``rng_key`` is no random key.
    :raises InitializationError: naming the sites to blame, if ``required``.
    """
    is_batch = _is_batch_of_keys(rng_key)
    put_together_by: list[Callable] = []

    def run(rng_key: Key, arrays: tuple) -> tuple[Start, Key, list[Any]]:
        model_key = jax.random.fold_in(rng_key[0] if is_batch else rng_key, 0)
        data = (model_key, arrays)

        def start_with(key: Key) -> Start:
            return find_initial(view, data, key, strategy, forward_mode=forward_mode, validate_grad=validate_grad)

        start = jax.vmap(start_with)(rng_key) if is_batch else start_with(rng_key)
        first = jax.tree.map(lambda leaf: leaf[0], start.unconstrained) if is_batch else start.unconstrained
        trace_arrays, put_together = take_apart(view.trace_at(data, first)[0])
        put_together_by.append(put_together)
        return start, model_key, trace_arrays

    arrays = view.arguments.arrays
    start, model_key, trace_arrays = _run_compiled(run, rng_key, arrays)
    if required and not is_traced(start.is_valid):
        _require_valid(view, (model_key, arrays), start, is_batch)
    return start, model_key, put_together_by[-1](trace_arrays)


def _run_compiled(fn: Callable[..., PyTree], *args: PyTree) -> PyTree:
    if is_traced(args) or in_jit():
        return fn(*args)
    program = Program(fn, *jax.eval_shape(lambda *args: args, *args))
    if is_traced(program.consts):
        return fn(*args)
    compiled = compiled_programs.get(("start", program.key), lambda: jit(program.without_consts()))
    return compiled(program.consts, *args)


def _require_valid(view: ModelView, data: PyTree, start: Start, is_batch: bool) -> None:
    is_valid = np.asarray(start.is_valid)
    if is_valid.all():
        return
    unconstrained = start.unconstrained
    if is_batch:
        unconstrained = {name: value[int(np.argmin(is_valid))] for name, value in unconstrained.items()}
    raise no_start_error(view, data, unconstrained, MAX_TRIES)


def _is_batch_of_keys(rng_key: Any) -> bool:
    if is_prng_key(rng_key):
        return False
    if np.ndim(rng_key) > 0 and is_prng_key(jax.eval_shape(lambda keys: keys[0], rng_key)):
        return True
    raise TypeError(
        f"rng_key must be a random key such as jax.random.key(0), or a one-dimensional batch of them, but got "
        f"{getattr(rng_key, 'dtype', type(rng_key).__name__)} of shape {np.shape(rng_key)}."
    )
