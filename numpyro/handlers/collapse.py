"""Sum latent variables out."""

from __future__ import annotations

from typing import Any, NoReturn

from numpyro.handlers.trace import trace


class collapse(trace):
    """Sum the latent variables of a context out of the model exactly.

    It rests on exact enumeration, and cannot be made without.

    :raises NotImplementedError: always: this version has no enumeration.
    """

    __module__ = "numpyro.handlers"

    def __init__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(
            "collapse needs exact enumeration, which this version of numpyro does not have. Marginalise by hand: "
            "MixtureSameFamily sums out the component of a mixture; BetaBinomial, GammaPoisson and "
            "DirichletMultinomial are conjugate pairs with the latent variable integrated out; other discrete "
            "variables are summed out by numpyro.factor with a logsumexp over their values."
        )
