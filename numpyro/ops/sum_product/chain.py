"""Variables that are linked from each step of a loop over time to the next.

Let :math:`s_t` be the state at time :math:`t`: the linked variables of the last ``history`` steps. Factors of step
:math:`t` depend on :math:`s_{t-1}` and :math:`s_t`, and

.. math:: \\sum_{s_1, \\ldots, s_T} \\prod_t F_t(s_{t-1}, s_t)

can be summed in two ways. *One step after the other*, from the end: a message
:math:`\\beta_{t-1}(s_{t-1}) = \\sum_{s_t}
F_t(s_{t-1}, s_t) \\beta_t(s_t)` costs a product of a matrix with a vector for each
step. *In parallel*: neighbouring steps
are joined, :math:`\\sum_{s} F_t(\\cdot, s) F_{t+1}(s, \\cdot)`, which halves the number of steps each time, so that
:math:`\\log_2 T` rounds are left, each a batch of products of matrices: more work, but in parallel. It also gives the
sum
as a function of the state at the end, where something after the loop depends on that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from numpyro._typing import Array
from numpyro.ops.sum_product.contraction import contract
from numpyro.ops.sum_product.named import NamedArray, Reduce, product, reduced, union

_order: ContextVar[str | None] = ContextVar("time_order", default=None)


@contextmanager
def time_order(order: str | None) -> Iterator[None]:
    """Sum loops over time in the given ``order``: ``"sequential"``, ``"parallel"`` or, by default, as the device likes.

    On a CPU steps are taken one after the other, since that is less work; elsewhere in parallel.
    """
    if order not in (None, "sequential", "parallel"):
        raise ValueError(f"order must be 'sequential', 'parallel' or None, but got {order!r}.")
    token = _order.set(order)
    try:
        yield
    finally:
        _order.reset(token)


class Links(NamedTuple):
    """How variables of one step are those of the steps before.

    :param chains: for each linked variable the names of its values at one step, from the oldest to the newest: with
        ``history`` :math:`h` there are :math:`h + 1` of them.
    :param first: for each linked variable the names of the :math:`h` values before the first step, oldest first.
    :param last: for each linked variable the names of the :math:`h` values at the last steps, oldest first.
    """

    chains: tuple[tuple[str, ...], ...]
    first: tuple[tuple[str, ...], ...]
    last: tuple[tuple[str, ...], ...]

    def restricted(self, names: Collection[str]) -> Links:
        """The links of those variables that have one of the ``names``."""
        return self.subset([any(name in names for name in chain) for chain in self.chains])

    def subset(self, kept: Sequence[bool]) -> Links:
        """The links of those variables that are ``kept``."""
        return Links(*(tuple(entry for entry, keep in zip(part, kept, strict=True) if keep) for part in self))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all linked values of a step."""
        return tuple(name for chain in self.chains for name in chain)

    @property
    def newest(self) -> tuple[str, ...]:
        """The names of the values that a step itself draws."""
        return tuple(chain[-1] for chain in self.chains)

    @property
    def before(self) -> tuple[str, ...]:
        """The names of the state before a step."""
        return tuple(name for chain in self.chains for name in chain[:-1])

    @property
    def after(self) -> tuple[str, ...]:
        """The names of the state after a step, in the order of those of the state before."""
        return tuple(name for chain in self.chains for name in chain[1:])

    @property
    def shift(self) -> dict[str, str]:
        """From the names of the state after a step to what the next step calls them."""
        return dict(zip(self.after, self.before, strict=True))


class Passage(NamedTuple):
    """A step of an elimination: a loop over time was summed out.

    :param factors: the factors, with an axis for time.
    :param time: the name of that axis.
    :param length: the number of steps.
    :param links: how steps are linked.
    :param sizes: the number of values of each name of a linked variable.
    :param messages: in sequential order, the message after each step, with an axis for time; otherwise ``None``.
    :param rounds: in parallel, the joined steps of each round; otherwise none.
    :param result: what is left: axes for the state before the first step and, in parallel, that after the last.
    """

    factors: tuple[NamedArray, ...]
    time: str
    length: int
    links: Links
    sizes: dict[str, int]
    messages: NamedArray | None
    rounds: tuple[Array, ...]
    result: NamedArray

    @property
    def batch(self) -> tuple[str, ...]:
        """The names of axes that are neither time nor linked variables."""
        return tuple(name for name in union(self.factors) if name != self.time and name not in self.links.names)


def eliminate_time(
    factors: Sequence[NamedArray],
    time: str,
    length: int,
    links: Links,
    sizes: dict[str, int],
    reduce: Reduce,
    *,
    end_is_needed: bool,
) -> Passage:
    """Sum the linked variables of all steps, but those before the first.

    :param factors: factors with an axis ``time`` (or without, where all steps have the same).
    :param sizes: the number of values of each linked name.
    :param end_is_needed: whether something after the loop depends on the last state; the result then has axes for it.
    """
    order = _order.get() or ("sequential" if jax.default_backend() == "cpu" else "parallel")
    factors = tuple(factors)
    messages: NamedArray | None = None
    rounds: tuple[Array, ...] = ()
    if end_is_needed or order == "parallel":
        rounds, result = _in_parallel(factors, time, length, links, sizes, reduce)
    else:
        messages, result = _one_by_one(factors, time, length, links, sizes, reduce)
    first = dict(zip(links.before, (name for names in links.first for name in names), strict=True))
    result = result.renamed(first)
    if not end_is_needed:
        last = [name for names in links.last for name in names]
        result = reduced(result, last, reduce)
    return Passage(factors, time, length, links, sizes, messages, rounds, result)


