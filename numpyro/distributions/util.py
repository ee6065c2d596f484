"""Functions that families share, under the names that the interface gives them.

Shapes, masks and validation come from this room; matrices, special functions, random numbers from :mod:`numpyro.ops`.
"""

from numpyro.distributions._lazy import lazy_property
from numpyro.distributions._shapes import (
    is_identically_one,
    is_identically_zero,
    promote_shapes,
    scale_and_mask,
    sum_rightmost,
)
from numpyro.distributions._validation import validate_sample_and_select as validate_sample
from numpyro.ops.linalg import (
    add_diag,
    cholesky_of_inverse,
    cholesky_update,
    matrix_to_tril_vec,
    safe_normalize,
    signed_stick_breaking_tril,
    tri_logabsdet,
    vec_to_tril_matrix,
)
from numpyro.ops.random import binomial, categorical, multinomial, von_mises_centered
from numpyro.ops.special import (
    betainc,
    betaincinv,
    binary_cross_entropy_with_logits,
    clamp_probs,
    gammaincinv,
    log1mexp,
    logdiffexp,
    logmatmulexp,
    multidigamma,
)
from numpyro.util import is_prng_key

__all__ = [
    "add_diag",
    "betainc",
    "betaincinv",
    "binary_cross_entropy_with_logits",
    "binomial",
    "categorical",
    "cholesky_of_inverse",
    "cholesky_update",
    "clamp_probs",
    "gammaincinv",
    "is_identically_one",
    "is_identically_zero",
    "is_prng_key",
    "lazy_property",
    "log1mexp",
    "logdiffexp",
    "logmatmulexp",
    "matrix_to_tril_vec",
    "multidigamma",
    "multinomial",
    "promote_shapes",
    "safe_normalize",
    "scale_and_mask",
    "signed_stick_breaking_tril",
    "sum_rightmost",
    "tri_logabsdet",
    "validate_sample",
    "vec_to_tril_matrix",
    "von_mises_centered",
]
