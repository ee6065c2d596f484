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
from numpyro.infer.initialization import init_to_uniform
from numpyro.infer.mcmc.sampler_kernel import SamplerKernel
from numpyro.infer.mcmc.target import Target, TargetSampler
from numpyro.infer.model import ModelView


class ModelKernel(SamplerKernel):
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
        rng_key = jax.random.PRNGKey(0) if rng_key is None else rng_key
        target = self.target(init_params, model_args, model_kwargs, rng_key)
        if postprocess_fn is not None:
            finish = postprocess_fn
            target = target._replace(postprocess=lambda data, z: finish(z))
        return self.sampler_of(target, num_warmup)

    def _sampler_at(self, state: Any, model_args: tuple, model_kwargs: dict | None) -> TargetSampler:
        return self.programs(0, state.z, model_args, model_kwargs or {})


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
