"""Distributions of TensorFlow Probability at the sites of a model.

``numpyro.sample`` takes a distribution of ``tensorflow_probability.substrates.jax.distributions`` as it is. Where one
of ours is asked for (to expand, to mask, in a mixture), every class of that module is here by its name, and
``TFPDistribution(...)`` takes an instance.

::

    import numpyro.contrib.tfp.distributions as tfd

    def model(y):
        scale = numpyro.sample("scale", tfd.InverseGamma(2.0, 1.0).expand([3]).to_event(1))
        numpyro.sample("y", tfd.Normal(0.0, scale).to_event(1), obs=y)
"""

from __future__ import annotations

from typing import Any

from tensorflow_probability.substrates.jax import distributions as _tfd

from numpyro.distributions.foreign import BijectorConstraint as BijectorConstraint
from numpyro.distributions.foreign import BijectorTransform as BijectorTransform
from numpyro.distributions.foreign import TFPDistribution as TFPDistribution


def __getattr__(name: str) -> Any:
    """A function that makes a distribution of this name."""
    cls = getattr(_tfd, name, None)
    if not (isinstance(cls, type) and issubclass(cls, _tfd.Distribution)):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}: tfp.distributions has no such class.")

    def make(*args: Any, **kwargs: Any) -> TFPDistribution:
        return TFPDistribution(cls(*args, **kwargs))

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"``tfp.distributions.{name}`` as a :class:`TFPDistribution`."
    return make


def __dir__() -> list[str]:
    names = [
        n for n in dir(_tfd) if isinstance(getattr(_tfd, n), type) and issubclass(getattr(_tfd, n), _tfd.Distribution)
    ]
    return sorted({*globals(), *names})
