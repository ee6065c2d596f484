"""Draws from the mixture of guides that :class:`~numpyro.contrib.einstein.SteinVI` fits."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import Key, PyTree
from numpyro.handlers import seed, substitute, trace
from numpyro.infer.model.draws import map_draws


class MixtureGuidePredictive:
    """Predictions of a model whose latent values come from a mixture of guides, one for each particle.

    :param model: the model.
    :param guide: the guide.
    :param params: the params of :class:`~numpyro.contrib.einstein.SteinVI`.
    :param guide_sites: the names of those that particles have their own of, ``stein.guide_sites``.
    :param num_samples: the number of draws; as many as there are particles by default.
    :param return_sites: the names of sites to return; by default those that the guide does not draw.
    :param mixture_assignment_sitename: the name under which the particle of each draw is returned.
    :raises ValueError: where ``params`` miss some of ``guide_sites``, or these differ in the number of particles.

    The particles are equally likely.
    """

    def __init__(
        self,
        model: Callable,
        guide: Callable,
        params: Mapping[str, PyTree],
        guide_sites: Collection[str],
        num_samples: int | None = None,
        return_sites: Sequence[str] | None = None,
        mixture_assignment_sitename: str = "mixture_assignments",
    ) -> None:
        missing = sorted(set(guide_sites) - set(params))
        if missing or not guide_sites:
            raise UsageError(
                f"MixtureGuidePredictive: `params` has {sorted(params)}, without {missing or 'particles'}."
            )
        self.model, self.guide = model, guide
        self.guide_params = {name: params[name] for name in guide_sites}
        self.shared_params = {name: value for name, value in params.items() if name not in self.guide_params}
        sizes = {np.shape(leaf)[0] if np.ndim(leaf) else None for leaf in jax.tree.leaves(self.guide_params)}
        if len(sizes) != 1 or None in sizes:
            raise UsageError(
                f"MixtureGuidePredictive: the params {sorted(guide_sites)} must share a leading dimension, the number "
                f"of particles; these have {sizes}."
            )
        self.num_mixture_components: int = sizes.pop()  # type: ignore[assignment]
        self.num_samples = self.num_mixture_components if num_samples is None else num_samples
        if self.num_samples < 1:
            raise UsageError(f"MixtureGuidePredictive: `num_samples` must be positive, got {num_samples}.")
        self.return_sites = return_sites
        self.mixture_assignment_sitename = mixture_assignment_sitename

    def __call__(self, rng_key: Key, *args: Any, **kwargs: Any) -> dict[str, PyTree]:
        """Draw.

        :param rng_key: a key.
        :param args: arguments of model and guide.
        :return: values by site, with a leading dimension of draws.
        """
        assign_key, draw_key = jax.random.split(rng_key)
        assignments = jax.random.randint(assign_key, (self.num_samples,), 0, self.num_mixture_components)

        def of_one(rng_key: Key, index: Any) -> dict[str, PyTree]:
            guide_key, model_key = jax.random.split(rng_key)
            own = jax.tree.map(lambda leaf: jnp.asarray(leaf)[index], self.guide_params)
            with trace() as guide_trace, seed(rng_seed=guide_key), substitute(data={**self.shared_params, **own}):
                self.guide(*args, **kwargs)
            drawn = {name: site["value"] for name, site in guide_trace.items() if site["type"] == "sample"}
            with trace() as model_trace, seed(rng_seed=model_key), substitute(data={**self.shared_params, **drawn}):
                self.model(*args, **kwargs)
            return {name: site["value"] for name, site in model_trace.items() if self._is_returned(site, drawn)}

        found = map_draws(of_one, draw_key, assignments, (self.num_samples,), parallel=True)
        return {self.mixture_assignment_sitename: assignments, **found}

    def _is_returned(self, site: Any, drawn: Mapping[str, PyTree]) -> bool:
        if self.return_sites is not None:
            return site["name"] in self.return_sites
        return site["type"] == "deterministic" or (site["type"] == "sample" and site["name"] not in drawn)


MixtureGuidePredictive.__module__ = "numpyro.contrib.einstein"
