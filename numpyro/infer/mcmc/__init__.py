"""Markov chain Monte Carlo: what runs a kernel.

In reading order:

1. ``kernel``: :class:`MCMCKernel`, the protocol of kernels;
2. ``sampler``: the pure functions behind a kernel, which the engine advances;
3. ``engine``: chunks, the compiled programs that advance a chain by many iterations;
4. ``schedule``: what a run does; ``driver``: how chains go through it, chunk by chunk, to an ``ending``; ``recorder``:
   where draws go;
5. ``placement``: chains on several devices; ``progress``, ``interrupt``, ``stopping``: what happens between chunks;
   ``store``: the run on disk; ``resuming``: what it keeps of a run's settings;
6. ``work``: where chains begin and which programs advance them; ``run``: all of it put together;
7. ``arguments``, ``results``: what users give and get; ``chains``: the axis of chains;
   ``mcmc``: :class:`MCMC`, the public face.
"""

from numpyro.infer.mcmc.kernel import MCMCKernel
from numpyro.infer.mcmc.mcmc import MCMC
from numpyro.infer.mcmc.recorder import StoreError
from numpyro.infer.mcmc.stopping import Until

__all__ = ["MCMC", "MCMCKernel", "StoreError", "Until"]
