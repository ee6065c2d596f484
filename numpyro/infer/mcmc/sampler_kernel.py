"""Kernels that are their sampler: the documented protocol by the programs that the engine runs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import jax

from numpyro._typing import Key, PyTree
from numpyro.infer.chain_axis import CHAIN_AXIS
from numpyro.infer.mcmc.arguments import position_of
from numpyro.infer.mcmc.kernel import MCMCKernel
from numpyro.infer.mcmc.sampler import Sampler
from numpyro.infer.program import compiled_programs, is_traced
from numpyro.util import is_prng_key


class SamplerKernel(MCMCKernel):
    """A kernel whose methods are those of its programs, a :class:`~numpyro.infer.mcmc.sampler.Sampler`."""

    @property
    def sample_field(self) -> str:
        return "z"

    @abstractmethod
    def programs(
        self,
        num_warmup: int,
        init_params: PyTree,
        model_args: tuple,
        model_kwargs: dict,
        *,
        rng_key: Key | None = None,
        postprocess_fn: Callable[[PyTree], PyTree] | None = None,
    ) -> Any:
        """The programs of this kernel for one chain; see :meth:`sampler` for the arguments."""

    def sampler(self, *args: Any, **kwargs: Any) -> Sampler | None:
        return self.programs(*args, **kwargs)

    def init(
        self,
        rng_key: Key,
        num_warmup: int,
        init_params: PyTree = None,
        model_args: tuple = (),
        model_kwargs: dict | None = None,
    ) -> Any:
        """The first state; with a batch of keys, a batch of states.

        :param init_params: values of some or all latent sites to start from, in the form in which the state has them;
            with a leading axis like that of the keys.
        """
        init_params = position_of(init_params)
        batched = not is_prng_key(rng_key)
        one_params = jax.tree.map(lambda leaf: leaf[0], init_params) if batched else init_params
        one_key = rng_key[0] if batched else rng_key
        sampler = self.programs(num_warmup, one_params, model_args, model_kwargs or {}, rng_key=one_key)
        axes = (None, 0, None if init_params is None else 0)

        def build() -> Callable[..., Any]:
            init = sampler.without_data().init
            return jax.jit(jax.vmap(init, axes, axis_name=CHAIN_AXIS) if batched else init)

        init = compiled_programs.get(("init", sampler.key, batched, jax.tree.structure(init_params)), build)
        state = init(sampler.data, rng_key, init_params)
        if not is_traced(state):
            sampler.check_start(state)
        return state

    def sample(self, state: Any, model_args: tuple = (), model_kwargs: dict | None = None) -> Any:
        """The next state."""
        sampler = self._sampler_at(state, model_args, model_kwargs)
        return sampler.unpack(sampler.step(sampler.data, sampler.pack(state)))

    def refresh(self, state: Any, model_args: tuple, model_kwargs: dict) -> Any:
        sampler = self._sampler_at(state, model_args, model_kwargs)
        return sampler.refresh(sampler.data, state)

    def _sampler_at(self, state: Any, model_args: tuple, model_kwargs: dict | None) -> Any:
        key = jax.random.PRNGKey(0) if is_old_key(state.rng_key) else jax.random.key(0)
        return self.programs(0, None, model_args, model_kwargs or {}, rng_key=key)


def is_old_key(rng_key: Key) -> bool:
    """Whether a key is an array of words."""
    return not jax.dtypes.issubdtype(rng_key.dtype, jax.dtypes.prng_key)
