"""Distributions of directions: angles and unit vectors.

``von_mises`` on the circle, ``projected_normal`` on the sphere of any dimension.
"""

from numpyro.distributions.directional.projected_normal import ProjectedNormal
from numpyro.distributions.directional.von_mises import VonMises

__all__ = ["ProjectedNormal", "VonMises"]
