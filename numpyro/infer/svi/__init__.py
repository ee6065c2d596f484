"""Stochastic variational inference: an optimiser descends an objective of a model and a guide.

In reading order: ``params``, the parameters of a model and a guide and the spaces they live in; ``loop``, many steps in
chunks of one compiled program; ``svi``, :class:`SVI`.
"""

from numpyro.infer.svi.svi import SVI, SVIRunResult, SVIState

__all__ = ["SVI", "SVIRunResult", "SVIState"]
