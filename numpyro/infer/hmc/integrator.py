"""The leapfrog integrator of Hamilton's equations."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from numpyro._typing import Array
from numpyro.infer.hmc.metric import MassMatrix, Metric

PotentialAndGrad = Callable[[Array], tuple[Array, Array]]


class PhasePoint(NamedTuple):
    """A point of phase space: position ``z``, momentum ``r``, and the potential with its gradient at ``z``."""

    z: Array
    r: Array
    potential: Array
    grad: Array


def leapfrog(
    potential_and_grad: PotentialAndGrad, metric: Metric, mass: MassMatrix, point: PhasePoint, step_size: Array
) -> PhasePoint:
    """One leapfrog (velocity Verlet) step, volume preserving and reversible, with an error of order ``step_size**3``.

    .. math::

        r_{1/2} = r - \\tfrac{\\epsilon}{2} \\nabla U(z), \\quad
        z' = z + \\epsilon\\, \\frac{\\partial K}{\\partial r}(r_{1/2}), \\quad
        r' = r_{1/2} - \\tfrac{\\epsilon}{2} \\nabla U(z').

    A negative ``step_size`` goes backwards in time. One evaluation of the gradient.
    """
    half = 0.5 * step_size
    r_half = point.r - half * point.grad
    z = point.z + step_size * metric.velocity(mass, r_half)
    potential, grad = potential_and_grad(z)
    return PhasePoint(z, r_half - half * grad, potential, grad)