def at_step(factors: Sequence[NamedArray], time: str) -> tuple[list[Array], Callable[[list[Array]], list[NamedArray]]]:
    """The factors' arrays with time in front, to loop over, and the way back to the factors of one step."""
    timed = [factor for factor in factors if time in factor.names]
    constant = [factor for factor in factors if time not in factor.names]
    orders = [(time, *(name for name in factor.names if name != time)) for factor in timed]
    arrays = [factor.aligned(order) for factor, order in zip(timed, orders, strict=True)]

    def of_step(slices: list[Array]) -> list[NamedArray]:
        return [NamedArray(array, order[1:]) for array, order in zip(slices, orders, strict=True)] + constant

    return arrays, of_step


def _one_by_one(
    factors: tuple[NamedArray, ...], time: str, length: int, links: Links, sizes: dict[str, int], reduce: Reduce
) -> tuple[NamedArray, NamedArray]:
    arrays, of_step = at_step(factors, time)
    batch = {name: size for f in factors for name, size in f.sizes.items() if name != time and name not in links.names}
    names = (*batch, *links.after)
    shape = (*batch.values(), *(sizes[name] for name in links.after))
    back = dict(zip(links.before, links.after, strict=True))

    def step(message: Array, slices: list[Array]) -> tuple[Array, Array]:
        result, _ = contract([*of_step(slices), NamedArray(message, names)], links.newest, reduce)
        earlier = jnp.broadcast_to(result.renamed(back).aligned(names), shape)
        return earlier, message

    dtype = jnp.result_type(*(factor.array for factor in factors))
    start, messages = lax.scan(step, jnp.zeros(shape, dtype), arrays, length=length, reverse=True)
    return NamedArray(messages, (time, *names)), NamedArray(start, (*batch, *links.before))


def _in_parallel(
    factors: tuple[NamedArray, ...], time: str, length: int, links: Links, sizes: dict[str, int], reduce: Reduce
) -> tuple[tuple[Array, ...], NamedArray]:
    steps, batch = transition_matrices(factors, time, length, links, sizes)
    rounds = [steps]
    while rounds[-1].shape[0] > 1:
        rounds.append(_join_neighbours(rounds[-1], reduce))
    shape = tuple(sizes[name] for name in links.before)
    last = tuple(name for names in links.last for name in names)
    whole = jnp.reshape(rounds[-1][0], (*rounds[-1].shape[1:-2], *shape, *shape))
    return tuple(rounds), NamedArray(whole, (*batch, *links.before, *last))


def transition_matrices(
    factors: tuple[NamedArray, ...], time: str, length: int, links: Links, sizes: dict[str, int]
) -> tuple[Array, tuple[str, ...]]:
    """The factors of each step as a matrix over the states before and after it, ``(time, batch, before, after)``.

    With a history of several steps the states overlap; where they contradict each other, the entry is
    :math:`-\\infty`.
    """
    table = product(factors)
    batch = tuple(name for name in table.names if name != time and name not in links.names)
    batch_shape = tuple(table.sizes[name] for name in batch)
    # The state after gets names of its own, so that what overlaps is held together by a factor of its own.
    own = {name: f"{name} after" for name in links.after if name not in links.newest}
    before, after = links.before, tuple(own.get(name, name) for name in links.after)
    agreement = [
        NamedArray(jnp.where(jnp.eye(sizes[name], dtype=bool), 0.0, -jnp.inf).astype(table.array.dtype), (name, copy))
        for name, copy in own.items()
    ]
    joint = product([table, *agreement])
    shape = (length, *batch_shape, *(sizes[name] for name in before), *(sizes[name] for name in links.after))
    full = jnp.broadcast_to(joint.aligned((time, *batch, *before, *after)), shape)
    size = 1
    for name in before:
        size *= sizes[name]
    return jnp.reshape(full, (length, *batch_shape, size, size)), batch


def _join_neighbours(steps: Array, reduce: Reduce) -> Array:
    """Join the steps 0 and 1, 2 and 3, ...; where their number is odd, the last one stays alone."""
    even = steps.shape[0] // 2 * 2
    joined = _matrix_product(steps[0:even:2], steps[1:even:2], reduce)
    return jnp.concatenate([joined, steps[even:]]) if even < steps.shape[0] else joined


def _matrix_product(left: Array, right: Array, reduce: Reduce) -> Array:
    """:math:`\\sum_s L(a, s) R(s, b)` by logarithms."""
    return reduce(left[..., :, :, None] + right[..., None, :, :], (left.ndim - 1,))
