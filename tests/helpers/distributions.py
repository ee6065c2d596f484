"""The table of distribution families, and what is computed of each of them for the tests to look at.

A family is one line in ``CASES``: how to make it, parameters for a batch of two, and what to compare it with, as a
rule a frozen distribution of ``scipy.stats`` for one member of the batch. ``tests/distributions/test_families.py``
runs the same properties over all of them. A family without some method says so in ``lacks``, and is then tested for
saying so itself.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats as st

import numpyro.distributions as dist
from tests.helpers.angle_cases import ANGLE_CASES
from tests.helpers.case import Case, batch
from tests.helpers.continuous_cases import CONTINUOUS_CASES
from tests.helpers.count_cases import COUNT_CASES
from tests.helpers.derived_cases import DERIVED_CASES
from tests.helpers.vector_cases import VECTOR_CASES

# Families that fewer models use: their lines take long together, and run with the slow tests.
RARER_CASES = [*ANGLE_CASES, *CONTINUOUS_CASES, *COUNT_CASES, *DERIVED_CASES, *VECTOR_CASES]

DRAWS = 4000
POINTS = 20
# No round numbers, so that none is at a step of a discrete distribution, where rounding decides.
QUANTILES = np.array([1e-4, 0.0123, 0.107, 0.313, 0.507, 0.713, 0.907, 0.9877, 0.9999])


def _multivariate_normal(loc: np.ndarray, covariance: np.ndarray) -> Any:
    r = st.multivariate_normal(loc, covariance)
    return SimpleNamespace(logpdf=r.logpdf, entropy=r.entropy, mean=lambda: loc, var=lambda: np.diag(covariance))


CASES = [
    # on the line
    Case(dist.Normal, batch(loc=[0.3, -20.0], scale=[1.5, 0.2]), st.norm),
    Case(dist.Cauchy, batch(loc=[0.3, -5.0], scale=[1.5, 0.2]), st.cauchy),
    Case(dist.StudentT, batch(df=[3.5, 40.0], loc=[0.3, -5.0], scale=[1.5, 0.2]), st.t),
    Case(dist.Laplace, batch(loc=[0.3, -5.0], scale=[1.5, 0.2]), st.laplace),
    Case(dist.Logistic, batch(loc=[0.3, -5.0], scale=[1.5, 0.2]), st.logistic),
    Case(dist.Gumbel, batch(loc=[0.3, -5.0], scale=[1.5, 0.2]), st.gumbel_r),
    # on the half line
    Case(dist.HalfNormal, batch(scale=[1.5, 0.2]), lambda scale: st.halfnorm(0, scale)),
    Case(dist.HalfCauchy, batch(scale=[1.5, 0.2]), lambda scale: st.halfcauchy(0, scale)),
    Case(
        dist.LogNormal, batch(loc=[0.3, -2.0], scale=[0.5, 0.2]), lambda loc, scale: st.lognorm(scale, 0, np.exp(loc))
    ),
    Case(dist.Exponential, batch(rate=[1.5, 0.2]), lambda rate: st.expon(0, 1 / rate)),
    Case(dist.Gamma, batch(concentration=[0.7, 30.0], rate=[1.5, 0.2]), lambda a, b: st.gamma(a, 0, 1 / b)),
    Case(dist.Chi2, batch(df=[1.5, 12.0]), st.chi2),
    Case(dist.InverseGamma, batch(concentration=[4.5, 30.0], rate=[1.5, 0.2]), lambda a, b: st.invgamma(a, 0, b)),
    Case(dist.Weibull, batch(scale=[1.5, 0.2], concentration=[0.7, 3.0]), lambda s, k: st.weibull_min(k, 0, s)),
    Case(dist.Pareto, batch(scale=[1.3, 0.2], alpha=[4.5, 7.0]), lambda m, a: st.pareto(a, 0, m)),
    # on an interval
    Case(dist.Uniform, batch(low=[-1.0, 3.0], high=[2.0, 3.5]), lambda low, high: st.uniform(low, high - low)),
    Case(dist.Beta, batch(concentration1=[0.7, 3.0], concentration0=[2.0, 5.0]), st.beta),
    Case(
        dist.BetaProportion,
        batch(mean=[0.3, 0.8], concentration=[2.0, 7.0]),
        lambda m, k: st.beta(m * k, (1 - m) * k),
    ),
    # on vectors
    Case(
        dist.Dirichlet,
        batch(concentration=[[0.7, 2.0, 3.5], [5.0, 1.0, 0.9]]),
        st.dirichlet,
        marginals=lambda concentration: [st.beta(a, np.sum(concentration) - a) for a in concentration],
    ),
    *(
        Case(
            dist.MultivariateNormal,
            batch(**{"loc": [[0.3, -1.0], [2.0, 0.5]], name: matrices}),
            reference,
            marginals=lambda loc, matrix, reference=reference: [
                st.norm(m, np.sqrt(v)) for m, v in zip(loc, reference(loc, matrix).var(), strict=True)
            ],
        )
        for name, matrices, reference in [
            ("covariance_matrix", [[[2.0, 0.6], [0.6, 0.5]], [[1.0, -0.3], [-0.3, 1.5]]], _multivariate_normal),
            (
                "precision_matrix",
                [[[2.0, 0.6], [0.6, 0.5]], [[1.0, -0.3], [-0.3, 1.5]]],
                lambda loc, precision: _multivariate_normal(loc, np.linalg.inv(precision)),
            ),
            (
                "scale_tril",
                [[[1.4, 0.0], [0.4, 0.6]], [[1.0, 0.0], [-0.3, 1.2]]],
                lambda loc, factor: _multivariate_normal(loc, factor @ factor.T),
            ),
        ]
    ),
    # on matrices
    Case(
        dist.LKJCholesky,
        batch(concentration=[0.8, 2.5]),
        static={"dimension": 3},
        lacks=frozenset({"infer_shapes"}),
    ),
    Case(
        dist.LKJ,
        batch(concentration=[0.8, 2.5]),
        static={"dimension": 3},
        lacks=frozenset({"infer_shapes"}),
    ),
    *ANGLE_CASES,
    *CONTINUOUS_CASES,
    *COUNT_CASES,
    *DERIVED_CASES,
    *VECTOR_CASES,
]


@contextlib.contextmanager
def precision(dtype: str) -> Iterator[None]:
    """JAX computing in ``"float32"`` or ``"float64"``."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", dtype == "float64")
    try:
        yield
    finally:
        jax.config.update("jax_enable_x64", before)


