"""Maps of single numbers: exponential, sigmoid, softplus, affine, powers; and the bounded sets that they reach."""

from __future__ import annotations

import math
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._typing import Array, ArrayLike, Shape
from numpyro.distributions import constraints
from numpyro.distributions._shapes import sum_rightmost
from numpyro.distributions.constraints import Constraint
from numpyro.distributions.transforms.base import ParameterFreeTransform, Transform, as_float
from numpyro.distributions.transforms.compose import ComposeTransform
from numpyro.distributions.transforms.registry import biject_to


class IdentityTransform(ParameterFreeTransform):
    r"""The map :math:`y = x`.

    :domain: :math:`\mathbb{R}`
    :codomain: :math:`\mathbb{R}`
    :log determinant: :math:`0`
    """

    sign = 1

    def __call__(self, x: Any) -> Any:
        return x

    def _inverse(self, y: Any) -> Any:
        return y

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Array:
        return jnp.zeros(np.shape(x), jnp.result_type(x))


class AbsTransform(ParameterFreeTransform):
    r"""The map :math:`y = |x|`, which is no bijection: as its inverse, ``y`` itself is returned, with a warning.

    :domain: :math:`\mathbb{R}`
    :codomain: :math:`\{y > 0\}`
    :log determinant: none, for it is no bijection
    """

    domain = constraints.real
    codomain = constraints.positive
    bijective = False

    def __call__(self, x: Any) -> Array:
        return jnp.abs(x)

    def _inverse(self, y: Any) -> Any:
        warnings.warn("AbsTransform is not a bijective transform. The inverse of `y` will be `y`.", stacklevel=2)
        return y


class ExpTransform(Transform):
    r"""The map :math:`y = e^x`.

    :param domain: the set of arguments, :data:`~numpyro.distributions.constraints.real` by default; a half-line, an
        interval and an ordered vector have images that are known.
    :domain: the argument ``domain``
    :codomain: its image, by default :math:`\{y > 0\}`
    :log determinant: :math:`x`
    """

    sign = 1
    pytree_data_fields = ("_domain",)

    def __init__(self, domain: Constraint = constraints.real) -> None:
        self._domain = domain

    @property
    def domain(self) -> Constraint:  # type: ignore[override]
        return self._domain

    @property
    def codomain(self) -> Constraint:  # type: ignore[override]
        """The image of the domain.

        :raises NotImplementedError: when it is not known.
        """
        return _image(self._domain, _exp, increasing=True)

    def __call__(self, x: Any) -> Array:
        return jnp.exp(x)

    def _inverse(self, y: Any) -> Array:
        return jnp.log(y)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        return sum_rightmost(x, self._domain.event_dim)


def _exp(x: Any) -> Any:
    """Exponential of a bound; of a bound that is not on a device, by numpy."""
    return jnp.exp(x) if isinstance(x, jax.Array) else np.exp(x)


def _image(domain: Constraint, function: Any, *, increasing: bool) -> Constraint:
    """Return the image of a set under a monotone function; for exp, the only one with a bound, of the real line too."""
    is_exp = function is _exp
    if isinstance(domain, constraints.independent):
        base = _image(domain.base_constraint, function, increasing=increasing)
        return constraints.independent(base, domain.reinterpreted_batch_ndims)
    if isinstance(domain, type(constraints.real)):
        return constraints.positive if is_exp else constraints.real
    if isinstance(domain, type(constraints.ordered_vector)) and is_exp:
        return constraints.positive_ordered_vector
    if isinstance(domain, constraints.interval):
        low, high = function(domain.lower_bound), function(domain.upper_bound)
        kind = constraints.open_interval if isinstance(domain, constraints.open_interval) else constraints.interval
        return kind(low, high) if increasing else kind(high, low)
    above, below = constraints.greater_than, constraints.less_than
    if isinstance(domain, constraints.greater_than_eq | constraints.less_than_eq):
        above, below = constraints.greater_than_eq, constraints.less_than_eq
    if isinstance(domain, constraints.greater_than):
        return (above if increasing else below)(function(domain.lower_bound))
    if isinstance(domain, constraints.less_than):
        bound = function(domain.upper_bound)
        if is_exp:
            return constraints.interval(0.0, bound)
        return (below if increasing else above)(bound)
    raise NotImplementedError(
        f"the image of the domain {domain!r} is not known: give a domain among real, half-lines, intervals, and"
        " independent ones of these."
    )


