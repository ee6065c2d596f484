"""What a user's update of sites looks like."""

from __future__ import annotations

from typing import Any, Protocol

from numpyro._typing import Key


class GibbsUpdateFn(Protocol):
    """A function that draws some sites given the others.

    It is called by keyword with ``rng_key``, a key; ``gibbs_sites``, the present values of the sites that it draws; and
    ``hmc_sites``, the (constrained) values of all other latent sites. It returns a dictionary with the new values of
    its sites, and must be traceable by JAX.
    """

    def __call__(self, *, rng_key: Key, gibbs_sites: dict[str, Any], hmc_sites: dict[str, Any]) -> dict[str, Any]: ...


GibbsUpdateFn.__module__ = "numpyro.infer.gibbs"
