"""The affine invariant ensemble sampler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._typing import Array, Key, PyTree
from numpyro.infer.ensemble import moves as _moves
from numpyro.infer.ensemble.sampler import EnsembleSampler, Walkers
from numpyro.infer.initialization import init_to_uniform
from numpyro.infer.one_kernel import compute_in_one_kernel, one_at_run_time


class AIESState(NamedTuple):
    """What AIES keeps besides positions.

    - **i** - the number of iterations done; each half counts for one half.
    - **accept_prob** - the mean acceptance probability of the half that moved last.
    - **mean_accept_prob** - the mean over all so far.
    - **rng_key** - the key of the half to move next.
    """

    i: Array
    accept_prob: Array
    mean_accept_prob: Array
    rng_key: Key


class AIES(EnsembleSampler):
    """The affine invariant ensemble sampler: chains propose to move along differences between other chains.

    One density a chain and iteration, no gradients, nothing to tune, and the same efficiency in all coordinates that
    are linear maps of each other. For up to some ten dimensions.

    :param model: a model; its continuous latent sites are sampled. Give it, or ``potential_fn``.
    :param potential_fn: the potential energy, a function of a pytree of unconstrained arrays.
    :param randomize_split: part the chains into random halves at each iteration; otherwise the halves stay.
    :param moves: a dictionary from moves to their probabilities; by default ``{AIES.DEMove(): 1.0}``. A move is a
        function ``(rng_key, active, inactive) -> (proposals, log_factors)`` of flat positions.
    :param init_strategy: how starting values are found, see :mod:`numpyro.infer.initialization`.
    :raises ValueError: when not exactly one of ``model`` and ``potential_fn`` is given, or for moves that are none.

    **References:** J. Goodman, J. Weare, *Ensemble samplers with affine invariance* (2010); C. ter Braak, *A Markov
    chain Monte Carlo version of the genetic algorithm Differential Evolution* (2006); D. Foreman-Mackey et al.,
    *emcee: The MCMC hammer* (2013).

    >>> import jax, numpyro, numpyro.distributions as dist
    >>> from numpyro.infer import MCMC, AIES
    >>> def model():
    ...     numpyro.sample("x", dist.Normal(1.0, 3.0).expand([2]).to_event(1))
    >>> kernel = AIES(model, moves={AIES.DEMove(): 0.5, AIES.StretchMove(): 0.5})
    >>> mcmc = MCMC(kernel, num_warmup=500, num_samples=500, num_chains=20, chain_method="vectorized",
    ...             progress_bar=False)
    >>> mcmc.run(jax.random.key(0))
    >>> mcmc.get_samples()["x"].shape
    (10000, 2)
    """

    def __init__(
        self,
        model: Callable | None = None,
        potential_fn: Callable[[PyTree], Array] | None = None,
        randomize_split: bool = False,
        moves: Mapping[Callable, float] | None = None,
        init_strategy: Callable = init_to_uniform,
    ) -> None:
        super().__init__(model, potential_fn, randomize_split=randomize_split, init_strategy=init_strategy)
        self._mixture = _moves.Mixture({AIES.DEMove(): 1.0} if moves is None else moves, "AIES")

    @staticmethod
    def DEMove(sigma: float = 1e-5, g0: float | None = None) -> Callable[..., tuple[Array, Array]]:
        """Differential evolution: a step along the difference of two chains of the other half.

        :param sigma: standard deviation of the factor on the difference.
        :param g0: its mean; by default :math:`2.38 / \\sqrt{2 D}`.
        """
        return _moves.DEMove(sigma, g0)

    @staticmethod
    def StretchMove(a: float = 2.0) -> Callable[..., tuple[Array, Array]]:
        """Stretch: a step on the line through a chain of the other half.

        :param a: distances to that chain change by a factor between :math:`1/a` and :math:`a`; greater than 1.
        :raises ValueError: if ``a`` is not.
        """
        if not a > 1:
            raise ValueError(f"`a` must be greater than 1, got {a}.")
        return _moves.StretchMove(float(a))

    def get_diagnostics_str(self, state: PyTree) -> str:
        return f"acc. prob={float(np.mean(state.inner_state.mean_accept_prob)):.2f}"

    def init_inner_state(self, rng_key: Key) -> AIESState:
        zero = jnp.zeros((), jnp.result_type(float))
        return AIESState(zero, zero, zero, rng_key)

    def update_active_chains(
        self, active: Walkers, inactive: Array, inner_state: AIESState
    ) -> tuple[Walkers, AIESState]:
        i, _, mean, rng_key = inner_state

        def propose(rng_key: Key, z: Array, inactive: Array) -> tuple[Key, Array, Array, Array]:
            rng_key, move_key, accept_key = jax.random.split(rng_key, 3)
            return rng_key, *self._mixture(move_key, z, inactive), jax.random.uniform(accept_key, z.shape[:1], z.dtype)

        rng_key, proposals, log_factors, uniform = compute_in_one_kernel(
            propose, one_at_run_time(rng_key), rng_key, active.z, inactive
        )
        energies = self.potential_energies(proposals)
        log_ratio = active.potential_energy - energies + log_factors
        accept_prob = jnp.exp(jnp.minimum(jnp.where(jnp.isnan(log_ratio), -jnp.inf, log_ratio), 0.0))
        accepted = uniform < accept_prob
        moved = Walkers(
            jnp.where(accepted[:, None], proposals, active.z),
            jnp.where(accepted, energies, active.potential_energy),
        )
        i, rate = i + 0.5, jnp.mean(accept_prob).astype(mean.dtype)
        return moved, AIESState(i, rate, mean + (rate - mean) / (2.0 * i), rng_key)
