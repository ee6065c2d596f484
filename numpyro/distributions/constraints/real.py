"""Numbers without bounds: real and complex."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from numpyro._typing import ArrayLike
from numpyro.distributions.constraints.base import _SingletonConstraint, evaluate, filled_like


class _Real(_SingletonConstraint):
    r"""The finite real numbers :math:`\mathbb{R}`."""

    def __call__(self, x: Any) -> Any:
        return evaluate(lambda xp, x: xp.isfinite(x) & xp.isreal(x), x)

    def feasible_like(self, prototype: ArrayLike) -> Any:
        return filled_like(prototype, 0, jnp.result_type(prototype))


class _Complex(_SingletonConstraint):
    r"""The finite complex numbers :math:`\mathbb{C}`."""

    def __call__(self, x: Any) -> Any:
        return evaluate(lambda xp, x: xp.isfinite(x), x)

    def feasible_like(self, prototype: ArrayLike) -> Any:
        return filled_like(prototype, 0, jnp.result_type(prototype))


real = _Real()
complex = _Complex()
