"""Which modules of the package have no doctests to collect: adapters of optional packages that are not installed."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("tensorflow_probability") else ["numpyro/contrib/tfp/*.py"]
