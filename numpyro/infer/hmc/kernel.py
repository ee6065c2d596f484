"""The kernels HMC and NUTS."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import Array, Key, PyTree
from numpyro.infer.chain_axis import CHAIN_AXIS
from numpyro.infer.hmc.mass_matrix import DenseMass, build_metric, first_inverse_mass_matrix
from numpyro.infer.hmc.metric import AdaptedMetric, CustomKineticEnergy, Metric
from numpyro.infer.hmc.sampler import HMCSampler, Target
from numpyro.infer.hmc.state import HMCState, make_schedule, schedule_of
from numpyro.infer.hmc.transition import HMCAlgorithm, Tuning
from numpyro.infer.hmc.warmup import ADAPTATIONS, Warmup, make_estimators
from numpyro.infer.initialization import init_to_uniform
from numpyro.infer.mcmc.arguments import position_of
from numpyro.infer.mcmc.kernel import MCMCKernel
from numpyro.infer.model import ModelView
from numpyro.infer.program import compiled_programs, is_traced
from numpyro.util import find_stack_level, is_prng_key, not_jax_tracer


class HMC(MCMCKernel):
    """Hamiltonian Monte Carlo with a fixed trajectory length, and adaptive step size and mass matrix.

    A momentum :math:`r \\sim N(0, M)` is drawn, Hamilton's equations for :math:`H(z, r) = U(z) + K(r)` are followed for
    a length by leapfrog steps, and the end is accepted with probability :math:`\\min(1, e^{-\\Delta H})`.

    :param model: a model; its continuous latent sites are sampled. Give it, or ``potential_fn``.
    :param potential_fn: the potential energy :math:`U`, a function of a pytree of unconstrained arrays.
    :param kinetic_fn: a function ``(inverse_mass_matrix, r) -> scalar``; Euclidean by default.
    :param step_size: the first step size.
    :param inverse_mass_matrix: the first inverse mass matrix: an array over the flat position, or a dictionary of
        arrays by tuples of sites. The identity by default.
    :param adapt_step_size: adapt the step size in warm-up, by dual averaging.
    :param adapt_mass_matrix: adapt the mass matrix in warm-up.
    :param dense_mass: ``False`` for a diagonal mass matrix, ``True`` for a full one, or a list of tuples of sites: a
        full block for each, and the other sites diagonal.
    :param target_accept_prob: what the mean acceptance probability is adapted to; higher means smaller steps.
    :param num_steps: leapfrog steps of a trajectory. With ``trajectory_length`` too, the step size is their quotient
        and is not adapted; pass ``trajectory_length=None`` to adapt it.
    :param trajectory_length: length of a trajectory, :math:`2\\pi` by default.
    :param init_strategy: how starting values are found, see :mod:`numpyro.infer.initialization`.
    :param find_heuristic_step_size: search a first step size, now and at each change of the mass matrix.
    :param forward_mode_differentiation: use forward mode derivatives, for models that reverse mode can't differentiate
        (``while_loop``); the cost grows with the dimension.
    :param regularize_mass_matrix: shrink the estimated mass matrix a little towards the identity; with draws and
        gradients, a diagonal one towards the one before, others towards their diagonal.
    :param adaptation: what the mass matrix is adapted to. ``"windows"``: the covariance of the draws, in windows as
        Stan has them. ``"fisher"``: draws and gradients, for the least Fisher divergence from a normal distribution;
        diagonal or, where ``dense_mass`` says so, dense. ``"low_rank"``: the same with a matrix that is diagonal but
        for up to 16 directions, at little more than the cost of a diagonal one. The two latter start from the gradient
        at the first position and change the matrix from the first draws on.
    :param pooled_adaptation: one step size and one mass matrix for all chains, learnt from all; several chains need
        ``chain_method="vectorized"``.
    :raises ValueError: when not exactly one of ``model`` and ``potential_fn`` is given, or a setting is out of range.

    **References:** R. M. Neal, *MCMC using Hamiltonian dynamics* (2011).
    """

    def __init__(
        self,
        model: Callable | None = None,
        potential_fn: Callable[[PyTree], Array] | None = None,
        kinetic_fn: Callable[[PyTree, PyTree], Array] | None = None,
        step_size: float = 1.0,
        inverse_mass_matrix: Any = None,
        adapt_step_size: bool = True,
        adapt_mass_matrix: bool = True,
        dense_mass: DenseMass = False,
        target_accept_prob: float = 0.8,
        num_steps: int | None = None,
        trajectory_length: float | None = 2 * math.pi,
        init_strategy: Callable = init_to_uniform,
        find_heuristic_step_size: bool = False,
        forward_mode_differentiation: bool = False,
        regularize_mass_matrix: bool = True,
        adaptation: str = "windows",
        pooled_adaptation: bool = False,
    ) -> None:
        if (model is None) == (potential_fn is None):
            raise ValueError("Only one of `model` or `potential_fn` must be specified.")
        functions = {
            "model": model,
            "potential_fn": potential_fn,
            "kinetic_fn": kinetic_fn,
            "init_strategy": init_strategy,
        }
        for name, function in functions.items():
            if function is not None and not callable(function):
                raise TypeError(f"`{name}` must be a function, got {type(function).__name__}.")
        self._model = model
        self._potential_fn = potential_fn
        self._kinetic_fn = kinetic_fn
        self._step_size = step_size
        self._inverse_mass_matrix = inverse_mass_matrix
        self._adapt_step_size = adapt_step_size
        self._adapt_mass_matrix = adapt_mass_matrix
        self._dense_mass = dense_mass
        self._target_accept_prob = target_accept_prob
        self._num_steps = num_steps
        self._trajectory_length = trajectory_length
        self._max_tree_depth: tuple[int, int] | None = None
        self._init_strategy = init_strategy
        self._find_heuristic_step_size = find_heuristic_step_size
        self._forward_mode_differentiation = forward_mode_differentiation
        self._regularize_mass_matrix = regularize_mass_matrix
        self._adaptation = adaptation
        self._pooled_adaptation = bool(pooled_adaptation)
        self._check_settings()

    def _check_settings(self) -> None:
        if isinstance(self._step_size, (int, float)) and not self._step_size > 0:
            raise ValueError(f"`step_size` must be positive, got {self._step_size}.")
        target = self._target_accept_prob
        if isinstance(target, (int, float)) and not 0 < target < 1:
            raise ValueError(f"`target_accept_prob` must lie between 0 and 1, got {target}.")
        if self._adaptation not in ADAPTATIONS:
            raise ValueError(f"`adaptation` must be one of {ADAPTATIONS}, got {self._adaptation!r}.")
        if self._adaptation == "low_rank" and self._dense_mass is not False:
            raise ValueError(
                "adaptation='low_rank' has a form of its own for correlations: leave `dense_mass` at False, or use "
                "adaptation='fisher' with dense matrices."
            )
        self._check_lengths()

    def _check_lengths(self) -> None:
        if self._num_steps is None and self._trajectory_length is None:
            raise ValueError("At least one of `num_steps` or `trajectory_length` must be specified.")
        if self._num_steps is not None and (int(self._num_steps) != self._num_steps or self._num_steps < 1):
            raise ValueError(f"`num_steps` must be a positive integer, got {self._num_steps}.")
        if self._num_steps is not None and self._trajectory_length is not None:
            warnings.warn(
                "If both `num_steps` and `trajectory_length` are specified step size can't be adapted: it is "
                "trajectory_length / num_steps. Pass trajectory_length=None to adapt it.",
                UserWarning,
                stacklevel=find_stack_level(),
            )
            self._step_size = self._trajectory_length / self._num_steps
            self._adapt_step_size = False

    @property
    def model(self) -> Callable | None:
        """The model, or ``None``."""
        return self._model

    @property
    def sample_field(self) -> str:
        return "z"

    @property
    def default_fields(self) -> tuple[str, ...]:
        return ("z", "diverging")

    @property
    def pools_chains(self) -> bool:
        return self._pooled_adaptation

    def get_diagnostics_str(self, state: HMCState) -> str:
        steps, size = int(np.mean(state.num_steps)), float(np.mean(state.adapt_state.step_size))
        return f"{steps} steps of size {size:.2e}. acc. prob={float(np.mean(state.mean_accept_prob)):.2f}"

    def remaining_warmup(self, state: HMCState) -> int:
        remaining = schedule_of(state.adapt_state).num_warmup - state.i
        return 0 if is_traced(remaining) else max(0, int(np.max(remaining)))

    # The model as this kernel sees it

    def _view(self, model_args: tuple, model_kwargs: dict) -> ModelView:
        if self._model is None:
            raise TypeError("this kernel was made from a potential_fn: it has no model")
        view = ModelView(self._model, model_args, model_kwargs)
        view.require_continuous(type(self).__name__)
        view.require_whole_plates(type(self).__name__)
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

    def postprocess_fn(self, model_args: tuple, model_kwargs: dict) -> Callable[[PyTree], PyTree]:
        return self.get_constrain_fn(model_args, model_kwargs, return_deterministic=True)

    def wrap_model(self, wrapper: Callable[[Callable], Callable]) -> HMC:
        if self._model is None:
            raise ValueError("`wrap_model` needs a kernel with a model; this one was made from a potential_fn.")
        wrapped = copy.copy(self)
        wrapped._model = wrapper(self._model)
        return wrapped

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
    ) -> HMCSampler:
        """The programs of this kernel.

        :param init_params: a position, for its shapes; ``None`` to draw one from the model.
        :param rng_key: the key of what else the model draws.
        :param postprocess_fn: what to make of a draw, in place of constraining it.
        """
        if rng_key is None:
            rng_key = jax.random.PRNGKey(0)
        target = self._target(init_params, model_args, model_kwargs, rng_key)
        if postprocess_fn is not None:
            finish = postprocess_fn
            target = target._replace(postprocess=lambda data, z: finish(z))
        return self.sampler_of(target, num_warmup)

    def sampler_of(self, target: Target, num_warmup: int) -> HMCSampler:
        """The programs of a kernel with these settings for another density, as kernels have it that move a part of a
        model's sites by HMC."""
        layout, mass = build_metric(
            target.prototype,
            self._dense_mass,
            named=self._model is not None,
            low_rank=self._adaptation == "low_rank",
        )
        metric: Metric = mass
        if self._kinetic_fn is not None:
            metric = CustomKineticEnergy(mass, self._kinetic_fn, layout)
        warmup = Warmup(
            metric=metric,
            mass=mass,
            estimators=make_estimators(mass, self._adaptation, self._regularize_mass_matrix, self._pooled_adaptation),
            overlapping=self._adaptation != "windows",
            adapt_step_size=self._adapt_step_size,
            adapt_mass_matrix=self._adapt_mass_matrix,
            find_heuristic_step_size=self._find_heuristic_step_size,
            pooled=self._pooled_adaptation,
        )
        num_checkpoints = None if self._max_tree_depth is None else max(self._max_tree_depth)
        algorithm = HMCAlgorithm(metric=metric, num_checkpoints=num_checkpoints, warmup=warmup)
        tuning = self._tuning(num_warmup, mass)
        return HMCSampler(algorithm, layout, tuning, target, self._forward_mode_differentiation)

    def _target(self, init_params: PyTree, model_args: tuple, model_kwargs: dict, rng_key: Key) -> Target:
        """The density to sample, from the model or from the potential energy."""
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

    def _tuning(self, num_warmup: int, mass: AdaptedMetric) -> Tuning:
        depth = self._max_tree_depth or (0, 0)
        step_size = self._step_size
        return Tuning(
            step_size=np.asarray(step_size, jnp.result_type(float)) if not_jax_tracer(step_size) else step_size,
            inverse_mass_matrix=first_inverse_mass_matrix(self._inverse_mass_matrix, mass),
            target_accept_prob=self._target_accept_prob,
            trajectory_length=self._trajectory_length,
            num_steps=self._num_steps,
            max_tree_depth=(np.int32(depth[0]), np.int32(depth[1])),
            schedule=make_schedule(num_warmup, overlapping=self._adaptation != "windows"),
        )

    # The documented protocol

    def init(
        self,
        rng_key: Key,
        num_warmup: int,
        init_params: PyTree = None,
        model_args: tuple = (),
        model_kwargs: dict | None = None,
    ) -> HMCState:
        """The first state; with a batch of keys, a batch of states.

        :param init_params: unconstrained values to start from, with a leading axis like that of the keys.
        """
        init_params = position_of(init_params)
        batched = not is_prng_key(rng_key)
        one_params = jax.tree.map(lambda leaf: leaf[0], init_params) if batched else init_params
        one_key = rng_key[0] if batched else rng_key
        sampler = self.sampler(num_warmup, one_params, model_args, model_kwargs or {}, rng_key=one_key)
        axes = (None, 0, None if init_params is None else 0)

        def build() -> Callable[..., HMCState]:
            init = sampler.without_data().init
            return jax.jit(jax.vmap(init, axes, axis_name=CHAIN_AXIS) if batched else init)

        init = compiled_programs.get(("init", sampler.key, batched, init_params is None), build)
        state = init(sampler.data, rng_key, init_params)
        if not isinstance(state.potential_energy, jax.core.Tracer):
            sampler.check_start(state)
        return state

    def sample(self, state: HMCState, model_args: tuple = (), model_kwargs: dict | None = None) -> HMCState:
        """The next state."""
        sampler = self.sampler(0, state.z, model_args, model_kwargs or {}, rng_key=jax.random.PRNGKey(0))
        return sampler.unpack(sampler.step(sampler.data, sampler.pack(state)))

    def refresh(self, state: HMCState, model_args: tuple, model_kwargs: dict) -> HMCState:
        """The state with potential energy and gradient computed anew at its position."""
        sampler = self.sampler(0, state.z, model_args, model_kwargs or {}, rng_key=jax.random.PRNGKey(0))
        potential, grad = sampler.potential_and_grad(sampler.data)(sampler.layout.ravel(state.z))
        return state._replace(potential_energy=potential, z_grad=sampler.layout.unravel(grad))


