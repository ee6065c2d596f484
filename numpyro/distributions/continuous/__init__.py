"""Continuous distributions, one family a file.

On the line: ``normal``, ``cauchy``, ``student_t``, ``laplace``, ``asymmetric_laplace``, ``soft_laplace``, ``logistic``,
``gumbel``. On the half line: ``exponential``, ``gamma``, ``weibull``, ``gompertz``, ``dagum``, ``pareto``, ``levy``
(the half normal, the log normal and the half Cauchy stand beside their parents), with a mass at zero ``hurdle``. On an
interval: ``uniform``, ``log_uniform``, ``beta``, ``kumaraswamy``, ``relaxed_bernoulli``. On vectors: ``dirichlet``,
``multivariate_normal``, ``low_rank_multivariate_normal``, ``circulant_normal``, ``zero_sum_normal``,
``multivariate_student_t``; over a graph ``car``; in time ``gaussian_random_walk``, ``gaussian_state_space``,
``euler_maruyama``. On matrices: ``matrix_normal``, ``lkj``, ``wishart``, ``inverse_wishart``.
"""

from numpyro.distributions.continuous.asymmetric_laplace import AsymmetricLaplace, AsymmetricLaplaceQuantile
from numpyro.distributions.continuous.beta import Beta, BetaProportion
from numpyro.distributions.continuous.car import CAR
from numpyro.distributions.continuous.cauchy import Cauchy, HalfCauchy
from numpyro.distributions.continuous.circulant_normal import CirculantNormal
from numpyro.distributions.continuous.dagum import Dagum
from numpyro.distributions.continuous.dirichlet import Dirichlet
from numpyro.distributions.continuous.euler_maruyama import EulerMaruyama
from numpyro.distributions.continuous.exponential import Exponential
from numpyro.distributions.continuous.gamma import Chi2, Gamma, InverseGamma
from numpyro.distributions.continuous.gaussian_random_walk import GaussianRandomWalk
from numpyro.distributions.continuous.gaussian_state_space import GaussianStateSpace
from numpyro.distributions.continuous.gompertz import Gompertz
from numpyro.distributions.continuous.gumbel import Gumbel
from numpyro.distributions.continuous.hurdle import HurdleGamma, HurdleLogNormal
from numpyro.distributions.continuous.inverse_wishart import InverseWishart, InverseWishartCholesky
from numpyro.distributions.continuous.kumaraswamy import Kumaraswamy
from numpyro.distributions.continuous.laplace import Laplace
from numpyro.distributions.continuous.levy import Levy
from numpyro.distributions.continuous.lkj import LKJ, LKJCholesky
from numpyro.distributions.continuous.log_uniform import LogUniform
from numpyro.distributions.continuous.logistic import Logistic
from numpyro.distributions.continuous.low_rank_multivariate_normal import LowRankMultivariateNormal
from numpyro.distributions.continuous.matrix_normal import MatrixNormal
from numpyro.distributions.continuous.multivariate_normal import MultivariateNormal
from numpyro.distributions.continuous.multivariate_student_t import MultivariateStudentT
from numpyro.distributions.continuous.normal import HalfNormal, LogNormal, Normal
from numpyro.distributions.continuous.pareto import Pareto
from numpyro.distributions.continuous.relaxed_bernoulli import RelaxedBernoulli, RelaxedBernoulliLogits
from numpyro.distributions.continuous.soft_laplace import SoftLaplace
from numpyro.distributions.continuous.student_t import StudentT
from numpyro.distributions.continuous.uniform import Uniform
from numpyro.distributions.continuous.weibull import Weibull
from numpyro.distributions.continuous.wishart import Wishart, WishartCholesky
from numpyro.distributions.continuous.zero_sum_normal import ZeroSumNormal

__all__ = [
    "AsymmetricLaplace",
    "AsymmetricLaplaceQuantile",
    "Beta",
    "BetaProportion",
    "CAR",
    "Cauchy",
    "Chi2",
    "CirculantNormal",
    "Dagum",
    "Dirichlet",
    "EulerMaruyama",
    "Exponential",
    "Gamma",
    "GaussianRandomWalk",
    "GaussianStateSpace",
    "Gompertz",
    "Gumbel",
    "HalfCauchy",
    "HalfNormal",
    "HurdleGamma",
    "HurdleLogNormal",
    "InverseGamma",
    "InverseWishart",
    "InverseWishartCholesky",
    "Kumaraswamy",
    "LKJ",
    "LKJCholesky",
    "Laplace",
    "Levy",
    "LogNormal",
    "LogUniform",
    "Logistic",
    "LowRankMultivariateNormal",
    "MatrixNormal",
    "MultivariateNormal",
    "MultivariateStudentT",
    "Normal",
    "Pareto",
    "RelaxedBernoulli",
    "RelaxedBernoulliLogits",
    "SoftLaplace",
    "StudentT",
    "Uniform",
    "Weibull",
    "Wishart",
    "WishartCholesky",
    "ZeroSumNormal",
]
