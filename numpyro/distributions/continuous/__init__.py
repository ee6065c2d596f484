"""Continuous distributions, one family a file.

On the line: ``normal``, ``cauchy``, ``student_t``, ``laplace``, ``logistic``, ``gumbel``. On the half line:
``exponential``, ``gamma``, ``weibull``, ``pareto`` (the half normal, the log normal and the half Cauchy stand beside
their parents). On an interval: ``uniform``, ``beta``. On vectors and matrices: ``dirichlet``, ``multivariate_normal``,
``lkj``.
"""

from numpyro.distributions.continuous.beta import Beta, BetaProportion
from numpyro.distributions.continuous.cauchy import Cauchy, HalfCauchy
from numpyro.distributions.continuous.dirichlet import Dirichlet
from numpyro.distributions.continuous.exponential import Exponential
from numpyro.distributions.continuous.gamma import Chi2, Gamma, InverseGamma
from numpyro.distributions.continuous.gumbel import Gumbel
from numpyro.distributions.continuous.laplace import Laplace
from numpyro.distributions.continuous.lkj import LKJ, LKJCholesky
from numpyro.distributions.continuous.logistic import Logistic
from numpyro.distributions.continuous.multivariate_normal import MultivariateNormal
from numpyro.distributions.continuous.normal import HalfNormal, LogNormal, Normal
from numpyro.distributions.continuous.pareto import Pareto
from numpyro.distributions.continuous.student_t import StudentT
from numpyro.distributions.continuous.uniform import Uniform
from numpyro.distributions.continuous.weibull import Weibull

__all__ = [
    "Beta",
    "BetaProportion",
    "Cauchy",
    "Chi2",
    "Dirichlet",
    "Exponential",
    "Gamma",
    "Gumbel",
    "HalfCauchy",
    "HalfNormal",
    "InverseGamma",
    "LKJ",
    "LKJCholesky",
    "Laplace",
    "LogNormal",
    "Logistic",
    "MultivariateNormal",
    "Normal",
    "Pareto",
    "StudentT",
    "Uniform",
    "Weibull",
]
