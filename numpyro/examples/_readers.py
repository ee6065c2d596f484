"""From files to arrays: one function for each data set, giving its splits by name."""

from __future__ import annotations

import csv
import gzip
import pickle
import struct
import zipfile
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

Arrays = tuple[np.ndarray, ...]
Splits = dict[str, Arrays]

_NUM_PIANO_KEYS, _LOWEST_PIANO_KEY = 88, 21  # in MIDI numbers


# Files inside the package


def _packaged_rows(name: str) -> list[dict[str, str]]:
    with resources.files("numpyro.examples").joinpath("data", name).open() as file:
        return list(csv.DictReader(file))


def _column(rows: list[dict[str, str]], name: str, dtype: type) -> np.ndarray:
    return np.array([dtype(row[name]) for row in rows])


def eight_schools() -> Splits:
    """Estimated effects of coaching and their standard errors, each ``(8,)`` (Rubin 1981)."""
    rows = _packaged_rows("eight_schools.csv")
    return {"train": (_column(rows, "effect", float), _column(rows, "error", float))}


def radon() -> Splits:
    """Radon in 919 houses of Minnesota: county ``(919,)`` of 85, floor, log activity, log uranium of the soil.

    The floor is 0 where the measurement was made in the basement and 1 on the first floor. Activities are in pCi/L,
    with 0.1 added before the logarithm, since some are 0. The EPA's survey of 1986/87, as in Gelman and Hill (2006),
    chapter 12.
    """
    rows = _packaged_rows("radon.csv")
    _, county = np.unique(_column(rows, "county", str), return_inverse=True)
    log_radon = np.log(_column(rows, "activity", float) + 0.1)
    return {"train": (county, _column(rows, "floor", int), log_radon, np.log(_column(rows, "uranium", float)))}


def baseball() -> Splits:
    """Times at bat and hits ``(18, 2)``, and the players' names; train: the first 45 times, test: the season 1970.

    The eighteen players of Efron and Morris (1975), Table 1, in their order, with the season's totals from the records.
    """
    rows = _packaged_rows("baseball.csv")
    names = _column(rows, "player", str)
    early, season = (
        np.stack([_column(rows, prefix + "at_bats", int), _column(rows, prefix + "hits", int)], axis=1)
        for prefix in ("", "season_")
    )
    return {"train": (early, names), "test": (season, names)}


def lynx_hare() -> Splits:
    """Years 1900 to 1920, ``(21,)``, and pelts of hares and lynxes in thousands, ``(21, 2)`` (Hudson's Bay Company)."""
    rows = _packaged_rows("lynx_hare.csv")
    pelts = np.stack([_column(rows, "hare", float), _column(rows, "lynx", float)], axis=1)
    return {"train": (_column(rows, "year", int), pelts)}


def ucb_admissions() -> Splits:
    """Department, whether male, applications and admissions, each ``(12,)`` (Bickel, Hammel and O'Connell 1975)."""
    rows = _packaged_rows("ucb_admissions.csv")
    department = np.array([ord(row["department"]) - ord("A") for row in rows])
    male = np.array([row["gender"] == "male" for row in rows])
    return {"train": (department, male, _column(rows, "applications", int), _column(rows, "admitted", int))}


# Files from the network


def covtype(path: Path) -> Splits:
    """Cartographic features ``(n, 54)`` and forest cover types ``(n,)`` (Blackard and Dean 1999)."""
    with np.load(path) as data:
        return {"train": (data["data"], data["target"])}


def mnist(*paths: Path) -> Splits:
    """Images with values in ``[0, 1]``, ``(n, 28, 28)``, and digits ``(n,)`` (LeCun et al. 1998)."""
    images, labels, test_images, test_labels = map(_read_idx, paths)
    scale = np.float32(255.0)
    return {
        "train": (images / scale, labels.astype(np.int8)),
        "test": (test_images / scale, test_labels.astype(np.int8)),
    }


def _read_idx(path: Path) -> np.ndarray:
    """The IDX format: two zero bytes, type, number of dimensions, the dimensions as big endian integers, the data."""
    with gzip.open(path, "rb") as file:
        zeros, kind, ndim = struct.unpack(">HBB", file.read(4))
        if zeros != 0 or kind != 0x08:
            raise ValueError(f"{path} is not an IDX file of unsigned bytes; delete it to download it again.")
        shape = struct.unpack(f">{ndim}I", file.read(4 * ndim))
        return np.frombuffer(file.read(), dtype=np.uint8).reshape(shape)


