"""Distributions under ``jax.vmap``: which fields are batched, and what the batch shape is afterwards.

``vmap`` sees a distribution as its arrays. :func:`vmap_over` writes down the axes of these arrays as ``in_axes`` or
``out_axes`` want them; :func:`promote_batch_shape` makes the leading axes that a ``vmap`` has put on them part of the
batch shape.

Both look at the declared fields of a distribution and so work for all of them; a family whose fields are derived from
its parameters under other names registers what it knows, ``@vmap_over.register``.
"""

from __future__ import annotations

import functools
from typing import Any, TypeVar

import jax
import numpy as np

from numpyro._typing import Shape
from numpyro.distributions.distribution import (
    Distribution,
    ExpandedDistribution,
    ImproperUniform,
    Independent,
    MaskedDistribution,
    TransformedDistribution,
)

D = TypeVar("D", bound=Distribution)


@functools.singledispatch
def vmap_over(d: Distribution, **kwargs: Any) -> Any:
    """The axes of a distribution for ``in_axes`` or ``out_axes`` of ``jax.vmap``.

    :param d: a distribution of the structure to be batched.
    :param kwargs: for parameters or other fields of ``d`` the axis to map over; parameters that are not named are not
        mapped. A field that is a distribution takes a ``vmap_over`` of its own, or, not being named, the axes of the
        parameters that it shares. Other fields, which the family has computed from its parameters, are mapped where
        they have the axis and the size of one that is.
    :return: a distribution that holds axes in place of arrays.
    :raises ValueError: when ``d`` has no such parameter or field.

    >>> import jax, numpy as np, numpyro.distributions as dist
    >>> d = dist.Normal(np.arange(3.0), 1.0)
    >>> jax.vmap(lambda d: d.loc, in_axes=(vmap_over(d, loc=0),))(d).shape
    (3,)
    """
    data, aux = d.tree_flatten()[1]
    names = tuple(dict.fromkeys((*d.arg_constraints, *data)))
    unknown = set(kwargs) - set(names)
    if unknown:
        raise ValueError(
            f"vmap_over: {type(d).__name__} has fields {', '.join(names)}, none of name {', '.join(sorted(unknown))}."
        )
    mapped = [(axis, np.shape(getattr(d, name))) for name, axis in kwargs.items() if isinstance(axis, int)]
    named = {name if name in data else _STORED_AS.get(name, name): axis for name, axis in kwargs.items()}
    parameters = {*d.get_args(), *_STORED_AS.values()}
    axes = []
    for name in data:
        value = d.__dict__[name]
        shared = {}
        if isinstance(value, Distribution):
            shared = {field: axis for field, axis in kwargs.items() if field in _field_names(value)}
        if name in named or name in parameters:
            axes.append(named.get(name))
        elif shared:
            axes.append(vmap_over(value, **shared))
        else:
            axes.append(jax.tree_util.tree_map(lambda leaf: _axis_of(leaf, mapped), value) if mapped else None)
    return type(d).tree_unflatten((data, aux), axes)


# Parameters of which a distribution keeps something else.
_STORED_AS = {"mean": "_mean", "covariance_matrix": "scale_tril", "precision_matrix": "scale_tril"}


def _axis_of(leaf: Any, mapped: list[tuple[int, Shape]]) -> int | None:
    """The first of the axes of mapped parameters that ``leaf`` has in the same size."""
    shape = np.shape(leaf)
    for axis, of in mapped:
        if -len(shape) <= axis < len(shape) and shape[axis] == of[axis]:
            return axis
    return None


def promote_batch_shape(d: D) -> D:
    """Make the leading axes that ``vmap`` has put on the arrays of ``d`` part of its batch shape.

    :param d: a distribution returned by a function under ``jax.vmap`` (with ``out_axes=0``), which still has the
        batch shape that it had inside.
    :return: the distribution with the batch shape that its arrays have now.

    >>> import jax, numpy as np, numpyro.distributions as dist
    >>> d = jax.vmap(lambda loc: dist.Normal(loc, 1.0).expand((4,)))(np.zeros(3))
    >>> promote_batch_shape(d).batch_shape
    (3, 4)
    """
    lead = leading_shape(d)
    return with_leading_shape(d, lead, 0) if lead else d


@functools.singledispatch
def leading_shape(d: Distribution) -> Shape:
    """Shape of the axes that the parameters of ``d`` have on the left of its batch and event shape."""
    extras = [_extra(value, len(d.batch_shape) + dim) for value, dim in _parameters(d).values()]
    return max(extras, key=len, default=())


@leading_shape.register(ExpandedDistribution)
@leading_shape.register(Independent)
@leading_shape.register(MaskedDistribution)
def _leading_shape_of_base(d: Any) -> Shape:
    return leading_shape(d.base_dist)


