"""Tools that programs on NumPyro share: control flow, devices and precision, shape tables, progress bars."""

from __future__ import annotations

from numpyro._util.control_flow import cond, control_flow_prims_disabled, fori_loop, maybe_jit, while_loop
from numpyro._util.misc import identity, is_prng_key, nested_attrgetter, not_jax_tracer, optional
from numpyro._util.platform import enable_x64

__all__ = [
    "cond",
    "control_flow_prims_disabled",
    "enable_x64",
    "fori_loop",
    "identity",
    "is_prng_key",
    "maybe_jit",
    "nested_attrgetter",
    "not_jax_tracer",
    "optional",
    "while_loop",
]
