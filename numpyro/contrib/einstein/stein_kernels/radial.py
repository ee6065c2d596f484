"""Kernels of the distance between particles."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp

from numpyro._errors import UsageError
from numpyro._typing import Array, Key
from numpyro.contrib.einstein.stein_kernels.base import (
    Factor,
    Kernel,
    Spans,
    SteinKernel,
    inverse_log,
    median_bandwidth,
    require_factor,
)


class RBFKernel(SteinKernel):
    r"""The Gaussian kernel

    .. math:: k(x, y) = \exp\Big(-\frac{\|x - y\|^2}{h}\Big), \qquad h = c_n \operatorname{med}_{ij} \|x_i - x_j\|^2

    :param mode: ``"norm"`` (default); ``"vector"``, the same of each coordinate alone; or ``"matrix"``,
        :math:`k(x, y) I`.
    :param matrix_mode: the kind of matrices, ``"norm_diag"``.
    :param bandwidth_factor: :math:`c_n` by the number of particles, :math:`1 / \log n` by default.

    **Reference:** Liu & Wang, *Stein variational gradient descent* (2016).
    """

    def __init__(
        self, mode: str = "norm", matrix_mode: str = "norm_diag", bandwidth_factor: Factor = inverse_log
    ) -> None:
        super().__init__(mode)
        if matrix_mode != "norm_diag":
            raise UsageError(f"RBFKernel: `matrix_mode` must be 'norm_diag', got {matrix_mode!r}.")
        self.matrix_mode = matrix_mode
        self.bandwidth_factor = require_factor(self, bandwidth_factor)

    def compute(self, rng_key: Key, particles: Array, particle_info: Spans, loss_fn: Callable) -> Kernel:
        bandwidth = median_bandwidth(particles, self.bandwidth_factor)

        def kernel(x: Array, y: Array) -> Array:
            square = (x - y) ** 2
            if self.mode == "vector":
                return jnp.exp(-square / bandwidth)
            value = jnp.exp(-jnp.sum(square) / bandwidth)
            return value if self.mode == "norm" else value * jnp.eye(x.shape[-1], dtype=x.dtype)

        return kernel


class IMQKernel(SteinKernel):
    r"""The inverse multiquadric kernel :math:`k(x, y) = (c^2 + \|x - y\|^2)^b`, whose tails are heavy.

    :param mode: ``"norm"`` (default), or ``"vector"``, the same of each coordinate alone.
    :param const: :math:`c > 0`, 1 by default.
    :param expon: :math:`b \in (-1, 0)`, -0.5 by default.
    :raises ValueError: (and ``AssertionError``) for others.

    **Reference:** Gorham & Mackey, *Measuring sample quality with kernels* (2017).
    """

    modes = ("norm", "vector")

    def __init__(self, mode: str = "norm", const: float = 1.0, expon: float = -0.5) -> None:
        super().__init__(mode)
        if not const > 0.0:
            raise UsageError(f"IMQKernel: `const` must be positive, got {const}.")
        if not -1.0 < expon < 0.0:
            raise UsageError(f"IMQKernel: `expon` must lie between -1 and 0, got {expon}.")
        self.const, self.expon = const, expon

    def compute(self, rng_key: Key, particles: Array, particle_info: Spans, loss_fn: Callable) -> Kernel:
        def kernel(x: Array, y: Array) -> Array:
            square = (x - y) ** 2
            return (self.const**2 + (square if self.mode == "vector" else jnp.sum(square))) ** self.expon

        return kernel


for _class in (IMQKernel, RBFKernel):
    _class.__module__ = "numpyro.contrib.einstein.stein_kernels"
