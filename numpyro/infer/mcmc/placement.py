"""How chains lie on devices: all in one place, or spread over the devices of this process or of several.

With several devices chains are a leading axis that is sharded over them. Each device advances its own chains and
waits for no other, since a chunk has no communication. In a multi-process run (``jax.distributed``) every process
calls the same programs, so what depends on a process's clock or signals is agreed on first.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from numpyro._typing import PyTree
from numpyro.infer.mcmc.recorder import is_key, to_host
from numpyro.infer.mcmc.settings import thread_settings

CHAINS = "chains"


class Placement:
    """Chains in one place: the device that JAX computes on."""

    mesh: Mesh | None = None

    def place(self, state: PyTree) -> PyTree:
        """A state of all chains, as the programs take it."""
        return state

    def placed_shapes(self, shapes: PyTree) -> PyTree:
        """The shapes of what :meth:`place` makes of a state."""
        return shapes

    def place_data(self, data: PyTree) -> PyTree:
        """Data for all chains, as the programs take them."""
        return data

    def fetch(self, leaf: Any) -> Any:
        """An array with a leading axis of chains, in host memory."""
        return to_host(leaf)

    def agree(self, limit: int, stopped: bool) -> tuple[int, bool]:
        """The length of the next chunk, and whether to stop, for all processes."""
        return limit, stopped


ONE_PLACE = Placement()


class Sharded(Placement):
    """Chains dealt out to devices: equally many for each, the last ones repeated where they do not come out even.

    A repeated chain costs no time, since its device would wait for the others; it is dropped when draws are fetched.
    """

    def __init__(self, num_chains: int) -> None:
        devices = jax.devices()
        # In a run of several processes all devices take part, so that each process has a share.
        if jax.process_count() == 1:
            devices = devices[:num_chains]
        self.num_chains = num_chains
        self.per_device = -(-num_chains // len(devices))
        self.mesh = self._mesh = Mesh(np.array(devices), (CHAINS,))
        self._order = np.arange(len(devices) * self.per_device) % num_chains

    def place(self, state: PyTree) -> PyTree:
        return jax.tree.map(lambda leaf: self._put(_words(leaf)[self._order], PartitionSpec(CHAINS), like=leaf), state)

    def placed_shapes(self, shapes: PyTree) -> PyTree:
        count = len(self._order)
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((count, *leaf.shape[1:]), leaf.dtype), shapes)

    def place_data(self, data: PyTree) -> PyTree:
        return jax.tree.map(lambda leaf: self._put(_words(leaf), PartitionSpec(), like=leaf), data)

    def _put(self, array: np.ndarray, spec: PartitionSpec, *, like: Any) -> Any:
        placed = jax.make_array_from_callback(array.shape, NamedSharding(self._mesh, spec), lambda index: array[index])
        return jax.random.wrap_key_data(placed, impl=jax.random.key_impl(like)) if _holds_keys(like) else placed

    def fetch(self, leaf: Any) -> Any:
        if is_key(leaf):
            return jax.random.wrap_key_data(self.fetch(jax.random.key_data(leaf)), impl=jax.random.key_impl(leaf))
        if not leaf.is_fully_addressable:
            from jax.experimental import multihost_utils

            leaf = multihost_utils.process_allgather(leaf, tiled=True)
        return np.asarray(leaf)[: self.num_chains]

    def agree(self, limit: int, stopped: bool) -> tuple[int, bool]:
        if jax.process_count() == 1:
            return limit, stopped
        from jax.experimental import multihost_utils

        everywhere = np.asarray(multihost_utils.process_allgather(np.array([limit, stopped], np.int32)))
        return int(everywhere[0, 0]), bool(everywhere[:, 1].any())


def _holds_keys(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and is_key(leaf)


def _words(leaf: Any) -> np.ndarray:
    """The numbers of an array, of keys too, in host memory."""
    return np.asarray(jax.random.key_data(leaf) if _holds_keys(leaf) else leaf)


def several_devices() -> bool:
    """Whether chains can be dealt out: there are several devices, and the user has chosen none of them."""
    return thread_settings()["default_device"] is None and jax.device_count() > 1
