"""Goodness of fit tests: p-values are uniform where the hypothesis holds, and tiny where it does not.

Comparisons use fixed seeds; with another each would fail wrongly with probability below 1e-3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.stats as st

from numpyro.distributions import gof


def uniform_01(rng: Any, n: int) -> float:
    return gof.unif01_goodness_of_fit(rng.uniform(size=n))


def exponential(rng: Any, n: int) -> float:
    return gof.exp_goodness_of_fit(rng.exponential(size=n))


def counts(rng: Any, n: int, rate: float = 3.0) -> float:
    x = rng.poisson(3.0, size=n)
    return gof.auto_goodness_of_fit(x, st.poisson(rate).pmf(x))


def count_vectors(rng: Any, n: int, p: float = 0.3) -> float:
    x = rng.multinomial(3, [0.3, 0.5, 0.2], size=n)
    return gof.auto_goodness_of_fit(x, st.multinomial(3, [p, 0.8 - p, 0.2]).pmf(x))


def normal(rng: Any, n: int, loc: float = 0.0, scale: float = 1.0) -> float:
    x = rng.normal(size=n)
    return gof.auto_goodness_of_fit(x, st.norm(loc, scale).pdf(x))


def two_modes(rng: Any, n: int, weight: float = 0.5) -> float:
    x = rng.normal(size=n) + 50 * rng.integers(2, size=n)
    return gof.auto_goodness_of_fit(x[:, None], (1 - weight) * st.norm.pdf(x) + weight * st.norm(50).pdf(x))


def normal_vector(rng: Any, n: int, scale: float = 1.0) -> float:
    x = rng.normal(size=(n, 2))
    return gof.auto_goodness_of_fit(x, st.norm(0, scale).pdf(x).prod(-1))


def sphere(rng: Any, n: int, area: float = 4 * np.pi) -> float:
    x = rng.normal(size=(n, 3))
    return gof.auto_goodness_of_fit(x / np.linalg.norm(x, axis=1)[:, None], np.full(n, 1 / area), dim=2)


@pytest.mark.parametrize(
    ("test", "n"),
    [
        (uniform_01, 400),
        (exponential, 400),
        (counts, 100),
        (count_vectors, 200),
        (normal, 400),
        (two_modes, 400),
        (normal_vector, 4000),
        (sphere, 4000),
    ],
)
def test_p_values_are_uniform(test: Callable[..., float], n: int) -> None:
    rng = np.random.default_rng(1)
    p_values = np.array([test(rng, n) for _ in range(200)])
    # not below the uniform distribution, but for the discreteness of counts; a few hundred are far from any limit
    assert st.kstest(p_values, "uniform", alternative="greater").pvalue > 1e-4
    assert np.median(p_values) < 0.9


@pytest.mark.parametrize(
    ("test", "wrong"),
    [
        (counts, {"rate": 3.3}),
        (count_vectors, {"p": 0.33}),
        (normal, {"loc": 0.2}),
        (normal, {"scale": 1.15}),
        (two_modes, {"weight": 0.55}),
        (normal_vector, {"scale": 1.15}),
        (sphere, {"area": 4.0}),
    ],
)
def test_what_is_wrong_is_found(test: Callable[..., float], wrong: dict[str, float]) -> None:
    assert test(np.random.default_rng(2), 20_000, **wrong) < 1e-6
    assert test(np.random.default_rng(2), 20_000) > 1e-3


def test_counts_against_scipy() -> None:
    probs, observed = np.array([0.2, 0.3, 0.5]), np.array([25, 21, 54])
    expected = st.chisquare(observed, 100 * probs).pvalue
    np.testing.assert_allclose(gof.multinomial_goodness_of_fit(probs, observed), expected)
    # what is not listed is one more cell
    given = gof.multinomial_goodness_of_fit(probs[:2], observed[:2], total_count=100)
    np.testing.assert_allclose(given, expected)
    # cells of an expected count below five are one
    split = gof.multinomial_goodness_of_fit([0.03, 0.02, 0.15, 0.3, 0.5], [5, 3, 17, 21, 54])
    np.testing.assert_allclose(split, st.chisquare([8, 17, 21, 54], [5, 15, 30, 50]).pvalue)
    assert gof.multinomial_goodness_of_fit([0.5, 0.0, 0.5], [40, 3, 57]) == 0
    assert gof.multinomial_goodness_of_fit([1.0], [40]) == 1


def test_too_few_samples_are_no_test() -> None:
    rng = np.random.default_rng(0)
    for test, n in ((uniform_01, 100), (exponential, 100), (normal, 100), (normal_vector, 2000)):
        with pytest.raises(gof.InvalidTest, match="use more samples"):
            test(rng, n)
    with pytest.raises(gof.InvalidTest, match="use more samples"):
        gof.multinomial_goodness_of_fit([0.5, 0.5], [2, 3])
    assert issubclass(gof.InvalidTest, ValueError)


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="vectors of one length"):
        gof.multinomial_goodness_of_fit([0.5, 0.5], [1, 2, 3])
    with pytest.raises(ValueError, match="add up to at most 1"):
        gof.multinomial_goodness_of_fit([0.5, 0.6], [50, 50])
    with pytest.raises(ValueError, match="from 0 to 1"):
        gof.unif01_goodness_of_fit(np.linspace(0, 1.1, 1000))
    with pytest.raises(ValueError, match="from 0 to 1"):
        gof.exp_goodness_of_fit(-np.ones(1000))
    with pytest.raises(ValueError, match="one of probs for each"):
        gof.auto_goodness_of_fit(np.zeros(1000), np.ones(5))
    with pytest.raises(ValueError, match="1 dimensions"):
        gof.density_goodness_of_fit(np.zeros((1000, 2)), np.ones(1000))
    with pytest.raises(ValueError, match="shape"):
        gof.get_nearest_neighbor_distances(np.zeros(5))


def test_volumes_and_distances() -> None:
    np.testing.assert_allclose([gof.volume_of_sphere(d, 2.0) for d in (0, 1, 2, 3)], [1, 4, 4 * np.pi, 32 * np.pi / 3])
    np.testing.assert_allclose(gof.volume_of_sphere(2, np.array([1.0, 2.0])), [np.pi, 4 * np.pi])
    x = np.random.default_rng(0).normal(size=(50, 3))
    distances = np.linalg.norm(x[:, None] - x, axis=-1) + 100 * np.eye(50)
    np.testing.assert_allclose(gof.get_nearest_neighbor_distances(x), distances.min(1))


def test_histogram(capsys: Any) -> None:
    gof.print_histogram([0.2, 0.3, 0.5], [20, 32, 48])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["Prob", "Count"]
    assert [line.split()[:2] for line in lines[1:]] == [["0.500", "48"], ["0.300", "32"], ["0.200", "20"]]
    assert [line.count("-") for line in lines[1:]] == [60, 40, 25]
    gof.unif01_goodness_of_fit(np.linspace(0, 1, 1000), plot=True)
    assert len(capsys.readouterr().out.splitlines()) == 11
