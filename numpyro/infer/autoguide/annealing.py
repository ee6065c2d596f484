"""Differentiable annealed importance sampling: the transitions that guides of this kind share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._errors import UsageError
from numpyro._typing import Array
from numpyro.distributions import constraints
from numpyro.infer.autoguide.params import full
from numpyro.primitives import param


class Schedule(NamedTuple):
    """How :func:`anneal` moves; all but the last dimension of ``mass_matrix`` and of ``betas`` are those of a batch.

    ``eta0`` and ``eta_coeff`` make the step sizes, ``eta_max`` bounds them, ``gamma`` is what each refreshment keeps of
    the momentum, ``betas``, of size :math:`K`, increase to 1, ``mass_matrix`` is the diagonal of the masses.
    """

    eta0: Any
    eta_coeff: Any
    eta_max: float
    gamma: Any
    betas: Any
    mass_matrix: Any


def check_schedule(K: int, eta_init: float, eta_max: float, gamma_init: float, init_scale: float) -> None:
    """Raise for options of which there is no schedule."""
    if isinstance(K, bool) or not isinstance(K, (int, np.integer)):
        raise TypeError(f"`K`, the number of steps, must be an integer, got {K!r}.")
    if K < 1:
        raise UsageError(f"K must satisfy K >= 1 (got K = {K}).")
    if not 0 < eta_init < eta_max:
        raise UsageError(
            f"eta_init must be positive and satisfy eta_init < eta_max, got eta_init={eta_init}, eta_max={eta_max}."
        )
    if not 0 < gamma_init < 1:
        raise UsageError(f"gamma_init must be in the open interval (0, 1), got {gamma_init}.")
    if not init_scale > 0:
        raise UsageError(f"init_scale must be positive, got {init_scale}.")


def schedule_params(
    prefix: str, K: int, size: int, eta_init: float, eta_max: float, gamma_init: float, batch: int | None = None
) -> Schedule:
    """The params of a schedule.

    :param batch: the size of a plate around, whose entries have schedules of their own.
    """
    shape = () if batch is None else (batch,)

    def one(name: str, value: float, event_shape: tuple[int, ...] = (), constraint: Any = None) -> Any:
        options: dict[str, Any] = {} if constraint is None else {"constraint": constraint}
        if batch is not None:
            options["event_dim"] = len(event_shape)
        return param(f"{prefix}_{name}", full((*shape, *event_shape), value), **options)

    eta0 = one("eta0", eta_init, constraint=constraints.interval(0.0, eta_max))
    eta_coeff = one("eta_coeff", 0.0)
    gamma = one("gamma", gamma_init, constraint=constraints.interval(0.0, 1.0))
    increments = one("beta_increments", 1.0, (K,), constraints.positive)
    mass_matrix = one("mass_matrix", 1.0, (size,), constraints.positive)
    betas = jnp.cumsum(increments, -1)
    return Schedule(eta0, eta_coeff, eta_max, gamma, betas / betas[..., -1:], mass_matrix)


def anneal(
    log_target: Callable[[Array], Array],
    log_base: Callable[[Array], Array],
    start: Array,
    momentum: Array,
    schedule: Schedule,
) -> tuple[Array, Array]:
    r"""Move a draw of the base distribution towards the target by :math:`K` leapfrog steps.

    Step :math:`k` is one of the density :math:`\pi_k \propto q_0^{1 - \beta_k} \pi^{\beta_k}`, from the momentum
    :math:`v_k` to :math:`\hat v_k`, and :math:`v_{k+1} = \gamma \hat v_k + \sqrt{1 - \gamma^2}\, \epsilon_k` with
    :math:`\epsilon_k \sim \mathcal N(0, M)`. Then

    .. math:: \log \pi(z_K) - \log q_0(z_0) + \sum_k \log \mathcal N(\hat v_k; 0, M) - \log \mathcal N(v_k; 0, M)

    is the logarithm of an unbiased estimate of the normalising constant of :math:`\pi`.

    :param log_target: :math:`\log \pi`, summed over the batch.
    :param log_base: :math:`\log q_0`, summed over the batch.
    :param start: :math:`z_0`, of shape ``batch + (d,)``.
    :param momentum: draws of :math:`\mathcal N(0, M)`, of shape ``batch + (K, d)``: :math:`v_1`, then
        :math:`\epsilon_1, \ldots, \epsilon_{K-1}`.
    :return: :math:`z_K`, and the sum over :math:`k` above, of the shape of the batch, with its sign turned.

    **References:** Zhang, Hsu, Li, Finn & Grosse, *Differentiable annealed importance sampling and the perils of
    gradient noise* (2021); Geffner & Domke, *MCMC variational inference via uncorrected Hamiltonian annealing* (2021).
    """
    mass, keep = schedule.mass_matrix, jnp.asarray(schedule.gamma)[..., None]
    renew = jnp.sqrt(1.0 - jnp.square(keep))
    betas = jnp.moveaxis(schedule.betas, -1, 0)
    etas = jnp.clip(schedule.eta0 + schedule.eta_coeff * betas, 0.0, schedule.eta_max)
    noise = jnp.moveaxis(momentum, -2, 0)
    target_gradient, base_gradient = jax.grad(log_target), jax.grad(log_base)

    def energy(v: Array) -> Array:
        return 0.5 * jnp.sum(jnp.square(v) / mass, -1)

    def step(carry: tuple[Array, Array, Array], step_of: tuple[Array, Array, Array]) -> tuple[Any, None]:
        z, v, gained = carry
        beta, eta, fresh = step_of
        beta, eta, before = beta[..., None], eta[..., None], energy(v)
        z = z + 0.5 * eta * v / mass
        v = v + eta * ((1.0 - beta) * base_gradient(z) + beta * target_gradient(z))
        z = z + 0.5 * eta * v / mass
        gained = gained + energy(v) - before
        return (z, keep * v + renew * fresh, gained), None

    following = jnp.concatenate([noise[1:], jnp.zeros_like(noise[:1])])
    first = (start, noise[0], jnp.zeros_like(energy(noise[0])))
    (end, _, gained), _ = lax.scan(step, first, (betas, etas, following))
    return end, gained
