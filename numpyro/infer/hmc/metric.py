"""The kinetic energy of Hamiltonian Monte Carlo: how momenta are drawn, weighed and turned into velocities.

With the inverse mass matrix :math:`M^{-1}` (an estimate of the posterior covariance), momenta are
:math:`r \\sim N(0, M)`, the kinetic energy is :math:`K(r) = \\frac12 r^\\top M^{-1} r` and the velocity
:math:`\\partial K / \\partial r = M^{-1} r`. A *metric* has these three operations; diagonal, dense, low-rank and block
matrices differ in nothing else that the sampler sees. Metrics are static objects; the matrices themselves are arrays of
the state, a :class:`MassMatrix`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.linalg import solve_triangular

from numpyro._typing import Array, PyTree
from numpyro.infer.adaptation import LowRankMatrix
from numpyro.infer.model.layout import Layout
from numpyro.infer.program import Program, is_traced
from numpyro.ops.summation import pairwise_sum


class MassMatrix(NamedTuple):
    """An inverse mass matrix with factors of the mass matrix.

    For a diagonal matrix all three are vectors. For a dense one ``sqrt`` is the lower triangular :math:`L` with
    :math:`L L^\\top = M` and ``sqrt_inv`` is :math:`L^{-1}`. For one of low rank see :class:`LowRankMetric`. For blocks
    all three are dictionaries by the sites of a block.
    """

    inverse: PyTree
    sqrt: PyTree
    sqrt_inv: PyTree


class Metric(Protocol):
    """What a trajectory needs of a kinetic energy. Momenta and noise are flat vectors."""

    def momentum(self, mass: MassMatrix, noise: Array) -> Array:
        """A momentum :math:`r \\sim N(0, M)` made of standard normal ``noise``."""

    def velocity(self, mass: MassMatrix, r: Array) -> Array:
        """:math:`\\partial K/\\partial r`."""

    def kinetic_energy(self, mass: MassMatrix, r: Array) -> Array:
        """:math:`K(r)`, a scalar."""

    def mass_matrix(self, inverse: PyTree) -> MassMatrix:
        """The mass matrix whose inverse is given."""

    def identity(self, dtype: Any) -> PyTree:
        """The inverse mass matrix to start from."""


@dataclass(frozen=True)
class DiagonalMetric:
    """:math:`M` is diagonal; its parts are vectors of length ``size``."""

    size: int

    def momentum(self, mass: MassMatrix, noise: Array) -> Array:
        return mass.sqrt * noise

    def velocity(self, mass: MassMatrix, r: Array) -> Array:
        return mass.inverse * r

    def kinetic_energy(self, mass: MassMatrix, r: Array) -> Array:
        return 0.5 * pairwise_sum(mass.inverse * r * r)

    def mass_matrix(self, inverse: PyTree) -> MassMatrix:
        sqrt_inv = jnp.sqrt(inverse)
        return MassMatrix(inverse, 1.0 / sqrt_inv, sqrt_inv)

    def identity(self, dtype: Any) -> Array:
        return jnp.ones(self.size, dtype)


@dataclass(frozen=True)
class DenseMetric:
    """:math:`M` is a full matrix of ``size`` rows."""

    size: int

    def momentum(self, mass: MassMatrix, noise: Array) -> Array:
        return mass.sqrt @ noise

    def velocity(self, mass: MassMatrix, r: Array) -> Array:
        return mass.inverse @ r

    def kinetic_energy(self, mass: MassMatrix, r: Array) -> Array:
        return 0.5 * jnp.dot(r, mass.inverse @ r)

    def mass_matrix(self, inverse: PyTree) -> MassMatrix:
        # With rows and columns reversed, Cholesky gives M^-1 = W W^T for an upper triangular W, so M = W^-T W^-1.
        reversed_factor = jnp.linalg.cholesky(inverse[::-1, ::-1])
        sqrt_inv = reversed_factor[::-1, ::-1].T
        identity = jnp.eye(self.size, dtype=inverse.dtype)
        return MassMatrix(inverse, solve_triangular(sqrt_inv, identity, lower=True), sqrt_inv)

    def identity(self, dtype: Any) -> Array:
        return jnp.eye(self.size, dtype=dtype)


@dataclass(frozen=True)
class LowRankMetric:
    """:math:`M` is diagonal but for ``rank`` directions.

    With ``scale`` :math:`s`, ``vectors`` :math:`U` and ``values`` :math:`\\lambda` of each matrix's
    :class:`~numpyro.infer.adaptation.LowRankMatrix`, and
    :math:`P(\\lambda) = I + U (\\operatorname{diag}(\\lambda) - I) U^\\top`,

    - ``inverse`` is :math:`M^{-1} = \\operatorname{diag}(s)\\, P(\\lambda) \\operatorname{diag}(s)`;
    - ``sqrt`` is :math:`F = \\operatorname{diag}(s)\\, P(\\lambda)` with :math:`F F^\\top = M`;
    - ``sqrt_inv`` is :math:`F^{-1} = P(\\lambda) \\operatorname{diag}(s)`.

    All operations cost :math:`O(D k)`.
    """

    size: int
    rank: int

    def momentum(self, mass: MassMatrix, noise: Array) -> Array:
        return mass.sqrt.scale * _stretch(mass.sqrt, noise)

    def velocity(self, mass: MassMatrix, r: Array) -> Array:
        return mass.inverse.scale * _stretch(mass.inverse, mass.inverse.scale * r)

    def kinetic_energy(self, mass: MassMatrix, r: Array) -> Array:
        return 0.5 * jnp.dot(r, self.velocity(mass, r))

    def mass_matrix(self, inverse: LowRankMatrix) -> MassMatrix:
        root = jnp.sqrt(inverse.values)
        sqrt = LowRankMatrix(1.0 / inverse.scale, inverse.vectors, 1.0 / root)
        return MassMatrix(inverse, sqrt, inverse._replace(values=root))

    def identity(self, dtype: Any) -> LowRankMatrix:
        one = jnp.ones(self.size, dtype)
        return LowRankMatrix(one, jnp.eye(self.size, self.rank, dtype=dtype), one[: self.rank])


def _stretch(matrix: LowRankMatrix, vector: Array) -> Array:
    """:math:`(I + U (\\Lambda - I) U^\\top) x`."""
    return vector + matrix.vectors @ ((matrix.values - 1.0) * (vector @ matrix.vectors))


BlockOf = DiagonalMetric | DenseMetric | LowRankMetric


class BlockMetric:
    """:math:`M` is block diagonal; each block, a run of the flat vector, has a metric of its own.

    :param blocks: metrics by the tuple of the sites in the block, in the order in which they lie in the flat vector.
    """

    def __init__(self, blocks: dict[Any, BlockOf]) -> None:
        self.blocks = tuple(blocks.items())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BlockMetric) and self.blocks == other.blocks

    def __hash__(self) -> int:
        return hash(self.blocks)

    def _each(self, operation: str, mass: MassMatrix, vector: Array) -> list[Array]:
        results, start = [], 0
        for key, metric in self.blocks:
            part = MassMatrix(*(matrices[key] for matrices in mass))
            piece = lax.slice_in_dim(vector, start, start + metric.size)
            results.append(getattr(metric, operation)(part, piece))
            start += metric.size
        return results

    def momentum(self, mass: MassMatrix, noise: Array) -> Array:
        return _join(self._each("momentum", mass, noise))

    def velocity(self, mass: MassMatrix, r: Array) -> Array:
        return _join(self._each("velocity", mass, r))

    def kinetic_energy(self, mass: MassMatrix, r: Array) -> Array:
        energies = self._each("kinetic_energy", mass, r)
        return sum(energies[1:], energies[0])

    def mass_matrix(self, inverse: PyTree) -> MassMatrix:
        parts = {key: metric.mass_matrix(inverse[key]) for key, metric in self.blocks}
        return MassMatrix(*({key: part[i] for key, part in parts.items()} for i in range(3)))

    def identity(self, dtype: Any) -> dict[Any, PyTree]:
        return {key: metric.identity(dtype) for key, metric in self.blocks}


AdaptedMetric = BlockOf | BlockMetric


class CustomKineticEnergy:
    """A metric with a kinetic energy of the user's own; momenta are drawn as the mass matrix says.

    :param metric: the metric of the momenta.
    :param kinetic_fn: a function ``(inverse_mass_matrix, r) -> scalar`` of the momentum as a pytree like the position.
    :param layout: the positions of that pytree's leaves in the flat vector.
    """

    def __init__(self, metric: AdaptedMetric, kinetic_fn: Callable[[PyTree, PyTree], Array], layout: Layout) -> None:
        self.metric, self.layout = metric, layout

        def energy(inverse: PyTree, r: Array) -> Array:
            return jnp.asarray(kinetic_fn(inverse, layout.unravel(r)))

        inverse = jax.eval_shape(lambda: metric.identity(layout.dtype))
        r = jax.ShapeDtypeStruct((layout.size,), layout.dtype)
        self._program = Program(jax.value_and_grad(energy, argnums=1), inverse, r)
        # Values that the function captures are part of what it is, as they are now.
        self._consts = tuple(c if is_traced(c) else np.array(c) for c in self._program.consts)
        self._key = (metric, layout, self._program.key_with_values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CustomKineticEnergy) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def momentum(self, mass: MassMatrix, noise: Array) -> Array:
        return self.metric.momentum(mass, noise)

    def kinetic_energy(self, mass: MassMatrix, r: Array) -> Array:
        return self._program(self._consts, mass.inverse, r)[0]

    def velocity(self, mass: MassMatrix, r: Array) -> Array:
        return self._program(self._consts, mass.inverse, r)[1]

    def mass_matrix(self, inverse: PyTree) -> MassMatrix:
        return self.metric.mass_matrix(inverse)

    def identity(self, dtype: Any) -> PyTree:
        return self.metric.identity(dtype)


def _join(pieces: list[Array]) -> Array:
    return pieces[0] if len(pieces) == 1 else jnp.concatenate(pieces)
