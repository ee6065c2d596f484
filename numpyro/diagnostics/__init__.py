"""What draws say of themselves: how much they depend on each other, whether chains agree, and tables of both.

All functions take arrays of JAX or NumPy and compute in NumPy, in double precision: draws are in host memory, and
nothing is compiled. Reading order: ``_chains`` (shapes and checks), ``_autocorrelation``, ``_ranks``,
``_effective_sample_size``, ``_r_hat``, ``_standard_error``, ``_intervals``, ``_summary``.
"""

from __future__ import annotations

from numpyro.diagnostics._autocorrelation import autocorrelation, autocovariance
from numpyro.diagnostics._effective_sample_size import (
    bulk_effective_sample_size,
    effective_sample_size,
    tail_effective_sample_size,
)
from numpyro.diagnostics._intervals import hpdi
from numpyro.diagnostics._r_hat import gelman_rubin, rank_normalized_r_hat, split_gelman_rubin
from numpyro.diagnostics._standard_error import mcse_mean, mcse_quantile, mcse_sd
from numpyro.diagnostics._summary import print_summary, summary

__all__ = [
    "autocorrelation",
    "autocovariance",
    "bulk_effective_sample_size",
    "effective_sample_size",
    "gelman_rubin",
    "hpdi",
    "mcse_mean",
    "mcse_quantile",
    "mcse_sd",
    "print_summary",
    "rank_normalized_r_hat",
    "split_gelman_rubin",
    "summary",
    "tail_effective_sample_size",
]
