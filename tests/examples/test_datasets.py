"""Data sets of the package against what is published of them, and the readers of the others on files made here."""

from __future__ import annotations

import datetime
import gzip
import io
import pickle
import struct
import urllib.error
import urllib.request
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro.examples import datasets
from numpyro.examples.datasets import (
    BART,
    BASEBALL,
    BOSTON_HOUSING,
    COVTYPE,
    DIPPER_VOLE,
    EIGHT_SCHOOLS,
    HIGGS,
    JSB_CHORALES,
    LYNXHARE,
    MNIST,
    MORTALITY,
    NINE_MERS,
    RADON,
    SP500,
    UCBADMIT,
    dset,
    iter_dataset,
    load_bart_od,
    load_dataset,
)


def arrays(name, split="train", **options):
    """A split in order, as NumPy arrays."""
    return [np.asarray(array) for array in load_dataset(name, split=split, shuffle=False, **options)[1]()]


# Files of the package


def test_radon() -> None:
    county, floor, log_radon, log_uranium = arrays(RADON)
    assert county.shape == floor.shape == log_radon.shape == log_uranium.shape == (919,)
    assert set(np.asarray(county)) == set(range(85)) and set(np.asarray(floor)) == {0, 1}
    assert floor.sum() == 153  # one house in six was measured above its basement
    assert np.all(np.isfinite(log_radon)) and log_radon.min() > -2.4  # log(0.1) where no activity was found
    for c in range(85):  # uranium is measured by county
        assert len(set(np.asarray(log_uranium)[np.asarray(county) == c])) == 1


def test_eight_schools_are_those_of_rubin():
    effect, error = arrays(EIGHT_SCHOOLS)
    assert effect.tolist() == [28, 8, -3, 7, -1, 1, 18, 12]
    assert error.tolist() == [15, 10, 16, 11, 9, 11, 10, 18]
    # The pooled estimate that Gelman et al. (Bayesian Data Analysis, section 5.5) give: 7.7 with standard error 4.1.
    weight = error**-2.0
    assert (weight @ effect) / weight.sum() == pytest.approx(7.7, abs=0.05)
    assert weight.sum() ** -0.5 == pytest.approx(4.1, abs=0.05)


def test_baseball_agrees_with_table_1_of_efron_and_morris():
    (early, names), (season, same_names) = arrays(BASEBALL), arrays(BASEBALL, "test")
    assert early.shape == season.shape == (18, 2)
    assert early.dtype == np.int32
    assert names.tolist() == same_names.tolist() and names[0] == "Roberto Clemente" and names[-1] == "Max Alvis"
    assert (early[:, 0] == 45).all()
    published_early = [400, 378, 356, 333, 311, 311, 289, 267, 244, 244, 222, 222, 222, 222, 222, 200, 178, 156]
    np.testing.assert_array_equal(np.round(1000 * early[:, 1] / 45), published_early)
    rest_at_bats, rest_hits = (season - early).T
    assert rest_at_bats.tolist() == [
        *(367, 426, 521, 275, 418, 466, 586, 138, 510, 200, 277, 270, 435, 538, 186, 558, 408, 70)
    ]
    published = [346, 298, 276, 222, 273, 270, 263, 210, 269, 230, 264, 256, 303, 264, 226, 286, 316, 200]
    # The table differs from the season's records by up to 1.5 thousandths for Kessinger and Campaneris.
    tolerance = np.where(np.isin(names, ["Don Kessinger", "Bert Campaneris"]), 1.6, 0.5001)
    assert (np.abs(1000 * rest_hits / rest_at_bats - published) <= tolerance).all()


def test_lynx_and_hare_count_from_1900_to_1920():
    year, pelts = arrays(LYNXHARE)
    assert year.tolist() == list(range(1900, 1921)) and year.dtype == np.int32
    assert pelts.shape == (21, 2) and pelts.dtype == np.float32
    assert pelts[0].tolist() == pytest.approx([30.0, 4.0])
    # Predators peak a year or so after their prey.
    assert year[pelts[:10].argmax(axis=0)].tolist() == [1903, 1904]
    assert year[10 + pelts[10:].argmax(axis=0)].tolist() == [1913, 1915]


