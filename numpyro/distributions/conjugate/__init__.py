"""Counts whose parameter has the distribution that is conjugate to it, and has been integrated out.

A Poisson rate that is gamma distributed: ``gamma_poisson``, and its other parametrisations in ``negative_binomial``; a
probability that is beta distributed: ``beta_binomial``, ``beta_negative_binomial``; a vector of probabilities that is
Dirichlet distributed: ``dirichlet_multinomial``. ``coefficient`` has what they share.
"""

from numpyro.distributions.conjugate.beta_binomial import BetaBinomial
from numpyro.distributions.conjugate.beta_negative_binomial import BetaNegativeBinomial
from numpyro.distributions.conjugate.dirichlet_multinomial import DirichletMultinomial
from numpyro.distributions.conjugate.gamma_poisson import GammaPoisson
from numpyro.distributions.conjugate.negative_binomial import (
    HurdleNegativeBinomial2,
    NegativeBinomial,
    NegativeBinomial2,
    NegativeBinomialLogits,
    NegativeBinomialProbs,
    ZeroInflatedNegativeBinomial2,
)

__all__ = [
    "BetaBinomial",
    "BetaNegativeBinomial",
    "DirichletMultinomial",
    "GammaPoisson",
    "HurdleNegativeBinomial2",
    "NegativeBinomial",
    "NegativeBinomial2",
    "NegativeBinomialLogits",
    "NegativeBinomialProbs",
    "ZeroInflatedNegativeBinomial2",
]