@leading_shape.register
def _leading_shape_of_transformed(d: TransformedDistribution) -> Shape:
    # families may have parameters that are those of a transform alone
    return max(leading_shape(d.base_dist), leading_shape.dispatch(Distribution)(d), key=len)


@leading_shape.register
def _leading_shape_of_support(d: ImproperUniform) -> Shape:
    extras = [_extra(bound, len(d.shape())) for bound in jax.tree_util.tree_leaves(d.support)]
    return max(extras, key=len, default=())


@functools.singledispatch
def with_leading_shape(d: Distribution, lead: Shape, pad: int) -> Any:
    """The distribution of batch shape ``lead + (1,) * pad + d.batch_shape``, where the arrays of ``d`` already begin
    with ``lead``.

    A parameter of smaller rank than the batch gets its missing dimensions behind ``lead``, as it would have had them
    on its left without.
    """
    rank = pad + len(d.batch_shape)
    parameters = _parameters(d)
    fields = {}
    for name in _field_names(d):
        value = d.__dict__[name]
        if name in parameters:
            fields[name] = _insert(value, lead, rank + parameters[name][1])
        elif isinstance(value, Distribution):
            fields[name] = with_leading_shape(value, lead, max(rank - len(value.batch_shape), 0))
        else:  # nothing is known of its event, so it is taken to have the rank of the batch
            fields[name] = jax.tree_util.tree_map(lambda x: _insert(x, lead, np.ndim(x) - len(lead) + pad), value)
    return _replace(d, lead + (1,) * pad + d.batch_shape, fields)


@with_leading_shape.register
def _masked_with_leading_shape(d: MaskedDistribution, lead: Shape, pad: int) -> Any:
    fields = {"base_dist": with_leading_shape(d.base_dist, lead, pad)}
    if "_mask" in d.tree_flatten()[1][0]:
        fields["_mask"] = _insert(d._mask, lead, pad + len(d.batch_shape))
    return _replace(d, lead + (1,) * pad + d.batch_shape, fields)


@with_leading_shape.register
def _transformed_with_leading_shape(d: TransformedDistribution, lead: Shape, pad: int) -> Any:
    result = with_leading_shape.dispatch(Distribution)(d, lead, pad)
    rank = pad + len(d.shape())
    transforms = []
    for old, new in zip(d.transforms, result.transforms, strict=True):
        if old.domain.event_dim == 0:  # elementwise, so that parameters broadcast with whole events
            new = jax.tree_util.tree_map(lambda x: _insert(x, lead, rank), old)
        transforms.append(new)
    return _replace(result, result.batch_shape, {"transforms": transforms})


@with_leading_shape.register
def _improper_with_leading_shape(d: ImproperUniform, lead: Shape, pad: int) -> Any:
    rank = pad + len(d.shape())
    support = jax.tree_util.tree_map(lambda x: _insert(x, lead, rank), d.support)
    return _replace(d, lead + (1,) * pad + d.batch_shape, {"support": support})


def _field_names(d: Distribution) -> tuple[str, ...]:
    return tuple(name for name in type(d).gather_pytree_data_fields() if name in d.__dict__)


def _parameters(d: Distribution) -> dict[str, tuple[Any, int]]:
    """Parameters that are arrays, each with the number of dimensions of one value of it."""
    parameters = {}
    for name, value in d.get_args().items():
        if name in _field_names(d) and not isinstance(value, Distribution):
            try:
                event_dim = d.arg_constraints[name].event_dim
            except NotImplementedError:  # depends on the instance, as that of the event does
                event_dim = d.event_dim
            parameters[name] = (value, event_dim)
    return parameters


def _extra(x: Any, rank: int) -> Shape:
    shape = np.shape(x)
    return shape[: max(len(shape) - rank, 0)]


def _insert(x: Any, lead: Shape, rank: int) -> Any:
    """Insert dimensions of size one behind the leading shape of ``x``, so that ``rank`` dimensions follow it."""
    shape = np.shape(x)
    rest = shape[len(lead) :]
    if shape[: len(lead)] != lead or len(rest) >= rank:  # not batched, or complete
        return x
    return jax.numpy.reshape(x, lead + (1,) * (rank - len(rest)) + rest)


def _replace(d: D, batch_shape: Shape, fields: dict[str, Any]) -> D:
    children, (data, aux) = d.tree_flatten()
    aux = tuple((name, batch_shape if name == "_batch_shape" else value) for name, value in aux)
    values = [fields.get(name, child) for name, child in zip(data, children, strict=True)]
    return type(d).tree_unflatten((data, aux), values)  # type: ignore[return-value]
