"""The public face of Markov chain Monte Carlo, in one file because it is one class."""

from __future__ import annotations

import dataclasses
import os
import signal
import warnings
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import Array, Key, PyTree
from numpyro.diagnostics import print_summary
from numpyro.infer.mcmc.driver import Ending
from numpyro.infer.mcmc.engine import Plan
from numpyro.infer.mcmc.kernel import MCMCKernel
from numpyro.infer.mcmc.run import ChainRun, Display, NewStore, import_store
from numpyro.infer.mcmc.schedule import Phase, Schedule
from numpyro.infer.mcmc.settings import thread_settings_as
from numpyro.infer.mcmc.stopping import Until
from numpyro.infer.model.view import require_run_time_arrays
from numpyro.infer.program import in_jit, is_traced
from numpyro.util import is_prng_key

if TYPE_CHECKING:
    from numpyro.infer.mcmc.store import RunStore

CHAIN_METHODS = ("sequential", "parallel", "vectorized")


class MCMC:
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
        if not isinstance(sampler, MCMCKernel):
            raise ValueError(f"`sampler` must be an MCMCKernel, such as NUTS(model), got {type(sampler).__name__}.")
        _require_integer("num_warmup", num_warmup, 0)
        _require_integer("num_samples", num_samples, 1)
        _require_integer("num_chains", num_chains, 1)
        _require_integer("thinning", thinning, 1)
        if num_samples < thinning:
            raise ValueError(f"num_samples must not be less than thinning, got {num_samples} and thinning={thinning}.")
        if progress_rate is not None:
            _require_integer("progress_rate", progress_rate, 1)
        if not callable(chain_method) and chain_method not in CHAIN_METHODS:
            raise ValueError(
                'Only supporting the following methods to draw chains: "sequential", "parallel", or "vectorized", or a '
                f"callable; got {chain_method!r}."
            )
        if isinstance(progress_bar, str) and progress_bar != "one":
            raise ValueError(f"`progress_bar` must be True, False or 'one', got {progress_bar!r}.")
        if until is not None and not isinstance(until, Until):
            raise ValueError(f"`until` must be a target, such as Until(min_bulk_ess=400), got {until!r}.")
        if time_budget is not None and not time_budget > 0:
            raise ValueError(f"`time_budget` must be a positive number of seconds, got {time_budget!r}.")
        if callable(postprocess_fn) is (postprocess_fn is None):
            raise TypeError(f"`postprocess_fn` must be a function, got {type(postprocess_fn).__name__}.")
        self.sampler = sampler
        self.num_warmup, self.num_samples = int(num_warmup), int(num_samples)
        self.num_chains, self.thinning = int(num_chains), int(thinning)
        self.postprocess_fn = postprocess_fn
        self.chain_method = chain_method
        self.progress_bar, self.progress_rate = progress_bar, progress_rate
        self._jit_model_args = jit_model_args
        self.until, self.time_budget = until, time_budget
        self.stop_signals = _as_signals(stop_signals)
        if store is not None and callable(chain_method):
            raise ValueError("`store` needs chains that advance in pieces: chain_method must not be a function.")
        self.store = None if store is None else os.path.abspath(os.path.expanduser(store))
        self._sample_field = sampler.sample_field
        self._args: tuple = ()
        self._kwargs: dict[str, Any] = {}
        self._states: Mapping[str, PyTree] | None = None
        self._last_state: PyTree = None
        self._warmup_state: PyTree = None
        self._on_host = False

    # Running

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
        :param kwargs: keyword arguments of the model.
        :raises RuntimeError: when no starting point with a finite density was found.

        Ctrl-C ends a run after its present chunk, within about a second for all but the slowest models: the draws so
        far are there, equally many of each chain, with a warning that says how many. A second Ctrl-C interrupts at
        once.
        """
        state = self._warmup_state
        num_warmup = self.num_warmup if state is None else self.sampler.remaining_warmup(state)
        phases = [Phase(Plan(num_warmup, 0, 1), False)] if num_warmup else []
        phases.append(Phase(Plan.thinned(self.num_samples, self.thinning), True))
        store = None
        if self.store is not None:
            import_store()
            self._check_key(rng_key)
            if is_traced((rng_key, args, kwargs)) or in_jit():
                raise UsageError("`store` needs concrete draws: it cannot be used inside jit, vmap or grad.")
            store = NewStore(self.store, self._settings(rng_key, extra_fields, phases))
        self._run(rng_key, args, kwargs, extra_fields, init_params, phases, store)

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
        :param kwargs: keyword arguments of the model.
        :returns: an ``MCMC`` with all draws. The other parameters are those of its constructor.
        :raises StoreError: when there is no store, or it is damaged, or of another model, other data or other settings;
            the store is left as it is.

        ::

            mcmc = MCMC(NUTS(model), num_warmup=1000, num_samples=100_000, store="run.zarr")
            mcmc.run(random.key(0), data)                       # ... the machine goes down
            mcmc = MCMC.resume("run.zarr", NUTS(model), data)   # some other day
        """
        store = import_store().RunStore(os.path.expanduser(path))
        settings = store.about["settings"]
        if until is None and settings["until"] is not None:
            until = Until(**settings["until"])
        mcmc = cls(
            sampler,
            **{
                name: settings[name] for name in ("num_warmup", "num_samples", "num_chains", "thinning", "chain_method")
            },
            postprocess_fn=postprocess_fn,
            progress_bar=progress_bar,
            until=until,
            time_budget=time_budget,
            stop_signals=stop_signals,
            store=path,
        )
        phases = [Phase(Plan(*plan), keep) for plan, keep in settings["phases"]]
        if num_samples is not None:
            longer = Plan.thinned(num_samples, mcmc.thinning)
            if longer.rows < phases[-1].plan.rows or longer.skip != phases[-1].plan.skip:
                raise ValueError(
                    f"num_samples must not be less than the run's {mcmc.num_samples}, and differ from it by a multiple "
                    f"of thinning={mcmc.thinning}; got {num_samples}."
                )
            mcmc.num_samples, phases[-1] = num_samples, Phase(longer, True)
            settings |= {"num_samples": num_samples, "phases": _as_json(phases)}
        words, impl = np.array(settings["rng_key"], np.uint32), settings["key_impl"]
        rng_key = jnp.asarray(words) if impl is None else jax.random.wrap_key_data(jnp.asarray(words), impl=impl)
        mcmc._run(rng_key, args, kwargs, settings["extra_fields"], init_params, phases, store)
        return mcmc

    def _settings(self, rng_key: Key, extra_fields: Sequence[str], phases: list[Phase]) -> dict[str, Any]:
        """What :meth:`resume` needs to know of a run beside its state; plain JSON."""
        typed = jax.dtypes.issubdtype(rng_key.dtype, jax.dtypes.prng_key)
        return {
            "num_warmup": self.num_warmup,
            "num_samples": self.num_samples,
            "num_chains": self.num_chains,
            "thinning": self.thinning,
            "chain_method": self.chain_method,
            "extra_fields": list(extra_fields),
            "rng_key": np.asarray(jax.random.key_data(rng_key)).tolist(),
            "key_impl": str(jax.random.key_impl(rng_key)) if typed else None,
            "phases": _as_json(phases),
            "until": None if self.until is None else dataclasses.asdict(self.until),
        }

    def _run(
        self,
        rng_key: Key,
        args: tuple,
        kwargs: dict[str, Any],
        extra_fields: Sequence[str],
        init_params: PyTree,
        phases: list[Phase],
        store: NewStore | RunStore | None = None,
    ) -> None:
        if isinstance(extra_fields, str) or not all(isinstance(field, str) for field in extra_fields):
            raise ValueError("`extra_fields` must be a sequence of names of fields, such as ('potential_energy',).")
        self._args, self._kwargs = args, kwargs
        self._on_host = False
        self._check_init_params(init_params)
        batched_keys = self._check_key(rng_key)
        excluded, extra_fields = self._excluded_sites(extra_fields)
        fields = tuple(dict.fromkeys((self._sample_field, *self.sampler.default_fields, *extra_fields)))
        run = ChainRun(
            kernel=self.sampler,
            num_warmup=self.num_warmup,
            num_chains=self.num_chains,
            chain_method=self.chain_method,
            postprocess_fn=self.postprocess_fn,
            fields=fields,
            excluded=excluded,
            schedule=Schedule(tuple(phases)),
            display=Display(self._bars(), self.progress_rate),
            until=self.until,
            time_budget=self.time_budget,
            stop_signals=self.stop_signals,
            store=store,
        )
        with require_run_time_arrays(self._jit_model_args):
            outcome = run(rng_key, batched_keys, args, kwargs, init_params, self._warmup_state)
        self._last_state, self._states = outcome.last_state, outcome.records
        if outcome.error is not None:
            raise outcome.error
        self._say_how_it_ended(outcome.ending, run.schedule.draws)

    def _say_how_it_ended(self, ending: Ending, expected: int) -> None:
        """Warn where a run ended early, or its target was not reached."""
        if ending in (Ending.COMPLETE, Ending.TARGET_REACHED):
            return
        chains, draws = self._shape_of_draws()
        if ending is Ending.TARGET_MISSED:
            note = f"The run has all num_samples={self.num_samples} draws and has missed its target: {self.until}. "
        else:
            why = "was interrupted" if ending is Ending.INTERRUPTED else f"is out of its {self.time_budget} seconds"
            note = f"The run {why}: it has {draws} of {expected} draws of {chains} of {self.num_chains} chains. "
        remedy = "To go on, set `post_warmup_state = last_state` and call `run` again."
        if self.store is not None:
            remedy = f"To go on, use MCMC.resume({str(self.store)!r}, ...)."
        warnings.warn(note + remedy, UserWarning, stacklevel=4)

    def _shape_of_draws(self) -> tuple[int, int]:
        """The chains and the draws of each that there are."""
        if not self._states:
            return self.num_chains, 0
        return jax.tree.leaves(self._states[self._sample_field])[0].shape[:2]

    def _excluded_sites(self, extra_fields: Sequence[str]) -> tuple[frozenset[str], list[str]]:
        """The sites that are not to be collected, named as in ``"~z.site"``, and the other fields."""
        prefix = f"~{self._sample_field}."
        wrong = [field for field in extra_fields if field.startswith("~") and not field.startswith(prefix)]
        if wrong:
            raise ValueError(f"extra field '{wrong[0]}': a site to be left out is named as in '{prefix}site'.")
        excluded = frozenset(field.removeprefix(prefix) for field in extra_fields if field.startswith(prefix))
        return excluded, [field for field in extra_fields if not field.startswith("~")]

    def _bars(self) -> str | None:
        """Which bars to show, if any."""
        if self.progress_bar == "one":
            return "one"
        return "chains" if self.progress_bar else None

    def _check_key(self, rng_key: Key) -> bool:
        """Whether ``rng_key`` is a batch of keys, one a chain."""
        if is_prng_key(rng_key):
            return False
        shape = np.shape(rng_key)
        typed = hasattr(rng_key, "dtype") and jax.dtypes.issubdtype(rng_key.dtype, jax.dtypes.prng_key)
        if hasattr(rng_key, "dtype") and (typed or (len(shape) == 2 and rng_key.dtype == np.uint32)):
            if len(shape) == (1 if typed else 2) and shape[0] == self.num_chains:
                return True
            raise ValueError(
                f"`rng_key` must be one key or a batch of num_chains={self.num_chains} keys, got a batch of shape "
                f"{shape}."
            )
        raise ValueError(
            f"`rng_key` must be a key, such as jax.random.key(0), or a batch of num_chains keys; got {rng_key!r}."
        )

    def _check_init_params(self, init_params: PyTree) -> None:
        if init_params is None or self.num_chains == 1:
            return
        for leaf in jax.tree.leaves(init_params):
            if np.ndim(leaf) == 0 or np.shape(leaf)[0] != self.num_chains:
                raise ValueError(
                    "`init_params` must have the same leading dimension as `num_chains`: expected leaves of shape "
                    f"({self.num_chains}, ...), got {np.shape(leaf)}."
                )

    # What was drawn

    @property
    def last_state(self) -> PyTree:
        """The state at the end of the last :meth:`run` or :meth:`warmup`; several chains have a leading axis."""
        return self._last_state

    @property
    def post_warmup_state(self) -> PyTree:
        """The state from which :meth:`run` samples without a warm-up of its own.

        :meth:`warmup` sets it; set it to :attr:`last_state` to go on where a run ended::

            mcmc.run(random.key(0))
            first_draws = mcmc.get_samples()
            mcmc.post_warmup_state = mcmc.last_state
            mcmc.run(mcmc.post_warmup_state.rng_key)
        """
        return self._warmup_state

    @post_warmup_state.setter
    def post_warmup_state(self, state: PyTree) -> None:
        self._warmup_state = state

    def get_samples(self, group_by_chain: bool = False) -> PyTree:
        """The draws: a pytree like one draw, each leaf with a leading axis of draws.

        :param group_by_chain: keep two leading axes, chains and draws, rather than one for both.
        :raises UsageError: before any run.
        """
        return self._arrange(self._drawn("get_samples")[self._sample_field], group_by_chain)

    def get_extra_fields(self, group_by_chain: bool = False) -> dict[str, PyTree]:
        """What was collected beside the draws, by name of the field; see :meth:`get_samples`."""
        states = self._drawn("get_extra_fields")
        extra = {name: states[name] for name in states if name != self._sample_field}
        return self._arrange(extra, group_by_chain)

    def _drawn(self, method: str) -> Mapping[str, PyTree]:
        if self._states is None:
            raise UsageError(f"`run` must be called before `{method}`.")
        if not self._states:
            raise UsageError(
                f"`{method}` has no draws: the last call was `warmup` without collect_warmup=True, or the run ended in "
                "its warm-up, by an interrupt or for want of time."
            )
        return self._states

    def print_summary(self, prob: float = 0.9, exclude_deterministic: bool = True) -> None:
        """Print mean, deviation, median, credible interval, effective sample size and split r_hat of every site.

        :param prob: the probability mass of the credible interval.
        :param exclude_deterministic: leave deterministic sites out.
        """
        states = self._drawn("print_summary")
        sites = states[self._sample_field]
        if isinstance(sites, dict) and exclude_deterministic:
            position = attrgetter(self._sample_field)(self._last_state)
            if isinstance(position, dict):
                sites = {name: site for name, site in sites.items() if name in position}
        print_summary(sites, prob=prob)
        if "diverging" in states:
            print(f"Number of divergences: {int(np.sum(np.asarray(states['diverging'])))}")

    def transfer_states_to_host(self) -> None:
        """Give draws as NumPy arrays from now on, until the next run.

        They are in host memory anyway; without this call, :meth:`get_samples` and :meth:`get_extra_fields` place them
        on the device.
        """
        self._on_host = True

    def _arrange(self, tree: PyTree, group_by_chain: bool) -> PyTree:
        arranged = _flatten_chains(tree, group_by_chain)
        return arranged if self._on_host else _to_device(arranged)


