"""Kernels whose transitions come from another library: what it takes to run them on the engine."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from numpyro._typing import Array, Key, PyTree
from numpyro.infer.density_kernel import DensityKernel, Evaluate, Point
from numpyro.infer.mcmc.sampler import Sampler
from numpyro.infer.model import Layout
from numpyro.util import is_prng_key


class Start(NamedTuple):
    """Where a chain starts, and the potential energy there."""

    z: PyTree
    potential_energy: Array


@dataclass(frozen=True)
class FindStart:
    """An algorithm that finds where a chain starts, and stays there."""

    def init(self, evaluate: Evaluate, tuning: PyTree, start: Point, rng_key: Key) -> Start:
        return Start(start.z, start.potential)

    def step(self, evaluate: Evaluate, tuning: PyTree, state: Start) -> Start:
        return state


class ForeignKernel(DensityKernel):
    """A kernel that hands the log density of a flat vector to transitions from elsewhere."""

    def algorithm(self, layout: Layout, num_warmup: int) -> tuple[FindStart, PyTree]:
        return FindStart(), ()

    @abstractmethod
    def first_state(self, log_density: Callable[[Array], Array], z: Array, rng_key: Key) -> Any:
        """The state of a chain at ``z``, of which the field ``z`` is flat."""

    @abstractmethod
    def next_state(self, log_density: Callable[[Array], Array], state: Any) -> Any:
        """The next state."""

    def sampler(self, *args: Any, **kwargs: Any) -> Sampler | None:
        """None: the engine traces :meth:`sample`."""
        return None

    def _bind(self, z: PyTree, model_args: tuple, model_kwargs: dict) -> tuple[Callable[[Array], Array], Layout]:
        """The log density over flat vectors, and over batches of them of shape ``(..., D)``; and the layout."""
        target = self.target(z, model_args, model_kwargs, jax.random.PRNGKey(0))
        layout = Layout(z)

        def log_density(flat: Array) -> Array:
            if jnp.ndim(flat) > 1:
                return jax.vmap(log_density)(flat)
            return -jnp.asarray(target.potential(target.data, layout.unravel(flat)))

        return log_density, layout

    def init(
        self,
        rng_key: Key,
        num_warmup: int,
        init_params: PyTree = None,
        model_args: tuple = (),
        model_kwargs: dict | None = None,
    ) -> Any:
        start = super().init(rng_key, num_warmup, init_params, model_args, model_kwargs)
        batched = not is_prng_key(rng_key)
        one = jax.tree.map(lambda leaf: leaf[0], start.z) if batched else start.z
        log_density, layout = self._bind(one, model_args, model_kwargs or {})

        def first(z: PyTree, rng_key: Key) -> Any:
            state = self.first_state(log_density, layout.ravel(z), jax.random.fold_in(rng_key, 1))
            # Numbers of Python become arrays, and types that follow them firm, as they come back from a step.
            return jax.tree.map(_firm, state._replace(z=layout.unravel(state.z)))

        return (jax.vmap(first) if batched else first)(start.z, rng_key)

    def sample(self, state: Any, model_args: tuple = (), model_kwargs: dict | None = None) -> Any:
        """The next state."""
        log_density, layout = self._bind(state.z, model_args, model_kwargs or {})
        after = self.next_state(log_density, state._replace(z=layout.ravel(state.z)))
        after = after._replace(z=layout.unravel(after.z))
        return jax.tree.map(_like, state, after)

    def refresh(self, state: Any, model_args: tuple, model_kwargs: dict) -> Any:
        log_density, layout = self._bind(state.z, model_args, model_kwargs)
        fresh = self.first_state(log_density, layout.ravel(state.z), state.rng_key)
        return jax.tree.map(_firm, fresh._replace(z=state.z, rng_key=state.rng_key))


def _is_key(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _firm(leaf: Any) -> Any:
    return leaf if _is_key(leaf) else jnp.asarray(leaf, jax.dtypes.canonicalize_dtype(jnp.result_type(leaf)))


def _like(before: Any, after: Any) -> Any:
    return after if _is_key(after) else jnp.asarray(after).astype(before.dtype)
