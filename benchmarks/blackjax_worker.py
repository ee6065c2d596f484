"""The worker of BlackJAX: its window adaptation and its NUTS, over the densities that this project makes of the models.

Compiled as its documentation recommends, and kept: one jitted function for warm-up and a scan over draws, which takes
the data as arguments and serves all chains.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import blackjax
import jax
import numpy as np

from benchmarks.compiles import CompileCounter
from benchmarks.protocol import Request, Stopwatch, serve
from benchmarks.worker import load_case
from numpyro.infer.util import initialize_model


class Sampler:
    """A model under BlackJAX."""

    def __init__(self, request: Request) -> None:
        self.case = load_case(request)
        self.args = self.case.args
        self.info = self._initialize(0)
        self.run = jax.jit(self._run, static_argnums=(0, 1))
        self.warm_up = jax.jit(self._warm_up, static_argnums=0)
        self.draw = jax.jit(self._draw, static_argnums=0)
        self.constrain = jax.jit(jax.vmap(self.info.postprocess_fn(*self.args)))

    def _initialize(self, seed: int) -> Any:
        key = jax.random.PRNGKey(seed)
        return initialize_model(key, self.case.model, model_args=self.args, dynamic_args=True)

    def start(self, seed: int) -> tuple[Any, Any]:
        """A key, and where to start from: a point of finite density, drawn as this project's kernels draw it."""
        return jax.random.PRNGKey(seed), self._initialize(seed).param_info.z

    def _log_density(self, args: tuple[Any, ...], z: Any) -> Any:
        return -self.info.potential_fn(*args)(z)

    def _warm_up(self, warmup: int, key: Any, position: Any, args: tuple[Any, ...]) -> Any:
        adaptation = blackjax.window_adaptation(blackjax.nuts, partial(self._log_density, args))
        (state, parameters), _ = adaptation.run(key, position, num_steps=warmup)
        return state, parameters

    def _draw(self, draws: int, key: Any, state: Any, parameters: Any, args: tuple[Any, ...]) -> Any:
        kernel = blackjax.nuts(partial(self._log_density, args), **parameters)

        def one(state: Any, key: Any) -> Any:
            state, info = kernel.step(key, state)
            return state, (state.position, info.num_integration_steps)

        return jax.lax.scan(one, state, jax.random.split(key, draws))[1]

    def _run(self, warmup: int, draws: int, key: Any, position: Any, args: tuple[Any, ...]) -> Any:
        key_warmup, key_draws = jax.random.split(key)
        return self._draw(draws, key_draws, *self._warm_up(warmup, key_warmup, position, args), args)


def compiling(request: Request) -> dict[str, Any]:
    """First and repeated runs with one warm-up iteration and one draw, the jitted function kept."""
    compiles, watch = CompileCounter(), Stopwatch()
    sampler = Sampler(request)

    def run(seed: int) -> None:
        positions, _ = sampler.run(1, 1, jax.random.PRNGKey(seed), sampler.info.param_info.z, sampler.args)
        jax.block_until_ready(sampler.constrain(positions))

    run(0)
    first, first_wall = watch.read()
    compiled, again = compiles.take(), []
    for seed in (1, 2, 3):
        watch = Stopwatch()
        run(seed)
        again.append(watch.read()[0])
    return {
        "first": first,
        "first_wall": first_wall,
        "again": min(again),
        "compiles_first": compiled,
        "compiles_again": compiles.take() / 3,
    }


def leapfrog(request: Request) -> dict[str, Any]:
    """CPU time of a leapfrog step after warm-up, with the number of draws growing."""
    sampler = Sampler(request)
    key, position = sampler.start(1)
    state, parameters = sampler.warm_up(min(request.warmup, 300), key, position, sampler.args)
    draws = 50
    while True:
        arguments = draws, key, state, parameters, sampler.args
        jax.block_until_ready(sampler.draw(*arguments))
        watch = Stopwatch()
        _, num_steps = jax.block_until_ready(sampler.draw(*arguments))
        used, steps = watch.read()[0], int(np.sum(num_steps))
        if used > request.seconds:
            return {"leapfrog": used / steps * 1e6, "steps": steps}
        draws *= 4


def sampling(request: Request) -> dict[str, Any]:
    """A whole run of several chains, one after another."""
    watch = Stopwatch()
    sampler = Sampler(request)
    starts = [sampler.start(request.seed + chain) for chain in range(request.chains)]
    program = sampler.run.lower(request.warmup, request.samples, *starts[0], sampler.args).compile()
    samples = jax.eval_shape(partial(sampler.run, request.warmup, request.samples), *starts[0], sampler.args)[0]
    constrain = sampler.constrain.lower(samples).compile()
    compile_cpu, compile_wall = watch.read()
    watch = Stopwatch()
    chains, steps = [], 0
    for start in starts:
        positions, num_steps = program(*start, sampler.args)
        chains.append(jax.block_until_ready(constrain(positions)))
        steps += int(np.sum(num_steps))
    cpu, wall = watch.read()
    np.savez(request.draws, **{k: np.stack([np.asarray(chain[k]) for chain in chains]) for k in chains[0]})
    return {"compile": compile_cpu, "compile_wall": compile_wall, "cpu": cpu, "wall": wall, "steps": steps}


if __name__ == "__main__":
    measures = {"compiling": compiling, "leapfrog": leapfrog, "sampling": sampling}
    serve(f"blackjax {blackjax.__version__}", measures)
