"""Inference: what algorithms need to know of a model, and the algorithms."""
