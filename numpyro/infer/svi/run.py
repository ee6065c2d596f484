"""One run: its chunks, what looks at them, its file."""

from __future__ import annotations

import signal
import threading
import warnings
from typing import Any, NamedTuple

import numpy as np

from numpyro.infer.mcmc.interrupt import interruptible
from numpyro.infer.svi.batches import BatchChunks
from numpyro.infer.svi.checkpoint import Checkpoint, Saved
from numpyro.infer.svi.diagnosis import NonFiniteError, non_finite_gradients, non_finite_params, non_finite_terms
from numpyro.infer.svi.loop import Chunks, Steps, loop
from numpyro.infer.svi.watch import Callback, Windows
from numpyro.util import find_stack_level

NEVER = 1 << 62


class Options(NamedTuple):
    """What a run looks for, as the arguments of :meth:`SVI.run <numpyro.infer.svi.SVI.run>` of these names."""

    callbacks: tuple[Callback, ...]
    callback_every: int
    keep_best: bool
    stop_at_non_finite: bool

    @property
    def is_watched(self) -> bool:
        """Whether anything is asked for."""
        return bool(self.callbacks) or self.keep_best or self.stop_at_non_finite


class Run:
    """A run of an optimisation.

    :param svi: what is run.
    :param chunks: makes its steps.
    :param arguments: the arguments of all steps, where these take no batches.
    :param options: what to look for.
    :param file: where to write it to.
    """

    def __init__(
        self, svi: Any, chunks: Chunks, arguments: tuple[tuple, dict], options: Options, file: Checkpoint | None
    ) -> None:
        self._svi, self._chunks, self._arguments = svi, chunks, arguments
        self._options, self._file = options, file
        in_windows = bool(options.callbacks) or options.keep_best
        self.every = options.callback_every if in_windows else NEVER
        self._windows = Windows(svi.get_params, options.callbacks, self.every, options.keep_best)
        self._previous: tuple[Any, int] | None = None
        self._ended = False

    def make(self, state: Any, num_steps: int, progress_bar: bool) -> tuple[Any, np.ndarray, Any]:
        """Make the steps that are still to be made.

        :return: the last state, all losses, and the state whose params count.
        """
        if self._file is None and not self._options.is_watched:
            state, losses, stop = self._loop(state, num_steps, progress_bar, None)
        else:
            state, losses, stop = self._watched(state, num_steps, progress_bar)
        if stop.is_set() and len(losses) < num_steps:
            warnings.warn(
                f"The run was interrupted after {len(losses)} of {num_steps} steps. To go on, pass "
                f"{'init_state=result.state' if self._file is None else 'the same checkpoint'}.",
                UserWarning,
                stacklevel=find_stack_level(),
            )
        best = self._windows.best
        return state, losses, best[1] if best is not None and self._options.keep_best else state

    def _loop(
        self, state: Any, num_steps: int, progress_bar: bool, earlier: np.ndarray | None
    ) -> tuple[Any, np.ndarray, threading.Event]:
        stop = threading.Event()
        watch = None if self._file is None and not self._options.is_watched else self
        with interruptible(stop, (signal.SIGINT,)):
            state, losses = loop(self._chunks, state, num_steps, progress_bar, stop, watch, earlier)
        return state, losses, stop

    def _watched(self, state: Any, num_steps: int, progress_bar: bool) -> tuple[Any, np.ndarray, threading.Event]:
        saved = self._file.load(state) if self._file is not None else None
        earlier = None
        if saved is not None:
            state, earlier, self._ended = saved.state, saved.losses, saved.ended
            self._windows.restore(earlier, saved.best)
            if self._ended:
                return state, earlier, threading.Event()
        self._state = state
        try:
            return self._loop(state, num_steps, progress_bar, earlier)
        finally:
            self._save()

    def __call__(self, before: Any, after: Steps, done: int) -> bool:
        if self._options.stop_at_non_finite and not np.isfinite(after.losses).all():
            raise self._error(before, after.losses, done)
        self._previous, self._state = (before, done), after.state
        self._ended = self._windows.add(after.state, after.losses)
        if self._file is not None and self._file.is_due():
            self._save()
        return self._ended

    def _save(self) -> None:
        if self._file is not None:
            self._file.save(Saved(self._state, self._windows.losses, self._windows.best, self._ended))

    def _error(self, before: Any, losses: np.ndarray, done: int) -> NonFiniteError:
        ahead = int(np.argmin(np.isfinite(losses)))
        state, step = self._chunks(before, done, ahead).state, done + ahead
        message = f"The loss of step {step} (counted from 0) is {losses[ahead]}"
        params = non_finite_params(self._svi, state)
        if params:
            message += f": the params {_names(params)} are not finite"
            if step > 0 and (gradients := self._earlier_gradients(before, done, ahead)):
                message += f", since the step before had no finite gradient of the terms of {_names(gradients)}"
        elif terms := non_finite_terms(self._svi, state, *self._arguments_of(step)):
            found = ", ".join(f"'{name}' ({value})" for name, value in terms.items())
            message += f": not finite are the terms of the sites {found}"
        else:
            message += ", though the terms of all sites are finite"
        message += (
            ". The state before it is the `state` of this error. A smaller step size or other initial values may "
            "help; stable_update=True leaves such steps out."
        )
        return NonFiniteError(message, step, state)

    def _earlier_gradients(self, before: Any, done: int, ahead: int) -> list[str]:
        if ahead == 0:
            if self._previous is None:
                return []
            before, start = self._previous
            ahead, done = done - start, start
        state = self._chunks(before, done, ahead - 1).state
        return non_finite_gradients(self._svi, state, *self._arguments_of(done + ahead - 1))

    def _arguments_of(self, step: int) -> tuple[tuple, dict[str, Any]]:
        return self._chunks.arguments(step) if isinstance(self._chunks, BatchChunks) else self._arguments


def _names(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
