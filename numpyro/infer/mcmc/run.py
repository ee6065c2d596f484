"""One run: from a kernel, keys and data to draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import Key, PyTree
from numpyro.infer.mcmc.chains import Driver, Phase, run_separately, run_together, stack_chains
from numpyro.infer.mcmc.engine import Chains, Programs, buffer_rows, compile_programs
from numpyro.infer.mcmc.kernel import MCMCKernel, speaks_for
from numpyro.infer.mcmc.progress import Progress, is_shown
from numpyro.infer.mcmc.sampler import KernelSampler, Sampler
from numpyro.infer.program import in_jit, is_traced

Result = tuple[PyTree, dict[str, PyTree]]


@dataclass(frozen=True)
class ChainRun:
    """How to run; see :class:`~numpyro.infer.MCMC` for the settings.

    :param fields: the fields to record, the sample field first.
    :param excluded: sites that are left out of the draws.
    :param phases: the stretches of iterations.
    :param progress: whether to show progress, and the iterations between updates.
    """

    kernel: MCMCKernel
    num_warmup: int
    num_chains: int
    chain_method: str | Callable
    postprocess_fn: Callable[[PyTree], PyTree] | None
    fields: tuple[str, ...]
    excluded: frozenset[str]
    phases: list[Phase]
    progress: tuple[bool, int | None]

    def __call__(
        self, rng_key: Key, batched_keys: bool, args: tuple, kwargs: dict[str, Any], init_params: PyTree, state: PyTree
    ) -> Result:
        """Run.

        :param batched_keys: ``rng_key`` has one key for each chain.
        :param state: the state to go on from; ``None`` to start anew.
        :returns: the last state, with a leading axis of chains where there are several, and the recorded fields, each
            with two leading axes, chains and draws.
        """
        traced = is_traced((rng_key, args, kwargs, init_params, state)) or in_jit()
        chains = self._chains(traced)
        # From here on every per-chain argument has a leading axis, for a single chain too.
        if self.num_chains == 1:
            init_params = _add_axis(init_params)
            state = state if chains is Chains.ENSEMBLE else _add_axis(state)
        keys = rng_key if batched_keys else None
        one_key = rng_key[0] if batched_keys else rng_key
        one_params = _first(init_params)

        if state is not None:
            state = self._with_keys(state, one_key, keys, chains)

        sampler = None
        if speaks_for(self.kernel):
            sampler = self.kernel.sampler(
                self.num_warmup, one_params, args, kwargs, rng_key=one_key, postprocess_fn=self.postprocess_fn
            )
        if sampler is not None:
            one_state = jax.eval_shape(sampler.init, sampler.data, one_key, one_params)
        else:
            if state is None:
                state = self._init_by_protocol(one_key, keys, args, kwargs, init_params, chains)
            one_state = state if chains is Chains.ENSEMBLE else _first(state)
            sampler = KernelSampler(self.kernel, args, kwargs, one_state, self.postprocess_fn)

        host = not traced and not self._is_mapped
        rows = self._rows(sampler, one_state, host, chains)
        programs = compile_programs(sampler, self.fields, rows, chains, self.excluded, top_level=host)
        if self._is_mapped:
            return self._run_mapped(programs, sampler, keys, one_key, init_params, state)
        if chains is Chains.SEPARATE:
            indices = range(self.num_chains)
            if state is not None:
                states = [_at(state, c) for c in indices]
            else:
                init = [(one_key, np.int32(c)) if keys is None else (keys[c], None) for c in indices]
                states = [programs.init(sampler.data, *init[c], _at(init_params, c)) for c in indices]
                self._check_starts(sampler, states)
            return self._run_separately(programs, sampler.data, states)
        if state is None:
            order = np.arange(self.num_chains, dtype=np.int32)
            state = programs.init(sampler.data, *((one_key, order) if keys is None else (keys, None)), init_params)
            self._check_starts(sampler, [_at(state, c) for c in range(self.num_chains)])
        driver = self._driver(programs, 1)
        last, draws = run_together(driver, sampler.data, state, self._bars(state)[0])
        return (_first(last) if self.num_chains == 1 and chains is Chains.BATCHED else last), draws

    @property
    def _is_mapped(self) -> bool:
        return callable(self.chain_method) and self.num_chains > 1

    def _chains(self, traced: bool) -> Chains:
        if self.kernel.is_ensemble_kernel:
            if self.num_chains > 1 and self.chain_method != "vectorized":
                raise UsageError(
                    f"{type(self.kernel).__name__} advances its chains as one ensemble: use chain_method='vectorized'."
                )
            return Chains.ENSEMBLE
        together = self.chain_method == "vectorized" or (traced and self.chain_method == "parallel")
        return Chains.BATCHED if together and self.num_chains > 1 else Chains.SEPARATE

    def _with_keys(self, state: PyTree, one_key: Key, keys: Key | None, chains: Chains) -> PyTree:
        """The state to go on from, with the keys of this run; a lone chain takes the run's key as its own."""
        if "rng_key" not in getattr(state, "_fields", ()):
            return state
        if chains is Chains.ENSEMBLE:
            return state._replace(rng_key=one_key)
        if keys is None:
            keys = _add_axis(one_key) if self.num_chains == 1 else self._split(one_key)
        return state._replace(rng_key=keys)

    def _split(self, one_key: Key) -> Key:
        """A key for each chain."""
        return jax.vmap(jax.random.fold_in, (None, 0))(one_key, jnp.arange(self.num_chains))

    def _init_by_protocol(
        self, one_key: Key, keys: Key | None, args: tuple, kwargs: dict[str, Any], init_params: PyTree, chains: Chains
    ) -> PyTree:
        """First states by the kernel's own ``init``, with a leading axis of chains."""
        if keys is None:
            keys = self._split(one_key)
        if chains is Chains.ENSEMBLE:
            return self.kernel.init(keys, self.num_warmup, init_params, args, kwargs)
        states = [
            self.kernel.init(keys[chain], self.num_warmup, _at(init_params, chain), args, kwargs)
            for chain in range(self.num_chains)
        ]
        return jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *states)

    def _rows(self, sampler: Sampler, one_state: PyTree, host: bool, chains: Chains) -> int:
        """The rows of a chunk's buffers: a fixed number, or all draws where the run is one program in a trace."""
        if not host:
            return max(1, *(phase.plan.rows for phase in self.phases))
        recorded = jax.eval_shape(lambda state: sampler.fields(state, self.fields), one_state)
        if chains is Chains.ENSEMBLE:
            return buffer_rows(recorded)
        return buffer_rows((recorded, jax.eval_shape(sampler.postprocess, sampler.data, recorded[self.fields[0]])))

    def _check_starts(self, sampler: Sampler, states: list[PyTree]) -> None:
        for state in states:
            if not is_traced(state):
                sampler.check_start(state)

    def _driver(self, programs: Programs, draw_axis: int) -> Driver:
        return Driver(programs, self.phases, draw_axis, self.kernel.get_diagnostics_str)

    def _bars(self, state: PyTree, count: int = 1) -> Sequence[Progress | None]:
        if is_traced(state):
            return [None] * count
        wanted, rate = self.progress
        shown = wanted and is_shown()
        total = sum(phase.plan.iterations for phase in self.phases)
        num_warmup = self.num_warmup if len(self.phases) > 1 or self.phases[0].plan.rows == 0 else 0
        labels = [f"chain {chain + 1} " for chain in range(count)] if count > 1 else [""]
        return [Progress(shown, total, num_warmup, line, label, rate) for line, label in enumerate(labels)]

    def _run_separately(self, programs: Programs, data: PyTree, states: list[PyTree]) -> Result:
        bars = self._bars(states, len(states))
        parallel = self.chain_method == "parallel" and len(states) > 1 and not is_traced(states)
        last, draws = run_separately(self._driver(programs, 0), data, states, bars, parallel=parallel)
        together = last[0] if self.num_chains == 1 else jax.tree.map(jnp.asarray, stack_chains(last))
        return together, stack_chains(draws)

    def _run_mapped(
        self,
        programs: Programs,
        sampler: Sampler,
        keys: Key | None,
        one_key: Key,
        init_params: PyTree,
        state: PyTree,
    ) -> Result:
        """Hand the run of one chain, in one piece, to a callable chain method."""
        if keys is None:
            keys = self._split(one_key)
        driver = self._driver(programs, 0)

        def run_one(arguments: tuple) -> Result:
            key, params, chain_state = arguments
            if chain_state is None:
                chain_state = programs.init(sampler.data, key, None, params)
            return driver.advance(sampler.data, chain_state, None)

        if not callable(self.chain_method):
            raise TypeError("the chain method is no callable")
        last, draws = self.chain_method(run_one)((keys, init_params, state))
        if not is_traced(draws):
            self._check_starts(sampler, [_at(last, c) for c in range(self.num_chains)])
        return last, draws


def _first(tree: PyTree) -> PyTree:
    return _at(tree, 0)


def _at(tree: PyTree, chain: int) -> PyTree:
    return jax.tree.map(lambda leaf: _concrete(leaf)[chain], tree)


def _add_axis(tree: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: _concrete(leaf)[None], tree)


def _concrete(leaf: Any) -> Any:
    """A NumPy array where that can be had: taking pieces of one compiles nothing."""
    if is_traced(leaf) or jax.dtypes.issubdtype(jnp.result_type(leaf), jax.dtypes.prng_key):
        return leaf
    return np.asarray(leaf)
