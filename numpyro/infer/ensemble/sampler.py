"""What ensemble samplers have in common: halves that are moved in turn, each given the other."""

from __future__ import annotations

import copy
import warnings
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import Array, Key, PyTree
from numpyro.infer.density_kernel import DensityKernel
from numpyro.infer.ensemble.moves import Mixture
from numpyro.infer.foreign_kernel import FindStart
from numpyro.infer.initialization import init_to_uniform
from numpyro.infer.mcmc.sampler import Sampler
from numpyro.infer.model import Layout
from numpyro.infer.one_kernel import compute_in_one_kernel, one_at_run_time
from numpyro.util import find_stack_level, is_prng_key

LEAST_CHAINS = 4
"""Two chains in each half, so that there are differences between chains."""


class EnsembleSamplerState(NamedTuple):
    """The state of all chains.

    - **z** - their positions, with a leading axis of chains.
    - **inner_state** - what the kernel keeps besides.
    - **rng_key** - the key of the next iteration.
    - **potential_energy** - minus the log density of each position; ``None`` to have it computed at each iteration.
    """

    z: PyTree
    inner_state: Any
    rng_key: Key
    potential_energy: Array | None = None


class Walkers(NamedTuple):
    """Some of the chains: flat positions of shape ``(n, D)``, and their potential energies, of shape ``(n,)``."""

    z: Array
    potential_energy: Array


