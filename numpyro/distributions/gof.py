r"""Goodness of fit: whether samples follow a distribution whose probabilities or densities at them are known.

Each test returns a p-value: under the null hypothesis, that they do, it is at most :math:`p` with probability :math:`p`
(about, or below). A test in a test suite should have a fixed key, or a threshold so low that it may be run for years.

What is tested in the end is always counts of cells, by :func:`multinomial_goodness_of_fit`. Samples from a density
become counts in two steps: the space between neighbouring samples, times the density, times the number of samples, is
distributed exponentially with mean 1, and its exponential uniformly on the unit interval.
:func:`auto_goodness_of_fit` chooses among all these by the samples' type and shape.

>>> import jax, numpy as np, numpyro.distributions as dist
>>> d = dist.Normal(0.0, 1.0)
>>> samples = d.sample(jax.random.key(0), (5000,))
>>> auto_goodness_of_fit(samples, np.exp(d.log_prob(samples))) > 1e-3
True
>>> auto_goodness_of_fit(samples, np.exp(d.log_prob(1.2 * samples))) < 1e-3
True

It needs SciPy, which comes with JAX.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import chdtrc, kolmogorov

from numpyro._errors import UsageError
from numpyro._typing import ArrayLike, NumpyArray

__all__ = [
    "InvalidTest",
    "auto_goodness_of_fit",
    "density_goodness_of_fit",
    "exp_goodness_of_fit",
    "get_nearest_neighbor_distances",
    "multinomial_goodness_of_fit",
    "print_histogram",
    "unif01_goodness_of_fit",
    "vector_density_goodness_of_fit",
    "volume_of_sphere",
]

HISTOGRAM_WIDTH = 60
_LEAST_EXPECTED = 5.0  # counts in a cell, for the statistic to have its limiting distribution
_LEAST_BINS = 7
_LEAST_SAMPLES = 100
_LEAST_VECTORS = 2000
_VECTORS_PER_QUERY = 10


class InvalidTest(ValueError):
    """There are too few samples for a p-value to mean anything."""


def print_histogram(probs: ArrayLike, counts: ArrayLike) -> None:
    """Print probabilities and counts of cells, and bars as long as the counts, the likeliest cells first.

    :param probs: probabilities of the cells, a vector.
    :param counts: of the samples in each of them.
    """
    pairs = sorted(zip(np.asarray(probs).tolist(), np.asarray(counts).tolist(), strict=True), reverse=True)
    largest = max(count for _, count in pairs) or 1
    print(f"{'Prob':>8s} {'Count':>8s}")
    for prob, count in pairs:
        print(f"{prob:8.3f} {count:8d} " + "-" * round(HISTOGRAM_WIDTH * count / largest))


def multinomial_goodness_of_fit(
    probs: ArrayLike, counts: ArrayLike, *, total_count: int | None = None, plot: bool = False
) -> float:
    r"""Pearson's :math:`\chi^2` test of counts.

    .. math:: \sum_i \frac{(c_i - n p_i)^2}{n p_i} \sim \chi^2_{K - 1}

    If the probabilities do not add up to 1, there is one more cell, with the rest. The least likely cells are put
    together until all have an expected count of five.

    :param probs: probabilities :math:`p` of the cells, a vector.
    :param counts: numbers :math:`c` of samples in the cells, a vector.
    :param total_count: number :math:`n` of samples; default the sum of ``counts``.
    :param plot: whether to print a histogram.
    :return: p-value.
    :raises ValueError: when there is something wrong with ``probs`` and ``counts``.
    :raises InvalidTest: when there are too few samples.

    >>> round(multinomial_goodness_of_fit([0.5, 0.5], [40, 60]), 4)
    0.0455
    """
    p, c = np.asarray(probs, float), np.asarray(counts, float)
    if p.ndim != 1 or p.shape != c.shape:
        raise UsageError(
            f"multinomial_goodness_of_fit expected vectors of one length, got shapes {p.shape} and {c.shape}."
        )
    total = float(c.sum() if total_count is None else total_count)
    rest = 1 - p.sum()
    if not (p >= 0).all() or rest < -1e-3 or total < c.sum():
        raise UsageError(
            "multinomial_goodness_of_fit expected probabilities that are not negative and add up to at most 1, and at "
            f"most total_count samples in the cells; got a sum of {p.sum()}, and {c.sum():g} of {total:g} samples."
        )
    if plot:
        print_histogram(p, c.astype(int))
    if (c[p == 0] > 0).any():
        return 0.0
    c, expected = np.append(c, total - c.sum()), total * np.append(p, max(rest, 0.0))
    if expected[-1] == 0 or (total_count is None and rest < 1e-3):  # what rounding leaves is no cell
        c, expected = c[:-1], expected[:-1]
    order = np.argsort(expected)
    c, expected = c[order], expected[order]
    # the first cells, as many of them as are too small, and then as many as are together large enough
    pooled = max(int(np.sum(expected < _LEAST_EXPECTED)), 1)
    if expected[:pooled].sum() < _LEAST_EXPECTED:
        pooled += 1
    if pooled >= len(c) and np.sum(p > 0) > 1:
        raise InvalidTest(
            f"Goodness of fit is inaccurate; use more samples: {total:g} of them leave less than two cells with an "
            f"expected count of {_LEAST_EXPECTED:g}."
        )
    c, expected = np.append(c[:pooled].sum(), c[pooled:]), np.append(expected[:pooled].sum(), expected[pooled:])
    if len(c) == 1:
        return 1.0
    return float(chdtrc(len(c) - 1, np.sum((c - expected) ** 2 / expected)))


def unif01_goodness_of_fit(samples: ArrayLike, *, plot: bool = False) -> float:
    """Test whether samples are uniform on the unit interval, by the counts in some ``len(samples)**(1/3)`` bins.

    :param samples: vector of numbers from 0 to 1.
    :param plot: whether to print a histogram.
    :return: p-value.
    :raises ValueError: when a sample is outside the unit interval.
    :raises InvalidTest: when there are less than some 300 samples.
    """
    x = np.asarray(samples, float)
    if x.ndim != 1 or not ((x >= 0) & (x <= 1)).all():
        raise UsageError(f"unif01_goodness_of_fit expected a vector of numbers from 0 to 1, got shape {x.shape}.")
    bins = round(len(x) ** (1 / 3))
    if bins < _LEAST_BINS:
        raise InvalidTest(f"imprecise test, use more samples than {len(x)}.")
    counts, _ = np.histogram(x, bins, (0, 1))
    return multinomial_goodness_of_fit(np.full(bins, 1 / bins), counts, plot=plot)


def exp_goodness_of_fit(samples: ArrayLike, *, plot: bool = False) -> float:
    """Test whether samples are exponentially distributed with mean 1.

    :param samples: vector of numbers that are not negative.
    :param plot: whether to print a histogram.
    :return: p-value.
    :raises ValueError: when a sample is negative.
    :raises InvalidTest: when there are less than some 300 samples.
    """
    return unif01_goodness_of_fit(np.exp(-np.asarray(samples, float)), plot=plot)


def density_goodness_of_fit(samples: ArrayLike, probs: ArrayLike, plot: bool = False) -> float:
    """Test whether numbers follow a density, by the spaces between them.

    Both the sizes of the spaces and their trend along the line are tested.

    :param samples: vector of numbers.
    :param probs: density at each of them.
    :param plot: whether to print a histogram.
    :return: p-value.
    :raises ValueError: when the shapes do not fit.
    :raises InvalidTest: when there are less than some 300 samples.
    """
    x, p = _checked("density_goodness_of_fit", samples, probs, 1, _LEAST_SAMPLES)
    order = np.argsort(x)
    x, p = x[order], p[order]
    spaces = len(x) * np.diff(x) * _logarithmic_mean(p[:-1], p[1:])
    return _test_spaces(spaces, plot)


def vector_density_goodness_of_fit(
    samples: ArrayLike, probs: ArrayLike, *, dim: int | None = None, plot: bool = False
) -> float:
    """Test whether vectors follow a density, by the balls around some of them out to their nearest neighbours.

    Balls of a tenth of the samples, since those of all would overlap too often to be regarded as independent.

    :param samples: array of shape ``(n, d)``.
    :param probs: density at each of them.
    :param dim: dimension of the set on which samples lie, with respect to the volume of which they have the density;
        default ``d``. On the unit sphere of ``d`` components it is ``d - 1``.
    :param plot: whether to print a histogram.
    :return: p-value.
    :raises ValueError: when the shapes do not fit.
    :raises InvalidTest: when there are less than some 3000 samples.
    """
    x, p = _checked("vector_density_goodness_of_fit", samples, probs, 2, _LEAST_VECTORS)
    dim = x.shape[1] if dim is None else dim
    queries = slice(None, None, _VECTORS_PER_QUERY)
    distances, _ = cKDTree(x).query(x[queries], k=2)
    spaces = len(x) * volume_of_sphere(dim, distances[:, 1]) * p[queries]
    return _test_spaces(spaces[np.argsort(p[queries])], plot)


def auto_goodness_of_fit(samples: ArrayLike, probs: ArrayLike, *, dim: int | None = None, plot: bool = False) -> float:
    """Test whether samples follow a distribution whose density or probability at each of them is known.

    :param samples: array with one sample after the other along its first dimension. Integers are taken to be from a
        discrete distribution, others from a density.
    :param probs: density, or probability, at each of them, a vector.
    :param dim: for a density: dimension of the set on which samples lie; default the number of components.
    :param plot: whether to print a histogram.
    :return: p-value.
    :raises ValueError: when the shapes do not fit.
    :raises InvalidTest: when there are too few samples.
    """
    x, p = np.asarray(samples), np.asarray(probs, float)
    if x.ndim == 0 or p.shape != x.shape[:1]:
        raise UsageError(
            f"auto_goodness_of_fit expected one of probs for each of the samples, got {p.shape} and {x.shape}."
        )
    x = x.reshape((len(x), -1))
    if not np.issubdtype(x.dtype, np.inexact):
        _, places, counts = np.unique(x, axis=0, return_index=True, return_counts=True)
        return multinomial_goodness_of_fit(p[places], counts, plot=plot)
    if x.shape[1] == 1 and dim in (None, 1):
        return density_goodness_of_fit(x[:, 0], p, plot=plot)
    return vector_density_goodness_of_fit(x, p, dim=dim, plot=plot)


def volume_of_sphere(dim: int, radius: ArrayLike) -> NumpyArray | float:
    r"""Volume of a ball, :math:`\pi^{d/2} r^d / \Gamma(d/2 + 1)`.

    :param dim: dimension :math:`d`.
    :param radius: :math:`r`, a number or an array.

    >>> round(volume_of_sphere(3, 1.0), 4)
    4.1888
    """
    volume = math.pi ** (dim / 2) / math.gamma(dim / 2 + 1) * np.asarray(radius, float) ** dim
    return volume if np.ndim(radius) else float(volume)


def get_nearest_neighbor_distances(samples: ArrayLike) -> NumpyArray:
    """The distance of each sample from the nearest other one.

    :param samples: array of shape ``(n, d)``.
    :return: array of shape ``(n,)``.
    :raises ValueError: when ``samples`` has another shape.
    """
    x = np.asarray(samples, float)
    if x.ndim != 2 or len(x) < 2:
        raise UsageError(f"get_nearest_neighbor_distances expected shape (n, d) with n at least 2, got {x.shape}.")
    return cKDTree(x).query(x, k=2)[0][:, 1]


def _checked(test: str, samples: ArrayLike, probs: ArrayLike, ndim: int, least: int) -> tuple[NumpyArray, NumpyArray]:
    x, p = np.asarray(samples, float), np.asarray(probs, float)
    if x.ndim != ndim or p.shape != x.shape[:1]:
        raise UsageError(
            f"{test} expected samples of {ndim} dimensions and one of probs for each, got {x.shape} and {p.shape}."
        )
    if len(x) <= least:
        raise InvalidTest(f"imprecision; use more samples than {len(x)}.")
    return x, p


def _logarithmic_mean(a: NumpyArray, b: NumpyArray) -> NumpyArray:
    """``(a - b) / log(a / b)``, the mean of an exponential between two of its values."""
    apart = (np.abs(a - b) > 1e-4 * (a + b)) & (a > 0) & (b > 0)
    log_ratio = np.log(np.where(apart, a, 2) / np.where(apart, b, 1))
    return np.where(apart, (a - b) / log_ratio, (a + b) / 2)


def _test_spaces(spaces: NumpyArray, plot: bool) -> float:
    """Test whether spaces, in some order, are independent exponential variables of mean 1.

    Twice the smaller of two p-values: of their sizes, and of the trend in that order. The sums of uniform variables,
    the mean of all subtracted, are a Brownian bridge in the limit, the largest of which is distributed as Kolmogorov's
    statistic.
    """
    p_sizes = exp_goodness_of_fit(spaces, plot=plot)
    uniform = np.exp(-spaces)
    bridge = np.cumsum(uniform - uniform.mean()) / math.sqrt(len(uniform) / 12)
    return min(1.0, 2 * min(p_sizes, float(kolmogorov(np.abs(bridge).max()))))
