"""The categorical distribution."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax, nn

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._lazy import lazy_property
from numpyro.distributions._maths import require_one_of, xlogy
from numpyro.distributions._shapes import static
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.discrete.support import enumerate_range
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.kl import kl_divergence
from numpyro.ops.random import categorical
from numpyro.ops.special import clamp_probs

# Up to this size a table that all values share is read by one comparison for each of its entries.
_SMALL_TABLE = 16


def _select(value: ArrayLike, table: ArrayLike, otherwise: float) -> Array:
    """``table[..., value]``, and ``otherwise`` where the value is no index.

    The derivative of indexing is a scatter, which runs serially. Where all values share a small table, comparisons run
    along the values in both directions instead, and are several times quicker.
    """
    table = jnp.asarray(table)
    size = table.shape[-1]
    everything = _select_everything(value, table)
    if everything is not None:
        return everything
    shape = lax.broadcast_shapes(jnp.shape(value), table.shape[:-1])
    value = jnp.broadcast_to(jnp.asarray(value), shape)
    if table.size == size <= _SMALL_TABLE:
        table = table.reshape(-1)
        result = jnp.full(shape, otherwise, table.dtype)
        for k in range(size):
            result = jnp.where(value == k, table[k], result)
        return result
    inside = (value >= 0) & (value < size)
    index = jnp.where(inside, value, 0).astype(jnp.result_type(int))
    if table.size == size:
        return jnp.where(inside, table.reshape(-1)[index], otherwise)
    table = table.reshape((1,) * (len(shape) + 1 - table.ndim) + table.shape)
    return jnp.where(inside, jnp.take_along_axis(table, index[..., None], -1)[..., 0], otherwise)


def _select_everything(value: ArrayLike, table: Array) -> Array | None:
    """``table[..., value]`` where the value is known to list all indices in their order along an axis, else ``None``.

    The table is only turned then. Sites that are summed out exactly have such values.
    """
    value, size = static(value), table.shape[-1]
    if not isinstance(value, np.ndarray) or value.shape.count(1) != value.ndim - 1 or value.size != size:
        return None
    rank = max(value.ndim, table.ndim - 1)
    axis = rank - value.ndim + int(np.argmax(value.shape))
    batch = (1,) * (rank - table.ndim + 1) + table.shape[:-1]
    if batch[axis] != 1 or not np.array_equal(value.ravel(), np.arange(size)):
        return None
    before, after = batch[:axis], batch[axis + 1 :]
    if all(n == 1 for n in after):
        return lax.reshape(table, (*before, size, *after))
    table = lax.reshape(table, (*before, *after, size))
    return lax.transpose(table, (*range(axis), rank - 1, *range(axis, rank - 1)))


class _Categorical(Distribution):
    """What holds of a categorical distribution however its probabilities are given."""

    probs: Any
    has_enumerate_support = True

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> constraints.Constraint:
        return constraints.integer_interval(0, self._size - 1)

    @property
    def _size(self) -> int:
        raise NotImplementedError

    @property
    def _log_probs(self) -> Array:
        raise NotImplementedError

    @property
    def mean(self) -> Array:
        """Not a number: categories have no mean."""
        return jnp.full(self.batch_shape, jnp.nan)

    @property
    def variance(self) -> Array:
        """Not a number: categories have no variance."""
        return jnp.full(self.batch_shape, jnp.nan)

    def cdf(self, value: ArrayLike) -> Array:
        at_most = np.arange(self._size) <= jnp.expand_dims(value, -1)
        return jnp.clip(jnp.sum(jnp.where(at_most, jnp.asarray(self.probs), 0.0), -1), 0, 1)

    def icdf(self, q: ArrayLike) -> Array:
        cumulative = jnp.cumsum(jnp.asarray(self.probs), -1)[..., :-1]
        return jnp.sum(cumulative < jnp.expand_dims(q, -1), -1, dtype=jnp.result_type(float))

    def enumerate_support(self, expand: bool = True) -> Array:
        return enumerate_range(0, self._size - 1, self.batch_shape, expand)


class CategoricalProbs(_Categorical):
    r"""The categorical distribution by its probabilities.

    .. math:: p(k) = p_k, \quad k = 0, \dots, K - 1

    :param probs: :math:`p`, not negative, of shape ``batch_shape + (K,)``, adding up to 1 over the last dimension.
    :support: :math:`k \in \{0, 1, \dots, K - 1\}`
    :raises ValueError: when ``probs`` is a scalar.

    **Reference:** N. L. Johnson, S. Kotz, N. Balakrishnan (1997), "Discrete Multivariate Distributions", chapter 35.
    """

    __module__ = "numpyro.distributions.discrete"
    arg_constraints = {"probs": constraints.simplex}

    def __init__(self, probs: ArrayLike, *, validate_args: bool | None = None) -> None:
        if jnp.ndim(probs) < 1:
            raise ValueError("Categorical: `probs` parameter must be at least one-dimensional; got a scalar.")
        self.probs: Any = probs
        super().__init__(batch_shape=jnp.shape(probs)[:-1], validate_args=validate_args)

    @property
    def _size(self) -> int:
        return jnp.shape(self.probs)[-1]

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        return categorical(key, self.probs, sample_shape + self.batch_shape)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        # the logarithm after the choice: that of a zero which was not chosen is never taken
        return jnp.log(_select(value, self.probs, 0.0))

    @lazy_property
    def logits(self) -> Array:
        return jnp.log(clamp_probs(self.probs))

    @property
    def _log_probs(self) -> Array:
        return jnp.log(self.probs)

    def entropy(self) -> Array:
        probs = jnp.asarray(self.probs)
        return -jnp.sum(xlogy(probs, probs), -1)

    @property
    def mode(self) -> Array:
        return jnp.argmax(jnp.asarray(self.probs), -1)


class CategoricalLogits(_Categorical):
    r"""The categorical distribution by logits.

    .. math:: p(k) = \frac{e^{l_k}}{\sum_j e^{l_j}}, \quad k = 0, \dots, K - 1

    :param logits: :math:`l`, real, of shape ``batch_shape + (K,)``; a constant added to all of them changes nothing.
    :support: :math:`k \in \{0, 1, \dots, K - 1\}`
    :raises ValueError: when ``logits`` is a scalar.

    **Reference:** N. L. Johnson, S. Kotz, N. Balakrishnan (1997), "Discrete Multivariate Distributions", chapter 35.
    """

    __module__ = "numpyro.distributions.discrete"
    arg_constraints = {"logits": constraints.real_vector}

    def __init__(self, logits: ArrayLike, *, validate_args: bool | None = None) -> None:
        if jnp.ndim(logits) < 1:
            raise ValueError("Categorical: `logits` parameter must be at least one-dimensional; got a scalar.")
        self.logits: Any = logits
        super().__init__(batch_shape=jnp.shape(logits)[:-1], validate_args=validate_args)

    @property
    def _size(self) -> int:
        return jnp.shape(self.logits)[-1]

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        return categorical(key, self.probs, sample_shape + self.batch_shape)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        # differences from the largest, so that a common constant costs no digits
        logits = jnp.asarray(self.logits)
        centred = logits - lax.stop_gradient(jnp.max(logits, -1, keepdims=True))
        return _select(value, centred, -jnp.inf) - jnp.log(jnp.sum(jnp.exp(centred), -1))

    @lazy_property
    def probs(self) -> Array:
        return nn.softmax(jnp.asarray(self.logits), axis=-1)

    @property
    def _log_probs(self) -> Array:
        return nn.log_softmax(jnp.asarray(self.logits), axis=-1)

    def entropy(self) -> Array:
        log_probs = nn.log_softmax(jnp.asarray(self.logits), axis=-1)
        probs = jnp.exp(log_probs)
        return -jnp.sum(probs * jnp.where(probs > 0, log_probs, 0), -1)

    @property
    def mode(self) -> Array:
        return jnp.argmax(jnp.asarray(self.logits), -1)


def Categorical(
    probs: ArrayLike | None = None, logits: ArrayLike | None = None, *, validate_args: bool | None = None
) -> CategoricalProbs | CategoricalLogits:
    """The categorical distribution, by its probabilities or by logits.

    :param probs: probabilities, of shape ``(..., K)``.
    :param logits: their logarithms, up to a constant, of the same shape. Exactly one of the two is to be given.
    :return: :class:`CategoricalProbs` or :class:`CategoricalLogits`.
    :raises ValueError: when none or both are given.
    """
    name, parameter = require_one_of(probs=probs, logits=logits)
    if name == "probs":
        return CategoricalProbs(parameter, validate_args=validate_args)
    return CategoricalLogits(parameter, validate_args=validate_args)


Categorical.__module__ = "numpyro.distributions.discrete"


@kl_divergence.register(_Categorical, _Categorical)
def _kl_categorical_categorical(p: _Categorical, q: _Categorical) -> Array:
    r""":math:`\sum_k p_k \log\frac{p_k}{p_k'}`."""
    probs = jnp.asarray(p.probs)
    return jnp.sum(probs * jnp.where(probs > 0, p._log_probs - q._log_probs, 0), -1)
