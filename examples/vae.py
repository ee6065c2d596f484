"""A variational auto-encoder of handwritten digits (Kingma & Welling 2014), its networks made with Flax.

The 1797 images that scikit-learn ships have 8 by 8 pixels, here black or white. An image has eight latent values; one
network draws the image from them, another one proposes them for an image. Held to images that neither has seen, by the
evidence lower bound per image, beside a model of independent pixels.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen
from sklearn.datasets import load_digits

import numpyro
import numpyro.distributions as dist
from numpyro.contrib.module import flax_module
from numpyro.infer import SVI, TraceMeanField_ELBO

SIZE, PIXELS = 8, 64


class Decoder(linen.Module):
    """The logits of pixels from latent values."""

    @linen.compact
    def __call__(self, z):
        return linen.Dense(PIXELS)(linen.relu(linen.Dense(128)(z)))


class Encoder(linen.Module):
    """The means and scales of latent values, from an image."""

    @linen.compact
    def __call__(self, images):
        hidden = linen.relu(linen.Dense(128)(images))
        return linen.Dense(SIZE)(hidden), jnp.exp(linen.Dense(SIZE)(hidden))


def model(images, batch_size=None):
    decode = flax_module("decoder", Decoder(), input_shape=(1, SIZE))
    with numpyro.plate("images", len(images), subsample_size=batch_size):
        batch = numpyro.subsample(images, event_dim=1)
        z = numpyro.sample("z", dist.Normal(0.0, 1.0).expand([SIZE]).to_event(1))
        numpyro.sample("pixels", dist.Bernoulli(logits=decode(z)).to_event(1), obs=batch)


def guide(images, batch_size=None):
    encode = flax_module("encoder", Encoder(), input_shape=(1, PIXELS))
    with numpyro.plate("images", len(images), subsample_size=batch_size):
        loc, scale = encode(numpyro.subsample(images, event_dim=1))
        numpyro.sample("z", dist.Normal(loc, scale).to_event(1))


def main(num_steps: int = 3000) -> dict[str, float]:
    """Fit; print and return bounds per image of the 297 that were held out."""
    images = (load_digits().data > 7.5).astype(np.float32)
    train, test = images[:1500], images[1500:]

    svi = SVI(model, guide, optax.adam(2e-3), TraceMeanField_ELBO())
    result = svi.run(jax.random.key(0), num_steps, train, batch_size=256, progress_bar=False)
    loss = TraceMeanField_ELBO(num_particles=50)
    evaluate = jax.jit(lambda params, images: loss.loss(jax.random.key(1), params, model, guide, images) / len(images))

    share = np.clip(train.mean(0), 0.001, 0.999)
    independent = float((test * np.log(share) + (1 - test) * np.log(1 - share)).sum(1).mean())
    bounds = {
        "independent pixels": independent,
        "training images": -float(evaluate(result.params, train)),
        "held out images": -float(evaluate(result.params, test)),
    }
    for name, bound in bounds.items():
        print(f"{name:<20} {bound:8.2f} per image")
    return bounds


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-steps", type=int, default=3000)
    main(**vars(parser.parse_args()))
