"""Moves: proposals of :class:`~numpyro.infer.AIES`, and directions of :class:`~numpyro.infer.ESS`.

A move is any function. For AIES it is ``move(rng_key, active, inactive) -> (proposals, log_factors)``, where the
factors are those of the density and the Jacobian that the acceptance probability needs besides the posterior's ratio.
For ESS it is ``move(rng_key, inactive, mu) -> directions``. Positions are flat, of shape ``(n, D)``, a row a chain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import Array, Key


def _pairs(rng_key: Key, number: int, size: int) -> tuple[Array, Array]:
    """``number`` pairs of different indices below ``size``."""
    first_key, offset_key = jax.random.split(rng_key)
    first = jax.random.randint(first_key, (number,), 0, size)
    return first, (first + jax.random.randint(offset_key, (number,), 1, size)) % size


def normal_like(rng_key: Key, points: Array, number: int) -> Array:
    """``number`` draws from the centred normal distribution with the covariance of the points, singular or not.

    :math:`\\frac{1}{\\sqrt{n - 1}} \\sum_k \\epsilon_k (x_k - \\bar x)` with standard normal :math:`\\epsilon` has it.
    """
    size = points.shape[0]
    noise = jax.random.normal(rng_key, (number, size), points.dtype)
    return noise @ (points - jnp.mean(points, 0)) / np.sqrt(size - 1)


@dataclass(frozen=True)
class StretchMove:
    """:math:`x' = y + \\zeta (x - y)` with :math:`y` an inactive chain, :math:`p(\\zeta) \\propto \\zeta^{-1/2}` on
    :math:`[1/a, a]`, and the factor :math:`\\zeta^{D - 1}`."""

    a: float

    def __call__(self, rng_key: Key, active: Array, inactive: Array) -> tuple[Array, Array]:
        number, dimension = active.shape
        choice_key, stretch_key = jax.random.split(rng_key)
        anchor = inactive[jax.random.randint(choice_key, (number,), 0, inactive.shape[0])]
        # By the inverse of its distribution function: sqrt(zeta) is uniform between its ends.
        low, high = self.a**-0.5, self.a**0.5
        zeta = jax.random.uniform(stretch_key, (number,), active.dtype, low, high) ** 2
        return anchor + zeta[:, None] * (active - anchor), (dimension - 1) * jnp.log(zeta)


@dataclass(frozen=True)
class DEMove:
    """:math:`x' = x + (\\gamma_0 + \\sigma \\epsilon) (y_1 - y_2)` with two inactive chains and :math:`\\epsilon \\sim
    N(0, 1)`."""

    sigma: float
    g0: float | None

    def __call__(self, rng_key: Key, active: Array, inactive: Array) -> tuple[Array, Array]:
        number, dimension = active.shape
        choice_key, scale_key = jax.random.split(rng_key)
        first, second = _pairs(choice_key, number, inactive.shape[0])
        g0 = 2.38 / np.sqrt(2.0 * dimension) if self.g0 is None else self.g0
        scale = g0 + self.sigma * jax.random.normal(scale_key, (number, 1), active.dtype)
        proposals = active + scale * (inactive[first] - inactive[second])
        return proposals, jnp.zeros(number, active.dtype)


@dataclass(frozen=True)
class RandomMove:
    """:math:`2\\mu` times a random unit vector."""

    def __call__(self, rng_key: Key, inactive: Array, mu: Array) -> Array:
        directions = jax.random.normal(rng_key, inactive.shape, inactive.dtype)
        return 2.0 * mu * directions / jnp.linalg.norm(directions, axis=-1, keepdims=True)


@dataclass(frozen=True)
class GaussianMove:
    """:math:`2\\mu` times a draw from the normal distribution with the covariance of the inactive chains."""

    def __call__(self, rng_key: Key, inactive: Array, mu: Array) -> Array:
        return 2.0 * mu * normal_like(rng_key, inactive, inactive.shape[0])


@dataclass(frozen=True)
class DifferentialMove:
    """:math:`2\\mu` times the difference of two inactive chains."""

    def __call__(self, rng_key: Key, inactive: Array, mu: Array) -> Array:
        first, second = _pairs(rng_key, *inactive.shape[:1] * 2)
        return 2.0 * mu * (inactive[first] - inactive[second])


@dataclass(frozen=True)
class KDEMove:
    """:math:`2\\mu` times the difference of two draws from a kernel density estimate of the inactive chains.

    The kernel is normal with their covariance times the square of ``bw_method``: a number, ``"scott"`` (the default),
    which is :math:`n^{-1/(D + 4)}`, or ``"silverman"``, :math:`(n (D + 2) / 4)^{-1/(D + 4)}`.
    """

    bw_method: Any

    def __call__(self, rng_key: Key, inactive: Array, mu: Array) -> Array:
        size, dimension = inactive.shape
        if isinstance(self.bw_method, (int, float)):
            bandwidth = float(self.bw_method)
        else:
            effective = size * (dimension + 2) / 4.0 if self.bw_method == "silverman" else size
            bandwidth = effective ** (-1.0 / (dimension + 4))
        choice_key, noise_key = jax.random.split(rng_key)
        first, second = _pairs(choice_key, size, size)
        # The difference of the two draws' noise is normal with twice the kernel's covariance.
        noise = np.sqrt(2.0) * bandwidth * normal_like(noise_key, inactive, size)
        return 2.0 * mu * (inactive[first] - inactive[second] + noise)


class Mixture:
    """Moves with probabilities, one of which is drawn at each step.

    :raises ValueError: for no moves, or probabilities that are not.
    """

    def __init__(self, moves: Mapping[Callable, float], kernel: str) -> None:
        if not isinstance(moves, Mapping) or not moves:
            raise UsageError(
                f"`moves` of {kernel} must be a dictionary from moves to their probabilities, such as "
                f"{{{kernel}.{'DEMove' if kernel == 'AIES' else 'DifferentialMove'}(): 1.0}}; got {moves!r}."
            )
        strangers = [move for move in moves if not callable(move)]
        if strangers:
            raise UsageError(f"a move must be a function, such as those of {kernel}; got {strangers[0]!r}.")
        probs = np.array([float(prob) for prob in moves.values()])
        if not np.all(probs >= 0) or not np.sum(probs) > 0:
            raise UsageError(
                f"Each specified move must have probability >= 0, and not all of them 0; got {probs.tolist()}."
            )
        self.moves = tuple(moves)
        self.probs = tuple((probs / np.sum(probs)).tolist())

    def __call__(self, rng_key: Key, *args: Any) -> Any:
        if len(self.moves) == 1:
            return self.moves[0](rng_key, *args)
        choice_key, move_key = jax.random.split(rng_key)
        choice = jax.random.categorical(choice_key, np.log(np.maximum(self.probs, 1e-30)).astype(np.float32))
        return jax.lax.switch(choice, self.moves, move_key, *args)