class AffineTransform(Transform):
    r"""The map :math:`y = a + b x`.

    :param loc: the shift :math:`a`, a number or an array that broadcasts with ``x``.
    :param scale: the factor :math:`b`, likewise, not zero. On a domain with bounds, a traced one is taken as positive.
    :param domain: the set of arguments, :data:`~numpyro.distributions.constraints.real` by default.
    :domain: the argument ``domain``
    :codomain: its image
    :log determinant: :math:`\log |b|`
    """

    pytree_data_fields = ("loc", "scale", "_domain")

    def __init__(self, loc: ArrayLike, scale: ArrayLike, domain: Constraint = constraints.real) -> None:
        self.loc = loc
        self.scale = scale
        self._domain = domain

    @property
    def domain(self) -> Constraint:  # type: ignore[override]
        return self._domain

    @property
    def codomain(self) -> Constraint:  # type: ignore[override]
        """The image of the domain.

        :raises NotImplementedError: when it is not known, or the factor has both signs.
        """
        if isinstance(self.scale, jax.core.Tracer):
            increasing = True
        else:
            negative = np.asarray(self.scale) < 0
            increasing = not negative.all() if negative.size else True
            bounded = not isinstance(_base(self._domain), type(constraints.real))
            if increasing and negative.any() and bounded:
                raise NotImplementedError(
                    f"the image of the domain {self._domain!r} is not one set when scale has both signs: {self.scale}."
                )
        return _image(self._domain, self._of_bound, increasing=increasing)

    def _of_bound(self, bound: Any) -> Any:
        return self.loc + self.scale * bound

    @property
    def sign(self) -> Any:
        return jnp.sign(self.scale) if isinstance(self.scale, jax.Array) else np.sign(self.scale)

    def __call__(self, x: Any) -> Array:
        return jnp.add(self.loc, self.scale * jnp.asarray(x))

    def _inverse(self, y: Any) -> Array:
        return jnp.divide(jnp.asarray(y) - self.loc, self.scale)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Array:
        shape = self.forward_shape(np.shape(x))
        log_scale: Any
        if isinstance(self.scale, jax.Array):
            log_scale = jnp.log(jnp.abs(self.scale))
        else:
            with np.errstate(divide="ignore"):
                log_scale = np.log(np.abs(self.scale)).astype(jnp.result_type(y, float))
        return sum_rightmost(jnp.broadcast_to(log_scale, shape), self._domain.event_dim)

    def forward_shape(self, shape: Shape) -> Shape:
        return lax.broadcast_shapes(shape, np.shape(self.loc), np.shape(self.scale))

    def inverse_shape(self, shape: Shape) -> Shape:
        return self.forward_shape(shape)


def _base(constraint: Constraint) -> Constraint:
    return constraint.base_constraint if isinstance(constraint, constraints.independent) else constraint


class SigmoidTransform(ParameterFreeTransform):
    r"""The map :math:`y = 1 / (1 + e^{-x})`, kept inside :math:`(0, 1)` in floating point too.

    :domain: :math:`\mathbb{R}`
    :codomain: :math:`[0, 1]`
    :log determinant: :math:`\log y + \log(1 - y) = -|x| - 2 \log(1 + e^{-|x|})`
    """

    sign = 1
    codomain = constraints.unit_interval

    def __call__(self, x: Any) -> Array:
        x = as_float(x)
        limits = jnp.finfo(x.dtype)
        return jnp.clip(lax.logistic(x), float(limits.tiny), 1 - float(limits.eps))

    def _inverse(self, y: Any) -> Array:
        y = as_float(y)
        return jnp.log(y) - jnp.log1p(-y)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Array:
        # log y (1 - y) = -|x| - 2 log(1 + exp(-|x|))
        distance = jnp.abs(as_float(x))
        return -distance - 2 * jnp.log1p(jnp.exp(-distance))