def test_berkeley_admissions_show_simpsons_paradox():
    department, male, applications, admitted = arrays(UCBADMIT)
    assert department.tolist() == np.repeat(np.arange(6), 2).tolist()
    assert male.tolist() == [True, False] * 6 and male.dtype == bool
    assert applications.sum() == 4526 and admitted.sum() == 1755
    assert applications[male].sum() == 2691 and admitted[male].sum() == 1198
    rate = admitted / applications
    assert rate[0] < rate[1]  # department A takes more of the women, the university as a whole fewer
    assert admitted[male].sum() / 2691 > admitted[~male].sum() / (4526 - 2691)


def test_rejections_and_admissions_add_up_to_applications():
    from numpyro.examples._readers import _packaged_rows

    for row in _packaged_rows("ucb_admissions.csv"):
        assert int(row["admitted"]) + int(row["rejected"]) == int(row["applications"])


# Mini-batches


def test_batches_cover_the_data_in_the_order_of_the_indices():
    init, fetch = load_dataset(BASEBALL, batch_size=5)
    np.random.seed(0)
    num_batches, indices = init()
    assert num_batches == 3 and sorted(indices) == list(range(18))
    assert not np.array_equal(indices, init()[1])  # shuffled anew
    everything, names = arrays(BASEBALL)
    for i in range(num_batches):
        batch, batch_names = fetch(i, indices)
        np.testing.assert_array_equal(batch, everything[indices[5 * i : 5 * i + 5]])
        np.testing.assert_array_equal(batch_names, names[indices[5 * i : 5 * i + 5]])


def test_fetch_may_stand_inside_jit():
    _, fetch = load_dataset(UCBADMIT, batch_size=4, shuffle=False)
    indices = np.arange(12)[::-1].copy()
    compiled = jax.jit(lambda i, indices: fetch(i, indices)[2])
    for i in range(3):
        np.testing.assert_array_equal(compiled(i, indices), fetch(i, indices)[2])
    total = jax.lax.fori_loop(0, 3, lambda i, total: total + fetch(i)[2].sum(), 0)
    assert total == 4526


def test_numbers_are_arrays_of_jax_and_strings_of_numpy():
    numbers, names = load_dataset(BASEBALL)[1]()
    assert isinstance(numbers, jax.Array) and isinstance(names, np.ndarray)


def test_iter_dataset_goes_once_through_the_whole_batches():
    batches = list(iter_dataset(BASEBALL, batch_size=4, shuffle=False))
    assert [batch[0].shape for batch in batches] == [(4, 2)] * 4
    np.testing.assert_array_equal(jnp.concatenate([batch[0] for batch in batches]), arrays(BASEBALL)[0][:16])
    assert sorted(np.concatenate([names for _, names in iter_dataset(BASEBALL, batch_size=6)])) == sorted(
        arrays(BASEBALL)[1]
    )


def test_num_datapoints_keeps_the_first():
    assert arrays(BASEBALL, num_datapoints=3)[1].tolist() == ["Roberto Clemente", "Frank Robinson", "Frank Howard"]


def test_wrong_requests_are_errors():
    with pytest.raises(KeyError, match="'baseball' has no split 'valid'; its splits are train, test"):
        load_dataset(BASEBALL, split="valid")
    with pytest.raises(ValueError, match="Dataset - nothing not found.*baseball"):
        load_dataset(dset("nothing", []))
    with pytest.raises(ValueError, match=r"not found. Its loader is load_bart_od\(\)"):
        load_dataset(BART)
    for batch_size in (0, -1, 19):
        with pytest.raises(ValueError, match=f"between 1 and 18.*got {batch_size}"):
            load_dataset(BASEBALL, batch_size=batch_size)
    with pytest.raises(ValueError, match="num_datapoints is to be at least 1"):
        load_dataset(BASEBALL, num_datapoints=0)


