"""Independent normal distributions, one at each latent site."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro.distributions import Normal, TransformedDistribution, constraints
from numpyro.distributions.transforms import IdentityTransform
from numpyro.infer.autoguide.base import AutoGuide
from numpyro.infer.autoguide.params import full, require_positive_scale, unconstrained_event_dim
from numpyro.infer.initialization import init_to_uniform
from numpyro.infer.model import Site
from numpyro.primitives import param, plate, sample


class AutoNormal(AutoGuide):
    r"""A normal distribution with a diagonal covariance, by site.

    .. math:: x_i = T_i(z_i), \qquad z_i \sim \mathcal N(\mu_i, \operatorname{diag} \sigma_i^2)

    with :math:`T_i` the bijection onto the support of site :math:`i`. Sites stand in the plates that they have in the
    model, subsampled where those are; the objective may then use Kullback-Leibler divergences in closed form
    (:class:`~numpyro.infer.TraceMeanField_ELBO`).

    :param model: the model.
    :param prefix: params are ``{site}_{prefix}_loc`` and ``{site}_{prefix}_scale``, of the unconstrained shapes of the
        sites, with the full sizes of plates.
    :param init_loc_fn: an initialization strategy for :math:`\mu`.
    :param init_scale: the first value of :math:`\sigma`, 0.1 by default; positive.
    :param create_plates: see :class:`AutoGuide`.
    :param forward_mode_differentiation: see :class:`AutoGuide`.

    >>> import jax, numpyro, numpyro.distributions as dist
    >>> from numpyro.infer import SVI, Trace_ELBO
    >>> from numpyro.infer.autoguide import AutoNormal
    >>> def model(y):
    ...     s = numpyro.sample("s", dist.HalfNormal(1.0))
    ...     numpyro.sample("y", dist.Normal(0.0, s), obs=y)
    >>> guide = AutoNormal(model)
    >>> svi = SVI(model, guide, numpyro.optim.Adam(0.05), Trace_ELBO())
    >>> result = svi.run(jax.random.key(0), 10, jax.numpy.ones(5), progress_bar=False)
    >>> sorted(result.params)
    ['s_auto_loc', 's_auto_scale']
    """

    scale_constraint = constraints.softplus_positive

    def __init__(
        self,
        model: Callable,
        *,
        prefix: str = "auto",
        init_loc_fn: Callable = init_to_uniform,
        init_scale: float = 0.1,
        create_plates: Callable | None = None,
        forward_mode_differentiation: bool = False,
    ) -> None:
        require_positive_scale(self, init_scale)
        self._init_scale = init_scale
        super().__init__(
            model,
            prefix=prefix,
            init_loc_fn=init_loc_fn,
            create_plates=create_plates,
            forward_mode_differentiation=forward_mode_differentiation,
        )

    def _run(self, plates: Mapping[str, plate], args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
        values: dict[str, Any] = {name: made._indices for name, made in plates.items()}
        for name, site in self._latent.items():
            event_dim = unconstrained_event_dim(site)
            with self._within(plates, site):
                loc, scale = self._params(site, event_dim)
                fn: Any = Normal(loc, scale).to_event(event_dim)
                transform = self._transform(name, values)
                if not isinstance(transform, IdentityTransform):
                    fn = TransformedDistribution(fn, transform)
                values[name] = sample(name, fn)
        return {name: values[name] for name in self._latent}

    def _params(self, site: Site, event_dim: int) -> tuple[Any, Any]:
        def loc_at(start: Any) -> Any:
            return self._for_whole_plates(site, start.unconstrained[site.name], event_dim)

        shape = np.shape(self._for_whole_plates(site, np.zeros(site.unconstrained_shape or ()), event_dim))
        names = self._param_names(site.name)
        loc = param(names[0], self._initially(loc_at), event_dim=event_dim)
        scale = param(names[1], full(shape, self._init_scale), constraint=self.scale_constraint, event_dim=event_dim)
        return loc, scale

    def _param_names(self, name: str) -> tuple[str, str]:
        return f"{name}_{self.prefix}_loc", f"{name}_{self.prefix}_scale"

    def median(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return self._map(lambda _, unconstrained: self._constrain(unconstrained), None, self._locs(params), (), params)

    def quantiles(self, params: Mapping[str, Any], quantiles: Any) -> dict[str, Any]:
        locs, probabilities = self._locs(params), jnp.atleast_1d(jnp.asarray(quantiles, jnp.result_type(float)))
        scales = {name: self._fitted(params, self._param_names(name)[1]) for name in self._latent}

        def of_one(_: Any, probability: Any) -> dict[str, Any]:
            z = jax.scipy.special.ndtri(probability)
            return self._constrain({name: loc + scales[name] * z for name, loc in locs.items()})

        return self._map(of_one, None, probabilities, probabilities.shape, params)

    def _locs(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self._fitted(params, self._param_names(name)[0]) for name in self._latent}

    def _constrain(self, unconstrained: Mapping[str, Any]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name in self._latent:
            values[name] = self._transform(name, values)(unconstrained[name])
        return values
