"""What a kernel is, and the bandwidth that most of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from math import log
from typing import Any, ClassVar

import jax.numpy as jnp
from jax import lax

from numpyro._errors import UsageError
from numpyro._typing import Array, Key, Shape

Kernel = Callable[[Array, Array], Array]
Spans = Mapping[str, tuple[int, int]]
"""Where the values of each site begin and end in a particle."""
Factor = Callable[[int], float]


class SteinKernel(ABC):
    """Base class of kernels.

    :param mode: what the kernel returns, one of ``modes``.
    :raises ValueError: (and ``AssertionError``) for another mode.
    """

    modes: ClassVar[tuple[str, ...]] = ("norm", "vector", "matrix")
    """The modes of this kind of kernel."""

    def __init__(self, mode: str = "norm") -> None:
        if mode not in self.modes:
            raise UsageError(f"{type(self).__name__}: `mode` must be one of {list(self.modes)}, got {mode!r}.")
        self._mode = mode

    @property
    def mode(self) -> str:
        """What the kernel returns: ``"norm"`` a number, ``"vector"`` one for each coordinate, ``"matrix"`` a matrix."""
        return self._mode

    def init(self, rng_key: Key, particles_shape: Shape) -> None:
        """Draw what the kernel keeps for a whole run.

        :param rng_key: a key.
        :param particles_shape: the number of particles and their size.
        """

    @abstractmethod
    def compute(self, rng_key: Key, particles: Array, particle_info: Spans, loss_fn: Callable) -> Kernel:
        """The kernel for a set of particles.

        :param rng_key: a key.
        :param particles: unconstrained values, of shape ``(number, size)``.
        :param particle_info: where the values of each site begin and end, by name.
        :param loss_fn: ``loss_fn(key, particle, index)``, the log density that pulls a particle.
        :return: a function of two particles.
        """


def inverse_log(n: int) -> float:
    r""":math:`1 / \log n`, the usual factor of bandwidths; 1 for a single particle."""
    return 1.0 / log(n) if n > 1 else 1.0


def square_distances(particles: Array) -> Array:
    """The squares of the distances between all particles, of shape ``(number, number)``."""
    return jnp.sum((particles[:, None] - particles[None]) ** 2, -1)


def median_bandwidth(particles: Array, factor_fn: Factor) -> Array:
    r"""The bandwidth :math:`h = c_n \operatorname{med}_{ij} \|x_i - x_j\|^2`, which takes no part in gradients.

    :param particles: of shape ``(number, size)``.
    :param factor_fn: :math:`c_n` by the number of particles. With :math:`1 / \log n` the kernel
        :math:`\exp(-\|x - y\|^2 / h)` sums to about 1 over the other particles.

    **Reference:** Liu & Wang, *Stein variational gradient descent* (2016), section 5.
    """
    median = jnp.median(square_distances(lax.stop_gradient(particles)))
    # Particles that all coincide have no scale of their own.
    return jnp.where(median > 0, median, 1.0) * factor_fn(particles.shape[0])


def require_factor(kernel: object, factor_fn: Any) -> Factor:
    """``factor_fn``, which must be a function."""
    if not callable(factor_fn):
        raise TypeError(
            f"{type(kernel).__name__}: `bandwidth_factor` must be a function of the number of particles, got "
            f"{factor_fn!r}."
        )
    return factor_fn


for _object in (SteinKernel, median_bandwidth):
    _object.__module__ = "numpyro.contrib.einstein.stein_kernels"
