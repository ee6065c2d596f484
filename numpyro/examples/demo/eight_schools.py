"""Eight schools (Rubin 1981), centred and non-centred: what divergences say, and why the second form has none.

The effect of a coaching programme in school ``j`` is observed as ``y_j ~ Normal(theta_j, sigma_j)`` with known
``sigma_j``, and the schools are alike: ``theta_j ~ Normal(mu, tau)``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

import numpyro
import numpyro.distributions as dist
from numpyro.diagnostics import summary
from numpyro.examples.datasets import EIGHT_SCHOOLS, load_dataset
from numpyro.infer import MCMC, NUTS


def load() -> tuple[np.ndarray, np.ndarray]:
    """The estimated effects and their standard errors, each of shape ``(8,)``."""
    _, fetch = load_dataset(EIGHT_SCHOOLS, shuffle=False)
    effect, error = fetch()
    return np.asarray(effect), np.asarray(error)


def centred(error: np.ndarray, effect: np.ndarray | None = None) -> None:
    """Draw each school's effect around the common mean: a funnel, as ``theta`` is squeezed where ``tau`` is small."""
    mu = numpyro.sample("mu", dist.Normal(0, 5))
    tau = numpyro.sample("tau", dist.HalfCauchy(5))
    with numpyro.plate("school", len(error)):
        theta = numpyro.sample("theta", dist.Normal(mu, tau))
        numpyro.sample("effect", dist.Normal(theta, error), obs=effect)


def non_centred(error: np.ndarray, effect: np.ndarray | None = None) -> None:
    """Draw standard scores, and shift and scale them: the same law of ``theta``, without the funnel."""
    mu = numpyro.sample("mu", dist.Normal(0, 5))
    tau = numpyro.sample("tau", dist.HalfCauchy(5))
    with numpyro.plate("school", len(error)):
        z = numpyro.sample("z", dist.Normal(0, 1))
        theta = numpyro.deterministic("theta", mu + tau * z)
        numpyro.sample("effect", dist.Normal(theta, error), obs=effect)


class Fit(NamedTuple):
    """One fitted form of the model: the sampler with its draws, and the three figures that the demo talks about."""

    mcmc: MCMC
    divergences: int
    worst_r_hat: float
    tau_n_eff: float


def fit(model: Callable[..., None], key: jax.Array) -> Fit:
    """Sample one form of the model with default settings, four chains of a thousand draws."""
    mcmc = MCMC(NUTS(model), num_warmup=1000, num_samples=1000, num_chains=4, progress_bar=False)
    effect, error = load()
    mcmc.run(key, error, effect)
    sites = summary({name: x for name, x in mcmc.get_samples(group_by_chain=True).items() if name != "z"})
    return Fit(
        mcmc,
        divergences=int(mcmc.get_extra_fields()["diverging"].sum()),
        worst_r_hat=max(float(np.max(site["r_hat"])) for site in sites.values()),
        tau_n_eff=float(sites["tau"]["n_eff"]),
    )


def report(key: jax.Array) -> tuple[Fit, Fit]:
    """Fit both forms, print their summaries and what they say; returns the centred and the non-centred fit."""
    fits = fit(centred, key), fit(non_centred, key)
    for name, fitted in zip(("centred", "non-centred"), fits, strict=True):
        print(f"\nEight schools, {name}: 4 chains of 1000 draws")
        fitted.mcmc.print_summary(exclude_deterministic=False)
    with_funnel, without = fits
    print(f"""
What this says
  divergences     centred {with_funnel.divergences}, non-centred {without.divergences}
  largest r_hat   centred {with_funnel.worst_r_hat:.3f}, non-centred {without.worst_r_hat:.3f}
  n_eff of tau    centred {with_funnel.tau_n_eff:.0f}, non-centred {without.tau_n_eff:.0f}, of 4000 draws

  A divergence is a trajectory that broke down. In the centred form theta must lie within about tau of mu, so where
  tau is small the posterior narrows into a neck for which the step size is too long: trajectories diverge there, and
  small values of tau are visited too rarely. In the non-centred form the sampler moves in z = (theta - mu) / tau,
  whose width does not depend on tau, so one step size suits all of it. Believe the second table.
  What it says of the schools: tau may well be near zero, so the eight effects are much alike, and the largest
  estimate (28 points) is mostly luck: its school's effect is put at about {theta_of_first(without):.0f} points.""")
    return fits


def theta_of_first(fitted: Fit) -> float:
    """Posterior mean of the first school's effect."""
    return float(fitted.mcmc.get_samples()["theta"][:, 0].mean())
