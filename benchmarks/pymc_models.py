"""The models and posteriors in PyMC, over the same data and with the same names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt

from benchmarks import data as arrays
from benchmarks.protocol import Lacks


def eight_schools(sigma: Any, y: Any) -> None:
    mu, tau = pm.Normal("mu", 0, 5), pm.HalfCauchy("tau", 5)
    eta = pm.Normal("eta", 0, 1, shape=8)
    pm.Normal("y", mu + tau * eta, sigma, observed=y)


def logistic(x: Any, y: Any) -> None:
    beta = pm.Normal("beta", 0, 1, shape=x.shape[1])
    pm.Bernoulli("y", logit_p=pt.dot(x, beta), observed=y)


def radon(group: Any, floor: Any, y: Any) -> None:
    mu, slope = pm.Normal("mu", 0, 3), pm.Normal("slope", 0, 3)
    between, within = pm.HalfNormal("between", 1), pm.HalfNormal("within", 1)
    z = pm.Normal("z", 0, 1, shape=85)
    pm.Normal("y", (mu + between * z)[group] + slope * floor, within, observed=y)


def gaussian_process(x: Any, y: Any) -> None:
    amplitude, length = pm.LogNormal("amplitude", 0, 1), pm.LogNormal("length", 0, 1)
    noise = pm.LogNormal("noise", -1, 1)
    distance = (x[:, None] - x) ** 2
    kernel = amplitude**2 * pt.exp(-0.5 * distance / length**2) + (noise**2 + 1e-5) * np.eye(len(x))
    pm.MvNormal("y", np.zeros(len(x)), cov=kernel, observed=y)


def _log_sum_exp(x: Any) -> Any:
    """Over the first axis; the largest is taken out by hand, so that the gradient does not divide zero by zero."""
    largest = pytensor.gradient.disconnected_grad(pt.max(x, axis=0))
    return largest + pt.log(pt.sum(pt.exp(x - largest), axis=0))


def _forward(first: Any, emission: Any, log_rows: Any) -> Any:
    """The log likelihood of a hidden Markov chain."""

    def step(log_likelihood: Any, alpha: Any, log_rows: Any) -> Any:
        return _log_sum_exp(alpha[:, None] + log_rows) + log_likelihood

    alphas = pytensor.scan(
        step, sequences=[emission], outputs_info=[first], non_sequences=[log_rows], return_updates=False
    )
    return _log_sum_exp(alphas[-1])


def _normal(x: Any, loc: Any, scale: Any) -> Any:
    return pm.logp(pm.Normal.dist(loc, scale), x)


def hidden_markov(y: Any) -> None:
    rows = pm.Dirichlet("rows", np.ones((3, 3)))
    mu = pm.Normal("mu", np.array([-2.0, 0.0, 2.0]), 1)
    emission = _normal(y[:, None], mu[None, :], 1.0)
    pm.Potential("y", _forward(emission[0] - np.log(3.0), emission[1:], pt.log(rows)))


def stochastic_volatility(returns: Any) -> None:
    sigma, nu = pm.Exponential("sigma", 20.0), pm.Exponential("nu", 0.1)
    step = pm.Normal("step", 0, 1, shape=1000)
    pm.StudentT("r", nu=nu, mu=0.0, sigma=pt.exp(sigma * pt.cumsum(step)), observed=returns)


CASES: dict[str, Callable[..., None]] = {
    "eight schools": eight_schools,
    "logistic 1000x25": logistic,
    "logistic 100000x10": logistic,
    "radon": radon,
    "gaussian process": gaussian_process,
    "hidden markov": hidden_markov,
    "stochastic volatility": stochastic_volatility,
}


def eight_schools_centered(data: dict[str, Any]) -> None:
    mu, tau = pm.Normal("mu", 0, 5), pm.HalfCauchy("tau", 5)
    theta = pm.Normal("theta", mu, tau, shape=8)
    pm.Normal("y", theta, np.asarray(data["sigma"]), observed=data["y"])


def eight_schools_noncentered(data: dict[str, Any]) -> None:
    mu, tau = pm.Normal("mu", 0, 5), pm.HalfCauchy("tau", 5)
    trans = pm.Normal("theta_trans", 0, 1, shape=8)
    theta = pm.Deterministic("theta", mu + tau * trans)
    pm.Normal("y", theta, np.asarray(data["sigma"]), observed=data["y"])


def _regression(design: np.ndarray, response: np.ndarray, half_cauchy: float | None = None) -> None:
    beta = pm.Flat("beta", shape=design.shape[1])
    sigma = pm.HalfCauchy("sigma", half_cauchy) if half_cauchy else pm.HalfFlat("sigma")
    pm.Normal("y", pt.dot(design, beta), sigma, observed=response)


def autoregression(data: dict[str, Any]) -> None:
    lags, y = arrays.autoregression(data)
    alpha, beta = pm.Normal("alpha", 0, 10), pm.Normal("beta", 0, 10, shape=lags.shape[1])
    pm.Normal("y", alpha + pt.dot(lags, beta), pm.HalfCauchy("sigma", 2.5), observed=y)


def garch(data: dict[str, Any]) -> None:
    (y,), sigma1 = arrays.columns(data, "y"), float(data["sigma1"])
    mu, alpha0, alpha1 = pm.Flat("mu"), pm.HalfFlat("alpha0"), pm.Uniform("alpha1", 0, 1)
    share = pm.Uniform("_share", 0, 1)  # of what alpha1 leaves for beta1; flat beta1 has the density 1 - alpha1
    beta1 = pm.Deterministic("beta1", share * (1 - alpha1))
    pm.Potential("triangle", pt.log1p(-alpha1))

    def step(previous: Any, sigma: Any, mu: Any, alpha0: Any, alpha1: Any, beta1: Any) -> Any:
        return pt.sqrt(alpha0 + alpha1 * (previous - mu) ** 2 + beta1 * sigma**2)

    later = pytensor.scan(
        step,
        sequences=[pt.as_tensor(y[:-1])],
        outputs_info=[pt.as_tensor(np.float64(sigma1))],
        non_sequences=[mu, alpha0, alpha1, beta1],
        return_updates=False,
    )
    pm.Normal("y", mu, pt.concatenate([[sigma1], later]), observed=y)


def gp_pois_regr(data: dict[str, Any]) -> None:
    (x,) = arrays.columns(data, "x")
    rho, alpha = pm.Gamma("rho", 25, 4), pm.HalfNormal("alpha", 2)
    f_tilde = pm.Normal("f_tilde", 0, 1, shape=len(x))
    kernel = alpha**2 * pt.exp(-0.5 * ((x[:, None] - x) / rho) ** 2) + 1e-10 * np.eye(len(x))
    f = pm.Deterministic("f", pt.dot(pt.linalg.cholesky(kernel), f_tilde))
    pm.Poisson("k", pt.exp(f), observed=data["k"])


def hmm_example(data: dict[str, Any]) -> None:
    (y,) = arrays.columns(data, "y")
    theta1, theta2 = pm.Dirichlet("theta1", np.ones(2)), pm.Dirichlet("theta2", np.ones(2))
    low, gap = pm.HalfFlat("_low"), pm.HalfFlat("_gap")
    mu = pm.Deterministic("mu", pt.stack([low, low + gap]))
    pm.Potential("prior", _normal(mu, np.array([3.0, 10.0]), 1.0).sum())
    emission = _normal(y[:, None], mu[None, :], 1.0)
    pm.Potential("y", _forward(emission[0], emission[1:], pt.log(pt.stack([theta1, theta2]))))


def gauss_mix(data: dict[str, Any]) -> None:
    ordered = pm.distributions.transforms.ordered
    mu = pm.Normal("mu", 0, 2, shape=2, transform=ordered, initval=np.array([-1.0, 1.0]))
    sigma, theta = pm.HalfNormal("sigma", 2, shape=2), pm.Beta("theta", 5, 5)
    pm.NormalMixture("y", w=pt.stack([theta, 1 - theta]), mu=mu, sigma=sigma, observed=data["y"])


def sblrc(data: dict[str, Any]) -> None:
    x, y = np.asarray(data["X"]), np.asarray(data["y"])
    beta = pm.Normal("beta", 0, 10, shape=x.shape[1])
    pm.Normal("y", pt.dot(x, beta), pm.HalfNormal("sigma", 10), observed=y)


def kilpisjarvi(data: dict[str, Any]) -> None:
    x, y = arrays.columns(data, "x", "y")
    alpha = pm.Normal("alpha", data["pmualpha"], data["psalpha"])
    beta = pm.Normal("beta", data["pmubeta"], data["psbeta"])
    pm.Normal("y", alpha + beta * x, pm.HalfFlat("sigma"), observed=y)


POSTERIORS: dict[str, Callable[[dict[str, Any]], None]] = {
    "eight_schools_centered": eight_schools_centered,
    "eight_schools_noncentered": eight_schools_noncentered,
    "kidscore_interaction": lambda data: _regression(*arrays.kidiq(data), 2.5),
    "logearn_interaction": lambda data: _regression(*arrays.earnings(data)),
    "logmesquite": lambda data: _regression(*arrays.mesquite(data)),
    "arK": autoregression,
    "garch11": garch,
    "gp_pois_regr": gp_pois_regr,
    "hmm_example": hmm_example,
    "low_dim_gauss_mix": gauss_mix,
    "blr": sblrc,
    "kilpisjarvi": kilpisjarvi,
}


def make(name: str, folder: str) -> Any:
    """The model of a case, or of a posterior with its data in ``folder``."""
    with pm.Model() as model:
        if name in CASES:
            CASES[name](*arrays.CASES[name]())
        elif name in POSTERIORS:
            POSTERIORS[name](arrays.read_posterior(folder, name))
        else:
            raise Lacks(f"there is no PyMC model of {name}")
    return model
