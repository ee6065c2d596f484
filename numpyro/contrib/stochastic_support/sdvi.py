"""Variational inference for models with stochastic support."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from numpyro._typing import Array, Key, PyTree
from numpyro.contrib.stochastic_support.branches import StochasticSupportInference
from numpyro.infer.autoguide import AutoNormal
from numpyro.infer.elbo import ELBO, Trace_ELBO
from numpyro.infer.model import ModelView
from numpyro.infer.svi import SVI


class SDVIResult(NamedTuple):
    """What :meth:`SDVI.run` returns.

    - **guides** - the guide of each program and its params, by the program's name: the values of its branching sites,
      joined by commas. ``None`` for the guide of a program without latent sites.
    - **slp_weights** - the probability of each program in the approximation.
    """

    guides: dict[str, tuple[Any, dict[str, PyTree]]]
    slp_weights: dict[str, Array]


class SDVI(StochasticSupportInference):
    """Support decomposition variational inference: a guide in each program, and weights from their bounds.

    With the evidence lower bounds :math:`L_k` of the programs, the approximation that is best over all of them has
    the weights :math:`w_k \\propto e^{L_k}`.

    :param model: a model with branching sites, ``infer={"branching": True}``; see
        :mod:`numpyro.contrib.stochastic_support`.
    :param optimizer: an optimiser, as for :class:`~numpyro.infer.SVI`.
    :param svi_num_steps: the steps of each program.
    :param combine_elbo_particles: draws from which each bound is estimated in the end.
    :param guide_init: makes a guide of a model; :class:`~numpyro.infer.autoguide.AutoNormal` by default.
    :param loss: the objective; :class:`~numpyro.infer.Trace_ELBO` by default.
    :param svi_progress_bar: show progress.
    :param num_slp_samples: how often the model is drawn from to find its programs.
    :param max_slps: how many programs are taken, those found most often first.
    :raises ValueError: if a number is not positive.

    **Reference:** T. Reichelt, L. Ong, T. Rainforth, *Rethinking variational inference for probabilistic programs with
    stochastic support* (2022).
    """

    def __init__(
        self,
        model: Callable,
        optimizer: Any,
        svi_num_steps: int = 1000,
        combine_elbo_particles: int = 1000,
        guide_init: Callable = AutoNormal,
        loss: ELBO = Trace_ELBO(),
        svi_progress_bar: bool = False,
        num_slp_samples: int = 1000,
        max_slps: int = 124,
    ) -> None:
        super().__init__(model, num_slp_samples, max_slps)
        for name, number in (
            ("svi_num_steps", svi_num_steps),
            ("combine_elbo_particles", combine_elbo_particles),
        ):
            if int(number) != number or number < 1:
                raise ValueError(f"`{name}` must be a positive integer, got {number}.")
        self.optimizer, self.guide_init, self.loss = optimizer, guide_init, loss
        self.svi_num_steps, self.combine_elbo_particles = int(svi_num_steps), int(combine_elbo_particles)
        self.svi_progress_bar = svi_progress_bar

    def _infer(self, rng_key: Key, program: Callable, args: tuple, kwargs: dict) -> tuple[Any, dict[str, PyTree]]:
        if not ModelView(program, args, kwargs).latent:
            return None, {}
        guide = self.guide_init(program)
        svi = SVI(program, guide, self.optimizer, loss=self.loss)
        result = svi.run(rng_key, self.svi_num_steps, *args, progress_bar=self.svi_progress_bar, **kwargs)
        return guide, result.params

    def _log_weight(self, rng_key: Key, program: Callable, result: Any, args: tuple, kwargs: dict) -> Array:
        guide, params = result
        if guide is None:
            view = ModelView(program, args, kwargs)
            return view.log_density(view.data(jax.random.PRNGKey(0)), {})
        elbo = Trace_ELBO(num_particles=self.combine_elbo_particles)
        return -elbo.loss(rng_key, params, program, guide, *args, **kwargs)

    def _result(self, results: dict[str, Any], weights: dict[str, Array]) -> SDVIResult:
        return SDVIResult(results, weights)
