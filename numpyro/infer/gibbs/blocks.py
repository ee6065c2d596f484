"""Blocks: what a kernel does to its sites given the values of the others, as programs of run-time data."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import Array, Key, PyTree
from numpyro.infer.chain_axis import update_where
from numpyro.infer.gibbs.conditioning import conditioned, with_conditioning
from numpyro.infer.gibbs.density import JointDensity
from numpyro.infer.gibbs.states import CustomGibbsState, DiscreteGibbsState
from numpyro.infer.gibbs.sweep import Elements
from numpyro.infer.hmc import HMC
from numpyro.infer.hmc.sampler import HMCSampler
from numpyro.infer.hmc.state import HMCState
from numpyro.infer.mcmc import MCMCKernel
from numpyro.infer.mcmc.target import Target
from numpyro.infer.program import Program

Z = dict[str, Any]


class Moved(NamedTuple):
    """What a block leaves: its state, the values of its sites, and the potential energy of all, if it is known."""

    state: Any
    values: Z
    energy: Array | None


class Block(ABC):
    """The programs of one block.

    :cvar key: tells programs apart.
    :cvar data: what they take at run time; the data of the model are handed to every call, too.
    """

    key: Hashable
    data: PyTree
    names: tuple[str, ...]

    @abstractmethod
    def init(self, data: PyTree, model_data: PyTree, rng_key: Key, z: Z) -> Any:
        """The first state, at the position ``z`` of all sites."""

    @abstractmethod
    def step(
        self,
        data: PyTree,
        model_data: PyTree,
        state: Any,
        rng_key: Key,
        z: Z,
        energy: Array | None,
        stale: Array | bool,
    ) -> Moved:
        """Move the block's sites.

        :param energy: the potential energy of ``z``, where it is known.
        :param stale: whether the values of other sites may have changed since the block's last step.
        """

    def start_energy(self, data: PyTree, model_data: PyTree, z: Z) -> Array | None:
        """A number that is finite where the block can start from ``z``; ``None`` for a block that always can."""
        return None

    def refresh(self, data: PyTree, model_data: PyTree, state: Any, z: Z) -> Any:
        """The state with what depends on the values of other sites computed anew."""
        return state

    def pack(self, state: Any) -> Any:
        return state

    def unpack(self, state: Any) -> Any:
        return state

    def largest_factor(self) -> int:
        return 0

    def own(self, z: Mapping[str, Any]) -> Z:
        """The values of the block's sites."""
        return {name: z[name] for name in sorted(self.names)}

    def others(self, z: Mapping[str, Any]) -> Z:
        """The values of all other sites."""
        return {name: z[name] for name in sorted(z) if name not in self.names}

    def without_data(self) -> Block:
        bare = copy.copy(self)
        bare.__dict__.update({name: _bare(value) for name, value in vars(self).items()}, data=None)
        return bare


def _bare(value: Any) -> Any:
    if isinstance(value, Program):
        return value.without_consts()
    return value.without_data() if isinstance(value, HMCSampler) else value


class HMCBlock(Block):
    """Continuous sites, by HMC or NUTS in their unconstrained values.

    :param kernel: the kernel, for its settings.
    :param density: the joint density, in which the sites are free.
    :param names: the sites.
    :param num_warmup: iterations of warm-up.
    :param model_data: the data of the model.
    """

    def __init__(
        self, kernel: HMC, density: JointDensity, names: tuple[str, ...], num_warmup: int, model_data: PyTree
    ) -> None:
        self.names = names
        prototype = density.prototype
        target = Target(
            prototype={name: prototype[name] for name in sorted(names)},
            data=(model_data, self.others(prototype)),
            potential=lambda data, z: density.potential(data[0], {**data[1], **z}),
            draw_initial=None,
            postprocess=lambda data, z: z,
            view=None,
        )
        self.hmc = kernel.sampler_of(target, num_warmup)
        self.key = self.hmc.key
        # The others' values are shapes only, and are given at each step.
        self.data = self.hmc.data._replace(model=None)

    def given(self, data: PyTree, model_data: PyTree, z: Z) -> PyTree:
        """The data of the HMC programs, at the values of the other sites."""
        return data._replace(model=(model_data, self.others(z)))

    def init(self, data: PyTree, model_data: PyTree, rng_key: Key, z: Z) -> HMCState:
        return self.hmc.init(self.given(data, model_data, z), rng_key, self.own(z))

    def start_energy(self, data: PyTree, model_data: PyTree, z: Z) -> Array:
        flat = self.hmc.layout.ravel(self.own(z))
        energy, grad = self.hmc.potential_and_grad(self.given(data, model_data, z))(flat)
        return jnp.where(jnp.all(jnp.isfinite(grad)), energy, jnp.inf)

    def refresh(self, data: PyTree, model_data: PyTree, state: HMCState, z: Z) -> HMCState:
        return self.unpack(self._refreshed(self.given(data, model_data, z), self.pack(state), True))

    def step(
        self,
        data: PyTree,
        model_data: PyTree,
        state: HMCState,
        rng_key: Key,
        z: Z,
        energy: Array | None,
        stale: Array | bool,
    ) -> Moved:
        given = self.given(data, model_data, z)
        state = self._refreshed(given, state, stale)
        state = self.hmc.step(given, state._replace(rng_key=rng_key))
        return Moved(state, self.hmc.layout.unravel(state.z), state.potential_energy)

    def _refreshed(self, given: PyTree, state: HMCState, stale: Array | bool) -> HMCState:
        """The state with the potential and its gradient as they now are, evaluated only where that is needed."""
        if stale is False:
            return state
        cached = (state.potential_energy, state.z_grad)
        evaluate = self.hmc.potential_and_grad(given)
        if stale is True:
            cached = evaluate(state.z)
        else:
            cached = update_where(stale, lambda cached: evaluate(state.z), cached)
        return state._replace(potential_energy=cached[0], z_grad=cached[1])

    def pack(self, state: HMCState) -> HMCState:
        return self.hmc.pack(state)

    def unpack(self, state: HMCState) -> HMCState:
        return self.hmc.unpack(state)

    def largest_factor(self) -> int:
        return self.hmc.largest_factor()


