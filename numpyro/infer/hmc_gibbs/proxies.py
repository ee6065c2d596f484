"""Proxies: cheap approximations of the log likelihood of every row, which reduce the variance of its estimates.

With :math:`\\ell_i(\\theta)` the log likelihood of row :math:`i` of :math:`N`, proxies :math:`q_i(\\theta)` whose sum
over all rows is cheap, and a subsample of :math:`n` rows drawn with replacement, the sum of all :math:`\\ell_i` is
estimated by

.. math::

    \\hat\\ell = \\sum_{i=1}^{N} q_i + \\frac{N}{n} \\sum_{j=1}^{n} d_j - \\tfrac12 \\hat\\sigma^2,
    \\qquad d_j = \\ell_{u_j} - q_{u_j}, \\quad
    \\hat\\sigma^2 = \\frac{N^2}{n} \\cdot \\frac1n \\sum_j (d_j - \\bar d)^2 .

The last term corrects the bias of :math:`e^{\\hat\\ell}`: exactly, were the estimate normal with a known variance.

**References:**

1. K.-D. Dang, M. Quiroz, R. Kohn, M.-N. Tran, M. Villani, *Hamiltonian Monte Carlo with energy conserving subsampling*
   (2019).
2. R. Bardenet, A. Doucet, C. Holmes, *On Markov chain Monte Carlo methods for tall data* (2017), on Taylor proxies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from numpyro._errors import UsageError
from numpyro._typing import Array, Key
from numpyro.infer.hmc_gibbs.likelihood import PlateSizes, Rows, rows_at
from numpyro.infer.model import Layout, ModelView

Indices: TypeAlias = dict[str, Array]
ProxyFn: TypeAlias = Callable[[Mapping[str, Any], Any], tuple[Rows, Rows]]
"""A function of unconstrained values and a proxy's state: the sum of the proxies of all rows, and the proxies of the
rows in the subsample, each by plate."""


class TaylorOneProxyState(NamedTuple):
    """What the proxy of degree 1 knows of the subsample, each by plate.

    - **ref_subsample_log_liks** - the log likelihoods of the rows at the reference, of shape ``(n,)``.
    - **ref_subsample_log_lik_grads** - their gradients by the unconstrained values, of shape ``(n, D)``.
    """

    ref_subsample_log_liks: Rows
    ref_subsample_log_lik_grads: Rows


class TaylorTwoProxyState(NamedTuple):
    """What the proxy of degree 2 knows of the subsample, each by plate.

    - **ref_subsample_log_liks** - the log likelihoods of the rows at the reference, of shape ``(n,)``.
    - **ref_subsample_log_lik_grads** - their gradients by the unconstrained values, of shape ``(n, D)``.
    - **ref_subsample_log_lik_hessians** - their second derivatives, of shape ``(n, D, D)``.
    """

    ref_subsample_log_liks: Rows
    ref_subsample_log_lik_grads: Rows
    ref_subsample_log_lik_hessians: Rows


def taylor_proxy(reference_params: Mapping[str, Any], degree: int = 2) -> Callable[..., Any]:
    """Proxies by Taylor's formula around reference values, such as the posterior mode.

    :param reference_params: constrained values of all latent sites. The closer they are to the posterior, the smaller
        the variance of the estimates.
    :param degree: 1 or 2.
    :returns: a function that :class:`~numpyro.infer.HMCECS` calls, of ``(prototype_trace, subsample_plate_sizes, model,
        model_args, model_kwargs, num_blocks)``. It returns the proxy, ``gibbs_init(rng_key, gibbs_sites)``, which makes
        its state, and ``gibbs_update(rng_key, gibbs_sites, gibbs_state)``, which proposes a subsample with its state.
    :raises ValueError: for another degree.
    """
    if degree not in (1, 2):
        raise UsageError(f"taylor_proxy: `degree` must be 1 or 2, got {degree!r}.")

    return partial(_construct_proxy, dict(reference_params), degree)


def _construct_proxy(
    reference_params: Mapping[str, Any],
    degree: int,
    prototype_trace: Mapping[str, Any],
    subsample_plate_sizes: PlateSizes,
    model: Callable,
    model_args: tuple,
    model_kwargs: Mapping[str, Any] | None,
    num_blocks: int = 1,
) -> tuple[ProxyFn, Callable, Callable]:
    """The proxy with the functions that make and change its state, see :func:`taylor_proxy`."""
    kwargs = dict(model_kwargs or {})
    reference, layout = _reference(model, model_args, kwargs, reference_params)

    def rows(flat: Array, indices: Mapping[str, Array]) -> Rows:
        return rows_at(model, model_args, kwargs, {**layout.unravel(flat), **indices})

    everything = {name: jnp.arange(size) for name, (size, _) in subsample_plate_sizes.items()}

    def sums(flat: Array) -> Rows:
        return {name: jnp.sum(row) for name, row in rows(flat, everything).items()}

    with_gradient = jax.jit(lambda flat: (sums(flat), jax.jacrev(sums)(flat)))
    total, total_grad = with_gradient(reference)
    total_hessian = jax.jit(jax.hessian(sums))(reference) if degree == 2 else {}

    def gibbs_init(rng_key: Key, gibbs_sites: Indices) -> TaylorOneProxyState | TaylorTwoProxyState:
        values, grads = rows(reference, gibbs_sites), jax.jacfwd(rows)(reference, gibbs_sites)
        if degree == 1:
            return TaylorOneProxyState(values, grads)
        return TaylorTwoProxyState(values, grads, jax.jacfwd(jax.jacfwd(rows))(reference, gibbs_sites))

    def gibbs_update(rng_key: Key, gibbs_sites: Indices, gibbs_state: Any) -> tuple[Indices, Any]:
        indices, _ = block_update(subsample_plate_sizes, num_blocks, rng_key, gibbs_sites, gibbs_state)
        return indices, gibbs_init(rng_key, indices)

    def proxy_fn(params: Mapping[str, Any], gibbs_state: Any) -> tuple[Rows, Rows]:
        shift = layout.ravel({name: params[name] for name in layout.names or ()}) - reference
        sums, subsample = {}, {}
        for name, values in gibbs_state.ref_subsample_log_liks.items():
            sums[name] = total[name] + total_grad[name] @ shift
            subsample[name] = values + gibbs_state.ref_subsample_log_lik_grads[name] @ shift
            if degree == 2:
                hessians = gibbs_state.ref_subsample_log_lik_hessians[name]
                sums[name] = sums[name] + 0.5 * shift @ total_hessian[name] @ shift
                subsample[name] = subsample[name] + 0.5 * (hessians @ shift) @ shift
        return sums, subsample

    return proxy_fn, gibbs_init, gibbs_update


def _reference(
    model: Callable, args: tuple, kwargs: dict[str, Any], reference_params: Mapping[str, Any]
) -> tuple[Array, Layout]:
    """The reference in unconstrained values, as a flat vector."""
    view = ModelView(model, args, kwargs)
    shapes = {name: site.shape for name, site in view.latent.items()}
    if set(reference_params) != set(shapes):
        raise UsageError(
            f"taylor_proxy: `reference_params` must have a value for each of the latent sites {sorted(shapes)}, got "
            f"{sorted(reference_params)}."
        )
    for name, shape in shapes.items():
        if jnp.shape(reference_params[name]) != shape:
            raise UsageError(
                f"taylor_proxy: the reference value of site '{name}' must have shape {shape}, got "
                f"{jnp.shape(reference_params[name])}."
            )
    layout = Layout(view.prototype)
    values = view.unconstrain(view.data(jax.random.key(0)), {k: jnp.asarray(v) for k, v in reference_params.items()})
    return layout.ravel(values), layout


def block_update(
    plate_sizes: PlateSizes, num_blocks: int, rng_key: Key, gibbs_sites: Indices, gibbs_state: Any
) -> tuple[Indices, Any]:
    """Draw one block of each plate's indices anew, with replacement.

    :param plate_sizes: the size and the subsample size of each plate.
    :param num_blocks: the number of blocks that a subsample is cut into; the last may be shorter.
    :param rng_key: a key.
    :param gibbs_sites: the indices by plate.
    :param gibbs_state: handed through.
    :returns: the new indices, and ``gibbs_state``.
    """
    updated = dict(gibbs_sites)
    for i, (name, (size, subsample)) in enumerate(sorted(plate_sizes.items())):
        block_key, draw_key = jax.random.split(jax.random.fold_in(rng_key, i))
        length = -(-subsample // num_blocks)
        block = jax.random.randint(block_key, (), 0, -(-subsample // length))
        in_block = jnp.arange(subsample) // length == block
        fresh = jax.random.randint(draw_key, (subsample,), 0, size, gibbs_sites[name].dtype)
        updated[name] = jnp.where(in_block, fresh, gibbs_sites[name])
    return updated, gibbs_state


def perturbed_method(
    subsample_plate_sizes: PlateSizes, proxy_fn: ProxyFn
) -> Callable[[Rows, Mapping[str, Any], Any], Array]:
    """The estimate :math:`\\hat\\ell` of the log likelihood of all rows.

    :param subsample_plate_sizes: the size and the subsample size of each plate.
    :param proxy_fn: the proxies.
    :returns: a function of the log likelihoods of the rows in the subsample, unconstrained values, and the proxy's
        state.
    """

    def estimate(likelihoods: Rows, params: Mapping[str, Any], gibbs_state: Any) -> Array:
        sums, subsample = proxy_fn(params, gibbs_state)
        estimated = jnp.zeros(())
        for name, rows in likelihoods.items():
            size, count = subsample_plate_sizes[name]
            difference = rows - subsample[name]
            variance = size**2 / count * jnp.var(difference)
            estimated = estimated + sums[name] + size * jnp.mean(difference) - 0.5 * variance
        return estimated

    return estimate


for _public in (TaylorOneProxyState, TaylorTwoProxyState, taylor_proxy, block_update, perturbed_method):
    _public.__module__ = "numpyro.contrib.ecs_proxies"
