"""The run store: a run on disk, as draws that ArviZ and xarray open and a state from which it goes on.

In reading order:

1. ``files``: a zarr store whose every file is written whole, or not at all; ``arrays``: zarr arrays in it;
2. ``names``, ``variables``: draws as zarr arrays over chains and draws; ``states``: states of chains as bytes;
3. ``fingerprint``: what makes a run the same run;
4. ``run_store``: a run's folder: settings, draws, and the states of its lanes;
5. ``recorder``: the recorder that fills it while chains advance; ``processes``: steps that processes take together;
6. ``session``: how a run begins a store, or goes on with one.

Only this package imports zarr, and only when a store is asked for.
"""

from numpyro.infer.mcmc.store.recorder import StoreRecorder
from numpyro.infer.mcmc.store.run_store import RunStore
from numpyro.infer.mcmc.store.session import Session

__all__ = ["RunStore", "Session", "StoreRecorder"]
