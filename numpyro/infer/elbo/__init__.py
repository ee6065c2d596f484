"""Objectives of variational inference: lower bounds of the log evidence, estimated by draws from a guide.

For a guide :math:`q_\\phi(z)` and a model :math:`p_\\theta(x, z)`

.. math::

    \\operatorname{ELBO} = E_{q_\\phi(z)} [\\log p_\\theta(x, z) - \\log q_\\phi(z)] \\le \\log p_\\theta(x).

In reading order:

1. ``particles``: model and guide run together, and the mean over particles;
2. ``checks``: whether a model and a guide belong together;
3. ``base``: :class:`ELBO`, what an objective is;
4. ``trace``, ``mean_field``, ``renyi``: the objectives of draws that can be differentiated, or are few;
5. ``frames``: terms in different plates; ``dependencies``: which draws each term depends on; ``graph``: the objective
   that makes use of it; ``enumerated``: the objective that sums discrete sites out.
"""

from numpyro.infer.elbo.base import ELBO, LossWithMutableState
from numpyro.infer.elbo.dependencies import get_importance_log_probs, get_nonreparam_deps, guess_max_plate_nesting
from numpyro.infer.elbo.enumerated import TraceEnum_ELBO, get_importance_trace_enum
from numpyro.infer.elbo.frames import MultiFrameTensor
from numpyro.infer.elbo.graph import TraceGraph_ELBO
from numpyro.infer.elbo.mean_field import TraceMeanField_ELBO
from numpyro.infer.elbo.renyi import RenyiELBO
from numpyro.infer.elbo.trace import Trace_ELBO

__all__ = [
    "ELBO",
    "LossWithMutableState",
    "MultiFrameTensor",
    "RenyiELBO",
    "TraceEnum_ELBO",
    "TraceGraph_ELBO",
    "TraceMeanField_ELBO",
    "Trace_ELBO",
    "get_importance_log_probs",
    "get_importance_trace_enum",
    "get_nonreparam_deps",
    "guess_max_plate_nesting",
]
