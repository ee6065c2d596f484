"""A Gaussian kernel by random features."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import Array, Key, Shape
from numpyro.contrib.einstein.stein_kernels.base import (
    Factor,
    Kernel,
    Spans,
    SteinKernel,
    inverse_log,
    median_bandwidth,
    require_factor,
)


class RandomFeatureKernel(SteinKernel):
    r"""The kernel of random cosines

    .. math:: k(x, y) = \frac 1 m \sum_{l=1}^m \varphi_l(x) \varphi_l(y),
        \qquad \varphi_l(x) = \sqrt 2 \cos\Big(\sqrt{2 / h}\, w_l \cdot x + b_l\Big)

    with :math:`w_l \sim \mathcal N(0, I)`, :math:`b_l \sim \mathcal U(0, 2 \pi)`, as many as there are particles. In
    the mean over features it is the Gaussian kernel :math:`\exp(-\|x - y\|^2 / h)` of :class:`RBFKernel`; the
    particles match the expectations of its features.

    :param mode: ``"norm"``.
    :param bandwidth_subset: the number of particles whose distances give the bandwidth :math:`h`; all by default.
    :param bandwidth_factor: the factor of the bandwidth, :math:`1 / \log n` by default.
    :raises ValueError: (and ``AssertionError``) where ``bandwidth_subset`` is no positive integer, or features have not
        been drawn by ``init``.

    **References:** Rahimi & Recht, *Random features for large-scale kernel machines* (2007); Liu & Wang, *Stein
    variational gradient descent as moment matching* (2018).
    """

    modes = ("norm",)

    def __init__(
        self, mode: str = "norm", bandwidth_subset: int | None = None, bandwidth_factor: Factor = inverse_log
    ) -> None:
        super().__init__(mode)
        if bandwidth_subset is not None and bandwidth_subset < 1:
            raise UsageError(f"RandomFeatureKernel: `bandwidth_subset` must be positive, got {bandwidth_subset}.")
        self.bandwidth_subset = bandwidth_subset
        self.bandwidth_factor = require_factor(self, bandwidth_factor)
        self._features: tuple[Array, Array] | None = None

    def init(self, rng_key: Key, particles_shape: Shape) -> None:
        weight_key, phase_key = jax.random.split(rng_key)
        weights = jax.random.normal(weight_key, particles_shape)
        phases = jax.random.uniform(phase_key, particles_shape[:1], maxval=2 * np.pi)
        self._features = weights, phases

    def compute(self, rng_key: Key, particles: Array, particle_info: Spans, loss_fn: Callable) -> Kernel:
        if self._features is None:
            raise UsageError("RandomFeatureKernel has no features yet: call init(rng_key, particles.shape) first.")
        weights, phases = self._features
        size = particles.shape[1]
        if weights.shape[1] < size:
            raise UsageError(
                f"RandomFeatureKernel: features were drawn for particles of size {weights.shape[1]}, these have {size}."
            )
        subset = particles
        if self.bandwidth_subset is not None and self.bandwidth_subset < particles.shape[0]:
            subset = jax.random.choice(rng_key, particles, (self.bandwidth_subset,), replace=False)
        scaled = weights[:, :size] * jnp.sqrt(2.0 / median_bandwidth(subset, self.bandwidth_factor))

        def features(x: Array) -> Array:
            return jnp.sqrt(2.0) * jnp.cos(scaled @ x + phases)

        return lambda x, y: jnp.mean(features(x) * features(y))


RandomFeatureKernel.__module__ = "numpyro.contrib.einstein.stein_kernels"
