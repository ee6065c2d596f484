"""The statements of which models are made, and the handler stack that gives them their meaning.

A primitive such as :func:`sample` or :func:`param` writes what it is about into a *message*, a dictionary, and sends it
through the stack of active handlers (:func:`apply_stack`), which may change it, give it a value, or record it.

In reading order: ``stack`` (the stack, :class:`Messenger`, the way of a message), ``sites`` (sample, param,
deterministic, factor, ...), ``plates`` (:class:`plate`), ``checks`` (what can be wrong with a site).
"""

from numpyro._typing import CondIndepStackFrame
from numpyro.primitives.plates import plate, plate_stack
from numpyro.primitives.sites import (
    deterministic,
    factor,
    get_mask,
    module,
    mutable,
    param,
    prng_key,
    sample,
    subsample,
)
from numpyro.primitives.stack import _PYRO_STACK, Messenger, apply_stack, default_process_message

__all__ = [
    "_PYRO_STACK",
    "CondIndepStackFrame",
    "Messenger",
    "apply_stack",
    "default_process_message",
    "deterministic",
    "factor",
    "get_mask",
    "module",
    "mutable",
    "param",
    "plate",
    "plate_stack",
    "prng_key",
    "sample",
    "subsample",
]
