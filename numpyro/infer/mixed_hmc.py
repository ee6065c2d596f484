"""Mixed Hamiltonian Monte Carlo: discrete values change in the course of trajectories of the continuous ones.

To the potential energy :math:`U(x, q)` of discrete values :math:`x` and continuous ones :math:`q` come the kinetic
energy :math:`K(p)` of momenta of :math:`q` and an energy :math:`k_j \\ge 0` of each discrete element :math:`j`, all
drawn anew in each iteration: :math:`p \\sim N(0, M)`, :math:`k_j \\sim \\mathrm{Exponential}(1)`. A trajectory follows
Hamilton's equations for :math:`(q, p)` by leapfrog steps and, between them, visits discrete elements. At a visit of
:math:`j` another value is proposed by :math:`Q`, at the cost

.. math:: \\Delta = U(x', q) - U(x, q) + \\log \\frac{Q(x' \\mid x)}{Q(x \\mid x')};

where :math:`k_j > \\Delta`, the value is taken and :math:`k_j` pays for it. This leaves
:math:`e^{-U - \\sum_j k_j}` invariant and is its own inverse. The order of the visits and their places between the
steps are as likely as their reverse, so that the trajectory as a whole is reversible, and what has to be corrected are
the errors of the leapfrog steps alone: the end is accepted with probability :math:`\\min(1, e^{-\\delta})`, with
:math:`\\delta` the change of :math:`U + K` less the changes of :math:`U` at visits.

**Reference:** G. Zhou, *Mixed Hamiltonian Monte Carlo for mixed discrete and continuous variables* (2020), with Laplace
momenta.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from numpyro._errors import UsageError
from numpyro._typing import Array, Key, PyTree
from numpyro.infer.chain_axis import update_where
from numpyro.infer.gibbs import DiscreteGibbs, Gibbs, any_changed
from numpyro.infer.gibbs.blocks import DiscreteBlock, HMCBlock
from numpyro.infer.gibbs.sampler import GibbsSampler
from numpyro.infer.gibbs.states import DiscreteGibbsState, GibbsState
from numpyro.infer.gibbs.sweep import accept
from numpyro.infer.hmc import HMC, NUTS, HMCState
from numpyro.infer.hmc.integrator import PhasePoint, leapfrog
from numpyro.infer.hmc.trajectory import MAX_DELTA_ENERGY, Transition, energy_change
from numpyro.infer.hmc.transition import mass_of
from numpyro.infer.hmc_gibbs.inner import AroundHMC

LARGEST_ENERGY = 1e6
"""More energy than any visit costs, in place of infinite gains."""


class MixedHMCState(NamedTuple):
    """The state of :class:`MixedHMC`.

    - **z** - the values of all latent sites: unconstrained for continuous ones.
    - **hmc_state** - the :class:`~numpyro.infer.hmc.HMCState` of the continuous sites.
    - **rng_key** - the key of the next iteration.
    - **accept_prob** - the acceptance probability of the last trajectory.
    """

    z: dict[str, Any]
    hmc_state: HMCState
    rng_key: Key
    accept_prob: Array


class MixedHMC(AroundHMC):
    """HMC for continuous sites, with changes of discrete sites in the course of its trajectories.

    Discrete sites that are marked ``infer={"enumerate": "parallel"}`` are summed out instead.

    :param inner_kernel: HMC of a model, not NUTS; its trajectory length is that of the whole trajectory.
    :param num_discrete_updates: visits of discrete elements in a trajectory; by default as many as there are elements,
        each of which is then visited once.
    :param random_walk: propose a value uniformly from the support, in place of drawing from the conditional
        distribution.
    :param modified: propose other values than the present one only.
    :raises ValueError: for an inner kernel of another kind, for a number of visits below 1 and, when a chain starts,
        for a model without discrete latent sites or with supports that are not finite.

    **Reference:** G. Zhou, *Mixed Hamiltonian Monte Carlo for mixed discrete and continuous variables* (2020).

    >>> import jax, jax.numpy as jnp, numpyro, numpyro.distributions as dist
    >>> from numpyro.infer import HMC, MCMC, MixedHMC
    >>> def model(probs, locs):
    ...     c = numpyro.sample("c", dist.Categorical(probs))
    ...     numpyro.sample("x", dist.Normal(locs[c], 0.5))
    >>> kernel = MixedHMC(HMC(model, trajectory_length=1.2), num_discrete_updates=20)
    >>> mcmc = MCMC(kernel, num_warmup=100, num_samples=100, progress_bar=False)
    >>> mcmc.run(jax.random.key(0), jnp.array([0.15, 0.3, 0.3, 0.25]), jnp.array([-2.0, 0.0, 2.0, 4.0]))
    >>> mcmc.get_samples()["x"].shape
    (100,)
    """

    def __init__(
        self,
        inner_kernel: HMC,
        *,
        num_discrete_updates: int | None = None,
        random_walk: bool = False,
        modified: bool = False,
    ) -> None:
        super().__init__(inner_kernel)
        if isinstance(inner_kernel, NUTS):
            raise UsageError(
                "MixedHMC only works with HMC and does not support NUTS, whose trajectories have no length: use "
                "MixedHMC(HMC(model, ...)) or DiscreteHMCGibbs(NUTS(model))."
            )
        if num_discrete_updates is not None and (
            int(num_discrete_updates) != num_discrete_updates or num_discrete_updates < 1
        ):
            raise UsageError(f"`num_discrete_updates` must be a positive integer, got {num_discrete_updates}.")
        self._num_discrete_updates = None if num_discrete_updates is None else int(num_discrete_updates)
        discrete = DiscreteGibbs(inner_kernel.model, random_walk=random_walk, modified=modified)  # type: ignore[arg-type]
        self._gibbs = Gibbs([(discrete, None), (inner_kernel, None)])

    def wrap_model(self, wrapper: Callable[[Callable], Callable]) -> MixedHMC:
        wrapped = copy.copy(self)
        wrapped._gibbs = self._gibbs.wrap_model(wrapper)
        wrapped._inner_kernel = wrapped._gibbs.blocks[1][0]  # type: ignore[assignment]
        return wrapped

    def get_constrain_fn(self, model_args: tuple = (), model_kwargs: dict | None = None) -> Callable[[PyTree], PyTree]:
        return self._gibbs.get_constrain_fn(model_args, model_kwargs)

    def postprocess_fn(self, model_args: tuple, model_kwargs: dict) -> Callable[[PyTree], PyTree]:
        return self._gibbs.postprocess_fn(model_args, model_kwargs)

    def programs(
        self,
        num_warmup: int,
        init_params: PyTree,
        model_args: tuple,
        model_kwargs: dict,
        *,
        rng_key: Key | None = None,
        postprocess_fn: Callable[[PyTree], PyTree] | None = None,
    ) -> MixedSampler:
        parts = self._gibbs.programs(
            num_warmup, init_params, model_args, model_kwargs, rng_key=rng_key, postprocess_fn=postprocess_fn
        )
        discrete, hmc = parts.blocks
        if not isinstance(discrete, DiscreteBlock) or not isinstance(hmc, HMCBlock):
            raise UsageError("MixedHMC needs HMC itself as its inner kernel: a subclass overrides methods of it.")
        visits = self._num_discrete_updates or discrete.elements.count
        return MixedSampler(parts, visits)


class MixedSampler(GibbsSampler):
    """The programs of mixed HMC, from those of its two blocks.

    :param parts: discrete sites by their elements, and continuous ones by HMC.
    :param visits: the visits of discrete elements in a trajectory.
    """

    def __init__(self, parts: GibbsSampler, visits: int) -> None:
        super().__init__(parts.blocks, parts.positions, parts.density, parts.data[0], MixedHMCState, settings=visits)
        self.visits = visits

    @property
    def discrete(self) -> Any:
        return self.blocks[0]

    @property
    def hmc(self) -> Any:
        return self.blocks[1]

    def init(self, data: PyTree, rng_key: Key, init_params: PyTree) -> MixedHMCState:
        start = super()._init(data, rng_key, init_params)
        return MixedHMCState(start.z, start.block_states[1], start.rng_key, start.block_states[1].accept_prob)

    def step(self, data: PyTree, state: MixedHMCState) -> MixedHMCState:
        model_data, (potential_data, hmc_data), _ = data
        rng_key, hmc_key, slot_key, order_key, energy_key, visit_key, accept_key = jax.random.split(state.rng_key, 7)
        algorithm, elements, layout = self.hmc.hmc.algorithm, self.discrete.elements, self.hmc.hmc.layout
        hmc_state = state.hmc_state._replace(rng_key=hmc_key)
        beginning = algorithm.begin(algorithm.outset(hmc_data.tuning, hmc_state))
        start, mass, step_size = beginning.start, mass_of(hmc_state), hmc_state.adapt_state.step_size
        num_steps = algorithm.num_steps(hmc_data.tuning, hmc_state)

        def gradient_at(counted: Any) -> Callable[[Array], tuple[Array, Array]]:
            given = self.hmc.given(hmc_data, model_data, elements.values(counted))
            return self.hmc.hmc.potential_and_grad(given)

        # After how many steps each visit takes place, from 0 to all of them: the reverse order is as likely.
        slots = jnp.sort(jax.random.randint(slot_key, (self.visits,), 0, num_steps + 1))
        slots = jnp.append(slots, num_steps)
        if self.visits <= elements.count:
            order = jax.random.permutation(order_key, elements.count)[: self.visits]
        else:
            order = jax.random.randint(order_key, (self.visits,), 0, elements.count)
        sizes, propose = jnp.asarray(elements.sizes), elements.proposal()

        def visit(i: Array, carry: tuple) -> tuple:
            counted, point, energies, gained = carry
            z = layout.unravel(point.z)
            element = order[i]

            def potential(counted: Any) -> Array:
                return self.discrete.potential(potential_data, model_data, {**z, **elements.values(counted)})

            _, proposed, proposed_energy, log_ratio = propose(
                jax.random.fold_in(visit_key, i), counted, point.potential, potential, element, sizes[element]
            )
            left = energies[element] + log_ratio
            taken = left > 0
            changed = taken & any_changed(proposed, counted)

            def move(point: PhasePoint) -> PhasePoint:
                potential, grad = gradient_at(proposed)(point.z)
                return point._replace(potential=potential, grad=grad)

            moved = update_where(changed, move, point)
            counted = jax.tree.map(lambda new, old: jnp.where(taken, new, old), proposed, counted)
            energies = energies.at[element].set(jnp.where(taken, jnp.minimum(left, LARGEST_ENERGY), energies[element]))
            return counted, moved, energies, gained + (moved.potential - point.potential)

        def piece(i: Array, carry: tuple) -> tuple:
            counted, point, *rest = carry
            gradient = gradient_at(counted)
            length = slots[i] - jnp.where(i == 0, 0, slots[i - 1])
            point = lax.fori_loop(
                0, length, lambda _, p: leapfrog(gradient, algorithm.metric, mass, p, step_size), point
            )
            return update_where(i < self.visits, lambda carry: visit(i, carry), (counted, point, *rest))

        counted = elements.counted(self.discrete.own(state.z))
        energies = jax.random.exponential(energy_key, (elements.count,), start.z.dtype)
        carry = (counted, start, energies, jnp.zeros_like(start.potential))
        new_counted, end, _, gained = lax.fori_loop(0, self.visits + 1, piece, carry)

        first_energy = start.potential + algorithm.metric.kinetic_energy(mass, start.r)
        last_energy = end.potential + algorithm.metric.kinetic_energy(mass, end.r)
        delta = energy_change(last_energy - gained, first_energy)
        (counted, end, energy), _ = accept(
            accept_key, (new_counted, end, last_energy), (counted, start, first_energy), -delta
        )
        accept_prob = jnp.minimum(1.0, jnp.exp(-delta))
        transition = Transition(
            end.z, end.potential, end.grad, energy, num_steps, accept_prob, delta > MAX_DELTA_ENERGY
        )
        hmc_state = algorithm.finish(gradient_at(counted), hmc_data.tuning, hmc_state, beginning.rng_key, transition)
        z = {**layout.unravel(hmc_state.z), **elements.values(counted)}
        return MixedHMCState({name: z[name] for name in sorted(z)}, hmc_state, rng_key, accept_prob)

    def refresh(self, data: PyTree, state: MixedHMCState) -> MixedHMCState:
        return state._replace(hmc_state=self.hmc.refresh(data[1][1], data[0], state.hmc_state, state.z))

    def pack(self, state: MixedHMCState) -> MixedHMCState:
        return state._replace(hmc_state=self.hmc.pack(state.hmc_state))

    def unpack(self, state: MixedHMCState) -> MixedHMCState:
        return state._replace(hmc_state=self.hmc.unpack(state.hmc_state))

    def check_start(self, state: MixedHMCState) -> None:
        discrete = DiscreteGibbsState({}, state.hmc_state.potential_energy, state.rng_key)
        super().check_start(GibbsState(state.z, (discrete,), state.rng_key))  # type: ignore[arg-type]


MixedHMC.__module__ = MixedHMCState.__module__ = "numpyro.infer.mixed_hmc"
