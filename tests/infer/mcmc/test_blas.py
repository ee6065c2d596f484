"""Small factorisations have one thread while a run lasts, and the library is left as it was."""

from __future__ import annotations

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg  # noqa: F401  (loads the library)
from threadpoolctl import threadpool_info

import numpyro
import numpyro.distributions as dist
from numpyro.infer import MCMC, NUTS
from numpyro.infer.mcmc.blas import LARGE, one_thread_for_factors
from numpyro.infer.program import Program


def threads():
    return {
        library["filepath"]: library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"
    }


@pytest.mark.parametrize(
    ("rows", "at_once", "limited"), [(0, 4, False), (100, 1, True), (LARGE, 1, False), (LARGE, 2, True)]
)
def test_the_limit_holds_where_it_helps(rows, at_once, limited):
    before = threads()
    with one_thread_for_factors(rows, at_once):
        assert threads() == (dict.fromkeys(before, 1) if limited else before)
    assert threads() == before


def test_other_threads_leave_the_library_alone():
    before, seen = threads(), []

    def work():
        with one_thread_for_factors(10, 1):
            seen.append(threads())

    other = threading.Thread(target=work)
    other.start()
    other.join()
    assert seen == [before] and threads() == before


def test_a_run_with_a_covariance_matrix_has_the_limit_and_others_do_not():
    seen = []

    class Looking(NUTS):
        def get_diagnostics_str(self, state):
            seen.append(threads())
            return ""

    def gaussian_process():
        scale = numpyro.sample("scale", dist.HalfNormal(1.0))
        covariance = scale * jnp.eye(5) + 0.1
        numpyro.sample("y", dist.MultivariateNormal(jnp.zeros(5), covariance_matrix=covariance), obs=np.zeros(5))

    def plain():
        numpyro.sample("x", dist.Normal(0.0, 1.0))

    for model, limited in ((gaussian_process, True), (plain, False)):
        before = threads()
        seen.clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("numpyro.infer.mcmc.progress.is_shown", lambda: True)
            MCMC(Looking(model), num_warmup=5, num_samples=5).run(jax.random.key(0))
        assert seen and all(found == (dict.fromkeys(before, 1) if limited else before) for found in seen)
        assert threads() == before


def test_the_rows_of_the_largest_factor():
    def solve(matrix, vector):
        factor = jax.lax.fori_loop(0, 3, lambda i, m: jnp.linalg.cholesky(m + i * jnp.eye(7)), matrix)
        return jax.scipy.linalg.solve_triangular(factor, vector, lower=True)

    assert Program(solve, jnp.eye(7), jnp.ones(7)).largest_factor() == 7
    assert Program(lambda x: x @ x, jnp.eye(7)).largest_factor() == 0
    assert Program(lambda x: x @ x, jnp.eye(7)).largest_product() == 49
