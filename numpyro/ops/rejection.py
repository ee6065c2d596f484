r"""Sampling by rejection in large batches, and gamma variables drawn so.

A loop that proposes for all elements until the last one accepts does several times the work: the more elements, the
more rounds. Here all are proposed for once; then the few that were rejected are packed together, and the loop runs over
these alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jax.scipy.special import digamma

from numpyro._typing import Array, ArrayLike, Key, Shape

_FEW = 4096  # elements that are not worth packing
_LANE = 128  # elements whose ranks one product with a triangle of ones counts


def sample_by_rejection(
    key: Key,
    propose: Callable[..., tuple[Array, Array]],
    parameters: tuple[Array, ...],
    shape: Shape,
    packing: int = 8,
) -> Array:
    """Repeat proposals until each element has accepted one.

    :param key: a JAX random key.
    :param propose: function of a key, the parameters and a shape, which returns proposals and whether each is accepted.
        It must accept where a parameter is not a number.
    :param parameters: arrays, each either a scalar or of the given shape.
    :param shape: shape of the result.
    :param packing: how many times fewer elements there is room for after the first proposals.
    :return: the accepted proposals.
    """
    size = math.prod(shape)
    flat = tuple(p if p.ndim == 0 else p.reshape(-1) for p in parameters)
    key_first, key_rest = random.split(key)
    if size < _FEW:
        return _repeat(key, propose, flat, size)[1].reshape(shape)
    value, accepted = propose(key_first, *flat, (size,))
    packed = -(-size // packing // _LANE) * _LANE

    def finish(state: tuple[Key, Array, Array]) -> tuple[Key, Array, Array]:
        key, value, accepted = state
        positions = _first_positions(~accepted, packed)
        some = tuple(p if p.ndim == 0 else p.at[positions].get(mode="fill", fill_value=jnp.nan) for p in flat)
        key, again = _repeat(key, propose, some, packed)
        return (
            key,
            value.at[positions].set(again, mode="drop", unique_indices=True),
            accepted.at[positions].set(True, mode="drop", unique_indices=True),
        )

    start = (key_rest, value, accepted)
    return lax.while_loop(lambda state: ~jnp.all(state[2]), finish, start)[1].reshape(shape)


def _repeat(
    key: Key, propose: Callable[..., tuple[Array, Array]], parameters: tuple[Array, ...], size: int
) -> tuple[Key, Array]:
    """A key for what follows, and the accepted proposals."""

    def once(state: tuple[Key, Array, Array]) -> tuple[Key, Array, Array]:
        key, value, accepted = state
        key, key_now = random.split(key)
        proposal, good = propose(key_now, *parameters, (size,))
        return key, jnp.where(accepted, value, proposal), accepted | good

    value = jax.eval_shape(lambda key: propose(key, *parameters, (size,))[0], key)
    start = (key, jnp.zeros(value.shape, value.dtype), jnp.zeros(size, bool))
    return lax.while_loop(lambda state: ~jnp.all(state[2]), once, start)[:2]


def _first_positions(mask: Array, count: int) -> Array:
    """The positions of the first ``count`` true elements; where there are fewer, positions beyond the end.

    Ranks are counted in lanes by a product with a triangle of ones, several times faster than a scan over all.
    """
    size = mask.shape[0]
    lanes = jnp.pad(mask, (0, -size % _LANE)).reshape(-1, _LANE).astype(np.float32)
    within = jnp.matmul(lanes, np.triu(np.ones((_LANE, _LANE), np.float32)), precision=lax.Precision.HIGHEST)
    within = within.astype(np.int32)
    before = jnp.cumsum(within[:, -1]) - within[:, -1]
    rank = (within + before[:, None]).reshape(-1)[:size] - 1
    # distinct places beyond the end for what is dropped
    place = jnp.where(mask & (rank < count), rank, count + np.arange(size, dtype=np.int32))
    beyond = size + np.arange(count, dtype=np.int32)
    return jnp.asarray(beyond).at[place].set(np.arange(size, dtype=np.int32), mode="drop", unique_indices=True)


def gamma(key: Key, concentration: ArrayLike, shape: Shape, dtype: Any = None) -> Array:
    """Draw from gamma distributions of rate 1; draws have a derivative in the concentration.

    :param key: a JAX random key.
    :param concentration: positive, broadcasts to ``shape``.
    :param shape: shape of the result.
    :param dtype: floating type of the result; default JAX's.
    :return: array of that shape; for a tiny concentration draws may underflow to 0.
    """
    a, large, log_factor = _gamma_parts(key, concentration, shape, dtype)
    return _gamma_with_derivative(a, lax.stop_gradient(large * jnp.exp(log_factor)))


def loggamma(key: Key, concentration: ArrayLike, shape: Shape, dtype: Any = None) -> Array:
    """Draw logarithms of gamma variables of rate 1, as :func:`gamma`; these do not underflow."""
    a, large, log_factor = _gamma_parts(key, concentration, shape, dtype)
    return _loggamma_with_derivative(a, lax.stop_gradient(jnp.log(large) + log_factor))


def _gamma_parts(key: Key, concentration: ArrayLike, shape: Shape, dtype: Any) -> tuple[Array, Array, Array]:
    """The concentration ``a``, and two arrays whose product, the second in the logarithm, is a gamma variable.

    The first has concentration ``a``, or ``a + 1`` where ``a`` is below 1; the second then is ``u**(1 / a)``.
    """
    dtype = jnp.result_type(float) if dtype is None else dtype
    a = jnp.asarray(concentration, dtype)
    constant = lax.stop_gradient(a if a.ndim == 0 else jnp.broadcast_to(a, shape))
    key_large, key_factor = random.split(key)
    small = constant < 1
    raised = jnp.where(constant >= 0, jnp.where(small, constant + 1, constant), jnp.nan)
    large = sample_by_rejection(key_large, _propose_gamma, (raised,), shape)

    def draw_factor(key: Key) -> Array:
        u = random.uniform(key, shape, dtype)
        return jnp.where(small, jnp.log1p(-u) / constant, 0)

    log_factor = lax.cond(jnp.any(small), draw_factor, lambda key: jnp.zeros(shape, dtype), key_factor)
    return a, large, log_factor


def _propose_gamma(key: Key, a: Array, shape: Shape) -> tuple[Array, Array]:
    r"""Marsaglia and Tsang's proposal for concentrations at least 1, accepted at least 95 times of a hundred.

    With :math:`d = a - 1/3`, :math:`x` normal and :math:`t = x / (3\sqrt d)`, the proposal :math:`d (1 + t)^3` has the
    acceptance probability :math:`\exp d\,(3 \log(1 + t) - 3t + \tfrac32 t^2 - t^3)`, of which for small :math:`t`
    only :math:`-\tfrac34 t^4` and higher powers remain.

    Reference: G. Marsaglia, W. W. Tsang (2000), "A simple method for generating gamma variables".
    """
    d = a - 1 / 3
    # one call for both random numbers: it compiles to half the code
    low = np.nextafter(np.array(-1, d.dtype), np.array(0, d.dtype))
    uniform = random.uniform(key, (2, *shape), d.dtype, low, 1.0)
    t = lax.erf_inv(uniform[0]) * (math.sqrt(2) / (3 * jnp.sqrt(d)))
    small = jnp.abs(t) < 0.1
    s = jnp.where(small, t, 0)
    series = jnp.full_like(s, 3 / 12)
    for order in range(11, 3, -1):
        series = 3 / order - s * series
    powers = -lax.square(lax.square(s)) * series
    positive = t > -1
    t = jnp.where(positive, t, 0)
    log_probability = d * jnp.where(small, powers, 3 * (jnp.log1p(t) - t) + lax.square(t) * (1.5 - t))
    rejected = jnp.log(0.5 * (uniform[1] + 1)) >= log_probability
    return d * (1 + t) * lax.square(1 + t), ~rejected & positive | jnp.isnan(d)


@jax.custom_jvp
def _gamma_with_derivative(a: Array, draws: Array) -> Array:
    return draws


@_gamma_with_derivative.defjvp
def _gamma_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    a, draws = primals
    # the derivative of the draw at a fixed value of its cdf
    return draws, lax.random_gamma_grad(jnp.broadcast_to(a, draws.shape), draws) * tangents[0]


@jax.custom_jvp
def _loggamma_with_derivative(a: Array, draws: Array) -> Array:
    return draws


@_loggamma_with_derivative.defjvp
def _loggamma_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    a, draws = primals
    # for small x the cdf is x^a / gamma(a + 1) to first order
    tiny = draws < math.log(float(jnp.finfo(draws.dtype).eps))
    x = jnp.exp(jnp.where(tiny, 0, draws))
    slope = lax.random_gamma_grad(jnp.broadcast_to(a, draws.shape), x) / x
    return draws, jnp.where(tiny, (digamma(a + 1) - draws) / a, slope) * tangents[0]


def dirichlet(key: Key, concentration: ArrayLike, shape: Shape) -> Array:
    """Draw from Dirichlet distributions.

    :param key: a JAX random key.
    :param concentration: positive, of shape ``(..., K)``.
    :param shape: shape of the result without its last dimension.
    :return: array of shape ``shape + (K,)``, adding up to 1 over the last dimension.
    """
    logs = loggamma(key, concentration, (*shape, jnp.shape(concentration)[-1]))
    return jax.nn.softmax(logs, axis=-1)


def beta(key: Key, a: ArrayLike, b: ArrayLike, shape: Shape) -> Array:
    """Draw from beta distributions.

    :param key: a JAX random key.
    :param a: positive, broadcasts to ``shape``.
    :param b: positive, broadcasts to ``shape``.
    :param shape: shape of the result.
    """
    return jax.nn.sigmoid(log_odds(key, a, b, shape))


def log_odds(key: Key, a: ArrayLike, b: ArrayLike, shape: Shape) -> Array:
    """Draw ``log(x / (1 - x))`` for ``x`` of beta distributions, as :func:`beta`."""
    key_a, key_b = random.split(key)
    return loggamma(key_a, a, shape) - loggamma(key_b, b, shape)
