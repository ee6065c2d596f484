"""Well-known data sets as arrays, whole or in mini-batches.

Eight schools, baseball, radon, lynx and hare, and the admissions of Berkeley are files of the package. The others are
downloaded when they are first asked for, into the folder ``DATA_DIR`` (the environment variable ``NUMPYRO_DATA_DIR``,
by default ``numpyro`` in the user's cache folder).

>>> init, fetch = load_dataset(BASEBALL, shuffle=False)
>>> at_bats_and_hits, players = fetch()
>>> str(players[0]), at_bats_and_hits[0].tolist()
('Roberto Clemente', [45, 18])
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._errors import UsageError
from numpyro.examples import _readers
from numpyro.examples._download import file_of

__all__ = [
    "BART",
    "BASEBALL",
    "BOSTON_HOUSING",
    "COVTYPE",
    "DIPPER_VOLE",
    "EIGHT_SCHOOLS",
    "HIGGS",
    "JSB_CHORALES",
    "LYNXHARE",
    "MNIST",
    "MORTALITY",
    "NINE_MERS",
    "RADON",
    "SP500",
    "UCBADMIT",
    "dset",
    "iter_dataset",
    "load_bart_od",
    "load_dataset",
]

DATA_DIR = os.environ.get("NUMPYRO_DATA_DIR") or str(
    Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "numpyro"
)


class dset(NamedTuple):
    """A data set: its ``name`` and the ``urls`` of its files."""

    name: str
    urls: list[str]


def _hosted(path: str) -> str:
    return f"https://github.com/pyro-ppl/datasets/blob/master/{path}?raw=true"


BART = dset("bart", [_hosted(f"bart/bart_{i}.npz") for i in range(4)])
BASEBALL = dset("baseball", [_hosted("EfronMorrisBB.txt")])
BOSTON_HOUSING = dset(
    "boston_housing", ["http://archive.ics.uci.edu/ml/machine-learning-databases/housing/housing.data"]
)
COVTYPE = dset("covtype", [_hosted("covtype.npz")])
DIPPER_VOLE = dset("dipper_vole", [_hosted("dipper_vole.zip")])
EIGHT_SCHOOLS = dset("eight_schools", [])
HIGGS = dset("higgs", ["https://archive.ics.uci.edu/ml/machine-learning-databases/00280/HIGGS.csv.gz"])
JSB_CHORALES = dset("jsb_chorales", [_hosted("polyphonic/jsb_chorales.pickle")])
LYNXHARE = dset("lynxhare", [_hosted("LynxHare.txt")])
MNIST = dset(
    "mnist",
    [
        _hosted(f"mnist/{part}.gz")
        for part in (
            "train-images-idx3-ubyte",
            "train-labels-idx1-ubyte",
            "t10k-images-idx3-ubyte",
            "t10k-labels-idx1-ubyte",
        )
    ],
)
MORTALITY = dset("mortality", [_hosted("simulated_mortality.csv")])
NINE_MERS = dset("9mers", [_hosted("9mers_data.pkl")])
RADON = dset("radon", [])
SP500 = dset("SP500", [_hosted("SP500.csv")])
UCBADMIT = dset("ucbadmit", [_hosted("UCBadmit.csv")])

_PACKAGED: dict[str, Callable[[], _readers.Splits]] = {
    BASEBALL.name: _readers.baseball,
    EIGHT_SCHOOLS.name: _readers.eight_schools,
    LYNXHARE.name: _readers.lynx_hare,
    RADON.name: _readers.radon,
    UCBADMIT.name: _readers.ucb_admissions,
}
_DOWNLOADED: dict[str, Callable[..., _readers.Splits]] = {
    BOSTON_HOUSING.name: _readers.boston_housing,
    COVTYPE.name: _readers.covtype,
    DIPPER_VOLE.name: _readers.dipper_vole,
    JSB_CHORALES.name: _readers.jsb_chorales,
    MNIST.name: _readers.mnist,
    MORTALITY.name: _readers.mortality,
    NINE_MERS.name: _readers.nine_mers,
    SP500.name: _readers.sp500,
}

Init = Callable[[], tuple[int, np.ndarray]]
Fetch = Callable[..., tuple[Any, ...]]


def load_dataset(
    dset: dset,
    batch_size: int | None = None,
    split: str = "train",
    shuffle: bool = True,
    num_datapoints: int | None = None,
) -> tuple[Init, Fetch]:
    """Load a data set for training in mini-batches.

    :param dset: one of the constants of this module.
    :param batch_size: size of a mini-batch; by default all in one. What is left over by whole batches is left out.
    :param split: ``"train"`` (default), or another that the data set has: ``"test"``, ``"valid"``, ...
    :param shuffle: whether ``init`` permutes the data, by NumPy's global generator; default true.
    :param num_datapoints: use only so many, the first of the split. For ``HIGGS``, whose file is large, that many rows
        are read and divided into splits.
    :return: two functions. ``init()`` returns the number of batches and an array of indices.
        ``fetch(i=0, idxs=<in order>)`` returns the arrays of batch ``i`` of the data in the order of those indices;
        ``i`` and ``idxs`` may be traced, so that it can stand inside ``jit``. Numbers come as JAX arrays, strings as
        NumPy arrays.
    :raises ValueError: when there is no such data set, or ``batch_size`` exceeds the number of data.
    :raises KeyError: when the data set has no such split.
    :raises URLError: when files have to be downloaded and cannot be; the message says where to put copies.
    """
    arrays = _load(dset, split, num_datapoints)
    num_records = len(arrays[0])
    if batch_size is None:
        batch_size = num_records
    if not 1 <= batch_size <= num_records:
        raise UsageError(
            f"batch_size is to be between 1 and {num_records}, the size of split '{split}' of '{dset.name}'; "
            f"got {batch_size}."
        )
    size = batch_size
    indices = np.arange(num_records)

    def init() -> tuple[int, np.ndarray]:
        return num_records // size, np.random.permutation(indices) if shuffle else indices

    def fetch(i: Any = 0, idxs: Any = indices) -> tuple[Any, ...]:
        if isinstance(i, jax.core.Tracer) or isinstance(idxs, jax.Array):
            batch = lax.dynamic_slice_in_dim(jnp.asarray(idxs), i * size, size)
        else:
            start = min(int(i) * size, len(idxs) - size)  # a batch is full, beyond the end too
            batch = idxs[start : start + size]
        return tuple(array[batch] for array in arrays)

    return init, fetch


def iter_dataset(
    dset: dset, batch_size: int | None = None, split: str = "train", shuffle: bool = True
) -> Iterator[tuple[Any, ...]]:
    """Go once through the mini-batches of a data set.

    :param dset: one of the constants of this module.
    :param batch_size: as in :func:`load_dataset`.
    :param split: as in :func:`load_dataset`.
    :param shuffle: as in :func:`load_dataset`.
    :return: an iterator over tuples of arrays.
    """
    init, fetch = load_dataset(dset, batch_size, split, shuffle)
    num_batches, indices = init()
    for i in range(num_batches):
        yield fetch(i, indices)


def load_bart_od() -> dict[str, np.ndarray]:
    """Load the hourly trips between the stations of BART, the rapid transit of the San Francisco Bay Area.

    :return: a dictionary with ``"stations"``, their names; ``"start_date"``, the first hour; and ``"counts"``, the
        numbers of trips, an integer array of shape ``(hours, stations, stations)``, from and to.
    :raises URLError: as in :func:`load_dataset`.
    """
    return _readers.bart(*(file_of(url, DATA_DIR) for url in BART.urls))


def _load(dset: dset, split: str, num_datapoints: int | None) -> tuple[Any, ...]:
    name = getattr(dset, "name", dset)
    if num_datapoints is not None and num_datapoints < 1:
        raise UsageError(f"num_datapoints is to be at least 1, got {num_datapoints}.")
    if name in _PACKAGED:
        splits = _PACKAGED[name]()
    elif name == HIGGS.name:
        splits = _readers.higgs(file_of(dset.urls[0], DATA_DIR), num_datapoints)
        num_datapoints = None
    elif name in _DOWNLOADED:
        splits = _DOWNLOADED[name](*(file_of(url, DATA_DIR) for url in dset.urls))
    else:
        hint = " Its loader is load_bart_od()." if name == BART.name else ""
        known = ", ".join(sorted([*_PACKAGED, *_DOWNLOADED, HIGGS.name]))
        raise ValueError(f"Dataset - {name} not found.{hint} Data sets: {known}.")
    if split not in splits:
        raise KeyError(f"data set '{name}' has no split '{split}'; its splits are {', '.join(splits)}.")
    return tuple(
        array if array.dtype.kind == "U" else jnp.asarray(array)
        for array in (array[:num_datapoints] for array in splits[split])
    )
