"""The data of the models, in NumPy alone: the same arrays for every library."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def _rng() -> np.random.Generator:
    return np.random.default_rng(20)


def eight_schools() -> tuple[np.ndarray, ...]:
    """Standard errors and effects."""
    y = np.array([28.0, 8, -3, 7, -1, 1, 18, 12], np.float32)
    return np.array([15.0, 10, 16, 11, 9, 11, 10, 18], np.float32), y


def logistic(rows: int, columns: int) -> tuple[np.ndarray, ...]:
    """A design of standard normal columns, and zeros and ones."""
    rng = _rng()
    x = rng.standard_normal((rows, columns)).astype(np.float32)
    return x, (rng.random(rows) < 1 / (1 + np.exp(-x @ rng.standard_normal(columns)))).astype(np.int32)


def radon() -> tuple[np.ndarray, ...]:
    """Groups, floors and responses, simulated in the shape of the radon data: 919 rows and 85 groups."""
    rng = _rng()
    group = rng.integers(0, 85, 919)
    floor = (rng.random(919) < 0.17).astype(np.float32)
    y = (1.4 + 0.3 * rng.standard_normal(85)[group] - 0.7 * floor + 0.7 * rng.standard_normal(919)).astype(np.float32)
    return group, floor, y


def gaussian_process() -> tuple[np.ndarray, ...]:
    """A noisy sine at 100 points."""
    x = np.linspace(-3, 3, 100).astype(np.float32)
    return x, (np.sin(2 * x) + 0.3 * _rng().standard_normal(100)).astype(np.float32)


def hidden_markov() -> tuple[np.ndarray, ...]:
    """A series of 200 steps that visits three levels."""
    return ((_rng().standard_normal(200) + np.repeat([-2, 0, 2, 0], 50)).astype(np.float32),)


def stochastic_volatility() -> tuple[np.ndarray, ...]:
    """1000 returns with heavy tails, whose log volatility walks."""
    rng = _rng()
    log_volatility = np.cumsum(0.05 * rng.standard_normal(1000)) - 1
    return ((np.exp(log_volatility) * rng.standard_t(8, 1000)).astype(np.float32),)


CASES: dict[str, Callable[[], tuple[np.ndarray, ...]]] = {
    "eight schools": eight_schools,
    "logistic 1000x25": lambda: logistic(1000, 25),
    "logistic 100000x10": lambda: logistic(100_000, 10),
    "radon": radon,
    "gaussian process": gaussian_process,
    "hidden markov": hidden_markov,
    "stochastic volatility": stochastic_volatility,
}

# Posteriors by name, and the file of their data.
POSTERIORS = {
    "eight_schools_centered": "eight_schools",
    "eight_schools_noncentered": "eight_schools",
    "kidscore_interaction": "kidiq",
    "logearn_interaction": "earnings",
    "logmesquite": "mesquite",
    "arK": "arK",
    "garch11": "garch",
    "gp_pois_regr": "gp_pois_regr",
    "hmm_example": "hmm_example",
    "low_dim_gauss_mix": "low_dim_gauss_mix",
    "blr": "sblrc",
    "kilpisjarvi": "kilpisjarvi_mod",
}


def read_posterior(folder: str, name: str) -> dict[str, Any]:
    """The data of a posterior, from ``folder``."""
    return json.loads((Path(folder) / "data" / f"{POSTERIORS[name]}.json").read_text())


def columns(data: dict[str, Any], *names: str) -> list[np.ndarray]:
    """Some entries as arrays in double precision."""
    return [np.asarray(data[name], np.float64) for name in names]


def kidiq(data: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Design and response."""
    score, hs, iq = columns(data, "kid_score", "mom_hs", "mom_iq")
    return np.column_stack([np.ones_like(iq), hs, iq, hs * iq]), score


def earnings(data: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Design and response."""
    earn, height, male = columns(data, "earn", "height", "male")
    return np.column_stack([np.ones_like(height), height, male, height * male]), np.log(earn)


def mesquite(data: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Design and response."""
    names = ("weight", "diam1", "diam2", "canopy_height", "total_height", "density", "group")
    weight, *logged, group = columns(data, *names)
    return np.column_stack([np.ones_like(weight), *(np.log(column) for column in logged), group]), np.log(weight)


def autoregression(data: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Lagged values, one column for each lag, and the values that follow them."""
    (y,), order = columns(data, "y"), int(data["K"])
    return np.column_stack([y[order - k : len(y) - k] for k in range(1, order + 1)]), y[order:]
