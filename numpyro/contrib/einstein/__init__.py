"""Variational inference by interacting particles (Stein's method).

A set of particles :math:`x_1, \\dots, x_n` moves along

.. math:: \\phi(x_i) = \\frac 1 n \\sum_j k(x_j, x_i) \\nabla \\log p(x_j) + \\nabla_{x_j} k(x_j, x_i)

to where it represents :math:`p`: the first term pulls particles to high density, the second one keeps them apart.

The parts: ``stein_kernels``, one kernel a file; ``stein_loss``, the objective of a mixture of guides whose components
are the particles; ``steinvi``, the driver :class:`SteinVI` with :class:`SVGD`, whose particles are points, and
:class:`ASVGD`, which anneals it; ``mixture_guide_predictive``, draws of the fitted mixture.
"""

from numpyro.contrib.einstein.mixture_guide_predictive import MixtureGuidePredictive
from numpyro.contrib.einstein.stein_kernels import (
    GraphicalKernel,
    IMQKernel,
    LinearKernel,
    MixtureKernel,
    ProbabilityProductKernel,
    RadialGaussNewtonKernel,
    RandomFeatureKernel,
    RBFKernel,
)
from numpyro.contrib.einstein.stein_loss import SteinLoss
from numpyro.contrib.einstein.steinvi import ASVGD, SVGD, SteinVI

__all__ = [
    "ASVGD",
    "GraphicalKernel",
    "IMQKernel",
    "LinearKernel",
    "MixtureGuidePredictive",
    "MixtureKernel",
    "ProbabilityProductKernel",
    "RBFKernel",
    "RadialGaussNewtonKernel",
    "RandomFeatureKernel",
    "SVGD",
    "SteinLoss",
    "SteinVI",
]
