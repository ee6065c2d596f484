"""A kernel of the normal distributions that particles stand for."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp

from numpyro._errors import UsageError
from numpyro._typing import Array, Key
from numpyro.contrib.einstein.stein_kernels.base import Kernel, Spans, SteinKernel
from numpyro.distributions.transforms import biject_to
from numpyro.infer.autoguide import AutoNormal


class ProbabilityProductKernel(SteinKernel):
    r"""The kernel of two products of normal distributions :math:`p_x`, :math:`p_y`, normalised,

    .. math:: k(x, y) = \frac{\int p_x(z)^\rho\, p_y(z)^\rho \, dz}
        {\big(\int p_x(z)^{2 \rho} dz \int p_y(z)^{2 \rho} dz\big)^{1/2}}
        = \prod_i \Big(\frac{2 \sigma_i \tau_i}{\sigma_i^2 + \tau_i^2}\Big)^{1/2}
        \exp\Big(-\frac{\rho\, (\mu_i - \nu_i)^2}{2 (\sigma_i^2 + \tau_i^2)}\Big)

    for locations :math:`\mu, \nu` and scales :math:`\sigma, \tau`. With :math:`\rho = 1/2` it is the Bhattacharyya
    coefficient.

    :param guide: the :class:`~numpyro.infer.autoguide.AutoNormal` whose params the particles are.
    :param scale: :math:`\rho`, 1 by default.
    :param mode: ``"norm"``.
    :raises ValueError: (and ``AssertionError``) for another guide, or a scale that is not positive.

    **Reference:** Jebara, Kondor & Howard, *Probability product kernels* (2004).
    """

    modes = ("norm",)

    def __init__(self, guide: AutoNormal, scale: float = 1.0, mode: str = "norm") -> None:
        super().__init__(mode)
        if not isinstance(guide, AutoNormal):
            raise UsageError(f"ProbabilityProductKernel takes an AutoNormal guide, got {type(guide).__name__}.")
        if not scale > 0.0:
            raise UsageError(f"ProbabilityProductKernel: `scale` must be positive, got {scale}.")
        self.guide, self.scale = guide, scale

    def compute(self, rng_key: Key, particles: Array, particle_info: Spans, loss_fn: Callable) -> Kernel:
        loc_ending, scale_ending = (f"_{self.guide.prefix}_{what}" for what in ("loc", "scale"))
        names = [name.removesuffix(loc_ending) for name in particle_info if name.endswith(loc_ending)]
        missing = [name for name in names if f"{name}{scale_ending}" not in particle_info]
        if missing or not names:
            raise UsageError(
                f"ProbabilityProductKernel needs the locations and scales of its guide among the particles, which are "
                f"{list(particle_info)}."
            )
        to_scale = biject_to(self.guide.scale_constraint)
        part = lambda x, name: x[slice(*particle_info[name])]

        def kernel(x: Array, y: Array) -> Array:
            total = jnp.zeros((), x.dtype)
            for name in names:
                mu, nu = (part(v, f"{name}{loc_ending}") for v in (x, y))
                sigma, tau = (to_scale(part(v, f"{name}{scale_ending}")) for v in (x, y))
                square = sigma**2 + tau**2
                overlap = 0.5 * jnp.log(2.0 * sigma * tau / square) - self.scale * (mu - nu) ** 2 / (2.0 * square)
                total += jnp.sum(overlap)
            return jnp.exp(total)

        return kernel


ProbabilityProductKernel.__module__ = "numpyro.contrib.einstein.stein_kernels"