class SoftplusTransform(ParameterFreeTransform):
    r"""The map :math:`y = \log(1 + e^x)`.

    :domain: :math:`\mathbb{R}`
    :codomain: :math:`\{y > 0\}`
    :log determinant: :math:`-\log(1 + e^{-x})`
    """

    sign = 1
    domain = constraints.real
    codomain = constraints.softplus_positive

    def __call__(self, x: Any) -> Array:
        return jax.nn.softplus(as_float(x))

    def _inverse(self, y: Any) -> Array:
        return softplus_inverse(as_float(y))

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Array:
        return -jax.nn.softplus(-as_float(x))


def softplus_inverse(y: Array) -> Array:
    r"""Return :math:`\log(e^y - 1) = y + \log(1 - e^{-y})`."""
    return y + jnp.log(-jnp.expm1(-y))


class PowerTransform(Transform):
    r"""The map :math:`y = x^a` of the positive numbers.

    :param exponent: the exponent :math:`a`, a number or an array that broadcasts with ``x``, not zero.
    :domain: :math:`\{x > 0\}`
    :codomain: :math:`\{y > 0\}`
    :log determinant: :math:`\log |a y / x|`
    """

    domain = constraints.positive
    codomain = constraints.positive
    pytree_data_fields = ("exponent",)

    def __init__(self, exponent: ArrayLike) -> None:
        self.exponent = exponent

    @property
    def sign(self) -> Any:
        return jnp.sign(self.exponent) if isinstance(self.exponent, jax.Array) else np.sign(self.exponent)

    def __call__(self, x: Any) -> Array:
        return jnp.power(as_float(x), self.exponent)

    def _inverse(self, y: Any) -> Array:
        return jnp.power(as_float(y), 1 / jnp.asarray(self.exponent))

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Array:
        return jnp.log(jnp.abs(self.exponent * as_float(y) / x))

    def forward_shape(self, shape: Shape) -> Shape:
        return lax.broadcast_shapes(shape, np.shape(self.exponent))

    def inverse_shape(self, shape: Shape) -> Shape:
        return self.forward_shape(shape)


@biject_to.register(constraints.real)
def _to_real(constraint: Any) -> Transform:
    return IdentityTransform()


@biject_to.register(constraints.positive)
@biject_to.register(constraints.nonnegative)
def _to_positive(constraint: Any) -> Transform:
    return ExpTransform()


@biject_to.register(constraints.softplus_positive)
def _to_softplus_positive(constraint: Any) -> Transform:
    return SoftplusTransform()


@biject_to.register(constraints.unit_interval)
def _to_unit_interval(constraint: Any) -> Transform:
    return SigmoidTransform()


@biject_to.register(constraints.greater_than)
@biject_to.register(constraints.greater_than_eq)
def _to_greater_than(constraint: Any) -> Transform:
    return ComposeTransform([ExpTransform(), AffineTransform(constraint.lower_bound, 1, domain=constraints.positive)])


@biject_to.register(constraints.less_than)
@biject_to.register(constraints.less_than_eq)
def _to_less_than(constraint: Any) -> Transform:
    return ComposeTransform([ExpTransform(), AffineTransform(constraint.upper_bound, -1, domain=constraints.positive)])


@biject_to.register(constraints.interval)
@biject_to.register(constraints.open_interval)
@biject_to.register(constraints.circular)
def _to_interval(constraint: Any) -> Transform:
    low, high = constraint.lower_bound, constraint.upper_bound
    low_is_finite, high_is_finite = _is_finite(low), _is_finite(high)
    if not low_is_finite and not high_is_finite:
        return IdentityTransform()
    if not high_is_finite:
        return _to_greater_than(constraints.greater_than(low))
    if not low_is_finite:
        return _to_less_than(constraints.less_than(high))
    return ComposeTransform([SigmoidTransform(), AffineTransform(low, high - low, domain=constraints.unit_interval)])


def _is_finite(bound: Any) -> bool:
    """Whether an end is to be taken as finite: it is, unless it is known to be infinite everywhere."""
    if isinstance(bound, jax.Array):
        return True
    return math.isfinite(bound) if np.ndim(bound) == 0 else bool(np.isfinite(bound).any())
