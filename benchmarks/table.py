"""From figures to one table of ratios, in Markdown, with notes on what is not in it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.environments import OURS

Figures = dict[str, Any]
Rows = dict[str, dict[str, Figures]]

# Figures by name: what the table calls them.
LABELS = {
    "first": "first run, s",
    "again": "repeated run, s",
    "compiles_first": "compilations, first run",
    "compiles_again": "compilations, repeated run",
    "leapfrog": "µs per leapfrog",
    "ess_whole": "min bulk ESS/s, with compiling",
    "ess_compiled": "min bulk ESS/s, compiled before",
    "peak_memory_mb": "peak memory, MB",
}


def least(results: Sequence[Figures]) -> Figures:
    """The minimum of each figure over repetitions; of texts the last. Failures count only where all fail."""
    good = [result for result in results if "error" not in result]
    if not good:
        return dict(results[-1])
    found: Figures = {}
    for result in good:
        for key, value in result.items():
            number = isinstance(value, (int, float)) and key in found
            found[key] = min(found[key], value) if number else value
    return found


def combine(parts: dict[str, Figures]) -> Figures:
    """The figures of several measures in one; the reasons of those that failed under ``errors``."""
    found: Figures = {}
    for figures in parts.values():
        found |= {key: value for key, value in figures.items() if key != "error"}
    errors = {what: figures["error"] for what, figures in parts.items() if "error" in figures}
    return found | ({"errors": errors} if errors else {})


def mean_of_logs(values: Iterable[float]) -> float:
    """The geometric mean; of nothing, NaN."""
    logs = [math.log(value) for value in values]
    return math.exp(math.fsum(logs) / len(logs)) if logs else math.nan


def ratio(ours: Figures, theirs: Figures, key: str) -> float | None:
    """Our figure over theirs; ``None`` where one is missing or theirs is zero."""
    if key not in ours or not theirs.get(key):
        return None
    return ours[key] / theirs[key]


def show(number: float | None) -> str:
    """Three digits, or a dash."""
    if number is None or not math.isfinite(number):
        return "-"
    return f"{number:.0f}" if abs(number) >= 100 else f"{number:.3g}"


def ratio_table(rows: Rows, names: Sequence[str], keys: Sequence[str]) -> list[str]:
    """One line for each case and figure: ours as it is, and ours over that of each other, in Markdown."""
    others = [name for name in names if name != OURS]
    lines = [
        f"| model | figure | {OURS} | " + " | ".join(f"ratio to {name}" for name in others) + " |",
        "|---|---|---|" + "---|" * len(others),
    ]
    for case, row in rows.items():
        ours = row.get(OURS, {})
        for key in keys:
            if not any(key in figures for figures in row.values()):
                continue
            cells = [case, LABELS[key], show(ours.get(key))]
            cells += [show(ratio(ours, row.get(name, {}), key)) for name in others]
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def mean_lines(rows: Rows, names: Sequence[str], keys: Sequence[str]) -> list[str]:
    """Geometric means of ratios over the cases where both have the figure."""
    lines = []
    for name in names:
        for key in keys:
            ratios = [found for row in rows.values() if (found := ratio(row[OURS], row.get(name, {}), key))]
            if name != OURS and ratios:
                mean = show(mean_of_logs(ratios))
                lines.append(f"{LABELS[key]}, ratio to {name}: geometric mean {mean} over {len(ratios)}")
    return lines


def notes(rows: Rows) -> list[str]:
    """What failed and why, and whose answers are not right."""
    lines = []
    for case, row in rows.items():
        for name, figures in row.items():
            lines += [f"{case}, {name}, {what}: {why}" for what, why in figures.get("errors", {}).items()]
            if figures.get("right") is False:
                lines.append(
                    f"{case}, {name}: not right (mean off by {figures['mean_off']:.2f} deviations, deviations by up to "
                    f"{figures['spread_off']:.2f}, r_hat {figures['r_hat']:.3f})"
                )
    return lines
