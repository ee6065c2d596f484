"""The picture of the demo: the funnel seen through two coordinates, and the season predicted. Needs matplotlib."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from numpyro.diagnostics import hpdi
from numpyro.examples.demo import baseball, eight_schools

BLUE, ORANGE, RED, GREY = "#3b6ea8", "#d9822b", "#c23030", "#8a8f98"


def funnel(axes: Axes, fitted: eight_schools.Fit, title: str) -> None:
    """Scatter the first school's effect against log tau, divergent transitions on top."""
    draws = fitted.mcmc.get_samples()
    diverging = np.asarray(fitted.mcmc.get_extra_fields()["diverging"])
    theta, log_tau = np.asarray(draws["theta"][:, 0]), np.log(np.asarray(draws["tau"]))
    axes.scatter(theta, log_tau, s=4, alpha=0.35, color=BLUE, linewidths=0, label="draws")
    axes.scatter(theta[diverging], log_tau[diverging], s=12, color=RED, linewidths=0, label="divergent")
    axes.set_title(title, fontsize=11)
    axes.set(xlabel=r"$\theta_1$, effect in the first school", xlim=(-25, 45), ylim=(-6, 5))


def season(axes: Axes, fitted: baseball.Fit) -> None:
    """Show for each player the first average, the predicted rest with its interval, and the rest as it came."""
    order = np.argsort(fitted.season.hits / fitted.season.at_bats)
    low, high = hpdi(fitted.predicted, prob=0.9)
    rows = np.arange(len(order))
    axes.hlines(rows, low[order], high[order], color=BLUE, alpha=0.35, linewidth=5, label="predicted, 90 %")
    axes.plot(fitted.predicted.mean(0)[order], rows, "|", color=BLUE, markersize=9, label="predicted, mean")
    early = fitted.season.hits / fitted.season.at_bats
    axes.plot(early[order], rows, "o", color=GREY, markersize=4, label="first 45 at bats")
    truth = fitted.season.rest_hits / fitted.season.rest_at_bats
    axes.plot(truth[order], rows, "o", color=ORANGE, markersize=5, label="rest of the season")
    axes.set_title("Baseball: partial pooling", fontsize=11)
    axes.set(xlabel="batting average", yticks=rows)
    axes.set_yticklabels([fitted.season.names[j] for j in order], fontsize=7)
    axes.legend(fontsize=7, loc="upper left")


def save(schools: tuple[eight_schools.Fit, eight_schools.Fit], players: baseball.Fit, path: Path) -> None:
    """Draw the three panels and write them to ``path``."""
    figure = Figure(figsize=(13, 4.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.2))
    funnel(left, schools[0], f"Eight schools, centred: {schools[0].divergences} divergences")
    funnel(middle, schools[1], f"Eight schools, non-centred: {schools[1].divergences} divergences")
    left.set_ylabel(r"$\log \tau$, how much schools differ")
    left.legend(fontsize=7, loc="lower right")
    season(right, players)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
