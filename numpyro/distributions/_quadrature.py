"""Nodes and weights for the means that have no closed form."""

from __future__ import annotations

import numpy as np

from numpyro._typing import NumpyArray


def exponential_nodes(n: int) -> tuple[NumpyArray, NumpyArray]:
    r"""Nodes and weights for means over the standard exponential distribution, by the double exponential rule.

    :math:`t = e^{u - e^{-u}}`, the trapezoidal rule in :math:`u` (Takahasi and Mori 1974). For smooth functions whose
    scale is not far below 1, 80 nodes give all digits of double precision.

    :param n: how many.
    :return: nodes and weights, each of shape ``(n,)``.
    """
    u = np.linspace(-4.5, 5.0, n)
    t = np.exp(u - np.exp(-u))
    return t, t * (1 + np.exp(-u)) * np.exp(-t) * (u[1] - u[0])
