"""Tools that programs on NumPyro share: control flow, devices and precision, shape tables, progress bars."""

from __future__ import annotations

from numpyro._util.cache import cached_by
from numpyro._util.collect import fori_collect
from numpyro._util.control_flow import cond, control_flow_prims_disabled, fori_loop, maybe_jit, while_loop
from numpyro._util.misc import identity, is_prng_key, nested_attrgetter, not_jax_tracer, optional
from numpyro._util.platform import enable_x64, set_host_device_count, set_platform, set_rng_seed
from numpyro._util.progress import progress_bar_factory
from numpyro._util.shapes import check_model_guide_match, format_shapes
from numpyro._util.stack import find_stack_level
from numpyro._util.vectorize import soft_vmap

__all__ = [
    "cached_by",
    "check_model_guide_match",
    "cond",
    "control_flow_prims_disabled",
    "enable_x64",
    "find_stack_level",
    "fori_collect",
    "fori_loop",
    "format_shapes",
    "identity",
    "is_prng_key",
    "maybe_jit",
    "nested_attrgetter",
    "not_jax_tracer",
    "optional",
    "progress_bar_factory",
    "set_host_device_count",
    "set_platform",
    "set_rng_seed",
    "soft_vmap",
    "while_loop",
]
