"""The base class of all distributions."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NoReturn

import jax
import numpy as np
from jax import lax

from numpyro._errors import UsageError
from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._lazy import lazy_property
from numpyro.distributions._validation import check_parameter, check_sample_shape

MODULE = "numpyro.distributions.distribution"


class DistributionMeta(type):
    """Makes a distribution, and checks its parameters once the outermost ``__init__`` has run.

    So a subclass may set its attributes before or after ``super().__init__(...)``, as it likes.
    """

    __module__ = MODULE

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        try:
            instance = super().__call__(*args, **kwargs)
        except (TypeError, ValueError) as error:
            if "broadcast" not in str(error) or cls.__name__ in str(error):
                raise
            raise ValueError(f"{cls.__name__}{_shapes_of(cls, args, kwargs)}: {error}") from error
        if isinstance(instance, Distribution) and instance._validate_args:
            instance.validate_args(strict=False)
        return instance

    @property
    def __signature__(cls) -> inspect.Signature:
        """That of ``__init__``, for tools that show how to call the class."""
        parameters = list(inspect.signature(cls.__init__).parameters.values())  # type: ignore[misc]
        return inspect.Signature(parameters[1:])


class Distribution(metaclass=DistributionMeta):
    r"""A probability distribution over arrays, or a batch of independent ones.

    **Shapes.** One draw has shape ``sample_shape + batch_shape + event_shape``. Events are what is drawn jointly: a
    scalar has ``event_shape`` ``()``, a vector of :math:`n` dependent numbers ``(n,)``. The batch holds independent
    distributions of the same kind with parameters of their own. ``log_prob(value)`` broadcasts ``value`` with
    ``batch_shape + event_shape`` and gives one number per event.

    **What a subclass declares.**

    - ``arg_constraints``: for each parameter the constraint that its values satisfy. Parameters are attributes.
    - ``support``: the constraint that draws satisfy; where it depends on parameters, a method under
      ``constraints.dependent_property(event_dim=..., is_discrete=...)``, or a plain property.
    - ``reparametrized_params``: names of the parameters with respect to which draws are differentiable.
    - ``pytree_data_fields``, ``pytree_aux_fields``: further attributes, arrays (or pytrees) and static ones, that
      travel through ``jit``, ``vmap``, ``scan``. Parameters are data fields without being named again.

    **What a subclass writes.** An ``__init__`` that sets the parameters and calls
    ``super().__init__(batch_shape, event_shape, validate_args=validate_args)``; ``sample`` and ``log_prob`` (under
    ``validate_sample``); and, where there is a closed form, ``mean``, ``variance``, ``mode``, ``cdf``, ``icdf``,
    ``entropy``, ``enumerate_support``. The base checks, the subclass computes: parameters are held against their
    constraints, values against support and shapes, here and not there. What is not known (a tracer) is not checked
    and costs nothing.

    >>> import jax, numpyro.distributions as dist
    >>> from jax import numpy as jnp
    >>> from numpyro.distributions import constraints
    >>> class Rademacher(dist.Distribution):  # +1 with probability p, else -1
    ...     arg_constraints = {"p": constraints.unit_interval}
    ...     support = constraints.real
    ...     def __init__(self, p, *, validate_args=None):
    ...         self.p = p
    ...         super().__init__(jnp.shape(p), validate_args=validate_args)
    ...     def sample(self, key, sample_shape=()):
    ...         return 2.0 * jax.random.bernoulli(key, self.p, self.shape(sample_shape)) - 1.0
    ...     def log_prob(self, value):
    ...         return jnp.log(jnp.where(value == 1, self.p, 1 - self.p))
    >>> Rademacher(0.5).expand((2, 3)).to_event(1).sample(jax.random.key(0)).shape
    (2, 3)

    :param batch_shape: shape of the batch of independent distributions; default ``()``.
    :param event_shape: shape of one event; default ``()``.
    :param validate_args: whether to check parameters and values; default: as :func:`enable_validation` has set.

    **Reference:** J. V. Dillon et al. (2017), "TensorFlow Distributions", https://arxiv.org/abs/1711.10604.
    """

    __module__ = MODULE

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support: Any = None
    has_enumerate_support: bool = False
    reparametrized_params: Sequence[str] = []
    pytree_data_fields: ClassVar[tuple[str, ...]] = ()
    pytree_aux_fields: ClassVar[tuple[str, ...]] = ("_batch_shape", "_event_shape")
    _validate_args: bool = True
    # of a method that a family cannot have, why
    _reasons: ClassVar[Mapping[str, str]] = {}
    # Independent, ExpandedDistribution, MaskedDistribution enter themselves: they import this file, not it them.
    _wrappers: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        jax.tree_util.register_pytree_node(cls, _flatten, functools.partial(_unflatten, cls))

    def __init__(self, batch_shape: Shape = (), event_shape: Shape = (), *, validate_args: bool | None = None) -> None:
        self._batch_shape = tuple(batch_shape)
        self._event_shape = tuple(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args

    # Validation

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Set whether distributions validate where they are not told: see :func:`enable_validation`."""
        if value not in (True, False):
            raise ValueError(f"validation is either on (True) or off (False), got {value!r}.")
        Distribution._validate_args = bool(value)

    def get_args(self) -> dict[str, Any]:
        """The parameters that are set, in the order of ``arg_constraints``."""
        return {name: self.__dict__[name] for name in self.arg_constraints if name in self.__dict__}

    def validate_args(self, strict: bool = True) -> None:
        """Hold the parameters against ``arg_constraints``.

        Done once at construction, with ``strict=False``, unless validation is off.

        :param strict: whether to raise where a parameter's values cannot be read because they are traced.
        :raises ValueError: naming the parameter, its constraint, and the first few values that violate it.
        """
        for name, value in self.get_args().items():
            constraint = self.arg_constraints[name]
            if constraints.is_dependent(constraint):  # on other parameters: a matter of the subclass
                continue
            if strict and isinstance(value, jax.core.Tracer):
                raise UsageError(
                    f"validate_args(strict=True) cannot read parameter {name} of {type(self).__name__}, which is "
                    "traced by JAX. Validate outside jit, vmap and grad, or with strict=False."
                )
            check_parameter(self, name, constraint, value)

    # Shapes

    @property
    def batch_shape(self) -> Shape:
        """Shape of the batch of independent distributions."""
        return self._batch_shape

    @property
    def event_shape(self) -> Shape:
        """Shape of one event."""
        return self._event_shape

    @property
    def event_dim(self) -> int:
        """Number of dimensions of an event."""
        return len(self.event_shape)

    def shape(self, sample_shape: Shape = ()) -> Shape:
        """Shape of ``sample(key, sample_shape)``."""
        check_sample_shape(self, sample_shape)
        return sample_shape + self.batch_shape + self.event_shape

    @classmethod
    def infer_shapes(cls, *args: Any, **kwargs: Any) -> tuple[Shape, Shape]:
        """Batch and event shape of the distribution whose parameters have the given *shapes*.

        :param args: shapes of the parameters, in the order of ``__init__``.
        :param kwargs: shapes of the parameters, by name.
        :return: ``(batch_shape, event_shape)``.
        :raises NotImplementedError: where shapes alone do not tell.

        >>> import numpyro.distributions as dist
        >>> dist.Normal.infer_shapes((3, 1), scale=(4,))
        ((3, 4), ())
        """
        support_dim = _static_event_dim(cls, "support", cls.support)
        batch_shapes: list[Shape] = []
        event_shapes: list[Shape] = []
        for name, shape in inspect.signature(cls).bind_partial(*args, **kwargs).arguments.items():
            if name not in cls.arg_constraints or shape is None:
                continue
            event_dim = _static_event_dim(cls, name, cls.arg_constraints[name])
            cut = len(shape) - event_dim
            if cut < 0:
                raise ValueError(
                    f"{cls.__name__}.infer_shapes: parameter {name} has at least {event_dim} dimensions, but its shape "
                    f"is given as {shape}."
                )
            batch_shapes.append(tuple(shape[:cut]))
            if event_dim >= support_dim:
                event_shapes.append(tuple(shape[len(shape) - support_dim :]))
        if support_dim and not event_shapes:
            _cannot(cls, "infer_shapes", "its event shape does not follow from the shapes of its parameters")
        event_shape = lax.broadcast_shapes(*event_shapes) if support_dim else ()
        return lax.broadcast_shapes((), *batch_shapes), event_shape

    # Draws

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        """Draw.

        :param key: a JAX random key.
        :param sample_shape: how many draws, as a shape; default ``()``.
        :return: array of shape ``sample_shape + batch_shape + event_shape``.
        """
        _cannot(self, "sample")

    @property
    def has_rsample(self) -> bool:
        """Whether draws are differentiable with respect to every parameter."""
        return set(self.arg_constraints) <= set(self.reparametrized_params)

    def rsample(self, key: Key, sample_shape: Shape = ()) -> Array:
        """Draw as ``sample`` does, on condition that draws are differentiable with respect to the parameters.

        :raises NotImplementedError: if they are not.
        """
        if not self.has_rsample:
            _cannot(self, "rsample", "draws are not differentiable with respect to all parameters; use sample")
        return self.sample(key, sample_shape=sample_shape)

    def sample_with_intermediates(self, key: Key, sample_shape: Shape = ()) -> tuple[Array, list[Any]]:
        """Draw, and tell what was computed on the way, which ``log_prob`` need then not compute by inverting.

        :return: the draw, and the list of intermediate results: empty, save for transformed distributions.
        """
        return self.sample(key, sample_shape=sample_shape), []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Draw: ``d(rng_key=key, sample_shape=(), sample_intermediates=False)``, as ``numpyro.sample`` calls it."""
        key = kwargs.pop("rng_key", None) if not args else args[0]
        sample_intermediates = kwargs.pop("sample_intermediates", False)
        draw = self.sample_with_intermediates if sample_intermediates else self.sample
        return draw(key, *args[1:], **kwargs)

    # Densities and moments

    def log_prob(self, value: ArrayLike, *args: Any, **kwargs: Any) -> Array:
        """Logarithm of the density (or of the probability, where discrete).

        :param value: array whose shape broadcasts with ``batch_shape + event_shape``.
        :param args: for transformed distributions, the ``intermediates`` that came with the draw ``value``.
        :param kwargs: the same by name.
        :return: one number per event, an array of the broadcast batch shape; -inf outside the support.
        """
        _cannot(self, "log_prob")

    @property
    def mean(self) -> Array:
        """Mean, of shape ``batch_shape + event_shape``."""
        _cannot(self, "mean")

    @property
    def variance(self) -> Array:
        """Variance of each component, of shape ``batch_shape + event_shape``."""
        _cannot(self, "variance")

    @property
    def mode(self) -> Array:
        """A value of largest density, of shape ``batch_shape + event_shape``."""
        _cannot(self, "mode")

    def entropy(self) -> Array:
        """Entropy in nats, of shape ``batch_shape``."""
        _cannot(self, "entropy", "estimate it by -d.log_prob(d.sample(key, (n,))).mean(0)")

    def cdf(self, value: ArrayLike) -> Array:
        """Probability of at most ``value``, for scalar events.

        :return: array of the shape to which ``value`` and ``batch_shape`` broadcast.
        """
        _cannot(self, "cdf", "estimate it by the share of draws that are at most the value")

    def icdf(self, q: ArrayLike) -> Array:
        """Quantile: the value at which ``cdf`` reaches ``q``, for scalar events.

        :param q: probabilities in [0, 1].
        :return: array of the shape to which ``q`` and ``batch_shape`` broadcast.
        """
        _cannot(self, "icdf", "estimate it by jax.numpy.quantile of draws")

    # Support

    @property
    def is_discrete(self) -> bool:
        """Whether events are discrete."""
        if self.support is None:
            raise UsageError(
                f"{type(self).__name__} does not say whether it is discrete: declare its support, "
                "say support = constraints.real."
            )
        return self.support.is_discrete

    def enumerate_support(self, expand: bool = True) -> Array:
        """All values that an event can take, along a new leftmost dimension.

        :param expand: whether to repeat them over the batch; otherwise the batch dimensions have size one.
        :return: array of shape ``(number of values,) + batch_shape + event_shape``.
        """
        _cannot(self, "enumerate_support", "its support is not a finite set that can be listed")

    # Wrappers

    def to_event(self, reinterpreted_batch_ndims: int | None = None) -> Distribution:
        """Regard the rightmost batch dimensions as dimensions of the event, see :class:`Independent`.

        :param reinterpreted_batch_ndims: how many; default all.
        """
        ndims = len(self.batch_shape) if reinterpreted_batch_ndims is None else reinterpreted_batch_ndims
        return self if ndims == 0 else self._wrappers["to_event"](self, ndims)

    def expand(self, batch_shape: Shape) -> Distribution:
        """Repeat the distribution, independently, to fill a larger batch, see :class:`ExpandedDistribution`.

        :param batch_shape: to which the present batch shape broadcasts.
        """
        batch_shape = tuple(batch_shape)
        return self if batch_shape == self.batch_shape else self._wrappers["expand"](self, batch_shape)

    def expand_by(self, sample_shape: Shape) -> Distribution:
        """Repeat the distribution, independently, along new dimensions on the left of its batch."""
        return self.expand(tuple(sample_shape) + self.batch_shape)

    def mask(self, mask: bool | ArrayLike) -> Distribution:
        """Let the log density count only where ``mask`` is true, see :class:`MaskedDistribution`.

        :param mask: boolean, or boolean array that broadcasts with ``batch_shape``.
        """
        return self if mask is True else self._wrappers["mask"](self, mask)

    # Pytree

    @classmethod
    def gather_pytree_data_fields(cls) -> tuple[str, ...]:
        """Names of the attributes that are children of the pytree: class by class, parameters and declared fields.

        A parameter that the class computes from others (a property) is none of them.
        """
        return _data_fields(cls)

    @classmethod
    def gather_pytree_aux_fields(cls) -> tuple[str, ...]:
        """Names of the static attributes, part of the pytree's structure."""
        return _aux_fields(cls)

    def tree_flatten(self) -> tuple[tuple[Any, ...], Any]:
        """Take the distribution apart, into arrays (and pytrees of them) and all that is static.

        Only attributes that this instance has set take part.
        """
        own = self.__dict__
        data = tuple(name for name in type(self).gather_pytree_data_fields() if name in own)
        aux = tuple((name, own[name]) for name in type(self).gather_pytree_aux_fields() if name in own)
        return tuple(own[name] for name in data), (data, aux)

    @classmethod
    def tree_unflatten(cls, aux_data: Any, params: Sequence[Any]) -> Distribution:
        """Put a distribution together from what ``tree_flatten`` gave, unchecked."""
        data, aux = aux_data
        instance = object.__new__(cls)
        instance.__dict__.update(aux)
        instance.__dict__.update(zip(data, params, strict=True))
        return instance

    def __repr__(self) -> str:
        cls = type(self)
        return (
            f"<{cls.__module__}.{cls.__name__} object at {hex(id(self))} with batch shape {self.batch_shape} "
            f"and event shape {self.event_shape}>"
        )


