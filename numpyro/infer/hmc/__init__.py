"""Hamiltonian Monte Carlo and the No-U-Turn sampler.

In reading order:

1. ``metric``: the kinetic energy, diagonal, dense or in blocks;
2. ``integrator``: the leapfrog step;
3. ``trajectory``: plain HMC's trajectory of a fixed length;
4. ``nuts``: the trajectory that ends where it turns back;
5. ``state``, ``transition``: the state of a chain, and one iteration: momentum, trajectory, adaptation;
6. ``sampler``: the programs that the engine runs, over a flat vector;
7. ``kernel``, ``functional``: the public faces, :class:`HMC`, :class:`NUTS` and :func:`hmc`.
"""

from numpyro.infer.hmc.functional import hmc, momentum_generator
from numpyro.infer.hmc.kernel import HMC, NUTS
from numpyro.infer.hmc.state import HMCAdaptState, HMCState

__all__ = ["HMC", "NUTS", "HMCAdaptState", "HMCState", "hmc", "momentum_generator"]
