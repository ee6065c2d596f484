"""What looks at a run while it goes on: callbacks, rules to end it, the best params so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import PyTree


@dataclass(frozen=True)
class SVIProgress:
    """How far a run is, for callbacks.

    :param step: the number of steps done.
    :param losses: their losses, an array of shape ``(step,)``.
    :param means: the mean losses of each ``callback_every`` steps, an array.
    :param state: the state of the optimisation.
    """

    step: int
    losses: np.ndarray
    means: np.ndarray
    state: Any
    _get_params: Callable[[Any], dict[str, PyTree]]

    @property
    def params(self) -> dict[str, PyTree]:
        """The (constrained) params, by name."""
        return self._get_params(self.state)


Callback = Callable[[SVIProgress], Any]


@dataclass(frozen=True)
class EarlyStopping:
    """A callback that ends a run which no longer gains.

    The mean loss of each ``callback_every`` steps is a gain if it is lower by more than ``min_delta`` than that of the
    latest gain; the first one is a gain. The run ends when ``patience`` means in a row were none. It is a matter of the
    losses alone: equal runs end at the same step.

    :param patience: how many means may bring no gain; 10 by default.
    :param min_delta: the least gain that counts; 0 by default.

    >>> EarlyStopping(patience=5)
    EarlyStopping(patience=5, min_delta=0.0)
    """

    patience: int = 10
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.patience, bool) or not isinstance(self.patience, (int, np.integer)) or self.patience < 1:
            raise UsageError(f"`patience` must be a positive integer, got {self.patience!r}.")
        if not self.min_delta >= 0:
            raise UsageError(f"`min_delta` must not be negative, got {self.min_delta!r}.")

    def __call__(self, progress: SVIProgress) -> bool:
        means = progress.means
        if len(means) <= self.patience:
            return False
        lowest, since = np.inf, 0
        for mean in means:
            gained = mean < lowest - self.min_delta
            lowest, since = (mean, 0) if gained else (lowest, since + 1)
        return since >= self.patience


class Windows:
    """Looks at a run after every ``every`` steps: keeps the best params, calls callbacks.

    :param get_params: the params of a state.
    :param callbacks: called in turn; one that returns ``True`` ends the run.
    :param every: the number of steps between calls.
    :param keep_best: keep the state after the window with the lowest mean loss.
    """

    def __init__(self, get_params: Callable, callbacks: Sequence[Callback], every: int, keep_best: bool) -> None:
        self._get_params, self._callbacks = get_params, callbacks
        self.every, self._keep_best = every, keep_best
        self._losses: list[np.ndarray] = []
        self._means: list[float] = []
        self._step = self._filled = 0
        self._window: list[np.ndarray] = []
        self.best: tuple[float, Any] | None = None

    def restore(self, losses: np.ndarray, best: tuple[float, Any] | None) -> None:
        """Go on after steps that were made before."""
        self.best = best
        for start in range(0, len(losses), self.every):
            self._take(losses[start : start + self.every])

    def _take(self, losses: np.ndarray) -> None:
        self._losses.append(losses)
        self._window.append(losses)
        self._step += len(losses)
        if len(losses) and self._step % self.every == 0:
            self._means.append(float(np.mean(np.concatenate(self._window), dtype=np.float64)))
            self._window = []

    @property
    def losses(self) -> np.ndarray:
        """The losses of all steps."""
        self._losses = [np.concatenate(self._losses)] if self._losses else []
        return self._losses[0] if self._losses else np.zeros(0, np.float32)

    def add(self, state: Any, losses: np.ndarray) -> bool:
        """Take up the losses of a chunk, which left ``state``; whether the run ends."""
        self._take(losses)
        if not len(losses) or self._step % self.every:
            return False
        if self._keep_best and (self.best is None or self._means[-1] < self.best[0]) and np.isfinite(self._means[-1]):
            self.best = self._means[-1], state
        if not self._callbacks:
            return False
        progress = SVIProgress(self._step, self.losses, np.array(self._means), state, self._get_params)
        answers = [callback(progress) for callback in self._callbacks]
        return any(isinstance(answer, (bool, np.bool_)) and bool(answer) for answer in answers)


def as_callbacks(callbacks: Callback | Sequence[Callback], every: int) -> tuple[Callback, ...]:
    """Checked callbacks.

    :raises TypeError: where one is no function.
    :raises ValueError: where ``every`` is no positive integer.
    """
    found = (callbacks,) if callable(callbacks) else tuple(callbacks)
    for callback in found:
        if not callable(callback):
            raise TypeError(f"`callbacks` must be functions of the progress of a run, got {callback!r}.")
    if isinstance(every, bool) or not isinstance(every, (int, np.integer)) or every < 1:
        raise UsageError(f"`callback_every` must be a positive integer, got {every!r}.")
    return found


for _class in (SVIProgress, EarlyStopping):
    _class.__module__ = "numpyro.infer.svi"