def bounds(support: Any) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest value of a support of single numbers."""
    lower = getattr(support, "lower_bound", 0 if isinstance(support, type(dist.constraints.boolean)) else -np.inf)
    upper = getattr(support, "upper_bound", 1 if isinstance(support, type(dist.constraints.boolean)) else np.inf)
    return np.asarray(lower, float), np.asarray(upper, float)


@functools.cache
def quadrature(case: Case, n: int = 801) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights, of shape ``(n, batch)``, that integrate over a support of single numbers, or sum over it.

    Double exponential rule (Takahasi and Mori 1974): the trapezoidal rule in ``t`` after ``x = exp(pi/2 sinh t)`` on a
    half line, ``tanh(pi/2 sinh t)`` on an interval, which takes heavy tails and singular ends. The line is two half
    lines that meet in the mode, or else the median, where a density may have a corner.
    """
    support = case.example.support
    lower, upper = (np.atleast_1d(bound) for bound in bounds(support))
    if support.is_discrete:
        x = np.arange(20_000)[:, None] + np.where(np.isfinite(lower), lower, 0)
        return x, (x <= upper).astype(float)
    center, scale = np.zeros(1), np.ones(1)
    if case.references and hasattr(case.references[0], "ppf"):  # so that nodes are where the mass is
        low, center, high = (np.array([r.ppf(q) for r in case.references]) for q in (0.3, 0.5, 0.7))
        scale = high - low
    with contextlib.suppress(NotImplementedError):
        center = np.asarray(case.example.mode, float)
    t = np.linspace(-4.5, 4.5, n)[:, None]
    u, du = np.pi / 2 * np.sinh(t), np.pi / 2 * np.cosh(t) * (t[1] - t[0])
    if np.isfinite(lower).all() and np.isfinite(upper).all():
        half = (upper - lower) / 2
        left = half * 2 / (1 + np.exp(-2 * u))  # distance to the lower end, without cancellation there
        return lower + left, du * half / np.cosh(u) ** 2
    if np.isfinite(lower).all():
        return lower + scale * np.exp(u), scale * du * np.exp(u)
    if np.isfinite(upper).all():
        return upper - scale * np.exp(u), scale * du * np.exp(u)
    distance, weight = scale * np.exp(u), scale * du * np.exp(u)
    return np.concatenate([center - distance, center + distance]), np.concatenate([weight, weight])


