"""Kernels of a density over a flat vector: what those that are not HMC have in common.

A kernel says what it is called, and makes an :class:`Algorithm`, two pure functions over a flat vector; the rest (the
model, starting points, constrained draws, compiled programs) is here.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import Array, ArrayLike, Key, PyTree
from numpyro.infer.initialization import init_to_uniform
from numpyro.infer.mcmc.arguments import position_of
from numpyro.infer.mcmc.kernel import MCMCKernel
from numpyro.infer.mcmc.sampler import Sampler, record
from numpyro.infer.model import InitializationError, Layout, ModelView, initial_candidate
from numpyro.infer.model.initial import MAX_TRIES, no_start_error
from numpyro.infer.program import Program, compiled_programs
from numpyro.util import is_prng_key


class Point(NamedTuple):
    """A position, a flat vector, with its potential energy and the gradient of that (0 where it is not asked for)."""

    z: Array
    potential: Array
    grad: Array


Evaluate = Callable[[Array], Point]
"""From a flat vector to a :class:`Point`; with a leading axis, under ``jax.vmap``."""


class Algorithm(Protocol):
    """How a chain goes on, over flat vectors; compares equal, as a frozen dataclass does, where programs are the same.

    :param tuning: run-time settings, any pytree.
    """

    def init(self, evaluate: Evaluate, tuning: PyTree, start: Point, rng_key: Key) -> Any:
        """The state of a chain that starts at ``start``."""

    def step(self, evaluate: Evaluate, tuning: PyTree, state: Any) -> Any:
        """The next state."""


class Target(NamedTuple):
    """The density to sample. Its functions take the model's ``data`` and a position, a pytree like ``prototype``.

    - **prototype** - a position, or its shapes.
    - **data** - what the functions take at run time.
    - **potential** - minus the log density.
    - **draw_initial** - a function of the data and a key that draws a position; ``None`` where a start is given.
    - **postprocess** - what the user sees of a position.
    - **view** - the model, for messages; ``None`` for a bare potential.
    """

    prototype: PyTree
    data: PyTree
    potential: Callable[[PyTree, PyTree], Array]
    draw_initial: Callable[[PyTree, Key], PyTree] | None
    postprocess: Callable[[PyTree, PyTree], PyTree]
    view: ModelView | None


class DensityData(NamedTuple):
    """All run-time values of a run: settings, the arrays that the programs captured, and the data of the model."""

    tuning: PyTree
    potential: tuple[Any, ...]
    draw: tuple[Any, ...]
    postprocess: tuple[Any, ...]
    model: PyTree


class DensitySampler(Sampler):
    """The programs of an algorithm for one target.

    :param flat_fields: the fields of the state that hold positions or gradients; flat for the algorithm.
    :param with_gradient: the algorithm uses gradients; otherwise none is computed.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        tuning: PyTree,
        target: Target,
        *,
        flat_fields: tuple[str, ...],
        with_gradient: bool,
    ) -> None:
        layout = Layout(target.prototype)
        self.algorithm, self.layout, self.view, self.flat_fields = algorithm, layout, target.view, flat_fields
        flat = jax.ShapeDtypeStruct((layout.size,), layout.dtype)
        data = jax.eval_shape(lambda data: data, target.data)
        key = jax.eval_shape(lambda: jax.random.key(0))

        def potential(data: PyTree, flat: Array) -> Array:
            return jnp.asarray(target.potential(data, layout.unravel(flat)))

        self.with_gradient = with_gradient
        function = jax.value_and_grad(potential, argnums=1) if with_gradient else potential
        self._potential = Program(function, data, flat)
        self._draw = None
        draw = target.draw_initial
        if draw is not None:
            self._draw = Program(lambda data, key: layout.ravel(draw(data, key)), data, key)
        self._postprocess = Program(lambda data, flat: target.postprocess(data, layout.unravel(flat)), data, flat)
        draw_key, draw_consts = (self._draw.key, self._draw.consts) if self._draw else (None, ())
        structure = jax.tree.structure(tuning)
        self.key: tuple[Any, ...] = (
            "density",
            algorithm,
            layout,
            structure,
            self._potential.key,
            draw_key,
            self._postprocess.key,
        )
        self.data = DensityData(tuning, self._potential.consts, draw_consts, self._postprocess.consts, target.data)

    def evaluate(self, data: DensityData) -> Evaluate:
        """The potential energy of the target as an algorithm takes it."""

        def evaluate(flat: Array) -> Point:
            if self.with_gradient:
                return Point(flat, *self._potential(data.potential, data.model, flat))
            return Point(flat, self._potential(data.potential, data.model, flat), jnp.zeros_like(flat))

        return evaluate

    def init(self, data: DensityData, rng_key: Key, init_params: PyTree) -> Any:
        init_key, state_key = jax.random.split(rng_key)
        evaluate = self.evaluate(data)
        if init_params is not None:
            start = evaluate(self.layout.ravel(init_params))
        else:
            start = self._find_start(evaluate, data, init_key)
        return self.unpack(self.algorithm.init(evaluate, data.tuning, start, state_key))

    def _find_start(self, evaluate: Evaluate, data: DensityData, rng_key: Key) -> Point:
        draw = self._draw
        if draw is None:
            raise TypeError("this sampler starts from given positions only")
        if not jnp.issubdtype(rng_key.dtype, jax.dtypes.prng_key):
            rng_key = jax.random.wrap_key_data(rng_key)
        flat, potential, grad, _ = initial_candidate(
            lambda flat: evaluate(flat)[1:], lambda key: draw(data.draw, data.model, key), rng_key, MAX_TRIES
        )
        return Point(flat, potential, grad)

    def step(self, data: DensityData, state: Any) -> Any:
        return self.algorithm.step(self.evaluate(data), data.tuning, state)

    def fields(self, state: Any, names: tuple[str, ...]) -> dict[str, PyTree]:
        return record(state, names)

    def postprocess(self, data: DensityData, draw: PyTree) -> PyTree:
        return self._postprocess(data.postprocess, data.model, self.layout.ravel(draw))

    def largest_factor(self) -> int:
        return self._potential.largest_factor()

    def identity(self) -> tuple[Any, PyTree]:
        without_draw: Hashable = (*self.key[:5], self.key[6])
        return without_draw, self.data._replace(draw=())

    def pack(self, state: Any) -> Any:
        return state._replace(**{name: self.layout.ravel(getattr(state, name)) for name in self.flat_fields})

    def unpack(self, state: Any) -> Any:
        return state._replace(**{name: self.layout.unravel(getattr(state, name)) for name in self.flat_fields})

    def without_data(self) -> DensitySampler:
        bare = object.__new__(DensitySampler)
        bare.__dict__.update(
            self.__dict__,
            data=None,
            view=None,
            _potential=self._potential.without_consts(),
            _draw=self._draw and self._draw.without_consts(),
            _postprocess=self._postprocess.without_consts(),
        )
        return bare

    def check_start(self, state: Any) -> None:
        grads = [np.asarray(g) for g in jax.tree.leaves(getattr(state, "z_grad", ()))]
        if np.all(np.isfinite(np.asarray(state.potential_energy))) and all(np.all(np.isfinite(g)) for g in grads):
            return
        if self.view is None:
            raise InitializationError(
                "Cannot find valid initial parameters: at init_params the potential energy is "
                f"{state.potential_energy}; it and its gradient must be finite."
            )
        z, energies = state.z, np.asarray(state.potential_energy)
        if energies.ndim:  # of several chains the first that has no start
            bad = int(np.argmin(np.isfinite(energies)))
            z = jax.tree.map(lambda leaf: leaf[bad], z)
        raise no_start_error(self.view, self.data.model, dict(z), MAX_TRIES if self._draw else 1)


