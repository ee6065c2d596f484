"""Pictures of models, as text."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import numpyro
import numpyro.contrib.render
import numpyro.distributions as dist
from numpyro.infer import inspect
from numpyro.infer.inspect import render_model


def model(data=np.zeros(3)):
    scale = numpyro.param("scale", 1.0, constraint=dist.constraints.positive)
    mean = numpyro.sample("mean", dist.Normal(0, 1))
    shift = numpyro.deterministic("shift", mean + 1)
    with numpyro.plate("outer", 2), numpyro.plate("rows", len(data)):
        numpyro.sample("y", dist.Normal(shift, scale), obs=np.zeros((len(data), 2)))


@pytest.fixture(params=["graphviz", "text"])
def source(request, monkeypatch):
    """A function that renders to text without quotes, with the package graphviz and without."""
    if request.param == "graphviz":
        pytest.importorskip("graphviz")
    else:
        monkeypatch.setitem(sys.modules, "graphviz", None)
    return lambda *args, **kwargs: render_model(*args, **kwargs).source.replace('"', "")


def lines_of(text):
    return [line.strip() for line in text.splitlines()]


def test_nodes_edges_and_plates(source):
    text = source(model)
    lines = lines_of(text)
    assert lines[0] == "digraph {"
    assert {"mean -> shift", "shift -> y"} <= set(lines)
    assert text.count("y [label=y") == 1
    assert lines.index("subgraph cluster_outer {") < lines.index("subgraph cluster_rows {")
    assert lines.index("subgraph cluster_rows {") < next(
        i for i, line in enumerate(lines) if line.startswith("y [label")
    )
    styles = {line.split(" ")[0]: line for line in lines if "[label" in line}
    assert "fillcolor=grey" in styles["y"]
    assert "fillcolor=white" in styles["mean"]
    assert "style=filled,dashed" in styles["shift"]
    assert "scale" not in text
    assert text.count("{") == text.count("}")


def test_distributions_and_params(source):
    text = source(model, render_distributions=True, render_params=True)
    assert "scale -> y" in lines_of(text)
    description = "mean ~ Normal\\lshift ~ Deterministic\\ly ~ Normal\\lscale ∈ Positive(lower_bound=0.0)\\l"
    assert description in text
    assert "shape=plain " in text.replace("]", " ")


def test_arguments_reach_the_model(source):
    assert "cluster_rows" in source(model, (np.zeros(5),))
    assert "cluster_rows" in source(model, model_kwargs={"data": np.zeros(5)})


def test_rendering_leaves_the_specification_as_it_is():
    graph = inspect.generate_graph_specification(inspect.get_model_relations(model))
    assert str(inspect.render_graph(graph)) == str(inspect.render_graph(graph))


def test_the_text_can_be_written(tmp_path, source):
    path = tmp_path / "model.dot"
    text = source(model, filename=str(path))
    assert path.read_text().replace('"', "") == text
    with pytest.raises(ValueError, match="suffix"):
        source(model, filename=str(tmp_path / "model"))


def test_pictures_need_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "graphviz", None)
    with pytest.raises(ImportError, match="pip install graphviz"):
        render_model(model, filename=str(tmp_path / "model.png"))


def test_names_with_quotes(monkeypatch):
    monkeypatch.setitem(sys.modules, "graphviz", None)
    text = render_model(lambda: numpyro.sample('a "b"', dist.Normal(0, 1))).source
    assert '"a \\"b\\"" [label="a \\"b\\""' in text


def test_other_names():
    assert numpyro.render_model is render_model
    for name in numpyro.contrib.render.__all__:
        assert getattr(numpyro.contrib.render, name) is getattr(inspect, name)
