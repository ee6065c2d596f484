"""ChEES-HMC: trajectories of one length for all chains, which chains that advance together learn from each other.

- ``algorithm``: an iteration, which asks the other chains through :mod:`numpyro.infer.chain_axis`;
- ``kernel``: settings and model.

The criterion by which lengths are learnt, and its ascent, is :mod:`numpyro.infer.adaptation.trajectory_length`; metric,
integrator and the adaptation of step size and mass matrix are those of :mod:`numpyro.infer.hmc`.
"""

from numpyro.infer.chees.algorithm import ChEESState
from numpyro.infer.chees.kernel import ChEES

__all__ = ["ChEES", "ChEESState"]

for _class in (ChEES, ChEESState):
    _class.__module__ = "numpyro.infer.chees"
