"""Handlers of enumeration under their documented names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpyro import handlers, primitives
from numpyro.enumeration import enum, markov
from numpyro.handlers import infer_config

__all__ = ["enum", "infer_config", "markov", "plate", "to_data", "to_funsor", "trace"]

LOCAL = "local"
"""The kind of dimension that ends with the context in which it was made."""


class plate(primitives.plate):
    """A plate; the plates of models serve enumeration as they are.

    :param name: the name of the plate.
    :param size: the number of independent entries.
    :param subsample_size: the number of entries in a random subsample.
    :param dim: the dimension, negative.
    """


class trace(handlers.trace):
    """Record the sites of a model, enumerated ones among them.

    :param fn: the model.

    Each sample site's ``infer`` says which of its dimensions are of which site or plate (``"dim_to_name"`` and
    ``"name_to_dim"``).
    """


def to_funsor(x: Any, output: Any = None, dim_to_name: Mapping[int, str] | None = None, dim_type: Any = LOCAL) -> Any:
    """Hand an array through: enumeration works on plain arrays.

    :param x: an array.
    :param output: its type; plain arrays say it themselves.
    :param dim_to_name: names of its dimensions; the trace of a model keeps account of them.
    :param dim_type: how long the dimensions are to last; ``markov`` contexts say so.
    """
    return x


def to_data(x: Any, name_to_dim: Mapping[str, int] | None = None, dim_type: Any = LOCAL) -> Any:
    """Hand an array through: see :func:`to_funsor`.

    :param x: an array.
    :param name_to_dim: dimensions of its names.
    :param dim_type: how long the dimensions are to last.
    """
    return x
