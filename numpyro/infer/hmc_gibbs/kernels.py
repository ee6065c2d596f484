"""HMC or NUTS for continuous sites, with Gibbs sampling of the others."""

from __future__ import annotations

from collections.abc import Sequence

from numpyro.infer.gibbs import CustomGibbs, DiscreteGibbs, Gibbs, GibbsState, GibbsUpdateFn
from numpyro.infer.hmc import HMC, HMCState
from numpyro.infer.hmc_gibbs.inner import check_inner_kernel


class HMCGibbsState(GibbsState):
    """The state of :class:`HMCGibbs` and :class:`DiscreteHMCGibbs`: a :class:`~numpyro.infer.gibbs.GibbsState`.

    - **z** - the values of all latent sites: unconstrained where HMC moves them, else as the model has them.
    - **block_states** - the state of the Gibbs block, and that of HMC.
    - **rng_key** - the key of the next iteration.
    """

    __slots__ = ()

    @property
    def hmc_state(self) -> HMCState:
        """The state of HMC, the last of the blocks."""
        return self.block_states[-1]


class HMCGibbs(Gibbs):
    """HMC or NUTS for some sites and a function of the user's for the others.

    In each iteration ``gibbs_fn`` draws its sites given the others, then HMC moves the others given these. Discrete
    sites that are marked ``infer={"enumerate": "parallel"}`` are summed out; ``gibbs_fn`` is not given them.

    :param inner_kernel: HMC or NUTS of a model.
    :param gibbs_fn: a function called by keyword with ``rng_key``, ``gibbs_sites`` (the present values of the sites
        that it draws) and ``hmc_sites`` (the constrained values of all others); it returns new values of its sites, and
        should leave their conditional distribution invariant. See :class:`~numpyro.infer.gibbs.GibbsUpdateFn`.
    :param gibbs_sites: the sites that ``gibbs_fn`` draws, discrete or continuous.
    :raises ValueError: for an inner kernel of another kind, and where the sites are not latent ones of the model.

    >>> import jax, jax.numpy as jnp, numpyro, numpyro.distributions as dist
    >>> from numpyro.infer import MCMC, NUTS, HMCGibbs
    >>> def model():
    ...     x = numpyro.sample("x", dist.Normal(0.0, 2.0))
    ...     y = numpyro.sample("y", dist.Normal(0.0, 2.0))
    ...     numpyro.sample("obs", dist.Normal(x + y, 1.0), obs=1.0)
    >>> def gibbs_fn(rng_key, gibbs_sites, hmc_sites):
    ...     return {"x": dist.Normal(0.8 * (1 - hmc_sites["y"]), 0.8**0.5).sample(rng_key)}
    >>> mcmc = MCMC(HMCGibbs(NUTS(model), gibbs_fn, ["x"]), num_warmup=100, num_samples=100, progress_bar=False)
    >>> mcmc.run(jax.random.key(0))
    >>> mcmc.get_samples()["x"].shape
    (100,)
    """

    _make_state = HMCGibbsState

    def __init__(self, inner_kernel: HMC, gibbs_fn: GibbsUpdateFn, gibbs_sites: Sequence[str]) -> None:
        check_inner_kernel("HMCGibbs", inner_kernel)
        super().__init__([(CustomGibbs(gibbs_fn), gibbs_sites), (inner_kernel, None)])


class DiscreteHMCGibbs(Gibbs):
    """HMC or NUTS for continuous sites and Gibbs sampling of discrete sites of finite support.

    In each iteration every element of every discrete site is moved once, in random order, then HMC moves the
    continuous sites given these. Discrete sites that are marked ``infer={"enumerate": "parallel"}`` are summed out
    instead.

    :param inner_kernel: HMC or NUTS of a model.
    :param random_walk: propose a value uniformly from the support, in place of drawing from the conditional
        distribution: one evaluation of the density for each element, in place of one for each value.
    :param modified: propose other values than the present one only (Liu 1996).
    :raises ValueError: for an inner kernel of another kind and, when a chain starts, for a model without discrete
        latent sites or with supports that are not finite.

    **Reference:** J. S. Liu, *Peskun's theorem and a modified discrete-state Gibbs sampler* (1996).

    >>> import jax, jax.numpy as jnp, numpyro, numpyro.distributions as dist
    >>> from numpyro.infer import MCMC, NUTS, DiscreteHMCGibbs
    >>> def model():
    ...     c = numpyro.sample("c", dist.Categorical(jnp.array([0.2, 0.3, 0.5])))
    ...     numpyro.sample("x", dist.Normal(jnp.array([-1.0, 0.0, 1.0])[c], 1.0))
    >>> mcmc = MCMC(DiscreteHMCGibbs(NUTS(model), modified=True), num_warmup=100, num_samples=100, progress_bar=False)
    >>> mcmc.run(jax.random.key(0))
    >>> sorted(mcmc.get_samples())
    ['c', 'x']
    """

    _make_state = HMCGibbsState

    def __init__(self, inner_kernel: HMC, *, random_walk: bool = False, modified: bool = False) -> None:
        check_inner_kernel("DiscreteHMCGibbs", inner_kernel)
        discrete = DiscreteGibbs(inner_kernel.model, random_walk=random_walk, modified=modified)  # type: ignore[arg-type]
        super().__init__([(discrete, None), (inner_kernel, None)])


HMCGibbsState.__module__ = HMCGibbs.__module__ = DiscreteHMCGibbs.__module__ = "numpyro.infer.hmc_gibbs"
