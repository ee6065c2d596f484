"""Probabilistic programming on JAX: models are Python functions, handlers give them meanings, inference runs compiled.

The statements of models are here (``numpyro.sample``, ``numpyro.plate``, ...); everything else is in submodules, each
imported when it is first asked for: :mod:`numpyro.distributions`, :mod:`numpyro.infer`, :mod:`numpyro.handlers`,
:mod:`numpyro.diagnostics`, :mod:`numpyro.optim`, :mod:`numpyro.util`, and others.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from numpyro._util.xla_flags import set_xla_flags
from numpyro.distributions.distribution import enable_validation, validation_enabled
from numpyro.primitives import (
    deterministic,
    factor,
    get_mask,
    module,
    param,
    plate,
    plate_stack,
    prng_key,
    sample,
    subsample,
)
from numpyro.util import enable_x64, set_host_device_count, set_platform

__version__ = "1.0.0"

set_xla_flags()

__all__ = [
    "__version__",
    "deterministic",
    "enable_validation",
    "enable_x64",
    "factor",
    "get_mask",
    "module",
    "param",
    "plate",
    "plate_stack",
    "prng_key",
    "render_model",
    "sample",
    "set_host_device_count",
    "set_platform",
    "subsample",
    "validation_enabled",
]


def __getattr__(name: str) -> Any:
    """Import a submodule on first use, so that ``import numpyro`` stays light."""
    if name == "render_model":
        return importlib.import_module(f"{__name__}.infer.inspect").render_model
    path = f"{__name__}.{name}"
    if not name.startswith("_"):
        try:
            return importlib.import_module(path)
        except ModuleNotFoundError as error:
            if error.name != path:
                raise
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    submodules = (found.name for found in pkgutil.iter_modules(__path__) if not found.name.startswith("_"))
    return sorted({*globals(), *submodules})
