"""HMC and NUTS as a pair of functions, for those who write their own loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
from jax.flatten_util import ravel_pytree

from numpyro._typing import Array, Key, PyTree
from numpyro.infer.adaptation import LowRankMatrix
from numpyro.infer.hmc.kernel import HMC, NUTS
from numpyro.infer.hmc.mass_matrix import DenseMass
from numpyro.infer.hmc.metric import LowRankMetric, MassMatrix
from numpyro.infer.hmc.state import HMCState


def hmc(
    potential_fn: Callable[[PyTree], Array] | None = None,
    potential_fn_gen: Callable[..., Callable[[PyTree], Array]] | None = None,
    kinetic_fn: Callable[[PyTree, PyTree], Array] | None = None,
    algo: str = "NUTS",
) -> tuple[Callable[..., HMCState], Callable[..., HMCState]]:
    """A pair ``(init_kernel, sample_kernel)``.

    :param potential_fn: the potential energy of a pytree of unconstrained arrays.
    :param potential_fn_gen: a function of the model's arguments that returns a ``potential_fn``; give it in place of
        ``potential_fn`` where the arguments are known only when the functions are called.
    :param kinetic_fn: a function ``(inverse_mass_matrix, r) -> scalar``; Euclidean by default.
    :param algo: ``"NUTS"`` or ``"HMC"``.
    :returns: ``init_kernel(init_params, num_warmup, ...)`` makes a first :class:`HMCState`; its further arguments are
        those of :class:`HMC` and :class:`NUTS`, with ``model_args``, ``model_kwargs`` and ``rng_key``.
        ``sample_kernel(hmc_state, model_args=(), model_kwargs=None)`` makes the next; it can be compiled and looped
        over.

    >>> import jax, numpyro
    >>> from numpyro.infer.hmc import hmc
    >>> init_kernel, sample_kernel = hmc(lambda z: 0.5 * (z["x"] - 1.0) ** 2, algo="NUTS")
    >>> state = init_kernel({"x": 0.0}, num_warmup=100, rng_key=jax.random.key(0))
    >>> step = jax.jit(sample_kernel)
    >>> for _ in range(100):
    ...     state = step(state)
    >>> bool(0.1 < state.adapt_state.step_size < 5)
    True
    """
    if algo not in ("HMC", "NUTS"):
        raise ValueError("`algo` must be one of `HMC` or `NUTS`.")
    if (potential_fn is None) == (potential_fn_gen is None):
        raise ValueError("Only one of `potential_fn` or `potential_fn_gen` must be specified.")
    settings: dict[str, Any] = {}

    def kernel(model_args: tuple, model_kwargs: dict | None) -> HMC:
        if not settings:
            raise ValueError("call `init_kernel` before `sample_kernel`: it sets the step size and the other options.")
        potential = potential_fn
        if potential_fn_gen is not None:
            potential = potential_fn_gen(*model_args, **(model_kwargs or {}))
        return (NUTS if algo == "NUTS" else HMC)(potential_fn=potential, kinetic_fn=kinetic_fn, **settings)

    def init_kernel(
        init_params: PyTree,
        num_warmup: int,
        step_size: float = 1.0,
        inverse_mass_matrix: Any = None,
        adapt_step_size: bool = True,
        adapt_mass_matrix: bool = True,
        dense_mass: DenseMass = False,
        target_accept_prob: float = 0.8,
        *,
        num_steps: int | None = None,
        trajectory_length: float | None = 2 * math.pi,
        max_tree_depth: int | tuple[int, int] = 10,
        find_heuristic_step_size: bool = False,
        forward_mode_differentiation: bool = False,
        regularize_mass_matrix: bool = True,
        adaptation: str = "windows",
        model_args: tuple = (),
        model_kwargs: dict | None = None,
        rng_key: Key | None = None,
    ) -> HMCState:
        settings.clear()
        settings.update(
            step_size=step_size,
            inverse_mass_matrix=inverse_mass_matrix,
            adapt_step_size=adapt_step_size,
            adapt_mass_matrix=adapt_mass_matrix,
            dense_mass=dense_mass,
            target_accept_prob=target_accept_prob,
            trajectory_length=trajectory_length,
            find_heuristic_step_size=find_heuristic_step_size,
            forward_mode_differentiation=forward_mode_differentiation,
            regularize_mass_matrix=regularize_mass_matrix,
            adaptation=adaptation,
        )
        settings.update({"max_tree_depth": max_tree_depth} if algo == "NUTS" else {"num_steps": num_steps})
        rng_key = jax.random.key(0) if rng_key is None else rng_key
        return kernel(model_args, model_kwargs).init(rng_key, num_warmup, init_params)

    def sample_kernel(hmc_state: HMCState, model_args: tuple = (), model_kwargs: dict | None = None) -> HMCState:
        return kernel(model_args, model_kwargs).sample(hmc_state)

    return init_kernel, sample_kernel


def momentum_generator(prototype_r: PyTree, mass_matrix_sqrt: PyTree, rng_key: Key) -> PyTree:
    """Draw a momentum :math:`r \\sim N(0, M)` in the form of ``prototype_r``.

    :param mass_matrix_sqrt: a factor of the mass matrix over the raveled momentum: a vector where it is diagonal, a
        matrix :math:`L` with :math:`L L^\\top = M`, or what a state has with ``adaptation="low_rank"``; or a dictionary
        of them by tuples of sites.
    :raises ValueError: when a factor is neither a vector nor a matrix.
    """
    if isinstance(mass_matrix_sqrt, dict):
        parts: dict[str, Array] = {}
        for index, (names, factor) in enumerate(mass_matrix_sqrt.items()):
            block = {name: prototype_r[name] for name in names}
            parts |= momentum_generator(block, factor, jax.random.fold_in(rng_key, index))
        return parts
    flat, unravel = ravel_pytree(prototype_r)
    noise = jax.random.normal(rng_key, flat.shape, flat.dtype)
    if isinstance(mass_matrix_sqrt, LowRankMatrix):
        metric = LowRankMetric(*mass_matrix_sqrt.vectors.shape)
        return unravel(metric.momentum(MassMatrix(None, mass_matrix_sqrt, None), noise))
    if mass_matrix_sqrt.ndim == 1:
        return unravel(mass_matrix_sqrt * noise)
    if mass_matrix_sqrt.ndim == 2:
        return unravel(mass_matrix_sqrt @ noise)
    raise ValueError(f"Mass matrix has incorrect number of dims: expected 1 or 2, got {mass_matrix_sqrt.ndim}.")


hmc.__module__ = momentum_generator.__module__ = "numpyro.infer.hmc"