def _as_signals(stop_signals: Any) -> tuple[signal.Signals, ...]:
    try:
        signals = tuple(signal.Signals(number) for number in stop_signals)
    except (TypeError, ValueError):
        signals = (signal.SIGKILL,)
    if {signal.SIGKILL, signal.SIGSTOP} & set(signals):
        raise ValueError(
            "`stop_signals` must be a sequence of signals that can be listened to, such as (signal.SIGINT, "
            f"signal.SIGTERM), got {stop_signals!r}."
        )
    return signals


def _as_json(phases: list[Phase]) -> list[list[Any]]:
    return [[list(phase.plan), phase.keep] for phase in phases]


def _flatten_chains(tree: PyTree, group_by_chain: bool) -> PyTree:
    if group_by_chain:
        return tree
    return jax.tree.map(lambda leaf: leaf.reshape((leaf.shape[0] * leaf.shape[1], *leaf.shape[2:])), tree)


def _to_device(tree: PyTree) -> PyTree:
    def place(leaf: Any) -> Array:
        is_wide = isinstance(leaf, np.ndarray) and leaf.dtype.itemsize == 8
        # Draws of a run in double precision stay so, wherever they are asked for.
        with thread_settings_as({"enable_x64": True} if is_wide else {}):
            return jnp.asarray(leaf)

    return jax.tree.map(place, tree)


def _require_integer(name: str, value: Any, least: int) -> None:
    kind = {0: "nonnegative", 1: "positive"}[least]
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} must be a {kind} integer, got {value!r}.")


MCMC.__module__ = "numpyro.infer.mcmc"
