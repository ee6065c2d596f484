"""Discrete distributions, one family a file.

On 0 and 1: ``bernoulli``; on finitely many integers: ``categorical``, ``binomial``; on all counts: ``poisson``.
``support`` has what they share. Compounds of these with continuous families are in
:mod:`numpyro.distributions.conjugate`.
"""

from numpyro.distributions.discrete.bernoulli import Bernoulli, BernoulliLogits, BernoulliProbs
from numpyro.distributions.discrete.binomial import Binomial, BinomialLogits, BinomialProbs
from numpyro.distributions.discrete.categorical import Categorical, CategoricalLogits, CategoricalProbs
from numpyro.distributions.discrete.poisson import Poisson

__all__ = [
    "Bernoulli",
    "BernoulliLogits",
    "BernoulliProbs",
    "Binomial",
    "BinomialLogits",
    "BinomialProbs",
    "Categorical",
    "CategoricalLogits",
    "CategoricalProbs",
    "Poisson",
]
