"""Constraints: the sets in which parameters and samples live.

A constraint is called to say which values are inside, knows how many rightmost dimensions make up one element
(``event_dim``), and offers a point of its set. Supports of distributions and conditions on their parameters are
constraints, and :data:`numpyro.distributions.transforms.biject_to` maps the real line onto the continuous ones.

Sets with parameters are classes (``constraints.interval(0, 2)``), sets without are objects (``constraints.positive``).

- :mod:`~numpyro.distributions.constraints.base`: what every constraint is;
- :mod:`~numpyro.distributions.constraints.real`, :mod:`~numpyro.distributions.constraints.intervals`,
  :mod:`~numpyro.distributions.constraints.integers`: single numbers, and counts;
- :mod:`~numpyro.distributions.constraints.vectors`, :mod:`~numpyro.distributions.constraints.matrices`;
- :mod:`~numpyro.distributions.constraints.structured`: constraints made of others.
"""

# ruff: noqa: F401  (the classes of the sets, for isinstance and pickle)
from __future__ import annotations

from numpyro.distributions.constraints.base import Constraint, ParameterFreeConstraint, _SingletonConstraint
from numpyro.distributions.constraints.integers import (
    _Boolean,
    _IntegerGreaterThan,
    _IntegerInterval,
    _IntegerNonnegative,
    _IntegerPositive,
    _Multinomial,
    boolean,
    integer_greater_than,
    integer_interval,
    multinomial,
    nonnegative_integer,
    positive_integer,
)
from numpyro.distributions.constraints.intervals import (
    _Circular,
    _GreaterThan,
    _GreaterThanEq,
    _Interval,
    _LessThan,
    _LessThanEq,
    _Nonnegative,
    _OpenInterval,
    _Positive,
    _SoftplusPositive,
    _UnitInterval,
    circular,
    greater_than,
    greater_than_eq,
    interval,
    less_than,
    less_than_eq,
    nonnegative,
    open_interval,
    positive,
    softplus_positive,
    unit_interval,
)
from numpyro.distributions.constraints.matrices import (
    _CorrCholesky,
    _CorrMatrix,
    _LowerCholesky,
    _PositiveDefinite,
    _PositiveSemiDefinite,
    _ScaledUnitLowerCholesky,
    _SoftplusLowerCholesky,
    corr_cholesky,
    corr_matrix,
    lower_cholesky,
    positive_definite,
    positive_semidefinite,
    scaled_unit_lower_cholesky,
    softplus_lower_cholesky,
)
from numpyro.distributions.constraints.real import _Complex, _Real, complex, real
from numpyro.distributions.constraints.structured import (
    _Cat,
    _Dependent,
    _IndependentConstraint,
    _RealMatrix,
    _RealVector,
    _ZeroSum,
    cat,
    dependent,
    dependent_property,
    independent,
    is_dependent,
    real_matrix,
    real_vector,
    zero_sum,
)
from numpyro.distributions.constraints.vectors import (
    _L1Ball,
    _OrderedVector,
    _PositiveDefiniteCirculantVector,
    _PositiveOrderedVector,
    _Simplex,
    _Sphere,
    l1_ball,
    ordered_vector,
    positive_definite_circulant_vector,
    positive_ordered_vector,
    simplex,
    sphere,
)

__all__ = [
    "Constraint",
    "ParameterFreeConstraint",
    "boolean",
    "cat",
    "circular",
    "complex",
    "corr_cholesky",
    "corr_matrix",
    "dependent",
    "dependent_property",
    "greater_than",
    "greater_than_eq",
    "independent",
    "integer_greater_than",
    "integer_interval",
    "interval",
    "is_dependent",
    "l1_ball",
    "less_than",
    "less_than_eq",
    "lower_cholesky",
    "multinomial",
    "nonnegative",
    "nonnegative_integer",
    "open_interval",
    "ordered_vector",
    "positive",
    "positive_definite",
    "positive_definite_circulant_vector",
    "positive_integer",
    "positive_ordered_vector",
    "positive_semidefinite",
    "real",
    "real_matrix",
    "real_vector",
    "scaled_unit_lower_cholesky",
    "simplex",
    "softplus_lower_cholesky",
    "softplus_positive",
    "sphere",
    "unit_interval",
    "zero_sum",
]

for _public in list(globals().values()):
    if isinstance(_public, type) and issubclass(_public, Constraint):
        _public.__module__ = __name__
is_dependent.__module__ = __name__
del _public
