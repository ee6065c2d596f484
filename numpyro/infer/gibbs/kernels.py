"""Kernels over named sites: :class:`Gibbs`, and :class:`DiscreteGibbs` and :class:`CustomGibbs`, two of its blocks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import jax

from numpyro._errors import UsageError
from numpyro._typing import Array, Key, PyTree
from numpyro.infer.gibbs.blocks import Block, CustomBlock, DiscreteBlock, HMCBlock, KernelBlock
from numpyro.infer.gibbs.conditioning import (
    SitesSpec,
    finite_supports,
    is_finite_discrete,
    prototype_trace,
)
from numpyro.infer.gibbs.density import JointDensity
from numpyro.infer.gibbs.sampler import GibbsSampler, Positions
from numpyro.infer.gibbs.states import CustomGibbsState, DiscreteGibbsState, GibbsState
from numpyro.infer.gibbs.sweep import Elements
from numpyro.infer.gibbs.update_fn import GibbsUpdateFn
from numpyro.infer.hmc import HMC
from numpyro.infer.initialization import init_to_uniform
from numpyro.infer.mcmc import MCMCKernel
from numpyro.infer.mcmc.kernel import speaks_for
from numpyro.infer.mcmc.sampler_kernel import SamplerKernel


class DiscreteGibbs(SamplerKernel):
    """Gibbs sampling of the discrete latent sites of a model, which are of finite support.

    In each iteration every element of every site is moved once, in random order, given all others.

    :param model: a model. By itself the kernel samples one whose latent sites are all discrete; as a block of
        :class:`Gibbs` it moves the discrete ones, or those that are named.
    :param random_walk: propose a value uniformly from the support, with one evaluation of the density, in place of
        drawing from the conditional distribution, with one for each value.
    :param modified: propose other values than the present one only (Liu 1996), which by Peskun's theorem lowers the
        variance of estimates.

    >>> import jax, numpyro, numpyro.distributions as dist
    >>> from numpyro.infer import MCMC
    >>> from numpyro.infer.gibbs import DiscreteGibbs
    >>> model = lambda: numpyro.sample("c", dist.Bernoulli(0.25))
    >>> mcmc = MCMC(DiscreteGibbs(model), num_warmup=0, num_samples=1000, progress_bar=False)
    >>> mcmc.run(jax.random.key(0))
    >>> bool(abs(mcmc.get_samples()["c"].mean() - 0.25) < 0.05)
    True
    """

    def __init__(self, model: Callable, *, random_walk: bool = False, modified: bool = False) -> None:
        if not callable(model) or isinstance(model, MCMCKernel):
            raise UsageError(f"DiscreteGibbs: `model` must be a model, got {type(model).__name__}.")
        self._model = model
        self._random_walk, self._modified = random_walk, modified

    @property
    def model(self) -> Callable:
        """The model."""
        return self._model

    def wrap_model(self, wrapper: Callable[[Callable], Callable]) -> DiscreteGibbs:
        wrapped = copy.copy(self)
        wrapped._model = wrapper(self._model)
        return wrapped

    def elements(self, density: JointDensity, names: tuple[str, ...], args: tuple, kwargs: dict[str, Any]) -> Elements:
        """The elements of the named sites.

        :raises ValueError: for a site without a finite support.
        """
        foreign = [name for name in names if not density.latent[name].is_discrete]
        if foreign:
            raise UsageError(
                f"DiscreteGibbs cannot sample the latent sites {foreign}; condition on them or use DiscreteGibbs as a "
                "block of Gibbs, with HMC or NUTS for these sites (DiscreteHMCGibbs does)."
            )
        supports = finite_supports(self._model, args, kwargs, names, "DiscreteGibbs")
        shapes = {name: density.prototype[name] for name in names}
        return Elements(supports, shapes, self._random_walk, self._modified)

    def _density(self, model_args: tuple, model_kwargs: dict) -> JointDensity:
        return JointDensity(self._model, model_args, model_kwargs, "DiscreteGibbs")

    def programs(
        self,
        num_warmup: int,
        init_params: PyTree,
        model_args: tuple,
        model_kwargs: dict,
        *,
        rng_key: Key | None = None,
        postprocess_fn: Callable[[PyTree], PyTree] | None = None,
    ) -> _OneBlock:
        rng_key = jax.random.PRNGKey(0) if rng_key is None else rng_key
        density = self._density(model_args, model_kwargs)
        if not density.latent:
            raise UsageError("DiscreteGibbs: the model has no discrete latent sites; use NUTS for continuous ones.")
        density.view.check_observations()
        names = tuple(density.latent)
        model_data = density.view.data(rng_key)
        block = DiscreteBlock(self.elements(density, names, model_args, model_kwargs), density, names, model_data)
        positions = Positions(density, init_params, init_to_uniform, postprocess_fn, model_data)
        return _OneBlock((block,), positions, density, model_data, GibbsState)

    def get_potential_fn(
        self, model_args: tuple = (), model_kwargs: dict | None = None
    ) -> Callable[[dict[str, Array]], Array]:
        """The potential energy as a function of the values of the discrete sites."""
        density = self._density(model_args, model_kwargs or {})
        data = density.view.data(jax.random.PRNGKey(0))
        return lambda z: density.potential(data, z)

    def get_constrain_fn(self, model_args: tuple = (), model_kwargs: dict | None = None) -> Callable[[PyTree], PyTree]:
        return lambda z: z

    def postprocess_fn(self, model_args: tuple, model_kwargs: dict) -> Callable[[PyTree], PyTree]:
        density = self._density(model_args, model_kwargs)
        data = density.view.data(jax.random.PRNGKey(0))
        return lambda z: density.constrain(data, z, deterministic=True)


class _OneBlock(GibbsSampler):
    """A block by itself: the chain's state is the block's."""

    def init(self, data: PyTree, rng_key: Key, init_params: PyTree) -> DiscreteGibbsState:
        state = self._init(data, rng_key, init_params)
        return state.block_states[0]._replace(rng_key=state.rng_key)

    def step(self, data: PyTree, state: Any) -> Any:
        nested = super().step(data, GibbsState(state.z, (state,), state.rng_key))
        return nested.block_states[0]._replace(rng_key=nested.rng_key)

    def refresh(self, data: PyTree, state: Any) -> Any:
        return super().refresh(data, GibbsState(state.z, (state,), state.rng_key)).block_states[0]

    def pack(self, state: Any) -> Any:
        return state

    def unpack(self, state: Any) -> Any:
        return state

    def check_start(self, state: Any) -> None:
        super().check_start(GibbsState(state.z, (state,), state.rng_key))


class CustomGibbs(MCMCKernel):
    """A block of :class:`Gibbs` whose sites a function of the user's draws.

    :param gibbs_fn: a function as :class:`GibbsUpdateFn` describes it: called by keyword with ``rng_key``,
        ``gibbs_sites`` and ``hmc_sites``, it returns new values of the block's sites. It should leave their
        conditional distribution given the others invariant; drawing from it does.
    :raises ValueError: when ``gibbs_fn`` is not a function.
    """

    def __init__(self, gibbs_fn: GibbsUpdateFn) -> None:
        if not callable(gibbs_fn):
            raise UsageError(f"gibbs_fn must be a callable, got {type(gibbs_fn).__name__}.")
        self._gibbs_fn = gibbs_fn

    @property
    def gibbs_fn(self) -> GibbsUpdateFn:
        """The function."""
        return self._gibbs_fn

    @property
    def sample_field(self) -> str:
        return "z"

    def init(
        self, rng_key: Key, num_warmup: int, init_params: PyTree, model_args: tuple, model_kwargs: dict
    ) -> CustomGibbsState:
        if init_params is None:
            raise UsageError("CustomGibbs requires initial values; use it as a block of Gibbs.")
        return CustomGibbsState(init_params, rng_key)

    def sample(self, state: CustomGibbsState, model_args: tuple, model_kwargs: dict) -> CustomGibbsState:
        rng_key, draw_key = jax.random.split(state.rng_key)
        z = self._gibbs_fn(rng_key=draw_key, gibbs_sites=state.z, hmc_sites=model_kwargs.get("_gibbs_sites", {}))
        return CustomGibbsState(z, rng_key)

    def refresh(self, state: PyTree, model_args: tuple, model_kwargs: dict) -> PyTree:
        return state

    def get_constrain_fn(self, model_args: tuple, model_kwargs: dict) -> Callable[[PyTree], PyTree]:
        return lambda z: z

    def wrap_model(self, wrapper: Callable[[Callable], Callable]) -> CustomGibbs:
        return self


class Gibbs(SamplerKernel):
    """Moves blocks of sites in turn, each by a kernel of its own, given the values of all other sites.

    :param blocks: pairs ``(kernel, sites)``, in the order in which they move. A kernel is one of HMC, NUTS,
        :class:`DiscreteGibbs` and :class:`CustomGibbs`, or any that implements ``refresh`` and ``wrap_model``; all are
        of the same model. ``sites`` are names, or a function of the model's trace that returns names, or, for one
        block, ``None`` for all sites that are left (of :class:`DiscreteGibbs` the discrete ones).
    :raises ValueError: where the blocks do not fit together or, when a chain starts, do not fit the model.

    Discrete sites of finite support that are marked ``infer={"enumerate": "parallel"}`` are of no block: the density of
    all others is summed over them. Discrete sites without the mark must be of a block that moves them.

    The draws of a chain are of all sites; chains start where the joint density is finite. ``init_params`` may have
    values of some sites: unconstrained ones for those that HMC moves.

    >>> import jax, numpyro, numpyro.distributions as dist
    >>> from numpyro.infer import MCMC, NUTS
    >>> from numpyro.infer.gibbs import DiscreteGibbs, Gibbs
    >>> def model():
    ...     c = numpyro.sample("c", dist.Bernoulli(0.5))
    ...     x = numpyro.sample("x", dist.Normal(2.0 * c, 1.0))
    ...     numpyro.sample("y", dist.Normal(x, 1.0))
    >>> kernel = Gibbs([(DiscreteGibbs(model), ["c"]), (NUTS(model), ["x"]), (NUTS(model), ["y"])])
    >>> mcmc = MCMC(kernel, num_warmup=100, num_samples=100, progress_bar=False)
    >>> mcmc.run(jax.random.key(0))
    >>> sorted(mcmc.get_samples())
    ['c', 'x', 'y']
    """

    _make_state: type[GibbsState] = GibbsState

    def __init__(self, blocks: Sequence[tuple[MCMCKernel, SitesSpec]]) -> None:
        self._blocks = tuple(_checked_block(block) for block in blocks)
        if not self._blocks:
            raise UsageError("Gibbs requires at least one block.")
        found = [getattr(kernel, "model", None) for kernel, _ in self._blocks]
        models = [model for model in found if model is not None]
        if not models:
            raise UsageError(
                "Gibbs requires at least one block built on a model, such as NUTS(model) or DiscreteGibbs(model)."
            )
        if any(model is not models[0] for model in models):
            raise UsageError("All model-based blocks must share the same model: give each kernel the same function.")
        if sum(sites is None and not isinstance(kernel, DiscreteGibbs) for kernel, sites in self._blocks) > 1:
            raise UsageError("At most one block can use `None` for its sites.")
        self._model: Callable = models[0]

    @property
    def blocks(self) -> tuple[tuple[MCMCKernel, SitesSpec], ...]:
        """The pairs of kernels and sites."""
        return self._blocks

    @property
    def model(self) -> Callable:
        """The model."""
        return self._model

    @property
    def default_fields(self) -> tuple[str, ...]:
        return ("z",)

    @property
    def pools_chains(self) -> bool:
        return any(kernel.pools_chains for kernel, _ in self._blocks)

    def wrap_model(self, wrapper: Callable[[Callable], Callable]) -> Gibbs:
        # One wrapped model for all blocks, which are to share it.
        model = wrapper(self._model)
        wrapped = copy.copy(self)
        wrapped._blocks = tuple((kernel.wrap_model(lambda _: model), sites) for kernel, sites in self._blocks)
        wrapped._model = model
        return wrapped

    def get_diagnostics_str(self, state: GibbsState) -> str:
        said = [kernel.get_diagnostics_str(s) for (kernel, _), s in zip(self._blocks, state.block_states)]
        return " | ".join(words for words in said if words)

    def remaining_warmup(self, state: GibbsState) -> int:
        return max(kernel.remaining_warmup(s) for (kernel, _), s in zip(self._blocks, state.block_states))

    # The sites of blocks

    def _resolve(self, density: JointDensity, args: tuple, kwargs: dict[str, Any]) -> list[tuple[str, ...]]:
        """The names of the sites of each block."""
        latent = density.latent
        names: list[tuple[str, ...] | None] = []
        for _, sites in self._blocks:
            if sites is None:
                names.append(None)
                continue
            if callable(sites):
                sites = tuple(sites(prototype_trace(self._model, jax.random.key(0), args, kwargs)))
            unknown = [name for name in sites if name not in latent]
            if unknown:
                raise UsageError(
                    f"Sites {unknown} are not latent sample sites of the model; it has {sorted(latent)}."
                    + _summed_out([name for name in unknown if name in density.view.enumerated])
                )
            names.append(tuple(dict.fromkeys(sites)))
        owned = [name for block in names for name in block or ()]
        twice = sorted({name for name in owned if owned.count(name) > 1})
        if twice:
            raise UsageError(f"Sites {twice} are owned by more than one block.")
        rest = [name for name in latent if name not in owned]
        for i in sorted(range(len(names)), key=lambda i: not isinstance(self._blocks[i][0], DiscreteGibbs)):
            if names[i] is None:
                is_discrete = isinstance(self._blocks[i][0], DiscreteGibbs)
                names[i] = tuple(self._finite_discrete(args, kwargs, rest)) if is_discrete else tuple(rest)
                rest = [name for name in rest if name not in (names[i] or ())]
        if rest:
            raise UsageError(
                f"Latent sites {rest} are not owned by any block; add a block or use `None` as the sites of one block."
            )
        return [block or () for block in names]

    def _finite_discrete(self, args: tuple, kwargs: dict[str, Any], names: list[str]) -> list[str]:
        found: dict[str, bool] = {}

        def look() -> None:
            model_trace = prototype_trace(self._model, jax.random.key(0), args, kwargs)
            found.update({name: is_finite_discrete(model_trace[name]) for name in names})

        jax.eval_shape(look)
        return [name for name in names if found[name]]

    def _block(
        self,
        kernel: MCMCKernel,
        names: tuple[str, ...],
        density: JointDensity,
        num_warmup: int,
        model_data: PyTree,
        args: tuple,
        kwargs: dict[str, Any],
        rng_key: Key,
    ) -> Block:
        if is_hmc(kernel):
            return HMCBlock(kernel, density, names, num_warmup, model_data)  # type: ignore[arg-type]
        if not names:
            raise UsageError(self._no_sites(kernel))
        if type(kernel) is DiscreteGibbs:
            return DiscreteBlock(kernel.elements(density, names, args, kwargs), density, names, model_data)
        if type(kernel) is CustomGibbs:
            return CustomBlock(kernel.gibbs_fn, density, names, model_data, rng_key)
        return KernelBlock(kernel, density, names, num_warmup, model_data, args, kwargs, rng_key)

    def _no_sites(self, kernel: MCMCKernel) -> str:
        if not isinstance(kernel, DiscreteGibbs):
            return f"Block {type(kernel).__name__} owns no sites."
        return "Block DiscreteGibbs owns no sites: the model has no discrete latent sites; use NUTS or HMC by itself."

    def _check_continuous(self, density: JointDensity, names: tuple[str, ...]) -> None:
        discrete = [name for name in names if density.latent[name].is_discrete]
        if discrete:
            raise UsageError(
                f"Discrete latent sites {discrete} cannot be sampled by an HMC block; use DiscreteGibbs "
                "(DiscreteHMCGibbs), or mark them with `infer={'enumerate': 'parallel'}` to have them summed out, or, "
                "where they have no finite list of values, use CustomGibbs (HMCGibbs with a gibbs_fn)."
            )

    def _density(self, model_args: tuple, model_kwargs: dict) -> tuple[JointDensity, list[tuple[str, ...]]]:
        density = JointDensity(self._model, model_args, model_kwargs, "Gibbs")
        names = self._resolve(density, model_args, model_kwargs)
        for (kernel, _), block in zip(self._blocks, names):
            if isinstance(kernel, HMC):
                self._check_continuous(density, block)
        free = [name for (kernel, _), block in zip(self._blocks, names) if is_hmc(kernel) for name in block]
        return density.with_free(free), names

    def programs(
        self,
        num_warmup: int,
        init_params: PyTree,
        model_args: tuple,
        model_kwargs: dict,
        *,
        rng_key: Key | None = None,
        postprocess_fn: Callable[[PyTree], PyTree] | None = None,
    ) -> GibbsSampler:
        rng_key = jax.random.PRNGKey(0) if rng_key is None else rng_key
        density, names = self._density(model_args, model_kwargs)
        density.view.check_observations()
        data = density.view.data(rng_key)
        blocks = tuple(
            self._block(kernel, block, density, num_warmup, data, model_args, model_kwargs, rng_key)
            for (kernel, _), block in zip(self._blocks, names)
        )
        strategies = [kernel._init_strategy for kernel, _ in self._blocks if isinstance(kernel, HMC)]
        strategy = strategies[0] if strategies else init_to_uniform
        positions = Positions(density, init_params, strategy, postprocess_fn, data)
        return GibbsSampler(blocks, positions, density, data, self._make_state)

    def get_constrain_fn(self, model_args: tuple = (), model_kwargs: dict | None = None) -> Callable[[PyTree], PyTree]:
        density, _ = self._density(model_args, model_kwargs or {})
        data = density.view.data(jax.random.PRNGKey(0))
        return lambda z: density.constrain(data, z)

    def postprocess_fn(self, model_args: tuple, model_kwargs: dict) -> Callable[[PyTree], PyTree]:
        density, _ = self._density(model_args, model_kwargs)
        data = density.view.data(jax.random.PRNGKey(0))
        return lambda z: density.constrain(data, z, deterministic=True)


def is_hmc(kernel: MCMCKernel) -> bool:
    """Whether a kernel is HMC or NUTS itself, with their programs."""
    return isinstance(kernel, HMC) and speaks_for(kernel)


def _summed_out(names: list[str]) -> str:
    if not names:
        return ""
    return (
        f" {names} are marked infer={{'enumerate': 'parallel'}}, so that they are summed out; leave out the mark to "
        "have a block sample them."
    )


def _checked_block(block: Any) -> tuple[MCMCKernel, SitesSpec]:
    if not isinstance(block, (tuple, list)) or len(block) != 2:
        raise UsageError("Each block must be a `(kernel, sites)` pair, such as (NUTS(model), ['x']).")
    kernel, sites = block
    if not isinstance(kernel, MCMCKernel):
        raise UsageError(f"{kernel!r} is not an MCMCKernel.")
    if isinstance(kernel, HMC) and kernel.model is None:
        raise UsageError("Kernels built from a potential function cannot be blocks of Gibbs; give them the model.")
    if type(kernel).refresh is MCMCKernel.refresh or type(kernel).wrap_model is MCMCKernel.wrap_model:
        raise UsageError(
            f"{type(kernel).__name__} does not implement `refresh` and cannot be used as a block of Gibbs; use HMC or "
            "NUTS."
        )
    if isinstance(sites, str):
        sites = (sites,)
    if sites is None or callable(sites):
        return kernel, sites
    if not isinstance(sites, Sequence) or not sites or not all(isinstance(name, str) for name in sites):
        raise UsageError("`sites` must be a non-empty sequence of site names, a callable or None.")
    return kernel, tuple(sites)


for _kernel in (Gibbs, CustomGibbs, DiscreteGibbs):
    _kernel.__module__ = "numpyro.infer.gibbs"