class NUTS(HMC):
    """The No-U-Turn sampler: HMC whose trajectories end where they begin to turn back.

    The next state is drawn from the points of a trajectory with multinomial weights; adaptation is as in
    :class:`HMC`, of which all other parameters are those.

    :param trajectory_length: kept for the interface; trajectories choose their own lengths.
    :param max_tree_depth: a trajectory has at most ``2**max_tree_depth`` points; a pair gives one depth for warm-up
        and one for afterwards.

    **References:**

    1. M. D. Hoffman, A. Gelman, *The No-U-Turn Sampler* (2014).
    2. M. Betancourt, *A conceptual introduction to Hamiltonian Monte Carlo* (2017).
    3. D. Phan, N. Pradhan, M. Jankowiak, *Composable effects for flexible and accelerated probabilistic programming
       in NumPyro* (2019), on the iterative construction of the tree.
    """

    def __init__(
        self,
        model: Callable | None = None,
        potential_fn: Callable[[PyTree], Array] | None = None,
        kinetic_fn: Callable[[PyTree, PyTree], Array] | None = None,
        step_size: float = 1.0,
        inverse_mass_matrix: Any = None,
        adapt_step_size: bool = True,
        adapt_mass_matrix: bool = True,
        dense_mass: DenseMass = False,
        target_accept_prob: float = 0.8,
        trajectory_length: float | None = None,
        max_tree_depth: int | tuple[int, int] = 10,
        init_strategy: Callable = init_to_uniform,
        find_heuristic_step_size: bool = False,
        forward_mode_differentiation: bool = False,
        regularize_mass_matrix: bool = True,
        adaptation: str = "windows",
        pooled_adaptation: bool = False,
    ) -> None:
        super().__init__(
            model,
            potential_fn,
            kinetic_fn,
            step_size,
            inverse_mass_matrix,
            adapt_step_size,
            adapt_mass_matrix,
            dense_mass,
            target_accept_prob,
            None,
            trajectory_length,
            init_strategy,
            find_heuristic_step_size,
            forward_mode_differentiation,
            regularize_mass_matrix,
            adaptation,
            pooled_adaptation,
        )
        depths = max_tree_depth if isinstance(max_tree_depth, (tuple, list)) else (max_tree_depth, max_tree_depth)
        if len(depths) != 2 or any(int(d) != d or not 1 <= d <= 30 for d in depths):
            raise ValueError(
                f"`max_tree_depth` must be an integer from 1 to 30 or a pair of them, got {max_tree_depth}."
            )
        self._max_tree_depth = (int(depths[0]), int(depths[1]))

    def _check_lengths(self) -> None:
        """Trajectories have no set length."""


def _check_position(init_params: PyTree, prototype: dict[str, jax.ShapeDtypeStruct]) -> None:
    """Raise where ``init_params`` are not values of all latent sites in their unconstrained shapes."""
    if not isinstance(init_params, dict):
        raise UsageError(f"`init_params` must be a dictionary of values by site, got {type(init_params).__name__}.")
    missing, unknown = sorted(prototype.keys() - init_params), sorted(init_params.keys() - prototype)
    if missing or unknown:
        raise UsageError(
            f"`init_params` must have an unconstrained value for each latent site, {sorted(prototype)}; missing: "
            f"{missing}, unknown: {unknown}. To give some of them, use init_strategy=init_to_value(values=...)."
        )
    for name, expected in prototype.items():
        if np.shape(init_params[name]) != expected.shape:
            raise UsageError(
                f"`init_params` of site '{name}' must have its unconstrained shape {expected.shape}, "
                f"got {np.shape(init_params[name])}."
            )


HMC.__module__ = NUTS.__module__ = "numpyro.infer.hmc"
