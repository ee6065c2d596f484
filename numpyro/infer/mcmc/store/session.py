"""A run's dealings with its store: to begin one, or to go on with one that is the same run's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax

from numpyro._typing import PyTree
from numpyro.infer.mcmc.placement import Placement
from numpyro.infer.mcmc.recorder import StoreError
from numpyro.infer.mcmc.sampler import Sampler
from numpyro.infer.mcmc.schedule import Schedule
from numpyro.infer.mcmc.store.fingerprint import digest_data, digest_key
from numpyro.infer.mcmc.store.recorder import StoreRecorder
from numpyro.infer.mcmc.store.run_store import RunStore, decode_state, describe_state, encode_state
from numpyro.infer.mcmc.store.variables import Variables

_DIFFERENCES = {
    "precision": "it was made in another precision (jax_enable_x64)",
    "platform": "it was made on another platform, where the same run draws other numbers",
    "program": "it is of another model, other settings of the kernel, or other shapes of the data",
    "data": "it is of other data, or other values of the kernel's settings",
    "state": "the states of its chains have other shapes",
    "variables": "it records other sites or fields",
}


@dataclass(frozen=True)
class Session:
    """What a run and its store have in common.

    :param sampler: the sampler.
    :param template: the shapes of a lane's state, in host memory.
    :param shapes: the recorded fields, with the shapes of one draw.
    :param chains: the chains of each lane.
    :param schedule: what the run does.
    :param placement: where its chains lie.
    """

    sampler: Sampler
    template: PyTree
    shapes: dict[str, PyTree]
    chains: list[slice]
    schedule: Schedule
    placement: Placement

    def begin(self, path: Any, settings: dict[str, Any], states: list[PyTree]) -> StoreRecorder:
        """A new store for a run that begins with ``states``."""
        variables = Variables(self.shapes)
        shape = (self.chains[-1].stop, self.schedule.draws)
        if jax.process_index() == 0:
            about = {"settings": settings, "fingerprint": self._fingerprint(variables), "num_lanes": len(self.chains)}
            store = RunStore.create(path, about, variables, shape, [encode_state(0, self._host(s)) for s in states])
        self._wait_for_all()
        if jax.process_index() > 0:
            store = RunStore(path)
        return self._recorder(store, variables, [0] * len(self.chains))

    def go_on(self, store: RunStore) -> tuple[list[PyTree], list[int], StoreRecorder]:
        """The states of a store's lanes, how many iterations they have done, and the recorder of what follows.

        :raises StoreError: where the store is of another run, or damaged; it is left as it is.
        """
        variables = Variables(self.shapes)
        found, expected = store.about["fingerprint"], self._fingerprint(variables)
        different = [why for part, why in _DIFFERENCES.items() if found.get(part) != expected[part]]
        if different:
            if found["jax"] != expected["jax"]:
                different.append(f"it was made with JAX {found['jax']}, this is {expected['jax']}")
            raise StoreError(f"This run cannot go on with the store '{store.path}': {'; '.join(different)}.")
        if jax.process_index() == 0:
            store.require_coordinates()
        states, done = [], []
        for lane in range(store.num_lanes):
            try:
                count, state = decode_state(store.read_state(lane), self.template)
            except ValueError as error:
                raise StoreError(f"The store '{store.path}' is damaged: {error}.") from error
            states.append(state)
            done.append(count)
        committed = [self.schedule.drawn(count) for count in done]
        for chains, draws in zip(self.chains, committed):
            for variable in variables:
                store.read(variable, chains, draws)
        if jax.process_index() == 0:
            store.begin_writing(variables, self.schedule.draws)
        self._wait_for_all()
        recorder = self._recorder(store, variables, committed)
        if jax.process_index() == 0:
            store.show(variables, *recorder.shape)
        return states, done, recorder

    def _recorder(self, store: RunStore, variables: Variables, committed: list[int]) -> StoreRecorder:
        together = jax.process_count() > 1
        return StoreRecorder(store, variables, self.chains, committed, self._host, together=together)

    def _host(self, state: PyTree) -> PyTree:
        return state if len(self.chains) > 1 else jax.tree.map(self.placement.fetch, state)

    def _wait_for_all(self) -> None:
        if jax.process_count() > 1:
            from jax.experimental import multihost_utils

            multihost_utils.sync_global_devices("numpyro run store")

    def _fingerprint(self, variables: Variables) -> dict[str, Any]:
        key, data = self.sampler.identity()
        return {
            "precision": bool(jax.config.jax_enable_x64),  # type: ignore[attr-defined]
            "platform": jax.default_backend(),
            "jax": jax.__version__,
            "program": digest_key(key),
            "data": digest_data(data),
            "state": describe_state(self.template),
            "variables": variables.specification(),
        }
