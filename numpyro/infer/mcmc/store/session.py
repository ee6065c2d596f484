"""A run's dealings with its store: to begin one, or to go on with one that is the same run's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from numpyro._typing import PyTree
from numpyro.infer.mcmc.engine import Chains, Plan
from numpyro.infer.mcmc.placement import Placement
from numpyro.infer.mcmc.recorder import StoreError
from numpyro.infer.mcmc.schedule import Schedule
from numpyro.infer.mcmc.store.fingerprint import Facts, describe_data, describe_key, describe_shapes, differences
from numpyro.infer.mcmc.store.processes import in_step, is_writer
from numpyro.infer.mcmc.store.recorder import StoreRecorder
from numpyro.infer.mcmc.store.run_store import RunStore
from numpyro.infer.mcmc.store.states import decode_state, encode_state
from numpyro.infer.mcmc.store.variables import Variables

if TYPE_CHECKING:
    from numpyro.infer.mcmc.work import Work


@dataclass(frozen=True)
class Session:
    """What a run and its store have in common.

    :param kernel: the name of the kernel, for messages.
    :param fingerprint: what makes the run the same run.
    :param template: the shapes of a lane's state, in host memory.
    :param variables: what is recorded.
    :param chains: the chains of each lane.
    :param schedule: what the run does.
    :param placement: where its chains lie.
    """

    kernel: str
    fingerprint: dict[str, Facts]
    template: PyTree
    variables: Variables
    chains: list[slice]
    schedule: Schedule
    placement: Placement

    @classmethod
    def of(cls, work: Work, kernel: str, fields: tuple[str, ...], schedule: Schedule) -> Session:
        """The session of a run that is about to begin or to go on; nothing is compiled or written.

        :param fields: the fields to record, the draw first.
        :raises ValueError: where one of them is of a type that a store has no place for.
        """
        single = work.chains is Chains.SEPARATE
        lanes = [slice(c, c + 1) for c in range(work.num_chains)] if single else [slice(0, work.num_chains)]
        template = work.one_state
        if work.chains in (Chains.BATCHED, Chains.SHARDED):
            template = jax.eval_shape(lambda s: jax.tree.map(lambda x: jnp.stack([x] * work.num_chains), s), template)
        template = jax.eval_shape(lambda state: jax.tree.map(jnp.asarray, state), template)

        placed = work.placement.placed_shapes(template)
        _, buffers = work.programs.chunk.eval_shape(work.sampler.data, placed, Plan(0, 0, 1))
        records = work.programs.finish.eval_shape(work.sampler.data, buffers)
        axes = 1 if single else 2
        shape_of = lambda leaf: jax.ShapeDtypeStruct(leaf.shape[axes:], leaf.dtype)
        variables = Variables({field: jax.tree.map(shape_of, records[field]) for field in fields})

        key, data = work.sampler.identity()
        settings, programs = describe_key(key)
        fingerprint = {
            "precision": {"jax_enable_x64": [str(jax.config.jax_enable_x64), ""]},  # type: ignore[attr-defined]
            "platform": {"the platform": [jax.default_backend(), ""]},
            "kernel": settings,
            "model": programs,
            "data": describe_data(data),
            "state": describe_shapes(template),
            "variables": variables.describe(),
        }
        return cls(kernel, fingerprint, template, variables, lanes, schedule, work.placement)

    def begin(self, path: Any, settings: dict[str, Any], states: list[PyTree]) -> StoreRecorder:
        """A new store for a run that begins with ``states``."""
        contents = [encode_state(0, self._host(state)) for state in states]
        about = {"settings": settings, "fingerprint": self.fingerprint, "kernel": self.kernel, "jax": jax.__version__}
        shape = (self.chains[-1].stop, self.schedule.draws)
        with in_step():
            if is_writer():
                store = RunStore.create(path, about, self.variables, shape, contents)
        if not is_writer():
            store = RunStore(path)
        return self._recorder(store, [0] * len(self.chains))

    def go_on(self, store: RunStore, settings: dict[str, Any]) -> tuple[list[PyTree], list[int], StoreRecorder]:
        """The states of a store's lanes, how many iterations they have done, and the recorder of what follows.

        :param settings: those of the run from now on.
        :raises StoreError: where another run writes to the store, or it is of another run, or damaged; it is left as
            it is, and not locked.
        """
        with in_step():
            if is_writer():
                store.lock()
        try:
            with in_step():
                store.require_unchanged()
                self._require_same_run(store)
                store.require_coordinates()
                states, done = self._read_states(store)
                committed = [self.schedule.drawn(count) for count in done]
                self._require_draws(store, committed)
            recorder = self._recorder(store, committed)
            with in_step():
                if is_writer():
                    store.begin_writing(self.variables, self.schedule.draws, settings)
                    store.show(self.variables, *recorder.shape)
        except BaseException:
            store.unlock()
            raise
        return states, done, recorder

    def _require_same_run(self, store: RunStore) -> None:
        about = store.about
        different = differences(about["fingerprint"], self.fingerprint)
        if not different:
            return
        if about["kernel"] != self.kernel:
            different.append(f"its kernel is {about['kernel']}, and not {self.kernel}")
        if about["jax"] != jax.__version__:
            different.append(f"it was made with JAX {about['jax']}, this is {jax.__version__}")
        raise StoreError(f"This run cannot go on with the store '{store.path}': {'; '.join(different)}.")

    def _read_states(self, store: RunStore) -> tuple[list[PyTree], list[int]]:
        states, done = [], []
        for lane in range(store.num_lanes):
            try:
                count, state = decode_state(store.read_state(lane), self.template)
            except ValueError as error:
                raise StoreError(f"The store '{store.path}' is damaged: the state of lane {lane}: {error}.") from error
            states.append(state)
            done.append(count)
        return states, done

    def _require_draws(self, store: RunStore, committed: list[int]) -> None:
        """Read all draws that are to be there, those of chains that are ahead too, for their checksums."""
        store.make_room(self.variables, self.schedule.draws, writable=False)
        for chains, draws in zip(self.chains, committed):
            for variable in self.variables:
                store.read(variable, chains, draws)

    def _recorder(self, store: RunStore, committed: list[int]) -> StoreRecorder:
        together = jax.process_count() > 1
        return StoreRecorder(store, self.variables, self.chains, committed, self._host, together=together)

    def _host(self, state: PyTree) -> PyTree:
        return state if len(self.chains) > 1 else jax.tree.map(self.placement.fetch, state)
