"""The lines of the table for distributions of angles and directions."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import scipy.optimize
import scipy.special as sp
import scipy.stats as st

import numpyro.distributions as dist
from tests.helpers.case import Case, batch


def _von_mises(loc: float, concentration: float) -> Any:
    """Moments of angles are those of unit vectors."""
    r = st.vonmises(concentration, loc)
    resultant = sp.ive(1, concentration) / sp.ive(0, concentration)

    def cdf(x: Any) -> Any:
        return r.cdf(x) - r.cdf(-np.pi)

    def ppf(q: Any) -> Any:
        return np.vectorize(lambda p: scipy.optimize.brentq(lambda x: cdf(x) - p, -np.pi, np.pi, xtol=1e-14))(q)

    return SimpleNamespace(
        logpdf=r.logpdf, cdf=cdf, ppf=ppf, entropy=r.entropy, mean=lambda: loc, var=lambda: 1 - resultant
    )


class SineModel:
    """The bivariate von Mises distribution around 0 on a grid of pairs of angles, over which sums converge fast."""

    def __init__(self, phi_concentration: float, psi_concentration: float, correlation: float, n: int = 400) -> None:
        self.parameters = np.array([phi_concentration, psi_concentration, correlation])
        self.grid = np.linspace(-np.pi, np.pi, n, endpoint=False)
        x, y = np.meshgrid(self.grid, self.grid, indexing="ij")
        exponent = self.exponent(x, y)
        self.log_norm = np.log(np.mean(np.exp(exponent)) * (2 * np.pi) ** 2)
        self.probs = np.exp(exponent - self.log_norm) * (2 * np.pi / n) ** 2

    def exponent(self, x: Any, y: Any) -> Any:
        return np.tensordot(self.parameters, np.array([np.cos(x), np.cos(y), np.sin(x) * np.sin(y)]), 1)

    def expect(self, f: Any) -> float:
        x, y = np.meshgrid(self.grid, self.grid, indexing="ij")
        return np.sum(self.probs * f(x, y))


def _sine_bivariate_von_mises(phi_loc: float, psi_loc: float, *parameters: float) -> Any:
    model = SineModel(*parameters)
    return SimpleNamespace(
        logpdf=lambda x: model.exponent(x[0] - phi_loc, x[1] - psi_loc) - model.log_norm,
        entropy=lambda: model.log_norm - model.expect(model.exponent),
        mean=lambda: np.array([phi_loc, psi_loc]),
        var=lambda: 1 - np.array([model.expect(lambda x, y: np.cos(x)), model.expect(lambda x, y: np.cos(y))]),
    )


def _sine_bivariate_marginals(phi_loc: float, psi_loc: float, *parameters: float) -> list[Any]:
    """By sums over the other angle; each distribution function starts at -pi."""
    model, edges = SineModel(*parameters), np.linspace(-np.pi, np.pi, 401)
    marginals = []
    for axis, loc in enumerate((phi_loc, psi_loc)):
        probs = np.sum(model.probs, 1 - axis)
        # the trapezoidal rule, periodic, of the density at the edges
        steps = np.cumsum((probs + np.roll(probs, -1)) / 2)
        turns = np.interp(np.linspace(-3 * np.pi, 3 * np.pi, 1201), *_unrolled(edges, np.concatenate([[0.0], steps])))

        def cdf(x: Any, loc: float = loc, turns: np.ndarray = turns) -> Any:
            grid = np.linspace(-3 * np.pi, 3 * np.pi, 1201)
            return np.interp(x - loc, grid, turns) - np.interp(-np.pi - loc, grid, turns)

        marginals.append(SimpleNamespace(cdf=cdf))
    return marginals


def _unrolled(edges: np.ndarray, cumulative: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A distribution function on the circle, continued over three turns."""
    turns = (-1, 0, 1)
    return np.concatenate([edges + 2 * np.pi * k for k in turns]), np.concatenate([cumulative + k for k in turns])


def sine_skewed_von_mises(loc: Any, concentration: Any, skewness: Any, **kwargs: Any) -> dist.Distribution:
    return dist.SineSkewed(dist.VonMises(loc, concentration).to_event(1), skewness, **kwargs)


def _sine_skewed_von_mises(loc: np.ndarray, concentration: np.ndarray, skewness: np.ndarray) -> Any:
    def logpdf(x: np.ndarray) -> Any:
        return np.sum(st.vonmises(concentration, loc).logpdf(x)) + np.log1p(np.sum(skewness * np.sin(x - loc)))

    return SimpleNamespace(logpdf=logpdf, mean=lambda: loc)


def _sine_skewed_marginals(loc: np.ndarray, concentration: np.ndarray, skewness: np.ndarray) -> list[Any]:
    """The other angles have no mean sine: each marginal is skewed by its own sine only."""
    x = np.linspace(-np.pi, np.pi, 4001)
    marginals = []
    for m, k, s in zip(loc, concentration, skewness, strict=True):
        density = st.vonmises(k, m).pdf(x) * (1 + s * np.sin(x - m))
        steps = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2 * (x[1] - x[0]))])
        marginals.append(SimpleNamespace(cdf=lambda value, steps=steps: np.interp(value, x, steps)))
    return marginals


def _projected_normal(concentration: np.ndarray) -> Any:
    """On the circle, where the density is in closed form."""

    def logpdf(x: np.ndarray) -> np.ndarray:
        t = x @ concentration
        return np.log(1 + t * st.norm.cdf(t) / st.norm.pdf(t)) - concentration @ concentration / 2 - np.log(2 * np.pi)

    return SimpleNamespace(logpdf=logpdf, mean=lambda: concentration / np.linalg.norm(concentration))


ANGLE_CASES = [
    Case(dist.VonMises, batch(loc=[0.3, -1.0], concentration=[0.5, 20.0]), _von_mises),
    Case(
        dist.SineBivariateVonMises,
        batch(
            phi_loc=[0.3, -1.0],
            psi_loc=[-0.4, 2.0],
            phi_concentration=[1.5, 8.0],
            psi_concentration=[0.6, 5.0],
            correlation=[0.4, -9.0],
        ),
        _sine_bivariate_von_mises,
        marginals=_sine_bivariate_marginals,
    ),
    Case(
        sine_skewed_von_mises,
        batch(
            loc=[[0.3, -1.0], [2.0, 0.5]],
            concentration=[[0.7, 2.0], [5.0, 1.0]],
            skewness=[[0.3, -0.6], [0.9, 0.05]],
        ),
        _sine_skewed_von_mises,
        marginals=_sine_skewed_marginals,
        lacks=frozenset({"variance", "entropy", "infer_shapes"}),
    ),
    Case(
        dist.ProjectedNormal,
        batch(concentration=[[0.3, -1.0], [2.0, 0.5]]),
        _projected_normal,
        lacks=frozenset({"variance", "entropy"}),
    ),
]