def _shapes_of(cls: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Say which parameters of a call have which shapes, to go with an error of broadcasting."""
    try:
        given = inspect.signature(cls).bind_partial(*args, **kwargs).arguments
    except TypeError:
        return ""
    arrays = {name: value for name, value in given.items() if hasattr(value, "shape") and hasattr(value, "dtype")}
    shapes = [f"{name} of shape {np.shape(value)}" for name, value in arrays.items()]
    return f" got parameters whose shapes do not broadcast ({', '.join(shapes)})" if shapes else ""


def _cannot(owner: Any, what: str, why: str = "") -> NoReturn:
    family: Any = owner if isinstance(owner, type) else type(owner)
    name, why = family.__name__, "; ".join(filter(None, [family._reasons.get(what), why]))
    raise NotImplementedError(f"{name} has no {what}" + (f": {why}." if why else "."))


def _static_event_dim(cls: type, name: str, constraint: Any) -> int:
    """Event dimension of a constraint that a class declares, where it does not depend on an instance."""
    if not hasattr(type(constraint), "event_dim"):  # a property, or nothing
        _cannot(cls, "infer_shapes", f"the event dimension of its {name} is known of instances only")
    return constraint.event_dim


@functools.cache
def _data_fields(cls: type) -> tuple[str, ...]:
    fields: dict[str, None] = {}  # a dictionary keeps the order of first mention
    for base in cls.__mro__:
        for name in base.__dict__.get("arg_constraints", ()):
            if not isinstance(inspect.getattr_static(cls, name, None), (property, lazy_property)):
                fields[name] = None
        fields.update(dict.fromkeys(base.__dict__.get("pytree_data_fields", ())))
    return tuple(fields)


@functools.cache
def _aux_fields(cls: type) -> tuple[str, ...]:
    fields: dict[str, None] = {}
    for base in cls.__mro__:
        fields.update(dict.fromkeys(base.__dict__.get("pytree_aux_fields", ())))
    return (*fields, "_validate_args")


def _flatten(distribution: Any) -> tuple[tuple, Any]:
    """What ``tree_flatten`` gives; of a subclass that gives one pytree where a tuple of them is asked for, that one."""
    children, aux = distribution.tree_flatten()
    is_tuple = isinstance(children, tuple | list)
    return (children if is_tuple else (children,)), (is_tuple, aux)


def _unflatten(cls: type[Distribution], aux: tuple[bool, Any], children: tuple) -> Distribution:
    is_tuple, own_aux = aux
    return cls.tree_unflatten(own_aux, children if is_tuple else children[0])
