"""Reparametrization strategies: the same distribution in coordinates that suit inference better.

:class:`numpyro.handlers.reparam` applies them to the sites of a model. In reading order: ``base`` (what a strategy is),
``loc_scale`` (non-centring), ``transform``, ``explicit``, ``unit_jacobian`` (changes of variables), ``circular`` and
``projected_normal`` (circles and spheres), ``neutra`` (fitted guides).
"""

from numpyro.infer.reparam.base import Reparam
from numpyro.infer.reparam.circular import CircularReparam
from numpyro.infer.reparam.explicit import ExplicitReparam
from numpyro.infer.reparam.loc_scale import LocScaleReparam
from numpyro.infer.reparam.neutra import NeuTraReparam
from numpyro.infer.reparam.projected_normal import ProjectedNormalReparam
from numpyro.infer.reparam.transform import TransformReparam
from numpyro.infer.reparam.unit_jacobian import DiscreteCosineReparam, HaarReparam, UnitJacobianReparam

__all__ = [
    "CircularReparam",
    "DiscreteCosineReparam",
    "ExplicitReparam",
    "HaarReparam",
    "LocScaleReparam",
    "NeuTraReparam",
    "ProjectedNormalReparam",
    "Reparam",
    "TransformReparam",
    "UnitJacobianReparam",
]
