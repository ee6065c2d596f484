"""Networks for flows, in the style of :mod:`jax.example_libraries.stax`.

Each function here returns a pair ``(init_fun, apply_fun)``: ``init_fun(rng_key, input_shape)`` gives the shape of the
output and initial parameters, a pytree; ``apply_fun(params, inputs)`` the output.

``masked_dense`` is a layer in which some connections are cut; ``auto_reg_nn`` joins such layers so that each output
depends on earlier inputs only; ``block_neural_arn`` has monotone networks with several units for each input, and gives
the logarithm of its derivatives as well. :mod:`numpyro.distributions.flows` makes transforms of them.
"""

from numpyro.nn.auto_reg_nn import AutoregressiveNN
from numpyro.nn.block_neural_arn import BlockNeuralAutoregressiveNN
from numpyro.nn.masked_dense import MaskedDense

__all__ = ["AutoregressiveNN", "BlockNeuralAutoregressiveNN", "MaskedDense"]
