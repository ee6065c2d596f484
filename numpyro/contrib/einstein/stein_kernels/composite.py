"""Kernels that are made of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import Array, Key, Shape
from numpyro.contrib.einstein.stein_kernels.base import Kernel, Spans, SteinKernel
from numpyro.contrib.einstein.stein_kernels.radial import RBFKernel


class MixtureKernel(SteinKernel):
    r"""The sum :math:`k(x, y) = \sum_i w_i k_i(x, y)` of kernels of the same mode.

    :param ws: the weights :math:`w_i`, one for each kernel, not negative.
    :param kernel_fns: the kernels.
    :param mode: their mode, ``"norm"`` by default.
    :raises ValueError: (and ``AssertionError``) where numbers or modes differ.

    **Reference:** Ai, Liu, Kuzborskij & others, *Stein variational gradient descent with multiple kernels* (2021).
    """

    def __init__(self, ws: Sequence[float], kernel_fns: Sequence[SteinKernel], mode: str = "norm") -> None:
        super().__init__(mode)
        if len(ws) != len(kernel_fns) or not kernel_fns:
            raise UsageError(f"MixtureKernel needs a weight for each kernel, got {len(ws)} for {len(kernel_fns)}.")
        if any(np.any(np.asarray(w) < 0) for w in ws):
            raise UsageError(f"MixtureKernel: weights must not be negative, got {list(ws)}.")
        modes = [kernel.mode for kernel in kernel_fns]
        if any(other != mode for other in modes):
            raise UsageError(f"MixtureKernel of mode '{mode}' needs kernels of that mode, got {modes}.")
        self.ws, self.kernel_fns = ws, kernel_fns

    def init(self, rng_key: Key, particles_shape: Shape) -> None:
        for kernel, key in zip(self.kernel_fns, jax.random.split(rng_key, len(self.kernel_fns))):
            kernel.init(key, particles_shape)

    def compute(self, rng_key: Key, particles: Array, particle_info: Spans, loss_fn: Callable) -> Kernel:
        keys = jax.random.split(rng_key, len(self.kernel_fns))
        parts = [kernel.compute(key, particles, particle_info, loss_fn) for kernel, key in zip(self.kernel_fns, keys)]
        return lambda x, y: sum(w * part(x, y) for w, part in zip(self.ws[1:], parts[1:])) + self.ws[0] * parts[0](x, y)


class GraphicalKernel(SteinKernel):
    r"""A kernel for each site: the matrix with blocks :math:`k_s(x_s, y_s)` on its diagonal.

    :param mode: ``"matrix"``.
    :param local_kernel_fns: kernels, of any mode, by the names of sites (of params of the guide).
    :param default_kernel_fn: the kernel of the other sites, an :class:`RBFKernel` by default.

    **Reference:** Wang, Zeng & Liu, *Stein variational message passing for continuous graphical models* (2018).
    """

    modes = ("matrix",)

    def __init__(
        self,
        mode: str = "matrix",
        local_kernel_fns: Mapping[str, SteinKernel] | None = None,
        default_kernel_fn: SteinKernel = RBFKernel(),
    ) -> None:
        super().__init__(mode)
        self.local_kernel_fns = dict(local_kernel_fns or {})
        self.default_kernel_fn = default_kernel_fn

    def init(self, rng_key: Key, particles_shape: Shape) -> None:
        # The sites, and so the sizes of their parts, are not known yet: kernels that keep something get the whole.
        kernels = [*self.local_kernel_fns.values(), self.default_kernel_fn]
        for kernel, key in zip(kernels, jax.random.split(rng_key, len(kernels))):
            kernel.init(key, particles_shape)

    def compute(self, rng_key: Key, particles: Array, particle_info: Spans, loss_fn: Callable) -> Kernel:
        unknown = sorted(set(self.local_kernel_fns) - set(particle_info))
        if unknown:
            raise UsageError(f"GraphicalKernel has kernels for {unknown}, but the particles are {list(particle_info)}.")

        def of_part(key: Key, name: str) -> tuple[slice, Kernel]:
            start, stop = particle_info[name]
            kernel = self.local_kernel_fns.get(name, self.default_kernel_fn)

            def local_loss(key: Key, part: Array, index: int) -> Array:
                return loss_fn(key, particles[index].at[start:stop].set(part), index)

            return slice(start, stop), kernel.compute(
                key, particles[:, start:stop], {name: (0, stop - start)}, local_loss
            )

        keys = jax.random.split(rng_key, len(particle_info))
        parts = [of_part(key, name) for key, name in zip(keys, particle_info)]

        def kernel(x: Array, y: Array) -> Array:
            matrix = jnp.zeros((x.shape[-1], x.shape[-1]), x.dtype)
            for span, part in parts:
                value, size = part(x[span], y[span]), span.stop - span.start
                block = value if jnp.ndim(value) == 2 else jnp.diag(jnp.broadcast_to(value, (size,)))
                matrix = matrix.at[span, span].set(block)
            return matrix

        return kernel


for _class in (GraphicalKernel, MixtureKernel):
    _class.__module__ = "numpyro.contrib.einstein.stein_kernels"
