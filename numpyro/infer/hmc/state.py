"""The state of HMC and NUTS, as programs see it."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp

from numpyro._typing import Array, ArrayLike, Key, PyTree
from numpyro.infer.adaptation import adaptation_windows, growing_windows, window_ends


class Schedule(NamedTuple):
    """Warm-up as run-time values: its length, and the last iteration of each of its windows."""

    num_warmup: ArrayLike
    window_ends: Any


class HMCAdaptState(NamedTuple):
    """What adapts during warm-up.

    - **step_size** - the step size of the next trajectory.
    - **inverse_mass_matrix** - a dictionary by blocks of sites, ``{("a", "b"): array}``: a vector where the block is
      diagonal, a matrix where it is dense; with ``adaptation="low_rank"`` a tuple ``(scale, vectors, values)`` of
      shapes ``(D,)``, ``(D, k)`` and ``(k,)``, which is the matrix
      ``diag(scale) @ (I + vectors @ diag(values - 1) @ vectors.T) @ diag(scale)``. Without the dictionary where
      positions are none.
    - **mass_matrix_sqrt**, **mass_matrix_sqrt_inv** - factors :math:`F` of the mass matrix :math:`F F^\\top`, and their
      inverses, of the same form: vectors, or lower triangular matrices, or ``(scale, vectors, values)`` of
      ``diag(scale) @ (I + vectors @ diag(values - 1) @ vectors.T)`` and, for the inverse, of its transpose.
    - **ss_state** - the state of dual averaging.
    - **mm_state** - what the mass matrix is estimated from, by blocks: running covariances of the positions in the
      current window or, for other ways of adaptation, also of the gradients, or the last positions and gradients.
    - **window_idx** - the number of the current window.
    - **rng_key** - a key for what adaptation draws.
    - **schedule** - the windows of warm-up; ``None`` for no more warm-up.
    """

    step_size: Array
    inverse_mass_matrix: PyTree
    mass_matrix_sqrt: PyTree
    mass_matrix_sqrt_inv: PyTree
    ss_state: PyTree
    mm_state: PyTree
    window_idx: Array
    rng_key: Key
    schedule: Schedule | None = None


def schedule_of(adapt_state: HMCAdaptState) -> Schedule:
    """The windows of warm-up, of which a state without a schedule has none."""
    return adapt_state.schedule or make_schedule(0)


def make_schedule(num_warmup: int, *, overlapping: bool = False) -> Schedule:
    """The windows of a warm-up of ``num_warmup`` iterations.

    :param overlapping: those of estimates from draws and gradients; Stan's otherwise.
    """
    windows = (growing_windows if overlapping else adaptation_windows)(num_warmup)
    return Schedule(jnp.asarray(num_warmup, jnp.int32), jnp.asarray(window_ends(windows)))


class HMCState(NamedTuple):
    """The state of a chain.

    - **i** - the number of iterations done, warm-up included.
    - **z** - the position: unconstrained values of the latent sites, or what ``potential_fn`` takes.
    - **z_grad** - the gradient of the potential energy at ``z``.
    - **potential_energy** - minus the log density of ``z``.
    - **energy** - the Hamiltonian at ``z`` at the end of the last trajectory.
    - **r** - the momentum, where it is kept between iterations; ``None`` otherwise.
    - **trajectory_length** - the length of trajectories; ``None`` for NUTS.
    - **num_steps** - leapfrog steps of the last trajectory.
    - **accept_prob** - acceptance probability of the last trajectory, averaged over its points for NUTS.
    - **mean_accept_prob** - mean acceptance probability since warm-up began or, later, since it ended.
    - **diverging** - whether the energy of the last trajectory ran away.
    - **adapt_state** - an :class:`HMCAdaptState`.
    - **rng_key** - the key of the chain's next iteration.
    """

    i: Array
    z: PyTree
    z_grad: PyTree
    potential_energy: Array
    energy: Array
    r: PyTree
    trajectory_length: Array | None
    num_steps: Array
    accept_prob: Array
    mean_accept_prob: Array
    diverging: Array
    adapt_state: HMCAdaptState
    rng_key: Key


HMCState.__module__ = HMCAdaptState.__module__ = "numpyro.infer.hmc"