def sp500(path: Path) -> Splits:
    """Dates, an array of strings, and values of the index, each ``(n,)``."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return {"train": (_column(rows, "DATE", str), _column(rows, "VALUE", float))}


def jsb_chorales(path: Path) -> Splits:
    """Lengths ``(n,)`` and piano rolls ``(n, longest, 88)`` of Bach's chorales, with zeros behind the end of each."""
    return {split: _piano_rolls(sequences) for split, sequences in _unpickle(path).items()}


def _piano_rolls(sequences: list[list[tuple[int, ...]]]) -> Arrays:
    lengths = np.array([len(sequence) for sequence in sequences])
    rolls = np.zeros((len(sequences), lengths.max(), _NUM_PIANO_KEYS), dtype=np.int32)
    for i, sequence in enumerate(sequences):
        for t, notes in enumerate(sequence):
            rolls[i, t, np.asarray(notes, dtype=int) - _LOWEST_PIANO_KEY] = 1
    return lengths, rolls


def higgs(path: Path, num_rows: int | None) -> Splits:
    """Kinematic features ``(n, 28)`` and whether a Higgs boson was there, ``(n,)`` (Baldi, Sadowski and Whiteson 2014).

    The last twentieth of the rows read is the test split.
    """
    table = np.loadtxt(path, delimiter=",", dtype=np.float32, max_rows=num_rows, ndmin=2)
    num_train = len(table) - len(table) // 20
    labels = table[:, 0].astype(np.int32)
    return {
        "train": (table[:num_train, 1:], labels[:num_train]),
        "test": (table[num_train:, 1:], labels[num_train:]),
    }


def boston_housing(path: Path) -> Splits:
    """Features ``(506, 13)`` and median values ``(506,)`` (Harrison and Rubinfeld 1978)."""
    table = np.loadtxt(path, ndmin=2)
    return {"train": (table[:, :-1], table[:, -1])}


def nine_mers(path: Path) -> Splits:
    """Peptides of nine amino acids, as integers, and labels."""
    return {split: tuple(map(np.asarray, arrays)) for split, arrays in _unpickle(path).items()}


def mortality(path: Path) -> Splits:
    """Age group, two levels of areas, year, deaths and population, each an integer array ``(n,)``."""
    columns = ["age_group", "year", "a", "s1", "s2", "t", "deaths", "population"]
    with open(path, newline="") as file:
        rows = [row for row in csv.DictReader(file, fieldnames=columns) if row["a"].isdigit()]
    return {"train": tuple(_column(rows, name, int) for name in columns[2:])}


def dipper_vole(path: Path) -> Splits:
    """Capture histories ``(animals, occasions)``: ``"dipper"`` with the sex of each bird, and ``"vole"``."""
    with zipfile.ZipFile(path) as archive:

        def table(name: str, dtype: type) -> np.ndarray:
            with archive.open(name) as file:
                return np.loadtxt(file, delimiter=",", dtype=dtype, ndmin=2)[:, 1:]  # the first column counts

        return {
            "dipper": (table("dipper_capture_history.csv", int), table("dipper_sex.csv", int)[:, 0]),
            "vole": (table("meadow_voles_capture_history.csv", float),),
        }


def bart(*paths: Path) -> dict[str, np.ndarray]:
    """Stations, first hour, and counts of trips ``(hours, from, to)``, the parts joined."""
    parts = []
    for path in paths:
        with zipfile.ZipFile(path) as archive:
            parts.append({name: _read_npy(archive, f"{name}.npy") for name in ("stations", "start_date", "counts")})
    counts = np.concatenate([part["counts"] for part in parts])
    return {"stations": parts[0]["stations"], "start_date": parts[0]["start_date"], "counts": counts}


def _read_npy(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """One array of an npz file; arrays of objects are unpickled, of harmless ones only."""
    with archive.open(name) as file:
        try:
            return np.lib.format.read_array(file, allow_pickle=False)
        except ValueError:  # an array of objects: the pickle stands where the header has been read
            return np.asarray(_ArrayUnpickler(file, encoding="latin1").load())


class _ArrayUnpickler(pickle.Unpickler):
    """Reads containers, numbers, strings and NumPy arrays, and refuses all that could run code."""

    _OTHERS = (("_codecs", "encode"), ("datetime", "datetime"))
    _ARRAY_MODULES = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric")
    _ARRAY_NAMES = ("ndarray", "dtype", "_reconstruct", "scalar", "_frombuffer")

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        if (module in self._ARRAY_MODULES and name in self._ARRAY_NAMES) or (module, name) in self._OTHERS:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"the file asks for {module}.{name}, which is no part of a data set; delete it.")


def _unpickle(path: Path) -> dict[str, Any]:
    with open(path, "rb") as file:
        return _ArrayUnpickler(file, encoding="latin1").load()
