"""Divide, conquer, combine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import logsumexp

from numpyro._typing import Array, Key, PyTree
from numpyro.contrib.stochastic_support.branches import StochasticSupportInference
from numpyro.infer.hmc import NUTS
from numpyro.infer.mcmc import MCMC
from numpyro.infer.model import Layout, ModelView

MOST_CENTRES = 1000
"""The most draws around which proposals are made."""


class DCCResult(NamedTuple):
    """What :meth:`DCC.run` returns.

    - **samples** - draws of each program, by its name: the values of its branching sites, joined by commas.
    - **slp_weights** - the probability of each program given the data.
    """

    samples: dict[str, dict[str, PyTree]]
    slp_weights: dict[str, Array]


class DCC(StochasticSupportInference):
    """Divide, conquer, combine: a Markov chain in each program, and weights by importance sampling.

    The evidence of a program is estimated from proposals around the draws :math:`x_1, \\dots, x_N` of its chains, in
    unconstrained space,

    .. math::

        \\hat Z = \\frac1N \\sum_n \\frac{p(x'_n, y)}{\\frac1N \\sum_m N(x'_n; x_m, s^2 V)}, \\qquad
        x'_n \\sim N(x_n, s^2 V),

    with the variances :math:`V` of the draws.

    :param model: a model with branching sites, ``infer={"branching": True}``; see
        :mod:`numpyro.contrib.stochastic_support`.
    :param mcmc_kwargs: arguments of :class:`~numpyro.infer.MCMC`.
    :param kernel_cls: a class of kernels that takes a model; :class:`~numpyro.infer.NUTS` by default.
    :param num_slp_samples: how often the model is drawn from to find its programs.
    :param max_slps: how many programs are taken, those found most often first.
    :param proposal_scale: :math:`s`, the scale of proposals in units of the draws' standard deviations.
    :raises ValueError: if a number is not positive.

    **Reference:** Y. Zhou, H. Yang, Y. W. Teh, T. Rainforth, *Divide, conquer, and combine: a new inference strategy
    for probabilistic programs with stochastic support* (2020).

    >>> import jax, numpyro, numpyro.distributions as dist
    >>> from numpyro.contrib.stochastic_support import DCC
    >>> def model():
    ...     many = numpyro.sample("many", dist.Bernoulli(0.5), infer={"branching": True})
    ...     mean = numpyro.sample("mean", dist.Normal(0.0, 1.0)) if many == 0 else 2.0
    ...     numpyro.sample("y", dist.Normal(mean, 1.0), obs=2.0)
    >>> dcc = DCC(model, mcmc_kwargs={"num_warmup": 200, "num_samples": 500, "progress_bar": False},
    ...           num_slp_samples=20)
    >>> result = dcc.run(jax.random.key(0))
    >>> bool(0.6 < result.slp_weights["1"] < 0.9)
    True
    """

    def __init__(
        self,
        model: Callable,
        mcmc_kwargs: dict[str, Any],
        kernel_cls: Callable = NUTS,
        num_slp_samples: int = 1000,
        max_slps: int = 124,
        proposal_scale: float = 1.0,
    ) -> None:
        super().__init__(model, num_slp_samples, max_slps)
        if not proposal_scale > 0:
            raise ValueError(f"`proposal_scale` must be positive, got {proposal_scale}.")
        self.mcmc_kwargs, self.kernel_cls, self.proposal_scale = mcmc_kwargs, kernel_cls, proposal_scale

    def _infer(self, rng_key: Key, program: Callable, args: tuple, kwargs: dict) -> dict[str, PyTree]:
        if not ModelView(program, args, kwargs).latent:
            return {}
        mcmc = MCMC(self.kernel_cls(program), **self.mcmc_kwargs)
        mcmc.run(rng_key, *args, **kwargs)
        return mcmc.get_samples()

    def _log_weight(
        self, rng_key: Key, program: Callable, result: dict[str, PyTree], args: tuple, kwargs: dict
    ) -> Array:
        view = ModelView(program, args, kwargs)
        data = view.data(jax.random.PRNGKey(0))
        if not view.latent:
            return view.log_density(data, {})
        layout = Layout(view.prototype)
        draws = {name: jnp.asarray(result[name]) for name in view.latent}
        number = jax.tree.leaves(draws)[0].shape[0]
        chosen = np.linspace(0, number - 1, min(number, MOST_CENTRES)).astype(int)
        draws = {name: value[chosen] for name, value in draws.items()}

        @jax.jit
        def estimate(data: PyTree, draws: dict[str, Array], rng_key: Key) -> Array:
            centres = jax.vmap(lambda draw: layout.ravel(view.unconstrain(data, draw)))(draws)
            # A lone draw, or draws that do not move, have no variance: 1 stands in.
            spread = jnp.std(centres, 0)
            scale = self.proposal_scale * jnp.where(spread > 0, spread, 1.0)
            noise = jax.random.normal(rng_key, centres.shape, centres.dtype)
            proposals = centres + scale * noise

            def log_ratio(proposal: Array) -> Array:
                squares = jnp.sum(((proposal - centres) / scale) ** 2, -1)
                log_normal = -0.5 * squares - jnp.sum(jnp.log(scale)) - 0.5 * layout.size * np.log(2 * np.pi)
                log_proposal = logsumexp(log_normal) - np.log(len(chosen))
                return view.log_density(data, layout.unravel(proposal)) - log_proposal

            ratios = lax.map(log_ratio, proposals, batch_size=64)
            ratios = jnp.where(jnp.isnan(ratios), -jnp.inf, ratios)
            return logsumexp(ratios) - np.log(len(chosen))

        return estimate(data, draws, rng_key)

    def _result(self, results: dict[str, Any], weights: dict[str, Array]) -> DCCResult:
        return DCCResult(results, weights)


StochasticSupportInference.__module__ = "numpyro.contrib.stochastic_support.dcc"
