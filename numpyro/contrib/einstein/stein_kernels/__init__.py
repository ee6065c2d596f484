"""Kernels: how much a particle's pull tells another one.

A kernel is made from all particles by ``compute``, which returns a function :math:`k(x, y)` of two of them. What comes
back depends on the ``mode``: a number (``"norm"``), a vector with one entry for each coordinate (``"vector"``), or a
matrix (``"matrix"``).

The parts: ``base``, what a kernel is; ``radial``, kernels of the distance (:class:`RBFKernel`, :class:`IMQKernel`);
``linear``; ``composite``, kernels made of others (:class:`MixtureKernel`, :class:`GraphicalKernel`);
``random_features``; ``probability_product``, of the distributions that particles stand for; ``gauss_newton``, of a
distance that knows the curvature of the target.
"""

from numpyro.contrib.einstein.stein_kernels.base import SteinKernel, median_bandwidth
from numpyro.contrib.einstein.stein_kernels.composite import GraphicalKernel, MixtureKernel
from numpyro.contrib.einstein.stein_kernels.gauss_newton import RadialGaussNewtonKernel
from numpyro.contrib.einstein.stein_kernels.linear import LinearKernel
from numpyro.contrib.einstein.stein_kernels.probability_product import ProbabilityProductKernel
from numpyro.contrib.einstein.stein_kernels.radial import IMQKernel, RBFKernel
from numpyro.contrib.einstein.stein_kernels.random_features import RandomFeatureKernel

__all__ = [
    "GraphicalKernel",
    "IMQKernel",
    "LinearKernel",
    "MixtureKernel",
    "ProbabilityProductKernel",
    "RBFKernel",
    "RadialGaussNewtonKernel",
    "RandomFeatureKernel",
    "SteinKernel",
    "median_bandwidth",
]
