"""The families whose log density, gradient and draws are timed, each by how three libraries construct it.

A family is stated once, by its parameters and by how values are drawn; NumPy alone draws them, so that every library
works on the same numbers. In ``jax`` constructors ``d`` is ``numpyro.distributions`` or
``tensorflow_probability.substrates.jax.distributions``; those of scipy return a frozen distribution, or nothing where
scipy lacks the family.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

ELEMENTS = 10**6
Params = Mapping[str, Any]
_KINDS = {"f": np.float32, "i": np.int32, "u": np.int32}


class Family(NamedTuple):
    """A family with parameters, values and constructors.

    ``event`` is the number of elements of a value; there are ``10**6 / event`` values. ``fixed`` names parameters
    without a gradient, which stay single numbers; ``own`` says whether each value may have parameters of its own.
    """

    params: dict[str, Any]
    values: Callable[[np.random.Generator, int], Any]
    numpyro: Callable[[Any, Params], Any]
    tfp: Callable[[Any, Params], Any]
    scipy: Callable[[Any, Params], Any] = lambda st, p: None
    discrete: bool = False
    event: int = 1
    own: bool = True

    def arguments(self, size: str) -> tuple[dict[str, Any], Any]:
        """Parameters and values: ``scalar`` both; ``shared`` parameters of 10^6 elements; or each its ``own``."""
        rng = np.random.default_rng(7)
        count = 1 if size == "scalar" else ELEMENTS // self.event
        values = np.asarray(self.values(rng, count))
        values = np.ascontiguousarray(values, _KINDS[values.dtype.kind])
        params = {name: np.asarray(value, _KINDS[np.asarray(value).dtype.kind]) for name, value in self.params.items()}
        if size == "own":
            for name, value in params.items():
                spread = rng.uniform(1.0, 1.2, (count, *value.shape)).astype(value.dtype)
                params[name] = spread * value if value.dtype.kind == "f" else np.repeat(value[None], count, 0)
        return params, values[0] if size == "scalar" else values


def _line(name: str, scipy_name: str) -> Family:
    """A family of location and scale that the three libraries name alike, or nearly so."""
    return Family(
        {"loc": 0.3, "scale": 1.5},
        lambda rng, n: rng.normal(0.3, 1.5, n),
        lambda d, p: getattr(d, name)(p["loc"], p["scale"]),
        lambda d, p: getattr(d, name)(p["loc"], p["scale"]),
        lambda st, p: getattr(st, scipy_name)(p["loc"], p["scale"]),
    )


def _lkj_values(rng: np.random.Generator, count: int) -> np.ndarray:
    x = rng.normal(size=(count, 10, 30))
    covariance = x @ np.swapaxes(x, -1, -2)
    scale = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
    return np.linalg.cholesky(covariance / (scale[:, :, None] * scale[:, None, :]))


_FACTOR = np.tril(np.random.default_rng(5).normal(size=(50, 50)) * 0.1, -1) + np.diag(np.linspace(0.5, 1.5, 50))
_COVARIANCE = _FACTOR @ _FACTOR.T
_LOGITS = np.linspace(-1.0, 1.0, 10)
_PROBS = np.exp(_LOGITS) / np.exp(_LOGITS).sum()

FAMILIES: dict[str, Family] = {
    "Normal": _line("Normal", "norm"),
    "HalfNormal": Family(
        {"scale": 1.5},
        lambda rng, n: np.abs(rng.normal(0, 1.5, n)),
        lambda d, p: d.HalfNormal(p["scale"]),
        lambda d, p: d.HalfNormal(p["scale"]),
        lambda st, p: st.halfnorm(0, p["scale"]),
    ),
    "LogNormal": Family(
        {"loc": 0.3, "scale": 0.8},
        lambda rng, n: rng.lognormal(0.3, 0.8, n),
        lambda d, p: d.LogNormal(p["loc"], p["scale"]),
        lambda d, p: d.LogNormal(p["loc"], p["scale"]),
        lambda st, p: st.lognorm(p["scale"], 0, np.exp(p["loc"])),
    ),
    "StudentT": Family(
        {"df": 4.5, "loc": 0.3, "scale": 1.5},
        lambda rng, n: rng.standard_t(4.5, n) * 1.5 + 0.3,
        lambda d, p: d.StudentT(p["df"], p["loc"], p["scale"]),
        lambda d, p: d.StudentT(p["df"], p["loc"], p["scale"]),
        lambda st, p: st.t(p["df"], p["loc"], p["scale"]),
    ),
    "Cauchy": _line("Cauchy", "cauchy"),
    "Laplace": _line("Laplace", "laplace"),
    "Logistic": _line("Logistic", "logistic"),
    "Gumbel": _line("Gumbel", "gumbel_r"),
    "Exponential": Family(
        {"rate": 1.5},
        lambda rng, n: rng.exponential(0.7, n),
        lambda d, p: d.Exponential(p["rate"]),
        lambda d, p: d.Exponential(p["rate"]),
        lambda st, p: st.expon(0, 1 / p["rate"]),
    ),
    "Gamma": Family(
        {"concentration": 2.5, "rate": 1.5},
        lambda rng, n: rng.gamma(2.5, 0.7, n),
        lambda d, p: d.Gamma(p["concentration"], p["rate"]),
        lambda d, p: d.Gamma(p["concentration"], p["rate"]),
        lambda st, p: st.gamma(p["concentration"], 0, 1 / p["rate"]),
    ),
    "InverseGamma": Family(
        {"concentration": 2.5, "rate": 1.5},
        lambda rng, n: 1 / rng.gamma(2.5, 0.7, n),
        lambda d, p: d.InverseGamma(p["concentration"], p["rate"]),
        lambda d, p: d.InverseGamma(p["concentration"], p["rate"]),
        lambda st, p: st.invgamma(p["concentration"], 0, p["rate"]),
    ),
    "Beta": Family(
        {"a": 2.5, "b": 1.5},
        lambda rng, n: np.clip(rng.beta(2.5, 1.5, n), 1e-4, 1 - 1e-4),
        lambda d, p: d.Beta(p["a"], p["b"]),
        lambda d, p: d.Beta(p["a"], p["b"]),
        lambda st, p: st.beta(p["a"], p["b"]),
    ),
    "Uniform": Family(
        {"low": -2.0, "high": 3.0},
        lambda rng, n: rng.uniform(-1.9, 2.9, n),
        lambda d, p: d.Uniform(p["low"], p["high"]),
        lambda d, p: d.Uniform(p["low"], p["high"]),
        lambda st, p: st.uniform(p["low"], p["high"] - p["low"]),
    ),
    "Weibull": Family(
        {"scale": 1.5, "concentration": 1.7},
        lambda rng, n: 1.5 * rng.weibull(1.7, n),
        lambda d, p: d.Weibull(p["scale"], p["concentration"]),
        lambda d, p: d.Weibull(p["concentration"], p["scale"]),
        lambda st, p: st.weibull_min(p["concentration"], 0, p["scale"]),
    ),
    "Pareto": Family(
        {"scale": 1.5, "alpha": 2.5},
        lambda rng, n: 1.5 * 1.3 * (1 + rng.pareto(2.5, n)),
        lambda d, p: d.Pareto(p["scale"], p["alpha"]),
        lambda d, p: d.Pareto(p["alpha"], p["scale"]),
        lambda st, p: st.pareto(p["alpha"], 0, p["scale"]),
    ),
    "VonMises": Family(
        {"loc": 0.3, "concentration": 2.5},
        lambda rng, n: rng.vonmises(0.3, 2.5, n),
        lambda d, p: d.VonMises(p["loc"], p["concentration"]),
        lambda d, p: d.VonMises(p["loc"], p["concentration"]),
        lambda st, p: st.vonmises(p["concentration"], p["loc"]),
    ),
    "TruncatedNormal": Family(
        {"loc": 0.3, "scale": 1.5, "low": -1.0, "high": 2.0},
        lambda rng, n: rng.uniform(-0.9, 1.9, n),
        lambda d, p: d.TruncatedNormal(p["loc"], p["scale"], low=p["low"], high=p["high"]),
        lambda d, p: d.TruncatedNormal(p["loc"], p["scale"], p["low"], p["high"]),
        lambda st, p: st.truncnorm(
            (p["low"] - p["loc"]) / p["scale"], (p["high"] - p["loc"]) / p["scale"], p["loc"], p["scale"]
        ),
    ),
    "Dirichlet": Family(
        {"concentration": np.linspace(0.5, 3, 10)},
        lambda rng, n: 0.99 * rng.dirichlet(np.linspace(1, 3, 10), n) + 0.001,
        lambda d, p: d.Dirichlet(p["concentration"]),
        lambda d, p: d.Dirichlet(p["concentration"]),
        event=10,
    ),
    "MultivariateNormal": Family(
        {"loc": np.linspace(-1, 1, 50), "factor": _FACTOR},
        lambda rng, n: rng.normal(size=(n, 50)),
        lambda d, p: d.MultivariateNormal(p["loc"], scale_tril=p["factor"]),
        lambda d, p: d.MultivariateNormalTriL(p["loc"], p["factor"]),
        lambda st, p: st.multivariate_normal(p["loc"], p["factor"] @ p["factor"].T),
        event=50,
        own=False,
    ),
    "MultivariateNormal, covariance": Family(
        {"loc": np.linspace(-1, 1, 50), "covariance": _COVARIANCE},
        lambda rng, n: rng.normal(size=(n, 50)),
        lambda d, p: d.MultivariateNormal(p["loc"], covariance_matrix=p["covariance"]),
        lambda d, p: d.MultivariateNormalFullCovariance(p["loc"], p["covariance"]),
        lambda st, p: st.multivariate_normal(p["loc"], p["covariance"]),
        event=50,
        own=False,
    ),
    "LKJCholesky": Family(
        {"concentration": 1.5},
        _lkj_values,
        lambda d, p: d.LKJCholesky(10, p["concentration"]),
        lambda d, p: d.CholeskyLKJ(10, p["concentration"]),
        event=100,
    ),
    "Bernoulli": Family(
        {"logits": 0.4},
        lambda rng, n: rng.integers(0, 2, n),
        lambda d, p: d.Bernoulli(logits=p["logits"]),
        lambda d, p: d.Bernoulli(logits=p["logits"]),
        lambda st, p: st.bernoulli(1 / (1 + np.exp(-p["logits"]))),
        discrete=True,
    ),
    "Binomial": Family(
        {"logits": 0.4},
        lambda rng, n: rng.binomial(100, 0.6, n),
        lambda d, p: d.Binomial(100, logits=p["logits"]),
        lambda d, p: d.Binomial(100.0, logits=p["logits"]),
        lambda st, p: st.binom(100, 1 / (1 + np.exp(-p["logits"]))),
        discrete=True,
    ),
    "Poisson": Family(
        {"rate": 6.5},
        lambda rng, n: rng.poisson(6.5, n),
        lambda d, p: d.Poisson(p["rate"]),
        lambda d, p: d.Poisson(p["rate"]),
        lambda st, p: st.poisson(p["rate"]),
        discrete=True,
    ),
    "NegativeBinomial2": Family(
        {"mean": 6.5, "concentration": 2.5},
        lambda rng, n: rng.negative_binomial(2.5, 2.5 / 9.0, n),
        lambda d, p: d.NegativeBinomial2(p["mean"], p["concentration"]),
        lambda d, p: d.NegativeBinomial(p["concentration"], probs=p["mean"] / (p["mean"] + p["concentration"])),
        lambda st, p: st.nbinom(p["concentration"], p["concentration"] / (p["mean"] + p["concentration"])),
        discrete=True,
    ),
    "Categorical": Family(
        {"logits": _LOGITS},
        lambda rng, n: rng.integers(0, 10, n),
        lambda d, p: d.Categorical(logits=p["logits"]),
        lambda d, p: d.Categorical(logits=p["logits"]),
        discrete=True,
        own=False,
    ),
    "Multinomial": Family(
        {"probs": _PROBS},
        lambda rng, n: rng.multinomial(100, _PROBS, n),
        lambda d, p: d.Multinomial(100, probs=p["probs"]),
        lambda d, p: d.Multinomial(100.0, probs=p["probs"]),
        lambda st, p: st.multinomial(100, np.asarray(p["probs"], float) / np.asarray(p["probs"], float).sum()),
        discrete=True,
        event=10,
        own=False,
    ),
}
