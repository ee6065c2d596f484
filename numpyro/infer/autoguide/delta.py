"""Point masses: maximum a posteriori estimates."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from numpyro.distributions import Delta
from numpyro.infer.autoguide.base import AutoGuide, Start
from numpyro.infer.model import Site
from numpyro.primitives import param, plate, sample


class AutoDelta(AutoGuide):
    """A point mass at each latent site, for maximum a posteriori estimates.

    The density that is maximised is that of the values in their supports: without Jacobian terms of the bijections.

    :param model: the model.
    :param prefix: params are ``{site}_{prefix}_loc``, constrained to the supports of the sites.
    :param init_loc_fn: an initialization strategy.
    :param create_plates: see :class:`AutoGuide`.
    :param forward_mode_differentiation: see :class:`AutoGuide`.

    Where the support of a site depends on values of others, its param is constrained to the support at the start.
    """

    def _run(self, plates: Mapping[str, plate], args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
        values: dict[str, Any] = {name: made._indices for name, made in plates.items()}
        for name, site in self._latent.items():
            with self._within(plates, site):
                loc = param(
                    f"{name}_{self.prefix}_loc",
                    self._initially(partial(self._value_at, site)),
                    constraint=self._transform(name, values).codomain,
                    event_dim=site.event_dim,
                )
                values[name] = sample(name, Delta(loc, event_dim=site.event_dim))
        return {name: values[name] for name in self._latent}

    def _value_at(self, site: Site, start: Start) -> Any:
        return self._for_whole_plates(site, start.values[site.name], site.event_dim)

    def median(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self._fitted(params, f"{name}_{self.prefix}_loc") for name in self._latent}
