"""The public face of stochastic variational inference."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import lax

from numpyro._errors import UsageError
from numpyro._typing import Array, Key, PyTree
from numpyro.distributions.transforms import Transform
from numpyro.infer.elbo import ELBO
from numpyro.infer.model.arguments import Arguments
from numpyro.infer.program import is_traced
from numpyro.infer.svi.batches import BatchChunks, Batches, is_source
from numpyro.infer.svi.checkpoint import Checkpoint, identity
from numpyro.infer.svi.loop import compile_step, scan
from numpyro.infer.svi.params import constrain, find_params, unconstrain
from numpyro.infer.svi.run import Options, Run
from numpyro.infer.svi.watch import Callback, as_callbacks
from numpyro.optim import _NumPyroOptim, optax_to_numpyro
from numpyro.util import find_stack_level, is_prng_key


class SVIState(NamedTuple):
    """The state of an optimisation.

    - **optim_state** - the state of the optimiser, unconstrained params in it.
    - **mutable_state** - values of mutable sites, or ``None``.
    - **rng_key** - the key of the next step.
    """

    optim_state: Any
    mutable_state: Any
    rng_key: Key


class SVIRunResult(NamedTuple):
    """What :meth:`SVI.run` returns.

    - **params** - the (constrained) params at the end.
    - **state** - the last state, from which a run can go on.
    - **losses** - the loss of each step.
    """

    params: dict[str, PyTree]
    state: SVIState
    losses: Array


class SVI:
    """Stochastic variational inference: fits the params of a guide, and of a model, by gradient steps on an objective.

    :param model: a model.
    :param guide: a model of its own, with a sample site for each latent site of ``model``.
    :param optim: an optimiser of :mod:`numpyro.optim`, an optax transformation, or an optimiser of
        ``jax.example_libraries.optimizers``.
    :param loss: an objective, such as :class:`~numpyro.infer.Trace_ELBO`.
    :param static_kwargs: keyword arguments for model and guide that stay the same.
    :raises TypeError: when an argument is none of these.

    >>> import jax, jax.numpy as jnp, numpyro, numpyro.distributions as dist
    >>> from numpyro.infer import SVI, Trace_ELBO
    >>> def model(y):
    ...     mu = numpyro.sample("mu", dist.Normal(0.0, 10.0))
    ...     numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)
    >>> def guide(y):
    ...     loc = numpyro.param("loc", 0.0)
    ...     numpyro.sample("mu", dist.Normal(loc, 0.5))
    >>> svi = SVI(model, guide, numpyro.optim.Adam(0.05), Trace_ELBO())
    >>> result = svi.run(jax.random.key(0), 1000, jnp.array([1.0, 2.0, 3.0]), progress_bar=False)
    >>> abs(float(result.params["loc"]) - 2.0) < 0.2
    True

    **Reference:** Hoffman, Blei, Wang & Paisley, *Stochastic variational inference* (2013).
    """

    def __init__(self, model: Callable, guide: Callable, optim: Any, loss: ELBO, **static_kwargs: Any) -> None:
        for name, function in (("model", model), ("guide", guide)):
            if not callable(function):
                raise TypeError(f"`{name}` must be a function, got {type(function).__name__}.")
        if not hasattr(loss, "loss"):
            raise TypeError(f"`loss` must be an objective, such as Trace_ELBO(), got {loss!r}.")
        self.model, self.guide, self.loss = model, guide, loss
        self.static_kwargs = static_kwargs
        self.optim = _as_optimizer(optim)
        self.constrain_fn: Callable[[Mapping[str, PyTree]], dict[str, PyTree]] | None = None

    def init(
        self, rng_key: Key, *args: Any, init_params: Mapping[str, PyTree] | None = None, **kwargs: Any
    ) -> SVIState:
        """The first state.

        :param rng_key: a key.
        :param args: arguments of model and guide.
        :param init_params: (constrained) values of params to start from; the others start as their sites say.
        """
        _require_key(rng_key)
        rng_key, init_key = jax.random.split(rng_key)
        kwargs = {**kwargs, **self.static_kwargs}
        if hasattr(self.guide, "begin"):  # of an autoguide, which finds its starting point in a program of its own
            init_key, guide_key = jax.random.split(init_key)
            self.guide.begin(guide_key, *args, **kwargs)
        found = find_params(init_key, self.model, self.guide, args, kwargs, init_params)
        unknown = set(init_params or {}) - set(found.params) - set(found.mutable_state or {})
        if unknown:
            warnings.warn(
                f"init_params has values of {sorted(unknown)}, which are no params of the model or the guide: "
                f"they have {sorted(found.params)}.",
                UserWarning,
                stacklevel=find_stack_level(),
            )
        self._set_transforms(found.transforms)
        params = jax.tree.map(_strong, unconstrain(found.transforms, found.params))
        return SVIState(self.optim.init(params), jax.tree.map(_strong, found.mutable_state), rng_key)

    def _set_transforms(self, transforms: Mapping[str, Transform]) -> None:
        self.constrain_fn = partial(constrain, transforms)

    def get_params(self, svi_state: SVIState) -> dict[str, PyTree]:
        """The params of a state, in their constraints.

        :raises UsageError: before any :meth:`init`, which finds the constraints.
        """
        if self.constrain_fn is None:
            raise UsageError("`init` or `run` must be called before `get_params`: it finds the constraints of params.")
        return self.constrain_fn(self.optim.get_params(svi_state.optim_state))

    def _loss_fn(self, svi_state: SVIState, rng_key: Key, args: tuple, kwargs: dict[str, Any]) -> Callable:
        """The loss and the next mutable state, as a function of unconstrained params."""
        if self.constrain_fn is None:
            raise UsageError("`init` must be called before steps are made: it finds the constraints of params.")
        to_constrained, mutable_state = self.constrain_fn, svi_state.mutable_state
        kwargs = {**kwargs, **self.static_kwargs}

        def loss_fn(unconstrained: Mapping[str, PyTree]) -> tuple[Array, Any]:
            params = to_constrained(unconstrained)
            if mutable_state is None:
                return self.loss.loss(rng_key, params, self.model, self.guide, *args, **kwargs), None
            params |= mutable_state
            result = self.loss.loss_with_mutable_state(rng_key, params, self.model, self.guide, *args, **kwargs)
            return result["loss"], result["mutable_state"]

        return loss_fn

    def update(
        self, svi_state: SVIState, *args: Any, forward_mode_differentiation: bool = False, **kwargs: Any
    ) -> tuple[SVIState, Array]:
        """One step.

        :param svi_state: a state.
        :param args: arguments of model and guide.
        :param forward_mode_differentiation: differentiate forwards, for losses that reverse mode cannot differentiate.
        :return: the next state, and the loss before the step.
        """
        return self._update(self.optim.eval_and_update, svi_state, args, kwargs, forward_mode_differentiation)

    def stable_update(
        self, svi_state: SVIState, *args: Any, forward_mode_differentiation: bool = False, **kwargs: Any
    ) -> tuple[SVIState, Array]:
        """As :meth:`update`, but the state stays as it is where the loss or its gradient is not finite."""
        return self._update(self.optim.eval_and_stable_update, svi_state, args, kwargs, forward_mode_differentiation)

    def _update(
        self, step: Callable, svi_state: SVIState, args: tuple, kwargs: dict[str, Any], forward_mode: bool
    ) -> tuple[SVIState, Array]:
        rng_key, step_key = jax.random.split(svi_state.rng_key)
        loss_fn = self._loss_fn(svi_state, step_key, args, kwargs)
        (loss, mutable_state), optim_state = step(
            loss_fn, svi_state.optim_state, forward_mode_differentiation=forward_mode
        )
        return SVIState(optim_state, mutable_state, rng_key), loss

    def evaluate(self, svi_state: SVIState, *args: Any, **kwargs: Any) -> Array:
        """An estimate of the loss at a state, which stays as it is."""
        _, eval_key = jax.random.split(svi_state.rng_key)
        loss_fn = self._loss_fn(svi_state, eval_key, args, kwargs)
        return loss_fn(self.optim.get_params(svi_state.optim_state))[0]

    def run(
        self,
        rng_key: Key,
        num_steps: int,
        *args: Any,
        progress_bar: bool = True,
        stable_update: bool = False,
        forward_mode_differentiation: bool = False,
        init_state: SVIState | None = None,
        init_params: Mapping[str, PyTree] | None = None,
        callbacks: Callback | Sequence[Callback] = (),
        callback_every: int = 100,
        keep_best: bool = False,
        checkpoint: str | Path | None = None,
        stop_at_non_finite: bool = False,
        **kwargs: Any,
    ) -> SVIRunResult:
        """Make many steps, in a program that is compiled once for all runs of the same model, guide and shapes.

        :param rng_key: a key; where there is an ``init_state``, its own key goes on.
        :param num_steps: the number of steps.
        :param args: positional arguments of model and guide.
        :param progress_bar: show progress, in terminals and notebooks.
        :param stable_update: leave out steps whose loss or gradient is not finite.
        :param forward_mode_differentiation: differentiate forwards.
        :param init_state: the state to go on from, such as the ``state`` of an earlier result.
        :param init_params: (constrained) values of params to start from.
        :param kwargs: keyword arguments of both. ``data=`` is one of them, unless it is a function or an iterator: then
            it gives a batch for each step. A function is called with the number of steps done. A batch is a tuple of
            positional arguments, which come after ``args``, a dictionary of keyword arguments, or one argument. A run
            ends with its batches.
        :param callbacks: a function, or several, called with an :class:`SVIProgress` after every ``callback_every``
            steps; one that returns ``True`` ends the run, as :class:`EarlyStopping` does.
        :param callback_every: the number of steps between these calls, 100 by default.
        :param keep_best: return the params after those ``callback_every`` steps whose mean loss was lowest, in place of
            the last ones. ``state`` and ``losses`` are of the whole run.
        :param checkpoint: a file that the run is written to, every half minute and when it ends, however it ends. If it
            is there already, the run goes on from it, bit for bit as if it had never ended; an iterator of batches
            begins anew and is wound forward. ``num_steps`` counts all steps.
        :param stop_at_non_finite: end with an error at the first loss that is not finite.
        :raises ValueError: when ``num_steps`` is no positive integer, or the checkpoint is of another run.
        :raises NonFiniteError: at a loss that is not finite, where asked. It names the sites whose terms are not.

        Ctrl-C ends a run after its present chunk; the steps so far are returned, with a warning.
        """
        if isinstance(num_steps, bool) or not isinstance(num_steps, (int, np.integer)):
            raise TypeError(f"num_steps must be an integer, got {num_steps!r}.")
        if num_steps < 1:
            raise ValueError(f"num_steps must be a positive integer, got {num_steps}.")
        if stable_update and stop_at_non_finite:
            raise UsageError("Give either `stable_update`, which leaves bad steps out, or `stop_at_non_finite`.")
        batches = Batches(kwargs.pop("data"), args, kwargs) if is_source(kwargs.get("data")) else None
        first_args, first_kwargs = batches.first if batches else (args, kwargs)
        state = init_state
        if state is None or self.constrain_fn is None:
            first = self.init(rng_key, *first_args, init_params=init_params, **first_kwargs)
            state = first if state is None else state
        update = self.stable_update if stable_update else self.update

        def make_step(arguments: Arguments) -> Callable[[SVIState, tuple], tuple[SVIState, Array]]:
            def step(state: SVIState, arrays: tuple) -> tuple[SVIState, Array]:
                args, kwargs = arguments.rebuild(arrays)
                return update(state, *args, forward_mode_differentiation=forward_mode_differentiation, **kwargs)

            return step

        arguments = Arguments.split(first_args, first_kwargs)
        step = make_step(arguments)
        compiled = compile_step(step, state, arguments.arrays)
        options = Options(as_callbacks(callbacks, callback_every), int(callback_every), keep_best, stop_at_non_finite)
        if compiled is None:
            if batches or checkpoint or options.is_watched:
                raise UsageError(
                    "Inside of jit, vmap or grad a run is one program: `data` that gives batches, `callbacks`, "
                    "`keep_best`, `checkpoint` and `stop_at_non_finite` cannot be used there."
                )
            state, losses = scan(step, state, arguments.arrays, int(num_steps))
            return SVIRunResult(self.get_params(state), state, losses)
        chunks = BatchChunks(batches, make_step) if batches else compiled.chunks(arguments.arrays)
        file = None
        if checkpoint is not None:
            file = Checkpoint(checkpoint, identity(compiled, None if batches else arguments.arrays, state))
        run = Run(self, chunks, (args, kwargs), options, file)
        state, losses, best = run.make(state, int(num_steps), progress_bar)
        return SVIRunResult(self.get_params(best), state, jax.device_put(losses))


def _strong(leaf: Any) -> Any:
    """An array whose type does not give way to others, as the arrays of later steps are."""
    if is_traced(leaf) and _is_key(leaf):
        return leaf
    return lax.convert_element_type(leaf, jax.numpy.result_type(leaf)) if is_traced(leaf) else _concrete(leaf)


def _concrete(leaf: Any) -> Any:
    if isinstance(leaf, jax.Array) and not getattr(leaf, "weak_type", False):  # random keys have no such attribute
        return leaf
    return jax.device_put(np.asarray(leaf, jax.numpy.result_type(leaf)))


def _is_key(leaf: Any) -> bool:
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _require_key(rng_key: Any) -> None:
    if not is_prng_key(rng_key):
        raise TypeError(
            f"SVI takes a random key, such as jax.random.key(0), before the arguments of the model, got {rng_key!r}."
        )


def _as_optimizer(optim: Any) -> _NumPyroOptim:
    if isinstance(optim, _NumPyroOptim):
        return optim
    if all(hasattr(optim, name) for name in ("init_fn", "update_fn", "params_fn")):
        return _NumPyroOptim(lambda: (optim.init_fn, optim.update_fn, optim.params_fn))
    if callable(getattr(optim, "init", None)) and callable(getattr(optim, "update", None)):
        return optax_to_numpyro(optim)
    raise TypeError(
        "`optim` must be an optimiser of numpyro.optim, such as Adam(0.01), an optax transformation, or an optimiser "
        f"of jax.example_libraries.optimizers; got {optim!r}."
    )


for _class in (SVI, SVIRunResult, SVIState):
    _class.__module__ = "numpyro.infer.svi"
