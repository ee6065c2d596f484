"""Whether a way of variational inference is calibrated: the same fit on many data sets whose parameters are known."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import Array, Key, PyTree
from numpyro.handlers import condition, seed, trace
from numpyro.infer.elbo import ELBO
from numpyro.infer.elbo.particles import trace_guide
from numpyro.infer.model.density import is_latent
from numpyro.infer.model.draws import map_draws
from numpyro.infer.svi import SVI
from numpyro.util import find_stack_level

CHAIN_METHODS = ("sequential", "parallel", "vectorized")

Call = tuple[tuple, dict[str, Any]]
"""Positional and keyword arguments."""


class VSBCResult(NamedTuple):
    """What :func:`vsbc_diagnostic` finds, by latent site, for each entry of its value.

    - **probabilities** - the share of the guide's draws below the true value, of shape ``(num_simulations, ...)``.
    - **ks_stats** - the Kolmogorov-Smirnov distance between the probabilities :math:`p` and :math:`1 - p`.
    - **ks_pvalues** - how probable so large a distance is if the distribution of :math:`p` is symmetric.
    - **ranks** - the numbers of draws below the true value.
    - **param_names** - the names of the sites.
    """

    probabilities: dict[str, np.ndarray]
    ks_stats: dict[str, Any]
    ks_pvalues: dict[str, Any]
    ranks: dict[str, np.ndarray]
    param_names: tuple[str, ...]


def vsbc_diagnostic(
    rng_key: Key,
    model: Callable,
    guide: Callable,
    optim: Any,
    loss: ELBO,
    *args: Any,
    observed_sites: Sequence[str] | None = None,
    simulated_data_to_args: Callable[..., Call] | None = None,
    num_simulations: int = 100,
    num_svi_steps: int = 1000,
    num_samples: int = 1000,
    chain_method: str = "sequential",
    **kwargs: Any,
) -> VSBCResult:
    """Simulation-based calibration of the point estimates of variational inference.

    Latent values are drawn from the prior and data given them; the guide is fitted to the data; and :math:`p`, the
    probability under the guide of a value below the true one, is recorded. If the guide is centred rightly, the
    distribution of :math:`p` over many data sets is symmetric about 1/2: a shift to the right says that the guide's
    means are too low, one to the left that they are too high. With probabilities piled up at 0 and 1 a guide is too
    narrow, around 1/2 too wide.

    :param rng_key: a key.
    :param model: a model.
    :param guide: its guide.
    :param optim: an optimiser, as for :class:`~numpyro.infer.SVI`.
    :param loss: an objective.
    :param args: arguments of model and guide.
    :param observed_sites: the names of the sites of data; by default those that the given arguments observe.
    :param simulated_data_to_args: a function of simulated data (by site name) and of ``args`` and ``kwargs`` that
        returns the ``(args, kwargs)`` to fit them; with ``None`` for all data it gives the arguments of a simulation.
        By default arguments that have the name of an observed site are replaced; other data arguments must be unset or
        ``None``, and the model is conditioned on the data.
    :param num_simulations: the number of data sets, 100 by default.
    :param num_svi_steps: steps of each fit, 1000 by default.
    :param num_samples: draws of each fitted guide, 1000 by default.
    :param chain_method: ``"sequential"``, ``"vectorized"``, or ``"parallel"`` over the devices.
    :param kwargs: keyword arguments of model and guide.
    :return: a :class:`VSBCResult`.
    :raises ValueError: for numbers that are too small, sites that are unknown or discrete, data that the arguments do
        not say how to pass, and sites that the guide misses.

    The p-values are exact, up to ties: with the data sets in the order of :math:`|p - 1/2|`, largest first, the
    distance is the maximum of a random walk with fair steps, divided by their number.

    **References:** Yao, Vehtari, Simpson & Gelman, *Yes, but did it work? Evaluating variational inference* (2018),
    section 3.2; Butler, *A test for symmetry using the sample distribution function* (1969).
    """
    for name, number, least in (
        ("num_simulations", num_simulations, 2),
        ("num_svi_steps", num_svi_steps, 1),
        ("num_samples", num_samples, 2),
    ):
        if number < least:
            raise UsageError(f"{name} must be at least {least}, got {number}.")
    if chain_method not in CHAIN_METHODS:
        raise UsageError(
            "Only supporting the following methods to dispatch simulations: "
            f'"sequential", "parallel", or "vectorized"; got {chain_method!r}.'
        )
    design = _design(model, (args, kwargs), observed_sites, simulated_data_to_args)

    def simulate(rng_key: Key, _: PyTree) -> dict[str, Array]:
        prior_key, fit_key, draw_key = jax.random.split(rng_key, 3)
        sites = _run(model, design.simulation, prior_key)
        data = {name: sites[name]["value"] for name in design.observed}
        fit_args, fit_kwargs = design.fit(data)
        fitted_model, fitted_guide = _conditioned(model, guide, {name: data[name] for name in design.conditioned})
        svi = SVI(fitted_model, fitted_guide, optim, loss)
        params = svi.run(fit_key, num_svi_steps, *fit_args, progress_bar=False, **fit_kwargs).params

        def draw(rng_key: Key) -> dict[str, Array]:
            found = trace_guide(rng_key, params, fitted_guide, fit_args, fit_kwargs)
            missing = [name for name in design.latent if name not in found]
            if missing:
                raise UsageError(f"The guide has no sample sites {missing}, which the model has.")
            return {name: found[name]["value"] for name in design.latent}

        draws = jax.vmap(draw)(jax.random.split(draw_key, num_samples))
        return {name: jnp.sum(draws[name] < sites[name]["value"], 0, dtype=jnp.int32) for name in design.latent}

    ranks = {
        name: np.asarray(rank, np.int32)
        for name, rank in _over_simulations(simulate, rng_key, num_simulations, chain_method).items()
    }
    probabilities = {name: rank / float(num_samples) for name, rank in ranks.items()}
    tests = {name: _test_entries(p) for name, p in probabilities.items()}
    return VSBCResult(
        probabilities=probabilities,
        ks_stats={name: stats for name, (stats, _) in tests.items()},
        ks_pvalues={name: pvalues for name, (_, pvalues) in tests.items()},
        ranks=ranks,
        param_names=tuple(ranks),
    )


class _Design(NamedTuple):
    """What is drawn and observed: the sites, and the arguments with and without data."""

    latent: tuple[str, ...]
    observed: tuple[str, ...]
    conditioned: tuple[str, ...]
    simulation: Call
    fit: Callable[[Mapping[str, Any]], Call]


def _design(model: Callable, call: Call, observed: Sequence[str] | None, to_args: Callable | None) -> _Design:
    given = _describe(model, call)
    if observed is None:
        observed = [name for name, site in given.items() if site["is_observed"] and not _is_factor(site)]
        if not observed:
            raise UsageError(
                "Unable to infer observed sites from a generative model trace. Please specify observed_sites "
                "explicitly."
            )
    names = (observed,) if isinstance(observed, str) else tuple(observed)
    if unknown := [name for name in names if name not in given]:
        raise UsageError(f"Unknown observed sites: {unknown}. Expected a subset of {list(given)}.")
    fit = partial(_by_name, model, call) if to_args is None else partial(_by_function, to_args, call)
    nothing = dict.fromkeys(names)
    simulation = fit(nothing)
    sites = _describe(model, simulation)
    if not set(names) <= {name for name, site in sites.items() if is_latent(site)}:
        raise UsageError(
            "Unable to infer how simulated observations should be passed to model arguments. Use argument names "
            "matching observed_sites, leave direct observed-data arguments unset/None, or pass simulated_data_to_args "
            "explicitly."
        )
    latent = {name: site for name, site in sorted(sites.items()) if is_latent(site) and name not in names}
    if discrete := [name for name, site in latent.items() if site["fn"].is_discrete]:
        raise UsageError(
            "vsbc_diagnostic currently supports only continuous latent sample sites. Found discrete latents: "
            f"{discrete}."
        )
    observing = _describe(
        model, fit({name: np.zeros(sites[name]["value"].shape, sites[name]["value"].dtype) for name in names})
    )
    conditioned = tuple(name for name in names if not observing[name]["is_observed"])
    return _Design(tuple(latent), names, conditioned, simulation, fit)


def _describe(model: Callable, call: Call) -> dict[str, Any]:
    """The sample sites of a model, which is not evaluated."""
    found: dict[str, Any] = {}

    def run() -> tuple[()]:
        found.update((n, s) for n, s in _run(model, call, jax.random.key(0)).items() if s["type"] == "sample")
        return ()

    jax.eval_shape(run)
    return found


def _run(model: Callable, call: Call, rng_key: Key) -> dict[str, Any]:
    with trace() as sites, seed(rng_seed=rng_key):
        model(*call[0], **call[1])
    return sites


def _is_factor(site: Mapping[str, Any]) -> bool:
    return bool(site["infer"].get("is_auxiliary"))


def _by_name(model: Callable, call: Call, data: Mapping[str, Any]) -> Call:
    """The arguments with data in the places of those that have the names of sites."""
    try:
        signature = inspect.signature(model)
        bound = signature.bind_partial(*call[0], **call[1])
    except (TypeError, ValueError):
        return call
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    for name, value in data.items():
        if name in signature.parameters and signature.parameters[name].kind in named:
            bound.arguments[name] = value
    return bound.args, bound.kwargs


def _by_function(to_args: Callable, call: Call, data: Mapping[str, Any]) -> Call:
    found = to_args(dict(data), *call[0], **call[1])
    if not (isinstance(found, (tuple, list)) and len(found) == 2):
        raise UsageError(f"simulated_data_to_args must return a pair (args, kwargs), got {type(found).__name__}.")
    if not isinstance(found[0], (tuple, list)):
        raise UsageError("simulated_data_to_args must return a tuple or list for args.")
    if not isinstance(found[1], Mapping):
        raise UsageError("simulated_data_to_args must return a dictionary for kwargs.")
    return tuple(found[0]), dict(found[1])


def _conditioned(model: Callable, guide: Any, data: Mapping[str, Any]) -> tuple[Callable, Any]:
    """The model given data, and the guide; one that knows a model gets to know this one, as a copy."""
    given = condition(model, data=data) if data else model
    if hasattr(guide, "begin"):
        guide = copy.copy(guide)
        if data:
            guide.model = condition(guide.model, data=data)
    return given, guide


def _over_simulations(simulate: Callable, rng_key: Key, number: int, chain_method: str) -> dict[str, Any]:
    devices = jax.local_devices()
    if chain_method == "parallel" and len(devices) > 1:
        rows = -(-number // len(devices)) * len(devices)
        placement = jax.sharding.NamedSharding(
            jax.sharding.Mesh(np.array(devices), ("simulations",)), jax.sharding.PartitionSpec("simulations")
        )
        keys = jax.device_put(jax.random.split(rng_key, rows), placement)
        found = jax.jit(jax.vmap(lambda key: simulate(key, {})))(keys)
        return jax.tree.map(lambda ranks: ranks[:number], found)
    if chain_method == "parallel":
        warnings.warn(
            f"Not enough devices for parallel execution: {len(devices)}. The simulations run one after the other. On a "
            "CPU, numpyro.set_host_device_count gives more.",
            UserWarning,
            stacklevel=find_stack_level(),
        )
    return map_draws(simulate, rng_key, {}, (number,), parallel=chain_method == "vectorized")


def _test_entries(probabilities: np.ndarray) -> tuple[Any, Any]:
    """The distance and its p-value for each entry; numbers for a scalar site."""
    if probabilities.ndim == 1:
        return symmetry_test(probabilities)
    flat = [symmetry_test(column) for column in probabilities.reshape(len(probabilities), -1).T]
    stats, pvalues = np.array(flat).reshape(-1, 2).T
    return stats.reshape(probabilities.shape[1:]), pvalues.reshape(probabilities.shape[1:])


def symmetry_test(probabilities: np.ndarray) -> tuple[float, float]:
    """The distance between the distributions of :math:`p` and :math:`1 - p`, and how probable one so large is.

    Given the distances from 1/2 the sides are fair coins, where the distribution is symmetric. The difference of the
    two distribution functions, going inwards, is the sum of these coins over their number.
    """
    n = len(probabilities)
    offsets = np.round(np.abs(probabilities - 0.5), 12)
    order = np.argsort(-offsets, kind="stable")
    walk = np.cumsum(np.sign(np.round(probabilities - 0.5, 12))[order])
    ends = np.append(np.diff(offsets[order]) != 0, True)
    height = int(np.abs(walk[ends]).max())
    return height / n, _reaches(n, height)


def _reaches(steps: int, height: int) -> float:
    """The probability that a walk of fair steps of size 1 is ever ``height`` away from where it began."""
    if height == 0:
        return 1.0
    inside = np.zeros(2 * height + 1)
    inside[height] = 1.0
    for _ in range(steps):
        inside = 0.5 * (np.roll(inside, 1) + np.roll(inside, -1))
        inside[[0, -1]] = 0.0
    return float(min(max(1.0 - inside.sum(), 0.0), 1.0))


for _public in (VSBCResult, vsbc_diagnostic):
    _public.__module__ = "numpyro.infer.calibration"
