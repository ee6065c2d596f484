"""The linear kernel."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp

from numpyro._typing import Array, Key
from numpyro.contrib.einstein.stein_kernels.base import Kernel, Spans, SteinKernel


class LinearKernel(SteinKernel):
    r"""The kernel :math:`k(x, y) = x \cdot y + 1`.

    With it particles match the mean and the covariance of a normal target exactly.

    :param mode: ``"norm"``.

    **Reference:** Liu & Wang, *Stein variational gradient descent as moment matching* (2018).
    """

    modes = ("norm",)

    def compute(self, rng_key: Key, particles: Array, particle_info: Spans, loss_fn: Callable) -> Kernel:
        return lambda x, y: jnp.dot(x, y) + 1.0


LinearKernel.__module__ = "numpyro.contrib.einstein.stein_kernels"
