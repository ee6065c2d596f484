"""Kernels that are given what they cannot handle say so, and which to use instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro.infer import HMC, MCMC, NUTS, DiscreteHMCGibbs, HMCGibbs, MixedHMC
from numpyro.infer.gibbs import (
    CustomGibbs,
    DiscreteGibbs,
    Gibbs,
    conditioned,
    discrete_latent_sites,
    discrete_support_sizes,
    latent_sample_sites,
    prototype_trace,
    subsample_plate_sizes,
    with_conditioning,
)
from numpyro.infer.model import InitializationError


def both() -> None:
    c = numpyro.sample("c", dist.Categorical(jnp.ones(3) / 3))
    numpyro.sample("x", dist.Normal(c, 1.0))


def continuous() -> None:
    numpyro.sample("x", dist.Normal())


def infinite() -> None:
    numpyro.sample("x", dist.Normal(numpyro.sample("c", dist.Poisson(3.0)), 1.0))


def partly_infinite() -> None:
    numpyro.sample("b", dist.Bernoulli(0.4))
    infinite()


def subsampled() -> None:
    with numpyro.plate("N", 20, subsample_size=5):
        numpyro.sample("c", dist.Bernoulli(0.4))


def varying() -> None:
    numpyro.sample("n", dist.Binomial(jnp.array([2, 4]), 0.5))


def depending() -> None:
    n = numpyro.sample("n", dist.Bernoulli(0.4))
    numpyro.sample("b", dist.Binomial(n + 2, 0.4))


def impossible() -> None:
    c = numpyro.sample("c", dist.Bernoulli(0.5))
    numpyro.sample("x", dist.Normal(c, 1.0))
    numpyro.factor("never", -jnp.inf)


def same(rng_key: Any, gibbs_sites: Any, hmc_sites: Any) -> Any:
    return gibbs_sites


def returning(value: Any) -> Callable[[], Any]:
    return lambda: HMCGibbs(NUTS(both), lambda rng_key, gibbs_sites, hmc_sites: value, ["c"])


AT_CONSTRUCTION: dict[str, tuple[Callable[[], Any], str]] = {
    "no kernel": (lambda: DiscreteHMCGibbs(both), "inner_kernel must be an HMC or NUTS"),
    "no kernel, user's": (lambda: HMCGibbs(both, same, ["c"]), "inner_kernel must be an HMC or NUTS"),
    "no kernel, mixed": (lambda: MixedHMC(both), "inner_kernel must be an HMC"),
    "potential": (lambda: DiscreteHMCGibbs(NUTS(potential_fn=lambda z: z["x"])), "potential function"),
    "potential, mixed": (lambda: MixedHMC(HMC(potential_fn=lambda z: z["x"])), "potential function"),
    "NUTS in MixedHMC": (lambda: MixedHMC(NUTS(both)), "does not support NUTS.*DiscreteHMCGibbs"),
    "no visits": (lambda: MixedHMC(HMC(both), num_discrete_updates=0), "positive integer, got 0"),
    "no function": (lambda: HMCGibbs(NUTS(both), 3, ["c"]), "gibbs_fn must be a callable"),
    "no names": (lambda: HMCGibbs(NUTS(both), same, []), "non-empty sequence of site names"),
    "no pairs": (lambda: Gibbs([NUTS(both)]), r"must be a `\(kernel, sites\)` pair"),
    "no kernels in pairs": (lambda: Gibbs([(["x"], NUTS(both))]), "is not an MCMCKernel"),
    "no blocks": (lambda: Gibbs([]), "at least one block"),
    "no model": (lambda: Gibbs([(CustomGibbs(same), ["c"])]), "built on a model"),
    "two models": (lambda: Gibbs([(DiscreteGibbs(both), None), (NUTS(continuous), None)]), "share the same model"),
    "two rests": (lambda: Gibbs([(NUTS(both), None), (HMC(both), None)]), "At most one block"),
    "a potential": (lambda: Gibbs([(NUTS(potential_fn=lambda z: z["x"]), ["x"])]), "potential function"),
}

AT_INIT: dict[str, tuple[Callable[[], Any], str]] = {
    "no discrete": (lambda: DiscreteHMCGibbs(NUTS(continuous)), "no discrete latent sites; use NUTS or HMC"),
    "no discrete, mixed": (lambda: MixedHMC(HMC(continuous)), "no discrete latent sites; use NUTS or HMC"),
    "no discrete, alone": (lambda: DiscreteGibbs(continuous), r"cannot sample the latent sites \['x'\].*DiscreteHMC"),
    "infinite": (lambda: DiscreteHMCGibbs(NUTS(infinite)), r"\['c'\] cannot be sampled.*HMCGibbs"),
    "infinite, mixed": (lambda: MixedHMC(HMC(infinite)), "no finite list of values.*HMCGibbs"),
    "infinite left over": (lambda: DiscreteHMCGibbs(NUTS(partly_infinite)), r"\['c'\] cannot be sampled by an HMC"),
    "varying": (lambda: DiscreteHMCGibbs(NUTS(varying)), "list of values of the discrete site 'n'"),
    "depending": (lambda: DiscreteHMCGibbs(NUTS(depending)), "discrete site 'b'.*concrete"),
    "subsampled": (lambda: DiscreteHMCGibbs(NUTS(subsampled)), "subsample plates.*HMCECS"),
    "subsampled, alone": (lambda: DiscreteGibbs(subsampled), "subsample plates.*HMCECS"),
    "unknown": (lambda: HMCGibbs(NUTS(both), same, ["q"]), r"\['q'\] are not latent sample sites"),
    "left over": (lambda: Gibbs([(DiscreteGibbs(both), ["c"])]), r"\['x'\] are not owned by any block"),
    "owned twice": (lambda: Gibbs([(DiscreteGibbs(both), ["c"]), (NUTS(both), ["x", "c"])]), "more than one block"),
    "discrete for HMC": (lambda: Gibbs([(NUTS(both), None)]), "cannot be sampled by an HMC block"),
    "continuous for discrete": (
        lambda: Gibbs([(DiscreteGibbs(both), ["c", "x"])]),
        r"DiscreteGibbs cannot sample the latent sites \['x'\]",
    ),
    "other sites returned": (returning({"q": 1}), r"exactly the sites \['c'\], got \['q'\]"),
    "other shape returned": (returning({"c": jnp.zeros(3, int)}), r"shape \(\) for the site 'c', got \(3,\)"),
    "custom alone": (lambda: CustomGibbs(same), "block of Gibbs"),
}


@pytest.mark.parametrize("case", AT_CONSTRUCTION)
def test_at_construction(case: str) -> None:
    make, words = AT_CONSTRUCTION[case]
    with pytest.raises(ValueError, match=f"(?s){words}"):
        make()


@pytest.mark.parametrize("case", AT_INIT)
def test_at_init(case: str) -> None:
    make, words = AT_INIT[case]
    with pytest.raises(ValueError, match=f"(?s){words}"):
        make().init(jax.random.key(0), 5, None, (), {})


@pytest.mark.parametrize("value", [1.0, {"c": 0.5}])
def test_a_function_that_returns_another_kind(value: Any) -> None:
    with pytest.raises(TypeError, match="gibbs_fn must return"):
        returning(value)().init(jax.random.key(0), 5, None, (), {})


def test_a_kernel_without_refresh_is_no_block() -> None:
    class Other(CustomGibbs):
        pass

    Other.refresh = numpyro.infer.mcmc.MCMCKernel.refresh  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="Other does not implement `refresh`"):
        Gibbs([(Other(same), ["c"]), (NUTS(both), None)])


@pytest.mark.parametrize("params", [{"q": 1.0}, {"x": jnp.zeros(2)}, 3.0])
def test_init_params_that_fit_no_site(params: Any) -> None:
    with pytest.raises(ValueError, match="init_params"):
        DiscreteHMCGibbs(NUTS(both)).init(jax.random.key(0), 5, params, (), {})


def test_init_params_of_some_sites() -> None:
    state = DiscreteHMCGibbs(NUTS(both)).init(jax.random.key(0), 5, {"x": 0.25}, (), {})
    assert float(state.z["x"]) == 0.25 and int(state.z["c"]) in range(3)


@pytest.mark.parametrize("kernel", [DiscreteHMCGibbs(NUTS(impossible)), MixedHMC(HMC(impossible))])
def test_no_start(kernel: Any) -> None:
    with pytest.raises(InitializationError, match="Cannot find valid initial parameters"):
        MCMC(kernel, num_warmup=2, num_samples=2, progress_bar=False).run(jax.random.key(0))


def test_sites_by_kind() -> None:
    def model() -> None:
        partly_infinite()
        with numpyro.plate("N", 20, subsample_size=5):
            numpyro.sample("v", dist.Binomial(4, 0.3))
        numpyro.sample("y", dist.Normal(), obs=0.0)

    model_trace = prototype_trace(model, jax.random.key(0), (), {})
    assert latent_sample_sites(model_trace) == ("b", "c", "x", "v")
    assert discrete_latent_sites(model_trace) == ("b", "v")
    assert subsample_plate_sizes(model_trace) == {"N": (20, 5)}
    sizes = discrete_support_sizes(model_trace, ["b", "v"])
    assert sizes["b"].shape == () and sizes["v"].tolist() == [5] * 5


def test_conditioning() -> None:
    model = conditioned(both)
    kwargs = with_conditioning({}, {"c": jnp.array(2)}, allowed=["c", "x"])
    model_trace = prototype_trace(model, jax.random.key(0), (), kwargs)
    assert model_trace["c"]["is_observed"] and not model_trace["x"]["is_observed"]
    with pytest.raises(ValueError, match=r"non-latent sites \['y'\]"):
        with_conditioning({}, {"y": 1.0}, allowed=["x"])
