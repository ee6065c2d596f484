"""Steps that take a batch of data each, from a function of the step or an iterator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import Any

import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import PyTree
from numpyro.infer.model.arguments import Arguments
from numpyro.infer.svi.loop import Step, Steps, compile_step

MakeStep = Callable[[Arguments], Step]


def is_source(data: Any) -> bool:
    """Whether something gives batches: a function or an iterator, as opposed to data themselves."""
    return callable(data) or hasattr(data, "__next__")


class Batches:
    """The arguments of the model at each step.

    :param source: a function of the number of steps done that returns a batch, or an iterator over batches.
    :param args: positional arguments that come before those of a batch.
    :param kwargs: keyword arguments of all steps.
    """

    def __init__(self, source: Callable[[int], Any] | Iterator[Any], args: tuple, kwargs: dict[str, Any]) -> None:
        self._args, self._kwargs = args, kwargs
        self._position = 0
        if callable(source) and not hasattr(source, "__next__"):
            self._function: Callable[[int], Any] | None = source
            self.first = self._arguments(source(0))
            return
        self._function = None
        first = next(source, _NONE)  # type: ignore[arg-type]
        if first is _NONE:
            raise UsageError("`data` has no batch: an iterator that was used up before? Make a new one for each run.")
        self.first = self._arguments(first)
        self._iterator = chain([first], source)  # type: ignore[arg-type]

    def take(self, start: int, count: int) -> list[tuple[tuple, dict[str, Any]]]:
        """The arguments of the steps ``start``, ..., fewer than ``count`` where an iterator ends."""
        if self._function is not None:
            return [self._arguments(self._function(step)) for step in range(start, start + count)]
        found = list(islice(self._iterator, start - self._position, start - self._position + count))
        self._position = start + len(found)
        return [self._arguments(batch) for batch in found]

    def _arguments(self, batch: Any) -> tuple[tuple, dict[str, Any]]:
        if isinstance(batch, dict):
            return self._args, {**self._kwargs, **batch}
        return (*self._args, *(batch if isinstance(batch, tuple) else (batch,))), self._kwargs


_NONE = object()


class BatchChunks:
    """Chunks of steps that take a batch each. Steps are sent off one by one and waited for at the end of a chunk.

    :param batches: the batches.
    :param make_step: a step, given the arguments of model and guide.
    """

    def __init__(self, batches: Batches, make_step: MakeStep) -> None:
        self._batches, self._make_step = batches, make_step
        self._steps: dict[Any, Step] = {}
        self._recent: list[tuple[int, list[tuple[tuple, dict[str, Any]]]]] = []

    def __call__(self, state: PyTree, done: int, count: int) -> Steps:
        batches = next((batches for start, batches in self._recent if start == done and count <= len(batches)), None)
        if batches is None:  # else it is a part of a recent chunk, made once more
            batches = self._batches.take(done, count)
            self._recent = [*self._recent[-1:], (done, batches)]
        losses = []
        for args, kwargs in batches[:count]:
            arguments = Arguments.split(args, kwargs)
            state, loss = self._step(arguments, state)(state, arguments.arrays)
            losses.append(loss)
        return Steps(state, np.array([np.asarray(loss) for loss in losses], losses[0].dtype if losses else np.float32))

    def arguments(self, step: int) -> tuple[tuple, dict[str, Any]]:
        """The arguments of a step of the last two chunks."""
        return next(batches[step - start] for start, batches in self._recent if 0 <= step - start < len(batches))

    def _step(self, arguments: Arguments, state: PyTree) -> Step:
        types = tuple((leaf.shape, str(leaf.dtype)) for leaf in arguments.arrays)
        fixed = tuple((type(leaf), leaf) for leaf in arguments.leaves if leaf is not None)
        key = (types, arguments.is_array, arguments.structure, fixed)
        try:
            known = self._steps.get(key)
        except TypeError:  # no hash
            return self._compiled(arguments, state)
        if known is None:
            known = self._steps[key] = self._compiled(arguments, state)
        return known

    def _compiled(self, arguments: Arguments, state: PyTree) -> Step:
        compiled = compile_step(self._make_step(arguments), state, arguments.arrays)
        if compiled is None:
            raise UsageError("Batches are taken by a Python loop: `data` cannot be used inside of jit, vmap or grad.")
        return compiled.single()
