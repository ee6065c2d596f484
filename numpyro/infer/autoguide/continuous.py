"""Guides that propose all latent values at once, as one vector of unconstrained values."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import Array, Key, Shape
from numpyro.distributions import Distribution, Normal, TransformedDistribution
from numpyro.distributions.transforms import ComposeTransform, Transform
from numpyro.handlers import block, substitute
from numpyro.infer.autoguide.base import AutoGuide, Start
from numpyro.infer.autoguide.params import Fitted, zeros
from numpyro.infer.initialization import init_to_uniform
from numpyro.infer.model import Layout, ModelView
from numpyro.infer.model.evaluate import log_density_at
from numpyro.primitives import plate, sample


class AutoContinuous(AutoGuide):
    r"""Base class of guides with one distribution for the vector of all unconstrained values.

    .. math:: z \sim q, \qquad x_i = T_i(z_i)

    with :math:`T_i` the bijection onto the support of site :math:`i`, whose parts of the vector are in the order of the
    names of the sites. The site ``_{prefix}_latent`` has :math:`z`.

    :param model: the model.
    :param prefix: what the names of params begin with.
    :param init_loc_fn: an initialization strategy.
    :param create_plates: see :class:`AutoGuide`.
    :param forward_mode_differentiation: see :class:`AutoGuide`.
    :raises RuntimeError: where the model has no latent sites.
    :raises ValueError: where it has some in plates that take subsamples.

    A subclass overrides :meth:`_get_posterior`, which makes :math:`q`; there ``self.latent_dim`` is the size of the
    vector and ``self._init_latent`` a first value for a param of its location.

    **Reference:** Kucukelbir, Tran, Ranganath, Gelman & Blei, *Automatic differentiation variational inference* (2017).
    """

    def __init__(
        self,
        model: Callable,
        *,
        prefix: str = "auto",
        init_loc_fn: Callable = init_to_uniform,
        create_plates: Callable | None = None,
        forward_mode_differentiation: bool = False,
    ) -> None:
        self._layout: Layout | None = None
        super().__init__(
            model,
            prefix=prefix,
            init_loc_fn=init_loc_fn,
            create_plates=create_plates,
            forward_mode_differentiation=forward_mode_differentiation,
        )

    def _check(self, view: ModelView) -> None:
        if not view.latent:
            raise RuntimeError(f"{type(self).__name__} found no latent variables; Use an empty guide instead.")
        local = [
            (site.name, frame.name)
            for site in view.latent.values()
            for frame in site.plates
            if view.sites[frame.name].plate_size != frame.size
        ]
        if local:
            names = ", ".join(f"'{name}' in the plate '{frame}'" for name, frame in local)
            raise UsageError(
                f"AutoContinuous guide does not support local latent variables, of which a subsample is taken: "
                f"{names}. Use AutoNormal, AutoDelta or AutoSemiDAIS for those."
            )
        self._layout = Layout(view.prototype)

    @property
    def _positions(self) -> Layout:
        self._known_sites()
        return self._layout  # type: ignore[return-value]

    @property
    def latent_dim(self) -> int:
        """The size of the vector of unconstrained values."""
        return self._positions.size

    @property
    def _init_latent(self) -> Any:
        """A first value of the vector; a function of a key where it is yet to be found."""
        return self._initially(self._flat)

    def _flat(self, start: Start) -> Any:
        leaves = [start.unconstrained[name] for name in sorted(start.unconstrained)]
        if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
            return self._positions.ravel(start.unconstrained)
        return jnp.asarray(np.concatenate([np.ravel(np.asarray(leaf)) for leaf in leaves]))

    @abstractmethod
    def _get_posterior(self) -> Distribution:
        """The distribution of the vector, made of params."""

    def _sample_latent(self) -> Array:
        return sample(f"_{self.prefix}_latent", self._get_posterior(), infer={"is_auxiliary": True})

    def _run(self, plates: Mapping[str, plate], args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
        return self._deltas(self._unpack_latent(self._sample_latent()))

    def _frames(self) -> list[tuple[Any, int]]:
        return []  # sites of points of one vector stand in no plates

    def _deltas(self, unconstrained: Mapping[str, Any]) -> dict[str, Any]:
        """A point mass at each site, of the density by which its bijection changes that of the vector."""
        values: dict[str, Any] = {}
        for name in self._latent:
            values[name] = sample(name, self._at(name, unconstrained[name], values))
        return values

    def _unpack_latent(self, latent: Any) -> dict[str, Any]:
        """The unconstrained values by site, of a vector of them."""
        return self._positions.unravel(latent)

    def _constrained(self, latent: Any) -> dict[str, Any]:
        """The values by site, of a vector of unconstrained ones."""
        unconstrained = self._unpack_latent(latent)
        values: dict[str, Any] = {}
        for name in self._latent:
            values[name] = self._transform(name, values)(unconstrained[name])
        return values

    def _unpack_and_constrain(
        self, latent: Any, params: Mapping[str, Any], args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """The values of latent and deterministic sites, of vectors of shape ``(..., latent_dim)``."""
        batch_shape = tuple(np.shape(latent)[:-1])
        return self._map(lambda _, z: self._constrained(z), None, latent, batch_shape, params, args, kwargs)

    def _log_density_of(
        self, model: Callable, args: tuple, kwargs: dict[str, Any], params: Mapping[str, Any], rng_key: Key | None
    ) -> Callable[[Array], Array]:
        """The log density of vectors of unconstrained values under a model with these latent sites.

        :param params: values of the params of the model.
        :param rng_key: a key for what else the model draws.
        """

        def log_density(latent: Array) -> Array:
            with block(), substitute(data=dict(params)):
                return log_density_at(model, args, kwargs, self._unpack_latent(latent), rng_key)

        return log_density

    def get_base_dist(self) -> Distribution:
        """The distribution of the vectors that :meth:`get_transform` maps to unconstrained values."""
        return Normal(zeros(self.latent_dim), 1).to_event(1)

    def get_transform(self, params: Mapping[str, Any]) -> Transform:
        """The bijection from vectors of :meth:`get_base_dist` to vectors of unconstrained values.

        :param params: the params of the guide.
        """
        posterior = self._fitted_posterior(params)
        if not isinstance(posterior, TransformedDistribution):
            raise NotImplementedError(
                f"{type(self).__name__}: the distribution {type(posterior).__name__} has no known transform; override "
                "get_transform, or make it a TransformedDistribution of get_base_dist()."
            )
        return ComposeTransform(posterior.transforms)

    def get_posterior(self, params: Mapping[str, Any]) -> Distribution:
        """The distribution of the vector of unconstrained values.

        :param params: the params of the guide.
        """
        return TransformedDistribution(self.get_base_dist(), self.get_transform(params))

    def _fitted_posterior(self, params: Mapping[str, Any]) -> Distribution:
        self._known_sites()
        with block(), Fitted(params, self.prefix):
            return self._get_posterior()

    def sample_posterior(
        self, rng_key: Key, params: Mapping[str, Any], *args: Any, sample_shape: Shape = (), **kwargs: Any
    ) -> dict[str, Any]:
        return super().sample_posterior(rng_key, params, *args, sample_shape=sample_shape, **kwargs)

    def _marginal_quantiles(self, loc: Any, scale: Any, quantiles: Any, params: Mapping[str, Any]) -> dict[str, Any]:
        """Quantiles of normal marginals, in the supports."""
        z = jax.scipy.special.ndtri(jnp.asarray(quantiles, jnp.result_type(float)))
        latent = loc + scale * z[..., None]
        return self._unpack_and_constrain(latent, params)
