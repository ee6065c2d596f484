"""Guides by differentiable annealed importance sampling, of a model or of a surrogate for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from numpyro._errors import UsageError
from numpyro._typing import Array
from numpyro.distributions import Distribution, MultivariateNormal, Normal, constraints
from numpyro.handlers import block, seed, trace
from numpyro.infer.autoguide.annealing import anneal, check_schedule, schedule_params
from numpyro.infer.autoguide.continuous import AutoContinuous
from numpyro.infer.autoguide.gaussian import identity
from numpyro.infer.autoguide.params import full
from numpyro.infer.initialization import init_to_uniform
from numpyro.infer.model.density import Prototype
from numpyro.primitives import factor, param, sample
from numpyro.primitives.stack import request_key


class AutoDAIS(AutoContinuous):
    r"""A normal distribution whose draws are moved towards the posterior by :math:`K` steps of annealed Langevin
    dynamics, each with one gradient of the density of the model.

    The objective is

    .. math:: \log \pi(z_K) - \log q_0(z_0) + \sum_k \log \mathcal N(\hat v_k; 0, M) - \log \mathcal N(v_k; 0, M)

    with momenta :math:`v_k` before and :math:`\hat v_k` after step :math:`k`. Its exponential is an unbiased estimate
    of the evidence, so that it is a lower bound; more steps make it tighter. There is no density of :math:`z_K` itself.

    :param model: the model.
    :param K: the number of steps, 4 by default.
    :param base_dist: ``"diagonal"`` (default) or ``"cholesky"``: the covariance of :math:`q_0`.
    :param eta_init: the first step size, 0.01 by default; below ``eta_max``.
    :param eta_max: a bound of the step sizes :math:`\eta_k = \eta_0 + \kappa \beta_k`, 0.1 by default.
    :param gamma_init: what a refreshment keeps of the momentum at first, 0.9 by default; between 0 and 1.
    :param prefix: params are ``{prefix}_eta0``, ``{prefix}_eta_coeff`` (:math:`\kappa`), ``{prefix}_gamma``,
        ``{prefix}_beta_increments`` (of shape ``(K,)``; their cumulated sums over their sum are the inverse
        temperatures :math:`\beta_k`), ``{prefix}_mass_matrix`` (the diagonal of :math:`M`), ``{prefix}_z_0_loc`` and
        ``{prefix}_z_0_scale`` or ``{prefix}_z_0_scale_tril``.
    :param init_loc_fn: an initialization strategy for the location of :math:`q_0`.
    :param init_scale: the first scale of :math:`q_0`, 0.1 by default; positive.
    :param forward_mode_differentiation: see :class:`AutoGuide`.

    **References:** Zhang, Hsu, Li, Finn & Grosse, *Differentiable annealed importance sampling and the perils of
    gradient noise* (2021); Jankowiak & Phan, *Surrogate likelihoods for variational annealed importance sampling*
    (2021).
    """

    def __init__(
        self,
        model: Callable,
        *,
        K: int = 4,
        base_dist: str = "diagonal",
        eta_init: float = 0.01,
        eta_max: float = 0.1,
        gamma_init: float = 0.9,
        prefix: str = "auto",
        init_loc_fn: Callable = init_to_uniform,
        init_scale: float = 0.1,
        forward_mode_differentiation: bool = False,
    ) -> None:
        check_schedule(K, eta_init, eta_max, gamma_init, init_scale)
        if base_dist not in ("diagonal", "cholesky"):
            raise UsageError(f'base_dist must be one of "diagonal" or "cholesky", got {base_dist!r}.')
        self.K, self.base_dist = K, base_dist
        self.eta_init, self.eta_max, self.gamma_init = eta_init, eta_max, gamma_init
        self._init_scale = init_scale
        super().__init__(
            model,
            prefix=prefix,
            init_loc_fn=init_loc_fn,
            forward_mode_differentiation=forward_mode_differentiation,
        )

    def _get_posterior(self) -> Distribution:
        raise NotImplementedError(
            f"{type(self).__name__}: the density of the draws is not known, only a bound of it; use sample_posterior."
        )

    def _base(self) -> Any:
        name, size = f"{self.prefix}_z_0", self.latent_dim
        loc = param(f"{name}_loc", self._init_latent)
        if self.base_dist == "diagonal":
            scale = param(f"{name}_scale", full((size,), self._init_scale), constraint=constraints.positive)
            return Normal(loc, scale).to_event(1)
        scale_tril = param(
            f"{name}_scale_tril", identity(size, self._init_scale), constraint=constraints.scaled_unit_lower_cholesky
        )
        return MultivariateNormal(loc, scale_tril=scale_tril)

    def _log_target(self) -> Callable[[Array], Array]:
        """The log density towards which draws are moved."""
        args, kwargs = self._arguments_to_run("the density of the model")
        has_params = any(site.kind == "param" for site in self._known_sites().values())
        params = params_of(self._visible_model, args, kwargs) if has_params else {}
        return self._log_density_of(self._visible_model, args, kwargs, params, request_key())

    def _sample_latent(self) -> Array:
        log_target = self._log_target()
        schedule = schedule_params(self.prefix, self.K, self.latent_dim, self.eta_init, self.eta_max, self.gamma_init)
        base = self._base()
        start = sample(f"{self.prefix}_z_0", base, infer={"is_auxiliary": True})
        kicks = Normal(0.0, jnp.sqrt(schedule.mass_matrix)).expand((self.K, self.latent_dim)).to_event(2).mask(False)
        momentum = sample(f"{self.prefix}_momentum", kicks, infer={"is_auxiliary": True})
        end, gained = anneal(log_target, base.log_prob, start, momentum, schedule)
        factor(f"{self.prefix}_factor", gained)
        return end


class AutoSurrogateLikelihoodDAIS(AutoDAIS):
    """Annealing towards a surrogate, for models of large data: a gradient of the surrogate costs less than the model's.

    :param model: the model, whose plates may take subsamples of the data.
    :param surrogate_model: a function without arguments: a model with the same latent sites, and an approximation of
        the likelihood, such as that of a few weighted points of data. Its params are fitted too.
    :param K: see :class:`AutoDAIS`; so are the other parameters.

    **Reference:** Jankowiak & Phan, *Surrogate likelihoods for variational annealed importance sampling* (2021).
    """

    def __init__(
        self,
        model: Callable,
        surrogate_model: Callable,
        *,
        K: int = 4,
        eta_init: float = 0.01,
        eta_max: float = 0.1,
        gamma_init: float = 0.9,
        prefix: str = "auto",
        base_dist: str = "diagonal",
        init_loc_fn: Callable = init_to_uniform,
        init_scale: float = 0.1,
        forward_mode_differentiation: bool = False,
    ) -> None:
        if not callable(surrogate_model):
            raise TypeError(f"`surrogate_model` must be a function, got {type(surrogate_model).__name__}.")
        self.surrogate_model = surrogate_model
        super().__init__(
            model,
            K=K,
            eta_init=eta_init,
            eta_max=eta_max,
            gamma_init=gamma_init,
            prefix=prefix,
            base_dist=base_dist,
            init_loc_fn=init_loc_fn,
            init_scale=init_scale,
            forward_mode_differentiation=forward_mode_differentiation,
        )

    def _log_target(self) -> Callable[[Array], Array]:
        params = params_of(self.surrogate_model, (), {})
        return self._log_density_of(self.surrogate_model, (), {}, params, request_key())


def params_of(model: Callable, args: tuple, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The params of a model, declared in the guide that runs, with the values that they have there."""
    with block(expose_types=["param"]), trace() as model_trace, seed(rng_seed=jax.random.key(0)), Prototype():
        model(*args, **kwargs)
    return {name: site["value"] for name, site in model_trace.items() if site["type"] == "param"}
