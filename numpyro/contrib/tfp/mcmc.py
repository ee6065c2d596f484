"""Transition kernels of TensorFlow Probability as kernels of :class:`~numpyro.infer.MCMC`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax
from tensorflow_probability.substrates.jax import mcmc as _tfp

from numpyro._typing import Array, Key, PyTree
from numpyro.infer.foreign_kernel import ForeignKernel
from numpyro.infer.initialization import init_to_uniform


class TFPKernelState(NamedTuple):
    """The state of a chain.

    - **z** - the position: unconstrained values of the latent sites, or what ``potential_fn`` takes.
    - **kernel_results** - what the transition kernel keeps and reports.
    - **rng_key** - the key of the chain's next iteration.
    """

    z: PyTree
    kernel_results: Any
    rng_key: Key


class TFPKernel(ForeignKernel):
    """A transition kernel of TensorFlow Probability, ``TFPKernel[kernel_class]``.

    The position is one flat vector. There is no adaptation: warm-up only discards, and step sizes are given.

    :param model: a model; its continuous latent sites are sampled. Give it, or ``potential_fn``.
    :param potential_fn: the potential energy, a function of a pytree of unconstrained arrays.
    :param init_strategy: how starting values are found, see :mod:`numpyro.infer.initialization`.
    :param kernel_kwargs: the arguments of the transition kernel besides ``target_log_prob_fn``.
    :raises TypeError: for ``TFPKernel`` without a class of transition kernels.

    ::

        from tensorflow_probability.substrates import jax as tfp

        kernel = TFPKernel[tfp.mcmc.NoUTurnSampler](model, step_size=0.1)
    """

    kernel_class: ClassVar[type | None] = None

    def __init__(
        self,
        model: Callable | None = None,
        potential_fn: Callable[[PyTree], Array] | None = None,
        init_strategy: Callable = init_to_uniform,
        **kernel_kwargs: Any,
    ) -> None:
        if self.kernel_class is None:
            raise TypeError(
                "TFPKernel needs a class of transition kernels: write TFPKernel[tfp.mcmc.NoUTurnSampler](model, ...)."
            )
        super().__init__(model, potential_fn, init_strategy)
        self._kernel_kwargs = kernel_kwargs

    def __class_getitem__(cls, kernel_class: type) -> type[TFPKernel]:
        if not (isinstance(kernel_class, type) and issubclass(kernel_class, _tfp.TransitionKernel)):
            raise TypeError(f"TFPKernel[...] takes a class of tfp.mcmc.TransitionKernel, got {kernel_class!r}.")
        named = globals().get(kernel_class.__name__)
        if isinstance(named, type) and issubclass(named, TFPKernel) and named.kernel_class is kernel_class:
            return named
        return type(kernel_class.__name__, (TFPKernel,), {"kernel_class": kernel_class, "__module__": __name__})

    def __reduce__(self) -> tuple:
        return _restore, (self.kernel_class, self.__dict__)

    def _kernel(self, log_density: Callable[[Array], Array]) -> Any:
        return type(self).kernel_class(log_density, **self._kernel_kwargs)  # type: ignore[misc]

    def get_diagnostics_str(self, state: TFPKernelState) -> str:
        return ""

    def first_state(self, log_density: Callable[[Array], Array], z: Array, rng_key: Key) -> TFPKernelState:
        return TFPKernelState(z, self._kernel(log_density).bootstrap_results(z), rng_key)

    def next_state(self, log_density: Callable[[Array], Array], state: TFPKernelState) -> TFPKernelState:
        rng_key, step_key = jax.random.split(state.rng_key)
        z, results = self._kernel(log_density).one_step(state.z, state.kernel_results, seed=step_key)
        return TFPKernelState(z, results, rng_key)


def _restore(kernel_class: type, attributes: dict[str, Any]) -> TFPKernel:
    cls = TFPKernel.__class_getitem__(kernel_class)
    kernel = cls.__new__(cls)
    kernel.__dict__.update(attributes)
    return kernel


class HamiltonianMonteCarlo(TFPKernel):
    """Hamiltonian Monte Carlo: ``step_size``, ``num_leapfrog_steps``."""

    kernel_class = _tfp.HamiltonianMonteCarlo


class MetropolisAdjustedLangevinAlgorithm(TFPKernel):
    """Langevin proposals that are accepted or not: ``step_size``."""

    kernel_class = _tfp.MetropolisAdjustedLangevinAlgorithm


class NoUTurnSampler(TFPKernel):
    """The No-U-Turn sampler: ``step_size``."""

    kernel_class = _tfp.NoUTurnSampler


class RandomWalkMetropolis(TFPKernel):
    """Random walk Metropolis: ``new_state_fn``."""

    kernel_class = _tfp.RandomWalkMetropolis


class ReplicaExchangeMC(TFPKernel):
    """Replica exchange: ``inverse_temperatures``, ``make_kernel_fn``."""

    kernel_class = _tfp.ReplicaExchangeMC


class SliceSampler(TFPKernel):
    """Slice sampling along random directions: ``step_size``, ``max_doublings``."""

    kernel_class = _tfp.SliceSampler


class UncalibratedHamiltonianMonteCarlo(TFPKernel):
    """Hamiltonian proposals that are always accepted: ``step_size``, ``num_leapfrog_steps``."""

    kernel_class = _tfp.UncalibratedHamiltonianMonteCarlo


class UncalibratedLangevin(TFPKernel):
    """Langevin proposals that are always accepted: ``step_size``."""

    kernel_class = _tfp.UncalibratedLangevin


class UncalibratedRandomWalk(TFPKernel):
    """A random walk without a target, for other kernels to correct: ``new_state_fn``."""

    kernel_class = _tfp.UncalibratedRandomWalk
