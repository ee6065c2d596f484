"""Stochastic variational inference: an optimiser descends an objective of a model and a guide.

In reading order:

1. ``params``: the parameters of a model and a guide and the spaces they live in;
2. ``loop``: many steps in chunks of one compiled program; ``batches``: steps that take a batch of data each;
3. ``watch``: callbacks, the rule that ends a run early, the best params so far; ``checkpoint``: a run on disk;
   ``diagnosis``: which site made a loss infinite;
4. ``run``: one run, with all of these; ``svi``: :class:`SVI`.
"""

from numpyro.infer.svi.diagnosis import NonFiniteError
from numpyro.infer.svi.svi import SVI, SVIRunResult, SVIState
from numpyro.infer.svi.watch import EarlyStopping, SVIProgress

__all__ = ["SVI", "EarlyStopping", "NonFiniteError", "SVIProgress", "SVIRunResult", "SVIState"]
