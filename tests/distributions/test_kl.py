"""Divergences: rules of the wrappers, the choice of a rule, and every rule of two families against its own draws.

Monte Carlo comparisons use a fixed key; with a new one each would fail wrongly with probability below 1e-4.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import numpyro.distributions as dist
from numpyro.distributions import transforms
from numpyro.distributions.kl import KLDivergence, kl_divergence
from tests.helpers.distributions import CASES, RARER_CASES, Case

P = dist.Normal(np.array([0.0, 1.0, 2.0]), 1.0)
Q = dist.Normal(0.5, 2.0)
MASK = np.array([True, False, True])
EXACT = np.log(2.0) + (1 + np.array([0.25, 0.25, 2.25])) / 8 - 0.5


def by_quadrature(p: Any, q: Any) -> np.ndarray:
    x = np.linspace(-12, 14, 4001)[:, None]
    log_p, log_q = np.asarray(p.log_prob(x)), np.asarray(q.log_prob(x))
    return np.trapezoid(np.exp(log_p) * (log_p - log_q), x, axis=0)


def test_normal() -> None:
    np.testing.assert_allclose(kl_divergence(P, Q), EXACT, rtol=1e-6)
    np.testing.assert_allclose(by_quadrature(P, Q), EXACT, rtol=1e-4)


@pytest.mark.parametrize(
    ("p", "q", "expected"),
    [
        (P.expand((2, 3)), Q, np.broadcast_to(EXACT, (2, 3))),
        (P, Q.expand((3,)), EXACT),
        (P.expand((2, 3)), Q.expand((2, 1)), np.broadcast_to(EXACT, (2, 3))),
        (P.to_event(1), Q.expand((3,)).to_event(1), EXACT.sum()),
        (P.expand((2, 3)).to_event(1).to_event(1), Q.expand((2, 3)).to_event(2), 2 * EXACT.sum()),
        (dist.LogNormal(P.loc, 1.0), dist.LogNormal(0.5, 2.0), EXACT),
        (P.mask(MASK), Q.mask(MASK), EXACT * MASK),
        (P.mask(MASK), dist.MaskedDistribution(Q, True), EXACT * MASK),
        (dist.MaskedDistribution(P, True), dist.MaskedDistribution(Q, True), EXACT),
        (P.mask(False), Q.mask(MASK), np.zeros(3)),
        (dist.Delta(1.0, 2.0), Q, 2.0 - Q.log_prob(1.0)),
        (dist.Delta(np.ones(3), event_dim=1), Q.expand((3,)).to_event(1), -3 * Q.log_prob(1.0)),
        (dist.Delta(1.0), Q.expand((2,)), -Q.log_prob(np.ones(2))),
    ],
)
def test_wrappers(p: Any, q: Any, expected: Any) -> None:
    actual = jax.jit(kl_divergence)(p, q)
    assert actual.shape == np.shape(expected)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_without_a_rule_it_says_so() -> None:
    with pytest.raises(NotImplementedError, match="<Normal, Dirichlet>.*register"):
        kl_divergence(Q, dist.Dirichlet(np.ones(3)))
    with pytest.raises(NotImplementedError, match="different transforms"):
        scaled = dist.TransformedDistribution(Q, transforms.AffineTransform(0.0, 2.0))
        kl_divergence(dist.LogNormal(0.0, 1.0), scaled)


def test_the_closest_rule_is_chosen() -> None:
    class Child(dist.Normal):
        pass

    kl = KLDivergence()
    kl.register(dist.Distribution, dist.Distribution)(lambda p, q: "any")
    kl.register(dist.Normal, dist.Normal)(lambda p, q: "normal")
    kl.register(Child, dist.Distribution)(lambda p, q: "child")
    kl.register(dist.Distribution, Child)(lambda p, q: "other")
    assert kl(Q, Q) == "normal"
    assert kl(Q, Child(0.0, 1.0)) == "normal"
    assert kl(Child(0.0, 1.0), Q) == "child"  # one step up, as <Normal, Normal> is: the first class decides
    assert kl(Q, dist.Exponential(1.0)) == "any"


def pairs() -> list[Any]:
    """Cases of the families between which there is a rule of their own; those of rarer families are slow."""
    rules = kl_divergence.rules
    found = [(p, q) for p in CASES for q in CASES if (type(p.example), type(q.example)) in rules]
    rarer = {id(case) for case in RARER_CASES}
    return [pytest.param(*pair, marks=pytest.mark.slow) if {*map(id, pair)} & rarer else pair for pair in found]


@pytest.mark.parametrize(("p", "q"), pairs(), ids=lambda case: str(case))
def test_rules_of_families_agree_with_draws(p: Case, q: Case) -> None:
    # parameters of q in reverse order of members, so that p and q differ where they are of one family
    q_params = {name: value[::-1] for name, value in q.arrays("float32").items()}
    if p.static != q.static or p.example.event_shape != q.example.event_shape:
        pytest.skip("events of different shapes")

    @jax.jit
    def compute(p_params: Any, q_params: Any) -> Any:
        d, e = p.build(p_params), q.build(q_params)
        x = d.sample(jax.random.key(7), (4000,))
        of_itself = kl_divergence(d, p.build(p_params)) if p is q else 0.0
        return kl_divergence(d, e), d.log_prob(x) - e.log_prob(x), of_itself

    closed, terms, of_itself = map(np.asarray, compute(p.arrays("float32"), q_params))
    assert closed.shape == (p.batch_size,)
    if not np.isfinite(terms).all():
        np.testing.assert_array_equal(closed, np.inf)
        return
    error = np.std(terms, 0) / np.sqrt(len(terms))
    assert (np.abs(np.mean(terms, 0) - closed) < 5 * error + 1e-4 * np.abs(closed) + 1e-5).all()
    np.testing.assert_allclose(of_itself, 0, atol=1e-4)
