"""Distributions of directions: angles and unit vectors.

``von_mises`` on the circle, ``sine_bivariate_von_mises`` for two dependent angles, ``sine_skewed`` for what is not
symmetric; ``projected_normal`` on the sphere of any dimension.
"""

from numpyro.distributions.directional.projected_normal import ProjectedNormal
from numpyro.distributions.directional.sine_bivariate_von_mises import SineBivariateVonMises
from numpyro.distributions.directional.sine_skewed import SineSkewed
from numpyro.distributions.directional.von_mises import VonMises

__all__ = ["ProjectedNormal", "SineBivariateVonMises", "SineSkewed", "VonMises"]
