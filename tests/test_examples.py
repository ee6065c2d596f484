"""The gallery and the demo run, in short, and find what they are about to find."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def example(name: str) -> Any:
    """The ``main`` of one script of the gallery."""
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]


def test_the_gallery_is_listed():
    listed = (EXAMPLES / "README.md").read_text()
    assert [path.name for path in sorted(EXAMPLES.glob("*.py")) if f"`{path.name}`" not in listed] == []


@pytest.mark.slow
def test_eight_schools_diverges_less_without_centring():
    divergences = example("eight_schools")(num_samples=500, num_chains=2)
    assert divergences[0.0] < 5 < divergences[1.0]


def test_baseball_predicts_best_by_partial_pooling():
    measures = example("baseball")(num_samples=500, num_chains=1)
    density = {name: measure[0] for name, measure in measures.items()}
    error = {name: measure[1] for name, measure in measures.items()}
    assert density["no_pooling"] < min(density["full_pooling"], density["partial_pooling"]) - 5
    assert error["partial_pooling"] < error["full_pooling"] < error["no_pooling"]


def test_logistic_regression_is_right_on_what_was_held_out():
    assert example("logistic_regression")(num_samples=200, num_chains=1) > 0.95


def test_gaussian_process_finds_the_function():
    assert example("gaussian_process")(num_samples=200, num_chains=1) < 0.1


@pytest.mark.slow
def test_horseshoe_picks_the_relevant_predictors():
    assert set(example("horseshoe")(num_samples=300, num_chains=1)) >= {3, 17, 41}


def test_demo_reports_and_draws(tmp_path, capsys, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(sys, "argv", ["demo", "--output", str(tmp_path)])
    runpy.run_module("numpyro.examples.demo", run_name="__main__")
    printed = capsys.readouterr().out
    assert "Eight schools, non-centred" in printed and "partial pooling" in printed
    assert (tmp_path / "posterior.png").read_bytes().startswith(b"\x89PNG")


def test_the_auto_encoder_knows_more_of_digits_than_their_pixels():
    """Bounds in nats per image: one that holds for what was not seen, and no far worse than for what was."""
    pytest.importorskip("flax")
    bounds = example("vae")(num_steps=1500)
    assert bounds["held out images"] > -20.5 > -24.0 > bounds["independent pixels"]
    assert bounds["training images"] - bounds["held out images"] < 3.0


@pytest.mark.slow
def test_the_bayesian_network_predicts_patients_that_were_left_out():
    pytest.importorskip("flax")
    densities = example("bayesian_network")(num_steps=2000, num_samples=200)
    assert min(densities["variational"], densities["NUTS"]) > densities["no measurements"] + 0.15
