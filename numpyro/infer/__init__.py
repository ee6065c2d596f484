"""Inference: what algorithms need to know of a model, and the algorithms.

What lies in rooms of its own, such as :mod:`numpyro.infer.autoguide`, is imported when it is first asked for.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from numpyro.infer.barker import BarkerMH
from numpyro.infer.chees import ChEES
from numpyro.infer.elbo import ELBO, RenyiELBO, Trace_ELBO, TraceEnum_ELBO, TraceGraph_ELBO, TraceMeanField_ELBO
from numpyro.infer.ensemble import AIES, ESS
from numpyro.infer.gibbs import CustomGibbs, DiscreteGibbs, Gibbs
from numpyro.infer.hmc import HMC, NUTS
from numpyro.infer.hmc_gibbs import HMCECS, DiscreteHMCGibbs, HMCGibbs
from numpyro.infer.importance import psis_diagnostic
from numpyro.infer.initialization import (
    init_to_feasible,
    init_to_mean,
    init_to_median,
    init_to_sample,
    init_to_uniform,
    init_to_value,
)
from numpyro.infer.mclmc import MCLMC
from numpyro.infer.mcmc import MCMC, Until
from numpyro.infer.mixed_hmc import MixedHMC
from numpyro.infer.pathfinder import Pathfinder
from numpyro.infer.sa import SA
from numpyro.infer.svi import SVI
from numpyro.infer.tempered_smc import TemperedSMC
from numpyro.infer.util import Predictive, initialize_model, log_likelihood

__all__ = [
    "AIES",
    "BarkerMH",
    "ChEES",
    "CustomGibbs",
    "DiscreteGibbs",
    "DiscreteHMCGibbs",
    "ELBO",
    "ESS",
    "Gibbs",
    "HMC",
    "HMCECS",
    "HMCGibbs",
    "MCLMC",
    "MCMC",
    "MixedHMC",
    "NUTS",
    "Pathfinder",
    "Predictive",
    "RenyiELBO",
    "SA",
    "SVI",
    "TemperedSMC",
    "TraceEnum_ELBO",
    "TraceGraph_ELBO",
    "TraceMeanField_ELBO",
    "Trace_ELBO",
    "Until",
    "init_to_feasible",
    "init_to_mean",
    "init_to_median",
    "init_to_sample",
    "init_to_uniform",
    "init_to_value",
    "initialize_model",
    "log_likelihood",
    "psis_diagnostic",
]


def __getattr__(name: str) -> Any:
    """Import a submodule on first use: ``numpyro.infer.autoguide`` needs no import statement of its own."""
    path = f"{__name__}.{name}"
    if not name.startswith("_"):
        try:
            return importlib.import_module(path)
        except ModuleNotFoundError as error:
            if error.name != path:
                raise
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    submodules = (found.name for found in pkgutil.iter_modules(__path__) if not found.name.startswith("_"))
    return sorted({*globals(), *submodules})
