"""HMC with energy conserving subsampling."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import Array, Key, PyTree
from numpyro.infer.gibbs.sweep import accept
from numpyro.infer.hmc import HMC, HMCState
from numpyro.infer.hmc.sampler import HMCSampler
from numpyro.infer.hmc_gibbs.inner import AroundHMC
from numpyro.infer.hmc_gibbs.likelihood import PlateSizes, estimate_likelihood
from numpyro.infer.hmc_gibbs.proxies import block_update, perturbed_method, taylor_proxy
from numpyro.infer.mcmc.kernel import speaks_for
from numpyro.infer.mcmc.sampler import Sampler, record
from numpyro.infer.mcmc.target import Target
from numpyro.infer.model import ModelView, initial_candidate
from numpyro.infer.model.initial import MAX_TRIES, no_start_error
from numpyro.infer.program import Program


class HMCECSState(NamedTuple):
    """The state of :class:`HMCECS`.

    - **z** - unconstrained values of the latent sites, and the indices of the subsample by plate.
    - **hmc_state** - the :class:`~numpyro.infer.hmc.HMCState` of the latent sites.
    - **rng_key** - the key of the next iteration.
    - **gibbs_state** - the state of the proxy, ``()`` without one.
    - **accept_prob** - the acceptance probability of the last new subsample.
    """

    z: dict[str, Any]
    hmc_state: HMCState
    rng_key: Key
    gibbs_state: Any
    accept_prob: Array


class HMCECS(AroundHMC):
    """HMC or NUTS that sees a subsample of the rows of a plate at a time.

    The indices of the subsample are part of the chain's state. In each iteration one block of them is drawn anew and
    accepted by the change of the estimated log likelihood of all rows; then HMC moves the latent sites given the
    subsample, whose energy its trajectories conserve. With a proxy the estimate is corrected for its variance, and
    the posterior is that of the full data but for an error of higher order. Without a proxy the likelihood of
    the subsample is scaled up, whose variance is not corrected: the posterior of such a chain is too wide.

    :param inner_kernel: HMC or NUTS of a model with plates that draw subsamples, within which all sites are observed.
    :param num_blocks: the number of blocks of a subsample; with more blocks fewer indices change at a time, and more
        proposals are accepted.
    :param proxy: what :meth:`taylor_proxy` returns.
    :raises ValueError: for an inner kernel of another kind and, when a chain starts, for a model without plates that
        draw subsamples, with continuous latent sites in them, or with discrete latent sites that cannot be summed
        out; with a proxy, with any discrete latent sites.

    **Reference:** K.-D. Dang, M. Quiroz, R. Kohn, M.-N. Tran, M. Villani, *Hamiltonian Monte Carlo with energy
    conserving subsampling* (2019).

    >>> import jax, numpyro, numpyro.distributions as dist
    >>> from numpyro.infer import HMCECS, MCMC, NUTS
    >>> def model(data):
    ...     x = numpyro.sample("x", dist.Normal(0.0, 1.0))
    ...     with numpyro.plate("N", data.shape[0], subsample_size=100):
    ...         batch = numpyro.subsample(data, event_dim=0)
    ...         numpyro.sample("obs", dist.Normal(x, 1.0), obs=batch)
    >>> data = 1.0 + jax.random.normal(jax.random.key(0), (10_000,))
    >>> kernel = HMCECS(NUTS(model), num_blocks=10, proxy=HMCECS.taylor_proxy({"x": 1.0}))
    >>> mcmc = MCMC(kernel, num_warmup=200, num_samples=200, progress_bar=False)
    >>> mcmc.run(jax.random.key(1), data)
    >>> bool(abs(mcmc.get_samples()["x"].mean() - data.mean()) < 0.01)
    True
    """

    def __init__(self, inner_kernel: HMC, *, num_blocks: int = 1, proxy: Callable | None = None) -> None:
        super().__init__(inner_kernel)
        if not speaks_for(inner_kernel):
            raise UsageError("HMCECS needs HMC or NUTS itself as its inner kernel: a subclass overrides methods of it.")
        if int(num_blocks) != num_blocks or num_blocks < 1:
            raise UsageError(f"`num_blocks` must be a positive integer, got {num_blocks}.")
        if proxy is not None and not callable(proxy):
            raise UsageError(
                f"`proxy` must be what HMCECS.taylor_proxy(reference_params) returns, got {type(proxy).__name__}."
            )
        self._num_blocks, self._proxy = int(num_blocks), proxy

    taylor_proxy = staticmethod(taylor_proxy)

    def wrap_model(self, wrapper: Callable[[Callable], Callable]) -> HMCECS:
        wrapped = copy.copy(self)
        wrapped._inner_kernel = self._inner_kernel.wrap_model(wrapper)
        return wrapped

    def get_constrain_fn(self, model_args: tuple = (), model_kwargs: dict | None = None) -> Callable[[PyTree], PyTree]:
        view, _ = self._view(model_args, model_kwargs or {})
        data = view.data(jax.random.PRNGKey(0))
        return lambda z: view.constrain(data, z)

    def postprocess_fn(self, model_args: tuple, model_kwargs: dict) -> Callable[[PyTree], PyTree]:
        view, _ = self._view(model_args, model_kwargs)
        data = view.data(jax.random.PRNGKey(0))
        return lambda z: view.constrain(data, z, deterministic=True)

    def _view(self, model_args: tuple, model_kwargs: dict) -> tuple[ModelView, PlateSizes]:
        """The model, which must be one that this kernel can sample, and its plates that draw subsamples."""
        view = ModelView(self._inner_kernel.model, model_args, model_kwargs)  # type: ignore[arg-type]
        view.require_continuous("HMCECS")
        if self._proxy is not None and view.enumerated:
            raise UsageError(
                "HMCECS: a proxy stands for the log likelihoods of single rows, which the sum over the discrete latent "
                f"sites {view.enumerated} does not have in general. Sum them out by hand (MixtureSameFamily for a site "
                "of each row), or leave out the proxy, or use NUTS, which sums them out, without subsample_size."
            )
        plates = {name: site for name, site in view.sites.items() if site.is_subsampled}
        if not plates:
            raise UsageError(
                "Cannot detect any subsample statements in the model: HMCECS needs a plate with a subsample_size below "
                "its size. For a model that sees all data use NUTS."
            )
        for site in view.latent.values():
            inside = [frame.name for frame in site.plates if frame.name in plates]
            if inside:
                raise UsageError(
                    f"HMCECS: the latent site '{site.name}' is in the plate '{inside[0]}', which draws a subsample, so "
                    "that each row has a value of its own; use SVI, or NUTS without subsample_size."
                )
        return view, {name: (int(site.plate_size or 0), int(site.shape[0])) for name, site in plates.items()}

    def programs(
        self,
        num_warmup: int,
        init_params: PyTree,
        model_args: tuple,
        model_kwargs: dict,
        *,
        rng_key: Key | None = None,
        postprocess_fn: Callable[[PyTree], PyTree] | None = None,
    ) -> ECSSampler:
        rng_key = jax.random.PRNGKey(0) if rng_key is None else rng_key
        view, sizes = self._view(model_args, model_kwargs)
        gibbs_init: Callable = lambda rng_key, indices: ()
        gibbs_update: Callable = partial(block_update, sizes, self._num_blocks)
        method: Callable | None = None
        if self._proxy is not None:
            proxy_fn, gibbs_init, gibbs_update = self._proxy(
                view.sites, sizes, self.model, model_args, model_kwargs, self._num_blocks
            )
            method = perturbed_method(sizes, proxy_fn)

        def potential(data: PyTree, z: Mapping[str, Any]) -> Array:
            model_data, indices, gibbs_state = data
            at = copy.copy(view)
            if method is not None:
                at.model = estimate_likelihood(view.model, lambda rows: method(rows, z, gibbs_state))
            return -at.log_density(model_data, {**z, **indices})

        model_data = view.data(rng_key)
        indices = {name: jax.ShapeDtypeStruct((count,), jnp.int32) for name, (_, count) in sizes.items()}
        shapes = jax.eval_shape(lambda *args: args, model_data, rng_key)
        parts = Subsamples(
            sizes=sizes,
            init=Program(gibbs_init, shapes[1], indices),
            update=Program(gibbs_update, shapes[1], indices, jax.eval_shape(gibbs_init, shapes[1], indices)),
            draw=Program(
                lambda data, key: view.draw_initial(data, key, self._inner_kernel._init_strategy),
                shapes[0],
                jax.eval_shape(lambda: jax.random.key(0)),
            ),
            postprocess=Program(
                lambda data, z: (
                    view.constrain(data, z, deterministic=True) if postprocess_fn is None else postprocess_fn(z)
                ),
                shapes[0],
                {**view.prototype, **indices},
            ),
        )
        target = Target(
            prototype=view.prototype,
            data=(model_data, indices, parts.init.out_shape),
            potential=potential,
            draw_initial=None,
            postprocess=lambda data, z: z,
            view=None,
        )
        if init_params is not None:
            unknown = sorted(set(init_params) - set(view.latent))
            if unknown:
                raise UsageError(
                    f"`init_params` has values of {unknown}, but the latent sites are {list(view.latent)}."
                )
        return ECSSampler(self._inner_kernel.sampler_of(target, num_warmup), parts, view, model_data)


class Subsamples(NamedTuple):
    """The programs around HMC: how subsamples begin and change, where chains start, and what users see."""

    sizes: PlateSizes
    init: Program
    update: Program
    draw: Program
    postprocess: Program

    @property
    def programs(self) -> tuple[Program, ...]:
        return self.init, self.update, self.draw, self.postprocess

    def without_data(self) -> Subsamples:
        return Subsamples(self.sizes, *(program.without_consts() for program in self.programs))


class ECSSampler(Sampler):
    """The programs of :class:`HMCECS`.

    :param hmc: HMC given the subsample.
    :param parts: the programs around it.
    :param view: the model.
    :param model_data: its data.
    """

    def __init__(self, hmc: HMCSampler, parts: Subsamples, view: ModelView, model_data: PyTree) -> None:
        self.hmc, self.parts, self.view = hmc, parts, view
        sizes = tuple(sorted(parts.sizes.items()))
        self.key: tuple[Any, ...] = ("ecs", sizes, hmc.key, tuple(program.key for program in parts.programs))
        consts = tuple(program.consts for program in parts.programs)
        self.data = (model_data, hmc.data._replace(model=None), consts)

    def _given(self, data: PyTree, indices: Mapping[str, Array], gibbs_state: Any) -> Any:
        return data[1]._replace(model=(data[0], dict(indices), gibbs_state))

    def init(self, data: PyTree, rng_key: Key, init_params: PyTree) -> HMCECSState:
        index_key, gibbs_key, start_key, hmc_key, state_key = jax.random.split(rng_key, 5)
        indices = {
            name: jax.random.randint(jax.random.fold_in(index_key, i), (count,), 0, size, jnp.int32)
            for i, (name, (size, count)) in enumerate(sorted(self.parts.sizes.items()))
        }
        gibbs_state = self.parts.init(data[2][0], gibbs_key, indices)
        given = self._given(data, indices, gibbs_state)
        if not jnp.issubdtype(start_key.dtype, jax.dtypes.prng_key):
            start_key = jax.random.wrap_key_data(start_key)
        fixed = {name: jnp.asarray(value, self.hmc.layout.dtype) for name, value in (init_params or {}).items()}

        def draw(key: Key) -> Array:
            return self.hmc.layout.ravel({**self.parts.draw(data[2][2], data[0], key), **fixed})

        flat, *_ = initial_candidate(self.hmc.potential_and_grad(given), draw, start_key, MAX_TRIES)
        hmc_state = self.hmc.init(given, hmc_key, self.hmc.layout.unravel(flat))
        z = {**hmc_state.z, **indices}
        return HMCECSState(z, hmc_state, state_key, gibbs_state, jnp.zeros_like(hmc_state.accept_prob))

    def step(self, data: PyTree, state: HMCECSState) -> HMCECSState:
        rng_key, update_key, accept_key, hmc_key = jax.random.split(state.rng_key, 4)
        hmc_state = state.hmc_state
        indices = {name: state.z[name] for name in sorted(self.parts.sizes)}
        new_indices, new_gibbs = self.parts.update(data[2][1], update_key, indices, state.gibbs_state)
        potential, grad = self.hmc.potential_and_grad(self._given(data, new_indices, new_gibbs))(hmc_state.z)
        log_ratio = hmc_state.potential_energy - potential
        log_ratio = jnp.where(jnp.isnan(log_ratio), -jnp.inf, log_ratio)
        new = (new_indices, new_gibbs, potential, grad)
        old = (indices, state.gibbs_state, hmc_state.potential_energy, hmc_state.z_grad)
        (indices, gibbs_state, potential, grad), _ = accept(accept_key, new, old, log_ratio)
        hmc_state = hmc_state._replace(potential_energy=potential, z_grad=grad, rng_key=hmc_key)
        hmc_state = self.hmc.step(self._given(data, indices, gibbs_state), hmc_state)
        z = {**self.hmc.layout.unravel(hmc_state.z), **indices}
        accept_prob = jnp.minimum(1.0, jnp.exp(log_ratio)).astype(state.accept_prob.dtype)
        return HMCECSState(z, hmc_state, rng_key, gibbs_state, accept_prob)

    def refresh(self, data: PyTree, state: HMCECSState) -> HMCECSState:
        """The state with the proxy, the potential and its gradient computed anew."""
        packed, indices = self.pack(state), {name: state.z[name] for name in sorted(self.parts.sizes)}
        gibbs_state = self.parts.init(data[2][0], state.rng_key, indices)
        potential, grad = self.hmc.potential_and_grad(self._given(data, indices, gibbs_state))(packed.hmc_state.z)
        hmc_state = packed.hmc_state._replace(potential_energy=potential, z_grad=grad)
        return self.unpack(packed._replace(hmc_state=hmc_state, gibbs_state=gibbs_state))

    def fields(self, state: HMCECSState, names: tuple[str, ...]) -> dict[str, PyTree]:
        return record(state, names)

    def postprocess(self, data: PyTree, draw: PyTree) -> PyTree:
        return self.parts.postprocess(data[2][3], data[0], draw)

    def pack(self, state: HMCECSState) -> HMCECSState:
        return state._replace(hmc_state=self.hmc.pack(state.hmc_state))

    def unpack(self, state: HMCECSState) -> HMCECSState:
        return state._replace(hmc_state=self.hmc.unpack(state.hmc_state))

    def largest_factor(self) -> int:
        return self.hmc.largest_factor()

    def identity(self) -> tuple[Any, PyTree]:
        model_data, hmc_data, (init, update, _, postprocess) = self.data
        return self.key, (model_data, hmc_data, init, update, postprocess)

    def without_data(self) -> ECSSampler:
        bare = object.__new__(type(self))
        bare.__dict__.update(
            self.__dict__, data=None, view=None, hmc=self.hmc.without_data(), parts=self.parts.without_data()
        )
        return bare

    def check_start(self, state: HMCECSState) -> None:
        if not np.all(np.isfinite(np.asarray(state.hmc_state.potential_energy))):
            raise no_start_error(self.view, self.data[0], dict(state.z), MAX_TRIES)


HMCECS.__module__ = HMCECSState.__module__ = "numpyro.infer.hmc_gibbs"
