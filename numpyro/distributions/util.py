"""Functions that families share, under the names that the interface gives them."""

from numpyro.distributions._lazy import lazy_property
from numpyro.distributions._shapes import (
    is_identically_one,
    is_identically_zero,
    promote_shapes,
    scale_and_mask,
    sum_rightmost,
)
from numpyro.distributions._validation import validate_sample
from numpyro.util import is_prng_key

__all__ = [
    "is_identically_one",
    "is_identically_zero",
    "is_prng_key",
    "lazy_property",
    "promote_shapes",
    "scale_and_mask",
    "sum_rightmost",
    "validate_sample",
]
