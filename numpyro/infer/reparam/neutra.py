"""Warp the geometry of a posterior by a fitted guide."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

from numpyro._errors import UsageError
from numpyro.distributions._shapes import sum_rightmost
from numpyro.distributions.distribution import Distribution, Unit
from numpyro.distributions.transforms import biject_to
from numpyro.handlers import reparam
from numpyro.infer.reparam.base import Reparam
from numpyro.primitives import factor, get_mask, sample

_GUIDE_METHODS = ("get_base_dist", "get_transform", "_unpack_latent", "_unpack_and_constrain")


class _Pending(threading.local):
    """Unconstrained values that the sites of the current run, in this thread, have yet to fetch."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}


class NeuTraReparam(Reparam):
    r"""Sample the latent variables through the transform of a fitted continuous guide.

    The guide's transform :math:`T` maps its simple base, :math:`z`, to the flattened unconstrained latents; in
    :math:`z` the posterior is close to the base. All latents become functions of one site ``{prefix}_shared_latent``,
    whose density is

    .. math:: \log p(z) = \log p(T(z)) + \log |\det \partial T(z) / \partial z|.

    Use it by way of :meth:`reparam`::

        neutra = NeuTraReparam(guide, svi_result.params)
        mcmc = MCMC(NUTS(neutra.reparam(model)), num_warmup=1000, num_samples=1000)
        mcmc.run(key, data)
        samples = neutra.transform_sample(mcmc.get_samples()["auto_shared_latent"])

    :param guide: a fitted continuous autoguide: an object with ``prefix``, ``latent_dim``, ``prototype_trace``,
        ``get_base_dist()``, ``get_transform(params)``, ``_unpack_latent(latent)`` and ``_unpack_and_constrain(latent,
        params)``.
    :param params: the fitted parameters of the guide.
    :raises TypeError: if ``guide`` is no such object.

    Source: Hoffman et al. (2019), NeuTra-lizing Bad Geometry in Hamiltonian Monte Carlo Using Neural Transport.
    """

    __module__ = "numpyro.infer.reparam"

    def __init__(self, guide: Any, params: Mapping[str, Any]) -> None:
        if not all(callable(getattr(guide, method, None)) for method in _GUIDE_METHODS):
            raise TypeError(f"NeuTraReparam expected an AutoContinuous guide, but got {type(guide)}.")
        self.guide = guide
        self.params = params
        self.transform = guide.get_transform(params)
        self._pending = _Pending()

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_pending"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _pending=_Pending())

    def reparam(self, fn: Callable[..., Any] | None = None) -> Any:
        """Return ``fn`` with all latent variables that the guide knows reparametrised.

        :param fn: the model; without one, the handler itself, to be used as a decorator or context manager.
        """
        return reparam(fn, config=dict.fromkeys(self._latent_sites(), self))

    def _latent_sites(self) -> dict[str, Any]:
        """The latent continuous sites of the guide's model, in its order."""
        if getattr(self.guide, "prototype_trace", None) is None:
            raise UsageError("NeuTraReparam needs a guide that has run: fit it first, as in svi.run(...).")
        return {
            name: site
            for name, site in self.guide.prototype_trace.items()
            if site["type"] == "sample" and not site["is_observed"]
        }

    def __call__(self, name: str, fn: Distribution, obs: Any) -> tuple[Distribution | None, Any]:
        self._reject_observed(name, obs)
        sites = self._latent_sites()
        if name not in sites:
            raise UsageError(
                f"The site '{name}' is not among the latent sites of the guide, {list(sites)}; "
                "use NeuTraReparam(guide, params).reparam(model), with the model that the guide was made for."
            )
        density_matters = get_mask() is not False
        if name == next(iter(sites)) or name not in self._pending.values:
            self._pending.values = self._sample_shared_latent(sites, density_matters)
        unconstrained = self._pending.values.pop(name)

        transform = biject_to(fn.support)
        value = transform(unconstrained)
        if density_matters:
            log_det = transform.log_abs_det_jacobian(unconstrained, value)
            log_det = sum_rightmost(log_det, jnp.ndim(log_det) - jnp.ndim(value) + fn.event_dim)
            factor(f"_{name}_log_prob", fn.log_prob(value) + log_det)
        return None, value

    def _sample_shared_latent(self, sites: Mapping[str, Any], density_matters: bool) -> dict[str, Any]:
        """Sample the site that all latents come from, outside of the plates that the first of them stands in."""
        infer = {"block_plates": {frame.name for site in sites.values() for frame in site["cond_indep_stack"]}}
        shared = f"{self.guide.prefix}_shared_latent"
        latent = sample(shared, self.guide.get_base_dist().mask(False), infer=infer)
        flat = self.transform(latent)
        if density_matters:
            log_det = self.transform.log_abs_det_jacobian(latent, flat)
            sample(
                f"_{shared}_log_det",
                Unit(log_det),
                obs=jnp.zeros((*jnp.shape(log_det), 0)),
                infer={**infer, "is_auxiliary": True},
            )
        return dict(self.guide._unpack_latent(flat))

    def transform_sample(self, latent: Any) -> dict[str, Any]:
        """Return the values of the model's latent and deterministic sites that belong to draws of the shared latent.

        :param latent: draws of ``{prefix}_shared_latent``, of shape ``(..., latent_dim)``.
        """
        return self.guide._unpack_and_constrain(self.transform(latent), self.params)