# Files from the network


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of data files; nothing is fetched from a network."""

    def unreachable(*args, **kwargs):
        raise urllib.error.URLError("no network in tests")

    monkeypatch.setattr(datasets, "DATA_DIR", str(tmp_path))
    monkeypatch.setattr("numpyro.examples._download.urlopen", unreachable)
    return tmp_path


def test_covtype(folder):
    features, target = np.arange(6 * 54).reshape(6, 54) / 7.0, np.arange(6)
    np.savez(folder / "covtype.npz", data=features, target=target)
    x, y = arrays(COVTYPE)
    assert x.dtype == np.float32 and y.dtype == np.int32
    np.testing.assert_allclose(x, features, rtol=1e-6)
    np.testing.assert_array_equal(y, target)


def test_mnist(folder):
    rng = np.random.default_rng(0)
    data = {}
    for prefix, n in [("train", 7), ("t10k", 3)]:
        data[prefix] = rng.integers(0, 256, (n, 28, 28), np.uint8), rng.integers(0, 10, n, np.uint8)
        for array, kind in zip(data[prefix], ["images-idx3", "labels-idx1"]):
            header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
            with gzip.open(folder / f"{prefix}-{kind}-ubyte.gz", "wb") as file:
                file.write(header + array.tobytes())
    for split, prefix in [("train", "train"), ("test", "t10k")]:
        images, labels = arrays(MNIST, split)
        np.testing.assert_allclose(images, data[prefix][0] / 255.0, rtol=1e-6)
        np.testing.assert_array_equal(labels, data[prefix][1])
        assert images.dtype == np.float32 and labels.dtype == np.int8
    with gzip.open(folder / "t10k-labels-idx1-ubyte.gz", "wb") as file:
        file.write(b"no such format")
    with pytest.raises(ValueError, match="not an IDX file"):
        load_dataset(MNIST)


def test_jsb_chorales(folder):
    chorales = [[(60, 64, 67), (60,), ()], [(21,), (108,)]]
    (folder / "jsb_chorales.pickle").write_bytes(pickle.dumps(dict.fromkeys(["train", "valid", "test"], chorales)))
    lengths, rolls = arrays(JSB_CHORALES, "valid")
    assert lengths.tolist() == [3, 2] and rolls.shape == (2, 3, 88)
    assert rolls.sum(axis=-1).tolist() == [[3, 1, 0], [1, 1, 0]]
    assert np.nonzero(rolls[0, 0])[0].tolist() == [39, 43, 46]
    assert np.nonzero(rolls[1])[1].tolist() == [0, 87]


def test_higgs(folder):
    table = np.random.default_rng(0).normal(size=(60, 29)).round(3)
    table[:, 0] = np.arange(60) % 2
    with gzip.open(folder / "HIGGS.csv.gz", "wt") as file:
        np.savetxt(file, table, delimiter=",", fmt="%.5e")
    x, y = arrays(HIGGS)
    np.testing.assert_allclose(x, table[:57, 1:], rtol=1e-6)
    np.testing.assert_array_equal(y, table[:57, 0])
    assert arrays(HIGGS, "test")[0].shape == (3, 28)
    assert arrays(HIGGS, num_datapoints=20)[0].shape == (19, 28)


def test_tables_of_text(folder):
    rows = np.random.default_rng(0).normal(size=(4, 14)).round(4)
    np.savetxt(folder / "housing.data", rows, fmt="%9.4f")
    x, y = arrays(BOSTON_HOUSING)
    np.testing.assert_allclose(np.column_stack([x, y]), rows, rtol=1e-6)

    (folder / "SP500.csv").write_text("DATE,VALUE\n2013-01-02,1462.42\n2013-01-03,1459.37\n")
    dates, values = arrays(SP500)
    assert dates.tolist() == ["2013-01-02", "2013-01-03"]
    np.testing.assert_allclose(values, [1462.42, 1459.37], rtol=1e-6)

    lines = ["5-9,2010,1,2,3,4,5,106", "0-4,2011,0,1,2,3,4,105"]
    for header in ("age_group,year,a,s1,s2,t,deaths,population\n", ""):
        (folder / "simulated_mortality.csv").write_text(header + "\n".join(lines))
        assert [array.tolist() for array in arrays(MORTALITY)] == [[1, 0], [2, 1], [3, 2], [4, 3], [5, 4], [106, 105]]


def test_dipper_and_vole(folder):
    files = {
        "dipper_capture_history.csv": "1,0,1\n2,1,1\n3,1,0\n",
        "dipper_sex.csv": "1,0\n2,1\n3,1\n",
        "meadow_voles_capture_history.csv": "1,1,0,1\n2,0,0,1\n",
    }
    with zipfile.ZipFile(folder / "dipper_vole.zip", "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    history, sex = arrays(DIPPER_VOLE, "dipper")
    assert history.tolist() == [[0, 1], [1, 1], [1, 0]] and sex.tolist() == [0, 1, 1]
    assert arrays(DIPPER_VOLE, "vole")[0].tolist() == [[1, 0, 1], [0, 0, 1]]


def test_nine_mers(folder):
    x, y = np.arange(18).reshape(2, 9), np.array([0, 1])
    (folder / "9mers_data.pkl").write_bytes(pickle.dumps({"train": [x, y], "val": (x[:1], y[:1])}))
    np.testing.assert_array_equal(arrays(NINE_MERS)[0], x)
    np.testing.assert_array_equal(arrays(NINE_MERS, "val")[1], y[:1])


def test_bart_joins_the_hours_of_its_files(folder):
    start = np.array(datetime.datetime(2011, 1, 1))
    for i in range(4):
        np.savez(
            folder / f"bart_{i}.npz",
            stations=np.array(["A", "B"]),
            start_date=start,
            counts=np.full((3, 2, 2), i),
        )
    data = load_bart_od()
    assert data["stations"].tolist() == ["A", "B"]
    assert data["start_date"].item() == datetime.datetime(2011, 1, 1)
    assert data["counts"][:, 0, 1].tolist() == np.repeat(np.arange(4), 3).tolist()


def test_a_pickle_that_would_run_code_is_refused(folder):
    class Malicious:
        def __reduce__(self):
            return print, ("code ran",)

    (folder / "9mers_data.pkl").write_bytes(pickle.dumps({"train": Malicious()}))
    with pytest.raises(pickle.UnpicklingError, match="builtins.print"):
        load_dataset(NINE_MERS)


def test_without_a_network_the_error_says_where_to_put_the_file(folder):
    with pytest.raises(urllib.error.URLError, match=r"covtype\.npz\?raw=true \(no network in tests\)") as error:
        load_dataset(COVTYPE)
    assert f"put a copy of the file at {folder / 'covtype.npz'}" in str(error.value)
    assert list(folder.iterdir()) == []  # no half file is left


def test_files_are_downloaded_once_and_transient_failures_tried_again(folder, monkeypatch):
    buffer = io.BytesIO()
    np.savez(buffer, data=np.ones((2, 54)), target=np.zeros(2))
    calls = []

    def answer(url, timeout):
        calls.append(url)
        if len(calls) == 1:
            raise urllib.error.HTTPError(url, 503, "busy", {}, None)
        return io.BytesIO(buffer.getvalue())

    monkeypatch.setattr("numpyro.examples._download.urlopen", answer)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    for _ in range(2):
        assert arrays(COVTYPE)[0].shape == (2, 54)
    assert calls == COVTYPE.urls * 2
    assert [path.name for path in folder.iterdir()] == ["covtype.npz"]


def test_a_missing_page_is_not_tried_again(folder, monkeypatch):
    calls = []

    def answer(url, timeout):
        calls.append(url)
        raise urllib.error.HTTPError(url, 404, "not found", {}, None)

    monkeypatch.setattr("numpyro.examples._download.urlopen", answer)
    with pytest.raises(urllib.error.URLError, match="not found"):
        load_dataset(SP500)
    assert len(calls) == 1