class EnsembleSampler(DensityKernel):
    """A kernel that advances all chains as one ensemble, without gradients.

    It needs ``chain_method="vectorized"`` and an even number of chains, at least 4 and better twice the dimension or
    more: chains move within what the others span.

    :param model: a model; its continuous latent sites are sampled. Give it, or ``potential_fn``.
    :param potential_fn: the potential energy, a function of a pytree of unconstrained arrays.
    :param randomize_split: part the chains into random halves at each iteration; otherwise the halves stay.
    :param init_strategy: how starting values are found, see :mod:`numpyro.infer.initialization`.
    :raises ValueError: when not exactly one of ``model`` and ``potential_fn`` is given.
    """

    _mixture: Mixture
    _evaluate: Callable[[Array], Array] | None = None

    def __init__(
        self,
        model: Callable | None = None,
        potential_fn: Callable[[PyTree], Array] | None = None,
        *,
        randomize_split: bool,
        init_strategy: Callable = init_to_uniform,
    ) -> None:
        super().__init__(model, potential_fn, init_strategy)
        self._randomize_split = bool(randomize_split)

    @property
    def is_ensemble_kernel(self) -> bool:
        return True

    @abstractmethod
    def init_inner_state(self, rng_key: Key) -> Any:
        """What the kernel keeps besides positions, at the start; a named tuple with a field ``rng_key``."""

    @abstractmethod
    def update_active_chains(self, active: Walkers, inactive: Array, inner_state: Any) -> tuple[Walkers, Any]:
        """Move the active chains, given the flat positions of the others, which stay; ``inner_state.rng_key`` is fresh
        at each iteration, and is to be handed on fresh."""

    def begin_iteration(self, inner_state: Any) -> Any:
        """What the kernel keeps, before an iteration."""
        return inner_state

    def end_iteration(self, inner_state: Any) -> Any:
        """What the kernel keeps, after an iteration."""
        return inner_state

    def potential_energies(self, z: Array) -> Array:
        """The potential energies of flat positions of shape ``(n, D)``, for :meth:`update_active_chains`."""
        if self._evaluate is None:
            raise UsageError("potential energies are known within `sample` only, which has the model's arguments.")
        return self._evaluate(z)

    def algorithm(self, layout: Layout, num_warmup: int) -> tuple[FindStart, PyTree]:
        return FindStart(), ()

    def sampler(self, *args: Any, **kwargs: Any) -> Sampler | None:
        """None: all chains at once are advanced by :meth:`sample`."""
        return None

    def init(
        self,
        rng_key: Key,
        num_warmup: int,
        init_params: PyTree = None,
        model_args: tuple = (),
        model_kwargs: dict | None = None,
    ) -> EnsembleSamplerState:
        """The first state of all chains.

        :param rng_key: one key for each chain.
        :param init_params: unconstrained values to start from, with a leading axis of chains.
        """
        name = type(self).__name__
        number = 1 if is_prng_key(rng_key) else int(np.shape(rng_key)[0])
        if number == 1:
            raise UsageError(f"{name} only supports chain_method='vectorized' with num_chains > 1.")
        if number % 2 or number < LEAST_CHAINS:
            raise UsageError(
                f"Number of chains must be even, and at least {LEAST_CHAINS}, for {name} to part them into halves; got "
                f"num_chains={number}."
            )
        starts = super().init(rng_key, num_warmup, init_params, model_args, model_kwargs)
        dimension = sum(int(np.prod(np.shape(leaf)[1:])) for leaf in jax.tree.leaves(starts.z))
        if number < 2 * dimension:
            warnings.warn(
                f"{name} moves its chains along lines that other chains span: take num_chains to be at least twice the "
                f"number of dimensions, which is {dimension}; got num_chains={number}.",
                UserWarning,
                stacklevel=find_stack_level(),
            )
        state_key, inner_key = jax.random.split(jax.random.fold_in(rng_key[0], number))
        return EnsembleSamplerState(starts.z, self.init_inner_state(inner_key), state_key, starts.potential_energy)

    def sample(
        self, state: EnsembleSamplerState, model_args: tuple = (), model_kwargs: dict | None = None
    ) -> EnsembleSamplerState:
        """The next state of all chains."""
        one = jax.tree.map(lambda leaf: leaf[0], state.z)
        target = self.target(one, model_args, model_kwargs or {}, jax.random.PRNGKey(0))
        layout = Layout(one)
        bound = copy.copy(self)
        bound._evaluate = jax.vmap(lambda flat: jnp.asarray(target.potential(target.data, layout.unravel(flat))))

        z = jax.vmap(layout.ravel)(state.z)
        energies = bound._evaluate(z) if state.potential_energy is None else state.potential_energy
        rng_key, order_key, inner_key = compute_in_one_kernel(
            lambda rng_key: tuple(jax.random.split(rng_key, 3)), one_at_run_time(state.rng_key), state.rng_key
        )
        walkers, inner = bound._advance(
            Walkers(z, energies), order_key, self.begin_iteration(state.inner_state._replace(rng_key=inner_key))
        )
        return EnsembleSamplerState(
            jax.vmap(layout.unravel)(walkers.z),
            self.end_iteration(inner),
            rng_key,
            None if state.potential_energy is None else walkers.potential_energy,
        )

    def _advance(self, walkers: Walkers, order_key: Key, inner: Any) -> tuple[Walkers, Any]:
        """One half given the other, then that one given the first as it then is; chains keep their places."""
        number = walkers.z.shape[0]
        order = None
        if self._randomize_split:
            order = jax.random.permutation(order_key, number)
            walkers = jax.tree.map(lambda leaf: leaf[order], walkers)
        first, second = (Walkers(*(leaf[part] for leaf in walkers)) for part in _halves(number))
        first, inner = self.update_active_chains(first, second.z, inner)
        second, inner = self.update_active_chains(second, first.z, inner)
        walkers = jax.tree.map(lambda *halves: jnp.concatenate(halves), first, second)
        if order is not None:
            back = jnp.argsort(order)
            walkers = jax.tree.map(lambda leaf: leaf[back], walkers)
        return walkers, inner

    def refresh(self, state: EnsembleSamplerState, model_args: tuple, model_kwargs: dict) -> EnsembleSamplerState:
        one = jax.tree.map(lambda leaf: leaf[0], state.z)
        programs = self.programs(0, one, model_args, model_kwargs)
        evaluate = programs.potential_and_grad(programs.data)
        energies = jax.vmap(lambda z: evaluate(programs.layout.ravel(z))[0])(state.z)
        return state._replace(potential_energy=energies)


def _halves(number: int) -> tuple[slice, slice]:
    return slice(0, number // 2), slice(number // 2, number)
