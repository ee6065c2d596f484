"""The public face of Markov chain Monte Carlo."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from numpyro._typing import Key, PyTree
from numpyro.infer.mcmc import arguments
from numpyro.infer.mcmc.ending import Ending
from numpyro.infer.mcmc.engine import Plan
from numpyro.infer.mcmc.kernel import MCMCKernel
from numpyro.infer.mcmc.progress import Display
from numpyro.infer.mcmc.results import Results
from numpyro.infer.mcmc.resuming import RunSettings, import_store
from numpyro.infer.mcmc.run import ChainRun, Kept
from numpyro.infer.mcmc.schedule import Phase, Schedule
from numpyro.infer.mcmc.stopping import Until
from numpyro.infer.model.view import require_run_time_arrays


class MCMC(Results):
    """Runs a kernel: warm-up, sampling, several chains, and access to what they drew.

    :param sampler: a kernel, such as :class:`~numpyro.infer.NUTS`.
    :param num_warmup: iterations of warm-up.
    :param num_samples: iterations of sampling, of which every ``thinning``-th is kept.
    :param num_chains: the number of chains.
    :param thinning: keep one of this many draws.
    :param postprocess_fn: a function that turns one draw into what is kept; by default the kernel's own, which
        constrains values and adds deterministic sites.
    :param chain_method: how chains are run. ``"parallel"`` uses all devices or, on one CPU device, one thread for
        each core; ``"vectorized"`` advances all chains in one batched program; ``"sequential"`` one after another.
        All give the same draws up to rounding. A callable maps a function of one chain over chains, as ``jax.vmap``
        does.
    :param progress_bar: show progress, in terminals and notebooks, with one bar for each chain that runs by itself;
        ``"one"`` for one bar for all chains.
    :param progress_rate: iterations between two updates of the progress bar; by default about ten updates a second.
    :param jit_model_args: arrays among the model's arguments are always run-time values of the compiled program. With
        ``True`` that is required: a model that needs the concrete values of an array is an error, where otherwise the
        values are compiled in.
    :param until: a target at which to stop before ``num_samples``, which then is the most.
    :param time_budget: seconds after which a run, its warm-up and compilation included, ends with what it has drawn.
    :param store: a path; :meth:`run` keeps draws, statistics and the states of its chains there as it goes, in a zarr
        store that ArviZ and xarray open, and in memory only what is new. :meth:`resume` goes on with it after an
        interrupt, a crash or a power cut. Needs the extra ``numpyro[zarr]``.
    :param stop_signals: signals that end a run early with what it has drawn, as Ctrl-C does;
        ``(signal.SIGINT, signal.SIGTERM)`` for what schedulers of clusters send.
    :raises ValueError: when a count is not an integer in its range, or the chain method is unknown.

    >>> import jax, jax.numpy as jnp, numpyro, numpyro.distributions as dist
    >>> from numpyro.infer import MCMC, NUTS
    >>> def model(y):
    ...     mu = numpyro.sample("mu", dist.Normal(0.0, 10.0))
    ...     numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)
    >>> mcmc = MCMC(NUTS(model), num_warmup=200, num_samples=500, progress_bar=False)
    >>> mcmc.run(jax.random.key(0), jnp.array([1.0, 2.0, 3.0]))
    >>> mcmc.get_samples()["mu"].shape
    (500,)
    """

    def __init__(
        self,
        sampler: MCMCKernel,
        *,
        num_warmup: int,
        num_samples: int,
        num_chains: int = 1,
        thinning: int = 1,
        postprocess_fn: Callable[[PyTree], PyTree] | None = None,
        chain_method: str | Callable = "parallel",
        progress_bar: bool | str = True,
        progress_rate: int | None = None,
        jit_model_args: bool = False,
        until: Until | None = None,
        time_budget: float | None = None,
        stop_signals: Sequence[signal.Signals] = (signal.SIGINT,),
        store: str | os.PathLike | None = None,
    ) -> None:
        arguments.require_kernel(sampler)
        arguments.require_counts(num_warmup, num_samples, num_chains, thinning, progress_rate)
        arguments.require_choices(chain_method, progress_bar, postprocess_fn, store)
        arguments.require_limits(until, time_budget)
        self.sampler = sampler
        self.num_warmup, self.num_samples = int(num_warmup), int(num_samples)
        self.num_chains, self.thinning = int(num_chains), int(thinning)
        self.postprocess_fn = postprocess_fn
        self.chain_method = chain_method
        self.progress_bar, self.progress_rate = progress_bar, progress_rate
        self._jit_model_args = jit_model_args
        self.until, self.time_budget = until, time_budget
        self.stop_signals = arguments.as_signals(stop_signals)
        self.store = None if store is None else os.path.abspath(os.path.expanduser(os.fspath(store)))
        self._args: tuple = ()
        self._kwargs: dict[str, Any] = {}
        super().__init__(sampler.sample_field)

    def warmup(
        self,
        rng_key: Key,
        *args: Any,
        extra_fields: Sequence[str] = (),
        collect_warmup: bool = False,
        init_params: PyTree = None,
        **kwargs: Any,
    ) -> None:
        """Run the warm-up alone; a following :meth:`run` samples from where it ended.

        :param rng_key: a key.
        :param args: arguments of the model.
        :param extra_fields: fields of the state to collect, with ``collect_warmup``; dots reach into nested states.
        :param collect_warmup: keep the draws of warm-up, for :meth:`get_samples` to return until the next run.
        :param init_params: values to start from (unconstrained, for HMC and NUTS), with a leading axis of chains
            where there are several.
        :param kwargs: keyword arguments of the model.
        """
        self._warmup_state = None
        plan = Plan.thinned(self.num_warmup, self.thinning) if collect_warmup else Plan(self.num_warmup, 0, 1)
        self._run(rng_key, args, kwargs, extra_fields, init_params, [Phase(plan, collect_warmup)])
        self._warmup_state = self._last_state

    def run(
        self,
        rng_key: Key,
        *args: Any,
        extra_fields: Sequence[str] = (),
        init_params: PyTree = None,
        **kwargs: Any,
    ) -> None:
        """Run warm-up, unless :meth:`warmup` has or :attr:`post_warmup_state` was set, and sampling.

        :param rng_key: a key, or a batch of ``num_chains`` keys. Where sampling goes on from an earlier state, the key
            replaces that state's.
        :param args: arguments of the model.
        :param extra_fields: further fields of the state to collect, see the kernel's state; dots reach into nested
            states, as in ``"adapt_state.step_size"``. ``"~z.site"`` leaves a site out of the draws.
        :param init_params: values to start from (unconstrained, for HMC and NUTS; what ``potential_fn`` takes, where
            the kernel has one), with a leading axis of chains where there are several.
        :param kwargs: keyword arguments of the model. For one that has the name of a parameter of this method, give the
            kernel ``functools.partial(model, ...)`` of it.
        :raises RuntimeError: when no starting point with a finite density was found.

        Ctrl-C ends a run after its present chunk, within about a second for all but the slowest models: the draws so
        far are there, equally many of each chain, with a warning that says how many. A second Ctrl-C interrupts at
        once.
        """
        state = self._warmup_state
        num_warmup = self.num_warmup if state is None else self.sampler.remaining_warmup(state)
        phases = [Phase(Plan(num_warmup, 0, 1), False)] if num_warmup else []
        phases.append(Phase(Plan.thinned(self.num_samples, self.thinning), True))
        kept = None
        if self.store is not None:
            import_store()
            kept = Kept(self.store, self._settings(rng_key, extra_fields, phases))
        self._run(rng_key, args, kwargs, extra_fields, init_params, phases, kept)

    @classmethod
    def resume(
        cls,
        path: str | os.PathLike,
        sampler: MCMCKernel,
        *args: Any,
        num_samples: int | None = None,
        init_params: PyTree = None,
        postprocess_fn: Callable[[PyTree], PyTree] | None = None,
        progress_bar: bool | str = True,
        until: Until | None = None,
        time_budget: float | None = None,
        stop_signals: Sequence[signal.Signals] = (signal.SIGINT,),
        **kwargs: Any,
    ) -> MCMC:
        """Go on with a run that was made with ``store=path``, to its end, however it was ended.

        The draws are bit for bit those of a run that was not interrupted, on the same machine and with the same
        versions. Nothing is executed that comes from the store.

        :param path: the store.
        :param sampler: the kernel, of the same model and with the same settings.
        :param args: the arguments of the model, the same as those of the run.
        :param num_samples: go on to so many iterations of sampling, where the run had fewer.
        :param until: a target; by default the one that the run had.
        :param init_params: what the run was given, for kernels that need it for its shapes (those of a
            ``potential_fn``).
        :param kwargs: keyword arguments of the model. For one that has the name of a parameter of this method, such as
            ``num_samples``, give the kernel ``functools.partial(model, num_samples=...)``, here and in the run.
        :returns: an ``MCMC`` with all draws. The other parameters are those of its constructor.
        :raises StoreError: when there is no store, or it is damaged, or of another model, other data or other settings;
            the store is left as it is.

        ::

            mcmc = MCMC(NUTS(model), num_warmup=1000, num_samples=100_000, store="run.zarr")
            mcmc.run(random.key(0), data)                       # ... the machine goes down
            mcmc = MCMC.resume("run.zarr", NUTS(model), data)   # some other day
        """
        store = import_store().RunStore(os.path.expanduser(path))
        settings = RunSettings.from_json(store.about["settings"], store.path)
        if num_samples is not None:
            settings = settings.longer(num_samples)
        mcmc = cls(
            sampler,
            num_warmup=settings.num_warmup,
            num_samples=settings.num_samples,
            num_chains=settings.num_chains,
            thinning=settings.thinning,
            chain_method=settings.chain_method,
            postprocess_fn=postprocess_fn,
            progress_bar=progress_bar,
            until=settings.until if until is None else until,
            time_budget=time_budget,
            stop_signals=stop_signals,
            store=path,
        )
        fields, phases = settings.extra_fields, list(settings.phases)
        mcmc._run(settings.rng_key, args, kwargs, fields, init_params, phases, Kept(store, settings))
        return mcmc

    def _settings(self, rng_key: Key, extra_fields: Sequence[str], phases: list[Phase]) -> RunSettings:
        return RunSettings(
            num_warmup=self.num_warmup,
            num_samples=self.num_samples,
            num_chains=self.num_chains,
            thinning=self.thinning,
            chain_method=self.chain_method,
            extra_fields=tuple(extra_fields),
            rng_key=rng_key,
            phases=tuple(phases),
            until=self.until,
        )

    def _run(
        self,
        rng_key: Key,
        args: tuple,
        kwargs: dict[str, Any],
        extra_fields: Sequence[str],
        init_params: PyTree,
        phases: list[Phase],
        kept: Kept | None = None,
    ) -> None:
        excluded, extra_fields = arguments.split_fields(extra_fields, self._sample_field)
        init_params = arguments.position_of(init_params)
        arguments.require_init_params(init_params, self.num_chains)
        batched_keys = arguments.is_batch_of_keys(rng_key, self.num_chains)
        self._args, self._kwargs = args, kwargs
        self._on_host = False
        run = ChainRun(
            kernel=self.sampler,
            num_warmup=self.num_warmup,
            num_chains=self.num_chains,
            chain_method=self.chain_method,
            postprocess_fn=self.postprocess_fn,
            fields=tuple(dict.fromkeys((self._sample_field, *self.sampler.default_fields, *extra_fields))),
            excluded=excluded,
            schedule=Schedule(tuple(phases)),
            display=Display.of(self.progress_bar, self.progress_rate),
            until=self.until,
            time_budget=self.time_budget,
            stop_signals=self.stop_signals,
            kept=kept,
        )
        with require_run_time_arrays(self._jit_model_args):
            outcome = run(rng_key, batched_keys, args, kwargs, init_params, self._warmup_state)
        self._last_state, self._states = outcome.last_state, outcome.records
        if outcome.error is not None:
            raise outcome.error
        if not outcome.ending.is_well:
            warnings.warn(self._say_how_it_ended(outcome.ending, run.schedule.draws), UserWarning, stacklevel=3)

    def _say_how_it_ended(self, ending: Ending, expected: int) -> str:
        """What a run has, that ended early or missed its target, and how to go on."""
        chains, draws = self._shape_of_draws() or (self.num_chains, 0)
        if ending is Ending.TARGET_MISSED:
            note = f"The run has all num_samples={self.num_samples} draws and has missed its target: {self.until}. "
        else:
            why = "was interrupted" if ending is Ending.INTERRUPTED else f"is out of its {self.time_budget} seconds"
            note = f"The run {why}: it has {draws} of {expected} draws of {chains} of {self.num_chains} chains. "
        if self.store is not None:
            return f"{note}To go on, use MCMC.resume({self.store!r}, ...)."
        return f"{note}To go on, set `post_warmup_state = last_state` and call `run` again."


MCMC.__module__ = "numpyro.infer.mcmc"
