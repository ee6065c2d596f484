r"""The inverse Hessian that L-BFGS knows: a diagonal plus a matrix of low rank.

For steps :math:`s_i` and changes of the gradient :math:`y_i`, the rows of :math:`S` and :math:`Y`,

.. math:: \Sigma = \operatorname{diag} \alpha + \beta \gamma \beta^\top, \qquad
    \beta = (\operatorname{diag}(\alpha) Y^\top, S^\top), \qquad
    \gamma = \begin{pmatrix} 0 & -R^{-1} \\ -R^{-\top} & R^{-\top} (D + Y \operatorname{diag}(\alpha) Y^\top) R^{-1}
    \end{pmatrix}

with :math:`R` the upper triangle of :math:`S Y^\top` and :math:`D` its diagonal. It satisfies
:math:`\Sigma y = s` for the latest pair.

**References:** Byrd, Nocedal & Schnabel, *Representations of quasi-Newton matrices* (1994); Gilbert & Lemaréchal, *Some
numerical experiments with variable-storage quasi-Newton algorithms* (1989).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular

from numpyro._typing import Array, Key


class History(NamedTuple):
    """The latest pairs, the oldest first, and the diagonal.

    - **steps** - of shape ``(size of the history, size)``, 0 where there are none yet.
    - **changes** - of the gradient, of the same shape.
    - **diagonal** - :math:`\\alpha`.
    """

    steps: Array
    changes: Array
    diagonal: Array


def empty_history(length: int, size: int, dtype: np.dtype) -> History:
    """A history without pairs: the identity."""
    return History(jnp.zeros((length, size), dtype), jnp.zeros((length, size), dtype), jnp.ones(size, dtype))


def extended(history: History, step: Array, change: Array) -> History:
    r"""The history with one more pair, unless its curvature :math:`s \cdot y` is not positive.

    The diagonal of the next one satisfies, in the mean over coordinates, what the pair says of it.
    """
    curvature = jnp.dot(step, change)
    is_good = (curvature > jnp.finfo(step.dtype).eps * jnp.dot(change, change)) & jnp.isfinite(curvature)
    alpha = history.diagonal
    a, b, c = jnp.dot(change, alpha * change), curvature, jnp.dot(step, step / alpha)
    diagonal = 1.0 / (a / (b * alpha) + change**2 / b - a * step**2 / (b * c * alpha**2))
    is_good &= jnp.all(jnp.isfinite(diagonal) & (diagonal > 0))
    longer = History(
        jnp.concatenate([history.steps[1:], step[None]]),
        jnp.concatenate([history.changes[1:], change[None]]),
        diagonal,
    )
    return jax.tree.map(lambda new, old: jnp.where(is_good, new, old), longer, history)


class Normal(NamedTuple):
    r"""A normal distribution of covariance :math:`T T^\top`.

    .. math:: T = \operatorname{diag}(\alpha)^{1/2} \big(I + Q (L - I) Q^\top\big)

    - **mean** - of shape ``(size,)``.
    - **root_diagonal** - :math:`\alpha^{1/2}`.
    - **basis** - :math:`Q`, whose columns are orthonormal, at most twice the length of the history.
    - **factor** - :math:`L`, lower triangular.
    """

    mean: Array
    root_diagonal: Array
    basis: Array
    factor: Array

    def draw(self, rng_key: Key, count: int) -> tuple[Array, Array]:
        """Draws, of shape ``(count, size)``, and their log densities."""
        size = self.mean.shape[0]
        noise = jax.random.normal(rng_key, (count, size), self.mean.dtype)
        inner = noise @ self.basis
        moved = noise + (inner @ self.factor.T - inner) @ self.basis.T
        log_det = jnp.sum(jnp.log(self.root_diagonal)) + jnp.sum(jnp.log(jnp.diagonal(self.factor)))
        log_density = -0.5 * (jnp.sum(noise**2, -1) + size * np.log(2 * np.pi)) - log_det
        return self.mean + moved * self.root_diagonal, log_density

    def covariance(self) -> Array:
        """The covariance, a dense matrix."""
        r = self.factor.shape[0]
        low_rank = self.basis @ (self.factor @ self.factor.T - jnp.eye(r, dtype=self.factor.dtype)) @ self.basis.T
        inner = jnp.eye(self.mean.shape[0], dtype=self.mean.dtype) + low_rank
        return self.root_diagonal[:, None] * inner * self.root_diagonal


def normal_at(position: Array, gradient: Array, history: History) -> Normal:
    r"""The normal approximation at a point: a Newton step away from it, :math:`x - \Sigma \nabla f(x)`.

    :param position: :math:`x`.
    :param gradient: :math:`\nabla f(x)`, of the negative log density.
    :param history: that of the path.

    Its factor is not finite where the covariance is not positive definite.
    """
    steps, changes, alpha = history
    length = steps.shape[0]
    is_used = jnp.any(steps != 0, -1)
    identity = jnp.eye(length, dtype=steps.dtype)
    triangle = jnp.where(is_used[:, None] & is_used, jnp.triu(steps @ changes.T), identity)
    inverse = solve_triangular(triangle, identity)
    middle = jnp.diag(jnp.sum(steps * changes, -1)) + (changes * alpha) @ changes.T
    corner = inverse.T @ middle @ inverse
    beta = jnp.concatenate([changes * alpha, steps]).T
    gamma = jnp.block([[jnp.zeros_like(inverse), -inverse], [-inverse.T, corner]])
    root = jnp.sqrt(alpha)
    basis, upper = jnp.linalg.qr(beta / root[:, None])
    inner = jnp.eye(upper.shape[0], dtype=upper.dtype) + upper @ gamma @ upper.T
    factor = jnp.linalg.cholesky(0.5 * (inner + inner.T))
    newton = alpha * gradient + beta @ (gamma @ (beta.T @ gradient))
    return Normal(position - newton, root, basis, factor)
