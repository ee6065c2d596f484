r"""Pathfinder: the posterior approximated by normal distributions along paths of optimisation.

On its way to a mode L-BFGS sees how the gradient changes, and so how the log density curves. At each point of the path
this makes a normal approximation; the one with the highest evidence lower bound is kept. Several paths find several
modes, and importance resampling of their draws puts them together. It costs some hundreds of gradients, and gives
approximate draws, or starting points for chains.

The parts: ``inverse_hessian``, the covariance from differences of positions and gradients, and draws by it; ``path``,
one path; ``pathfinder`` and ``start``, the public faces :class:`Pathfinder` and :data:`init_to_pathfinder`.

**Reference:** Zhang, Carpenter, Gelman & Vehtari, *Pathfinder: parallel quasi-Newton variational inference*, JMLR 23
(2022).
"""

from numpyro.infer.pathfinder.pathfinder import Pathfinder
from numpyro.infer.pathfinder.start import PathfinderStart, init_to_pathfinder

__all__ = ["Pathfinder", "PathfinderStart", "init_to_pathfinder"]
