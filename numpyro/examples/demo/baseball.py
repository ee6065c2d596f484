"""Batting averages (Efron & Morris 1975): eighteen players after 45 times at bat, and the rest of their season.

Player ``j`` gets ``hits_j ~ Binomial(at_bats_j, logits=alpha + sigma z_j)``, ``z_j ~ Normal(0, 1)``. The data decide
through ``sigma`` how far players are pooled: towards one common ability as it goes to zero, not at all as it grows.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np

import numpyro
import numpyro.distributions as dist
from numpyro.diagnostics import hpdi
from numpyro.examples.datasets import BASEBALL, load_dataset
from numpyro.infer import MCMC, NUTS, Predictive


class Season(NamedTuple):
    """Eighteen players: times at bat and hits early in the season, and in the rest of it; arrays of shape ``(18,)``."""

    names: list[str]
    at_bats: np.ndarray
    hits: np.ndarray
    rest_at_bats: np.ndarray
    rest_hits: np.ndarray


def load() -> Season:
    """Read the season; what the file gives as totals is turned into the rest after the first part."""
    _, first = load_dataset(BASEBALL, split="train", shuffle=False)
    _, total = load_dataset(BASEBALL, split="test", shuffle=False)
    (early, names), (season, _) = first(), total()
    early, season = np.asarray(early), np.asarray(season)
    return Season(list(names), early[:, 0], early[:, 1], *(season - early).T)


def model(at_bats: np.ndarray, hits: np.ndarray | None = None) -> None:
    """Abilities on the logit scale, partially pooled."""
    alpha = numpyro.sample("alpha", dist.Normal(-1.0, 1.0))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    with numpyro.plate("player", len(at_bats)):
        z = numpyro.sample("z", dist.Normal(0.0, 1.0))
        logits = alpha + sigma * z
        numpyro.deterministic("ability", jax.nn.sigmoid(logits))
        numpyro.sample("hits", dist.Binomial(at_bats, logits=logits), obs=hits)


class Fit(NamedTuple):
    """The fitted season: draws of the abilities and predicted averages for the rest, both ``(draws, 18)``."""

    season: Season
    mcmc: MCMC
    ability: np.ndarray
    predicted: np.ndarray


def fit(key: jax.Array) -> Fit:
    """Sample the posterior given the first 45 times at bat, and predict the averages over the rest of the season."""
    season = load()
    mcmc = MCMC(NUTS(model), num_warmup=1000, num_samples=1000, num_chains=4, progress_bar=False)
    mcmc.run(key, season.at_bats, season.hits)
    draws = mcmc.get_samples()
    parameters = {name: draws[name] for name in ("alpha", "sigma", "z")}
    rest = Predictive(model, parameters)(jax.random.fold_in(key, 1), season.rest_at_bats)
    return Fit(season, mcmc, np.asarray(draws["ability"]), np.asarray(rest["hits"]) / season.rest_at_bats)


def report(key: jax.Array) -> Fit:
    """Fit the season, print the summary, the predictions against the truth, and what they say."""
    fitted = fit(key)
    season, ability, predicted = fitted.season, fitted.ability, fitted.predicted
    truth = season.rest_hits / season.rest_at_bats
    early = season.hits / season.at_bats
    low, high = hpdi(predicted, prob=0.9)

    print("\nBaseball, 18 players: 4 chains of 1000 draws, from the first 45 times at bat")
    fitted.mcmc.print_summary()
    print("Batting averages: the first 45, the rest as predicted (with its 90 % interval), the rest as it came")
    for j, name in enumerate(season.names):
        interval = f"({low[j]:.3f} to {high[j]:.3f})"
        mark = "" if low[j] <= truth[j] <= high[j] else "   outside"
        print(f"  {name:<18} {early[j]:.3f}   {predicted[:, j].mean():.3f} {interval}   {truth[j]:.3f}{mark}")

    def error_of(estimate: np.ndarray | float) -> float:
        return float(np.sqrt(np.mean((estimate - truth) ** 2)))

    inside = int(np.sum((low <= truth) & (truth <= high)))
    print(f"""
What this says
  root mean squared error over the rest of the season
    each player's own first average   {error_of(early):.3f}
    one average for everybody         {error_of(season.hits.sum() / season.at_bats.sum()):.3f}
    partial pooling (this model)      {error_of(ability.mean(0)):.3f}
  {inside} of {len(truth)} players came out inside their 90 % interval.

  Forty-five times at bat are few: an average of .400 is a good player's luck more than his ability. The hierarchy
  learns from all eighteen how much abilities differ (sigma), and draws each average towards the common one
  accordingly.""")
    return fitted
