"""Effect handlers: other meanings for the statements of a model.

A handler wraps a model, or is entered as a context, and changes the messages that the statements within send
(:mod:`numpyro.primitives`): :class:`seed` provides random keys, :class:`trace` records, :class:`substitute` and
:class:`condition` set values, :class:`block` hides, and so on. They nest, and the outermost has the last word. Handlers
of one's own subclass :class:`numpyro.primitives.Messenger`.
"""

from numpyro.handlers.block import block
from numpyro.handlers.collapse import collapse
from numpyro.handlers.condition import condition
from numpyro.handlers.do import do
from numpyro.handlers.infer_config import infer_config
from numpyro.handlers.lift import lift
from numpyro.handlers.mask import mask
from numpyro.handlers.reparam import reparam
from numpyro.handlers.replay import replay
from numpyro.handlers.scale import scale
from numpyro.handlers.scope import scope
from numpyro.handlers.seed import seed
from numpyro.handlers.substitute import substitute
from numpyro.handlers.trace import trace
from numpyro.handlers.uncondition import uncondition
from numpyro.primitives import plate

__all__ = [
    "block",
    "collapse",
    "condition",
    "do",
    "infer_config",
    "lift",
    "mask",
    "plate",
    "reparam",
    "replay",
    "scale",
    "scope",
    "seed",
    "substitute",
    "trace",
    "uncondition",
]
