"""Pathfinder as an initialization strategy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from numpyro._errors import UsageError
from numpyro._typing import Array, Key, PyTree
from numpyro.infer.initialization import init_to_uniform
from numpyro.infer.model import Layout, ModelView, find_initial
from numpyro.infer.pathfinder.path import follow


@dataclass(frozen=True)
class PathfinderStart:
    r"""Initialise with a draw from the best normal approximation along a path of L-BFGS.

    Every chain follows a path of its own. Unlike other strategies this one draws all sites at once, from an
    approximation of the posterior, so that warm-up begins where the posterior has its mass.
    :meth:`Pathfinder.init_params <numpyro.infer.pathfinder.Pathfinder.init_params>`, which weighs draws of several
    paths against each other, is for posteriors of several modes of different weight.

    :param init_strategy: where paths begin, :func:`~numpyro.infer.init_to_uniform` by default.
    :param history_size: pairs of steps and gradients that an approximation is made of, 6 by default.
    :param max_steps: the most steps of a path, 1000 by default.
    :param num_elbo_draws: draws for the evidence lower bound of each approximation, 25 by default.
    :raises ValueError: for counts that are no positive integers, or where it is called on a single site.

    >>> import jax, numpyro, numpyro.distributions as dist
    >>> from numpyro.infer import MCMC, NUTS
    >>> from numpyro.infer.pathfinder import init_to_pathfinder
    >>> def model():
    ...     numpyro.sample("x", dist.Normal(1000.0, 1.0))
    >>> kernel = NUTS(model, init_strategy=init_to_pathfinder)  # or init_to_pathfinder(max_steps=50)
    >>> mcmc = MCMC(kernel, num_warmup=100, num_samples=100, progress_bar=False)
    >>> mcmc.run(jax.random.key(0))
    >>> bool(abs(mcmc.get_samples()["x"].mean() - 1000) < 1)
    True

    **Reference:** Zhang, Carpenter, Gelman & Vehtari, *Pathfinder: parallel quasi-Newton variational inference* (2022).
    """

    init_strategy: Callable = init_to_uniform
    history_size: int = 6
    max_steps: int = 1000
    num_elbo_draws: int = 25

    def __post_init__(self) -> None:
        for name in ("history_size", "max_steps", "num_elbo_draws"):
            count = getattr(self, name)
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise UsageError(f"init_to_pathfinder: `{name}` must be a positive integer, got {count!r}.")

    def __call__(self, site: Mapping[str, Any] | None = None, **options: Any) -> PathfinderStart:
        """The strategy with other options."""
        if site is not None:
            raise UsageError(
                "init_to_pathfinder draws all sites of a model at once and cannot initialise a single one: give it as "
                "`init_strategy` to HMC, NUTS and other kernels, or as `init_loc_fn` to a guide."
            )
        return replace(self, **options)

    def draw_initial(self, view: ModelView, data: PyTree, rng_key: Key) -> dict[str, Array]:
        """Unconstrained initial values of all latent sites of a model.

        :param view: the model.
        :param data: its data.
        :param rng_key: a key.
        """
        start_key, path_key, draw_key = jax.random.split(rng_key, 3)
        layout = Layout(view.prototype)
        start = find_initial(view, data, start_key, self.init_strategy)
        path = follow(
            lambda flat: -view.log_density(data, layout.unravel(flat)),
            layout.ravel(start.unconstrained),
            path_key,
            history_size=self.history_size,
            max_steps=self.max_steps,
            num_elbo_draws=self.num_elbo_draws,
        )
        draw = path.normal.draw(draw_key, 1)[0][0]
        return layout.unravel(jnp.where(jnp.isfinite(path.elbo) & jnp.all(jnp.isfinite(draw)), draw, path.mode))


init_to_pathfinder = PathfinderStart()
"""An initialization strategy for models: every chain starts from a draw of Pathfinder's, see
:class:`PathfinderStart`."""

PathfinderStart.__module__ = "numpyro.infer.pathfinder"
