"""Discrete latent variables summed out of a model exactly.

A site to be summed out does not get one value but all values of its support at once, along a dimension of its own to
the left of all plates; whatever the model computes from it broadcasts. So the model runs once, and the log
probabilities of its sites are arrays with an axis for each variable that they depend on: factors, which
:mod:`numpyro.ops.sum_product` sums.

1. ``contexts``: :func:`markov` contexts, which say which variables later ones may still depend on, so that dimensions
   can be used again;
2. ``enumerating``: how sites get their supports, and the account of the dimensions;
3. ``handler``: :class:`enum`, which does that for a model; ``loop``: the same for the steps of a loop;
4. ``factors``: from a trace to the factors, variables and plates of a sum;
5. ``values``: from a solved sum back to values of the sites.
"""

from numpyro.enumeration.contexts import markov
from numpyro.enumeration.enumerating import ENUMERATED, PIECE, PIECES, Enumerating
from numpyro.enumeration.factors import (
    chains_of,
    enumerated_sites,
    enumerated_variables,
    marginal_problem,
    plates_of,
    site_factor,
    unscaled_log_prob,
)
from numpyro.enumeration.handler import enum, is_enumerable
from numpyro.enumeration.values import conditional_values

__all__ = [
    "ENUMERATED",
    "PIECE",
    "PIECES",
    "Enumerating",
    "chains_of",
    "conditional_values",
    "enum",
    "enumerated_sites",
    "enumerated_variables",
    "is_enumerable",
    "marginal_problem",
    "markov",
    "plates_of",
    "site_factor",
    "unscaled_log_prob",
]
