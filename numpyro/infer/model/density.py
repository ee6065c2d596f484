"""The log density of a model's trace, and the handlers that run a model at an unconstrained point."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import Array, PyTree
from numpyro.distributions import constraints
from numpyro.distributions._shapes import scale_and_mask, sum_rightmost
from numpyro.distributions.transforms import IdentityTransform, Transform, biject_to
from numpyro.infer.model.bijection import site_bijection
from numpyro.primitives import Messenger, get_mask
from numpyro.primitives.sites import get_mask_in_body
from numpyro.primitives.stack import for_part

Site = dict[str, Any]
"""A message of a sample site, as a trace holds it."""

_SITES = frozenset({"sample", "param", "plate", "mutable", "deterministic"})


def is_latent(site: Site) -> bool:
    """Whether a message is of a random value that is neither observed nor made up for bookkeeping."""
    return site["type"] == "sample" and not site["is_observed"]


def site_log_prob(site: Site) -> Array:
    """The log probability of a sample site's value, scaled, of shape ``fn.batch_shape`` (masked entries are 0)."""
    fn, value, intermediates = site["fn"], site["value"], site["intermediates"]
    log_prob = fn.log_prob(value, intermediates) if intermediates else fn.log_prob(value)
    return scale_and_mask(log_prob, site["scale"])


def check_log_prob_shape(site: Site, log_prob: Array) -> None:
    """Raise where value and distribution of a site broadcast against each other, so that terms are counted many times.

    One side alone may broadcast: observations ``(5,)`` of one scalar distribution are five terms, and so is one
    observation under a batch ``(5,)``. A value ``(5, 1)`` under a batch ``(5,)`` gives 25, where 5 were meant.

    :raises ValueError: where there are more terms than either side has entries.
    """
    fn, value = site["fn"], site["value"]
    batch_shape = tuple(fn.batch_shape)
    value_shape = tuple(jnp.shape(value))
    value_batch = value_shape[: len(value_shape) - fn.event_dim]
    shape = tuple(jnp.shape(log_prob))
    if prod(shape) > max(prod(batch_shape), prod(value_batch)):
        what = "observations" if site["is_observed"] else "values"
        raise ValueError(
            f"Site '{site['name']}': {what} of batch shape {value_batch} and a distribution of batch shape "
            f"{batch_shape} broadcast to {shape}, so that every term of the density would be counted several "
            "times. Give both the same shape (a column of shape (n, 1) is often meant to be (n,)), or put the site in "
            f"plates for all of {shape}."
        )


def trace_log_density(model_trace: dict[str, Site]) -> Array:
    """The sum of the log probabilities of all sample sites of a trace."""
    terms = []
    for site in model_trace.values():
        if site["type"] == "sample":
            log_prob = site_log_prob(site)
            check_log_prob_shape(site, log_prob)
            terms.append(total(log_prob))
    return sum(terms[1:], terms[0]) if terms else jnp.zeros(())


def total(log_prob: Any) -> Array:
    """The sum of all entries, which for a scalar takes no operation."""
    return log_prob if jnp.ndim(log_prob) == 0 else jnp.sum(log_prob)


