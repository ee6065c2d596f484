"""The Laplace approximation."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._typing import Array, Key, Shape
from numpyro.distributions import Delta, Distribution, MultivariateNormal
from numpyro.distributions.transforms import LowerCholeskyAffine, Transform
from numpyro.infer.autoguide.continuous import AutoContinuous
from numpyro.infer.initialization import init_to_uniform
from numpyro.infer.model.draws import map_draws
from numpyro.infer.program import is_traced
from numpyro.ops.linalg import cholesky_of_inverse
from numpyro.primitives import param
from numpyro.util import find_stack_level


class AutoLaplaceApproximation(AutoContinuous):
    r"""A normal distribution at the mode, of the curvature that the log density has there.

    .. math:: z \sim \mathcal N(\mu, H^{-1}), \qquad H = -\nabla^2 \log \pi(\mu)

    with :math:`\pi` the density of the unconstrained values. While it is fitted the guide is a point mass at
    :math:`\mu`, so that the optimum is the mode of :math:`\pi`; the Hessian is taken when it is asked for.

    :param model: the model.
    :param prefix: the param is ``{prefix}_loc``, :math:`\mu`, of shape ``(latent_dim,)``.
    :param init_loc_fn: an initialization strategy for :math:`\mu`.
    :param create_plates: see :class:`AutoGuide`.
    :param hessian_fn: a function ``(fn, z) -> matrix`` of a function of a vector, and a vector: the Hessian or an
        approximation of it; ``jax.hessian(fn)(z)`` by default.

    **Reference:** Tierney & Kadane, *Accurate approximations for posterior moments and marginal densities* (1986).
    """

    def __init__(
        self,
        model: Callable,
        *,
        prefix: str = "auto",
        init_loc_fn: Callable = init_to_uniform,
        create_plates: Callable | None = None,
        hessian_fn: Callable[[Callable[[Array], Array], Array], Array] | None = None,
    ) -> None:
        self._hessian_fn = hessian_fn
        super().__init__(model, prefix=prefix, init_loc_fn=init_loc_fn, create_plates=create_plates)

    def _get_posterior(self) -> Distribution:
        return Delta(param(f"{self.prefix}_loc", self._init_latent), event_dim=1)

    def get_posterior(self, params: Mapping[str, Any]) -> MultivariateNormal:
        """The normal distribution of the vector of unconstrained values.

        :param params: the params of the guide.

        Where the Hessian is not positive definite it is a point mass at the mode, with a warning.
        """
        return self._posterior(params, *self._arguments_to_run("the curvature of its density"))

    def _posterior(self, params: Mapping[str, Any], args: tuple, kwargs: dict[str, Any]) -> MultivariateNormal:
        loc = self._fitted(params, f"{self.prefix}_loc")
        hessian = self._hessian_fn or (lambda fn, z: jax.hessian(fn)(z))

        def root_of_covariance(rng_key: Key, loc: Array) -> Array:
            log_density = self._log_density_of(self._visible_model, args, kwargs, params, rng_key)
            return cholesky_of_inverse(hessian(lambda z: -log_density(z), loc))

        scale_tril = map_draws(root_of_covariance, jax.random.key(0), loc, ())
        if not is_traced(scale_tril) and not np.all(np.isfinite(np.asarray(scale_tril))):
            warnings.warn(
                "AutoLaplaceApproximation: the Hessian of the negative log density is not positive definite at the "
                "present params, which are no isolated mode; draws will all be at them. Make more steps, or "
                "reparametrise the model.",
                UserWarning,
                stacklevel=find_stack_level(),
            )
        return MultivariateNormal(
            loc, scale_tril=jnp.where(jnp.isfinite(scale_tril), scale_tril, 0.0), validate_args=False
        )

    def get_transform(self, params: Mapping[str, Any]) -> Transform:
        posterior: Any = self.get_posterior(params)
        return LowerCholeskyAffine(posterior.loc, posterior.scale_tril)

    def sample_posterior(
        self, rng_key: Key, params: Mapping[str, Any], *args: Any, sample_shape: Shape = (), **kwargs: Any
    ) -> dict[str, Any]:
        self._known_sites()
        with self._called_with(args, kwargs):
            posterior = self._posterior(params, *self._arguments_to_run("the curvature of its density"))

        def draw(rng_key: Key, _: Any) -> dict[str, Any]:
            return self._constrained(posterior.sample(rng_key))

        return self._map(draw, rng_key, {}, tuple(sample_shape), params, args, kwargs)

    def median(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return self._unpack_and_constrain(self._fitted(params, f"{self.prefix}_loc"), params)

    def quantiles(self, params: Mapping[str, Any], quantiles: Any) -> dict[str, Any]:
        posterior = self.get_posterior(params)
        return self._marginal_quantiles(posterior.mean, jnp.sqrt(posterior.variance), quantiles, params)
