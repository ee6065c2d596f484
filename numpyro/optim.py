"""Optimisers: optax behind the classes that programs of this field know.

An optimiser here keeps the parameters in its state: ``init(params)`` makes a state, ``get_params(state)`` reads the
parameters off, ``update(gradient, state)`` takes a step. :func:`optax_to_numpyro` makes one of any optax
transformation, and :class:`~numpyro.infer.SVI` does so by itself.

Step sizes are numbers or schedules, functions of the number of steps done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from numpyro._typing import Array, PyTree

__all__ = [
    "Adagrad",
    "Adam",
    "ClippedAdam",
    "Minimize",
    "Momentum",
    "RMSProp",
    "RMSPropMomentum",
    "SGD",
    "SM3",
    "optax_to_numpyro",
]

Params = TypeVar("Params")
OptState = tuple[Array, Any]
"""The number of steps done, and the state of the rule."""
Schedule = float | Callable[[Any], Any]


class _NumPyroOptim:
    """An optimiser whose state holds the parameters.

    :param optim_fn: called with the remaining arguments it gives three functions: ``init(params) -> state``,
        ``update(step, gradient, state) -> state`` and ``get_params(state) -> params``. The optimisers of
        ``jax.example_libraries.optimizers`` are such functions. An ``update`` that takes ``value`` is given the loss.
    """

    def __init__(self, optim_fn: Callable[..., tuple[Callable, Callable, Callable]], *args: Any, **kwargs: Any) -> None:
        self.init_fn, self.update_fn, self.get_params_fn = optim_fn(*args, **kwargs)
        self._takes_value = getattr(self.update_fn, "takes_value", False)

    def init(self, params: Params) -> OptState:
        """The state of an optimisation that starts at ``params``."""
        return jnp.zeros((), jnp.int32), self.init_fn(params)

    def update(self, g: Params, state: OptState, value: Array | None = None) -> OptState:
        """One step.

        :param g: the gradient, a pytree like the parameters.
        :param state: the state.
        :param value: the loss, for rules that look at it.
        """
        step, inner = state
        if self._takes_value:
            return step + 1, self.update_fn(step, g, inner, value=value)
        return step + 1, self.update_fn(step, g, inner)

    def eval_and_update(
        self, fn: Callable[[Any], tuple[Array, Any]], state: OptState, forward_mode_differentiation: bool = False
    ) -> tuple[tuple[Array, Any], OptState]:
        """Evaluate ``fn`` and its gradient at the parameters, and take a step.

        :param fn: a function of the parameters that returns a loss and something else.
        :param state: the state.
        :param forward_mode_differentiation: differentiate forwards, for losses that reverse mode cannot differentiate.
        :return: what ``fn`` returned, and the new state.
        """
        out, gradient = _value_and_gradient(fn, self.get_params(state), forward_mode_differentiation)
        return out, self.update(gradient, state, value=out[0])

    def eval_and_stable_update(
        self, fn: Callable[[Any], tuple[Array, Any]], state: OptState, forward_mode_differentiation: bool = False
    ) -> tuple[tuple[Array, Any], OptState]:
        """As :meth:`eval_and_update`, but the step is left out where the loss or a gradient is not finite."""
        out, gradient = _value_and_gradient(fn, self.get_params(state), forward_mode_differentiation)
        flat, _ = ravel_pytree(gradient)
        is_finite = jnp.isfinite(out[0]) & jnp.isfinite(flat).all()
        moved = self.update(gradient, state, value=out[0])
        return out, jax.tree.map(lambda new, old: jnp.where(is_finite, new, old), moved, state)

    def get_params(self, state: OptState) -> Any:
        """The parameters of a state."""
        return self.get_params_fn(state[1])


def _value_and_gradient(fn: Callable, params: PyTree, forward_mode: bool) -> tuple[tuple[Array, Any], PyTree]:
    if not forward_mode:
        return jax.value_and_grad(fn, has_aux=True)(params)

    def twice(params: PyTree) -> tuple[Array, tuple[Array, Any]]:
        out = fn(params)
        return out[0], out

    gradient, out = jax.jacfwd(twice, has_aux=True)(params)
    return out, gradient


def _from_optax(transformation: Any) -> tuple[Callable, Callable, Callable]:
    """The three functions of an optax transformation; their state is the parameters and the state of optax."""
    import optax

    transformation = optax.with_extra_args_support(transformation)

    def init(params: PyTree) -> tuple[PyTree, Any]:
        params = jax.tree.map(jnp.asarray, params)
        return params, transformation.init(params)

    def update(step: Array, gradient: PyTree, state: tuple[PyTree, Any], value: Array | None = None) -> Any:
        params, inner = state
        updates, inner = transformation.update(gradient, inner, params, value=value)
        return optax.apply_updates(params, updates), inner

    update.takes_value = True  # type: ignore[attr-defined]
    return init, update, lambda state: state[0]


def optax_to_numpyro(transformation: Any) -> _NumPyroOptim:
    """An optimiser from an ``optax.GradientTransformation``.

    >>> import jax.numpy as jnp, optax
    >>> optimizer = optax_to_numpyro(optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.1)))
    >>> state = optimizer.update({"a": jnp.array(4.0)}, optimizer.init({"a": jnp.array(1.0)}))
    >>> round(float(optimizer.get_params(state)["a"]), 3)
    0.9
    """
    return _NumPyroOptim(_from_optax, transformation)


class _OptaxOptim(_NumPyroOptim):
    """An optimiser whose ``rule`` makes an optax transformation of the arguments of the class."""

    rule: Callable[..., Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(lambda: _from_optax(type(self).rule(*args, **kwargs)))


def _over_vectors(transformation: Any) -> Any:
    """A transformation that does not know scalars, given them as vectors of length one."""
    import optax

    vectors = lambda tree: jax.tree.map(jnp.atleast_1d, tree)

    def update(updates: PyTree, state: Any, params: PyTree = None) -> tuple[PyTree, Any]:
        found, state = transformation.update(vectors(updates), state, None if params is None else vectors(params))
        return jax.tree.map(lambda new, old: jnp.reshape(new, jnp.shape(old)), found, updates), state

    return optax.GradientTransformation(lambda params: transformation.init(vectors(params)), update)


def _momentum_of_averages(scale: Any, step_size: Schedule, momentum: float) -> Any:
    import optax

    average = [optax.ema(momentum, debias=False)] if momentum else []
    return optax.chain(scale, *average, optax.scale_by_learning_rate(step_size))


class Adam(_OptaxOptim):
    """Adam: steps by the mean of gradients over the root of their mean square, both debiased.

    :param step_size: the step size.
    :param b1: the decay of the mean, 0.9 by default.
    :param b2: the decay of the mean square, 0.999 by default.
    :param eps: added to the root, 1e-8 by default.

    **Reference:** Kingma & Ba, *Adam: a method for stochastic optimization* (2015).
    """

    @staticmethod
    def rule(step_size: Schedule, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> Any:
        import optax

        return optax.adam(step_size, b1, b2, eps)


class ClippedAdam(Adam):
    """:class:`Adam` on gradients whose entries are clipped.

    :param clip_norm: entries are clipped to ``[-clip_norm, clip_norm]``, 10 by default.

    The other parameters are those of :class:`Adam`.
    """

    def __init__(self, *args: Any, clip_norm: float = 10.0, **kwargs: Any) -> None:
        self.clip_norm = clip_norm
        super().__init__(*args, **kwargs)

    def update(self, g: Params, state: OptState, value: Array | None = None) -> OptState:
        clipped = jax.tree.map(lambda entry: jnp.clip(entry, -self.clip_norm, self.clip_norm), g)
        return super().update(clipped, state, value)


class Adagrad(_OptaxOptim):
    """AdaGrad: steps by the gradient over the root of the sum of its squares, averaged.

    :param step_size: the step size.
    :param momentum: the decay of the average, 0.9 by default.

    **Reference:** Duchi, Hazan & Singer, *Adaptive subgradient methods for online learning* (2011).
    """

    @staticmethod
    def rule(step_size: Schedule, momentum: float = 0.9) -> Any:
        import optax

        return _momentum_of_averages(optax.scale_by_rss(0.0, eps=0.0), step_size, momentum)


class Momentum(_OptaxOptim):
    """Gradient descent with momentum.

    :param step_size: the step size.
    :param mass: the decay of the sum of gradients.
    """

    @staticmethod
    def rule(step_size: Schedule, mass: float) -> Any:
        import optax

        return optax.sgd(step_size, momentum=mass)


class RMSProp(_OptaxOptim):
    """RMSProp: steps by the gradient over the root of its mean square.

    :param step_size: the step size.
    :param gamma: the decay of the mean square, 0.9 by default.
    :param eps: added under the root, 1e-8 by default.
    """

    @staticmethod
    def rule(step_size: Schedule, gamma: float = 0.9, eps: float = 1e-8) -> Any:
        import optax

        return optax.rmsprop(step_size, gamma, eps)


class RMSPropMomentum(_OptaxOptim):
    """:class:`RMSProp` with momentum.

    :param step_size: the step size.
    :param gamma: the decay of the mean square, 0.9 by default.
    :param eps: added under the root, 1e-8 by default.
    :param momentum: the decay of the sum of steps, 0.9 by default.
    """

    @staticmethod
    def rule(step_size: Schedule, gamma: float = 0.9, eps: float = 1e-8, momentum: float = 0.9) -> Any:
        import optax

        return optax.rmsprop(step_size, gamma, eps, momentum=momentum)


class SGD(_OptaxOptim):
    """Gradient descent.

    :param step_size: the step size.
    """

    @staticmethod
    def rule(step_size: Schedule) -> Any:
        import optax

        return optax.sgd(step_size)


class SM3(_OptaxOptim):
    """SM3: AdaGrad with sums of squares for rows and columns in place of entries, which saves memory.

    :param step_size: the step size.
    :param momentum: the decay of the average of steps, 0.9 by default.

    **Reference:** Anil, Gupta, Koren & Singer, *Memory-efficient adaptive optimization* (2019).
    """

    @staticmethod
    def rule(step_size: Schedule, momentum: float = 0.9) -> Any:
        import optax

        return optax.chain(
            _over_vectors(optax.scale_by_sm3(momentum, 1.0, 0.0)), optax.scale_by_learning_rate(step_size)
        )


class Minimize(_NumPyroOptim):
    """A whole minimisation by BFGS as one step, for losses without noise.

    :param method: the method of ``jax.scipy.optimize.minimize``, ``"BFGS"`` by default.
    :param kwargs: its other arguments, such as ``tol`` and ``options``.

    >>> from numpyro.optim import Minimize
    >>> optimizer = Minimize()
    >>> (loss, _), state = optimizer.eval_and_update(lambda p: ((p["a"] - 3.0) ** 2, None), optimizer.init({"a": 0.0}))
    >>> round(float(optimizer.get_params(state)["a"]), 4)
    3.0
    """

    def __init__(self, method: str = "BFGS", **kwargs: Any) -> None:
        super().__init__(lambda: (_as_arrays, _move_to, lambda params: params))
        self._method, self._kwargs = method, kwargs

    def eval_and_update(
        self, fn: Callable[[Any], tuple[Array, Any]], state: OptState, forward_mode_differentiation: bool = False
    ) -> tuple[tuple[Array, Any], OptState]:
        """Minimise ``fn`` from the parameters of ``state``.

        :raises ValueError: where ``fn`` returns mutable state beside the loss, or derivatives are to be taken forwards.
        """
        from jax.scipy.optimize import minimize

        if forward_mode_differentiation:
            raise ValueError("Minimize takes its own derivatives, in reverse mode: leave forward mode out.")
        flat, unravel = ravel_pytree(self.get_params(state))

        def loss(flat: Array) -> Array:
            value, rest = fn(unravel(flat))
            if jax.tree.leaves(rest):
                raise ValueError("Minimize does not support models with mutable states.")
            return value

        found = minimize(loss, flat, method=self._method, **self._kwargs)
        return (found.fun, None), self.update(unravel(found.x), state)


def _as_arrays(params: PyTree) -> PyTree:
    return jax.tree.map(jnp.asarray, params)


def _move_to(step: Array, found: PyTree, params: PyTree) -> PyTree:
    return found
