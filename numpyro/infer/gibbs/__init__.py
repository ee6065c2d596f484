"""Gibbs sampling: kernels that move the sites of a model in turn, each given the others.

In reading order:

1. ``conditioning``: the sites of a model by their kinds, and models with some of their sites given;
2. ``density``: the joint density that all blocks share, and where a chain starts;
3. ``sweep``: moves of discrete values by their finite supports;
4. ``blocks``: what a kernel does to its sites given the others, as programs; ``sampler``: the blocks in turn;
5. ``programs``: kernels that are their sampler; ``kernels``: :class:`Gibbs`, :class:`DiscreteGibbs` and
   :class:`CustomGibbs`.

Let :math:`U` be minus the log density of all sites together, those that HMC moves in their unconstrained values. Each
block leaves :math:`e^{-U}` invariant with the values of the other sites fixed, and so does one block after another.
"""

from numpyro.infer.gibbs.conditioning import (
    GIBBS_SITES_KWARG,
    ModelWrapper,
    SiteSelector,
    SitesSpec,
    any_changed,
    conditioned,
    discrete_latent_sites,
    discrete_support_sizes,
    latent_sample_sites,
    prototype_trace,
    subsample_plate_sizes,
    with_conditioning,
)
from numpyro.infer.gibbs.kernels import CustomGibbs, DiscreteGibbs, Gibbs
from numpyro.infer.gibbs.states import CustomGibbsState, DiscreteGibbsState, GibbsState
from numpyro.infer.gibbs.sweep import ProposalFn, discrete_gibbs_sweep, select_discrete_proposal
from numpyro.infer.gibbs.update_fn import GibbsUpdateFn

__all__ = [
    "GIBBS_SITES_KWARG",
    "CustomGibbs",
    "CustomGibbsState",
    "DiscreteGibbs",
    "DiscreteGibbsState",
    "Gibbs",
    "GibbsState",
    "GibbsUpdateFn",
    "ModelWrapper",
    "ProposalFn",
    "SiteSelector",
    "SitesSpec",
    "any_changed",
    "conditioned",
    "discrete_gibbs_sweep",
    "discrete_latent_sites",
    "discrete_support_sizes",
    "latent_sample_sites",
    "prototype_trace",
    "select_discrete_proposal",
    "subsample_plate_sizes",
    "with_conditioning",
]