class AtUnconstrained(Messenger):
    """Runs a model with the values of its latent sites given by unconstrained values.

    :param values: unconstrained values by site name. Sites that are not random take theirs as they are.
    :param constrain_params: params have unconstrained values, too.
    :raises ValueError: (and ``AssertionError``) for a discrete site, or a value of another shape than the site's.

    Afterwards ``log_dets`` holds :math:`\\log|\\det T'(z)|` by site where it is not 0, of the batch shape of the site.
    It is scaled and masked as the log probability of the site is, being part of the density of the unconstrained value.
    """

    scales_log_dets = True

    def __init__(
        self,
        fn: Callable | None = None,
        values: Mapping[str, PyTree] | None = None,
        constrain_params: bool = False,
    ) -> None:
        self.values = values or {}
        self.constrain_params = constrain_params
        self.log_dets: dict[str, Array] = {}
        super().__init__(fn)

    def process_message(self, msg: Site) -> None:
        if self.enters_body(msg):
            if "_log_det" in msg and self._steps:
                msg["_log_det"] = scale_and_mask(msg["_log_det"], None, for_part(msg, get_mask_in_body()))
            elif "_log_det" in msg:
                self._record(msg, msg["_log_det"])
            return
        if msg["type"] not in _SITES or msg["name"] not in self.values:
            return
        unconstrained = self.values[msg["name"]]
        if is_latent(msg) and msg["value"] is None:
            msg["value"] = self._latent(msg, unconstrained)
        elif msg["type"] == "param" and self.constrain_params:
            transform = biject_to(msg["kwargs"].get("constraint", constraints.real))
            msg["value"] = jax.tree.map(transform, unconstrained)
        elif msg["type"] != "sample":
            msg["value"] = self._here(msg, unconstrained)

    def in_body(self, step: Any) -> Messenger:
        return self._at(step)

    def values_along_steps(self) -> Mapping[str, PyTree]:
        return self.values

    def _latent(self, msg: Site, unconstrained: Any) -> Any:
        name, fn = msg["name"], msg["fn"]
        if fn.is_discrete:
            raise UsageError(f"Continuous inference cannot handle discrete sample site '{name}' ({type(fn).__name__}).")
        transform = site_bijection(msg)
        if self._steps:  # a latent site in loops has a value for each step
            ndim = np.ndim(unconstrained) - len(self._steps)
            unconstrained = self._steps[-1].slice(unconstrained, ndim, self._steps, name)
        self._check_shape(msg, np.shape(unconstrained), transform)
        value, intermediates = transform.call_with_intermediates(unconstrained)
        if not isinstance(transform, IdentityTransform):
            log_det = transform.log_abs_det_jacobian(unconstrained, value, intermediates)
            log_det = sum_rightmost(log_det, jnp.ndim(log_det) - jnp.ndim(value) + fn.event_dim)
            if self._steps:
                # That of all steps is recorded when the site leaves the loop.
                msg["_log_det"] = scale_and_mask(log_det, None, get_mask_in_body())
            else:
                self._record(msg, log_det)
        return value

    def _record(self, msg: Site, log_det: Array) -> None:
        scale = msg["scale"] if self.scales_log_dets else None
        self.log_dets[msg["name"]] = scale_and_mask(log_det, scale, for_part(msg, get_mask()))

    def _check_shape(self, msg: Site, shape: tuple[int, ...], transform: Transform) -> None:
        fn = msg["fn"]
        expected = tuple(transform.inverse_shape(fn.shape(msg["kwargs"]["sample_shape"])))
        if shape != expected:
            raise UsageError(
                f"The unconstrained value of site '{msg['name']}' ({type(fn).__name__}) must have shape {expected}, "
                f"but has shape {shape}. For a batch of values use jax.vmap."
            )


class AtUnconstrainedEnumerated(AtUnconstrained):
    """The same for a model with enumerated sites, on which the distribution of a latent site may depend.

    The value has the shape that it has without enumeration, and broadcasts with its distribution. Scales are left to
    the sum over the enumerated sites.
    """

    scales_log_dets = False

    def _check_shape(self, msg: Site, shape: tuple[int, ...], transform: Transform) -> None:
        fn = msg["fn"]
        expected = tuple(transform.inverse_shape(fn.shape(msg["kwargs"]["sample_shape"])))
        event = tuple(transform.inverse_shape(fn.event_shape))
        batch = shape[: len(shape) - len(event)]
        full = expected[: len(expected) - len(event)]
        broadcasts = len(batch) <= len(full) and all(n in (1, m) for n, m in zip(batch[::-1], full[::-1], strict=False))
        if shape[len(shape) - len(event) :] != event or not broadcasts:
            super()._check_shape(msg, shape, transform)


class ToUnconstrained(Messenger):
    """Runs a model and records, by name, the unconstrained value of each latent site of continuous support."""

    def __init__(self, fn: Callable | None = None) -> None:
        self.values: dict[str, Array] = {}
        super().__init__(fn)

    def postprocess_message(self, msg: Site) -> None:
        if is_latent(msg) and not msg["fn"].is_discrete:
            self.values[msg["name"]] = site_bijection(msg)._inverse(msg["value"])


class Prototype(Messenger):
    """Gives latent sites values of the right shape and type without drawing: the image of 0, or a feasible value.

    Afterwards ``given`` holds the names of these sites.
    """

    def __init__(self, fn: Callable | None = None) -> None:
        self.given: set[str] = set()
        super().__init__(fn)

    def process_message(self, msg: Site) -> None:
        if self.enters_body(msg) or not is_latent(msg) or msg["value"] is not None:
            return
        self.given.add(msg["name"])
        fn = msg["fn"]
        shape = fn.shape(msg["kwargs"]["sample_shape"])
        if fn.support is not None and fn.support.is_discrete:
            msg["value"] = fn.support.feasible_like(jnp.zeros(shape, jnp.result_type(int)))
        else:
            transform = site_bijection(msg)
            msg["value"] = transform(jnp.zeros(transform.inverse_shape(shape)))
