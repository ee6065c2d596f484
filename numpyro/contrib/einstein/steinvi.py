"""Inference by particles that interact through a kernel."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import Array, Key, PyTree
from numpyro.contrib.einstein.particles import find_particles
from numpyro.contrib.einstein.stein_kernels import SteinKernel
from numpyro.contrib.einstein.stein_loss import SteinLoss, ravel_particles
from numpyro.infer.autoguide import AutoBNAFNormal, AutoDelta, AutoIAFNormal, AutoSemiDAIS
from numpyro.infer.mcmc.interrupt import interruptible
from numpyro.infer.model.arguments import Arguments
from numpyro.infer.svi.loop import compile_step, loop, scan
from numpyro.infer.svi.params import constrain, unconstrain
from numpyro.infer.svi.svi import _as_optimizer, _require_key, _strong


class SteinVIState(NamedTuple):
    """The state of :class:`SteinVI`.

    - **optim_state** - the state of the optimiser, unconstrained particles and params in it.
    - **rng_key** - the key of the next step.
    - **loss_temperature** - the factor of what pulls particles.
    - **repulsion_temperature** - the factor of what keeps them apart.
    """

    optim_state: Any
    rng_key: Key
    loss_temperature: Any
    repulsion_temperature: Any


class SteinVIRunResult(NamedTuple):
    """What :meth:`SteinVI.run` returns.

    - **params** - the (constrained) params at the end; those of particles have a leading dimension.
    - **state** - the last state, from which a run can go on.
    - **losses** - the length of the step direction, before each step.
    """

    params: dict[str, PyTree]
    state: Any
    losses: Array


class SteinVI:
    r"""Variational inference by a mixture of guides whose params are particles, moved by Stein's method.

    The params :math:`x_1, \dots, x_m` of :math:`m` copies of a guide, unconstrained, move along

    .. math:: \phi(x_i) = \lambda \sum_j k(x_j, x_i)\; m \nabla_{x_j} \mathcal L(x_1, \dots, x_m)
        + \frac{\rho}{m} \sum_j \nabla_{x_j} k(x_j, x_i)

    with the bound :math:`\mathcal L` of :class:`SteinLoss`. Params of the model ascend the bound itself. Of
    :class:`~numpyro.infer.autoguide.AutoDelta` the particles are points, and :math:`\mathcal L` is the mean of their
    log densities in the unconstrained space.

    :param model: a model.
    :param guide: a guide, an autoguide for example; each particle starts at values of its own.
    :param optim: an optimiser, as for :class:`~numpyro.infer.SVI`.
    :param kernel_fn: a kernel of :mod:`~numpyro.contrib.einstein.stein_kernels`.
    :param num_stein_particles: the number :math:`m` of particles, 10 by default.
    :param num_elbo_particles: draws from each guide for a step, 10 by default.
    :param loss_temperature: :math:`\lambda`, 1 by default.
    :param repulsion_temperature: :math:`\rho`, 1 by default.
    :param non_mixture_guide_params_fn: whether all particles share a param of the guide, by its name; none by default.
    :param static_kwargs: keyword arguments for model and guide that stay the same.
    :raises TypeError: where ``kernel_fn`` is no kernel or ``optim`` no optimiser.
    :raises ValueError: (and ``AssertionError``) for guides whose params cannot be particles.

    >>> import jax, numpyro, numpyro.distributions as dist
    >>> from numpyro.contrib.einstein import MixtureGuidePredictive, RBFKernel, SteinVI
    >>> from numpyro.infer.autoguide import AutoNormal
    >>> def model():
    ...     numpyro.sample("x", dist.Normal(3.0, 0.5))
    >>> stein = SteinVI(model, AutoNormal(model), numpyro.optim.Adam(0.1), RBFKernel(), num_stein_particles=3)
    >>> result = stein.run(jax.random.key(0), 10, progress_bar=False)
    >>> result.params["x_auto_loc"].shape
    (3,)

    **References:** Liu & Wang, *Stein variational gradient descent* (2016); Wang, Zeng & Liu, *Stein variational
    message passing* (2018); Wang, Tang, Bajaj & Liu, *Stein variational gradient descent with matrix-valued kernels*
    (2019); Rønning et al., *ELBOing Stein* (2024).
    """

    def __init__(
        self,
        model: Callable,
        guide: Callable,
        optim: Any,
        kernel_fn: SteinKernel,
        num_stein_particles: int = 10,
        num_elbo_particles: int = 10,
        loss_temperature: float = 1.0,
        repulsion_temperature: float = 1.0,
        non_mixture_guide_params_fn: Callable[[str], bool] = lambda name: False,
        **static_kwargs: Any,
    ) -> None:
        for name, function in (("model", model), ("guide", guide)):
            if not callable(function):
                raise TypeError(f"`{name}` must be a function, got {type(function).__name__}.")
        if not isinstance(kernel_fn, SteinKernel):
            raise TypeError(f"`kernel_fn` must be a kernel, such as RBFKernel(), got {kernel_fn!r}.")
        if isinstance(guide, (AutoIAFNormal, AutoBNAFNormal, AutoSemiDAIS)):
            raise UsageError(
                f"SteinVI does not take {type(guide).__name__}, whose networks do not move as particles in a sensible "
                "way. Take AutoNormal, AutoMultivariateNormal or AutoDelta."
            )
        if isinstance(num_stein_particles, bool) or not isinstance(num_stein_particles, int) or num_stein_particles < 1:
            raise UsageError(f"`num_stein_particles` must be a positive integer, got {num_stein_particles!r}.")
        self.model, self.guide, self.kernel_fn = model, guide, kernel_fn
        self.optim = _as_optimizer(optim)
        self.stein_loss = SteinLoss(num_elbo_particles, num_stein_particles)
        self.num_stein_particles = num_stein_particles
        self.loss_temperature = loss_temperature
        self.repulsion_temperature = repulsion_temperature
        self.non_mixture_params_fn = non_mixture_guide_params_fn
        self.static_kwargs = static_kwargs
        self.guide_sites: set[str] | None = None
        self.constrain_fn: Callable[[Mapping[str, PyTree]], dict[str, PyTree]] | None = None
        self.particle_transforms: dict[str, Any] = {}
        self._has_points = isinstance(guide, AutoDelta)

    def init(self, rng_key: Key, *args: Any, **kwargs: Any) -> SteinVIState:
        """The first state.

        :param rng_key: a key.
        :param args: arguments of model and guide.
        """
        _require_key(rng_key)
        rng_key, init_key, kernel_key = jax.random.split(rng_key, 3)
        kwargs = {**kwargs, **self.static_kwargs}
        found = find_particles(
            init_key, self.model, self.guide, self.num_stein_particles, self.non_mixture_params_fn, args, kwargs
        )
        self.guide_sites = set(found.particles)
        self.particle_transforms = {k: v for k, v in found.transforms.items() if k in found.particles}
        self.constrain_fn = partial(constrain, found.transforms)
        params = jax.tree.map(_strong, unconstrain(found.transforms, {**found.shared, **found.particles}))
        flat = jax.eval_shape(lambda particles: ravel_particles(particles)[0], self._parts(params)[0])
        self.kernel_fn.init(kernel_key, flat.shape)
        return SteinVIState(self.optim.init(params), rng_key, self.loss_temperature, self.repulsion_temperature)

    def _parts(self, params: Mapping[str, PyTree]) -> tuple[dict[str, PyTree], dict[str, PyTree]]:
        """The particles, and the params that are shared."""
        if self.guide_sites is None:
            raise UsageError("`init` or `run` must be called first: it finds the params of model and guide.")
        names = self.guide_sites
        return (
            {name: value for name, value in params.items() if name in names},
            {name: value for name, value in params.items() if name not in names},
        )

    def get_params(self, state: SteinVIState) -> dict[str, PyTree]:
        """The params of a state, in their constraints; those of particles have a leading dimension.

        :param state: a state.
        """
        self._parts({})
        return self.constrain_fn(self.optim.get_params(state.optim_state))  # type: ignore[misc]

    def _direction(
        self, state: SteinVIState, rng_key: Key, args: tuple, kwargs: dict[str, Any]
    ) -> tuple[Array, PyTree]:
        """The length of the step direction of particles, and minus the direction of all params."""
        kwargs = {**kwargs, **self.static_kwargs}
        to_constrained: Callable = self.constrain_fn  # type: ignore[assignment]
        particles, shared = self._parts(self.optim.get_params(state.optim_state))
        flat, unravel = ravel_particles(particles)
        count = flat.shape[0]
        shared_key, pull_key, kernel_key = jax.random.split(rng_key, 3)
        constrain_row = lambda row: to_constrained(unravel(row))

        def log_density(rng_key: Key, particle: Array, index: Any) -> Array:
            """The term of one particle in m L."""
            term = self.stein_loss.particle_loss(
                rng_key,
                self.model,
                self.guide,
                constrain_row(particle),
                constrain_row,
                flat,
                index,
                args,
                kwargs,
                to_constrained(shared),
            )
            return term + self._log_volume(unravel(particle)) if self._has_points else term

        pulls = jax.vmap(jax.grad(log_density, 1))(jax.random.split(pull_key, count), flat, jnp.arange(count))
        kernel = self.kernel_fn.compute(kernel_key, flat, _spans(particles), log_density)
        direction = count * state.loss_temperature * attraction(kernel, self.kernel_fn.mode, flat, pulls)
        direction += state.repulsion_temperature * repulsion(kernel, self.kernel_fn.mode, flat)
        of_shared: PyTree = {}
        if shared:
            loss = lambda params: self.stein_loss.loss(
                shared_key, to_constrained(params), self.model, self.guide, to_constrained(particles), *args, **kwargs
            )
            of_shared = jax.grad(loss)(shared)
        return jnp.sqrt(jnp.sum(direction**2)), {**of_shared, **jax.vmap(unravel)(-direction)}

    def _log_volume(self, unconstrained: Mapping[str, PyTree]) -> Array:
        """What makes a density of constrained values one of the unconstrained values, where points move."""
        total = jnp.zeros(())
        for name, transform in self.particle_transforms.items():
            z = unconstrained[name]
            total += jnp.sum(transform.log_abs_det_jacobian(z, transform(z)))
        return total

    def update(self, state: SteinVIState, *args: Any, **kwargs: Any) -> tuple[SteinVIState, Array]:
        """One step.

        :param state: a state.
        :param args: arguments of model and guide.
        :return: the next state, and the length of the step direction before the step.
        """
        rng_key, step_key = jax.random.split(state.rng_key)
        length, gradient = self._direction(state, step_key, args, kwargs)
        optim_state = self.optim.update(gradient, state.optim_state, value=length)
        return state._replace(optim_state=optim_state, rng_key=rng_key), length

    def evaluate(self, state: SteinVIState, *args: Any, **kwargs: Any) -> Array:
        """The length of the step direction at a state, which stays as it is.

        :param state: a state.
        :param args: arguments of model and guide.
        """
        _, step_key = jax.random.split(state.rng_key)
        return self._direction(state, step_key, args, kwargs)[0]

    def setup_run(
        self, rng_key: Key, num_steps: int, args: tuple, init_state: Any, kwargs: dict[str, Any]
    ) -> tuple[Any, Callable]:
        """What a run starts from, and its step.

        :return: the first state, and ``update``.
        """
        return init_state if init_state is not None else self.init(rng_key, *args, **kwargs), self.update

    def run(
        self,
        rng_key: Key,
        num_steps: int,
        *args: Any,
        progress_bar: bool = True,
        init_state: Any = None,
        **kwargs: Any,
    ) -> SteinVIRunResult:
        """Make many steps, in a program that is compiled once.

        :param rng_key: a key.
        :param num_steps: the number of steps.
        :param args: arguments of model and guide.
        :param progress_bar: show progress.
        :param init_state: the state to go on from, such as the ``state`` of an earlier result.
        :raises ValueError: when ``num_steps`` is no positive integer.

        Ctrl-C ends a run after its present chunk; the steps so far are returned.
        """
        if isinstance(num_steps, bool) or not isinstance(num_steps, (int, np.integer)) or num_steps < 1:
            raise UsageError(f"num_steps must be a positive integer, got {num_steps!r}.")
        state, update = self.setup_run(rng_key, int(num_steps), args, init_state, kwargs)
        arguments = Arguments.split(args, kwargs)

        def step(state: Any, arrays: tuple) -> tuple[Any, Array]:
            args, kwargs = arguments.rebuild(arrays)
            return update(state, *args, **kwargs)

        state = jax.tree.map(_strong, state)
        compiled = compile_step(step, state, arguments.arrays)
        if compiled is None:
            state, losses = scan(step, state, arguments.arrays, int(num_steps))
        else:
            stop = threading.Event()
            with interruptible(stop, (signal.SIGINT,)):
                state, losses = loop(compiled.chunks(arguments.arrays), state, int(num_steps), progress_bar, stop)
        return SteinVIRunResult(self.get_params(state), state, jnp.asarray(losses))


def attraction(kernel: Callable, mode: str, flat: Array, pulls: Array) -> Array:
    r""":math:`\frac 1 m \sum_j k(x_j, x_i)\, g_j`, for each :math:`i`."""
    weigh = (lambda k, g: k @ g) if mode == "matrix" else (lambda k, g: k * g)
    at = lambda y: jnp.mean(jax.vmap(lambda x, g: weigh(kernel(x, y), g))(flat, pulls), 0)
    return jax.vmap(at)(flat)


def repulsion(kernel: Callable, mode: str, flat: Array) -> Array:
    r""":math:`\frac 1 m \sum_j \nabla_{x_j} \cdot k(x_j, x_i)`, for each :math:`i`.

    The divergence of a matrix is taken of its rows; a vector is the diagonal of one.
    """
    if mode == "norm":
        divergence = jax.grad(kernel)
    elif mode == "vector":
        divergence = lambda x, y: jnp.diagonal(jax.jacfwd(kernel)(x, y))
    else:
        divergence = lambda x, y: jnp.einsum("abb->a", jax.jacfwd(kernel)(x, y))
    at = lambda y: jnp.mean(jax.vmap(lambda x: divergence(x, y))(flat), 0)
    return jax.vmap(at)(flat)


def _spans(particles: Mapping[str, PyTree]) -> dict[str, tuple[int, int]]:
    """Where the values of each param begin and end in a row."""
    spans, start = {}, 0
    for name in sorted(particles):
        size = sum(int(np.prod(np.shape(leaf)[1:])) for leaf in jax.tree.leaves(particles[name]))
        spans[name], start = (start, start + size), start + size
    return spans


class SVGD(SteinVI):
    r"""Stein variational gradient descent: particles are points of the posterior.

    .. math:: \phi(x_i) = \frac 1 m \sum_j k(x_j, x_i) \nabla \log p(x_j, y) + \nabla_{x_j} k(x_j, x_i)

    where the values of sites are unconstrained, and :math:`p` is their density there.

    :param model: a model.
    :param optim: an optimiser.
    :param kernel_fn: a kernel.
    :param num_stein_particles: the number of particles, 10 by default.
    :param guide_kwargs: keyword arguments of :class:`~numpyro.infer.autoguide.AutoDelta`, such as ``init_loc_fn``.
    :param static_kwargs: keyword arguments of the model that stay the same.

    **Reference:** Liu & Wang, *Stein variational gradient descent: a general purpose Bayesian inference algorithm*
    (2016).
    """

    def __init__(
        self,
        model: Callable,
        optim: Any,
        kernel_fn: SteinKernel,
        num_stein_particles: int = 10,
        guide_kwargs: Mapping[str, Any] = {},
        **static_kwargs: Any,
    ) -> None:
        super().__init__(
            model,
            AutoDelta(model, **guide_kwargs),
            optim,
            kernel_fn,
            num_stein_particles=num_stein_particles,
            num_elbo_particles=1,
            loss_temperature=1.0 / num_stein_particles if num_stein_particles else 1.0,
            **static_kwargs,
        )


class ASVGDState(NamedTuple):
    """The state of :class:`ASVGD`.

    - **step_count** - the number of steps made.
    - **num_steps** - the number of steps over which it anneals.
    - **num_cycles** - the number of cycles in these.
    - **transition_speed** - the exponent of the schedule.
    - **steinvi_state** - the state of the particles.
    """

    step_count: Any
    num_steps: Any
    num_cycles: Any
    transition_speed: Any
    steinvi_state: SteinVIState


class ASVGD(SVGD):
    r"""Annealed Stein variational gradient descent: in cycles particles spread first, and are then pulled.

    At step :math:`t = 1, \dots, T` with :math:`C` cycles and speed :math:`p` the pull has the factor

    .. math:: \gamma(t) = \Big(\frac{1 + (t - 1) \bmod (T / C)}{(T + 1) / C}\Big)^p

    in all cycles but the last, in which it is 1: the particles that remain are those of :class:`SVGD`.

    :param model: a model.
    :param optim: an optimiser.
    :param kernel_fn: a kernel.
    :param num_stein_particles: the number of particles, 10 by default.
    :param num_cycles: :math:`C`, 10 by default.
    :param transition_speed: :math:`p`, 10 by default.
    :param guide_kwargs: see :class:`SVGD`.
    :param static_kwargs: see :class:`SVGD`.

    **Reference:** D'Angelo & Fortuin, *Annealed Stein variational gradient descent* (2021).
    """

    def __init__(
        self,
        model: Callable,
        optim: Any,
        kernel_fn: SteinKernel,
        num_stein_particles: int = 10,
        num_cycles: int = 10,
        transition_speed: int = 10,
        guide_kwargs: Mapping[str, Any] = {},
        **static_kwargs: Any,
    ) -> None:
        if num_cycles < 1 or transition_speed <= 0:
            raise UsageError(
                f"`num_cycles` and `transition_speed` must be positive, got {num_cycles} and {transition_speed}."
            )
        self.num_cycles, self.transition_speed = num_cycles, transition_speed
        super().__init__(model, optim, kernel_fn, num_stein_particles, guide_kwargs, **static_kwargs)

    def init(self, rng_key: Key, num_steps: int, *args: Any, **kwargs: Any) -> ASVGDState:  # type: ignore[override]
        """The first state.

        :param rng_key: a key.
        :param num_steps: the number of steps over which to anneal.
        :param args: arguments of the model.
        """
        state = super().init(rng_key, *args, **kwargs)
        return ASVGDState(0.0, float(num_steps), float(self.num_cycles), float(self.transition_speed), state)

    def get_params(self, state: ASVGDState) -> dict[str, PyTree]:  # type: ignore[override]
        return super().get_params(state.steinvi_state)

    def _annealed(self, state: ASVGDState) -> SteinVIState:
        period = state.num_steps / state.num_cycles
        step = state.step_count + 1.0
        length = (state.num_steps + 1.0) / state.num_cycles
        factor = ((jnp.mod(step - 1.0, period) + 1.0) / length) ** state.transition_speed
        factor = jnp.where(step > state.num_steps - period, 1.0, factor)
        return state.steinvi_state._replace(loss_temperature=factor / self.num_stein_particles)

    def update(self, state: ASVGDState, *args: Any, **kwargs: Any) -> tuple[ASVGDState, Array]:  # type: ignore[override]
        inner, length = super().update(self._annealed(state), *args, **kwargs)
        return state._replace(step_count=state.step_count + 1.0, steinvi_state=inner), length

    def evaluate(self, state: ASVGDState, *args: Any, **kwargs: Any) -> Array:  # type: ignore[override]
        return super().evaluate(self._annealed(state), *args, **kwargs)

    def setup_run(
        self, rng_key: Key, num_steps: int, args: tuple, init_state: Any, kwargs: dict[str, Any]
    ) -> tuple[Any, Callable]:
        if init_state is None:
            return self.init(rng_key, num_steps, *args, **kwargs), self.update
        return init_state._replace(step_count=0.0, num_steps=float(num_steps)), self.update


for _class in (ASVGD, ASVGDState, SVGD, SteinVI, SteinVIRunResult, SteinVIState):
    _class.__module__ = "numpyro.contrib.einstein.steinvi"
