"""The objective of a mixture of guides, one component for each particle."""

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jax.scipy.special import logsumexp

from numpyro._errors import UsageError
from numpyro._typing import Array, Key, PyTree
from numpyro.distributions import Delta
from numpyro.handlers import replay
from numpyro.infer.elbo.checks import check_match
from numpyro.infer.elbo.particles import (
    mutable_state,
    over_particles,
    site_terms,
    sum_terms,
    trace_guide,
    trace_model,
)


class SteinLoss:
    r"""The evidence lower bound of the mixture of :math:`m` guides :math:`q(z \mid x_i)`, one for each particle,

    .. math:: \mathcal L = \frac 1 m \sum_i E_{q(z \mid x_i)}
        \Big[\log p(y, z) - \log \frac 1 m \sum_l q(z \mid x_l)\Big]

    Sites that are point masses (those of :class:`~numpyro.infer.autoguide.AutoDelta`) have no density to compare, and
    take no part in the sum over :math:`l`.

    :param elbo_num_particles: draws from each guide, 1 by default.
    :param stein_num_particles: the number of particles whose terms :meth:`loss` takes, drawn at random where it is not
        the number of all; 1 by default.
    :raises ValueError: where one is no positive integer.

    **Reference:** Rønning, Nalisnick, Ley, Smyth & Hamelryck, *ELBOing Stein: variational Bayes with Stein mixture
    inference* (2024).
    """

    def __init__(self, elbo_num_particles: int = 1, stein_num_particles: int = 1) -> None:
        for name, count in (("elbo_num_particles", elbo_num_particles), ("stein_num_particles", stein_num_particles)):
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise UsageError(f"SteinLoss: `{name}` must be a positive integer, got {count!r}.")
        self.elbo_num_particles = elbo_num_particles
        self.stein_num_particles = stein_num_particles

    def particle_loss(
        self,
        rng_key: Key,
        model: Callable,
        guide: Callable,
        selected_particle: dict[str, PyTree],
        unravel_pytree: Callable[[Array], dict[str, PyTree]],
        flat_particles: Array,
        select_index: Any,
        model_args: tuple,
        model_kwargs: dict[str, Any],
        param_map: dict[str, PyTree],
    ) -> Array:
        r"""An estimate of the term of one particle, the mean of
        :math:`\log p(y, z) - \log \frac 1 m \sum_l q(z \mid x_l)`.

        The gradient with respect to the selected particle goes through :math:`z` alone. Its mean is that of
        :math:`m \mathcal L`: since :math:`\sum_i E_{q_i} \nabla \log \sum_l q_l = \nabla \int \sum_l q_l = 0`, what the
        densities :math:`q_l` add at a fixed :math:`z` cancels between the particles.

        :param rng_key: a key.
        :param model: the model.
        :param guide: the guide.
        :param selected_particle: the params of the guide that the particle stands for, constrained.
        :param unravel_pytree: makes such params from a row of ``flat_particles``.
        :param flat_particles: all particles, of shape ``(number, size)``.
        :param select_index: the row of the particle.
        :param model_args: arguments of model and guide.
        :param model_kwargs: keyword arguments of model and guide.
        :param param_map: params that all particles share.
        :return: the mean over ``elbo_num_particles`` draws.
        """
        # The mixture at fixed params; its own component, too, is taken from the rows.
        mixture = lax.stop_gradient(flat_particles)

        def of_draw(rng_key: Key) -> Array:
            model_key, guide_key = jax.random.split(rng_key)
            guide_trace = trace_guide(guide_key, {**param_map, **selected_particle}, guide, model_args, model_kwargs)
            if mutable_state(guide_trace) is not None:
                raise UsageError("SteinVI does not support mutable state, which each particle would leave its own of.")
            model_trace = trace_model(model_key, param_map, model, model_args, model_kwargs, guide_trace)
            check_match(model_trace, guide_trace)
            drawn = {name: site for name, site in guide_trace.items() if not _is_point_mass(site)}
            again = replay(guide, trace=drawn)

            def log_density(flat: Array) -> Array:
                params = {**lax.stop_gradient(param_map), **unravel_pytree(flat)}
                return sum_terms(site_terms(trace_guide(guide_key, params, again, model_args, model_kwargs)))

            log_mixture = logsumexp(jax.vmap(log_density)(mixture)) - log(mixture.shape[0])
            return sum_terms(site_terms(model_trace)) - log_mixture

        return jnp.mean(over_particles(of_draw, rng_key, self.elbo_num_particles, True))

    def loss(
        self,
        rng_key: Key,
        param_map: dict[str, PyTree],
        model: Callable,
        guide: Callable,
        particles: dict[str, PyTree],
        *args: Any,
        **kwargs: Any,
    ) -> Array:
        r"""An estimate of :math:`-\mathcal L`.

        :param rng_key: a key.
        :param param_map: params that all particles share, constrained.
        :param model: the model.
        :param guide: the guide.
        :param particles: the params of the guides, constrained, with a leading dimension for the particles.
        :param args: arguments of model and guide.
        """
        flat, unravel = ravel_particles(particles)
        count = flat.shape[0]
        select_key, rng_key = jax.random.split(rng_key)
        selected: Any = np.arange(count)
        if self.stein_num_particles != count:
            is_many = self.stein_num_particles > count
            selected = jax.random.choice(select_key, count, (self.stein_num_particles,), replace=is_many)

        def term(rng_key: Key, index: Any) -> Array:
            particle = unravel(flat[index])
            return self.particle_loss(rng_key, model, guide, particle, unravel, flat, index, args, kwargs, param_map)

        return -jnp.mean(jax.vmap(term)(jax.random.split(rng_key, len(selected)), selected))


def ravel_particles(particles: dict[str, PyTree]) -> tuple[Array, Callable[[Array], dict[str, PyTree]]]:
    """Particles as the rows of a matrix, and the function that makes a particle of a row.

    :param particles: arrays with a leading dimension for the particles.
    """
    first = jax.tree.map(lambda leaf: leaf[0], particles)
    flat = jax.vmap(lambda particle: ravel_pytree(particle)[0])(particles)
    return flat, ravel_pytree(first)[1]


def _is_point_mass(site: Any) -> bool:
    fn = site.get("fn")
    while hasattr(fn, "base_dist"):
        fn = fn.base_dist
    return site["type"] == "sample" and isinstance(fn, Delta)


SteinLoss.__module__ = "numpyro.contrib.einstein"
