"""A few factors multiplied and summed over variables, in an order that keeps what lies between small."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import opt_einsum

from numpyro.ops.sum_product.named import NamedArray, Reduce, product, reduced


class Sum(NamedTuple):
    """A step of an elimination: the product of ``operands`` was summed over the variables ``eliminated``."""

    operands: tuple[NamedArray, ...]
    eliminated: tuple[str, ...]


def contract(
    factors: Sequence[NamedArray], eliminated: Collection[str], reduce: Reduce
) -> tuple[NamedArray, list[Sum]]:
    """Sum the product of factors over variables.

    :param factors: the factors, by their logarithms.
    :param eliminated: the names of the variables to sum over.
    :param reduce: the sum.
    :return: the result, with all other axes of the factors, and the steps that were taken.

    Factors are joined two at a time, and a variable is summed over as soon as no other factor has it.
    """
    waiting = list(factors)
    steps = []
    for positions in contraction_order(waiting, eliminated):
        operands = tuple(waiting[position] for position in positions)
        waiting = [factor for position, factor in enumerate(waiting) if position not in positions]
        needed = {name for factor in waiting for name in factor.names}
        joint = product(operands)
        done = tuple(name for name in joint.names if name in eliminated and name not in needed)
        if done:
            steps.append(Sum(operands, done))
        waiting.append(reduced(joint, done, reduce))
    return waiting[0], steps


def contraction_order(factors: Sequence[NamedArray], eliminated: Collection[str]) -> list[tuple[int, ...]]:
    """Which factors to join, step by step, by their positions among those that wait; the result waits last."""
    if len(factors) <= 2:
        return [tuple(range(len(factors)))]
    symbols: dict[str, str] = {}
    for factor in factors:
        for name in factor.names:
            symbols.setdefault(name, opt_einsum.get_symbol(len(symbols)))
    inputs = ",".join("".join(symbols[name] for name in factor.names) for factor in factors)
    output = "".join(symbol for name, symbol in symbols.items() if name not in eliminated)
    shapes = [tuple(factor.sizes.values()) for factor in factors]
    path, _ = opt_einsum.contract_path(f"{inputs}->{output}", *shapes, shapes=True, optimize="auto")
    return [tuple(positions) for positions in path]
