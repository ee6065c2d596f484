r"""Tempered sequential Monte Carlo: particles that go from the prior to the posterior, and the evidence on the way.

Draws of the prior :math:`p(x)` pass through the densities

.. math:: \pi_t(x) \propto p(x)\, p(y \mid x)^t, \qquad 0 = t_0 < t_1 < \dots < t_n = 1.

At each temperature they are weighed by :math:`w = p(y \mid x)^{t_{k+1} - t_k}`, resampled, and moved by a kernel that
leaves :math:`\pi_{t_{k+1}}` as it is. The product of the mean weights is an estimate of the evidence :math:`p(y)`,
unbiased where the temperatures and the kernels are given beforehand. Kernels here are adapted to the particles: each
half of them moves by the covariance of the other, and copies of a particle stay in one half. (By a covariance in which
it counts itself, a particle finds the direction in which it lies wider than it is; with 1000 particles at 100
dimensions that takes one nat from the log evidence.) Adapting the temperatures adds a bias of order one over the number
of particles.

**References:** Neal, *Annealed importance sampling* (2001); Chopin, *A sequential particle filter method for static
models* (2002); Del Moral, Doucet & Jasra, *Sequential Monte Carlo samplers* (2006).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import logsumexp

from numpyro._errors import UsageError
from numpyro._typing import Array, Key, PyTree
from numpyro.diagnostics import print_summary
from numpyro.infer.model import Layout, ModelView
from numpyro.infer.model.draws import map_draws
from numpyro.infer.program import Program, compiled_programs, in_jit, is_traced, jit
from numpyro.infer.tempering import correlation, covariance_root, halves, next_temperature, split_density, systematic
from numpyro.util import is_prng_key

# A particle of low energy, which a rising temperature favours, gains energy in every trajectory. With steps so long
# that draws are accepted at 0.8 it stays behind, and is chosen again at the next temperature: the evidence comes out
# too large.
_TARGET_ACCEPT = {"hmc": 0.95, "random_walk": 0.3}
_LARGEST_STEP = {"hmc": 1.2, "random_walk": 3.0}  # in coordinates of unit covariance; HMC is unstable from 2 on


class _Particles(NamedTuple):
    """Particles along the first axis: unconstrained positions, log priors (with Jacobian terms), log likelihoods."""

    z: Array
    log_prior: Array
    log_likelihood: Array


class _State(NamedTuple):
    particles: _Particles
    temperature: Array
    log_evidence: Array
    log_step: Array
    step: Array
    temperatures: Array
    accept_prob: Array
    correlation: Array
    rng_key: Key


class TemperedSMC:
    r"""Sequential Monte Carlo from the prior to the posterior, for several modes and for the evidence of a model.

    Particles are drawn from the prior, and weighed, resampled and moved at rising powers of the likelihood. Each
    temperature is the highest that keeps ``ess_fraction`` of the effective sample size; moves take the covariance of
    the particles, and a step size that follows their acceptance. Observed sites and factors are the likelihood;
    discrete latent sites of finite support are summed out.

    :param model: a model whose latent sites can be drawn from their prior.
    :param num_particles: the number of particles, 1000 by default; they are the draws.
    :param moves: ``"hmc"`` (default), Hamiltonian trajectories, or ``"random_walk"``, Metropolis steps that need no
        gradients, for some ten dimensions and with ``num_moves`` of 20 or more.
    :param num_moves: moves of each particle at each temperature, 5 by default. More make the estimates better.
    :param num_leapfrog: leapfrog steps of a Hamiltonian trajectory, 8 by default.
    :param ess_fraction: the fraction of the effective sample size, 0.5 by default. Higher ones take more temperatures.
    :param max_temperatures: the most temperatures, 1000 by default.
    :raises ValueError: for settings out of their range.

    >>> import jax, numpyro, numpyro.distributions as dist
    >>> from numpyro.infer import TemperedSMC
    >>> def model(y):
    ...     mu = numpyro.sample("mu", dist.Normal(0.0, 10.0))
    ...     numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)
    >>> smc = TemperedSMC(model, num_particles=500)
    >>> smc.run(jax.random.key(0), jax.numpy.array([1.0, 2.0]))
    >>> smc.get_samples()["mu"].shape
    (500,)
    >>> bool(abs(smc.log_evidence + 4.75) < 0.5)
    True

    After a run ``temperatures`` has the temperatures, ``accept_prob`` the mean acceptance probability at each,
    ``correlation`` that of the particles' log likelihoods before and after its moves, and ``log_evidence`` the estimate
    of :math:`\log p(y)`. Correlations should be near 0: where some are above 0.2, raise ``num_moves``. How far two runs
    with different keys differ is the measure of the error of the evidence. The mass of modes is that which the
    particles found: where the prior is so wide that few of its draws see a mode, take more particles.

    **References:** Neal (2001); Chopin (2002); Del Moral, Doucet & Jasra, *Sequential Monte Carlo samplers* (2006).
    """

    def __init__(
        self,
        model: Callable,
        num_particles: int = 1000,
        *,
        moves: Literal["hmc", "random_walk"] = "hmc",
        num_moves: int = 5,
        num_leapfrog: int = 8,
        ess_fraction: float = 0.5,
        max_temperatures: int = 1000,
    ) -> None:
        if not callable(model):
            raise TypeError(f"TemperedSMC: `model` must be a function, got {type(model).__name__}.")
        counts = {"num_moves": num_moves, "num_leapfrog": num_leapfrog, "max_temperatures": max_temperatures}
        for name, count, least in [("num_particles", num_particles, 4), *((n, c, 1) for n, c in counts.items())]:
            if isinstance(count, bool) or not isinstance(count, int) or count < least:
                raise UsageError(f"TemperedSMC: `{name}` must be an integer of {least} or more, got {count!r}.")
        if moves not in _TARGET_ACCEPT:
            raise UsageError(f"TemperedSMC: `moves` must be one of {', '.join(_TARGET_ACCEPT)}; got {moves!r}.")
        if not 0 < ess_fraction < 1:
            raise UsageError(f"TemperedSMC: `ess_fraction` must lie between 0 and 1, got {ess_fraction!r}.")
        self.model, self.num_particles, self.moves = model, num_particles, moves
        self.num_moves, self.num_leapfrog = num_moves, num_leapfrog
        self.ess_fraction, self.max_temperatures = float(ess_fraction), max_temperatures
        self.log_evidence = float("nan")
        self._view: ModelView | None = None

    def run(self, rng_key: Key, *args: Any, **kwargs: Any) -> None:
        """Draw from the prior and go to the posterior.

        :param rng_key: a key.
        :param args: arguments of the model.
        :param kwargs: keyword arguments of the model.
        :raises TypeError: if ``rng_key`` is no random key.
        :raises ValueError: for models without continuous latent sites, with discrete ones that can't be summed out,
            with latent sites that are scaled, masked or have no prior to draw from, or with subsamples.
        :raises RuntimeError: where the likelihood of all draws of the prior is 0, or the temperatures don't suffice, or
            under a trace.
        """
        if not is_prng_key(rng_key):
            raise TypeError(f"TemperedSMC.run takes a random key, such as jax.random.key(0), first; got {rng_key!r}.")
        if is_traced((rng_key, args, kwargs)) or in_jit():
            raise RuntimeError(
                "TemperedSMC.run compiles a program of its own: call it outside of jax.jit and the like."
            )
        view = ModelView(self.model, args, kwargs)
        view.require_continuous("TemperedSMC")
        view.require_whole_plates("TemperedSMC")
        view.check_observations()
        if not view.latent:
            raise UsageError("TemperedSMC found no continuous latent sites in the model: nothing is to be sampled.")
        model_key, run_key = jax.random.split(rng_key)
        data, layout = view.data(model_key), Layout(view.prototype)
        jax.eval_shape(
            lambda data, z: split_density(view, data, z), data, view.prototype
        )  # names sites without a prior
        program = Program(
            lambda key, data: self._run(view, layout, key, data), *jax.eval_shape(lambda *a: a, run_key, data)
        )
        compiled = compiled_programs.get(("tempered smc", program.key), lambda: jit(program.without_consts()))
        state = compiled(program.consts, run_key, data)
        count, reached = int(state.step), float(state.temperature)
        if not np.isfinite(float(state.log_evidence)):
            raise RuntimeError(
                f"TemperedSMC: the likelihood of all {self.num_particles} draws of the prior is 0 or not a number. "
                "Check the model at draws of its prior, or take more particles, or a narrower prior."
            )
        if reached < 1.0:
            raise RuntimeError(
                f"TemperedSMC: after {count} temperatures the power of the likelihood is {reached:.3g}, not 1. Raise "
                "`max_temperatures`, or lower `ess_fraction`."
            )
        self.log_evidence = float(state.log_evidence)
        self.temperatures = np.asarray(state.temperatures)[:count]
        self.accept_prob = np.asarray(state.accept_prob)[:count]
        self.correlation = np.asarray(state.correlation)[:count]
        self._view, self._layout, self._data, self._z = view, layout, data, state.particles.z
        self._samples: dict[str, PyTree] | None = None

    def _run(self, view: ModelView, layout: Layout, rng_key: Key, data: PyTree) -> _State:
        def evaluate(z: Array, temperature: Array) -> tuple[Array, _Particles]:
            log_prior, log_likelihood = split_density(view, data, layout.unravel(z))
            log_likelihood = jnp.where(jnp.isnan(log_likelihood), -jnp.inf, log_likelihood)
            tempered = log_prior + temperature * log_likelihood
            usable = jnp.isfinite(tempered) & jnp.isfinite(log_prior)
            return jnp.where(usable, tempered, -jnp.inf), _Particles(z, log_prior, log_likelihood)

        draw = lambda key: layout.ravel(view.draw_initial(data, key, lambda site: None))
        rng_key, draw_key = jax.random.split(rng_key)
        z = jax.vmap(draw)(jax.random.split(draw_key, self.num_particles))
        zero = jnp.zeros((), layout.dtype)
        value, particles = jax.vmap(evaluate, (0, None))(z, zero + 0.5)
        log_likelihood = jnp.where(jnp.isfinite(value), particles.log_likelihood, -jnp.inf)
        record = jnp.zeros(self.max_temperatures, layout.dtype)
        first_step = 0.5 if self.moves == "hmc" else 2.38 / np.sqrt(layout.size)
        state = _State(
            particles._replace(log_likelihood=log_likelihood.astype(layout.dtype)),
            zero,
            jnp.where(jnp.any(jnp.isfinite(log_likelihood)), zero, -jnp.inf),
            zero + np.log(first_step),
            jnp.zeros((), jnp.int32),
            record,
            record,
            record,
            rng_key,
        )
        unfinished = lambda state: (
            (state.temperature < 1.0) & (state.step < self.max_temperatures) & jnp.isfinite(state.log_evidence)
        )
        return lax.while_loop(unfinished, lambda state: self._advance(evaluate, state), state)

    def _advance(self, evaluate: Callable[[Array, Array], tuple[Array, _Particles]], state: _State) -> _State:
        """One temperature: weigh, resample and move."""
        rng_key, resample_key, move_key = jax.random.split(state.rng_key, 3)
        log_likelihood = state.particles.log_likelihood
        temperature = next_temperature(log_likelihood, state.temperature, self.ess_fraction)
        log_weights = (temperature - state.temperature) * log_likelihood
        chosen = systematic(resample_key, log_weights)
        particles = jax.tree.map(lambda leaf: leaf[chosen], state.particles)
        roots = [covariance_root(half, self.ess_fraction) for half in reversed(halves(particles.z))]
        scaled = lambda p: jnp.concatenate([half @ root.T for half, root in zip(halves(p), roots)])
        pulled = lambda grad: jnp.concatenate([half @ root for half, root in zip(halves(grad), roots)])
        with_gradient = self.moves == "hmc"
        function: Callable[..., Any] = jax.value_and_grad(evaluate, has_aux=True) if with_gradient else evaluate

        def at(z: Array) -> tuple[Array, _Particles, Array]:
            found = jax.vmap(function, (0, None))(z, temperature)
            return (*found[0], pulled(found[1])) if with_gradient else (*found, jnp.zeros_like(z))

        def trajectory(z: Array, force: Array, sizes: Array, p: Array) -> tuple[tuple, Array]:
            """The end of a trajectory in coordinates of unit covariance, and the kinetic energy gained."""
            if not with_gradient:
                return at(z + sizes * scaled(p)), jnp.zeros(len(z), z.dtype)

            def leapfrog(carry: tuple, _: None) -> tuple[tuple, None]:
                (_, here, force), p = carry
                p = p + 0.5 * sizes * force
                there = at(here.z + sizes * scaled(p))
                return (there, p + 0.5 * sizes * there[2]), None

            start = (jnp.zeros(len(z), z.dtype), particles._replace(z=z), force)
            (end, last), _ = lax.scan(leapfrog, (start, p), length=self.num_leapfrog)
            return end, 0.5 * jnp.sum(last**2 - p**2, -1)

        def move(carry: tuple, key: Key) -> tuple[tuple, Array]:
            current, log_step = carry
            noise_key, size_key, accept_key = jax.random.split(key, 3)
            z = current[1].z
            sizes = jnp.exp(log_step) * jax.random.uniform(size_key, (len(z), 1), z.dtype, 0.5, 1.5)
            end, gained = trajectory(z, current[2], sizes, jax.random.normal(noise_key, z.shape, z.dtype))
            change = end[0] - current[0] - gained
            accept_prob = jnp.exp(jnp.minimum(jnp.where(jnp.isnan(change), -jnp.inf, change), 0.0))
            accepted = jax.random.uniform(accept_key, (len(z),), z.dtype) < accept_prob
            select = lambda new, old: jnp.where(accepted.reshape(-1, *[1] * (new.ndim - 1)), new, old)
            mean = jnp.mean(accept_prob)
            log_step = jnp.minimum(log_step + mean - _TARGET_ACCEPT[self.moves], np.log(_LARGEST_STEP[self.moves]))
            return (jax.tree.map(select, end, current), log_step), mean

        (current, log_step), means = lax.scan(
            move, (at(particles.z), state.log_step), jax.random.split(move_key, self.num_moves)
        )
        return _State(
            current[1],
            temperature,
            state.log_evidence + logsumexp(log_weights) - np.log(self.num_particles),
            log_step,
            state.step + 1,
            state.temperatures.at[state.step].set(temperature),
            state.accept_prob.at[state.step].set(jnp.mean(means)),
            state.correlation.at[state.step].set(correlation(particles.log_likelihood, current[1].log_likelihood)),
            rng_key,
        )

    def _require_run(self, method: str) -> ModelView:
        if self._view is None:
            raise UsageError(f"`{method}` needs the draws of a run: call run(rng_key, *args) first.")
        return self._view

    def get_samples(self) -> dict[str, PyTree]:
        """The particles by site, equally likely, along the first dimension; deterministic sites included."""
        view = self._require_run("get_samples")
        if self._samples is None:
            data, layout = self._data, self._layout
            constrain = lambda _, z: view.constrain(data, layout.unravel(z), deterministic=True)
            self._samples = map_draws(constrain, None, self._z, (self.num_particles,), parallel=True)
        return dict(self._samples)

    def print_summary(self, prob: float = 0.9) -> None:
        """Print means, deviations and intervals of the particles, and the evidence.

        :param prob: the probability of the intervals.
        """
        sites = self._require_run("print_summary").sites
        samples = {name: value for name, value in self.get_samples().items() if sites[name].kind == "sample"}
        print_summary(samples, prob=prob, group_by_chain=False)
        print(f"Log evidence: {self.log_evidence:.2f}, after {len(self.temperatures)} temperatures")
