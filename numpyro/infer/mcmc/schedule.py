"""What a run does, iteration by iteration, and how that is cut into chunks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from numpyro.infer.mcmc.engine import Plan


class Phase(NamedTuple):
    """A stretch of iterations, and whether its draws are kept."""

    plan: Plan
    keep: bool


@dataclass(frozen=True)
class Schedule:
    """The phases of a run. Everything else follows from how many iterations are done, so a run can go on from there."""

    phases: tuple[Phase, ...]

    @property
    def iterations(self) -> int:
        """All iterations."""
        return sum(phase.plan.iterations for phase in self.phases)

    @property
    def draws(self) -> int:
        """All draws that are kept."""
        return sum(phase.plan.rows for phase in self.phases if phase.keep)

    def chunk(self, done: int, limit: int, rows: int) -> tuple[Plan, bool] | None:
        """The chunk after ``done`` iterations, and whether its draws are kept; ``None`` at the end.

        :param limit: the most iterations that it may have; at least those of one draw are made.
        :param rows: the most draws that it may have.
        """
        for plan, keep in self.phases:
            if done >= plan.iterations:
                done -= plan.iterations
            elif done < plan.skip:
                return Plan(min(plan.skip - done, limit), 0, 1), False
            else:
                left = plan.rows - (done - plan.skip) // plan.thinning
                return Plan(0, min(left, rows, max(1, limit // plan.thinning)), plan.thinning), keep
        return None

    def drawn(self, done: int) -> int:
        """How many draws are kept of the first ``done`` iterations."""
        draws = 0
        for plan, keep in self.phases:
            if keep:
                draws += min(max(done - plan.skip, 0) // plan.thinning, plan.rows)
            done -= plan.iterations
        return draws

    def iterations_for(self, draws: int) -> int:
        """After how many iterations ``draws`` draws are kept; all iterations where there are not so many."""
        iterations = 0
        for plan, keep in self.phases:
            if keep and draws <= plan.rows:
                return iterations + plan.skip + draws * plan.thinning
            draws -= plan.rows if keep else 0
            iterations += plan.iterations
        return iterations
