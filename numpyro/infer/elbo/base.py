"""What an objective is."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, TypedDict

import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import Array, Key, PyTree


class LossWithMutableState(TypedDict):
    """What :meth:`ELBO.loss_with_mutable_state` returns: the loss, and the values of mutable sites or ``None``."""

    loss: Any
    mutable_state: dict[str, Any] | None


class ELBO:
    """Base class of objectives.

    :param num_particles: draws of the guide that the estimate is the mean of.
    :param vectorize_particles: evaluate them at once (``vmap``, by default), one after the other (``False``), or by a
        function that maps as ``vmap`` does.
    :raises ValueError: when ``num_particles`` is no positive integer.

    A subclass overrides :meth:`loss_with_mutable_state`, or :meth:`loss` where it knows no mutable state.
    """

    can_infer_discrete = False
    """Whether discrete latent sites of the model may be left out of the guide."""

    def __init__(self, num_particles: int = 1, vectorize_particles: bool | Callable = True) -> None:
        self.num_particles = _positive_integer(num_particles)
        self.vectorize_particles = vectorize_particles

    def loss(
        self, rng_key: Key, param_map: dict[str, PyTree], model: Callable, guide: Callable, *args: Any, **kwargs: Any
    ) -> Array:
        """An estimate of the negative objective.

        :param rng_key: a key.
        :param param_map: the (constrained) values of the params of model and guide, by name.
        :param model: the model.
        :param guide: the guide.
        :param args: arguments of both.
        """
        return self.loss_with_mutable_state(rng_key, param_map, model, guide, *args, **kwargs)["loss"]

    def loss_with_mutable_state(
        self, rng_key: Key, param_map: dict[str, PyTree], model: Callable, guide: Callable, *args: Any, **kwargs: Any
    ) -> LossWithMutableState:
        """As :meth:`loss`, a dictionary with the keys ``"loss"`` and ``"mutable_state"``.

        :raises NotImplementedError: for objectives without mutable state.
        """
        raise NotImplementedError("This ELBO objective does not support mutable state.")


def _positive_integer(value: Any) -> int:
    try:
        number = 0 if isinstance(value, (bool, np.bool_)) else operator.index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise UsageError(f"`num_particles` must be a positive integer, got {value!r}.")
    return number


ELBO.__module__ = LossWithMutableState.__module__ = "numpyro.infer.elbo"
