"""Tables of the shapes in a trace, and the check of a guide against its model."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

from numpyro._util.stack import find_stack_level

Trace = Mapping[str, Mapping[str, Any]]


def format_shapes(
    trace: Trace,
    *,
    compute_log_prob: bool | Callable[[Mapping[str, Any]], bool] = False,
    title: str = "Trace Shapes:",
    last_site: str | None = None,
) -> str:
    """Return a table of the shapes of a trace's parameters, plates and sample sites.

    A sample site has a line for its distribution, one for its value, and one for its log density if asked for. Batch
    dimensions stand to the left of the bar, event dimensions to its right.

    :param trace: what ``handlers.trace(model).get_trace(...)`` returns.
    :param compute_log_prob: whether to show the shapes of log densities, or a function of a site that tells where.
    :param title: the first line.
    :param last_site: the name of the last site to show; by default all are shown.
    :return: the table, lines separated by newlines.
    """
    if not trace:
        return title
    rows: list[tuple[list[str], list[str]]] = [([title], []), (["Param Sites:"], [])]
    for name, site in trace.items():
        if site["type"] == "param":
            rows.append(([name, *map(str, getattr(site["value"], "shape", ()))], []))
        if name == last_site:
            break
    rows.append((["Sample Sites:"], []))
    for name, site in trace.items():
        if site["type"] == "plate":
            rows.append(([f"{name} plate", *map(str, jnp.shape(site["value"])), "|"], []))
        elif site["type"] == "sample":
            rows.extend(_sample_rows(name, site, compute_log_prob))
        if name == last_site:
            break
    return _align(rows)


def _sample_rows(
    name: str, site: Mapping[str, Any], compute_log_prob: bool | Callable[[Mapping[str, Any]], bool]
) -> list[tuple[list[str], list[str]]]:
    batch_shape = getattr(site["fn"], "batch_shape", ())
    event_shape = getattr(site["fn"], "event_shape", ())
    value_shape = jnp.shape(site["value"])
    split = len(value_shape) - len(event_shape)
    rows = [
        ([f"{name} dist", *map(str, batch_shape), "|"], [*map(str, event_shape)]),
        (["value", *map(str, value_shape[:split]), "|"], [*map(str, value_shape[split:])]),
    ]
    if compute_log_prob(site) if callable(compute_log_prob) else compute_log_prob:
        rows.append((["log_prob", *map(str, jnp.shape(site["fn"].log_prob(site["value"]))), "|"], []))
    return rows


def _align(rows: list[tuple[list[str], list[str]]]) -> str:
    """Write rows as a table: after the name, the first part of a row ends, and the second begins, at one column."""
    left = max(len(before) for before, _ in rows)
    right = max(len(after) for _, after in rows)
    table = [
        before[:1] + [""] * (left - len(before)) + before[1:] + after + [""] * (right - len(after))
        for before, after in rows
    ]
    widths = [max(len(row[column]) for row in table) for column in range(left + right)]
    return "\n".join(" ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in table)


def check_model_guide_match(model_trace: Trace, guide_trace: Trace) -> None:
    """Check that a guide samples the latent sites of its model, with the same shapes.

    :param model_trace: a trace of the model.
    :param guide_trace: a trace of the guide.
    :raises ValueError: when a site's shape or number of event dimensions differs between model and guide.

    Warns about latent sites that only the model has, about sites that only the guide has and that are not marked
    ``infer={"is_auxiliary": True}``, and about plates that only the guide has.
    """
    model_sites = {name: site for name, site in model_trace.items() if _is_latent(site)}
    guide_sites = {name: site for name, site in guide_trace.items() if _is_latent(site)}
    auxiliary = {name for name, site in guide_sites.items() if site["infer"].get("is_auxiliary")}
    enumerated = {name for name, site in model_sites.items() if site["infer"].get("enumerate") == "parallel"}

    _warn_names("Found vars in model but not guide: {}", model_sites.keys() - guide_sites.keys() - enumerated)
    _warn_names(
        "Found non-auxiliary vars in guide but not model, consider marking these infer={{'is_auxiliary': True}}:\n{}",
        guide_sites.keys() - auxiliary - model_sites.keys(),
    )
    for name in [name for name in model_sites if name in guide_sites]:
        _check_site(name, model_sites[name]["fn"], guide_sites[name]["fn"])

    plates = [{name for name, site in trace.items() if site["type"] == "plate"} for trace in (model_trace, guide_trace)]
    _warn_names("Found plate statements in guide but not model: {}", plates[1] - plates[0])


def _is_latent(site: Mapping[str, Any]) -> bool:
    return site["type"] == "sample" and not site.get("is_observed", False)


def _check_site(name: str, model_fn: Any, guide_fn: Any) -> None:
    event_dims = [getattr(fn, "event_dim", None) for fn in (model_fn, guide_fn)]
    if None not in event_dims and event_dims[0] != event_dims[1]:
        raise ValueError(f"Model and guide event_dims disagree at site '{name}': {event_dims[0]} vs {event_dims[1]}")
    shapes = [fn.shape() if hasattr(fn, "shape") else None for fn in (model_fn, guide_fn)]
    if None not in shapes and shapes[0] != shapes[1]:
        raise ValueError(f"Model and guide shapes disagree at site '{name}': {shapes[0]} vs {shapes[1]}")


def _warn_names(message: str, names: set[str]) -> None:
    if names:
        listed = "{" + ", ".join(map(repr, sorted(names))) + "}"
        warnings.warn(message.format(listed), stacklevel=find_stack_level())
