"""From figures to the table: minima, ratios, what is missing, and verdicts. Nothing here is timed."""

import subprocess

import numpy as np
import pytest

from benchmarks.environments import OURS, Environment, figures_of
from benchmarks.judge import judge, scalars_of
from benchmarks.table import combine, least, mean_lines, mean_of_logs, notes, ratio, ratio_table, show
from benchmarks.targets import Target, judge_targets

ROWS = {
    "a": {
        OURS: {"first": 1.0, "leapfrog": 2.0, "compiles_again": 0.0},
        "numpyro": {"first": 4.0, "leapfrog": 8.0, "compiles_again": 90.0},
        "nutpie": {"errors": {"leapfrog": "no compiler"}, "first": 2.0},
        "bare": {"leapfrog": 1.0},
    },
    "b": {
        OURS: {"first": 1.0, "leapfrog": 2.0},
        "numpyro": {"first": 1.0},
        "nutpie": {"errors": {"compiling": "there is no PyMC model of b"}},
    },
}


def finished(stdout, stderr, status):
    return subprocess.CompletedProcess([], status, stdout, stderr)


def test_least_of_each_figure_without_failures():
    found = least([{"first": 3.0, "version": "x"}, {"error": "broke"}, {"first": 2.0, "version": "x"}])
    assert found == {"first": 2.0, "version": "x"}
    assert least([{"error": "one"}, {"error": "two"}]) == {"error": "two"}


def test_combine_keeps_what_succeeded_and_says_what_failed():
    assert combine({"compiling": {"first": 1.0}, "leapfrog": {"error": "broke", "version": "x"}}) == {
        "first": 1.0,
        "version": "x",
        "errors": {"leapfrog": "broke"},
    }


def test_ratio_needs_both_figures():
    assert ratio({"first": 1.0}, {"first": 4.0}, "first") == 0.25
    assert ratio({}, {"first": 4.0}, "first") is None
    assert ratio({"first": 1.0}, {}, "first") is None
    assert ratio({"compiles_again": 0.0}, {"compiles_again": 0.0}, "compiles_again") is None


def test_table_has_a_dash_for_what_is_missing_and_a_note_that_says_why():
    table = ratio_table(ROWS, [OURS, "numpyro", "nutpie", "bare"], ["first", "leapfrog", "compiles_again"])
    assert table[0].endswith("| ratio to numpyro | ratio to nutpie | ratio to bare |")
    assert table[2:] == [
        "| a | first run, s | 1 | 0.25 | 0.5 | - |",
        "| a | µs per leapfrog | 2 | 0.25 | - | 2 |",
        "| a | compilations, repeated run | 0 | 0 | - | - |",
        "| b | first run, s | 1 | 1 | - | - |",
        "| b | µs per leapfrog | 2 | - | - | - |",
    ]
    assert notes(ROWS) == ["a, nutpie, leapfrog: no compiler", "b, nutpie, compiling: there is no PyMC model of b"]


def test_means_are_geometric_over_what_both_have():
    assert mean_of_logs([1.0, 4.0]) == pytest.approx(2.0)
    lines = mean_lines(ROWS, [OURS, "numpyro"], ["first", "leapfrog"])
    assert lines == [
        "first run, s, ratio to numpyro: geometric mean 0.5 over 2",
        "µs per leapfrog, ratio to numpyro: geometric mean 0.25 over 1",
    ]


def test_numbers_have_three_digits():
    assert [show(x) for x in (0.012345, 12.345, 1234.5, None, float("nan"))] == ["0.0123", "12.3", "1234", "-", "-"]


def test_last_line_of_a_worker_or_of_its_complaint():
    assert figures_of(finished('a warning\n{"first": 1.0}\n', "", 0)) == {"first": 1.0}
    assert figures_of(finished("", "Traceback\nImportError: no module\n\n", 1)) == {"error": "ImportError: no module"}
    native = "RuntimeError: no start\n\nStack backtrace:\n   8: clone3\n"
    assert figures_of(finished("", native, 1)) == {"error": "RuntimeError: no start"}
    assert figures_of(finished("", "", -9)) == {"error": "ended with status -9 and no output"}


def test_peers_are_named_by_their_library():
    assert Environment.parse("numpyro-old=/x").worker == "benchmarks.worker"
    assert not Environment.parse("numpyro=/x").with_project
    assert Environment.parse("blackjax=/x").with_project
    with pytest.raises(ValueError, match="numpyro=FOLDER, blackjax=FOLDER, nutpie=FOLDER"):
        Environment.parse("stan=/x")


def test_targets_take_the_worst_case():
    found = {target.what: target for target in judge_targets(ROWS | {"radon": {}}, {}, {})}
    assert found["compilations of a repeated run"].verdict == "ok"
    assert found["repeated run, CPU time"].verdict == "-"
    rows = {"eight schools": ROWS["a"], "radon": ROWS["b"]}
    first = {target.what: target for target in judge_targets(rows, {}, {})}["first run of a small model, CPU time"]
    assert (first.measured, first.verdict, first.detail) == (1.0, "missed", "eight schools 0.25, radon 1")
    posteriors = {"p": {OURS: {"ess_compiled": 8.0}, "numpyro": {"ess_compiled": 2.0}}}
    ess = next(t for t in judge_targets({}, posteriors, {}) if t.what.startswith("min ESS/s"))
    assert (ess.measured, ess.verdict) == (pytest.approx(4.0), "ok")


def test_verdicts_at_the_bound():
    assert Target("x", 0.5, 0.5).verdict == "ok"
    assert Target("x", 3, 2.9, at_least=True).verdict == "missed"
    assert Target("x", 3, None).verdict == "-"


def test_judge_holds_draws_against_a_reference(tmp_path):
    path = str(tmp_path / "draws.npz")
    rng = np.random.default_rng(0)
    draws = rng.standard_normal((4, 1000, 2)) * [1.0, 2.0]
    np.savez(path, theta=draws, constant=np.ones((4, 1000)))
    assert list(scalars_of(path)) == ["theta[1]", "theta[2]", "constant"]
    truth = {"theta[1]": {"mean": 0.0, "sd": 1.0}, "theta[2]": {"mean": 0.0, "sd": 2.0}}
    good = judge(path, {"cpu": 2.0, "compile": 6.0}, truth)
    assert good["right"] and good["min_ess"] > 3000  # of 4000 independent draws
    assert good["ess_compiled"] == good["min_ess"] / 2
    assert good["ess_whole"] == good["min_ess"] / 8
    assert not judge(path, {"cpu": 2.0, "compile": 6.0}, {"theta[1]": {"mean": 0.5, "sd": 1.0}})["right"]
