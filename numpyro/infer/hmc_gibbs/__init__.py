"""HMC or NUTS together with moves of what they cannot move: discrete sites, sites of a user's, and subsamples of data.

1. ``kernels``: :class:`HMCGibbs` and :class:`DiscreteHMCGibbs`, which are two blocks of Gibbs sampling each;
2. ``likelihood``: the likelihood of a subsample, row by row; ``proxies``: what stands for that of all rows;
3. ``ecs``: :class:`HMCECS`, with the subsample as a part of the chain's state.
"""

from numpyro.infer.hmc_gibbs.ecs import HMCECS, HMCECSState
from numpyro.infer.hmc_gibbs.kernels import DiscreteHMCGibbs, HMCGibbs, HMCGibbsState
from numpyro.infer.hmc_gibbs.likelihood import estimate_likelihood
from numpyro.infer.hmc_gibbs.proxies import taylor_proxy

__all__ = [
    "HMCECS",
    "DiscreteHMCGibbs",
    "HMCECSState",
    "HMCGibbs",
    "HMCGibbsState",
    "estimate_likelihood",
    "taylor_proxy",
]
