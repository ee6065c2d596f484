"""The lines of the table for continuous families on vectors, time series and matrices."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import scipy.linalg as sl
import scipy.sparse as ss
import scipy.stats as st

import numpyro.distributions as dist
from tests.helpers.case import Case, batch

PATH = np.array([[0.0, 1.0, 0.0, 0.5], [1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 2.0], [0.5, 0.0, 2.0, 0.0]])
TRIANGLES = np.array([[[1.4, 0.0], [0.4, 0.6]], [[1.0, 0.0], [-0.3, 1.2]]])
SQUARES = TRIANGLES @ np.swapaxes(TRIANGLES, 1, 2)


def normal(mean: np.ndarray, covariance: np.ndarray) -> Any:
    """Normal arrays, by the mean and by the covariance of their elements in a row."""
    r = st.multivariate_normal(mean.reshape(-1), covariance, allow_singular=True)
    return SimpleNamespace(
        logpdf=lambda x: r.logpdf(np.reshape(x, -1)),
        entropy=r.entropy,
        mean=lambda: mean,
        var=lambda: np.diag(covariance).reshape(mean.shape),
        marginals=[st.norm(m, s) for m, s in zip(mean.reshape(-1), np.sqrt(np.diag(covariance)), strict=True)],
    )


def normal_case(make: Any, params: dict[str, Any], reference: Any, **options: Any) -> Case:
    def marginals(*args: Any, **static: Any) -> Any:
        return reference(*args, **static).marginals

    return Case(make, params, reference, marginals, **options)


def _student_t(df: float, loc: np.ndarray, factor: np.ndarray) -> Any:
    r = st.multivariate_t(loc, factor @ factor.T, df)
    variance = df / (df - 2) * np.diag(factor @ factor.T)
    return SimpleNamespace(logpdf=r.logpdf, entropy=r.entropy, mean=lambda: loc, var=lambda: variance)


def _zero_sum(scale: float, event_shape: tuple[int, ...]) -> Any:
    covariance = scale**2 * np.eye(1)
    for n in event_shape:
        covariance = np.kron(covariance, np.eye(n) - 1 / n)
    reference = normal(np.zeros(event_shape), covariance)
    logpdf = reference.logpdf

    def of_projection(x: np.ndarray) -> Any:  # rounding leads out of the subspace
        for axis in range(len(event_shape)):
            x = x - x.mean(axis, keepdims=True)
        return logpdf(x)

    reference.logpdf = of_projection
    return reference


def _inverse_wishart(concentration: float, scale: np.ndarray) -> Any:
    """Without the entropy, which scipy has wrong by a multiple of log 2."""
    r = st.invwishart(concentration, scale)
    return SimpleNamespace(logpdf=r.logpdf, mean=r.mean, var=r.var)


def _state_space(matrix: np.ndarray, noise: np.ndarray, start: np.ndarray, num_steps: int) -> Any:
    d = len(start)
    # states are sums of powers of the matrix times noises
    powers = [np.linalg.matrix_power(matrix, t) for t in range(num_steps + 1)]
    steps, nothing = range(num_steps), np.zeros((d, d))
    mixing = np.block([[powers[t - s] if t >= s else nothing for s in steps] for t in steps])
    mean = np.stack([power @ start for power in powers[1:]])
    return normal(mean, mixing @ np.kron(np.eye(num_steps), noise) @ mixing.T)


def state_space(transition_matrix: Any, scale_tril: Any, initial_value: Any, **kwargs: Any) -> dist.Distribution:
    return dist.GaussianStateSpace(
        transition_matrix=transition_matrix, scale_tril=scale_tril, initial_value=initial_value, **kwargs
    )


def _car(loc: np.ndarray, correlation: float, precision: float, adj_matrix: Any, is_sparse: bool = False) -> Any:
    weights = adj_matrix.toarray() if is_sparse else adj_matrix
    return normal(loc, np.linalg.inv(precision * (np.diag(weights.sum(1)) - correlation * weights)))


def drift_and_diffusion(x: Any, t: Any) -> tuple[Any, Any]:
    return -x * (1 + t), 0.5 + 0.1 * x**2


def euler_maruyama(t: Any, loc: Any, **kwargs: Any) -> dist.Distribution:
    return dist.EulerMaruyama(t, drift_and_diffusion, dist.Normal(loc, 0.5).to_event(1), **kwargs)


def _euler_maruyama(t: np.ndarray, loc: np.ndarray) -> Any:
    def logpdf(x: np.ndarray) -> Any:
        total = st.norm(loc, 0.5).logpdf(x[0]).sum()
        for before, after, now, dt in zip(x, x[1:], t, np.diff(t), strict=False):
            drift, diffusion = drift_and_diffusion(before, now)
            total += st.norm(before + drift * dt, diffusion * np.sqrt(dt)).logpdf(after).sum()
        return total

    return SimpleNamespace(logpdf=logpdf)


def _of_factor(matrix: Any) -> Any:
    """The density of the Cholesky factor of a matrix, by that of the matrix."""

    def logpdf(factor: np.ndarray) -> Any:
        p = len(factor)
        return matrix.logpdf(factor @ factor.T) + p * np.log(2) + np.sum(np.arange(p, 0, -1) * np.log(np.diag(factor)))

    return SimpleNamespace(logpdf=logpdf)


def _matrix_normal(loc: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> Any:
    return normal(loc, np.kron(rows @ rows.T, columns @ columns.T))


VECTOR_CASES = [
    normal_case(
        dist.LowRankMultivariateNormal,
        batch(
            loc=[[0.3, -1.0, 2.0], [2.0, 0.5, 1.0]],
            cov_factor=[[[0.3, 1.0], [0.5, 0.7], [-1.0, 0.4]], [[3.0, 0.1], [0.0, 0.5], [1.0, -2.0]]],
            cov_diag=[[0.5, 1.0, 0.3], [0.2, 0.7, 2.0]],
        ),
        lambda loc, factor, diag: normal(loc, factor @ factor.T + np.diag(diag)),
    ),
    Case(
        dist.MultivariateStudentT,
        batch(df=[4.5, 9.0], loc=[[0.3, -1.0], [2.0, 0.5]], scale_tril=TRIANGLES),
        _student_t,
        marginals=lambda df, loc, factor: [
            st.t(df, m, np.sqrt(v)) for m, v in zip(loc, np.diag(factor @ factor.T), strict=True)
        ],
    ),
    normal_case(
        dist.CirculantNormal,
        batch(
            loc=[[0.3, -1.0, 2.0, 0.1], [2.0, 0.5, 1.0, 0.0]],
            covariance_row=[[2.0, 0.5, 0.1, 0.5], [1.0, -0.2, 0.3, -0.2]],
        ),
        lambda loc, row: normal(loc, sl.circulant(row)),
    ),
    normal_case(
        dist.CirculantNormal,
        batch(loc=[[0.3, -1.0, 2.0], [2.0, 0.5, 1.0]], covariance_rfft=[[2.0, 0.5], [1.0, 1.7]]),
        lambda loc, rfft: normal(loc, sl.circulant(np.fft.irfft(rfft, 3))),
    ),
    normal_case(
        dist.ZeroSumNormal,
        batch(scale=[1.5, 0.2]),
        _zero_sum,
        static={"event_shape": (2, 3)},
        lacks=frozenset({"infer_shapes"}),
    ),
    normal_case(
        dist.GaussianRandomWalk,
        batch(scale=[1.5, 0.2]),
        lambda scale, num_steps: normal(
            np.zeros(num_steps), scale**2 * np.minimum.outer(*2 * [np.arange(1.0, num_steps + 1)])
        ),
        static={"num_steps": 4},
        lacks=frozenset({"infer_shapes"}),
    ),
    normal_case(
        state_space,
        batch(
            transition_matrix=[[[0.5, 0.2], [-0.3, 0.9]], [[0.1, 0.0], [0.4, 1.1]]],
            scale_tril=TRIANGLES,
            initial_value=[[0.3, -1.0], [2.0, 0.5]],
        ),
        lambda matrix, factor, start, num_steps: _state_space(matrix, factor @ factor.T, start, num_steps),
        static={"num_steps": 3},
        lacks=frozenset({"infer_shapes"}),
    ),
    Case(
        euler_maruyama,
        batch(t=[[0.0, 0.5, 0.6], [1.0, 1.5, 2.5]], loc=[[0.3, -1.0], [2.0, 0.5]]),
        _euler_maruyama,
        lacks=frozenset({"mean", "variance", "entropy", "infer_shapes"}),
    ),
    *(
        normal_case(
            dist.CAR,
            batch(
                loc=[[0.3, -1.0, 2.0, 0.0], [2.0, 0.5, 1.0, 0.0]],
                correlation=[0.7, -0.9],
                conditional_precision=[1.5, 0.4],
                **more,
            ),
            _car,
            static=static,
            lacks=lacks,
        )
        for more, static, lacks in [
            ({"adj_matrix": [PATH, 1 - np.eye(4)]}, {}, frozenset()),
            ({}, {"adj_matrix": ss.csr_matrix(PATH), "is_sparse": True}, frozenset({"infer_shapes"})),
        ]
    ),
    # on matrices
    normal_case(
        dist.MatrixNormal,
        batch(
            loc=[[[0.3, -1.0], [2.0, 0.0]], [[2.0, 0.5], [1.0, 0.3]]],
            scale_tril_row=TRIANGLES,
            scale_tril_column=TRIANGLES[::-1],
        ),
        _matrix_normal,
    ),
    Case(
        dist.Wishart,
        batch(concentration=[2.5, 9.0], scale_matrix=SQUARES),
        st.wishart,
        marginals=lambda nu, scale: [st.chi2(nu, 0, scale[0, 0])],
    ),
    Case(
        dist.InverseWishart,
        batch(concentration=[6.5, 12.0], scale_matrix=SQUARES),
        _inverse_wishart,
        marginals=lambda nu, scale: [st.invgamma((nu - 1) / 2, 0, scale[0, 0] / 2)],
    ),
    Case(
        dist.WishartCholesky,
        batch(concentration=[2.5, 9.0], scale_tril=TRIANGLES),
        lambda nu, factor: _of_factor(st.wishart(nu, factor @ factor.T)),
        marginals=lambda nu, factor: [st.chi(nu, 0, factor[0, 0])],
    ),
    Case(
        dist.InverseWishartCholesky,
        batch(concentration=[7.5, 12.0], scale_tril=TRIANGLES),
        lambda nu, factor: _of_factor(st.invwishart(nu, factor @ factor.T)),
        marginals=lambda nu, factor: [
            SimpleNamespace(cdf=lambda x: st.invgamma((nu - 1) / 2, 0, factor[0, 0] ** 2 / 2).cdf(x**2))
        ],
    ),
]
