"""Microcanonical Langevin Monte Carlo, with a Metropolis test or without: trajectories of constant speed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._errors import UsageError
from numpyro._typing import Array, Key, PyTree
from numpyro.infer.adaptation import EnergyErrorState, energy_error_update
from numpyro.infer.chain_axis import update_where
from numpyro.infer.density_kernel import DensityKernel, Evaluate, Point, running_mean
from numpyro.infer.hmc.integrator import PhasePoint
from numpyro.infer.hmc.metric import DiagonalMetric
from numpyro.infer.hmc.state import HMCAdaptState, Schedule, make_schedule, schedule_of
from numpyro.infer.hmc.trajectory import MAX_DELTA_ENERGY, Transition, energy_change
from numpyro.infer.hmc.warmup import Warmup, make_estimators
from numpyro.infer.initialization import init_to_uniform
from numpyro.infer.model import Layout
from numpyro.infer.program import is_traced


class MCLMCState(NamedTuple):
    """The state of a chain.

    - **i** - the number of iterations done, warm-up included.
    - **z** - the position: unconstrained values of the latent sites, or what ``potential_fn`` takes.
    - **z_grad** - the gradient of the potential energy at ``z``.
    - **potential_energy** - minus the log density of ``z``.
    - **num_steps** - the steps of the last trajectory.
    - **accept_prob** - acceptance probability of the last trajectory; without the test 1, and 0 where it diverged.
    - **mean_accept_prob** - its mean since warm-up began or, later, since it ended.
    - **diverging** - whether the energy of the last trajectory ran away.
    - **adapt_state** - an :class:`~numpyro.infer.hmc.HMCAdaptState`; the mass matrix is over the flat position. Without
      the test its ``ss_state`` is a :class:`~numpyro.infer.adaptation.EnergyErrorState`.
    - **rng_key** - the key of the chain's next iteration.
    """

    i: Array
    z: PyTree
    z_grad: PyTree
    potential_energy: Array
    num_steps: Array
    accept_prob: Array
    mean_accept_prob: Array
    diverging: Array
    adapt_state: HMCAdaptState
    rng_key: Key


class MCLMCTuning(NamedTuple):
    """Run-time settings."""

    step_size: Any
    target: Any
    trajectory_length: Any
    schedule: Schedule


def turn(u: Array, grad: Array, step_size: Array) -> tuple[Array, Array]:
    """The velocity of unit length after the force has acted for a time, and the kinetic energy gained.

    With :math:`e = -\\nabla U / |\\nabla U|`, :math:`\\delta = \\epsilon |\\nabla U| / (D - 1)`,

    .. math::

        u' = \\frac{u + (\\sinh\\delta + e \\cdot u (\\cosh\\delta - 1))\\, e}
        {\\cosh\\delta + e \\cdot u \\sinh\\delta}, \\qquad
        \\Delta K = (D - 1) \\log(\\cosh\\delta + e \\cdot u \\sinh\\delta),

    all divided by :math:`e^\\delta`, which keeps them finite.
    """
    dimension = u.shape[0]
    norm = jnp.sqrt(jnp.sum(grad * grad))
    e = -grad / jnp.maximum(norm, jnp.finfo(u.dtype).tiny)
    delta = step_size * norm / (dimension - 1)
    along = jnp.dot(e, u)
    decayed = jnp.exp(-2.0 * delta)
    cosh, sinh = 0.5 * (1.0 + decayed), 0.5 * (1.0 - decayed)
    scale = cosh + along * sinh
    turned = u * jnp.exp(-delta) + e * (sinh + along * (cosh - jnp.exp(-delta)))
    turned = turned / jnp.sqrt(jnp.sum(turned * turned))
    return turned, (dimension - 1) * (delta + jnp.log(scale))


@dataclass(frozen=True)
class MCLMCAlgorithm:
    """Trajectories and adaptation; see :class:`MCLMC`."""

    warmup: Warmup
    adjusted: bool = True
    tunes_step_size: bool = False

    def init(self, evaluate: Evaluate, tuning: MCLMCTuning, start: Point, rng_key: Key) -> MCLMCState:
        rng_key, adapt_key = jax.random.split(rng_key)
        dtype, zero = start.z.dtype, jnp.zeros((), start.potential.dtype)
        none = jnp.zeros((), jnp.int32)
        adapt_state = self.warmup.init(
            lambda flat: evaluate(flat)[1:],
            PhasePoint(start.z, start.z, start.potential, start.grad),
            jnp.asarray(tuning.step_size, dtype),
            None,
            jnp.asarray(tuning.target, dtype),
            Schedule(*(jnp.asarray(x, jnp.int32) for x in tuning.schedule)),
            adapt_key,
        )
        if not self.adjusted:
            adapt_state = adapt_state._replace(ss_state=EnergyErrorState(jnp.zeros((), dtype), jnp.zeros((), dtype)))
        return MCLMCState(
            none, start.z, start.grad, start.potential, none, zero, zero, jnp.array(False), adapt_state, rng_key
        )

    def step(self, evaluate: Evaluate, tuning: MCLMCTuning, state: MCLMCState) -> MCLMCState:
        rng_key, turn_key, length_key, accept_key = jax.random.split(state.rng_key, 4)
        adapt = state.adapt_state
        scale, step_size = adapt.mass_matrix_sqrt_inv, adapt.step_size
        u = jax.random.normal(turn_key, state.z.shape, state.z.dtype)
        u = u / jnp.sqrt(jnp.sum(u * u))
        # Lengths are drawn, so that no trajectory returns to where it began time and again.
        length = 2.0 * jax.random.uniform(length_key, (), u.dtype) * tuning.trajectory_length
        num_steps = jnp.clip(jnp.ceil(length / step_size), 1.0, 1000.0).astype(jnp.int32)

        def leapfrog(carry: tuple) -> tuple:
            count, point, u, kinetic, squares = carry
            u, gained = turn(u, scale * point.grad, 0.5 * step_size)
            before, point = point, evaluate(point.z + step_size * scale * u)
            u, more = turn(u, scale * point.grad, 0.5 * step_size)
            if not self.adjusted:
                squares = squares + energy_change(point.potential + gained + more, before.potential) ** 2
            return count + 1, point, u, kinetic + gained + more, squares

        start = Point(state.z, state.potential_energy, state.z_grad)
        zero = jnp.zeros_like(state.potential_energy)
        first = (jnp.zeros((), jnp.int32), start, u, zero, zero)
        _, end, _, kinetic, squares = lax.while_loop(lambda carry: carry[0] < num_steps, leapfrog, first)
        delta = energy_change(end.potential + kinetic, start.potential)
        diverging = delta > MAX_DELTA_ENERGY
        if self.adjusted:
            accept_prob = jnp.exp(-jnp.maximum(delta, 0.0))
            accepted = jax.random.uniform(accept_key, (), accept_prob.dtype) < accept_prob
        else:
            accepted = ~diverging
            accept_prob = accepted.astype(delta.dtype)
        z, potential, grad = (jnp.where(accepted, new, old) for new, old in zip(end, start))

        num_warmup = schedule_of(adapt).num_warmup
        target = jnp.asarray(tuning.target, step_size.dtype)
        transition = Transition(z, potential, grad, potential, num_steps, accept_prob, diverging)
        variance = (squares / (num_steps * state.z.shape[0])).astype(step_size.dtype)

        def adapted(adapt: HMCAdaptState) -> HMCAdaptState:
            window = adapt.window_idx
            if self.tunes_step_size:
                tuned, size = energy_error_update(adapt.ss_state, step_size, variance, num_steps, target)
                adapt = adapt._replace(ss_state=tuned, step_size=size)
            adapt = self.warmup.update(lambda flat: evaluate(flat)[1:], adapt, state.i, transition, target)
            if self.tunes_step_size:  # the next window may have other scales
                fresh = jnp.where(adapt.window_idx == window, 1.0, 0.0).astype(step_size.dtype)
                adapt = adapt._replace(ss_state=EnergyErrorState(*(fresh * x for x in adapt.ss_state)))
            return adapt

        adapt = update_where(state.i < num_warmup, adapted, adapt)
        mean = running_mean(state.mean_accept_prob, accept_prob, state.i, num_warmup)
        return MCLMCState(state.i + 1, z, grad, potential, num_steps, accept_prob, mean, diverging, adapt, rng_key)


class MCLMC(DensityKernel):
    """Microcanonical Monte Carlo, with a Metropolis test or without.

    A direction is drawn, and a trajectory of constant speed followed whose direction turns towards higher density, by
    the leapfrog steps of isokinetic dynamics; its end is accepted with probability :math:`\\min(1, e^{-\\Delta E})`.
    Speed does not grow with the gradient, so that steps may be long in many dimensions.

    Without the test (``adjusted=False``) every trajectory counts, unless it diverges. Steps need not shrink as the
    number of dimensions grows, but draws have an error of discretisation, of second order in the step size. What is
    held is the variance of the energy error of a step, by dimension; the error goes with its cube root. At the default
    of 5e-4 variances of an independent normal posterior come out three percent too large, in 10 dimensions as in 200.

    :param model: a model; its continuous latent sites are sampled. Give it, or ``potential_fn``.
    :param potential_fn: the potential energy, a function of a pytree of unconstrained arrays.
    :param step_size: the first step size, in coordinates of unit scale.
    :param trajectory_length: the mean length of trajectories in these coordinates; by default :math:`\\sqrt D`. Lengths
        are uniform between 0 and twice that.
    :param adapt_step_size: adapt the step size in warm-up, by dual averaging.
    :param adapt_mass_matrix: adapt the scales of the coordinates in warm-up, to the variances of the draws.
    :param target_accept_prob: what the mean acceptance probability is adapted to.
    :param adjusted: make the Metropolis test (default). Without it draws are approximate.
    :param target_energy_variance: without the test, what the variance of the energy error of a step, divided by the
        number of dimensions, is adapted to; 5e-4 by default.
    :param init_strategy: how starting values are found, see :mod:`numpyro.infer.initialization`.
    :raises ValueError: when not exactly one of ``model`` and ``potential_fn`` is given, a setting is out of range, or
        there is one dimension only, in which there is nothing to turn.

    **References:** J. Robnik, G. B. De Luca, E. Silverstein, U. Seljak, *Microcanonical Hamiltonian Monte Carlo*
    (2023); J. Robnik, R. Cohn-Gordon, U. Seljak, *Metropolis adjusted microcanonical Hamiltonian Monte Carlo* (2025).
    """

    flat_fields = ("z", "z_grad")
    with_gradient = True

    def __init__(
        self,
        model: Callable | None = None,
        potential_fn: Callable[[PyTree], Array] | None = None,
        step_size: float = 0.5,
        trajectory_length: float | None = None,
        adapt_step_size: bool = True,
        adapt_mass_matrix: bool = True,
        target_accept_prob: float = 0.9,
        init_strategy: Callable = init_to_uniform,
        *,
        adjusted: bool = True,
        target_energy_variance: float | None = None,
    ) -> None:
        super().__init__(model, potential_fn, init_strategy)
        positive = {
            "step_size": step_size,
            "trajectory_length": trajectory_length,
            "target_energy_variance": target_energy_variance,
        }
        for name, value in positive.items():
            if value is not None and not value > 0:
                raise ValueError(f"`{name}` must be positive, got {value}.")
        if not 0 < target_accept_prob < 1:
            raise ValueError(f"`target_accept_prob` must lie between 0 and 1, got {target_accept_prob}.")
        if adjusted and target_energy_variance is not None:
            raise UsageError("`target_energy_variance` is for adjusted=False; set `target_accept_prob` for the test.")
        if not adjusted and target_accept_prob != 0.9:
            raise UsageError("`target_accept_prob` is for adjusted=True; without it set `target_energy_variance`.")
        self._adjusted = bool(adjusted)
        self._target_energy_variance = 5e-4 if target_energy_variance is None else float(target_energy_variance)
        self._step_size, self._trajectory_length = float(step_size), trajectory_length
        self._adapt_step_size, self._adapt_mass_matrix = bool(adapt_step_size), bool(adapt_mass_matrix)
        self._target_accept_prob = float(target_accept_prob)

    @property
    def default_fields(self) -> tuple[str, ...]:
        return ("z", "diverging")

    def get_diagnostics_str(self, state: MCLMCState) -> str:
        steps, size = int(np.mean(state.num_steps)), float(np.mean(state.adapt_state.step_size))
        if not self._adjusted:
            return f"{steps} steps of size {size:.2e}"
        return f"{steps} steps of size {size:.2e}. acc. prob={float(np.mean(state.mean_accept_prob)):.2f}"

    def remaining_warmup(self, state: MCLMCState) -> int:
        remaining = schedule_of(state.adapt_state).num_warmup - state.i
        return 0 if is_traced(remaining) else max(0, int(np.max(remaining)))

    def algorithm(self, layout: Layout, num_warmup: int) -> tuple[MCLMCAlgorithm, MCLMCTuning]:
        if layout.size < 2:
            raise UsageError("MCLMC needs two dimensions at least, between which directions turn: use NUTS.")
        metric = DiagonalMetric(layout.size)
        warmup = Warmup(
            metric=metric,
            mass=metric,
            estimators=make_estimators(metric, "windows", True, False),
            overlapping=False,
            adapt_step_size=self._adapt_step_size and self._adjusted,
            adapt_mass_matrix=self._adapt_mass_matrix,
            find_heuristic_step_size=False,
            pooled=False,
        )
        length = np.sqrt(layout.size) if self._trajectory_length is None else self._trajectory_length
        dtype = np.dtype(layout.dtype)
        tuning = MCLMCTuning(
            np.asarray(self._step_size, dtype),
            np.asarray(self._target_accept_prob if self._adjusted else self._target_energy_variance, dtype),
            np.asarray(length, dtype),
            make_schedule(num_warmup),
        )
        return MCLMCAlgorithm(warmup, self._adjusted, self._adapt_step_size and not self._adjusted), tuning
