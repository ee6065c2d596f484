"""Inverse mass matrices from draws and gradients, by minimising the Fisher divergence.

A linear change of variables :math:`z = \\mu + \\Sigma^{1/2} x` is best for sampling where :math:`x` is nearly standard
normal. Measured by the Fisher divergence between the posterior, pulled back, and :math:`N(0, I)`,

.. math::

    F(\\mu, \\Sigma) = E \\left\\| \\Sigma^{1/2}\\, \\nabla \\log \\pi(z) + \\Sigma^{-1/2} (z - \\mu) \\right\\|^2 ,

it depends on the draws and their gradients through their covariances :math:`C_z` and :math:`C_g` alone, and is
smallest where

.. math::

    \\Sigma\\, C_g\\, \\Sigma = C_z ,

the geometric mean of :math:`C_z` and :math:`C_g^{-1}` (Seyboldt, Carlson & Carpenter, arXiv 2603.18845). Among diagonal
matrices the best is :math:`\\Sigma_{ii} = \\sqrt{\\operatorname{Var} z_i / \\operatorname{Var} g_i}`. For a normal
posterior the gradients are a linear function of the draws, and a few draws more than there are dimensions determine
:math:`\\Sigma` exactly, however badly they are spread.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from numpyro._typing import Array
from numpyro.infer.chain_axis import mean_over_chains, number_of_chains


def fisher_diagonal(draw_variance: Array, grad_variance: Array) -> Array:
    """:math:`\\sqrt{\\operatorname{Var} z / \\operatorname{Var} g}`, elementwise, without overflow between the two."""
    return jnp.sqrt(draw_variance) / jnp.sqrt(grad_variance)


def geometric_mean(draw_covariance: Array, grad_covariance: Array) -> Array:
    """The positive definite :math:`\\Sigma` with :math:`\\Sigma\\, C_g\\, \\Sigma = C_z`.

    With Cholesky's :math:`C_g = L L^\\top` it is :math:`\\Sigma = L^{-\\top} (L^\\top C_z L)^{1/2} L^{-1}`. Where the
    posterior is nearly normal and :math:`C_z` nearly the inverse of :math:`C_g`, the matrix under the root is nearly
    the identity, however badly conditioned either is.
    """
    factor = jnp.linalg.cholesky(grad_covariance)
    inner = factor.T @ draw_covariance @ factor
    values, vectors = jnp.linalg.eigh(0.5 * (inner + inner.T))
    # Sigma = W W^T for W = L^{-T} Q values^{1/4}
    root = vectors * jnp.maximum(values, 0.0) ** 0.25
    half = solve_triangular(factor, root, lower=True, trans=1)
    return half @ half.T


FIRST_GRADIENT_RANGE = (1e-2, 1e15)
"""Beyond these a gradient says nothing of the scale: at modes, in flat directions, and where a density breaks down."""


def first_inverse(grad: Array, *, pooled: bool) -> Array:
    """A diagonal to start from: :math:`1 / |g|` at the first position.

    Far in the tails of a posterior its gradient says how fast the density changes and hence how long a step may be.
    With ``pooled``, :math:`|g|` is the geometric mean over the chains.
    """
    size = jnp.clip(jnp.abs(grad), *FIRST_GRADIENT_RANGE)
    if pooled and number_of_chains() > 1:
        size = jnp.exp(mean_over_chains(jnp.log(size)))
    return 1.0 / size
