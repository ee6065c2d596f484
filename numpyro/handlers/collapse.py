"""Sum discrete latent variables out of a part of a model."""

from __future__ import annotations

from collections import OrderedDict
from types import TracebackType
from typing import Any

import jax.numpy as jnp

from numpyro._errors import UsageError
from numpyro.enumeration import ENUMERATED, enum, is_enumerable, marginal_problem
from numpyro.handlers.condition import condition
from numpyro.handlers.replay import replay
from numpyro.handlers.substitute import substitute
from numpyro.handlers.trace import trace
from numpyro.ops.sum_product import eliminate
from numpyro.primitives import factor, plate
from numpyro.primitives.stack import _PYRO_STACK

# Dimensions for plates that are opened within the context.
_ROOM = 6


class collapse(trace):
    """Sum the discrete latent sites of a context out of the model exactly.

    Latent sites of finite support within the context get all values of their support at once, as under enumeration (see
    :class:`numpyro.contrib.funsor.enum`). When the context ends, they and the observed sites that depend on them are
    replaced by one factor, the logarithm of the sum over all assignments, plate by plate. So any inference can do with
    the model: the sites are gone. Sites that a handler gives a value, and all other sites, stay as they are. Where an
    inference sums discrete sites out itself, the context leaves that to it.

    :param fn: the model.
    :raises ValueError: when the context ends, where the sum cannot be done exactly within the plates; and where a
        latent site that is not summed out depends on one that is.

    Entering the handler returns the record of the sites that were summed out and of those that depended on them.

    >>> import numpyro, numpyro.distributions as dist
    >>> def model():
    ...     with collapse():
    ...         z = numpyro.sample("z", dist.Bernoulli(0.5))
    ...         numpyro.sample("x", dist.Bernoulli(0.2 + 0.6 * z), obs=1)
    >>> sites = trace(model).get_trace()
    >>> list(sites), round(float(sites["_collapsed_z"]["fn"].log_factor), 4)
    (['_collapsed_z'], -0.6931)
    """

    __module__ = "numpyro.handlers"

    def __enter__(self) -> OrderedDict[str, Any]:
        handlers = list(_PYRO_STACK.handlers)
        self._is_left_to_inference = any(isinstance(handler, enum) for handler in handlers)
        self._plates = [handler for handler in handlers if isinstance(handler, plate)]
        self._givers = [handler for handler in handlers if isinstance(handler, substitute | condition | replay)]
        depth = max((-handler.dim for handler in self._plates), default=0)
        self._enum = _Alone(first_available_dim=-1 - depth - _ROOM)
        return super().__enter__()

    def process_message(self, msg: Any) -> None:
        if msg["type"] != "sample" or msg.get("_control_flow_done"):
            return
        if self._is_left_to_inference:
            if is_enumerable(msg) and msg["value"] is None:
                msg["infer"].setdefault("enumerate", "parallel")
            return
        if is_enumerable(msg) and msg["value"] is None:
            for handler in reversed(self._givers):
                handler.process_message(msg)
            if msg["value"] is not None:
                return
            self._enter_plates(msg)
            msg["infer"]["enumerate"] = "parallel"
            self._enum.process_message(msg)
        elif self._depends(msg):
            if not msg["is_observed"]:
                raise UsageError(
                    f"The latent site '{msg['name']}' ({type(msg['fn']).__name__}) depends on sites that the context "
                    "of collapse sums out, so that it would have to be summed with them: declare it outside of the "
                    "context, before them."
                )
            self._enter_plates(msg)
        else:
            return
        msg["stop"] = True

    def postprocess_message(self, msg: Any) -> None:
        if msg["type"] == "plate" or (msg["type"] == "sample" and msg.get("stop")):
            self._enum.postprocess_message(msg)
            super().postprocess_message(msg)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        super().__exit__(exc_type, exc_value, traceback)
        names = [name for name, site in self.trace.items() if ENUMERATED in site.get("infer", {})]
        if exc_type is not None or not names:
            return
        sites = {**self.trace, **{p.name: {"type": "plate", "args": (p.size, p.subsample_size)} for p in self._plates}}
        solution = eliminate(marginal_problem(sites, kept=[p.name for p in self._plates]))
        dims = {p.name: p.dim for p in self._plates}
        total: Any = 0.0
        for term in solution.terms:
            order = sorted(term.log.names, key=lambda name: dims[name])
            shape = [1] * max((-dims[name] for name in order), default=0)
            for name in order:
                shape[dims[name]] = term.log.sizes[name]
            total = total + jnp.reshape(term.log.aligned(order), shape)
        factor(f"_collapsed_{'_'.join(names)}", total)

    def _enter_plates(self, msg: Any) -> None:
        """What the plates around do to a site that they do not see. Scales and masks act on the factor."""
        for handler in reversed(self._plates):
            handler.process_message(msg)

    def _depends(self, msg: Any) -> bool:
        """Whether a site has dimensions of those that were summed out."""
        first = self._enum.first_available_dim
        value_shape = jnp.shape(msg["value"]) if msg["value"] is not None else ()
        value_batch = value_shape[: max(len(value_shape) - msg["fn"].event_dim, 0)]
        shapes = (msg["fn"].batch_shape, value_batch)
        return any(size != 1 for shape in shapes for size in shape[: max(0, len(shape) + first + 1)])


class _Alone(enum):
    """Enumerates the sites that it is handed, wherever it stands."""

    def __init__(self, first_available_dim: int) -> None:
        super().__init__(first_available_dim=first_available_dim)

    def _is_at_work(self) -> bool:
        return True
