"""One small network, ``tanh(x W + b) V``, in every package, with the names that its parameters have there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from numpyro.contrib import module as adapters

X = np.linspace(-1.0, 1.0, 15, dtype=np.float32).reshape(5, 3)


class Case(NamedTuple):
    """``names`` are those of W, b and V; ``transposed`` says that weights multiply from the left."""

    package: str
    names: tuple[str, str, str]
    transposed: bool
    fitted: Callable[[], Callable]
    random: Callable[..., Callable]

    def output(self, values: Any, x: Any = X) -> Any:
        """The network itself, of values by name."""
        W, b, V = (np.asarray(values[name]) for name in self.names)
        if self.transposed:
            W, V = W.T, V.T
        return np.tanh(x @ W + b) @ V


def linen_network() -> Any:
    from flax import linen

    class Net(linen.Module):
        @linen.compact
        def __call__(self, x: Any) -> Any:
            hidden = jnp.tanh(linen.Dense(4)(x))
            return linen.Dense(2, use_bias=False)(hidden)

    return Net()


def nnx_network() -> Any:
    from flax import nnx

    class Net(nnx.Module):
        def __init__(self, rngs: Any) -> None:
            self.hidden = nnx.Linear(3, 4, rngs=rngs)
            self.out = nnx.Linear(4, 2, use_bias=False, rngs=rngs)

        def __call__(self, x: Any) -> Any:
            return self.out(jnp.tanh(self.hidden(x)))

    return Net(nnx.Rngs(0))


def equinox_network() -> Any:
    import equinox

    keys = jax.random.split(jax.random.key(0))
    hidden, out = equinox.nn.Linear(3, 4, key=keys[0]), equinox.nn.Linear(4, 2, use_bias=False, key=keys[1])
    return equinox.nn.Sequential([hidden, equinox.nn.Lambda(jnp.tanh), out])


def haiku_network() -> Any:
    import haiku

    def network(x: Any) -> Any:
        hidden = jnp.tanh(haiku.Linear(4)(x))
        return haiku.Linear(2, with_bias=False)(hidden)

    return haiku.transform(network)


CASES = [
    Case(
        "flax",
        ("Dense_0.kernel", "Dense_0.bias", "Dense_1.kernel"),
        False,
        lambda: adapters.flax_module("nn", linen_network(), input_shape=X.shape),
        lambda prior: adapters.random_flax_module("nn", linen_network(), prior, X),
    ),
    Case(
        "flax",
        ("hidden.kernel", "hidden.bias", "out.kernel"),
        False,
        lambda: adapters.nnx_module("nn", nnx_network()),
        lambda prior: adapters.random_nnx_module("nn", nnx_network(), prior),
    ),
    Case(
        "equinox",
        ("layers[0].weight", "layers[0].bias", "layers[2].weight"),
        True,
        lambda: jax.vmap(adapters.eqx_module("nn", equinox_network())),
        lambda prior: jax.vmap(adapters.random_eqx_module("nn", equinox_network(), prior)),
    ),
    Case(
        "haiku",
        ("linear.w", "linear.b", "linear_1.w"),
        False,
        lambda: adapters.haiku_module("nn", haiku_network(), input_shape=X.shape),
        lambda prior: adapters.random_haiku_module("nn", haiku_network(), prior, X),
    ),
]
NAMES = ["linen", "nnx", "equinox", "haiku"]
