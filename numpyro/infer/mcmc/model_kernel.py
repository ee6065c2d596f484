"""Kernels of the continuous latent sites of a model, or of a potential energy: what all of them have in common."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import Array, Key, PyTree
from numpyro.infer.chain_axis import CHAIN_AXIS
from numpyro.infer.initialization import init_to_uniform
from numpyro.infer.mcmc.arguments import position_of
from numpyro.infer.mcmc.kernel import MCMCKernel
from numpyro.infer.mcmc.sampler import Sampler
from numpyro.infer.mcmc.target import Target, TargetSampler
from numpyro.infer.model import ModelView
from numpyro.infer.program import compiled_programs
from numpyro.util import is_prng_key


class ModelKernel(MCMCKernel):
    """A kernel that samples the continuous latent sites of a model, or a ``potential_fn``.

    A subclass says how it samples a density (:meth:`sampler_of`); the model, starting points, constrained draws and
    compiled programs are here.

    :param model: a model; its continuous latent sites are sampled. Give it, or ``potential_fn``.
    :param potential_fn: the potential energy, a function of a pytree of unconstrained arrays.
    :param init_strategy: how starting values are found, see :mod:`numpyro.infer.initialization`.
    :param functions: other functions that a user may give, by the names of their arguments.
    :raises ValueError: when not exactly one of ``model`` and ``potential_fn`` is given.
    :raises TypeError: when what should be a function is not.
    """

    def __init__(
        self,
        model: Callable | None = None,
        potential_fn: Callable[[PyTree], Array] | None = None,
        init_strategy: Callable = init_to_uniform,
        **functions: Callable | None,
    ) -> None:
        if (model is None) == (potential_fn is None):
            raise ValueError("Only one of `model` or `potential_fn` must be specified.")
        given = {"model": model, "potential_fn": potential_fn, "init_strategy": init_strategy, **functions}
        for name, function in given.items():
            if function is not None and not callable(function):
                raise TypeError(f"`{name}` must be a function, got {type(function).__name__}.")
        self._model, self._potential_fn, self._init_strategy = model, potential_fn, init_strategy

    @property
    def model(self) -> Callable | None:
        """The model, or ``None``."""
        return self._model

    @property
    def sample_field(self) -> str:
        return "z"

    @abstractmethod
    def sampler_of(self, target: Target, num_warmup: int) -> TargetSampler:
        """The programs of a kernel with these settings for a density, be it that of a model or, as kernels have it
        that move a part of a model's sites, another."""

    # The model as this kernel sees it

    def _view(self, model_args: tuple, model_kwargs: dict) -> ModelView:
        if self._model is None:
            raise TypeError("this kernel was made from a potential_fn: it has no model")
        view = ModelView(self._model, model_args, model_kwargs)
        view.require_continuous(type(self).__name__)
        view.require_whole_plates(type(self).__name__)
        return view

    def get_potential_fn(self, model_args: tuple = (), model_kwargs: dict | None = None) -> Callable[[PyTree], Array]:
        """The potential energy as a function of unconstrained values."""
        if self._potential_fn is not None:
            return self._potential_fn
        view = self._view(model_args, model_kwargs or {})
        data = view.data(jax.random.PRNGKey(0))
        return lambda z: -view.log_density(data, z)

    def get_constrain_fn(  # type: ignore[override]
        self, model_args: tuple = (), model_kwargs: dict | None = None, *, return_deterministic: bool = False
    ) -> Callable[[PyTree], PyTree]:
        """A function that maps unconstrained values to constrained ones.

        :param return_deterministic: add the values of deterministic sites.
        """
        if self._potential_fn is not None:
            return lambda z: z
        view = self._view(model_args, model_kwargs or {})
        data = view.data(jax.random.PRNGKey(0))
        return lambda z: view.constrain(data, z, deterministic=return_deterministic)

    def postprocess_fn(self, model_args: tuple, model_kwargs: dict) -> Callable[[PyTree], PyTree]:
        return self.get_constrain_fn(model_args, model_kwargs, return_deterministic=True)

    def wrap_model(self, wrapper: Callable[[Callable], Callable]) -> Self:
        if self._model is None:
            raise ValueError("`wrap_model` needs a kernel with a model; this one was made from a potential_fn.")
        wrapped = copy.copy(self)
        wrapped._model = wrapper(self._model)
        return wrapped

    def target(self, init_params: PyTree, model_args: tuple, model_kwargs: dict, rng_key: Key) -> Target:
        """The density to sample, from the model or from the potential energy.

        :param init_params: a position, for its shapes; ``None`` to draw one from the model.
        :param rng_key: the key of what else the model draws.
        """
        if self._potential_fn is not None:
            if init_params is None:
                raise ValueError("Valid value of `init_params` must be provided with `potential_fn`.")
            for leaf in jax.tree.leaves(init_params):
                if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
                    raise TypeError(
                        f"`init_params` must hold real numbers, got {jnp.result_type(leaf)}: write 0.0 for 0."
                    )
            potential_fn = self._potential_fn
            return Target(init_params, (), lambda data, z: potential_fn(z), None, lambda data, z: z, None)
        view = self._view(model_args, model_kwargs)
        view.check_observations()
        if init_params is not None:
            _check_position(init_params, view.prototype)
        return Target(
            prototype=view.prototype,
            data=view.data(rng_key),
            potential=lambda data, z: -view.log_density(data, z),
            draw_initial=None
            if init_params is not None
            else lambda data, key: view.draw_initial(data, key, self._init_strategy),
            postprocess=lambda data, z: view.constrain(data, z, deterministic=True),
            view=view,
        )

    # The programs

    def sampler(
        self,
        num_warmup: int,
        init_params: PyTree,
        model_args: tuple,
        model_kwargs: dict,
        *,
        rng_key: Key | None = None,
        postprocess_fn: Callable[[PyTree], PyTree] | None = None,
    ) -> Sampler | None:
        return self.programs(
            num_warmup, init_params, model_args, model_kwargs, rng_key=rng_key, postprocess_fn=postprocess_fn
        )

    def programs(
        self,
        num_warmup: int,
        init_params: PyTree,
        model_args: tuple,
        model_kwargs: dict,
        *,
        rng_key: Key | None = None,
        postprocess_fn: Callable[[PyTree], PyTree] | None = None,
    ) -> TargetSampler:
        """The programs of this kernel for one chain; see :meth:`sampler`."""
        rng_key = jax.random.PRNGKey(0) if rng_key is None else rng_key
        target = self.target(init_params, model_args, model_kwargs, rng_key)
        if postprocess_fn is not None:
            finish = postprocess_fn
            target = target._replace(postprocess=lambda data, z: finish(z))
        return self.sampler_of(target, num_warmup)

    # The documented protocol

    def init(
        self,
        rng_key: Key,
        num_warmup: int,
        init_params: PyTree = None,
        model_args: tuple = (),
        model_kwargs: dict | None = None,
    ) -> Any:
        """The first state; with a batch of keys, a batch of states.

        :param init_params: unconstrained values to start from, with a leading axis like that of the keys.
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

        init = compiled_programs.get(("init", sampler.key, batched, init_params is None), build)
        state = init(sampler.data, rng_key, init_params)
        if not isinstance(state.potential_energy, jax.core.Tracer):
            sampler.check_start(state)
        return state

    def sample(self, state: Any, model_args: tuple = (), model_kwargs: dict | None = None) -> Any:
        """The next state."""
        sampler = self.programs(0, state.z, model_args, model_kwargs or {})
        return sampler.unpack(sampler.step(sampler.data, sampler.pack(state)))

    def refresh(self, state: Any, model_args: tuple, model_kwargs: dict) -> Any:
        """The state with the potential energy, and its gradient, computed anew at its position."""
        sampler = self.programs(0, state.z, model_args, model_kwargs or {})
        return sampler.refresh(sampler.data, state)


def _check_position(init_params: PyTree, prototype: dict[str, jax.ShapeDtypeStruct]) -> None:
    """Raise where ``init_params`` are not values of all latent sites in their unconstrained shapes."""
    if not isinstance(init_params, dict):
        raise UsageError(f"`init_params` must be a dictionary of values by site, got {type(init_params).__name__}.")
    missing, unknown = sorted(prototype.keys() - init_params), sorted(init_params.keys() - prototype)
    if missing or unknown:
        raise UsageError(
            f"`init_params` must have an unconstrained value for each latent site, {sorted(prototype)}; missing: "
            f"{missing}, unknown: {unknown}. To give some of them, use init_strategy=init_to_value(values=...)."
        )
    for name, expected in prototype.items():
        if np.shape(init_params[name]) != expected.shape:
            raise UsageError(
                f"`init_params` of site '{name}' must have its unconstrained shape {expected.shape}, "
                f"got {np.shape(init_params[name])}."
            )
