"""The protocol of Markov chain kernels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

from numpyro._typing import Key, PyTree
from numpyro.util import identity

if TYPE_CHECKING:
    from numpyro.infer.mcmc.sampler import Sampler


class MCMCKernel(ABC):
    """A transition kernel that :class:`~numpyro.infer.mcmc.MCMC` can run.

    A kernel says how a chain starts (:meth:`init`) and how it takes a step (:meth:`sample`); its state is any pytree
    with named fields, a ``NamedTuple`` by habit. One field, :attr:`sample_field`, is the value that the chain draws.

    **Example**, a random walk Metropolis kernel::

        MHState = namedtuple("MHState", ["u", "rng_key"])

        class MetropolisHastings(numpyro.infer.mcmc.MCMCKernel):
            sample_field = "u"

            def __init__(self, potential_fn, step_size=0.1):
                self.potential_fn = potential_fn
                self.step_size = step_size

            def init(self, rng_key, num_warmup, init_params, model_args, model_kwargs):
                return MHState(init_params, rng_key)

            def sample(self, state, model_args, model_kwargs):
                u, rng_key = state
                rng_key, key_proposal, key_accept = random.split(rng_key, 3)
                u_proposal = dist.Normal(u, self.step_size).sample(key_proposal)
                accept_prob = jnp.exp(self.potential_fn(u) - self.potential_fn(u_proposal))
                u_new = jnp.where(dist.Uniform().sample(key_accept) < accept_prob, u_proposal, u)
                return MHState(u_new, rng_key)
    """

    def postprocess_fn(self, model_args: tuple, model_kwargs: dict) -> Callable[[PyTree], PyTree]:
        """A function that turns one draw of :attr:`sample_field` into what the user sees; the identity by default."""
        return identity

    @abstractmethod
    def init(self, rng_key: Key, num_warmup: int, init_params: PyTree, model_args: tuple, model_kwargs: dict) -> PyTree:
        """The state that a chain starts from.

        :param rng_key: a key; for an ensemble kernel one for each chain.
        :param num_warmup: how many of the first iterations are warm-up.
        :param init_params: the value to start from, or ``None``.
        :param model_args: the arguments of the model.
        :param model_kwargs: its keyword arguments.
        """

    @abstractmethod
    def sample(self, state: PyTree, model_args: tuple, model_kwargs: dict) -> PyTree:
        """The next state. Must be traceable by JAX."""

    @property
    @abstractmethod
    def sample_field(self) -> str:
        """The field of the state that holds the chain's draw; dots reach into nested states."""

    @property
    def default_fields(self) -> tuple[str, ...]:
        """The fields collected on every run, whatever else is asked for."""
        return (self.sample_field,)

    @property
    def is_ensemble_kernel(self) -> bool:
        """Whether :meth:`init` and :meth:`sample` take the states of all chains at once."""
        return False

    @property
    def pools_chains(self) -> bool:
        """Whether chains learn from each other: several must then advance together, with
        ``chain_method="vectorized"``."""
        return False

    def get_diagnostics_str(self, state: PyTree) -> str:
        """A few words on a state for the progress bar."""
        return ""

    def remaining_warmup(self, state: PyTree) -> int:
        """Iterations of warm-up that a state, from which a run is to go on, still has before it."""
        return 0

    def get_constrain_fn(self, model_args: tuple, model_kwargs: dict) -> Callable[[PyTree], PyTree]:
        """A function that maps one draw of :attr:`sample_field` to constrained values."""
        return self.postprocess_fn(model_args, model_kwargs)

    def refresh(self, state: PyTree, model_args: tuple, model_kwargs: dict) -> PyTree:
        """The state with what it caches of the model (its density and gradient) computed anew.

        A kernel that moves some sites calls this on the kernel of the others, whose conditional density has changed.
        """
        return state

    def wrap_model(self, wrapper: Callable[[Callable], Callable]) -> MCMCKernel:
        """A copy of the kernel whose model is ``wrapper(model)``."""
        raise TypeError(f"{type(self).__name__} has no model to wrap; kernels with a model override `wrap_model`.")

    def sampler(
        self,
        num_warmup: int,
        init_params: PyTree,
        model_args: tuple,
        model_kwargs: dict,
        *,
        rng_key: Key | None = None,
        postprocess_fn: Callable[[PyTree], PyTree] | None = None,
    ) -> Sampler | None:
        """A faster way to advance many transitions, for the engine; ``None`` where there is only :meth:`sample`.

        :param init_params: values to start from, for their shapes; ``None`` where the kernel finds its own.
        :param rng_key: the key of what else the model draws.
        :param postprocess_fn: what to make of a draw, in place of the kernel's own.
        """
        return None


_PROTOCOL = ("get_constrain_fn", "init", "postprocess_fn", "sample", "sample_field")


def speaks_for(kernel: MCMCKernel) -> bool:
    """Whether ``kernel.sampler`` stands for the methods of ``kernel``: no subclass of its class overrides any."""
    classes = type(kernel).__mro__
    owner = next(i for i, cls in enumerate(classes) if {"sampler", "programs"} & vars(cls).keys())
    overriding = [vars(kernel), *(vars(cls) for cls in classes[:owner])]
    return not any(name in attributes for attributes in overriding for name in _PROTOCOL)


MCMCKernel.__module__ = "numpyro.infer.mcmc"
