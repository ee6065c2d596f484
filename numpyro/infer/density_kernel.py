"""Kernels of a density over a flat vector that are not HMC.

A kernel says what it is called, and makes an :class:`Algorithm`, two pure functions over a flat vector; the rest (the
model, starting points, constrained draws, compiled programs) is in :mod:`numpyro.infer.mcmc`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

import jax.numpy as jnp

from numpyro._errors import UsageError
from numpyro._typing import Array, ArrayLike, Key, PyTree
from numpyro.infer.mcmc.model_kernel import ModelKernel
from numpyro.infer.mcmc.target import Data, Point, Target, TargetSampler
from numpyro.infer.model import Layout, ModelView

Evaluate = Callable[[Array], Point]
"""From a flat vector to a :class:`Point`; with a leading axis, under ``jax.vmap``."""


class Algorithm(Protocol):
    """How a chain goes on, over flat vectors; compares equal, as a frozen dataclass does, where programs are the same.

    :param tuning: run-time settings, any pytree.
    """

    def init(self, evaluate: Evaluate, tuning: PyTree, start: Point, rng_key: Key) -> Any:
        """The state of a chain that starts at ``start``."""

    def step(self, evaluate: Evaluate, tuning: PyTree, state: Any) -> Any:
        """The next state."""


class DensitySampler(TargetSampler):
    """The programs of an algorithm for one target."""

    def evaluate(self, data: Data) -> Evaluate:
        evaluate = self.potential_and_grad(data)
        return lambda flat: Point(flat, *evaluate(flat))


class DensityKernel(ModelKernel):
    """A kernel that samples the continuous latent sites of a model, or a ``potential_fn``, by an :class:`Algorithm`.

    The parameters are those of :class:`~numpyro.infer.mcmc.model_kernel.ModelKernel`.
    """

    flat_fields: tuple[str, ...] = ("z",)
    with_gradient: bool = False

    @abstractmethod
    def algorithm(self, layout: Layout, num_warmup: int) -> tuple[Algorithm, PyTree]:
        """What runs over flat vectors of this layout, and its run-time settings."""

    def _view(self, model_args: tuple, model_kwargs: dict) -> ModelView:
        view = super()._view(model_args, model_kwargs)
        if not view.latent:
            raise UsageError(f"{type(self).__name__} needs a model with latent sites, and this one has none to sample.")
        return view

    def sampler_of(self, target: Target, num_warmup: int) -> DensitySampler:
        layout = Layout(target.prototype)
        algorithm, tuning = self.algorithm(layout, num_warmup)
        return DensitySampler(
            "density",
            algorithm,
            layout,
            tuning,
            target,
            flat_fields=self.flat_fields,
            with_gradient=self.with_gradient,
        )


def running_mean(mean: Array, value: Array, i: Array, num_warmup: ArrayLike) -> Array:
    """The mean of a statistic since warm-up began or, later, since it ended, after iteration ``i``."""
    count = jnp.where(i < num_warmup, i + 1, i + 1 - num_warmup).astype(mean.dtype)
    return mean + (value - mean) / count
