"""The Barker proposal: gradients without the fragility of large steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._typing import Array, Key, PyTree
from numpyro.infer.chain_axis import update_where
from numpyro.infer.density_kernel import DensityKernel, Evaluate, Point, running_mean
from numpyro.infer.hmc.integrator import PhasePoint
from numpyro.infer.hmc.metric import DenseMetric, DiagonalMetric
from numpyro.infer.hmc.state import HMCAdaptState, Schedule, make_schedule, schedule_of
from numpyro.infer.hmc.trajectory import Transition
from numpyro.infer.hmc.warmup import Warmup, make_estimators
from numpyro.infer.initialization import init_to_uniform
from numpyro.infer.model import Layout
from numpyro.infer.program import is_traced


class BarkerMHState(NamedTuple):
    """The state of a chain.

    - **i** - the number of iterations done, warm-up included.
    - **z** - the position: unconstrained values of the latent sites, or what ``potential_fn`` takes.
    - **potential_energy** - minus the log density of ``z``.
    - **z_grad** - the gradient of the potential energy at ``z``.
    - **accept_prob** - acceptance probability of the last proposal.
    - **mean_accept_prob** - its mean since warm-up began or, later, since it ended.
    - **adapt_state** - an :class:`~numpyro.infer.hmc.HMCAdaptState`; matrices are over the flat position.
    - **rng_key** - the key of the chain's next iteration.
    """

    i: Array
    z: PyTree
    potential_energy: Array
    z_grad: PyTree
    accept_prob: Array
    mean_accept_prob: Array
    adapt_state: HMCAdaptState
    rng_key: Key


class BarkerTuning(NamedTuple):
    """Run-time settings."""

    step_size: Any
    target_accept_prob: Any
    schedule: Schedule


@dataclass(frozen=True)
class BarkerAlgorithm:
    """Proposals and adaptation; see :class:`BarkerMH`."""

    warmup: Warmup

    def init(self, evaluate: Evaluate, tuning: BarkerTuning, start: Point, rng_key: Key) -> BarkerMHState:
        rng_key, adapt_key = jax.random.split(rng_key)
        dtype, zero = start.z.dtype, jnp.zeros((), start.potential.dtype)
        adapt_state = self.warmup.init(
            lambda flat: evaluate(flat)[1:],
            PhasePoint(start.z, start.z, start.potential, start.grad),
            jnp.asarray(tuning.step_size, dtype),
            None,
            jnp.asarray(tuning.target_accept_prob, dtype),
            Schedule(*(jnp.asarray(x, jnp.int32) for x in tuning.schedule)),
            adapt_key,
        )
        i = jnp.zeros((), jnp.int32)
        return BarkerMHState(i, start.z, start.potential, start.grad, zero, zero, adapt_state, rng_key)

    def step(self, evaluate: Evaluate, tuning: BarkerTuning, state: BarkerMHState) -> BarkerMHState:
        rng_key, noise_key, accept_key = jax.random.split(state.rng_key, 3)
        adapt = state.adapt_state
        factor = adapt.mass_matrix_sqrt_inv  # F with inverse mass matrix F^T F: z = F^T x for x of unit scale
        noise = adapt.step_size * jax.random.normal(noise_key, state.z.shape, state.z.dtype)
        grad = factor * state.z_grad if factor.ndim == 1 else factor @ state.z_grad

        # Of +noise and -noise, the one that goes downhill is likelier: sigmoid(-noise * grad) is P(+noise).
        odds = jax.random.logistic(jax.random.fold_in(noise_key, 1), state.z.shape, state.z.dtype)
        move = jnp.where(odds < -noise * grad, noise, -noise)
        new = evaluate(state.z + (factor * move if factor.ndim == 1 else factor.T @ move))
        new_grad = factor * new.grad if factor.ndim == 1 else factor @ new.grad

        # log q(z | z') - log q(z' | z), of log sigmoid(x) = -softplus(-x)
        log_q_ratio = jnp.sum(jax.nn.softplus(move * grad) - jax.nn.softplus(-move * new_grad))
        log_ratio = state.potential_energy - new.potential + log_q_ratio
        log_ratio = jnp.where(jnp.isfinite(new.potential) & ~jnp.isnan(log_ratio), log_ratio, -jnp.inf)
        accept_prob = jnp.exp(jnp.minimum(log_ratio, 0.0))
        accepted = jax.random.uniform(accept_key, (), accept_prob.dtype) < accept_prob
        z, potential, grad_z = (
            jnp.where(accepted, after, before)
            for after, before in zip(new, (state.z, state.potential_energy, state.z_grad))
        )

        num_warmup = schedule_of(adapt).num_warmup
        target = jnp.asarray(tuning.target_accept_prob, adapt.step_size.dtype)
        zero = jnp.zeros_like(potential)
        transition = Transition(z, potential, grad_z, potential, jnp.int32(1), accept_prob, zero > 0)
        adapt = update_where(
            state.i < num_warmup,
            lambda adapt: self.warmup.update(lambda flat: evaluate(flat)[1:], adapt, state.i, transition, target),
            adapt,
        )
        mean = running_mean(state.mean_accept_prob, accept_prob, state.i, num_warmup)
        return BarkerMHState(state.i + 1, z, potential, grad_z, accept_prob, mean, adapt, rng_key)


class BarkerMH(DensityKernel):
    """Metropolis-Hastings with the Barker proposal.

    Each coordinate of a normal step :math:`\\xi_i \\sim N(0, \\sigma^2)` is taken forwards or backwards,

    .. math:: z'_i = z_i + b_i \\xi_i, \\qquad P(b_i = 1) = \\frac{1}{1 + e^{-\\xi_i \\partial_i \\log \\pi(z)}},

    in coordinates in which the posterior has about unit scales, and :math:`z'` is accepted or not. The gradient points
    the way, but a large one makes no large step: unlike Langevin or Hamiltonian proposals this one is robust to steep
    tails and to step sizes that are off. One gradient an iteration.

    :param model: a model; its continuous latent sites are sampled. Give it, or ``potential_fn``.
    :param potential_fn: the potential energy, a function of a pytree of unconstrained arrays.
    :param step_size: the first scale :math:`\\sigma` of proposals.
    :param adapt_step_size: adapt it in warm-up, by dual averaging.
    :param adapt_mass_matrix: adapt the scales of the coordinates in warm-up, to the covariance of the draws.
    :param dense_mass: adapt a full covariance matrix; by default variances.
    :param target_accept_prob: what the mean acceptance probability is adapted to; the best is 0.4 where coordinates
        are many and independent.
    :param init_strategy: how starting values are found, see :mod:`numpyro.infer.initialization`.
    :raises ValueError: when not exactly one of ``model`` and ``potential_fn`` is given, or a setting is out of range.

    **References:** S. Livingstone, G. Zanella, *The Barker proposal: combining robustness and efficiency in
    gradient-based MCMC* (2022), algorithm 1.

    >>> import jax, numpyro, numpyro.distributions as dist
    >>> from numpyro.infer import MCMC, BarkerMH
    >>> def model():
    ...     numpyro.sample("x", dist.Normal(1.0, 3.0))
    >>> mcmc = MCMC(BarkerMH(model), num_warmup=500, num_samples=2000, progress_bar=False)
    >>> mcmc.run(jax.random.key(0))
    >>> bool(0.0 < mcmc.get_samples()["x"].mean() < 2.0)
    True
    """

    flat_fields = ("z", "z_grad")
    with_gradient = True

    def __init__(
        self,
        model: Callable | None = None,
        potential_fn: Callable[[PyTree], Array] | None = None,
        step_size: float = 1.0,
        adapt_step_size: bool = True,
        adapt_mass_matrix: bool = True,
        dense_mass: bool = False,
        target_accept_prob: float = 0.4,
        init_strategy: Callable = init_to_uniform,
    ) -> None:
        super().__init__(model, potential_fn, init_strategy)
        if isinstance(step_size, (int, float)) and not step_size > 0:
            raise ValueError(f"`step_size` must be positive, got {step_size}.")
        if isinstance(target_accept_prob, (int, float)) and not 0 < target_accept_prob < 1:
            raise ValueError(f"`target_accept_prob` must lie between 0 and 1, got {target_accept_prob}.")
        if not isinstance(dense_mass, (bool, np.bool_)):
            raise ValueError(
                f"`dense_mass` must be True or False, got {dense_mass!r}: BarkerMH has one matrix over all sites; HMC "
                "and NUTS take blocks of them."
            )
        self._step_size, self._target_accept_prob = step_size, target_accept_prob
        self._adapt_step_size, self._adapt_mass_matrix = adapt_step_size, adapt_mass_matrix
        self._dense_mass = bool(dense_mass)

    def get_diagnostics_str(self, state: BarkerMHState) -> str:
        size, mean = float(np.mean(state.adapt_state.step_size)), float(np.mean(state.mean_accept_prob))
        return f"step size {size:.2e}. acc. prob={mean:.2f}"

    def remaining_warmup(self, state: BarkerMHState) -> int:
        remaining = schedule_of(state.adapt_state).num_warmup - state.i
        return 0 if is_traced(remaining) else max(0, int(np.max(remaining)))

    def algorithm(self, layout: Layout, num_warmup: int) -> tuple[BarkerAlgorithm, BarkerTuning]:
        metric = (DenseMetric if self._dense_mass else DiagonalMetric)(layout.size)
        warmup = Warmup(
            metric=metric,
            mass=metric,
            estimators=make_estimators(metric, "windows", True, False),
            overlapping=False,
            adapt_step_size=bool(self._adapt_step_size),
            adapt_mass_matrix=bool(self._adapt_mass_matrix),
            find_heuristic_step_size=False,
            pooled=False,
        )
        tuning = BarkerTuning(
            np.asarray(self._step_size, layout.dtype) if not is_traced(self._step_size) else self._step_size,
            np.float32(self._target_accept_prob),
            make_schedule(num_warmup),
        )
        return BarkerAlgorithm(warmup), tuning
