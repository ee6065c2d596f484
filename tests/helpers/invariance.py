"""Invariance of a kernel: exact draws of a known density are such draws after some steps, component by component."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tests.helpers.calibration import assert_calibrated, is_calibrated


def potential(z: Any) -> Any:
    """Minus the log density of a banana whose scales differ, up to a constant."""
    return 0.5 * sum(jnp.sum(u**2) for u in scores(z).values())


def scores(z: Any) -> dict[str, Any]:
    """The standard normal numbers of positions."""
    x, y = z["x"], z["y"]
    return {"x": x / 2.0, "y0": y[..., 0] - x**2 / 4.0, "y1": y[..., 1] / 0.7}


def draws(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Exact draws."""
    u = np.random.default_rng(seed).normal(size=(count, 3))
    x = 2.0 * u[:, 0]
    y = np.stack([u[:, 1] + x**2 / 4.0, 0.7 * u[:, 2]], -1)
    return {"x": x.astype(np.float32), "y": y.astype(np.float32)}


def scores_after(kernel: Any, steps: int = 3, count: int = 4000) -> dict[str, Any]:
    """The standard normal numbers of exact draws that a kernel with :func:`potential` has moved.

    Components with their sum and difference, in turned coordinates, so that dependence among them is seen, too.
    """
    start = draws(count)
    keys = jax.random.split(jax.random.key(7), count)

    def run(keys: Any, z: Any) -> Any:
        states = kernel.init(keys, 0, z, (), {})
        move = jax.vmap(lambda state: kernel.sample(state, (), {}))
        return lax.fori_loop(0, steps, lambda _, states: move(states), states).z

    after = jax.tree.map(np.asarray, jax.jit(run)(keys, start))
    moved = np.mean(after["x"] != start["x"])
    assert moved > 0.3, f"a kernel that moves {moved} of its chains shows nothing"
    u = {name: np.asarray(value, np.float64) for name, value in scores(after).items()}
    return u | {"x + y0": (u["x"] + u["y0"]) / np.sqrt(2), "y0 - y1": (u["y0"] - u["y1"]) / np.sqrt(2)}


def assert_invariant(kernel: Any, **settings: Any) -> None:
    """Name the components in which a kernel moves exact draws off their distribution, at the error of calibration."""
    assert_calibrated(scores_after(kernel, **settings), independent=False)


def is_invariant(kernel: Any, **settings: Any) -> bool:
    """Whether none is found."""
    return is_calibrated(scores_after(kernel, **settings), independent=False)
