"""The lines of the table for distributions made of others: truncated, censored, mixed, and joined by copulas."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.integrate
import scipy.optimize
import scipy.special as sp
import scipy.stats as st

import numpyro.distributions as dist
from tests.helpers.case import Case, batch

NO_SHAPES = frozenset({"infer_shapes"})


def invert(cdf: Any, low: float, high: float) -> Any:
    """The quantile function of a continuous cdf between two numbers."""

    def ppf(q: Any) -> Any:
        roots = [scipy.optimize.brentq(lambda x, p=p: cdf(x) - p, low, high, xtol=1e-14) for p in np.ravel(q)]
        return np.reshape(roots, np.shape(q))

    return ppf


def truncated(base: Any, low: float, high: float) -> Any:
    """A frozen distribution of scipy between two numbers in its bulk."""
    start, mass = base.cdf(low), base.cdf(high) - base.cdf(low)

    def moment(f: Any) -> float:
        low_, high_ = base.ppf([start, start + mass])
        return scipy.integrate.quad(lambda x: f(x) * base.pdf(x) / mass, low_, high_, epsabs=1e-11, epsrel=1e-11)[0]

    def var() -> float:
        mean = moment(lambda x: x)
        return moment(lambda x: (x - mean) ** 2)

    return SimpleNamespace(
        logpdf=lambda x: base.logpdf(x) - np.log(mass),
        cdf=lambda x: np.clip((base.cdf(x) - start) / mass, 0, 1),
        ppf=lambda q: base.ppf(start + q * mass),
        mean=lambda: moment(lambda x: x),
        var=var,
    )


def _truncated_normal(loc: float, scale: float, low: float = -np.inf, high: float = np.inf) -> Any:
    r = st.truncnorm((low - loc) / scale, (high - loc) / scale, loc, scale)
    if np.isfinite(high - low):
        return r  # of an infinite interval its entropy is not a number
    return SimpleNamespace(logpdf=r.logpdf, cdf=r.cdf, ppf=r.ppf, mean=r.mean, var=r.var)


def _power_law(alpha: float, low: float, high: float) -> Any:
    return st.loguniform(low, high) if alpha == -1 else st.truncpareto(-alpha - 1, high / low, 0, low)


def _polya_gamma(size: Any, validate_args: bool | None = None) -> dist.Distribution:
    return dist.TruncatedPolyaGamma(np.shape(size), validate_args=validate_args)


def _polya_gamma_reference(_: float) -> Any:
    n = np.arange(200)
    odd, sign = 2 * n + 1, (-1.0) ** n

    def pdf(x: Any) -> Any:
        x = np.asarray(x)[..., None]
        return np.sum(sign * odd / np.sqrt(2 * np.pi * x**3) * np.exp(-(odd**2) / (8 * x)), -1)

    def cdf(x: Any) -> Any:
        return 2 * np.sum(sign * sp.erfc(odd / np.sqrt(8 * np.asarray(x)[..., None])), -1)

    total = cdf(2.5)
    moments = [scipy.integrate.quad(lambda x, k=k: x**k * pdf(x) / total, 1e-4, 2.5, epsabs=1e-12)[0] for k in (1, 2)]
    return SimpleNamespace(
        logpdf=lambda x: np.log(pdf(x) / total),
        cdf=lambda x: cdf(x) / total,
        ppf=invert(lambda x: cdf(x) / total, 1e-4, 2.5),
        mean=lambda: moments[0],
        var=lambda: moments[1] - moments[0] ** 2,
    )


def _left_censored(loc: Any, scale: Any, censored: Any, validate_args: bool | None = True) -> dist.Distribution:
    return dist.LeftCensoredDistribution(dist.Normal(loc, scale), censored, validate_args=validate_args)


def _right_censored(scale: Any, k: Any, censored: Any, validate_args: bool | None = True) -> dist.Distribution:
    return dist.RightCensoredDistribution(dist.Weibull(scale, k), censored, validate_args=validate_args)


def _interval_censored(
    loc: Any, scale: Any, left_censored: Any, right_censored: Any, validate_args: bool | None = True
) -> dist.Distribution:
    base = dist.Normal(loc, scale)
    return dist.IntervalCensoredDistribution(base, left_censored, right_censored, validate_args=validate_args)


def _interval_reference(loc: float, scale: float, left_censored: int, right_censored: int) -> Any:
    base = st.norm(loc, scale)
    return SimpleNamespace(logpdf=lambda pair: base.logcdf(pair[1]) if left_censored else base.logsf(pair[0]))


def _same_family(probs: Any, loc: Any, scale: Any, validate_args: bool | None = None) -> dist.Distribution:
    return dist.MixtureSameFamily(dist.Categorical(probs), dist.Normal(loc, scale), validate_args=validate_args)


def _general(logits: Any, loc: Any, scale: Any, validate_args: bool | None = None) -> dist.Distribution:
    components = [dist.Normal(loc, scale), dist.Logistic(0.0, scale)]
    return dist.MixtureGeneral(dist.Categorical(logits=logits), components, validate_args=validate_args)


def mixed(probs: Any, components: list[Any]) -> Any:
    """A mixture of frozen distributions of scipy."""

    def average(f: Any) -> Any:
        return sum(p * f(component) for p, component in zip(probs, components, strict=True))

    def cdf(x: Any) -> Any:
        return average(lambda c: c.cdf(x))

    mean = average(lambda c: c.mean())
    ends = [c.ppf(q) for c in components for q in (1e-5, 1 - 1e-5)]
    return SimpleNamespace(
        logpdf=lambda x: np.log(average(lambda c: c.pdf(x))),
        cdf=cdf,
        ppf=invert(cdf, min(ends), max(ends)),
        mean=lambda: mean,
        var=lambda: average(lambda c: c.var() + (c.mean() - mean) ** 2),
    )


def copula(marginals: list[Any], correlation: np.ndarray) -> Any:
    """A Gaussian copula of frozen distributions of scipy."""
    joint = st.multivariate_normal(np.zeros(len(marginals)), correlation)

    def logpdf(x: np.ndarray) -> float:
        scores = np.array([st.norm.ppf(m.cdf(v)) for m, v in zip(marginals, x, strict=True)])
        return joint.logpdf(scores) + sum(
            m.logpdf(v) - st.norm.logpdf(z) for m, v, z in zip(marginals, x, scores, strict=True)
        )

    return SimpleNamespace(
        logpdf=logpdf,
        mean=lambda: np.array([m.mean() for m in marginals]),
        var=lambda: np.array([m.var() for m in marginals]),
    )


def _correlations(r: Any) -> Any:
    one = jnp.ones_like(r)
    return jnp.stack([jnp.stack([one, r], -1), jnp.stack([r, one], -1)], -1)


def _gumbel_copula(loc: Any, scale: Any, r: Any, validate_args: bool | None = None) -> dist.Distribution:
    return dist.GaussianCopula(dist.Gumbel(loc, scale), _correlations(r), validate_args=validate_args)


def _beta_copula(
    concentration1: Any, concentration0: Any, r: Any, validate_args: bool | None = True
) -> dist.Distribution:
    return dist.GaussianCopulaBeta(concentration1, concentration0, _correlations(r), validate_args=validate_args)


def _gumbels(loc: np.ndarray, scale: np.ndarray, _: Any) -> list[Any]:
    return [st.gumbel_r(m, s) for m, s in zip(loc, scale, strict=True)]


def _betas(a: np.ndarray, b: np.ndarray, _: Any) -> list[Any]:
    return [st.beta(*pair) for pair in zip(a, b, strict=True)]


DERIVED_CASES = [
    # truncated
    Case(
        dist.TruncatedNormal,
        batch(loc=[0.3, -20.0], scale=[1.5, 0.2], low=[1.0, -20.5]),
        _truncated_normal,
        lacks=NO_SHAPES,
    ),
    Case(
        dist.TruncatedNormal,
        batch(loc=[0.3, -20.0], scale=[1.5, 0.2], high=[1.0, -20.5]),
        lambda loc, scale, high: _truncated_normal(loc, scale, high=high),
        lacks=NO_SHAPES,
    ),
    Case(
        dist.TruncatedNormal,
        batch(loc=[0.3, -2.0], scale=[1.5, 0.2], low=[-1.0, -2.5], high=[1.0, -2.1]),
        _truncated_normal,
        lacks=NO_SHAPES,
    ),
    Case(
        dist.TruncatedGamma,
        batch(concentration=[0.7, 5.0], rate=[1.5, 2.0], low=[0.5, 2.5]),
        lambda a, b, low: truncated(st.gamma(a, 0, 1 / b), low, np.inf),
        lacks=NO_SHAPES,
    ),
    Case(
        dist.TruncatedGamma,
        batch(concentration=[1.7, 5.0], rate=[1.5, 2.0], high=[0.5, 2.6]),
        lambda a, b, high: truncated(st.gamma(a, 0, 1 / b), 0, high),
        lacks=NO_SHAPES,
    ),
    Case(
        dist.TruncatedGamma,
        batch(concentration=[0.7, 5.0], rate=[1.5, 2.0], low=[0.1, 2.5], high=[0.9, 3.6]),
        lambda a, b, low, high: truncated(st.gamma(a, 0, 1 / b), low, high),
        lacks=NO_SHAPES,
    ),
    Case(dist.DoublyTruncatedPowerLaw, batch(alpha=[-1.0, -2.5], low=[0.5, 2.0], high=[3.0, 5.0]), _power_law),
    Case(dist.LowerTruncatedPowerLaw, batch(alpha=[-5.5, -8.0], low=[1.3, 0.2]), lambda a, m: st.pareto(-a - 1, 0, m)),
    Case(_polya_gamma, batch(size=[0.0, 0.0]), _polya_gamma_reference, lacks=NO_SHAPES | {"entropy", "parameters"}),
    # censored
    Case(
        _left_censored,
        batch(loc=[0.3, -20.0], scale=[1.5, 0.2], censored=[0, 0]),
        lambda loc, scale, _: st.norm(loc, scale),
        lacks=NO_SHAPES | {"entropy"},
    ),
    Case(
        _right_censored,
        batch(scale=[1.5, 0.2], k=[1.7, 3.0], censored=[0, 0]),
        lambda scale, k, _: st.weibull_min(k, 0, scale),
        lacks=NO_SHAPES | {"entropy"},
    ),
    Case(
        _interval_censored,
        batch(loc=[0.3, -20.0], scale=[1.5, 0.2], left_censored=[0, 1], right_censored=[1, 0]),
        _interval_reference,
        marginals=lambda loc, scale, left_censored, right_censored: [st.norm(loc, scale)] * 2,
        lacks=NO_SHAPES | {"entropy"},
    ),
    # mixtures
    Case(
        _same_family,
        batch(
            probs=[[0.3, 0.5, 0.2], [0.1, 0.0, 0.9]],
            loc=[[-1.0, 0.5, 3.0], [1.0, 2.0, 5.0]],
            scale=[[1.0, 0.5, 1.5], [0.3, 0.4, 0.5]],
        ),
        lambda probs, loc, scale: mixed(probs, [st.norm(m, s) for m, s in zip(loc, scale, strict=True)]),
        lacks=NO_SHAPES | {"entropy"},
    ),
    Case(
        _general,
        batch(logits=[[0.3, 0.5], [10.1, 12.0]], loc=[-1.0, 0.5], scale=[0.7, 1.5]),
        lambda logits, loc, scale: mixed(sp.softmax(logits), [st.norm(loc, scale), st.logistic(0, scale)]),
        lacks=NO_SHAPES | {"entropy"},
    ),
    # copulas
    Case(
        _gumbel_copula,
        batch(loc=[[0.3, -1.0], [2.0, 0.5]], scale=[[1.5, 0.2], [0.4, 1.0]], r=[0.6, -0.3]),
        lambda loc, scale, r: copula(_gumbels(loc, scale, r), np.array([[1, r], [r, 1]])),
        marginals=_gumbels,
        lacks=NO_SHAPES,
    ),
    Case(
        _beta_copula,
        batch(concentration1=[[2.0, 3.0], [0.8, 1.5]], concentration0=[[2.5, 1.2], [2.0, 4.0]], r=[0.6, -0.3]),
        lambda a, b, r: copula(_betas(a, b, r), np.array([[1, r], [r, 1]])),
        marginals=_betas,
        lacks=NO_SHAPES,
    ),
]
