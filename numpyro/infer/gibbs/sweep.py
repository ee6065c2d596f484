"""Moves of discrete values by their finite supports: one element at a time, given all others.

Values are counted here: an element of a site is an integer from 0 up to the size of its support. Let :math:`U_k` be the
potential energy with the element at its :math:`k`-th value, :math:`p_k \\propto e^{-U_k}` and :math:`i` where it is.
Four proposals, each with the log of the ratio with which it is accepted:

=========================  ============================================  ==========================================
``random_walk, modified``  proposed :math:`j`                            log ratio
=========================  ============================================  ==========================================
``False, False``           by :math:`p_j`                                0
``False, True``            by :math:`p_j / (1 - p_i)`, :math:`j \\ne i`   :math:`\\log(1 - p_i) - \\log(1 - p_j)`
``True, False``            uniformly                                     :math:`U_i - U_j`
``True, True``             uniformly, :math:`j \\ne i`                    :math:`U_i - U_j`
=========================  ============================================  ==========================================

**Reference:** J. S. Liu, *Peskun's theorem and a modified discrete-state Gibbs sampler* (1996), for the second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import logsumexp

from numpyro._typing import Array, Key
from numpyro.infer.model.layout import Layout

Values: TypeAlias = dict[str, Array]
PotentialFn: TypeAlias = Callable[[Values], Array]
ProposalFn: TypeAlias = Callable[[Key, Values, Array, PotentialFn, Array, Array], tuple[Key, Values, Array, Array]]
"""A function of a key, values, their potential energy, the potential energy as a function, the flat index of an element
and the size of its support. It returns a key, values with that element changed, their potential energy, and the log of
the ratio with which they are to be accepted."""


def select_discrete_proposal(random_walk: bool, modified: bool) -> ProposalFn:
    """The proposal of the table above.

    :param random_walk: propose uniformly, with one evaluation of the potential; otherwise by the conditional
        probabilities, with one for each other value.
    :param modified: propose other values only.
    """
    if random_walk:
        return _propose_other_uniformly if modified else _propose_uniformly
    return _propose_other_by_conditional if modified else _propose_by_conditional


def discrete_gibbs_sweep(
    rng_key: Key,
    z: Mapping[str, Array],
    potential_energy: Array,
    potential_fn: PotentialFn,
    support_sizes_flat: Any,
    proposal_fn: ProposalFn,
) -> tuple[Values, Array]:
    """Move each element of discrete values once, in random order.

    :param rng_key: a key.
    :param z: the values by site, counted from 0.
    :param potential_energy: their potential energy.
    :param potential_fn: the potential energy of values.
    :param support_sizes_flat: the sizes of the supports of all elements, site by site in the order of their names.
    :param proposal_fn: a proposal, see :func:`select_discrete_proposal`.
    :returns: the values and their potential energy.
    """
    count = np.shape(support_sizes_flat)[0]
    order_key, rng_key = jax.random.split(rng_key)
    keys = jax.random.split(rng_key, count)
    order = jax.random.permutation(order_key, count) if count > 1 else jnp.zeros(count, jnp.int32)
    sizes = jnp.asarray(support_sizes_flat, jnp.int32)

    def move(i: Array, carry: tuple[Values, Array]) -> tuple[Values, Array]:
        z, energy = carry
        element = order[i]
        key, proposed, proposed_energy, log_ratio = proposal_fn(
            keys[i], z, energy, potential_fn, element, sizes[element]
        )
        return accept(key, (proposed, proposed_energy), (z, energy), log_ratio)[0]

    start = ({name: jnp.asarray(value) for name, value in z.items()}, jnp.asarray(potential_energy))
    return lax.fori_loop(0, count, move, start)


def accept(rng_key: Key, new: Any, old: Any, log_ratio: Array) -> tuple[Any, Array]:
    """``new`` with probability :math:`\\min(1, e^{log ratio})`, else ``old``; and which."""
    accepted = jnp.log(jax.random.uniform(rng_key, dtype=log_ratio.dtype)) < log_ratio
    return jax.tree.map(lambda a, b: jnp.where(accepted, a, b), new, old), accepted


def _with_element(z: Values, element: Array, value: Any) -> Values:
    """The values with one element, by its flat index, set."""
    moved, start = {}, 0
    for name in sorted(z):
        array = z[name]
        # Out of bounds for the other sites, where nothing is written.
        position = jnp.where(element < start, array.size, element - start)
        moved[name] = jnp.ravel(array).at[position].set(value.astype(array.dtype), mode="drop").reshape(array.shape)
        start += array.size
    return moved


def _element(z: Values, element: Array) -> Array:
    return jnp.concatenate([jnp.ravel(z[name]) for name in sorted(z)])[element]


def _energy(potential_fn: PotentialFn, z: Values) -> Array:
    energy = potential_fn(z)
    return jnp.where(jnp.isnan(energy), jnp.inf, energy)


def _propose_uniformly(
    rng_key: Key, z: Values, energy: Array, potential_fn: PotentialFn, element: Array, size: Array
) -> tuple[Key, Values, Array, Array]:
    rng_key, draw_key = jax.random.split(rng_key)
    proposed = _with_element(z, element, jax.random.randint(draw_key, (), 0, size))
    proposed_energy = _energy(potential_fn, proposed)
    return rng_key, proposed, proposed_energy, _difference(energy, proposed_energy)


def _propose_other_uniformly(
    rng_key: Key, z: Values, energy: Array, potential_fn: PotentialFn, element: Array, size: Array
) -> tuple[Key, Values, Array, Array]:
    rng_key, draw_key = jax.random.split(rng_key)
    # A support of one value has no other.
    shift = jax.random.randint(draw_key, (), 1, jnp.maximum(size, 2))
    proposed = _with_element(z, element, (_element(z, element) + shift) % size)
    proposed_energy = _energy(potential_fn, proposed)
    return rng_key, proposed, proposed_energy, _difference(energy, proposed_energy)


def _difference(energy: Array, proposed_energy: Array) -> Array:
    """``energy - proposed_energy`` where the first may be infinite, too: what is impossible is left for anything."""
    return jnp.where(jnp.isinf(energy) & (energy > 0), jnp.inf, energy - proposed_energy)


def _others(z: Values, potential_fn: PotentialFn, element: Array, size: Array, most: int | None) -> tuple[Array, Array]:
    """The other values of an element, and minus the potential energy of each; -inf where there are fewer than most."""
    if most is None:
        most = int(size)  # of a support whose size is no run-time value
    shifts = np.arange(1, max(most, 2), dtype=np.int32)
    values = (_element(z, element) + shifts) % size
    log_weights = -jax.vmap(lambda value: _energy(potential_fn, _with_element(z, element, value)))(values)
    return values, jnp.where(shifts < size, log_weights, -jnp.inf)


def _propose_by_conditional(
    rng_key: Key,
    z: Values,
    energy: Array,
    potential_fn: PotentialFn,
    element: Array,
    size: Array,
    most: int | None = None,
) -> tuple[Key, Values, Array, Array]:
    rng_key, draw_key = jax.random.split(rng_key)
    values, log_weights = _others(z, potential_fn, element, size, most)
    values = jnp.append(values, _element(z, element).astype(values.dtype))
    log_weights = jnp.append(log_weights, -energy)
    chosen = jax.random.categorical(draw_key, log_weights)
    proposed = _with_element(z, element, values[chosen])
    return rng_key, proposed, -log_weights[chosen], jnp.zeros_like(energy)


def _propose_other_by_conditional(
    rng_key: Key,
    z: Values,
    energy: Array,
    potential_fn: PotentialFn,
    element: Array,
    size: Array,
    most: int | None = None,
) -> tuple[Key, Values, Array, Array]:
    rng_key, draw_key = jax.random.split(rng_key)
    values, log_weights = _others(z, potential_fn, element, size, most)
    chosen = jax.random.categorical(draw_key, log_weights)
    rest = jnp.where(jnp.arange(values.shape[0]) == chosen, -energy, log_weights)
    log_ratio = logsumexp(log_weights) - logsumexp(rest)
    # Without a possible other value the ratio is -inf; where all the mass is on the proposed one, +inf.
    log_ratio = jnp.where(jnp.isnan(log_ratio) | jnp.isneginf(log_weights[chosen]), -jnp.inf, log_ratio)
    return rng_key, _with_element(z, element, values[chosen]), -log_weights[chosen], log_ratio


class Elements:
    """The elements of discrete sites, counted; compares equal where the program is the same.

    :param supports: the list of values of each site.
    :param shapes: the shapes and dtypes of the sites.
    :param random_walk: see :func:`select_discrete_proposal`.
    :param modified: likewise.
    """

    def __init__(
        self, supports: Mapping[str, np.ndarray], shapes: Mapping[str, Any], random_walk: bool, modified: bool
    ) -> None:
        self.supports = {name: np.asarray(supports[name]) for name in sorted(shapes)}
        self.layout = Layout({name: jax.ShapeDtypeStruct(shapes[name].shape, jnp.int32) for name in shapes})
        self.sizes = np.concatenate(
            [np.full(int(np.prod(shapes[name].shape)), self.supports[name].size, np.int32) for name in sorted(shapes)]
        )
        self.dtypes = {name: shapes[name].dtype for name in shapes}
        self.random_walk, self.modified = bool(random_walk), bool(modified)

    @property
    def key(self) -> tuple:
        """What two must share to be the same."""
        supports = tuple((name, str(v.dtype), tuple(v.tolist())) for name, v in self.supports.items())
        return supports, self.layout, self.random_walk, self.modified

    @property
    def count(self) -> int:
        """The number of elements."""
        return len(self.sizes)

    def proposal(self) -> ProposalFn:
        """The proposal, which knows the size of the largest support."""
        propose: Any = select_discrete_proposal(self.random_walk, self.modified)
        return propose if self.random_walk else partial(propose, most=int(self.sizes.max(initial=1)))

    def values(self, counted: Values) -> Values:
        """The values of counted ones."""
        return {
            name: counted[name].astype(self.dtypes[name])
            if np.array_equal(support, np.arange(support.size))
            else jnp.asarray(support, self.dtypes[name])[counted[name]]
            for name, support in self.supports.items()
        }

    def counted(self, values: Mapping[str, Array]) -> Values:
        """The counted ones of values."""
        return {
            name: jnp.asarray(values[name], jnp.int32)
            if np.array_equal(support, np.arange(support.size))
            else jnp.argmax(jnp.asarray(values[name])[..., None] == support, -1).astype(jnp.int32)
            for name, support in self.supports.items()
        }

    def sweep(self, rng_key: Key, values: Mapping[str, Array], energy: Array, potential: PotentialFn) -> Any:
        """Move each element once.

        :param potential: the potential energy of values, not of counted ones.
        :returns: the values and their potential energy.
        """
        counted, energy = discrete_gibbs_sweep(
            rng_key,
            self.counted(values),
            energy,
            lambda counted: potential(self.values(counted)),
            self.sizes,
            self.proposal(),
        )
        return self.values(counted), energy


discrete_gibbs_sweep.__module__ = select_discrete_proposal.__module__ = "numpyro.infer.gibbs"