class DiscreteBlock(Block):
    """Discrete sites of finite support, by sweeps over their elements.

    :param elements: the elements of the sites.
    :param density: the joint density.
    :param names: the sites.
    :param model_data: the data of the model.
    """

    def __init__(self, elements: Elements, density: JointDensity, names: tuple[str, ...], model_data: PyTree) -> None:
        self.names, self.elements = names, elements
        model_shapes = jax.eval_shape(lambda data: data, model_data)
        self._potential = Program(density.potential, model_shapes, density.prototype)
        self.key = ("discrete", names, elements.key, self._potential.key)
        self.data = self._potential.consts

    def init(self, data: PyTree, model_data: PyTree, rng_key: Key, z: Z) -> DiscreteGibbsState:
        return DiscreteGibbsState(self.own(z), self._potential(data, model_data, z), rng_key)

    def potential(self, data: PyTree, model_data: PyTree, z: Z) -> Array:
        """The potential energy of a position."""
        return self._potential(data, model_data, z)

    def start_energy(self, data: PyTree, model_data: PyTree, z: Z) -> Array:
        return self._potential(data, model_data, z)

    def refresh(self, data: PyTree, model_data: PyTree, state: DiscreteGibbsState, z: Z) -> DiscreteGibbsState:
        return state._replace(potential_energy=self._potential(data, model_data, z))

    def step(
        self,
        data: PyTree,
        model_data: PyTree,
        state: DiscreteGibbsState,
        rng_key: Key,
        z: Z,
        energy: Array | None,
        stale: Array | bool,
    ) -> Moved:
        if energy is None:
            energy = self._potential(data, model_data, z)
        others = self.others(z)

        def potential(values: Z) -> Array:
            return self._potential(data, model_data, {**others, **values})

        values, energy = self.elements.sweep(rng_key, self.own(z), energy, potential)
        return Moved(DiscreteGibbsState(values, energy, rng_key), values, energy)


class CustomBlock(Block):
    """Sites that a function of the user's draws.

    :param gibbs_fn: the function.
    :param density: the joint density.
    :param names: the sites.
    :param model_data: the data of the model.
    """

    def __init__(
        self, gibbs_fn: Callable[..., Any], density: JointDensity, names: tuple[str, ...], model_data: PyTree, key: Key
    ) -> None:
        self.names = names
        prototype = density.prototype

        def draw(model_data: PyTree, rng_key: Key, z: Z) -> Z:
            hmc_sites = self.others(density.constrain(model_data, z))
            return _checked(
                gibbs_fn(rng_key=rng_key, gibbs_sites=self.own(z), hmc_sites=hmc_sites), self.own(prototype)
            )

        shapes = jax.eval_shape(lambda *args: args, model_data, key)
        self._draw = Program(draw, *shapes, prototype)
        self.key = ("custom", names, self._draw.key)
        self.data = self._draw.consts

    def init(self, data: PyTree, model_data: PyTree, rng_key: Key, z: Z) -> CustomGibbsState:
        return CustomGibbsState(self.own(z), rng_key)

    def step(
        self,
        data: PyTree,
        model_data: PyTree,
        state: CustomGibbsState,
        rng_key: Key,
        z: Z,
        energy: Array | None,
        stale: Array | bool,
    ) -> Moved:
        values = self._draw(data, model_data, rng_key, z)
        return Moved(CustomGibbsState(values, rng_key), values, None)


