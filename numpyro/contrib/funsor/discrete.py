"""Draws and modes of discrete latent sites."""

from numpyro.infer.discrete import infer_discrete

__all__ = ["infer_discrete"]