class DensityKernel(MCMCKernel):
    """A kernel that samples the continuous latent sites of a model, or a ``potential_fn``.

    :param model: a model; its continuous latent sites are sampled. Give it, or ``potential_fn``.
    :param potential_fn: the potential energy, a function of a pytree of unconstrained arrays.
    :param init_strategy: how starting values are found, see :mod:`numpyro.infer.initialization`.
    :raises ValueError: when not exactly one of ``model`` and ``potential_fn`` is given.
    """

    flat_fields: tuple[str, ...] = ("z",)
    with_gradient: bool = False

    def __init__(
        self,
        model: Callable | None = None,
        potential_fn: Callable[[PyTree], Array] | None = None,
        init_strategy: Callable = init_to_uniform,
    ) -> None:
        if (model is None) == (potential_fn is None):
            raise ValueError("Only one of `model` or `potential_fn` must be specified.")
        functions = {"model": model, "potential_fn": potential_fn, "init_strategy": init_strategy}
        for name, function in functions.items():
            if function is not None and not callable(function):
                raise TypeError(f"`{name}` must be a function, got {type(function).__name__}.")
        self._model, self._potential_fn, self._init_strategy = model, potential_fn, init_strategy

    @property
    def model(self) -> Callable | None:
        """The model, or ``None``."""
        return self._model

    @property
    def sample_field(self) -> str:
        return "z"

    @abstractmethod
    def algorithm(self, layout: Layout, num_warmup: int) -> tuple[Algorithm, PyTree]:
        """What runs over flat vectors of this layout, and its run-time settings."""

    # The model as this kernel sees it

    def _view(self, model_args: tuple, model_kwargs: dict) -> ModelView:
        if self._model is None:
            raise TypeError("this kernel was made from a potential_fn: it has no model")
        view = ModelView(self._model, model_args, model_kwargs)
        view.require_continuous(type(self).__name__)
        view.require_whole_plates(type(self).__name__)
        if not view.latent:
            raise UsageError(f"{type(self).__name__} needs a model with latent sites, and this one has none to sample.")
        return view

    def get_potential_fn(self, model_args: tuple = (), model_kwargs: dict | None = None) -> Callable[[PyTree], Array]:
        """The potential energy as a function of unconstrained values."""
        if self._potential_fn is not None:
            return self._potential_fn
        view = self._view(model_args, model_kwargs or {})
        data = view.data(jax.random.PRNGKey(0))
        return lambda z: -view.log_density(data, z)

    def get_constrain_fn(  # type: ignore[override]
        self, model_args: tuple = (), model_kwargs: dict | None = None, *, return_deterministic: bool = False
    ) -> Callable[[PyTree], PyTree]:
        """A function that maps unconstrained values to constrained ones.

        :param return_deterministic: add the values of deterministic sites.
        """
        if self._potential_fn is not None:
            return lambda z: z
        view = self._view(model_args, model_kwargs or {})
        data = view.data(jax.random.PRNGKey(0))
        return lambda z: view.constrain(data, z, deterministic=return_deterministic)

    def postprocess_fn(self, args: tuple, kwargs: dict) -> Callable[[PyTree], PyTree]:  # type: ignore[override]
        return self.get_constrain_fn(args, kwargs, return_deterministic=True)

    def wrap_model(self, wrapper: Callable[[Callable], Callable]) -> DensityKernel:
        if self._model is None:
            raise ValueError("`wrap_model` needs a kernel with a model; this one was made from a potential_fn.")
        wrapped = copy.copy(self)
        wrapped._model = wrapper(self._model)
        return wrapped

    def target(self, init_params: PyTree, model_args: tuple, model_kwargs: dict, rng_key: Key) -> Target:
        """The density to sample, from the model or from the potential energy.

        :param init_params: a position, for its shapes; ``None`` to draw one from the model.
        :param rng_key: the key of what else the model draws.
        """
        if self._potential_fn is not None:
            if init_params is None:
                raise ValueError("Valid value of `init_params` must be provided with `potential_fn`.")
            for leaf in jax.tree.leaves(init_params):
                if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
                    raise TypeError(
                        f"`init_params` must hold real numbers, got {jnp.result_type(leaf)}: write 0.0 for 0."
                    )
            potential_fn = self._potential_fn
            return Target(init_params, (), lambda data, z: potential_fn(z), None, lambda data, z: z, None)
        view = self._view(model_args, model_kwargs)
        view.check_observations()
        if init_params is not None:
            _check_position(init_params, view.prototype)
        return Target(
            prototype=view.prototype,
            data=view.data(rng_key),
            potential=lambda data, z: -view.log_density(data, z),
            draw_initial=None
            if init_params is not None
            else lambda data, key: view.draw_initial(data, key, self._init_strategy),
            postprocess=lambda data, z: view.constrain(data, z, deterministic=True),
            view=view,
        )

    # The programs

    def sampler(
        self,
        num_warmup: int,
        init_params: PyTree,
        model_args: tuple,
        model_kwargs: dict,
        *,
        rng_key: Key | None = None,
        postprocess_fn: Callable[[PyTree], PyTree] | None = None,
    ) -> Sampler | None:
        return self.programs(
            num_warmup, init_params, model_args, model_kwargs, rng_key=rng_key, postprocess_fn=postprocess_fn
        )

    def programs(
        self,
        num_warmup: int,
        init_params: PyTree,
        model_args: tuple,
        model_kwargs: dict,
        *,
        rng_key: Key | None = None,
        postprocess_fn: Callable[[PyTree], PyTree] | None = None,
    ) -> DensitySampler:
        """The programs of this kernel for one chain; see :meth:`sampler`."""
        target = self.target(
            init_params, model_args, model_kwargs, jax.random.PRNGKey(0) if rng_key is None else rng_key
        )
        if postprocess_fn is not None:
            finish = postprocess_fn
            target = target._replace(postprocess=lambda data, z: finish(z))
        algorithm, tuning = self.algorithm(Layout(target.prototype), num_warmup)
        return DensitySampler(algorithm, tuning, target, flat_fields=self.flat_fields, with_gradient=self.with_gradient)

    # The documented protocol

    def init(
        self,
        rng_key: Key,
        num_warmup: int,
        init_params: PyTree = None,
        model_args: tuple = (),
        model_kwargs: dict | None = None,
    ) -> Any:
        """The first state; with a batch of keys, a batch of states.

        :param init_params: unconstrained values to start from, with a leading axis like that of the keys.
        """
        init_params = position_of(init_params)
        batched = not is_prng_key(rng_key)
        one_params = jax.tree.map(lambda leaf: leaf[0], init_params) if batched else init_params
        one_key = rng_key[0] if batched else rng_key
        sampler = self.programs(num_warmup, one_params, model_args, model_kwargs or {}, rng_key=one_key)
        axes = (None, 0, None if init_params is None else 0)

        def build() -> Callable[..., Any]:
            init = sampler.without_data().init
            return jax.jit(jax.vmap(init, axes) if batched else init)

        init = compiled_programs.get(("init", sampler.key, batched, init_params is None), build)
        state = init(sampler.data, rng_key, init_params)
        if not isinstance(state.potential_energy, jax.core.Tracer):
            sampler.check_start(state)
        return state

    def sample(self, state: Any, model_args: tuple = (), model_kwargs: dict | None = None) -> Any:
        """The next state."""
        sampler = self.programs(0, state.z, model_args, model_kwargs or {})
        return sampler.unpack(sampler.step(sampler.data, sampler.pack(state)))

    def refresh(self, state: Any, model_args: tuple, model_kwargs: dict) -> Any:
        """The state with the potential energy, and its gradient, computed anew at its position."""
        sampler = self.programs(0, state.z, model_args, model_kwargs or {})
        point = sampler.evaluate(sampler.data)(sampler.layout.ravel(state.z))
        state = state._replace(potential_energy=point.potential)
        return state._replace(z_grad=sampler.layout.unravel(point.grad)) if self.with_gradient else state


def running_mean(mean: Array, value: Array, i: Array, num_warmup: ArrayLike) -> Array:
    """The mean of a statistic since warm-up began or, later, since it ended, after iteration ``i``."""
    count = jnp.where(i < num_warmup, i + 1, i + 1 - num_warmup).astype(mean.dtype)
    return mean + (value - mean) / count


def _check_position(init_params: PyTree, prototype: dict[str, jax.ShapeDtypeStruct]) -> None:
    """Raise where ``init_params`` are not values of all latent sites in their unconstrained shapes."""
    expected = {name: shape.shape for name, shape in prototype.items()}
    given = {name: np.shape(value) for name, value in init_params.items()} if isinstance(init_params, dict) else None
    if given != expected:
        raise UsageError(
            f"`init_params` must have an unconstrained value for each latent site, of the shapes {expected}; got "
            f"{type(init_params).__name__ if given is None else given}. To give some of them, use "
            "init_strategy=init_to_value(values=...)."
        )
