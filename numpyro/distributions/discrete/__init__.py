"""Discrete distributions, one family a file.

On 0 and 1: ``bernoulli``; on finitely many integers: ``categorical``, ``ordered_logistic``, ``binomial``,
``discrete_uniform``; on all counts: ``poisson``, ``geometric``; on vectors of counts: ``multinomial``. Families in
which zero has a probability of its own are made of others in ``zero_inflated`` and ``hurdle``. ``support`` has what
they share. Compounds of these with continuous families are in :mod:`numpyro.distributions.conjugate`.
"""

from numpyro.distributions.discrete.bernoulli import Bernoulli, BernoulliLogits, BernoulliProbs
from numpyro.distributions.discrete.binomial import Binomial, BinomialLogits, BinomialProbs
from numpyro.distributions.discrete.categorical import Categorical, CategoricalLogits, CategoricalProbs
from numpyro.distributions.discrete.discrete_uniform import DiscreteUniform
from numpyro.distributions.discrete.geometric import Geometric, GeometricLogits, GeometricProbs
from numpyro.distributions.discrete.hurdle import HurdleDistribution, HurdleLogits, HurdlePoisson, HurdleProbs
from numpyro.distributions.discrete.multinomial import Multinomial, MultinomialLogits, MultinomialProbs
from numpyro.distributions.discrete.ordered_logistic import OrderedLogistic
from numpyro.distributions.discrete.poisson import Poisson
from numpyro.distributions.discrete.zero_inflated import (
    ZeroInflatedDistribution,
    ZeroInflatedLogits,
    ZeroInflatedPoisson,
    ZeroInflatedProbs,
)

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
    "HurdleDistribution",
    "HurdleLogits",
    "HurdlePoisson",
    "HurdleProbs",
    "Multinomial",
    "MultinomialLogits",
    "MultinomialProbs",
    "OrderedLogistic",
    "Poisson",
    "ZeroInflatedDistribution",
    "ZeroInflatedLogits",
    "ZeroInflatedPoisson",
    "ZeroInflatedProbs",
]
