"""The documented names for exact inference over discrete latent sites, over :mod:`numpyro.enumeration`.

Nothing here needs the package funsor: the sums are our own. Where an array with named dimensions is expected, plain
arrays serve (:func:`to_funsor` and :func:`to_data` hand them through).
"""

from numpyro.contrib.funsor.discrete import infer_discrete
from numpyro.contrib.funsor.enum_messenger import enum, infer_config, markov, plate, to_data, to_funsor, trace
from numpyro.contrib.funsor.infer_util import config_enumerate, config_kl, log_density, plate_to_enum_plate

__all__ = [
    "config_enumerate",
    "config_kl",
    "enum",
    "infer_config",
    "infer_discrete",
    "log_density",
    "markov",
    "plate",
    "plate_to_enum_plate",
    "to_data",
    "to_funsor",
    "trace",
]
