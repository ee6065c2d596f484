"""What a run has left: draws, and the state that its chains are in."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter

import jax
import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import PyTree
from numpyro.diagnostics import print_summary
from numpyro.infer.mcmc.chains import merge_chains, to_device


class Results:
    """Access to what was drawn by name of the field, with two leading axes, chains and draws.

    :param sample_field: the field of the state that holds the draw.
    """

    def __init__(self, sample_field: str) -> None:
        self._sample_field = sample_field
        self._states: Mapping[str, PyTree] | None = None
        self._last_state: PyTree = None
        self._warmup_state: PyTree = None
        self._on_host = False

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
        arranged = tree if group_by_chain else merge_chains(tree)
        return arranged if self._on_host else to_device(arranged)

    def _shape_of_draws(self) -> tuple[int, int] | None:
        """The chains and the draws of each, where there are any."""
        if not self._states:
            return None
        return jax.tree.leaves(self._states[self._sample_field])[0].shape[:2]
