"""Proxies for :class:`~numpyro.infer.HMCECS`: approximations of the log likelihood of every row of the data."""

from numpyro.infer.hmc_gibbs.proxies import (
    TaylorOneProxyState,
    TaylorTwoProxyState,
    block_update,
    perturbed_method,
    taylor_proxy,
)

__all__ = ["TaylorOneProxyState", "TaylorTwoProxyState", "block_update", "perturbed_method", "taylor_proxy"]
