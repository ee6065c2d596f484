"""Transforms made of neural networks, with which a simple distribution becomes a flexible one.

The networks are those of :mod:`numpyro.nn`, or any other functions of the same outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax

from numpyro._typing import Array, ArrayLike
from numpyro.distributions import constraints
from numpyro.distributions.transforms import Transform

__all__ = ["BlockNeuralAutoregressiveTransform", "InverseAutoregressiveTransform"]


def _clip_values(x: Array, low: ArrayLike, high: ArrayLike) -> Array:
    """``x`` kept between two bounds, with the derivative of ``x``, so that nothing gets stuck beyond them."""
    return x + lax.stop_gradient(jnp.clip(x, low, high) - x)


class InverseAutoregressiveTransform(Transform):
    r"""The map :math:`y = \mu(x) + e^{s(x)} \odot x`.

    :math:`\mu_i` and :math:`s_i` depend on earlier elements of :math:`x` only. The map is one pass of the network, its
    inverse one pass for each dimension.

    :param autoregressive_nn: function that takes :math:`x`, of shape ``batch_shape + (d,)``, to :math:`(\mu, s)`, both
        of this shape; say :func:`~numpyro.nn.AutoregressiveNN` with its parameters.
    :param log_scale_min_clip: bound below which :math:`s` has no effect.
    :param log_scale_max_clip: bound above which :math:`s` has no effect.
    :domain: :math:`\mathbb{R}^n`
    :codomain: :math:`\mathbb{R}^n`
    :log determinant: :math:`\sum_i s_i(x)`

    >>> import jax, jax.numpy as jnp
    >>> from numpyro.nn import AutoregressiveNN
    >>> init, apply = AutoregressiveNN(2, [4])
    >>> _, params = init(jax.random.key(0), (2,))
    >>> flow = InverseAutoregressiveTransform(lambda x: apply(params, x))
    >>> x = jnp.array([0.3, -0.5])
    >>> bool(jnp.allclose(flow.inv(flow(x)), x))
    True

    **Reference:** D. P. Kingma et al. (2016), "Improving variational inference with inverse autoregressive flow".
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    pytree_data_fields = ("log_scale_min_clip", "log_scale_max_clip")
    pytree_aux_fields = ("arn",)

    def __init__(
        self,
        autoregressive_nn: Callable[[Array], tuple[Array, Array]],
        log_scale_min_clip: ArrayLike = -5.0,
        log_scale_max_clip: ArrayLike = 3.0,
    ) -> None:
        self.arn = autoregressive_nn
        self.log_scale_min_clip = log_scale_min_clip
        self.log_scale_max_clip = log_scale_max_clip

    def _affine(self, x: Array) -> tuple[Array, Array]:
        mean, log_scale = self.arn(x)
        return mean, _clip_values(log_scale, self.log_scale_min_clip, self.log_scale_max_clip)

    def __call__(self, x: Any) -> Array:
        return self.call_with_intermediates(x)[0]

    def call_with_intermediates(self, x: Any) -> tuple[Array, Array]:
        """Return :math:`y` and the logarithms of the scales :math:`s`."""
        x = jnp.asarray(x)
        mean, log_scale = self._affine(x)
        return mean + jnp.exp(log_scale) * x, log_scale

    def _inverse(self, y: Any) -> Array:
        y = jnp.asarray(y)

        # after n rounds the first n elements in the order of the network are those of x
        def improve(_: Any, x: Array) -> Array:
            mean, log_scale = self._affine(x)
            return (y - mean) * jnp.exp(-log_scale)

        return lax.fori_loop(0, y.shape[-1], improve, jnp.zeros_like(y))

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Array:
        log_scale = self._affine(jnp.asarray(x))[1] if intermediates is None else intermediates
        return log_scale.sum(-1)


class BlockNeuralAutoregressiveTransform(Transform):
    r"""The map :math:`y = f(x)`, :math:`f_i` increasing in :math:`x_i` and dependent on earlier elements.

    There is no formula for its inverse. A sample of a transformed distribution comes with the intermediate results from
    which its density is computed without the inverse.

    :param bn_arn: function that takes :math:`x`, of shape ``batch_shape + (d,)``, to :math:`y` and
        :math:`\log \partial y_i / \partial x_i`, both of this shape; say
        :func:`~numpyro.nn.BlockNeuralAutoregressiveNN` with its parameters.
    :domain: :math:`\mathbb{R}^n`
    :codomain: :math:`\mathbb{R}^n`
    :log determinant: :math:`\sum_i \log \partial y_i / \partial x_i`

    **Reference:** N. De Cao, I. Titov, W. Aziz (2019), "Block neural autoregressive flow".
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    pytree_aux_fields = ("bn_arn",)

    def __init__(self, bn_arn: Callable[[Array], tuple[Array, Array]]) -> None:
        self.bn_arn = bn_arn

    def __call__(self, x: Any) -> Array:
        return self.bn_arn(jnp.asarray(x))[0]

    def call_with_intermediates(self, x: Any) -> tuple[Array, Array]:
        """Return :math:`y` and the logarithms of the derivatives."""
        return self.bn_arn(jnp.asarray(x))

    def _inverse(self, y: Any) -> Array:
        raise NotImplementedError(
            "Block neural autoregressive transform does not have an analytic inverse implemented: what a sample was"
            " made of comes with sample_with_intermediates, and log_prob takes it."
        )

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Array:
        log_derivative = self.bn_arn(jnp.asarray(x))[1] if intermediates is None else intermediates
        return log_derivative.sum(-1)
