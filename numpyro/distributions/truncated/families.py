"""Which standard distribution a family comes from, by a location and a scale."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._typing import Array, ArrayLike
from numpyro.distributions.continuous import Cauchy, Gamma, Laplace, Logistic, Normal, SoftLaplace, StudentT
from numpyro.distributions.truncated.standard import (
    Standard,
    StandardCauchy,
    StandardLaplace,
    StandardLogistic,
    StandardSoftLaplace,
)
from numpyro.distributions.truncated.standard_gamma import StandardGamma
from numpyro.distributions.truncated.standard_normal import StandardNormal
from numpyro.distributions.truncated.standard_student_t import StandardStudentT

_STANDARDS: dict[type, Standard] = {
    Cauchy: StandardCauchy(),
    Gamma: StandardGamma(),
    Laplace: StandardLaplace(),
    Logistic: StandardLogistic(),
    Normal: StandardNormal(),
    SoftLaplace: StandardSoftLaplace(),
    StudentT: StandardStudentT(),
}
SYMMETRIC = (Cauchy, Laplace, Logistic, Normal, SoftLaplace, StudentT)
ALL = tuple(_STANDARDS)


def standard_points(loc: Any, scale: Any, *points: ArrayLike) -> list[Array]:
    """``(point - loc) / scale`` for points of one shape; the infinite ones as they are, without derivatives."""

    def standard(point: Any) -> Any:
        if isinstance(point, float) and np.isinf(point):
            return point
        finite = lax.is_finite(jnp.asarray(point, jnp.result_type(float, point)))
        return jnp.where(finite, (jnp.where(finite, point, 0) - loc) / scale, point)

    standards = [standard(point) for point in points]
    dtype = jnp.result_type(float, *standards)
    return [point.astype(dtype) for point in jnp.broadcast_arrays(*standards)]


def standardize(d: Any) -> tuple[Standard, Any, Any, Any]:
    """The standard distribution of ``d``, its shape parameter, and location and scale of ``d``.

    :param d: a distribution of one of the families in :data:`ALL`.
    """
    family = next(standard for kind, standard in _STANDARDS.items() if isinstance(d, kind))
    if isinstance(d, Gamma):
        rate = jnp.asarray(d.rate, jnp.result_type(float, d.rate))
        return family, jnp.asarray(d.concentration, rate.dtype), 0.0, 1 / rate
    theta = jnp.asarray(d.df, jnp.result_type(float, d.df)) if isinstance(d, StudentT) else None
    return family, theta, d.loc, d.scale
