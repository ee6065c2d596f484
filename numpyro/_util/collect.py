"""A loop that keeps what it passes through, one compiled program whatever its length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from numpyro._errors import UsageError
from numpyro._util.control_flow import cond, fori_loop, maybe_jit
from numpyro._util.misc import identity, not_jax_tracer

_BAR_OPTIONS = {"progbar_desc", "diagnostics_fn", "num_chains"}


def fori_collect(
    lower: int,
    upper: int,
    body_fun: Callable[[Any], Any],
    init_val: Any,
    transform: Callable[[Any], Any] = identity,
    progbar: bool = True,
    progress_rate: int | None = None,
    return_last_val: bool = False,
    collection_size: int | None = None,
    thinning: int = 1,
    **progbar_opts: Any,
) -> Any:
    """Apply ``value = body_fun(value)`` ``upper`` times; stack ``transform(value)`` after the first ``lower``.

    With ``thinning=t`` every ``t``-th value after the first ``lower`` is kept, counted back from the last.

    :param lower: number of steps to take before values are kept, at least 0.
    :param upper: number of steps in all.
    :param body_fun: maps a value to the next, of the same structure, shapes and dtypes.
    :param init_val: the value before the first step, any pytree; not collected.
    :param transform: what to keep of a value, by default all of it.
    :param progbar: whether to show a progress bar (default). Without it the loop is one program, and may itself stand
        under ``jit`` or ``vmap``.
    :param progress_rate: number of steps between two moves of the bar; by default a twentieth of all.
    :param return_last_val: whether to return the last value too.
    :param collection_size: length of the arrays returned, at least the number of values kept, which is the default;
        what is beyond is zero.
    :param thinning: the distance between two values kept, default 1.
    :param progbar_opts: options of the bar. ``progbar_desc(i)`` is its text after step ``i`` (counted from 0),
        ``diagnostics_fn(value)`` the text behind it, ``num_chains`` the number of chains that a value holds.
    :return: the values kept, stacked along a new first dimension; with ``return_last_val`` a pair of these and the
        last value.
    :raises UsageError: unless ``0 <= lower <= upper``, when ``thinning < 1``, or ``collection_size`` is too small.
    :raises TypeError: on an unknown option of the bar.

    >>> fori_collect(0, 4, lambda x: 2 * x, jnp.array(1), progbar=False, thinning=2).tolist()
    [4, 16]
    """
    num_kept = _check(lower, upper, thinning, collection_size, progress_rate)
    size = num_kept if collection_size is None else collection_size
    if unknown := progbar_opts.keys() - _BAR_OPTIONS:
        raise TypeError(
            f"fori_collect got unknown options {sorted(unknown)}; options of the bar are {sorted(_BAR_OPTIONS)}."
        )
    describe = _bar_description(**progbar_opts)
    init_val = jax.tree.map(jnp.asarray, init_val)
    row_shapes = jax.eval_shape(lambda value: transform(body_fun(value)), init_val)
    zeros = lambda *leading: jax.tree.map(lambda leaf: jnp.zeros((*leading, *leaf.shape), leaf.dtype), row_shapes)
    first = upper - num_kept * thinning

    def step(i: Any, carry: tuple[Any, Any]) -> tuple[Any, Any]:
        value, kept = carry
        value = body_fun(value)
        if num_kept == 0:
            return value, kept
        if first == 0 and thinning == 1:
            row = transform(value)
        else:
            is_kept = (i >= first) & ((upper - 1 - i) % thinning == 0)
            row = cond(is_kept, value, transform, None, lambda _: zeros())
        # A step that is not kept writes into the slot of the next one that is, which overwrites it.
        slot = jnp.maximum(i - first, 0) // thinning
        return value, jax.tree.map(lambda array, x: array.at[slot].set(x), kept, row)

    carry = (init_val, zeros(size))
    if progbar and all(not_jax_tracer(x) for x in jax.tree.leaves(init_val)):
        carry = _run_with_bar(step, carry, upper, progress_rate, describe)
    else:
        carry = fori_loop(0, upper, step, carry)
    last_val, kept = carry
    return (kept, last_val) if return_last_val else kept


def _run_with_bar(
    step: Callable[[Any, Any], Any],
    carry: Any,
    upper: int,
    progress_rate: int | None,
    describe: Callable[[Any, int, Any], None],
) -> Any:
    from tqdm.auto import tqdm

    rate = progress_rate or max(1, upper // 20)
    advance = maybe_jit(lambda start, stop, carry: fori_loop(start, stop, step, carry))
    with tqdm(total=upper) as bar:
        for start in range(0, upper, rate):
            stop = min(start + rate, upper)
            carry = jax.block_until_ready(advance(start, stop, carry))
            describe(bar, stop - 1, carry[0])
            bar.update(stop - start)
    return carry


def _bar_description(
    progbar_desc: Callable[[int], str] | None = None,
    diagnostics_fn: Callable[[Any], str] | None = None,
    num_chains: int = 1,
) -> Callable[[Any, int, Any], None]:
    def describe(bar: Any, i: int, value: Any) -> None:
        if progbar_desc is not None:
            bar.set_description(progbar_desc(i), refresh=False)
        elif num_chains > 1:
            bar.set_description(f"Running {num_chains} chains", refresh=False)
        if diagnostics_fn is not None:
            bar.set_postfix_str(diagnostics_fn(value), refresh=False)

    return describe


def _check(lower: int, upper: int, thinning: int, collection_size: int | None, progress_rate: int | None) -> int:
    if not 0 <= lower <= upper:
        raise UsageError(f"fori_collect expects 0 <= lower <= upper, got lower={lower} and upper={upper}.")
    if thinning < 1:
        raise UsageError(f"fori_collect expects thinning of at least 1, got {thinning}.")
    if progress_rate is not None and progress_rate < 1:
        raise UsageError(f"fori_collect expects progress_rate of at least 1, got {progress_rate}.")
    num_kept = (upper - lower) // thinning
    if collection_size is not None and collection_size < num_kept:
        raise UsageError(
            f"fori_collect keeps {num_kept} values (lower={lower}, upper={upper}, thinning={thinning}); "
            f"collection_size={collection_size} has no room for them."
        )
    return num_kept
