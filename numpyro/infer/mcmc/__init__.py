"""Markov chain Monte Carlo: what runs a kernel.

In reading order:

1. ``kernel``: :class:`MCMCKernel`, the protocol of kernels;
2. ``sampler``: the pure functions behind a kernel, which the engine advances;
3. ``engine``: chunks, the compiled programs that advance a chain by many iterations;
4. ``chains``: many chunks, many chains; ``progress``: what is shown meanwhile;
5. ``mcmc``: :class:`MCMC`, the public face.
"""

from numpyro.infer.mcmc.kernel import MCMCKernel
from numpyro.infer.mcmc.mcmc import MCMC

__all__ = ["MCMC", "MCMCKernel"]