def _checked(values: Any, expected: Mapping[str, jax.ShapeDtypeStruct]) -> Z:
    """What a user's function has drawn, in the shapes and dtypes of its sites."""
    if not isinstance(values, dict):
        raise TypeError(f"gibbs_fn must return a dictionary of values by site, got {type(values).__name__}.")
    if set(values) != set(expected):
        raise UsageError(f"gibbs_fn must return values for exactly the sites {sorted(expected)}, got {sorted(values)}.")
    for name, site in expected.items():
        shape, dtype = np.shape(values[name]), jnp.result_type(values[name])
        if shape != site.shape:
            raise UsageError(f"gibbs_fn must return a value of shape {site.shape} for the site '{name}', got {shape}.")
        if jnp.issubdtype(dtype, jnp.inexact) and not jnp.issubdtype(site.dtype, jnp.inexact):
            raise TypeError(f"gibbs_fn must return a value of dtype {site.dtype} for the site '{name}', got {dtype}.")
    return {name: jnp.asarray(values[name], expected[name].dtype) for name in sorted(expected)}


class KernelBlock(Block):
    """Sites that any other kernel moves, through its documented protocol.

    :param kernel: the kernel; its model is wrapped so that the values of the other sites are observed.
    :param density: the joint density, in which the sites are not free.
    :param names: the sites.
    :param num_warmup: iterations of warm-up.
    :param args: arguments of the model.
    :param kwargs: keyword arguments of the model.
    :param key: a key of the kind that the run has.
    """

    def __init__(
        self,
        kernel: MCMCKernel,
        density: JointDensity,
        names: tuple[str, ...],
        num_warmup: int,
        model_data: PyTree,
        args: tuple,
        kwargs: dict[str, Any],
        key: Key,
    ) -> None:
        self.names, wrapped = names, kernel.wrap_model(conditioned)
        field, arguments = kernel.sample_field, density.view.arguments

        def given(model_data: PyTree, z: Z) -> tuple[tuple, dict[str, Any]]:
            """The model's arguments, with the values of the other sites."""
            args, kwargs = arguments.rebuild(model_data[1])
            others = self.others(density.constrain(model_data, z))
            return args, with_conditioning(kwargs, others) if others else kwargs

        def init(model_data: PyTree, rng_key: Key, z: Z) -> Any:
            args, kwargs = given(model_data, z)
            return jax.tree.map(jnp.asarray, wrapped.init(rng_key, num_warmup, None, args, kwargs))

        def refresh(model_data: PyTree, state: Any, z: Z) -> Any:
            return wrapped.refresh(state, *given(model_data, z))

        def step(model_data: PyTree, state: Any, rng_key: Key, z: Z) -> Any:
            given_others = given(model_data, z)
            if "rng_key" in getattr(state, "_fields", ()):
                state = state._replace(rng_key=rng_key)
            return wrapped.sample(wrapped.refresh(state, *given_others), *given_others)

        def values(model_data: PyTree, state: Any, z: Z) -> Z:
            drawn = wrapped.get_constrain_fn(*given(model_data, z))(getattr(state, field))
            missing = [name for name in names if name not in drawn]
            if missing:
                raise UsageError(
                    f"A block of Gibbs by {type(kernel).__name__} owns the sites {missing}, but does not sample them: "
                    "name those that it does, and give discrete ones to DiscreteGibbs."
                )
            return _checked({name: drawn[name] for name in names}, self.own(density.prototype))

        prototype = density.prototype
        data_shapes, key_shape = jax.eval_shape(lambda *args: args, model_data, key)
        self._init = Program(init, data_shapes, key_shape, prototype)
        state = self._init.out_shape
        self._refresh = Program(refresh, data_shapes, state, prototype)
        self._step = Program(step, data_shapes, state, key_shape, prototype)
        self._values = Program(values, data_shapes, state, prototype)
        programs = (self._init, self._refresh, self._step, self._values)
        self.key = ("kernel", names, tuple(program.key for program in programs))
        self.data = tuple(program.consts for program in programs)

    def init(self, data: PyTree, model_data: PyTree, rng_key: Key, z: Z) -> Any:
        return self._init(data[0], model_data, rng_key, z)

    def first_values(self, data: PyTree, model_data: PyTree, state: Any, z: Z) -> Z:
        """The values that the kernel has chosen to start from."""
        return self._values(data[3], model_data, state, z)

    def refresh(self, data: PyTree, model_data: PyTree, state: Any, z: Z) -> Any:
        return self._refresh(data[1], model_data, state, z)

    def step(
        self,
        data: PyTree,
        model_data: PyTree,
        state: Any,
        rng_key: Key,
        z: Z,
        energy: Array | None,
        stale: Array | bool,
    ) -> Moved:
        state = self._step(data[2], model_data, state, rng_key, z)
        return Moved(state, self._values(data[3], model_data, state, z), None)
