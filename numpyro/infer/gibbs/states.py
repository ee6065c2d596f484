"""The states of kernels that move sites in turn."""

from __future__ import annotations

from typing import Any, NamedTuple

from numpyro._typing import Array, Key


class GibbsState(NamedTuple):
    """The state of :class:`~numpyro.infer.gibbs.Gibbs`.

    - **z** - the values of all latent sites: unconstrained where HMC moves them, else as the model has them.
    - **block_states** - the state of each block.
    - **rng_key** - the key of the next iteration.
    """

    z: dict[str, Any]
    block_states: tuple[Any, ...]
    rng_key: Key


class DiscreteGibbsState(NamedTuple):
    """The state of :class:`~numpyro.infer.gibbs.DiscreteGibbs`.

    - **z** - the values of the discrete sites.
    - **potential_energy** - minus the log density there.
    - **rng_key** - the key of the next iteration.
    """

    z: dict[str, Any]
    potential_energy: Array
    rng_key: Key


class CustomGibbsState(NamedTuple):
    """The state of :class:`~numpyro.infer.gibbs.CustomGibbs`.

    - **z** - the values of its sites.
    - **rng_key** - the key of the next iteration.
    """

    z: dict[str, Any]
    rng_key: Key


GibbsState.__module__ = DiscreteGibbsState.__module__ = CustomGibbsState.__module__ = "numpyro.infer.gibbs"
