"""What an objective is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpyro._errors import UsageError
from numpyro._typing import Array, Key, PyTree


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
        if isinstance(num_particles, bool) or not isinstance(num_particles, int) or num_particles < 1:
            raise UsageError(f"`num_particles` must be a positive integer, got {num_particles!r}.")
        self.num_particles = num_particles
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
    ) -> dict[str, Any]:
        """As :meth:`loss`, a dictionary with the keys ``"loss"`` and ``"mutable_state"``.

        :raises NotImplementedError: for objectives without mutable state.
        """
        raise NotImplementedError("This ELBO objective does not support mutable state.")


ELBO.__module__ = "numpyro.infer.elbo"
