"""Three fits: in the interface that this project and NumPyro share, and as hand-written losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

STEP_SIZE = 1e-3
ROWS, COLUMNS = 1000, 25
IMAGES, PIXELS, HIDDEN, LATENT = 128, 64, 64, 8

_rng = np.random.default_rng(0)
X = _rng.standard_normal((ROWS, COLUMNS)).astype(np.float32)
Y = (_rng.random(ROWS) < 1 / (1 + np.exp(-X @ _rng.standard_normal(COLUMNS)))).astype(np.float32)
DIGITS = (_rng.random((IMAGES, PIXELS)) < 0.3).astype(np.float32)


def dense(shapes: list[int], seed: int) -> list[dict[str, np.ndarray]]:
    """The first weights of a network."""
    rng = np.random.default_rng(seed)
    pairs = zip(shapes[:-1], shapes[1:], strict=True)
    return [
        {"w": (rng.standard_normal(p) / np.sqrt(p[0])).astype(np.float32), "b": np.zeros(p[1], np.float32)}
        for p in pairs
    ]


def apply(layers: list[dict[str, Any]], x: Any) -> Any:
    for layer in layers[:-1]:
        x = jax.nn.relu(x @ layer["w"] + layer["b"])
    return x @ layers[-1]["w"] + layers[-1]["b"]


ENCODER = dense([PIXELS, HIDDEN, 2 * LATENT], 1)
DECODER = dense([LATENT, HIDDEN, PIXELS], 2)


def shared(case: str) -> tuple[Any, tuple]:
    """``(svi, arguments)`` of a case, by the interface that both libraries have."""
    import numpyro
    import numpyro.distributions as dist
    from numpyro.infer import SVI, Trace_ELBO
    from numpyro.infer.autoguide import AutoIAFNormal, AutoNormal

    def regression(x: Any, y: Any) -> None:
        z = numpyro.sample("z", dist.Normal(jnp.zeros(COLUMNS), 1.0).to_event(1))
        with numpyro.plate("rows", ROWS):
            numpyro.sample("y", dist.Bernoulli(logits=x @ z), obs=y)

    def decode(images: Any) -> None:
        decoder = numpyro.param("decoder", DECODER)
        with numpyro.plate("images", IMAGES):
            z = numpyro.sample("z", dist.Normal(jnp.zeros(LATENT), 1.0).to_event(1))
            numpyro.sample("x", dist.Bernoulli(logits=apply(decoder, z)).to_event(1), obs=images)

    def encode(images: Any) -> None:
        loc, log_scale = jnp.split(apply(numpyro.param("encoder", ENCODER), images), 2, -1)
        with numpyro.plate("images", IMAGES):
            numpyro.sample("z", dist.Normal(loc, jnp.exp(log_scale)).to_event(1))

    optimizer = numpyro.optim.Adam(STEP_SIZE)
    if case == "vae":
        return SVI(decode, encode, optimizer, Trace_ELBO()), (DIGITS,)
    guide = AutoNormal(regression) if case == "logistic" else AutoIAFNormal(regression)
    return SVI(regression, guide, optimizer, Trace_ELBO()), (X, Y)


# The same, by hand


def _log_normal(x: Any, loc: Any, scale: Any) -> Any:
    return jnp.sum(-0.5 * ((x - loc) / scale) ** 2 - jnp.log(scale) - 0.5 * np.log(2 * np.pi))


def _log_bernoulli(y: Any, logits: Any) -> Any:
    return jnp.sum(y * logits - jax.nn.softplus(logits))


def _logistic_loss(p: Any, key: Any, x: Any, y: Any) -> Any:
    scale = jax.nn.softplus(p["scale"])
    z = p["loc"] + scale * jax.random.normal(key, (COLUMNS,))
    return _log_normal(z, p["loc"], scale) - _log_normal(z, 0.0, 1.0) - _log_bernoulli(y, x @ z)


def _vae_loss(p: Any, key: Any, images: Any) -> Any:
    loc, log_scale = jnp.split(apply(p["encoder"], images), 2, -1)
    scale = jnp.exp(log_scale)
    z = loc + scale * jax.random.normal(key, loc.shape)
    return _log_normal(z, loc, scale) - _log_normal(z, 0.0, 1.0) - _log_bernoulli(images, apply(p["decoder"], z))


def _masks() -> list[np.ndarray]:
    """Which weights an autoregressive network with two hidden layers as wide as its input may use."""
    inputs = np.arange(1, COLUMNS + 1)
    hidden = np.arange(COLUMNS) % (COLUMNS - 1) + 1
    return [
        (hidden >= inputs[:, None]).astype(np.float32),
        (hidden >= hidden[:, None]).astype(np.float32),
        np.concatenate([inputs > hidden[:, None]] * 2, 1).astype(np.float32),
        np.concatenate([inputs > inputs[:, None]] * 2, 1).astype(np.float32),
    ]


MASKS = _masks()


def _flow(layers: list[dict[str, Any]], z: Any) -> tuple[Any, Any]:
    """An inverse autoregressive flow, with direct connections, and its log determinant."""
    h = z
    for layer, mask in zip(layers[:-1], MASKS, strict=False):
        h = jax.nn.elu(h @ (layer["w"] * mask) + layer["b"])
    last = layers[-1]
    out = h @ (last["w"] * MASKS[2]) + z @ (last["skip"] * MASKS[3]) + last["b"]
    shift, log_scale = jnp.split(out, 2)
    log_scale = jnp.clip(log_scale, -5.0, 3.0)
    return z * jnp.exp(log_scale) + shift, jnp.sum(log_scale)


def _iaf_loss(p: Any, key: Any, x: Any, y: Any) -> Any:
    z = jax.random.normal(key, (COLUMNS,))
    log_q = _log_normal(z, 0.0, 1.0)
    for i, layers in enumerate(p):
        z, log_det = _flow(layers, z if i == 0 else z[::-1])
        log_q -= log_det
    return log_q - _log_normal(z, 0.0, 1.0) - _log_bernoulli(y, x @ z)


def bare(case: str) -> tuple[Callable, Any, tuple]:
    """``(loss, first params, arguments)`` of a case; the loss takes params, a key and the arguments."""
    if case == "logistic":
        params: Any = {"loc": np.zeros(COLUMNS, np.float32), "scale": np.full(COLUMNS, -2.25, np.float32)}
        return _logistic_loss, params, (X, Y)
    if case == "vae":
        return _vae_loss, {"encoder": ENCODER, "decoder": DECODER}, (DIGITS,)
    flows = []
    for i in range(3):
        layers = dense([COLUMNS, COLUMNS, COLUMNS, 2 * COLUMNS], 10 + i)
        layers[-1]["skip"] = np.zeros((COLUMNS, 2 * COLUMNS), np.float32)
        flows.append([{name: 0.1 * value for name, value in layer.items()} for layer in layers])
    return _iaf_loss, flows, (X, Y)
