"""Fourier, cosine and wavelet transforms, and a linear recursion in time."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._errors import UsageError
from numpyro._typing import Array, ArrayLike, Shape
from numpyro.distributions import constraints
from numpyro.distributions.constraints import Constraint
from numpyro.distributions.transforms.base import Transform, as_float, check_rank, zeros_of_batch


class RealFastFourierTransform(Transform):
    r"""The discrete Fourier transform of real arrays, :math:`y_k = \sum_j x_j e^{-2 \pi \mathrm{i} j k / n}`.

    Of the last dimension, the first :math:`\lfloor n / 2 \rfloor + 1` frequencies are kept, which determine the others.

    :param transform_shape: the shape of an event of the arguments; longer ones are cut, shorter ones filled with
        zeros. By default the arguments' own, where the last size is taken as even in the inverse.
    :param transform_ndims: the number of dimensions that are transformed.
    :domain: :math:`\mathbb{R}^{n_1 \times \dots \times n_d}`
    :codomain: :math:`\mathbb{C}^{n_1 \times \dots \times (\lfloor n_d / 2 \rfloor + 1)}`
    :log determinant: :math:`\tfrac12 N \log N - \tfrac12 (N - M) \log 2` with :math:`N = \prod_i n_i`, of which
        :math:`M = \prod_i (2 - n_i \bmod 2)` frequencies have a real coefficient
    :raises ValueError: when the two do not agree.
    """

    pytree_aux_fields = ("transform_shape", "transform_ndims")

    def __init__(self, transform_shape: int | Shape | None = None, transform_ndims: int = 1) -> None:
        if isinstance(transform_shape, int | np.integer):
            transform_shape = (int(transform_shape),)
        if transform_shape is not None and len(transform_shape) != transform_ndims:
            raise ValueError(
                f"Length of transform shape ({transform_shape}) does not match number of dimensions to transform"
                f" ({transform_ndims})."
            )
        self.transform_shape = None if transform_shape is None else tuple(transform_shape)
        self.transform_ndims = transform_ndims

    @property
    def domain(self) -> Constraint:  # type: ignore[override]
        return constraints.independent(constraints.real, self.transform_ndims)

    @property
    def codomain(self) -> Constraint:  # type: ignore[override]
        return constraints.independent(constraints.complex, self.transform_ndims)

    def _axes(self) -> tuple[int, ...]:
        return tuple(range(-self.transform_ndims, 0))

    def __call__(self, x: Any) -> Array:
        return jnp.fft.rfftn(as_float(x), self.transform_shape, self._axes())

    def _inverse(self, y: Any) -> Array:
        return jnp.fft.irfftn(y, self.transform_shape, self._axes())

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Array:
        # Of N coefficients, those of the frequencies 0 and 1/2 in all dimensions are real, with rows of norm sqrt(N) in
        # the matrix of the map; all others have two rows, cosine and sine, of norm sqrt(N / 2).
        check_rank(self, np.shape(x), self.transform_ndims)
        batch, sizes = np.shape(x)[: -self.transform_ndims], np.shape(x)[-self.transform_ndims :]
        total = math.prod(sizes)
        own_mirror_image = math.prod(2 - size % 2 for size in sizes)
        value = total * math.log(total) / 2 - (total - own_mirror_image) * math.log(2) / 2
        return jnp.full(batch, value, as_float(x).dtype)

    def _split(self, shape: Shape) -> tuple[Shape, Shape]:
        """Return the batch shape, and the shape of an event of the arguments."""
        check_rank(self, shape, self.transform_ndims)
        batch = len(shape) - self.transform_ndims
        return tuple(shape[:batch]), self.transform_shape or tuple(shape[batch:])

    def forward_shape(self, shape: Shape) -> Shape:
        batch, sizes = self._split(shape)
        return (*batch, *sizes[:-1], sizes[-1] // 2 + 1)

    def inverse_shape(self, shape: Shape) -> Shape:
        batch, sizes = self._split(shape)
        if self.transform_shape is not None:
            return (*batch, *sizes)
        return (*batch, *sizes[:-1], 2 * (sizes[-1] - 1))


class PackRealFastFourierCoefficientsTransform(Transform):
    r"""The map of :math:`n` real numbers to the Fourier coefficients of a real vector of that length.

    .. math:: y_k = x_k + \mathrm{i}\, x_{\lfloor n / 2 \rfloor + k}, \quad k = 0, \dots, \lfloor n / 2 \rfloor

    without the imaginary part for :math:`k = 0`, and for :math:`k = n / 2`.

    The first :math:`\lfloor n / 2 \rfloor + 1` numbers are the real parts, the others the imaginary parts of those
    coefficients that have one.

    :param transform_shape: the shape ``(n,)``; needed for the inverse, since it cannot be told from the coefficients.
    :domain: :math:`\mathbb{R}^n`
    :codomain: :math:`\mathbb{C}^{\lfloor n / 2 \rfloor + 1}`
    :log determinant: :math:`0`
    """

    pytree_aux_fields = ("shape",)
    domain = constraints.real_vector
    codomain = constraints.independent(constraints.complex, 1)

    def __init__(self, transform_shape: Shape | None = None) -> None:
        self.shape = None if transform_shape is None else tuple(np.atleast_1d(transform_shape).tolist())

    def __call__(self, x: Any) -> Array:
        x = as_float(x)
        n = x.shape[-1]
        self.forward_shape(x.shape)
        real, imaginary = x[..., : n // 2 + 1], x[..., n // 2 + 1 :]
        # The coefficient of frequency 0 is real, and for an even n so is the last one.
        edges = [(0, 0)] * (x.ndim - 1) + [(1, real.shape[-1] - imaginary.shape[-1] - 1)]
        return lax.complex(real, jnp.pad(imaginary, edges))

    def _inverse(self, y: Any) -> Array:
        y = jnp.asarray(y)
        n = self.inverse_shape(y.shape)[-1]
        return jnp.concatenate([y.real, y.imag[..., 1 : (n + 1) // 2]], axis=-1)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Array:
        return zeros_of_batch(x, 1)

    def forward_shape(self, shape: Shape) -> Shape:
        check_rank(self, shape, 1)
        if self.shape is not None and tuple(shape[-1:]) != self.shape:
            raise UsageError(f"`shape` must be `None` or `{tuple(shape[-1:])}`. Got `{self.shape}`.")
        return (*shape[:-1], shape[-1] // 2 + 1)

    def inverse_shape(self, shape: Shape) -> Shape:
        check_rank(self, shape, 1)
        if self.shape is None:
            raise UsageError("Shape must be specified in `__init__` for inverse transform.")
        if shape[-1] != self.shape[-1] // 2 + 1:
            raise UsageError(
                f"{self.shape[-1]} real numbers make {self.shape[-1] // 2 + 1} coefficients, but the shape is {shape}."
            )
        return (*shape[:-1], *self.shape)


class _AlongDimension(Transform):
    """A map that keeps volumes and shapes and works along one dimension, which is counted from the right."""

    def __init__(self, dim: int) -> None:
        if dim >= 0:
            raise UsageError(f"dim must be negative, for it counts from the right, but it is {dim}.")
        self.dim = dim

    @property
    def domain(self) -> Constraint:  # type: ignore[override]
        return constraints.independent(constraints.real, -self.dim)

    @property
    def codomain(self) -> Constraint:  # type: ignore[override]
        return constraints.independent(constraints.real, -self.dim)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Array:
        return zeros_of_batch(x, -self.dim)

    def forward_shape(self, shape: Shape) -> Shape:
        check_rank(self, shape, -self.dim)
        return shape

    def inverse_shape(self, shape: Shape) -> Shape:
        return self.forward_shape(shape)


class DiscreteCosineTransform(_AlongDimension):
    r"""The orthonormal discrete cosine transform (type II), whose coefficients may be scaled to make noise smooth.

    .. math:: y_k = w_k \sqrt{\tfrac{2 - \delta_{k0}}{n}} \sum_j x_j \cos \frac{\pi k (2 j + 1)}{2 n}, \qquad
              w_k \propto (k + \tfrac12)^s, \quad \prod_k w_k = 1

    :param dim: the dimension, negative.
    :param smooth: the exponent :math:`s`: with independent normal coefficients, 0 makes white noise, 1 makes Brownian
        noise after the inverse, and so on.
    :domain: :math:`\mathbb{R}^n` along ``dim``
    :codomain: :math:`\mathbb{R}^n` along ``dim``
    :log determinant: :math:`0`

    **Reference:** N. Ahmed, T. Natarajan, K. R. Rao (1974), "Discrete cosine transform".
    """

    pytree_aux_fields = ("dim", "smooth")

    def __init__(self, dim: int = -1, smooth: float = 0.0) -> None:
        super().__init__(dim)
        self.smooth = float(smooth)

    def _weights(self, x: Array) -> np.ndarray:
        log_weights = self.smooth * np.log(np.arange(x.shape[self.dim]) + 0.5)
        weights = np.exp(log_weights - log_weights.mean())
        return weights.astype(x.dtype).reshape((-1,) + (1,) * (-self.dim - 1))

    def __call__(self, x: Any) -> Array:
        x = as_float(x)
        check_rank(self, x.shape, -self.dim)
        y = jax.scipy.fft.dct(x, norm="ortho", axis=self.dim)
        return y * self._weights(x) if self.smooth else y

    def _inverse(self, y: Any) -> Array:
        y = as_float(y)
        check_rank(self, y.shape, -self.dim)
        return jax.scipy.fft.idct(y / self._weights(y) if self.smooth else y, norm="ortho", axis=self.dim)


class HaarTransform(_AlongDimension):
    r"""The orthonormal Haar wavelet transform of a vector of any length.

    In each step neighbours are replaced by :math:`(a + b) / \sqrt2` and :math:`(a - b) / \sqrt2`, the differences put
    aside, and the sums treated likewise; one that has no neighbour goes with the differences.

    :param dim: the dimension, negative.
    :param flip: whether to run it from the end of the dimension to its beginning.
    :domain: :math:`\mathbb{R}^n` along ``dim``
    :codomain: :math:`\mathbb{R}^n` along ``dim``
    :log determinant: :math:`0`

    **Reference:** https://en.wikipedia.org/wiki/Discrete_wavelet_transform
    """

    pytree_aux_fields = ("dim", "flip")

    def __init__(self, dim: int = -1, flip: bool = False) -> None:
        super().__init__(dim)
        self.flip = bool(flip)

    def __call__(self, x: Any) -> Array:
        x = as_float(x)
        check_rank(self, x.shape, -self.dim)
        x = jnp.moveaxis(x, self.dim, -1)
        sums = x[..., ::-1] if self.flip else x
        details: list[Array] = []
        while (n := sums.shape[-1]) > 1:
            even, odd = sums[..., 0 : n - n % 2 : 2], sums[..., 1:n:2]
            details = [(even - odd) * math.sqrt(0.5), sums[..., n - n % 2 :], *details]
            sums = (even + odd) * math.sqrt(0.5)
        return jnp.moveaxis(jnp.concatenate([sums, *details], axis=-1), -1, self.dim)

    def _inverse(self, y: Any) -> Array:
        y = as_float(y)
        check_rank(self, y.shape, -self.dim)
        y = jnp.moveaxis(y, self.dim, -1)
        sizes = [y.shape[-1]]
        while sizes[-1] > 1:
            sizes.append(sizes[-1] // 2)
        sums = y[..., : sizes[-1]]
        for n in reversed(sizes[:-1]):
            details = y[..., n // 2 : n - n % 2]
            pairs = jnp.stack([sums + details, sums - details], axis=-1) * math.sqrt(0.5)
            pairs = pairs.reshape((*y.shape[:-1], n - n % 2))
            sums = jnp.concatenate([pairs, y[..., n - n % 2 : n]], axis=-1)
        return jnp.moveaxis(sums[..., ::-1] if self.flip else sums, -1, self.dim)


class RecursiveLinearTransform(Transform):
    r"""The linear recursion :math:`y_t = A y_{t-1} + x_t` in time, which stands in the last but one dimension.

    :param transition_matrix: the matrix :math:`A`, of shape ``(..., n, n)``.
    :param initial_value: the state :math:`y_0` before the first, of shape ``(..., n)``; zero by default.
    :domain: :math:`\mathbb{R}^{T \times n}`
    :codomain: :math:`\mathbb{R}^{T \times n}`
    :log determinant: :math:`0`
    """

    domain = constraints.real_matrix
    codomain = constraints.real_matrix
    pytree_data_fields = ("transition_matrix", "initial_value")

    def __init__(self, transition_matrix: ArrayLike, initial_value: ArrayLike | None = None) -> None:
        self.transition_matrix = transition_matrix
        self.initial_value: Any = np.zeros(np.shape(transition_matrix)[-1]) if initial_value is None else initial_value

    def _propagate(self, state: Array) -> Array:
        return jnp.einsum("...ij,...j->...i", self.transition_matrix, state, precision=lax.Precision.HIGHEST)

    def __call__(self, x: Any) -> Array:
        x = as_float(x)
        check_rank(self, x.shape, 2)
        batch = lax.broadcast_shapes(
            x.shape[:-2], np.shape(self.transition_matrix)[:-2], np.shape(self.initial_value)[:-1]
        )
        dtype = jnp.result_type(x, self.transition_matrix, self.initial_value)
        initial = jnp.broadcast_to(jnp.asarray(self.initial_value, dtype), (*batch, x.shape[-1]))

        def step(state: Array, noise: Array) -> tuple[Array, Array]:
            state = self._propagate(state) + noise
            return state, state

        _, states = lax.scan(step, initial, jnp.moveaxis(x.astype(dtype), -2, 0))
        return jnp.moveaxis(states, 0, -2)

    def _inverse(self, y: Any) -> Array:
        y = as_float(y)
        check_rank(self, y.shape, 2)
        initial = jnp.broadcast_to(self.initial_value, (*y.shape[:-2], y.shape[-1]))[..., None, :]
        before = jnp.concatenate([initial, y[..., :-1, :]], axis=-2)
        matrix = jnp.asarray(self.transition_matrix)[..., None, :, :]
        return y - jnp.einsum("...ij,...j->...i", matrix, before, precision=lax.Precision.HIGHEST)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Array:
        return zeros_of_batch(x, 2)
