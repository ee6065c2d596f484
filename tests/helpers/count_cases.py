"""The lines of the table for discrete families."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import scipy.special as sp
import scipy.stats as st

import numpyro.distributions as dist
from tests.helpers.case import Case, batch


def _categorical(probs: np.ndarray) -> Any:
    """Categories have probabilities, and no moments."""
    r = st.rv_discrete(values=(np.arange(len(probs)), probs))
    return SimpleNamespace(
        logpmf=r.logpmf, cdf=r.cdf, ppf=r.ppf, entropy=r.entropy, mean=lambda: np.nan, var=lambda: np.nan
    )


def _ordered_logistic(predictor: float, cutpoints: np.ndarray) -> Any:
    return _categorical(np.diff(sp.expit(np.concatenate([[-np.inf], cutpoints - predictor, [np.inf]]))))


def zero_inflated(gate: float, base: Any) -> Any:
    """A distribution of ``scipy.stats`` with additional zeros."""

    def pmf(k: Any) -> Any:
        return np.where(np.equal(k, 0), gate, 0) + (1 - gate) * base.pmf(k)

    def cdf(k: Any) -> Any:
        return np.where(np.less(k, 0), 0, gate) + (1 - gate) * base.cdf(k)

    def entropy() -> Any:
        p = pmf(np.arange(-100, 2000))
        return -np.sum(sp.xlogy(p, p))

    def ppf(q: Any) -> Any:
        return np.searchsorted(cdf(np.arange(-100, 2000)), q) - 100

    mean = (1 - gate) * base.mean()
    second = (1 - gate) * (base.var() + base.mean() ** 2)
    return SimpleNamespace(
        logpmf=lambda k: np.log(pmf(k)),
        cdf=cdf,
        ppf=ppf,
        entropy=entropy,
        mean=lambda: mean,
        var=lambda: second - mean**2,
    )


def _beta_negative_binomial(a: float, b: float, n: float) -> Any:
    r = st.betanbinom(n, b, a)
    probs = r.pmf(np.arange(2000))
    cumulative = np.cumsum(probs)
    return SimpleNamespace(
        logpmf=r.logpmf,
        cdf=lambda k: cumulative[np.asarray(k, int)],
        ppf=lambda q: np.searchsorted(cumulative, q),
        entropy=lambda: -np.sum(probs * np.log(probs)),
        mean=r.mean,
        var=r.var,
    )


def zero_inflated_uniform(gate: Any, low: Any, high: Any, **kwargs: Any) -> dist.Distribution:
    return dist.ZeroInflatedDistribution(dist.DiscreteUniform(low, high), gate=gate, **kwargs)


def zero_inflated_geometric(gate_logits: Any, probs: Any, **kwargs: Any) -> dist.Distribution:
    return dist.ZeroInflatedDistribution(dist.Geometric(probs), gate_logits=gate_logits, **kwargs)


COUNT_CASES = [
    # on 0 and 1, and on finitely many integers
    Case(dist.BernoulliProbs, batch(probs=[0.3, 0.85]), st.bernoulli),
    Case(dist.BernoulliLogits, batch(logits=[0.3, -2.0]), lambda x: st.bernoulli(sp.expit(x))),
    Case(
        dist.BinomialProbs,
        batch(probs=[0.3, 0.85], total_count=[7, 7]),
        lambda p, n: st.binom(n, p),
    ),
    Case(
        dist.BinomialLogits,
        batch(logits=[0.3, -2.0], total_count=[30, 30]),
        lambda x, n: st.binom(n, sp.expit(x)),
    ),
    Case(dist.CategoricalProbs, batch(probs=[[0.35, 0.2, 0.45], [0.15, 0.0, 0.85]]), _categorical),
    Case(
        dist.CategoricalLogits,
        batch(logits=[[0.3, 0.2, -5.0], [10.1, 10.0, 12.0]]),
        lambda x: _categorical(sp.softmax(x)),
    ),
    Case(dist.DiscreteUniform, batch(low=[-3, -3], high=[1, 1]), lambda low, high: st.randint(low, high + 1)),
    Case(
        dist.MultinomialProbs,
        batch(probs=[[0.35, 0.2, 0.45], [0.15, 0.0, 0.85]], total_count=[5, 40]),
        lambda p, n: st.multinomial(n, p),
    ),
    Case(
        dist.MultinomialLogits,
        batch(logits=[[0.3, 0.2, -5.0], [10.1, 10.0, 12.0]], total_count=[5, 40]),
        lambda x, n: st.multinomial(n, sp.softmax(x)),
    ),
    Case(
        dist.OrderedLogistic,
        batch(predictor=[0.3, -2.0], cutpoints=[[-1.0, 0.5, 1.5], [-2.5, -2.0, 4.0]]),
        _ordered_logistic,
    ),
    Case(
        dist.BetaBinomial,
        batch(concentration1=[0.7, 3.0], concentration0=[2.0, 5.0], total_count=[30, 30]),
        lambda a, b, n: st.betabinom(n, a, b),
    ),
    Case(
        zero_inflated_uniform,
        batch(gate=[0.3, 0.05], low=[-3, -3], high=[4, 4]),
        lambda g, low, high: zero_inflated(g, st.randint(low, high + 1)),
        lacks=frozenset({"infer_shapes"}),
    ),
    Case(
        dist.DirichletMultinomial,
        batch(concentration=[[0.7, 2.0, 3.5], [5.0, 1.0, 0.9]], total_count=[5, 40]),
        st.dirichlet_multinomial,
        marginals=lambda a, n: [st.betabinom(n, a_i, np.sum(a) - a_i) for a_i in a],
    ),
    # on all counts
    Case(dist.Poisson, batch(rate=[0.7, 30.0]), st.poisson),
    Case(dist.GeometricProbs, batch(probs=[0.37, 0.85]), lambda p: st.geom(p, -1), floating_draws=True),
    Case(dist.GeometricLogits, batch(logits=[0.3, -2.0]), lambda x: st.geom(sp.expit(x), -1), floating_draws=True),
    Case(
        dist.GammaPoisson,
        batch(concentration=[0.7, 30.0], rate=[1.5, 2.0]),
        lambda a, b: st.nbinom(a, b / (b + 1)),
    ),
    Case(
        dist.NegativeBinomial2,
        batch(mean=[0.7, 30.0], concentration=[1.5, 2.0]),
        lambda m, a: st.nbinom(a, a / (a + m)),
    ),
    Case(
        dist.NegativeBinomialProbs,
        batch(total_count=[0.7, 30.0], probs=[0.3, 0.8]),
        lambda n, p: st.nbinom(n, 1 - p),
    ),
    Case(
        dist.NegativeBinomialLogits,
        batch(total_count=[0.7, 30.0], logits=[0.3, -2.0]),
        lambda n, x: st.nbinom(n, sp.expit(-x)),
    ),
    Case(
        dist.BetaNegativeBinomial,
        batch(concentration1=[0.7, 3.0], concentration0=[8.0, 12.0], n=[3.0, 9.0]),
        _beta_negative_binomial,
    ),
    Case(
        dist.ZeroInflatedPoisson,
        batch(gate=[0.3, 0.05], rate=[0.7, 3.0]),
        lambda g, rate: zero_inflated(g, st.poisson(rate)),
    ),
    Case(
        zero_inflated_geometric,
        batch(gate_logits=[0.3, -2.0], probs=[0.37, 0.85]),
        lambda x, p: zero_inflated(sp.expit(x), st.geom(p, -1)),
        lacks=frozenset({"infer_shapes"}),
        floating_draws=True,
    ),
]
