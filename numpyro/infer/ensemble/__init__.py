"""Ensemble samplers: many chains, each of which moves along lines that the others span.

The chains are parted into halves. Given the second half, the chains of the first are moved by a step that leaves the
posterior as it is and may depend on the second in any way; then the second is moved given the first *as it now is*. A
step needs no gradients and no tuning of scales or directions, since it is made of differences between chains.

In reading order:

1. ``moves``: where chains may go;
2. ``sampler``: the halves, :class:`EnsembleSampler`;
3. ``stretch``: :class:`AIES`, proposals that are accepted or not; ``slice``: :class:`ESS`, slices along lines.
"""

from numpyro.infer.ensemble.sampler import EnsembleSampler, EnsembleSamplerState, Walkers
from numpyro.infer.ensemble.slice import ESS, ESSState
from numpyro.infer.ensemble.stretch import AIES, AIESState

__all__ = ["AIES", "ESS", "AIESState", "ESSState", "EnsembleSampler", "EnsembleSamplerState", "Walkers"]

for _class in (AIES, ESS, AIESState, ESSState, EnsembleSampler, EnsembleSamplerState, Walkers):
    _class.__module__ = "numpyro.infer.ensemble"
