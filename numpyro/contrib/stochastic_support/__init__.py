"""Models whose random choices decide which other choices there are.

A *branching* site, a discrete one that is declared with ``infer={"branching": True}``, may steer the Python code of a
model: other sites may exist for some of its values only. For fixed values of all branching sites a model is an ordinary
one, a *straight-line program*. Programs are found by drawing from the model, inference runs in each of them, and the
results are weighted with the probabilities of the programs given the data.

- ``branches``: finding programs;
- ``dcc``: :class:`DCC`, by Markov chains and importance sampling;
- ``sdvi``: :class:`SDVI`, by variational inference.
"""

from numpyro.contrib.stochastic_support.dcc import DCC
from numpyro.contrib.stochastic_support.sdvi import SDVI

__all__ = ["DCC", "SDVI"]
