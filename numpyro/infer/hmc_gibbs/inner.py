"""Kernels around HMC: what they ask of their inner kernel, and what they hand on to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpyro._errors import UsageError
from numpyro.infer.hmc import HMC
from numpyro.infer.mcmc.sampler_kernel import SamplerKernel


def check_inner_kernel(algorithm: str, inner_kernel: Any) -> None:
    """Raise where the inner kernel is not HMC or NUTS of a model."""
    if not isinstance(inner_kernel, HMC):
        raise UsageError(
            f"{algorithm}: inner_kernel must be an HMC or NUTS sampler, such as NUTS(model), got "
            f"{type(inner_kernel).__name__}."
        )
    if inner_kernel.model is None:
        raise UsageError(
            f"{algorithm} does not support models specified via a potential function; give the inner kernel a model."
        )


class AroundHMC(SamplerKernel):
    """A kernel that does something beside HMC, and whose state has a field ``hmc_state``.

    :param inner_kernel: HMC or NUTS of a model.
    :raises ValueError: for an inner kernel of another kind.
    """

    def __init__(self, inner_kernel: HMC) -> None:
        check_inner_kernel(type(self).__name__, inner_kernel)
        self._inner_kernel = inner_kernel

    @property
    def model(self) -> Callable | None:
        """The model."""
        return self._inner_kernel.model

    @property
    def inner_kernel(self) -> HMC:
        """The kernel of the continuous latent sites."""
        return self._inner_kernel

    @property
    def default_fields(self) -> tuple[str, ...]:
        return ("z",)

    @property
    def pools_chains(self) -> bool:
        return self._inner_kernel.pools_chains

    def get_diagnostics_str(self, state: Any) -> str:
        return self._inner_kernel.get_diagnostics_str(state.hmc_state)

    def remaining_warmup(self, state: Any) -> int:
        return self._inner_kernel.remaining_warmup(state.hmc_state)
