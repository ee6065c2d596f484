"""Uniform numbers for the leaves of a trajectory, from a hash of a counter.

A trajectory needs one uniform number a leaf. A full cryptographic generator for each would cost more than the rest of a
leaf's book-keeping, so one draw of the chain's key seeds a hash and the leaf's number is its counter.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._typing import Array, Key


def seed_words(rng_key: Key) -> Array:
    """Two 32-bit words that seed :func:`counter_uniform`."""
    return jax.random.bits(rng_key, (2,), np.uint32)


def counter_uniform(seed: Array, counter: Array, dtype: np.dtype) -> Array:
    """A number uniform on (0, 1), a function of ``seed`` (two 32-bit words) and ``counter`` (an integer scalar).

    Two rounds of a 32-bit finalizer (xor-shift and multiply, constants of C. Wellons' *hash-prospector*, bias below
    0.2), each keyed by one word of the seed.
    """
    x = counter.astype(jnp.uint32) * np.uint32(0x9E3779B9) + seed[0]
    x = _finalize(x) + seed[1]
    x = _finalize(x)
    # The 23 high bits, centred in their cells, so that neither 0 nor 1 comes out.
    return (x >> np.uint32(9)).astype(dtype) * np.asarray(2.0**-23, dtype) + np.asarray(2.0**-24, dtype)


def _finalize(x: Array) -> Array:
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x21F0AAAD)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x735A2D97)
    return x ^ (x >> np.uint32(15))
