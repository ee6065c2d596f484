"""Which site made a loss infinite, or no number."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from numpyro._typing import PyTree
from numpyro.infer.elbo import Trace_ELBO


class NonFiniteError(FloatingPointError):
    """A loss that is not finite.

    - **step** - the number of steps that were made before.
    - **state** - the state of the optimisation after them.
    """

    def __init__(self, message: str, step: int, state: Any) -> None:
        super().__init__(message)
        self.step, self.state = step, state

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.step, self.state)


def non_finite_terms(svi: Any, state: Any, args: tuple, kwargs: dict[str, Any]) -> dict[str, float]:
    """The sites whose terms of the loss of the next step are not finite, with their values."""
    terms = _terms(svi, state, args, kwargs)(svi.optim.get_params(state.optim_state))
    return {name: float(term) for name, term in terms.items() if not np.isfinite(term)}


def non_finite_gradients(svi: Any, state: Any, args: tuple, kwargs: dict[str, Any]) -> list[str]:
    """The sites whose terms of the loss of the next step have derivatives that are not finite."""
    terms, unconstrained = _terms(svi, state, args, kwargs), svi.optim.get_params(state.optim_state)

    def gradient(name: str) -> PyTree:  # alone: where the derivative of one term is infinite, 0 times it is no number
        return jax.grad(lambda unconstrained: terms(unconstrained)[name])(unconstrained)

    return [name for name in jax.eval_shape(terms, unconstrained) if not _is_finite(gradient(name))]


def non_finite_params(svi: Any, state: Any) -> list[str]:
    """The params that are not finite."""
    return [name for name, value in svi.get_params(state).items() if not _is_finite(value)]


def _is_finite(tree: PyTree) -> bool:
    return all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves(tree))


def _terms(svi: Any, state: Any, args: tuple, kwargs: dict[str, Any]) -> Callable[[PyTree], dict[str, Any]]:
    """The terms of the next step's loss by site, as a function of unconstrained params."""
    _, step_key = jax.random.split(state.rng_key)
    if hasattr(svi.loss, "sum_sites"):
        objective = copy.copy(svi.loss)
        objective.sum_sites = False
    else:  # its terms are weighed in some other way
        objective = Trace_ELBO(getattr(svi.loss, "num_particles", 1), sum_sites=False)

    def terms(unconstrained: PyTree) -> dict[str, Any]:
        params = svi.constrain_fn(unconstrained) | (state.mutable_state or {})
        return objective.loss(step_key, params, svi.model, svi.guide, *args, **{**kwargs, **svi.static_kwargs})

    return terms


NonFiniteError.__module__ = "numpyro.infer.svi"
