"""Neural networks of other packages as parts of a model.

A network is a function of inputs and of a pytree of parameters. In a model its parameters are one of two things:

- a *param* site ``{name}$params``, fitted by :class:`~numpyro.infer.SVI`: :func:`flax_module`, :func:`nnx_module`,
  :func:`eqx_module`, :func:`haiku_module`;
- *sample* sites ``{name}/{path}``, one for each array that has a prior, and a param site for the rest:
  :func:`random_flax_module`, :func:`random_nnx_module`, :func:`random_eqx_module`, :func:`random_haiku_module`.

What a network changes as it runs (the averages of batch normalisation, the counters of dropout) is a *mutable* site
``{name}$state``.

The parts: ``parameters``, the one place where a pytree of parameters is cut into named sites and put together again;
then one thin file for each package: ``linen``, ``neural_nnx``, ``equinox_modules``, ``haiku_transforms``. No package is
imported before its function is called.
"""

from numpyro.contrib.module.equinox_modules import eqx_from_dict, eqx_module, eqx_to_dict, random_eqx_module
from numpyro.contrib.module.haiku_transforms import haiku_module, random_haiku_module
from numpyro.contrib.module.linen import flax_module, random_flax_module
from numpyro.contrib.module.neural_nnx import nnx_module, random_nnx_module
from numpyro.contrib.module.parameters import ParamShape

__all__ = [
    "ParamShape",
    "eqx_from_dict",
    "eqx_module",
    "eqx_to_dict",
    "flax_module",
    "haiku_module",
    "nnx_module",
    "random_eqx_module",
    "random_flax_module",
    "random_haiku_module",
    "random_nnx_module",
]
