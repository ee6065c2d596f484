"""Normal distributions made flexible by autoregressive networks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from jax.example_libraries import stax

from numpyro._errors import UsageError
from numpyro._typing import Key
from numpyro.distributions import Distribution, TransformedDistribution
from numpyro.distributions.flows import BlockNeuralAutoregressiveTransform, InverseAutoregressiveTransform
from numpyro.distributions.transforms import PermuteTransform, Transform
from numpyro.infer.autoguide.continuous import AutoContinuous
from numpyro.infer.initialization import init_to_uniform
from numpyro.infer.model import Layout, ModelView
from numpyro.nn import AutoregressiveNN, BlockNeuralAutoregressiveNN
from numpyro.primitives import param


class _Flow(AutoContinuous):
    """What guides by flows share: layers, between which the order of the elements is reversed."""

    def __init__(self, model: Callable, *, prefix: str, init_loc_fn: Callable, num_flows: int) -> None:
        if isinstance(num_flows, bool) or not isinstance(num_flows, (int, np.integer)) or num_flows < 1:
            raise UsageError(f"`num_flows` must be a positive integer, got {num_flows!r}.")
        self.num_flows = num_flows
        super().__init__(model, prefix=prefix, init_loc_fn=init_loc_fn)

    def _check(self, view: ModelView) -> None:
        super()._check(view)
        if Layout(view.prototype).size == 1:
            raise UsageError(
                f"{type(self).__name__}: latent dim = 1, of which a flow makes nothing new. Consider using "
                "AutoDiagonalNormal instead."
            )

    @abstractmethod
    def _network(self, index: int) -> tuple[Callable, Callable]:
        """The functions that initialise and apply the network of a layer."""

    @abstractmethod
    def _layer(self, network: Callable) -> Transform:
        """The layer of a network, whose params are given."""

    def _get_posterior(self) -> Distribution:
        transforms: list[Transform] = []
        for index in range(self.num_flows):
            if index > 0:
                transforms.append(PermuteTransform(np.arange(self.latent_dim)[::-1]))
            init, apply = self._network(index)
            params = param(f"{self.prefix}_arn__{index}$params", partial(_initial_params, init, self.latent_dim))
            transforms.append(self._layer(partial(apply, params)))
        return TransformedDistribution(self.get_base_dist(), transforms)


def _initial_params(init: Callable, size: int, rng_key: Key) -> Any:
    return init(rng_key, (size,))[1]


class AutoIAFNormal(_Flow):
    """A normal distribution behind inverse autoregressive flows.

    Flows are :class:`~numpyro.distributions.flows.InverseAutoregressiveTransform`; between them the order of the
    elements is reversed.

    :param model: the model, of two unconstrained values or more.
    :param prefix: params are ``{prefix}_arn__{i}$params``, those of the network of flow ``i``.
    :param init_loc_fn: an initialization strategy, at which the density must be finite.
    :param num_flows: the number of flows, 3 by default.
    :param hidden_dims: the sizes of hidden layers, by default two of size ``latent_dim``.
    :param skip_connections: whether inputs of networks are connected to outputs directly as well.
    :param nonlinearity: the layer between dense ones, ``stax.Elu`` by default.

    **Reference:** Kingma, Salimans, Jozefowicz, Chen, Sutskever & Welling, *Improving variational inference with
    inverse autoregressive flow* (2016).
    """

    def __init__(
        self,
        model: Callable,
        *,
        prefix: str = "auto",
        init_loc_fn: Callable = init_to_uniform,
        num_flows: int = 3,
        hidden_dims: Sequence[int] | None = None,
        skip_connections: bool = False,
        nonlinearity: Any = stax.Elu,
    ) -> None:
        self._hidden_dims = hidden_dims
        self._skip_connections = skip_connections
        self._nonlinearity = nonlinearity
        super().__init__(model, prefix=prefix, init_loc_fn=init_loc_fn, num_flows=num_flows)

    def _network(self, index: int) -> tuple[Callable, Callable]:
        hidden_dims = [self.latent_dim, self.latent_dim] if self._hidden_dims is None else list(self._hidden_dims)
        return AutoregressiveNN(
            self.latent_dim,
            hidden_dims,
            permutation=np.arange(self.latent_dim),
            skip_connections=self._skip_connections,
            nonlinearity=self._nonlinearity,
        )

    def _layer(self, network: Callable) -> Transform:
        return InverseAutoregressiveTransform(network)


class AutoBNAFNormal(_Flow):
    """A normal distribution behind block neural autoregressive flows.

    Flows are :class:`~numpyro.distributions.flows.BlockNeuralAutoregressiveTransform`, all but the last one averages
    with their input; between them the order of the elements is reversed. Densities are known of draws only.

    :param model: the model, of two unconstrained values or more.
    :param prefix: params are ``{prefix}_arn__{i}$params``, those of the network of flow ``i``.
    :param init_loc_fn: an initialization strategy, at which the density must be finite.
    :param num_flows: the number of flows, 1 by default.
    :param hidden_factors: for each hidden layer, how many units it has for each unconstrained value.

    **Reference:** De Cao, Titov & Aziz, *Block neural autoregressive flow* (2019).
    """

    def __init__(
        self,
        model: Callable,
        *,
        prefix: str = "auto",
        init_loc_fn: Callable = init_to_uniform,
        num_flows: int = 1,
        hidden_factors: Sequence[int] = [8, 8],
    ) -> None:
        self._hidden_factors = list(hidden_factors)
        super().__init__(model, prefix=prefix, init_loc_fn=init_loc_fn, num_flows=num_flows)

    def _network(self, index: int) -> tuple[Callable, Callable]:
        residual = "gated" if index < self.num_flows - 1 else None
        return BlockNeuralAutoregressiveNN(self.latent_dim, self._hidden_factors, residual)

    def _layer(self, network: Callable) -> Transform:
        return BlockNeuralAutoregressiveTransform(network)
