"""The Euler-Maruyama discretisation of stochastic differential equations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax, random

from numpyro._errors import UsageError
from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._maths import HALF_LOG_TWO_PI
from numpyro.distributions._shapes import sum_rightmost
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.distribution import Distribution


class EulerMaruyama(Distribution):
    r"""A path of :math:`dx = f(x, t)\, dt + g(x, t)\, dW` at given times, by the method of Euler and Maruyama.

    .. math:: p(x) = p_0(x_0) \prod_{i=1}^{n-1} \mathcal{N}\bigl(x_i \mid x_{i-1} + f(x_{i-1}, t_{i-1}) \Delta_i,\;
        g(x_{i-1}, t_{i-1})^2 \Delta_i\bigr), \quad \Delta_i = t_i - t_{i-1}

    The components of the noise are independent: :math:`g` has one number per component, or one for all.

    :param t: times, increasing, of shape ``(..., n)``.
    :param sde_fn: a function ``(x, t)`` that returns drift :math:`f` and diffusion :math:`g`. It is called for one
        state, of the event shape of ``init_dist``, and one time, a scalar.
    :param init_dist: the distribution of the state at the first time. An event has the shape ``(n,)`` followed by its
        event shape.
    :support: :math:`x \in \mathbb{R}^n`, each :math:`x_i` of the event shape of ``init_dist``
    :raises TypeError: when ``init_dist`` is no distribution.
    :raises ValueError: when ``t`` is a scalar.

    **Reference:** P. E. Kloeden and E. Platen (1992), "Numerical solution of stochastic differential equations".
    """

    __module__ = "numpyro.distributions.continuous"
    arg_constraints = {"t": constraints.ordered_vector}
    pytree_data_fields = ("init_dist",)
    pytree_aux_fields = ("sde_fn",)

    def __init__(
        self,
        t: ArrayLike,
        sde_fn: Callable[[Array, Array], tuple[Any, Any]],
        init_dist: Distribution,
        *,
        validate_args: bool | None = None,
    ) -> None:
        if not isinstance(init_dist, Distribution):
            raise TypeError(
                "EulerMaruyama: Init distribution is expected to be Distribution class; got"
                f" {type(init_dist).__name__}."
            )
        if not jnp.ndim(t):
            raise UsageError("EulerMaruyama: `t` must be a vector of times, or a batch of them; got a scalar.")
        self.t: Any = t
        self.sde_fn = sde_fn
        self.init_dist = init_dist
        batch_shape = lax.broadcast_shapes(jnp.shape(t)[:-1], init_dist.batch_shape)
        event_shape = (*jnp.shape(t)[-1:], *init_dist.event_shape)
        super().__init__(batch_shape, event_shape, validate_args=validate_args)

    @property
    def support(self) -> constraints.Constraint:  # type: ignore[override]
        return constraints.independent(constraints.real, self.event_dim)

    def _drift_and_diffusion(self, x: Array, t: Array) -> tuple[Array, Array]:
        """Both, of the shape of ``x``, for states of shape ``t.shape + init_dist.event_shape``."""
        event_shape = self.init_dist.event_shape

        def of_one(x: Array, t: Array) -> tuple[Array, Array]:
            drift, diffusion = self.sde_fn(x, t)
            return jnp.broadcast_to(drift, event_shape), jnp.broadcast_to(diffusion, event_shape)

        flat = (math.prod(t.shape),)
        drift, diffusion = jax.vmap(of_one)(jnp.reshape(x, flat + event_shape), jnp.reshape(t, flat))
        return jnp.reshape(drift, x.shape), jnp.reshape(diffusion, x.shape)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        key_start, key_noise = random.split(key)
        shape, event_shape = tuple(sample_shape) + self.batch_shape, self.init_dist.event_shape
        start = self.init_dist.expand(self.batch_shape).sample(key_start, sample_shape)
        t = jnp.asarray(self.t, jnp.result_type(float, self.t))
        times, steps = jnp.moveaxis(t[..., :-1], -1, 0), jnp.moveaxis(jnp.diff(t), -1, 0)
        noise = random.normal(key_noise, (t.shape[-1] - 1, *shape, *event_shape), start.dtype)

        def step(x: Array, inputs: tuple[Array, Array, Array]) -> tuple[Array, Array]:
            t, dt, noise = inputs
            drift, diffusion = self._drift_and_diffusion(x, jnp.broadcast_to(t, shape))
            dt = jnp.reshape(dt, dt.shape + (1,) * len(event_shape))
            x = (x + drift * dt + diffusion * jnp.sqrt(dt) * noise).astype(x.dtype)
            return x, x

        _, path = lax.scan(step, start, (times, steps, noise))
        return jnp.moveaxis(jnp.concatenate([start[None], path]), 0, len(shape))

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        value = jnp.asarray(value)
        event_dim = self.init_dist.event_dim
        axis = value.ndim - event_dim - 1
        start = lax.index_in_dim(value, 0, axis, keepdims=False)
        before = lax.slice_in_dim(value, 0, -1, axis=axis)
        after = lax.slice_in_dim(value, 1, None, axis=axis)
        t = jnp.asarray(self.t, jnp.result_type(float, self.t))
        shape = lax.broadcast_shapes(before.shape[: axis + 1], t[..., 1:].shape)
        before = jnp.broadcast_to(before, shape + before.shape[axis + 1 :])
        drift, diffusion = self._drift_and_diffusion(before, jnp.broadcast_to(t[..., :-1], shape))
        dt = jnp.diff(t)
        dt = jnp.reshape(dt, dt.shape + (1,) * event_dim)
        scale = diffusion * jnp.sqrt(dt)
        log_steps = -0.5 * jnp.square((after - before - drift * dt) / scale) - jnp.log(jnp.abs(scale)) - HALF_LOG_TWO_PI
        return self.init_dist.log_prob(start) + sum_rightmost(log_steps, event_dim + 1)
