"""The lines of the table for continuous families on single numbers whose formulas scipy does not have as they are."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import scipy.special as sp
import scipy.stats as st

import numpyro.distributions as dist
from tests.helpers.case import Case, batch
from tests.helpers.count_cases import zero_inflated


def _asymmetric_laplace_quantile(loc: float, scale: float, quantile: float) -> Any:
    left, right = scale / (1 - quantile), scale / quantile
    return st.laplace_asymmetric(np.sqrt(left / right), loc, np.sqrt(left * right))


def _kumaraswamy(a: float, b: float) -> Any:
    """The power of a beta variable."""
    power = st.beta(1, b)

    def moment(order: int) -> Any:
        return power.expect(lambda y: y ** (order / a))

    return SimpleNamespace(
        logpdf=lambda x: power.logpdf(x**a) + np.log(a) + (a - 1) * np.log(x),
        cdf=lambda x: power.cdf(x**a),
        ppf=lambda q: power.ppf(q) ** (1 / a),
        mean=lambda: moment(1),
        var=lambda: moment(2) - moment(1) ** 2,
    )


def _relaxed_bernoulli(temperature: float, logits: float) -> Any:
    base = st.logistic(logits / temperature, 1 / temperature)
    return SimpleNamespace(
        logpdf=lambda x: base.logpdf(sp.logit(x)) - np.log(x) - np.log1p(-x),
        cdf=lambda x: base.cdf(sp.logit(x)),
        ppf=lambda q: sp.expit(base.ppf(q)),
    )


def _hurdle(gate: float, base: Any) -> Any:
    """A positive distribution of ``scipy.stats`` with an atom at zero."""
    below = np.nextafter(gate, 1)
    return SimpleNamespace(
        atom=gate,
        logpdf=lambda x: np.where(x == 0, np.log(gate), np.log1p(-gate) + base.logpdf(np.where(x == 0, 1, x))),
        cdf=lambda x: np.where(x < 0, 0, gate) + (1 - gate) * base.cdf(x),
        ppf=lambda q: np.where(q <= gate, 0, base.ppf((np.maximum(q, below) - gate) / (1 - gate))),
        mean=lambda: (1 - gate) * base.mean(),
        var=lambda: (1 - gate) * (base.var() + gate * base.mean() ** 2),
        entropy=lambda: (1 - gate) * base.entropy() + st.bernoulli(gate).entropy(),
    )


def _count_hurdle(gate: float, base: Any) -> Any:
    """Zeros added, or taken away, until there are as many as there should be."""
    zero = base.pmf(0)
    return zero_inflated((gate - zero) / (1 - zero), base)


def hurdle_uniform(gate: Any, low: Any, high: Any, **kwargs: Any) -> dist.Distribution:
    return dist.HurdleDistribution(dist.DiscreteUniform(low, high), gate=gate, **kwargs)


def hurdle_geometric(gate_logits: Any, probs: Any, **kwargs: Any) -> dist.Distribution:
    return dist.HurdleDistribution(dist.GeometricProbs(probs), gate_logits=gate_logits, **kwargs)


CONTINUOUS_CASES = [
    Case(
        dist.AsymmetricLaplace,
        batch(loc=[0.3, -5.0], scale=[1.5, 0.2], asymmetry=[0.6, 2.0]),
        lambda loc, scale, asymmetry: st.laplace_asymmetric(asymmetry, loc, scale),
    ),
    Case(
        dist.AsymmetricLaplaceQuantile,
        batch(loc=[0.3, -5.0], scale=[1.5, 0.2], quantile=[0.3, 0.9]),
        _asymmetric_laplace_quantile,
    ),
    Case(dist.SoftLaplace, batch(loc=[0.3, -5.0], scale=[1.5, 0.2]), st.hypsecant),
    Case(
        dist.Gompertz,
        batch(concentration=[0.7, 60.0], rate=[0.05, 0.02]),
        lambda c, rate: st.gompertz(c, 0, 1 / rate),
    ),
    Case(dist.Levy, batch(loc=[0.3, -0.1], scale=[1.5, 0.2]), st.levy),
    Case(
        dist.Dagum,
        batch(concentration=[0.7, 3.0], sharpness=[4.5, 6.0], scale=[1.5, 0.2]),
        lambda p, a, b: st.burr(a, p, 0, b),
    ),
    Case(dist.LogUniform, batch(low=[0.3, 2.0], high=[40.0, 2.5]), st.loguniform),
    Case(dist.Kumaraswamy, batch(concentration1=[0.7, 3.0], concentration0=[2.0, 5.0]), _kumaraswamy),
    Case(
        dist.RelaxedBernoulliLogits,
        batch(temperature=[1.1, 2.0], logits=[0.3, -1.0]),
        _relaxed_bernoulli,
        lacks=frozenset({"mean", "variance", "entropy"}),
    ),
    Case(
        dist.HurdleGamma,
        batch(gate=[0.3, 0.05], concentration=[0.7, 30.0], rate=[1.5, 0.2]),
        lambda gate, a, b: _hurdle(gate, st.gamma(a, 0, 1 / b)),
    ),
    Case(
        dist.HurdleLogNormal,
        batch(gate=[0.3, 0.05], loc=[0.3, -2.0], scale=[0.5, 0.2]),
        lambda gate, loc, scale: _hurdle(gate, st.lognorm(scale, 0, np.exp(loc))),
    ),
    Case(
        dist.HurdlePoisson,
        batch(gate=[0.3, 0.05], rate=[0.7, 30.0]),
        lambda gate, rate: _count_hurdle(gate, st.poisson(rate)),
    ),
    Case(
        hurdle_uniform,
        batch(gate=[0.3, 0.1], low=[0, -3], high=[4, 1]),
        lambda gate, low, high: _count_hurdle(gate, st.randint(low, high + 1)),
        lacks=frozenset({"infer_shapes"}),
    ),
    Case(
        hurdle_geometric,
        batch(gate_logits=[0.3, -2.0], probs=[0.3, 0.85]),
        lambda logits, p: _count_hurdle(sp.expit(logits), st.geom(p, -1)),
        lacks=frozenset({"infer_shapes"}),
        floating_draws=True,
    ),
]
