"""Sample adaptive MCMC: proposals from a normal distribution that is fitted to a set of points, the chain's state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular

from numpyro._errors import UsageError
from numpyro._typing import Array, Key, PyTree
from numpyro.infer.density_kernel import DensityKernel, Evaluate, Point, running_mean
from numpyro.infer.hmc.trajectory import MAX_DELTA_ENERGY
from numpyro.infer.initialization import init_to_uniform
from numpyro.infer.model import Layout
from numpyro.infer.one_kernel import compute_in_one_kernel


class SAAdaptState(NamedTuple):
    """The set of points.

    - **zs** - the points, flat, of shape ``(size, D)``.
    - **pes** - their potential energies, of shape ``(size,)``.
    - **loc** - their mean, of shape ``(D,)``.
    - **inv_mass_matrix_sqrt** - a factor of their covariance: standard deviations, or a lower triangular matrix.
    """

    zs: Array
    pes: Array
    loc: Array
    inv_mass_matrix_sqrt: Array


class SAState(NamedTuple):
    """The state of a chain.

    - **i** - the number of iterations done, warm-up included.
    - **z** - one point of the set, chosen at random: unconstrained values, or what ``potential_fn`` takes.
    - **potential_energy** - minus the log density of ``z``.
    - **accept_prob** - the probability with which the last proposal came into the set.
    - **mean_accept_prob** - its mean since warm-up began or, later, since it ended.
    - **diverging** - whether the last proposal was so improbable that it counts as lost.
    - **adapt_state** - an :class:`SAAdaptState`.
    - **rng_key** - the key of the chain's next iteration.
    """

    i: Array
    z: PyTree
    potential_energy: Array
    accept_prob: Array
    mean_accept_prob: Array
    diverging: Array
    adapt_state: SAAdaptState
    rng_key: Key


JITTER = 1e-12
"""Added to the variances of a set, so that a set of equal points has a covariance, too."""
WORST = 1e30
"""The potential energy of a point whose own is not finite: it is the first to be replaced."""


def leave_one_out_log_densities(points: Array, dense: bool) -> Array:
    """The log density of each point under the normal distribution fitted to all others, up to one constant.

    For :math:`N + 1` points with mean :math:`m`, deviations :math:`d_n` and scatter matrix :math:`A`, leaving out
    the :math:`n`-th gives the mean :math:`m - d_n / N` and the scatter :math:`A - c\\, d_n d_n^\\top` with
    :math:`c = \\frac{N + 1}{N}`, so that with :math:`u_n = d_n^\\top A^{-1} d_n`

    .. math::

        \\log q(\\theta_n) = -\\tfrac12 \\log(1 - c u_n) - \\tfrac{N - 1}{2} \\frac{c^2 u_n}{1 - c u_n} + \\text{const}:

    one factorisation serves for all :math:`n`.

    :param points: of shape ``(N + 1, D)``.
    :param dense: fit a covariance matrix; otherwise variances.
    :returns: log densities, of shape ``(N + 1,)``.
    """
    total, size = points.shape
    count = total - 1
    c = total / count
    deviations = points - jnp.mean(points, 0)
    tiny = jnp.finfo(points.dtype).eps
    if dense:
        scatter = deviations.T @ deviations + JITTER * jnp.eye(size, dtype=points.dtype)
        factor = jnp.linalg.cholesky(scatter)
        u = jnp.sum(solve_triangular(factor, deviations.T, lower=True) ** 2, 0)
    else:
        u = deviations**2 / (jnp.sum(deviations**2, 0) + JITTER)
    rest = jnp.maximum(1.0 - c * u, tiny)
    terms = -0.5 * jnp.log(rest) - 0.5 * (count - 1) * c**2 * u / rest
    return terms if dense else jnp.sum(terms, -1)


class SATuning(NamedTuple):
    """Run-time settings; ``one`` is the number 1, see :func:`~numpyro.infer.one_kernel.in_one_kernel`."""

    num_warmup: Any
    one: Any = np.int32(1)


@dataclass(frozen=True)
class SAAlgorithm:
    """The set of points and how it changes; see :class:`SA`."""

    size: int
    dense: bool

    def init(self, evaluate: Evaluate, tuning: SATuning, start: Point, rng_key: Key) -> SAState:
        rng_key, points_key = jax.random.split(rng_key)
        # The first point is the start; the others lie around it at unit distances.
        noise = jax.random.normal(points_key, (self.size, *start.z.shape), start.z.dtype)
        points = start.z + noise.at[0].set(0.0)
        energies = jax.vmap(lambda z: evaluate(z).potential)(points)
        zero = jnp.zeros((), start.potential.dtype)
        return SAState(
            i=jnp.zeros((), jnp.int32),
            z=start.z,
            potential_energy=start.potential,
            accept_prob=zero,
            mean_accept_prob=zero,
            diverging=jnp.array(False),
            adapt_state=self._with_moments(points, _ranked(energies)),
            rng_key=rng_key,
        )

    def step(self, evaluate: Evaluate, tuning: SATuning, state: SAState) -> SAState:
        zs, pes, loc, factor = state.adapt_state

        def draw(rng_key: Key) -> tuple[Key, Array, Array, Array]:
            rng_key, noise_key, drop_key, choice_key = jax.random.split(rng_key, 4)
            noise = jax.random.normal(noise_key, loc.shape, loc.dtype)
            gumbels = jax.random.gumbel(drop_key, (self.size + 1,), pes.dtype)
            return rng_key, noise, gumbels, jax.random.randint(choice_key, (), 0, self.size)

        rng_key, noise, gumbels, chosen = compute_in_one_kernel(draw, tuning.one, state.rng_key)
        new = evaluate(loc + (factor @ noise if self.dense else factor * noise))
        points = jnp.concatenate([zs, new.z[None]])
        energies = jnp.concatenate([pes, _ranked(new.potential)[None]])

        # A point is dropped with a probability proportional to q(point | all others) / pi(point).
        log_weights = leave_one_out_log_densities(points, self.dense) + energies
        dropped = jnp.argmax(log_weights + gumbels)
        rejected = jax.nn.softmax(log_weights)[-1]
        # The new point takes the place of the dropped one; where that is itself, nothing changes.
        zs = jnp.where((jnp.arange(self.size) == dropped)[:, None], new.z, zs)
        pes = jnp.where(jnp.arange(self.size) == dropped, energies[-1], pes)

        accept_prob = 1.0 - rejected
        return SAState(
            i=state.i + 1,
            z=zs[chosen],
            potential_energy=pes[chosen],
            accept_prob=accept_prob,
            mean_accept_prob=running_mean(state.mean_accept_prob, accept_prob, state.i, tuning.num_warmup),
            diverging=energies[-1] - jnp.min(pes) > MAX_DELTA_ENERGY,
            adapt_state=self._with_moments(zs, pes),
            rng_key=rng_key,
        )

    def _with_moments(self, zs: Array, pes: Array) -> SAAdaptState:
        loc = jnp.mean(zs, 0)
        deviations = zs - loc
        if self.dense:
            scatter = deviations.T @ deviations + JITTER * jnp.eye(zs.shape[1], dtype=zs.dtype)
            factor = jnp.linalg.cholesky(scatter / (self.size - 1))
        else:
            factor = jnp.sqrt((jnp.sum(deviations**2, 0) + JITTER) / (self.size - 1))
        return SAAdaptState(zs, pes, loc, factor)


def _ranked(energies: Array) -> Array:
    return jnp.where(jnp.isfinite(energies), energies, WORST)


class SA(DensityKernel):
    """Sample adaptive MCMC, without gradients.

    The chain's state is a set of :math:`N` points. A proposal is drawn from the normal distribution with their mean
    and covariance, and one of the :math:`N + 1` points is dropped, the :math:`n`-th with a probability proportional
    to :math:`q(\\theta_n \\mid \\text{all others}) / \\pi(\\theta_n)`. The points of the set are, in the long run,
    independent draws of the posterior, and ``z`` is one of them, chosen at random. There is nothing to tune: warm-up
    only discards.

    It is meant for posteriors of some tens of dimensions that are not far from normal; one density an iteration, at
    the cost of factorising a :math:`D \\times D` matrix. Take many iterations, and thin them.

    :param model: a model; its continuous latent sites are sampled. Give it, or ``potential_fn``.
    :param potential_fn: the potential energy, a function of a pytree of unconstrained arrays.
    :param adapt_state_size: the number of points :math:`N`; by default twice the dimension, and 2 at least.
    :param dense_mass: fit a full covariance matrix; otherwise variances.
    :param init_strategy: how starting values are found, see :mod:`numpyro.infer.initialization`.
    :raises ValueError: when not exactly one of ``model`` and ``potential_fn`` is given, or the set is too small.

    **References:** M. Zhu, *Sample adaptive MCMC* (2019), algorithm 2.
    """

    def __init__(
        self,
        model: Callable | None = None,
        potential_fn: Callable[[PyTree], Array] | None = None,
        adapt_state_size: int | None = None,
        dense_mass: bool = True,
        init_strategy: Callable = init_to_uniform,
    ) -> None:
        super().__init__(model, potential_fn, init_strategy)
        if adapt_state_size is not None and (int(adapt_state_size) != adapt_state_size or adapt_state_size < 2):
            raise UsageError(
                f"adapt_state_size should be greater than 1 and an integer, got {adapt_state_size}; leave it out for "
                "twice the dimension."
            )
        self._adapt_state_size, self._dense_mass = adapt_state_size, bool(dense_mass)

    @property
    def default_fields(self) -> tuple[str, ...]:
        return ("z", "diverging")

    def get_diagnostics_str(self, state: SAState) -> str:
        return f"acc. prob={float(np.mean(state.mean_accept_prob)):.2f}"

    def algorithm(self, layout: Layout, num_warmup: int) -> tuple[SAAlgorithm, SATuning]:
        dimension = layout.size
        size = max(2, 2 * dimension) if self._adapt_state_size is None else int(self._adapt_state_size)
        if self._dense_mass and size <= dimension:
            raise UsageError(
                f"SA fits a covariance matrix in {dimension} dimensions to its points, for which adapt_state_size must "
                f"be greater than {dimension}, got {size}. Or pass dense_mass=False."
            )
        return SAAlgorithm(size, self._dense_mass), SATuning(np.int32(num_warmup))
