"""When a run has enough draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from numpyro._typing import PyTree
from numpyro.diagnostics import bulk_effective_sample_size, rank_normalized_r_hat

FIRST_LOOK, GROWTH = 100, 1.5


@dataclass(frozen=True)
class Until:
    """What a run has to reach before it may stop short of ``num_samples``: all that is given, at every value.

    :param min_bulk_ess: the least bulk effective sample size.
    :param max_r_hat: the largest rank-normalised split R-hat.
    :param sites: the sites that count; by default all latent ones.
    :raises ValueError: when neither is given, or one is out of range.

    The draws are looked at after 100 of each chain and then whenever there are half as many more. Where a run stops
    is a matter of its draws alone: two runs with equal keys stop at the same one.

    >>> Until(min_bulk_ess=400, max_r_hat=1.01)
    Until(min_bulk_ess=400, max_r_hat=1.01, sites=None)

    **Reference:** Vehtari, Gelman, Simpson, Carpenter & Bürkner, *Rank-normalization, folding, and localization: an
    improved R-hat* (2021).
    """

    min_bulk_ess: float | None = None
    max_r_hat: float | None = None
    sites: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.min_bulk_ess is None and self.max_r_hat is None:
            raise ValueError("Until needs a target: `min_bulk_ess`, such as 400, or `max_r_hat`, such as 1.01.")
        if self.min_bulk_ess is not None and not self.min_bulk_ess > 0:
            raise ValueError(f"`min_bulk_ess` must be positive, got {self.min_bulk_ess}.")
        if self.max_r_hat is not None and not self.max_r_hat > 1:
            raise ValueError(f"`max_r_hat` must be greater than 1, got {self.max_r_hat}.")
        if isinstance(self.sites, str):
            raise ValueError(f"`sites` must be a sequence of names, got the string {self.sites!r}.")
        if self.sites is not None:
            object.__setattr__(self, "sites", tuple(self.sites))

    def as_json(self) -> dict[str, Any]:
        """What makes the same target again, as plain JSON."""
        return {
            "min_bulk_ess": None if self.min_bulk_ess is None else float(self.min_bulk_ess),
            "max_r_hat": None if self.max_r_hat is None else float(self.max_r_hat),
            "sites": None if self.sites is None else list(self.sites),
        }

    def looks(self, draws: int) -> Iterator[int]:
        """After how many draws of a chain to look, up to ``draws``."""
        look = FIRST_LOOK
        while look < draws:
            yield look
            look = int(look * GROWTH)
        yield draws

    def is_met(self, draws: PyTree) -> bool:
        """Whether draws, with leading axes of chains and draws, reach the target.

        A value that never changes counts as reached where its chains agree.

        :raises ValueError: when ``sites`` names one that is not drawn.
        """
        if self.sites is not None:
            unknown = [site for site in self.sites if site not in draws]
            if unknown:
                raise ValueError(f"Until: no site {unknown[0]!r} is drawn; there are {sorted(draws)}.")
            draws = {site: draws[site] for site in self.sites}
        return all(self._is_met_by(np.asarray(leaf)) for leaf in jax.tree.leaves(draws))

    def _is_met_by(self, leaf: np.ndarray) -> bool:
        chains, count = leaf.shape[:2]
        values = leaf.reshape(chains, count, -1).astype(np.float64)
        values = values[:, :, (values != values[:1, :1]).any((0, 1))]
        if values.shape[2] == 0:
            return True
        if self.max_r_hat is not None and not np.all(rank_normalized_r_hat(values) <= self.max_r_hat):
            return False
        return self.min_bulk_ess is None or bool(np.all(bulk_effective_sample_size(values) >= self.min_bulk_ess))


Until.__module__ = "numpyro.infer.mcmc"