@functools.cache
def draws(case: Case, dtype: str) -> np.ndarray:
    """Draws of shape ``(DRAWS, batch) + event`` in one precision."""
    with precision(dtype):
        sample = jax.jit(lambda params, key: case.build(params).sample(key, (DRAWS,)))
        return np.asarray(sample(case.arrays(dtype), jax.random.key(20)))


def exact(case: Case, x: np.ndarray) -> np.ndarray:
    """A value in double precision; on the simplex or the sphere to all its digits, as scipy insists."""
    x = np.asarray(x, float) if is_floating(x) else x
    if case.example.support is dist.constraints.simplex:
        return x / x.sum(-1, keepdims=True)
    if case.example.support is dist.constraints.sphere:
        return x / np.linalg.norm(x, axis=-1, keepdims=True)
    return x


@functools.cache
def facts(case: Case, dtype: str) -> dict[str, np.ndarray]:
    """Densities and moments: all that a distribution says of itself, from one compiled program in one precision.

    Parameters are arguments of the program, so that they are tracers where the distribution is made. The draws, being
    dear to compile, are those of single precision.
    """
    drawn = exact(case, draws(case, "float32"))
    drawn = drawn.astype(dtype if is_floating(drawn) else np.int64 if dtype == "float64" else np.int32)
    with precision(dtype):
        params = case.arrays(dtype)
        value_dtype = case.example.is_discrete and int or dtype
        nodes = quadrature(case)[0].astype(value_dtype) if is_scalar(case) and dtype == "float64" else None
        points = drawn[:POINTS]  # or, where the reference has them, quantiles far into both tails
        if case.references and hasattr(case.references[0], "ppf"):
            points = np.stack([r.ppf(QUANTILES) for r in case.references], axis=1).astype(value_dtype)

        @jax.jit
        def describe(params: dict[str, Any], drawn: Any, points: Any, nodes: Any) -> dict[str, Any]:
            d = case.build(params)
            out = {"draws_log_prob": d.log_prob(drawn), "log_prob": d.log_prob(points)}
            for name in ("mean", "variance"):
                if case.has(name):
                    out[name] = getattr(d, name)
            if case.has("entropy"):
                out["entropy"] = d.entropy()
            if is_scalar(case) and case.has("cdf"):
                out["cdf"] = d.cdf(points)
            if is_scalar(case) and case.has("icdf"):
                out["icdf"] = d.icdf(jnp.asarray(QUANTILES, dtype)[:, None])
            if nodes is not None:
                out["nodes_log_prob"] = d.log_prob(nodes)
            return out

        described = jax.tree_util.tree_map(np.asarray, describe(params, drawn, points, nodes))
        return described | {"draws": drawn, "points": points}


def is_scalar(case: Case) -> bool:
    return case.example.event_shape == ()


def is_floating(x: Any) -> bool:
    return np.issubdtype(np.asarray(x).dtype, np.floating)
