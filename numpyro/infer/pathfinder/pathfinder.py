"""The public face of Pathfinder."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import Array, Key, PyTree
from numpyro.diagnostics import print_summary
from numpyro.infer.importance import smooth_log_weights
from numpyro.infer.initialization import init_to_uniform
from numpyro.infer.model import Layout, ModelView, find_initial
from numpyro.infer.model.draws import map_draws
from numpyro.infer.model.initial import MAX_TRIES, Start, no_start_error
from numpyro.infer.pathfinder.path import Path, follow
from numpyro.infer.program import Program, compiled_programs, in_jit, is_traced, jit
from numpyro.util import is_prng_key


class _Found(NamedTuple):
    """What the compiled program returns; leading dimensions are paths, and draws of each."""

    starts: Start
    paths: Path
    draws: Array
    log_weights: Array


class Pathfinder:
    r"""The posterior approximated along paths of optimisation, for quick looks and for starts of chains.

    Each path runs L-BFGS from a start of its own; of the normal approximations along it the one with the highest
    evidence lower bound is kept. Draws of all paths are weighed by :math:`p(z, y) / q(z)` with Pareto smoothed weights,
    and resampled.

    :param model: a model.
    :param num_samples: the number of draws to return, 1000 by default.
    :param num_paths: the number of paths, 8 by default.
    :param num_path_draws: draws from the approximation of each path, 1000 by default.
    :param num_elbo_draws: draws for the evidence lower bound of each approximation, 25 by default.
    :param history_size: pairs of steps and gradients that an approximation is made of, 6 by default. The covariance is
        a diagonal plus a matrix of at most twice this rank.
    :param max_steps: the most steps of a path, 1000 by default.
    :param importance_resampling: resample by importance weights (default); else all draws of all paths are equally
        likely.
    :param init_strategy: an initialization strategy, :func:`~numpyro.infer.init_to_uniform` by default.
    :raises ValueError: for counts that are no positive integers.

    >>> import jax, numpyro, numpyro.distributions as dist
    >>> from numpyro.infer import MCMC, NUTS
    >>> from numpyro.infer.pathfinder import Pathfinder
    >>> def model(y):
    ...     mu = numpyro.sample("mu", dist.Normal(0.0, 10.0))
    ...     s = numpyro.sample("s", dist.HalfNormal(1.0))
    ...     numpyro.sample("y", dist.Normal(mu, s), obs=y)
    >>> y = jax.numpy.linspace(-1.0, 3.0, 50)
    >>> pathfinder = Pathfinder(model, num_paths=2)
    >>> pathfinder.run(jax.random.key(0), y)
    >>> pathfinder.get_samples()["mu"].shape
    (1000,)
    >>> mcmc = MCMC(NUTS(model), num_warmup=50, num_samples=50, num_chains=2, chain_method="vectorized",
    ...             progress_bar=False)
    >>> mcmc.run(jax.random.key(1), y, init_params=pathfinder.init_params(num_chains=2))

    After a run ``elbos`` has the bound of each path, ``pareto_k`` the shape of the tail of the importance weights
    (above 0.7 the draws are no substitute for the posterior, though often a good start), ``num_steps`` the steps of
    each path, ``modes`` where they ended (unconstrained, by site) and ``paths`` their normal approximations.

    **Reference:** Zhang, Carpenter, Gelman & Vehtari, *Pathfinder: parallel quasi-Newton variational inference* (2022).
    """

    def __init__(
        self,
        model: Callable,
        *,
        num_samples: int = 1000,
        num_paths: int = 8,
        num_path_draws: int = 1000,
        num_elbo_draws: int = 25,
        history_size: int = 6,
        max_steps: int = 1000,
        importance_resampling: bool = True,
        init_strategy: Callable = init_to_uniform,
    ) -> None:
        if not callable(model):
            raise TypeError(f"Pathfinder: `model` must be a function, got {type(model).__name__}.")
        counts = {
            "num_samples": num_samples,
            "num_paths": num_paths,
            "num_path_draws": num_path_draws,
            "num_elbo_draws": num_elbo_draws,
            "history_size": history_size,
            "max_steps": max_steps,
        }
        for name, count in counts.items():
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise UsageError(f"Pathfinder: `{name}` must be a positive integer, got {count!r}.")
        self.model, self.init_strategy = model, init_strategy
        self.num_samples, self.num_paths, self.num_path_draws = num_samples, num_paths, num_path_draws
        self.num_elbo_draws, self.history_size, self.max_steps = num_elbo_draws, history_size, max_steps
        self.importance_resampling = importance_resampling
        self.pareto_k = float("nan")
        self._view: ModelView | None = None

    def run(self, rng_key: Key, *args: Any, **kwargs: Any) -> None:
        """Follow the paths, and draw.

        :param rng_key: a key.
        :param args: arguments of the model.
        :param kwargs: keyword arguments of the model.
        :raises TypeError: if ``rng_key`` is no random key.
        :raises ValueError: for models with discrete latent sites, without latent sites, or with subsamples.
        :raises InitializationError: where no start with a finite density is found.
        :raises RuntimeError: where no approximation has a finite evidence lower bound, or under a trace.
        """
        if not is_prng_key(rng_key):
            raise TypeError(f"Pathfinder.run takes a random key, such as jax.random.key(0), first; got {rng_key!r}.")
        if is_traced((rng_key, args, kwargs)) or in_jit():
            raise RuntimeError("Pathfinder.run compiles a program of its own: call it outside of jax.jit and the like.")
        view = ModelView(self.model, args, kwargs)
        view.require_continuous("Pathfinder")
        view.require_whole_plates("Pathfinder")
        view.check_observations()
        if not view.latent:
            raise UsageError("Pathfinder found no continuous latent sites in the model: nothing is to be approximated.")
        model_key, path_key, resample_key, self._draw_key = jax.random.split(rng_key, 4)
        data = view.data(model_key)
        layout = Layout(view.prototype)
        found = self._find(view, layout, path_key, data)
        valid = np.asarray(found.starts.is_valid)
        if not valid.all():
            at = {name: value[int(np.argmin(valid))] for name, value in found.starts.unconstrained.items()}
            raise no_start_error(view, data, at, MAX_TRIES)
        self.elbos, self.num_steps = np.asarray(found.paths.elbo), np.asarray(found.paths.num_steps)
        self.modes = jax.vmap(layout.unravel)(found.paths.mode)
        self.paths = found.paths.normal
        self._view, self._layout, self._data = view, layout, data
        self._draws = np.asarray(found.draws).reshape(-1, layout.size)
        self._log_weights = self._weigh(np.asarray(found.log_weights))
        chosen = self._choose(resample_key, self.num_samples, replace=True)
        self._unconstrained = jax.device_put(self._draws[chosen])
        self._samples: dict[str, PyTree] | None = None

    def _find(self, view: ModelView, layout: Layout, rng_key: Key, data: PyTree) -> _Found:
        def run(keys: Key, data: PyTree) -> _Found:
            potential = lambda flat: -view.log_density(data, layout.unravel(flat))

            def of_path(rng_key: Key) -> tuple[Start, Path, Array, Array]:
                start_key, path_key, draw_key = jax.random.split(rng_key, 3)
                start = find_initial(view, data, start_key, self.init_strategy)
                path = follow(
                    potential,
                    layout.ravel(start.unconstrained),
                    path_key,
                    history_size=self.history_size,
                    max_steps=self.max_steps,
                    num_elbo_draws=self.num_elbo_draws,
                )
                draws, log_densities = path.normal.draw(draw_key, self.num_path_draws)
                return start, path, draws, -jax.vmap(potential)(draws) - log_densities

            return _Found(*jax.vmap(of_path)(keys))

        keys = jax.random.split(rng_key, self.num_paths)
        program = Program(run, *jax.eval_shape(lambda *args: args, keys, data))
        compiled = compiled_programs.get(("pathfinder", program.key), lambda: jit(program.without_consts()))
        return compiled(program.consts, keys, data)

    def _weigh(self, log_weights: np.ndarray) -> np.ndarray:
        """The normalised log weights of all draws."""
        is_usable = np.isfinite(self.elbos)
        if not is_usable.any():
            raise RuntimeError(
                "Pathfinder: no normal approximation on any path has a finite evidence lower bound. The log density is "
                "not finite in a neighbourhood of the points that L-BFGS passes; check the model, or try other starts "
                "by `init_strategy`."
            )
        rounding = 1024 * float(np.finfo(log_weights.dtype).eps)  # of two log densities, each a sum of many terms
        log_weights = np.where(np.isfinite(log_weights) & is_usable[:, None], log_weights, -np.inf).ravel()
        smoothed, self.pareto_k = smooth_log_weights(log_weights, rounding)
        if not self.importance_resampling:
            equal = np.repeat(np.where(is_usable, 0.0, -np.inf), self.num_path_draws)
            return equal - np.log(np.sum(np.exp(equal)))
        if self.pareto_k > 0.7:
            warnings.warn(
                f"Pathfinder: the tail of the importance weights has the shape {self.pareto_k:.2f} > 0.7: the normal "
                "approximations are too far from the posterior for draws to stand for it. They may serve as starting "
                "points, mcmc.run(..., init_params=pathfinder.init_params(num_chains)).",
                UserWarning,
                stacklevel=3,
            )
        return smoothed

    def _choose(self, rng_key: Key, count: int, *, replace: bool) -> np.ndarray:
        """Positions of draws, by their weights."""
        words = jax.random.key_data(rng_key) if jax.dtypes.issubdtype(rng_key.dtype, jax.dtypes.prng_key) else rng_key
        random = np.random.default_rng(np.asarray(words).ravel())
        if replace:
            return random.choice(len(self._log_weights), count, p=np.exp(self._log_weights))
        # The largest of log weights with Gumbel noise are a sample without replacement.
        return np.argsort(-(self._log_weights + random.gumbel(size=len(self._log_weights))))[:count]

    def _require_run(self, method: str) -> ModelView:
        if self._view is None:
            raise UsageError(f"`{method}` needs the draws of a run: call run(rng_key, *args) first.")
        return self._view

    def get_samples(self) -> dict[str, PyTree]:
        """The draws by site, ``num_samples`` of them along the first dimension, deterministic sites included."""
        view = self._require_run("get_samples")
        if self._samples is None:
            data = self._data
            self._samples = map_draws(
                lambda _, flat: view.constrain(data, self._layout.unravel(flat), deterministic=True),
                None,
                self._unconstrained,
                (self.num_samples,),
                parallel=True,
            )
        return dict(self._samples)

    def init_params(self, num_chains: int = 1) -> dict[str, Array]:
        """Starting points for chains: draws by their weights, no one twice.

        :param num_chains: the number of chains.
        :return: unconstrained values by site, for ``mcmc.run(..., init_params=...)``; with a leading dimension of
            chains where there are several.
        :raises ValueError: before a run, or where there are fewer draws than chains.
        """
        self._require_run("init_params")
        if not 1 <= num_chains <= len(self._draws):
            raise UsageError(f"`num_chains` must lie between 1 and {len(self._draws)}, got {num_chains}.")
        flat = jnp.asarray(self._draws[self._choose(self._draw_key, num_chains, replace=False)])
        points = jax.vmap(self._layout.unravel)(flat)
        return points if num_chains > 1 else {name: value[0] for name, value in points.items()}

    def print_summary(self, prob: float = 0.9) -> None:
        """Print means, deviations and intervals of the draws.

        :param prob: the probability of the intervals.
        """
        sites = self._require_run("print_summary").sites
        samples = {name: value for name, value in self.get_samples().items() if sites[name].kind == "sample"}
        print_summary(samples, prob=prob, group_by_chain=False)
        print(f"Bounds of the paths: {np.array2string(self.elbos, precision=2)}; Pareto k: {self.pareto_k:.2f}")


Pathfinder.__module__ = "numpyro.infer.pathfinder"
