"""Sampling algorithms of BlackJAX as kernels of :class:`~numpyro.infer.MCMC`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from numpyro._typing import Array, Key, PyTree
from numpyro.infer.foreign_kernel import ForeignKernel
from numpyro.infer.initialization import init_to_uniform


class BlackJAXState(NamedTuple):
    """The state of a chain.

    - **z** - the position: unconstrained values of the latent sites, or what ``potential_fn`` takes.
    - **state** - the state of the algorithm.
    - **info** - what it said of the last step; zeros at first.
    - **rng_key** - the key of the chain's next iteration.
    """

    z: PyTree
    state: Any
    info: Any
    rng_key: Key


class BlackJAX(ForeignKernel):
    """Any algorithm of BlackJAX that has a log density and one position: ``BlackJAX(blackjax.nuts, model, ...)``.

    The position is one flat vector. There is no adaptation: warm-up only discards, and parameters are given.

    :param algorithm: a function ``algorithm(logdensity_fn, **parameters)`` that returns a pair of functions ``init``
        and ``step``, such as ``blackjax.nuts``.
    :param model: a model; its continuous latent sites are sampled. Give it, or ``potential_fn``.
    :param potential_fn: the potential energy, a function of a pytree of unconstrained arrays.
    :param init_strategy: how starting values are found, see :mod:`numpyro.infer.initialization`.
    :param parameters: the parameters of the algorithm.
    :raises TypeError: if ``algorithm`` is no function.

    ::

        kernel = BlackJAX(blackjax.mala, model, step_size=0.1)
        mcmc = MCMC(kernel, num_warmup=500, num_samples=1000)
        mcmc.run(random.key(0), data, extra_fields=("info.acceptance_rate",))
    """

    def __init__(
        self,
        algorithm: Callable[..., Any],
        model: Callable | None = None,
        potential_fn: Callable[[PyTree], Array] | None = None,
        init_strategy: Callable = init_to_uniform,
        **parameters: Any,
    ) -> None:
        if not callable(algorithm):
            raise TypeError(f"`algorithm` must be a function such as blackjax.nuts, got {type(algorithm).__name__}.")
        super().__init__(model, potential_fn, init_strategy)
        self._algorithm, self._parameters = algorithm, parameters

    def _pair(self, log_density: Callable[[Array], Array]) -> Any:
        return self._algorithm(log_density, **self._parameters)

    def first_state(self, log_density: Callable[[Array], Array], z: Array, rng_key: Key) -> BlackJAXState:
        pair = self._pair(log_density)
        init_key, rng_key = jax.random.split(rng_key)
        try:
            state = pair.init(z)
        except TypeError:  # of algorithms whose state draws a momentum or the like
            state = pair.init(z, init_key)
        _, info = jax.eval_shape(pair.step, init_key, state)
        return BlackJAXState(z, state, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), info), rng_key)

    def next_state(self, log_density: Callable[[Array], Array], state: BlackJAXState) -> BlackJAXState:
        rng_key, step_key = jax.random.split(state.rng_key)
        inner, info = self._pair(log_density).step(step_key, state.state)
        return BlackJAXState(inner.position, inner, info, rng_key)
