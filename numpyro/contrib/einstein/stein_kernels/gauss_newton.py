"""A Gaussian kernel of a distance that knows how the target curves."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from numpyro._typing import Array, Key
from numpyro.contrib.einstein.stein_kernels.base import Kernel, Spans, SteinKernel


class RadialGaussNewtonKernel(SteinKernel):
    r"""The Gaussian kernel

    .. math:: k(x, y) = \exp\Big(-\frac{1}{2 d} (x - y)^\top M (x - y)\Big),
        \qquad M = \frac 1 n \sum_j \nabla \log p(x_j) \nabla \log p(x_j)^\top

    of particles of size :math:`d`, with the Gauss-Newton approximation :math:`M` of the mean Hessian of
    :math:`-\log p`: distances are long where the density changes fast.

    **Reference:** Detommaso, Cui, Spantini, Marzouk & Scheichl, *A Stein variational Newton method* (2018), section 4.
    """

    modes = ("norm",)

    def __init__(self) -> None:
        super().__init__("norm")

    def compute(self, rng_key: Key, particles: Array, particle_info: Spans, loss_fn: Callable) -> Kernel:
        count, size = particles.shape
        gradients = jax.vmap(jax.grad(loss_fn, 1))(jax.random.split(rng_key, count), particles, jnp.arange(count))
        metric = lax.stop_gradient(gradients.T @ gradients / count)

        def kernel(x: Array, y: Array) -> Array:
            return jnp.exp(-((x - y) @ metric @ (x - y)) / (2.0 * size))

        return kernel


RadialGaussNewtonKernel.__module__ = "numpyro.contrib.einstein.stein_kernels"
