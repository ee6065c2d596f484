"""Student's standard t distribution by its tails, from a continued fraction."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from numpyro._typing import Array
from numpyro.distributions._maths import LOG_PI, LOG_TWO, log1p_square
from numpyro.distributions.truncated.standard import Symmetric
from numpyro.ops.log_gamma import betaln, gammaln_ratio
from numpyro.ops.special import _beta_fraction, _increasing_root, betainc, log1mexp


class StandardStudentT(Symmetric):
    """Its shape parameter is the number of degrees of freedom."""

    def log_pdf(self, theta: Any, z: Array) -> Array:
        root = jnp.sqrt(theta)
        normalizer = jnp.log(root) + 0.5 * LOG_PI - gammaln_ratio(0.5 * theta, 0.5)
        return -0.5 * (theta + 1) * log1p_square(z / root) - normalizer

    def log_ratio(self, theta: Any, z: Array, r: Array) -> Array:
        root = jnp.sqrt(theta)
        return 0.5 * (theta + 1) * (log1p_square(r / root) - log1p_square(z / root))

    def log_parts(self, theta: Any, z: Array) -> tuple[Array, Array]:
        r"""For :math:`z \ge 0` the logarithms of twice the mass between 0 and ``z``, and of twice that above.

        The latter is :math:`I_x(\nu / 2, 1 / 2)` with :math:`x = 1 / (1 + z^2 / \nu)`, the former its complement
        :math:`I_{1 - x}(1 / 2, \nu / 2)`; the continued fraction gives the smaller.
        """
        theta, z = jnp.broadcast_arrays(theta, z)
        a, half = 0.5 * theta, jnp.full_like(z, 0.5)
        log_inverse = log1p_square(z / jnp.sqrt(theta))  # -log x
        x, rest = jnp.exp(-log_inverse), -jnp.expm1(-log_inverse)
        is_tail = x < (a + 1) / (a + 2.5)  # where the fraction converges fast
        p, q, t = jnp.where(is_tail, a, half), jnp.where(is_tail, half, a), jnp.where(is_tail, x, rest)
        log_powers = -a * log_inverse + 0.5 * jnp.log(rest)
        log_part = log_powers - jnp.log(p) - betaln(a, 0.5) + jnp.log(_beta_fraction(p, q, t))
        log_part = jnp.minimum(log_part, 0)
        log_other = log1mexp(log_part)
        return jnp.where(is_tail, log_other, log_part), jnp.where(is_tail, log_part, log_other)

    def log_sf(self, theta: Any, z: Array) -> Array:
        return self._log_mass_beyond(z, self.log_parts(theta, jnp.abs(z))[1])

    def _log_mass_beyond(self, z: Array, log_tail: Array) -> Array:
        """``log_sf`` at ``z`` from twice the tail beyond ``|z|``."""
        log_tail = log_tail - LOG_TWO
        return jnp.where(z > 0, log_tail, jnp.log1p(-jnp.exp(log_tail)))

    def upper_quantile(self, theta: Any, log_upper: Array) -> Array:
        theta, target = jnp.broadcast_arrays(theta, log_upper)

        def excess(log_z: Array) -> tuple[Array, Array]:
            z = jnp.exp(log_z)
            log_tail = self.log_parts(theta, z)[1] - LOG_TWO
            return target - log_tail, jnp.exp(log_z + self.log_pdf(theta, z) - log_tail)

        limits = jnp.finfo(target.dtype)
        low, high = (jnp.full_like(target, jnp.log(limit)) for limit in (limits.eps * 1e-3, limits.max * 1e-3))
        # the tail is about density * z / theta, the density about exp(const) * (z^2 / theta)^(-(theta + 1) / 2)
        const = self.log_pdf(theta, jnp.zeros_like(target)) + 0.5 * jnp.log(theta)
        far = (const - target - jnp.log(theta)) / theta + 0.5 * jnp.log(theta)
        root = _increasing_root(excess, low, high, jnp.clip(far, -1.0, high - 1))
        return jnp.where(target < -LOG_TWO, jnp.exp(root), 0.0)

    def masses(self, theta: Any, a: Array, b: Array, r: Array) -> tuple[Array, Array, Array]:
        halves, tails = self.log_parts(theta, jnp.stack([jnp.abs(a), jnp.abs(b)]))
        mirrored = a + b < 0
        low, high = jnp.where(mirrored, -b, a), jnp.where(mirrored, -a, b)
        near, far = jnp.where(mirrored, tails[1], tails[0]), jnp.where(mirrored, tails[0], tails[1])
        above = jnp.maximum(low, 0)
        difference = near - LOG_TWO - self.log_pdf(theta, above) + log1mexp(far - near)
        steepness = (theta + 1) * above / (theta + above * above) + 2 / jnp.sqrt(theta + above * above) + 1
        is_narrow = (high - above) * steepness < 1
        narrow = self.narrow_log_mass(theta, jnp.where(is_narrow, above, 0.0), jnp.where(is_narrow, high, 1.0), above)
        around = jnp.logaddexp(halves[0], halves[1]) - LOG_TWO - self.log_pdf(theta, jnp.zeros_like(a))
        log_mass = jnp.where(low < 0, around, jnp.where(is_narrow, narrow, difference))
        return self._log_mass_beyond(-a, tails[0]), log_mass, self._log_mass_beyond(b, tails[1])

    def log_mass(self, theta: Any, a: Array, b: Array, r: Array) -> Array:
        return self.masses(theta, a, b, r)[1]

    def drift(self, theta: Any, z: Array) -> Array:
        # d/dtheta of I_x(theta / 2, 1 / 2) / 2 over the density; where both underflow a quantile hardly moves
        size = jnp.maximum(jnp.abs(z), float(jnp.finfo(z.dtype).tiny) ** 0.25)

        def tail(theta: Array) -> Array:
            x = jnp.exp(-log1p_square(size / jnp.sqrt(theta)))
            return 0.5 * betainc(0.5 * theta, 0.5, x)

        theta = jnp.broadcast_to(theta, size.shape)
        slope = jax.jvp(tail, (theta,), (jnp.ones_like(theta),))[1]
        density = jnp.exp(self.log_pdf(theta, size))
        positive = density > 0
        return jnp.sign(z) * jnp.where(positive, slope / jnp.where(positive, density, 1.0), 0.0)
