"""Tables of what draws say: location, spread, interval, effective sample size and convergence of every parameter."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from numpyro._errors import UsageError
from numpyro.diagnostics._chains import as_numbers
from numpyro.diagnostics._effective_sample_size import effective_sample_size
from numpyro.diagnostics._intervals import hpdi_of_sorted
from numpyro.diagnostics._r_hat import split_gelman_rubin


def summary(samples: Any, prob: float = 0.9, group_by_chain: bool = True) -> dict[str, OrderedDict[str, Any]]:
    """Summarise draws: location, spread, interval, effective sample size and r_hat.

    :param samples: a dictionary of draws by name, of shape ``(chains, draws, ...)``; values may be dictionaries again,
        whose names are joined by dots. Arrays of any other pytree are named ``Param:0``, ``Param:1``, ...
    :param prob: share of the draws in the interval, default 0.9.
    :param group_by_chain: whether the first dimension numbers chains (default). Otherwise draws have the shape
        ``(draws, ...)`` and are taken as one chain.
    :return: for every name a dictionary with the keys ``"mean"``, ``"std"``, ``"median"``, ``"5.0%"``, ``"95.0%"``
        (the ends of the interval, named after the quantiles which they are for a symmetric distribution), ``"n_eff"``
        (:func:`effective_sample_size`) and ``"r_hat"`` (:func:`split_gelman_rubin`); values have the shape of one draw.
    :raises UsageError: when there are too few dimensions or draws; at least 4 draws a chain are needed.
    :raises TypeError: when draws are not real numbers.

    >>> draws = np.random.default_rng(0).normal(size=(4, 1000))
    >>> list(summary({"x": draws})["x"])
    ['mean', 'std', 'median', '5.0%', '95.0%', 'n_eff', 'r_hat']
    """
    table = {}
    for name, value in _named_arrays(samples):
        try:
            table[name] = _summarize(value if group_by_chain else np.asarray(value)[None], prob)
        except (TypeError, UsageError) as error:
            raise type(error)(f"cannot summarise '{name}': {error}") from None
    return table


def print_summary(samples: Any, prob: float = 0.9, group_by_chain: bool = True) -> None:
    """Print a table of :func:`summary`, one line for each number in a draw.

    :param samples: as in :func:`summary`.
    :param prob: as in :func:`summary`.
    :param group_by_chain: as in :func:`summary`.
    """
    table = summary(samples, prob, group_by_chain)
    if not table:
        return
    rows = [
        (name + (f"[{','.join(map(str, index))}]" if index else ""), [column[index] for column in columns])
        for name, columns in ((name, [np.asarray(value) for value in row.values()]) for name, row in table.items())
        for index in itertools.product(*map(range, columns[0].shape))
    ]
    width = max([len(label) + (0 if label.endswith("]") else 2) for label, _ in rows], default=0)
    width = max(width, 10)
    titles = next(iter(table.values())).keys()
    print()
    print(" " * width + "".join(f"{title:>10}" for title in titles))
    for label, values in rows:
        print(f"{label:>{width}}" + "".join(f" {value:9.2f}" for value in values))
    print()


def _summarize(value: Any, prob: float) -> OrderedDict[str, Any]:
    draws = as_numbers(value, "summary")
    if draws.ndim < 2:
        raise UsageError(
            f"draws of shape (chains, draws, ...) are expected, got shape {draws.shape}; "
            "with group_by_chain=False the shape is (draws, ...)."
        )
    n_eff, r_hat = effective_sample_size(draws), split_gelman_rubin(draws)
    single = draws.dtype if draws.dtype in (np.float16, np.float32) else np.float64
    ordered: np.ndarray = np.sort(draws.reshape(draws.shape[0] * draws.shape[1], *draws.shape[2:]), axis=0)
    lower, upper = hpdi_of_sorted(ordered, prob)
    with np.errstate(invalid="ignore"):
        return OrderedDict(
            [
                ("mean", np.asarray(np.mean(ordered, axis=0, dtype=np.float64)).astype(single)[()]),
                ("std", np.asarray(np.std(ordered, axis=0, ddof=1, dtype=np.float64)).astype(single)[()]),
                ("median", _median_of_sorted(ordered).astype(single)[()]),
                (f"{50 * (1 - prob):.1f}%", lower[()]),
                (f"{50 * (1 + prob):.1f}%", upper[()]),
                ("n_eff", n_eff),
                ("r_hat", r_hat),
            ]
        )


def _median_of_sorted(ordered: np.ndarray) -> np.ndarray:
    size = len(ordered)
    median = np.asarray(ordered[(size - 1) // 2] / 2.0 + ordered[size // 2] / 2.0)
    return np.where(np.isnan(ordered[-1]), np.nan, median)


def _named_arrays(samples: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(samples, Mapping):
        samples = {f"Param:{i}": leaf for i, leaf in enumerate(jax.tree.leaves(samples))}
    for name, value in samples.items():
        yield from _flatten(str(name), value)


def _flatten(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, child in value.items():
            yield from _flatten(f"{name}.{key}", child)
    elif isinstance(value, np.ndarray) or jax.tree_util.all_leaves([value]):
        yield name, value
    else:
        for path, leaf in jax.tree_util.tree_leaves_with_path(value):
            yield name + jax.tree_util.keystr(path), leaf
