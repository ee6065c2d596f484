"""Exact sums over discrete variables of products of factors, in log space, plate by plate.

A model of discrete variables :math:`z_1, \\ldots, z_n` is a product of factors, each a function of a few of them. Its
sum over all assignments is a sum of exponentially many terms, but sums may move past factors that do not depend on
their variable. This package knows arrays with named axes and nothing of models:

1. ``named``: arrays whose axes have names, and products of them (sums of logarithms);
2. ``contraction``: the factors of some variables multiplied and summed in a good order (opt_einsum finds it);
3. ``elimination``: factors that stand in plates, by tensor variable elimination (Obermeyer et al., *Tensor variable
   elimination for plated factor graphs*, 2019);
4. ``chain``: variables linked from one time to the next, one after the other or in parallel (Särkkä &
   García-Fernández, *Temporal parallelization of Bayesian smoothers*, 2021);
5. ``decoding``: the way back: draws of the variables from their joint distribution, or its mode.
"""

from numpyro.ops.sum_product.decoding import choose_best, choose_draw, decode
from numpyro.ops.sum_product.elimination import Factor, Plate, Problem, Solution, Variable, eliminate
from numpyro.ops.sum_product.named import NamedArray, log_sum_exp, maximum

__all__ = [
    "Factor",
    "NamedArray",
    "Plate",
    "Problem",
    "Solution",
    "Variable",
    "choose_best",
    "choose_draw",
    "decode",
    "eliminate",
    "log_sum_exp",
    "maximum",
]
