"""Transforms: bijections between constrained sets, with the change of volume that densities need.

Inference works on the real numbers; :data:`biject_to` finds, for the support of a variable, the transform that maps
them onto it. Transforms also make distributions out of others (``TransformedDistribution``).

- :mod:`~numpyro.distributions.transforms.base`: what every transform is;
- :mod:`~numpyro.distributions.transforms.registry`: ``biject_to``, to which users add their own;
- :mod:`~numpyro.distributions.transforms.compose`: transforms made of others;
- :mod:`~numpyro.distributions.transforms.elementwise`, :mod:`~numpyro.distributions.transforms.vectors`,
  :mod:`~numpyro.distributions.transforms.cholesky`, :mod:`~numpyro.distributions.transforms.correlation`: onto the sets
  of numbers, vectors and matrices;
- :mod:`~numpyro.distributions.transforms.shapes`, :mod:`~numpyro.distributions.transforms.fourier`: rearrangements and
  linear maps.
"""

# ruff: noqa: F401  (a private class, for isinstance and pickle)
from __future__ import annotations

from numpyro.distributions.transforms.base import ParameterFreeTransform, Transform, _InverseTransform
from numpyro.distributions.transforms.cholesky import (
    CholeskyTransform,
    LowerCholeskyAffine,
    LowerCholeskyTransform,
    ScaledUnitLowerCholeskyTransform,
    SoftplusLowerCholeskyTransform,
)
from numpyro.distributions.transforms.compose import CatTransform, ComposeTransform, IndependentTransform
from numpyro.distributions.transforms.correlation import CorrCholeskyTransform, CorrMatrixCholeskyTransform
from numpyro.distributions.transforms.elementwise import (
    AbsTransform,
    AffineTransform,
    ExpTransform,
    IdentityTransform,
    PowerTransform,
    SigmoidTransform,
    SoftplusTransform,
)
from numpyro.distributions.transforms.fourier import (
    DiscreteCosineTransform,
    HaarTransform,
    PackRealFastFourierCoefficientsTransform,
    RealFastFourierTransform,
    RecursiveLinearTransform,
)
from numpyro.distributions.transforms.registry import ConstraintRegistry, biject_to
from numpyro.distributions.transforms.shapes import (
    ComplexTransform,
    PermuteTransform,
    ReshapeTransform,
    UnpackTransform,
)
from numpyro.distributions.transforms.vectors import (
    L1BallTransform,
    OrderedTransform,
    SimplexToOrderedTransform,
    StickBreakingTransform,
    ZeroSumTransform,
)

__all__ = [
    "AbsTransform",
    "AffineTransform",
    "CatTransform",
    "CholeskyTransform",
    "ComplexTransform",
    "ComposeTransform",
    "ConstraintRegistry",
    "CorrCholeskyTransform",
    "CorrMatrixCholeskyTransform",
    "DiscreteCosineTransform",
    "ExpTransform",
    "HaarTransform",
    "IdentityTransform",
    "IndependentTransform",
    "L1BallTransform",
    "LowerCholeskyAffine",
    "LowerCholeskyTransform",
    "OrderedTransform",
    "PackRealFastFourierCoefficientsTransform",
    "ParameterFreeTransform",
    "PermuteTransform",
    "PowerTransform",
    "RealFastFourierTransform",
    "RecursiveLinearTransform",
    "ReshapeTransform",
    "ScaledUnitLowerCholeskyTransform",
    "SigmoidTransform",
    "SimplexToOrderedTransform",
    "SoftplusLowerCholeskyTransform",
    "SoftplusTransform",
    "StickBreakingTransform",
    "Transform",
    "UnpackTransform",
    "ZeroSumTransform",
    "biject_to",
]

for _public in list(globals().values()):
    if isinstance(_public, type) and issubclass(_public, Transform | ConstraintRegistry):
        _public.__module__ = __name__
del _public
