"""Normal scores of ranks: draws of any distribution, brought to a nearly normal one with their order kept."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np


def normal_scores(x: np.ndarray) -> np.ndarray:
    r"""Replace draws by the normal quantiles of their ranks, over all chains together.

    .. math:: z = \Phi^{-1}\Bigl(\frac{r - 3/8}{S + 1/4}\Bigr)

    with :math:`r` the rank among :math:`S` draws, averaged over ties (Blom 1958; Vehtari et al. 2021).

    :param x: draws of shape ``(parameters, chains, draws)``.
    :return: scores of the same shape; all ``nan`` for a parameter with a draw that is ``nan``.
    """
    num_parameters = x.shape[0]
    flat = x.reshape(num_parameters, -1)
    size = flat.shape[1]
    order = np.argsort(flat, axis=1)
    ordered = np.take_along_axis(flat, order, axis=1)
    # Twice the mean rank of a group of ties is the sum of its first and last rank: an integer, to look the score up by.
    index = np.broadcast_to(np.arange(1, size + 1), flat.shape)
    starts = np.ones(flat.shape, dtype=bool)
    starts[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    ends = np.ones(flat.shape, dtype=bool)
    ends[:, :-1] = starts[:, 1:]
    first = np.maximum.accumulate(np.where(starts, index, 0), axis=1)
    last = np.minimum.accumulate(np.where(ends, index, size)[:, ::-1], axis=1)[:, ::-1]
    scores = np.empty(flat.shape)
    np.put_along_axis(scores, order, _scores_of_twice_ranks(first + last, size), axis=1)
    scores[np.isnan(ordered[:, -1])] = np.nan  # nan is sorted last
    return scores.reshape(x.shape)


def _scores_of_twice_ranks(twice_ranks: np.ndarray, size: int) -> np.ndarray:
    quantile = NormalDist().inv_cdf
    table = np.zeros(2 * size + 1)
    table[twice_ranks] = 1.0
    needed = np.flatnonzero(table)
    table[needed] = [quantile((0.5 * r - 0.375) / (size + 0.25)) for r in needed.tolist()]
    return table[twice_ranks]
