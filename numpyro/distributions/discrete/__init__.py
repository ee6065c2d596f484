"""Discrete distributions, one family a file.

On 0 and 1: ``bernoulli``; on finitely many integers: ``categorical``, ``binomial``, ``discrete_uniform``; on all
counts: ``poisson``, ``geometric``; on vectors of counts: ``multinomial``. ``support`` has what they share. Compounds of
these with continuous families are in
:mod:`numpyro.distributions.conjugate`.
"""

from numpyro.distributions.discrete.bernoulli import Bernoulli, BernoulliLogits, BernoulliProbs
from numpyro.distributions.discrete.binomial import Binomial, BinomialLogits, BinomialProbs
from numpyro.distributions.discrete.categorical import Categorical, CategoricalLogits, CategoricalProbs
from numpyro.distributions.discrete.discrete_uniform import DiscreteUniform
from numpyro.distributions.discrete.geometric import Geometric, GeometricLogits, GeometricProbs
from numpyro.distributions.discrete.multinomial import Multinomial, MultinomialLogits, MultinomialProbs
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
    "DiscreteUniform",
    "Geometric",
    "GeometricLogits",
    "GeometricProbs",
    "Multinomial",
    "MultinomialLogits",
    "MultinomialProbs",
    "Poisson",
]
