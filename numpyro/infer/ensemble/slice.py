"""Ensemble slice sampling."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._typing import Array, Key, PyTree
from numpyro.infer.ensemble import moves as _moves
from numpyro.infer.ensemble.sampler import EnsembleSampler, EnsembleSamplerState, Walkers
from numpyro.infer.initialization import init_to_uniform
from numpyro.infer.one_kernel import compute_in_one_kernel, one_at_run_time
from numpyro.infer.program import is_traced

EXPANSION_SHARE = 0.3
"""The share of widenings, among widenings and narrowings, that the scale is tuned to. Karamanis & Beutler have a half,
the least evaluations of a chain by itself; chains that wait for each other are faster with longer steps."""
FULL_UPDATES, RELAXATION = 10, 0.75
"""The scale adapts fully in the first iterations, later by steps that shrink as the number of iterations to this."""


class ESSState(NamedTuple):
    """What ESS keeps besides positions.

    - **i** - the number of iterations done, warm-up included.
    - **n_expansions** - how often slices were widened in the last iteration, by all chains together.
    - **n_contractions** - how often they were narrowed.
    - **mu** - the scale of directions.
    - **rng_key** - the key of the half to move next.
    - **num_warmup** - the iterations in which the scale is tuned.
    """

    i: Array
    n_expansions: Array
    n_contractions: Array
    mu: Array
    rng_key: Key
    num_warmup: Array | int = 0


class _Slice(NamedTuple):
    """Slices along lines, one a chain: the ends as multiples of the direction, and steps left on either side."""

    left: Array
    right: Array
    left_steps: Array
    right_steps: Array


class ESS(EnsembleSampler):
    """Ensemble slice sampling: chains move on slices along lines that other chains span.

    Along a direction :math:`\\eta` a chain at :math:`x` draws a level :math:`y \\sim U(0, \\pi(x))`, widens an interval
    around it by steps of :math:`\\eta` until both ends lie below the level, and narrows it until a point drawn from it
    lies above (Neal 2003). Every chain moves in every iteration, at the cost of some five densities; no gradients.
    In warm-up the scale :math:`\\mu` of directions is tuned: 3 of 10 widenings and narrowings are to be widenings.

    :param model: a model; its continuous latent sites are sampled. Give it, or ``potential_fn``.
    :param potential_fn: the potential energy, a function of a pytree of unconstrained arrays.
    :param randomize_split: part the chains into random halves at each iteration; otherwise the halves stay.
    :param moves: a dictionary from moves to their probabilities; by default ``{ESS.DifferentialMove(): 1.0}``. A move
        is a function ``(rng_key, inactive, mu) -> directions`` of flat positions.
    :param max_steps: the most steps by which an interval is widened.
    :param max_iter: the most points that are drawn from it, after which the chain stays where it is.
    :param init_mu: the first scale of directions.
    :param tune_mu: tune it in warm-up.
    :param init_strategy: how starting values are found, see :mod:`numpyro.infer.initialization`.
    :raises ValueError: when not exactly one of ``model`` and ``potential_fn`` is given, for moves that are none, or a
        setting out of range.

    **References:** M. Karamanis, F. Beutler, *Ensemble slice sampling* (2021); M. Karamanis et al., *zeus* (2021);
    R. M. Neal, *Slice sampling* (2003).
    """

    def __init__(
        self,
        model: Callable | None = None,
        potential_fn: Callable[[PyTree], Array] | None = None,
        randomize_split: bool = True,
        moves: Mapping[Callable, float] | None = None,
        max_steps: int = 10_000,
        max_iter: int = 10_000,
        init_mu: float = 1.0,
        tune_mu: bool = True,
        init_strategy: Callable = init_to_uniform,
    ) -> None:
        super().__init__(model, potential_fn, randomize_split=randomize_split, init_strategy=init_strategy)
        self._mixture = _moves.Mixture({ESS.DifferentialMove(): 1.0} if moves is None else moves, "ESS")
        for name, count in (("max_steps", max_steps), ("max_iter", max_iter)):
            if int(count) != count or count < 1:
                raise ValueError(f"`{name}` must be a positive integer, got {count}.")
        if not init_mu > 0:
            raise ValueError(f"`init_mu` must be positive, got {init_mu}.")
        self._max_steps, self._max_iter = int(max_steps), int(max_iter)
        self._init_mu, self._tune_mu = float(init_mu), bool(tune_mu)

    @staticmethod
    def RandomMove() -> Callable[..., Array]:
        """Directions at random, of equal lengths: for posteriors of about equal scales."""
        return _moves.RandomMove()

    @staticmethod
    def KDEMove(bw_method: str | float | None = None) -> Callable[..., Array]:
        """Differences of draws from a kernel density estimate of the other half.

        :param bw_method: its bandwidth: ``"scott"`` (the default), ``"silverman"`` or a number.
        :raises ValueError: for another one.
        """
        named = bw_method is None or bw_method in ("scott", "silverman")
        if not named and not (isinstance(bw_method, (int, float)) and bw_method > 0):
            raise ValueError(f"`bw_method` must be 'scott', 'silverman' or a positive number, got {bw_method!r}.")
        return _moves.KDEMove(bw_method)

    @staticmethod
    def GaussianMove() -> Callable[..., Array]:
        """Draws from the normal distribution with the covariance of the other half."""
        return _moves.GaussianMove()

    @staticmethod
    def DifferentialMove() -> Callable[..., Array]:
        """Differences of two chains of the other half."""
        return _moves.DifferentialMove()

    def remaining_warmup(self, state: EnsembleSamplerState) -> int:
        remaining = state.inner_state.num_warmup - state.inner_state.i
        return 0 if is_traced(remaining) else max(0, int(remaining))

    def init_inner_state(self, rng_key: Key) -> ESSState:
        none = jnp.zeros((), jnp.int32)
        dtype = jnp.result_type(float)
        return ESSState(jnp.zeros((), dtype), none, none, jnp.asarray(self._init_mu, dtype), rng_key, none)

    def init(
        self,
        rng_key: Key,
        num_warmup: int,
        init_params: PyTree = None,
        model_args: tuple = (),
        model_kwargs: dict | None = None,
    ) -> EnsembleSamplerState:
        state = super().init(rng_key, num_warmup, init_params, model_args, model_kwargs)
        inner = state.inner_state._replace(num_warmup=jnp.asarray(num_warmup, jnp.int32))
        return state._replace(inner_state=inner)

    def begin_iteration(self, inner_state: ESSState) -> ESSState:
        none = jnp.zeros((), jnp.int32)
        return inner_state._replace(n_expansions=none, n_contractions=none)

    def end_iteration(self, inner_state: ESSState) -> ESSState:
        i, expansions, contractions, mu, _, num_warmup = inner_state
        if self._tune_mu:
            wide = jnp.maximum(expansions, 1).astype(mu.dtype)
            change = jnp.log(wide / (wide + contractions) / EXPANSION_SHARE)
            weight = jnp.minimum(1.0, FULL_UPDATES / (i + 1.0)) ** RELAXATION
            mu = jnp.where(i < num_warmup, mu * jnp.exp(weight * change), mu)
        return inner_state._replace(i=i + 1.0, mu=mu)

    def update_active_chains(self, active: Walkers, inactive: Array, inner_state: ESSState) -> tuple[Walkers, ESSState]:
        z, energies = active
        shape, dtype = energies.shape, energies.dtype
        one = one_at_run_time(inner_state.rng_key)

        def draw(rng_key: Key, inactive: Array, mu: Array, energies: Array) -> tuple[Key, Key, Array, Array, _Slice]:
            rng_key, move_key, level_key, place_key, share_key, narrow_key = jax.random.split(rng_key, 6)
            directions = self._mixture(move_key, inactive, mu)
            level = energies + jax.random.exponential(level_key, shape, dtype)  # minus log of U(0, pi(x))
            left = -jax.random.uniform(place_key, shape, dtype)
            share = jnp.floor(self._max_steps * jax.random.uniform(share_key, shape, dtype)).astype(jnp.int32)
            interval = _Slice(left, left + 1.0, share, self._max_steps - 1 - share)
            return rng_key, narrow_key, directions, level, interval

        rng_key, narrow_key, directions, level, interval = compute_in_one_kernel(
            draw, one, inner_state.rng_key, inactive, inner_state.mu.astype(z.dtype), energies
        )

        def below(left: Array, right: Array, asked: Array) -> Array:
            """Whether ends of intervals, left ones first, have a density above the level, an energy below it."""
            at = jnp.concatenate([left, right])[:, None].astype(z.dtype)
            points = jnp.tile(z, (2, 1)) + at * jnp.tile(directions, (2, 1))
            return self._energies_of(points, asked) < jnp.tile(level, 2)

        widened, expansions = _widen(below, interval)
        moved, contractions = self._narrow(active, directions, level, widened, narrow_key, one)
        return moved, inner_state._replace(
            n_expansions=inner_state.n_expansions + expansions,
            n_contractions=inner_state.n_contractions + contractions,
            rng_key=rng_key,
        )

    def _energies_of(self, points: Array, asked: Array) -> Array:
        """The energies of the points that are asked for; infinite elsewhere. Where those are few, of few it costs."""
        number = points.shape[0]
        few = max(1, number // 4)

        def of_few() -> Array:
            chosen = jnp.argsort(~asked)[:few]  # stable: those that are asked for come first
            energies = self.potential_energies(points[chosen])
            everywhere = jnp.full(number, jnp.inf, energies.dtype)
            return everywhere.at[chosen].set(jnp.where(asked[chosen], energies, jnp.inf))

        def of_all() -> Array:
            energies = self.potential_energies(points)
            return jnp.where(asked, energies, jnp.inf)

        return lax.cond(jnp.sum(asked) <= few, of_few, of_all)

    def _narrow(
        self, active: Walkers, directions: Array, level: Array, interval: _Slice, rng_key: Key, one: Array
    ) -> tuple[Walkers, Array]:
        """Shrink (Neal 2003, figure 5); with how many points were rejected."""

        def propose(rng_key: Key, tried: Array, left: Array, right: Array) -> tuple[Array, Array]:
            key = jax.random.fold_in(rng_key, tried)
            at = left + jax.random.uniform(key, left.shape, left.dtype) * (right - left)
            return at, active.z + at[:, None].astype(active.z.dtype) * directions

        def narrow(carry: tuple) -> tuple:
            tried, walkers, left, right, waiting, count = carry
            at, z = compute_in_one_kernel(propose, one, rng_key, tried, left, right)
            energies = self._energies_of(z, waiting)
            inside = waiting & (energies < level)
            walkers = Walkers(
                jnp.where(inside[:, None], z, walkers.z), jnp.where(inside, energies, walkers.potential_energy)
            )
            waiting = waiting & ~inside
            left = jnp.where(waiting & (at < 0), at, left)
            right = jnp.where(waiting & (at >= 0), at, right)
            return tried + 1, walkers, left, right, waiting, count + jnp.sum(waiting, dtype=jnp.int32)

        none = jnp.zeros((), jnp.int32)
        first = (none, active, interval.left, interval.right, jnp.ones(level.shape, bool), none)
        _, walkers, _, _, _, count = lax.while_loop(
            lambda carry: (carry[0] < self._max_iter) & jnp.any(carry[4]), narrow, first
        )
        return walkers, count

    def get_diagnostics_str(self, state: EnsembleSamplerState) -> str:
        return f"scale mu={float(np.mean(state.inner_state.mu)):.2e}"


def _widen(below: Callable[[Array, Array, Array], Array], interval: _Slice) -> tuple[_Slice, Array]:
    """Step out (Neal 2003, figure 3), both ends of all chains at once; with how many steps were made."""
    chains = interval.left.shape[0]

    def widen(carry: tuple) -> tuple:
        (left, right, left_steps, right_steps), going, count = carry
        going = going & (jnp.concatenate([left_steps, right_steps]) > 0)
        going = going & below(left, right, going)
        go_left, go_right = going[:chains], going[chains:]
        after = _Slice(
            jnp.where(go_left, left - 1.0, left),
            jnp.where(go_right, right + 1.0, right),
            left_steps - go_left,
            right_steps - go_right,
        )
        return after, going, count + jnp.sum(going, dtype=jnp.int32)

    first = (interval, jnp.ones(2 * chains, bool), jnp.zeros((), jnp.int32))
    interval, _, count = lax.while_loop(lambda carry: jnp.any(carry[1]), widen, first)
    return interval, count
