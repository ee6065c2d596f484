"""Pictures of models, in the language of Graphviz."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from numpyro.infer.inspect.graph import generate_graph_specification
from numpyro.infer.inspect.relations import get_model_relations


class DotText:
    """The source of a picture, where the ``graphviz`` package, which draws it, is not installed.

    Of ``graphviz.Digraph`` it has ``node``, ``edge``, ``attr``, ``subgraph`` and ``source``.
    """

    def __init__(self, name: str | None = None) -> None:
        self.name = name
        self.body: list[str] = []

    def attr(self, **attributes: str) -> None:
        self.body.append(" ".join(f"{key}={_quoted(value)}" for key, value in attributes.items()))

    def node(self, name: str, **attributes: str) -> None:
        listed = " ".join(f"{key}={_quoted(value)}" for key, value in attributes.items())
        self.body.append(f"{_quoted(name)} [{listed}]")

    def edge(self, tail: str, head: str) -> None:
        self.body.append(f"{_quoted(tail)} -> {_quoted(head)}")

    def subgraph(self, graph: DotText) -> None:
        self.body += [f"subgraph {_quoted(graph.name or '')} {{", *(f"\t{line}" for line in graph.body), "}"]

    @property
    def source(self) -> str:
        """The text."""
        return "\n".join(["digraph {", *(f"\t{line}" for line in self.body), "}", ""])

    __str__ = source.fget  # type: ignore[attr-defined]


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '\\"') + '"'


def _new_graph(name: str | None = None) -> Any:
    try:
        import graphviz
    except ImportError:
        return DotText(name)
    return graphviz.Digraph(name)


def render_graph(graph_specification: Mapping[str, Any], render_distributions: bool = False) -> Any:
    """Draw a graph: observed sites are grey, deterministic ones dashed, params without a frame, plates boxes.

    :param graph_specification: what :func:`~numpyro.infer.inspect.generate_graph_specification` returns.
    :param render_distributions: whether to list the distributions of the sites, and the constraints of params.
    :return: a ``graphviz.Digraph``; where the ``graphviz`` package is not installed, an object that has the text of
        the graph as its ``source``.
    """
    plate_groups, plate_data = graph_specification["plate_groups"], graph_specification["plate_data"]
    node_data = graph_specification["node_data"]
    graph = _new_graph()

    def draw(into: Any, plate: str | None) -> None:
        """Draw the nodes of a plate, then the plates in it."""
        within = [inner for inner, data in plate_data.items() if data["parent"] == plate]
        deeper = {name for inner in within for name in plate_groups[inner]}
        for name in plate_groups.get(plate, ()):
            if name not in deeper or plate is None:
                into.node(name, label=name, **_style(node_data[name]))
        for inner in within:
            cluster = _new_graph(f"cluster_{inner}")
            cluster.attr(label=inner.split("__CLONE")[0], labeljust="r", labelloc="b")
            draw(cluster, inner)
            into.subgraph(cluster)

    draw(graph, None)
    for source, target in graph_specification["edge_list"]:
        graph.edge(source, target)
    if render_distributions:
        lines = [_description(name, data) for name, data in node_data.items()]
        graph.node("distribution_description_node", label="".join(lines), shape="plaintext")
    return graph


def _style(data: Mapping[str, Any]) -> dict[str, str]:
    if data["distribution"] is None:
        return {"shape": "plain", "style": "filled", "fillcolor": "white"}
    style = "filled,dashed" if data["distribution"] == "Deterministic" else "filled"
    return {"shape": "ellipse", "style": style, "fillcolor": "grey" if data["is_observed"] else "white"}


def _description(name: str, data: Mapping[str, Any]) -> str:
    """A line of text, ended by the code for flush left."""
    if data["distribution"] is not None:
        return f"{name} ~ {data['distribution']}\\l"
    return f"{name} ∈ {data['constraint']}\\l" if data["constraint"] else ""


def render_model(
    model: Callable,
    model_args: tuple | None = None,
    model_kwargs: dict[str, Any] | None = None,
    filename: str | None = None,
    render_distributions: bool = False,
    render_params: bool = False,
) -> Any:
    """Draw a model: its sites as nodes, what depends on what as arrows, its plates as boxes.

    :param model: the model.
    :param model_args: its positional arguments.
    :param model_kwargs: its keyword arguments.
    :param filename: a file to write the picture to, of the format that its suffix tells: ``.pdf``, ``.png``, ``.svg``,
        or ``.dot`` for the text of the graph.
    :param render_distributions: whether to list the distributions of the sites.
    :param render_params: whether to draw params.
    :return: a ``graphviz.Digraph``, which notebooks show; where the ``graphviz`` package is not installed, an object
        that has the text of the graph as its ``source``.
    :raises ValueError: if ``filename`` has no suffix.
    :raises ImportError: if a picture is to be written and ``graphviz`` is not installed.

    >>> import numpy as np, numpyro, numpyro.distributions as dist
    >>> def model(data):
    ...     mean = numpyro.sample("mean", dist.Normal(0, 1))
    ...     with numpyro.plate("N", len(data)):
    ...         numpyro.sample("y", dist.Normal(mean, 1), obs=data)
    >>> "mean -> y" in str(render_model(model, (np.zeros(3),))).replace('"', "")
    True
    """
    relations = get_model_relations(model, model_args, model_kwargs)
    graph = render_graph(generate_graph_specification(relations, render_params), render_distributions)
    if filename is not None:
        _write(graph, Path(filename))
    return graph


def _write(graph: Any, path: Path) -> None:
    if not path.suffix:
        raise ValueError(f"filename must tell the format by its suffix, as in '{path}.pdf', but got '{path}'.")
    if path.suffix in (".dot", ".gv"):
        path.write_text(graph.source)
    elif isinstance(graph, DotText):
        raise ImportError(
            f"To write '{path}' the package graphviz is needed: pip install graphviz (and the Graphviz programs). The "
            "text of the graph can be written without, as in filename='model.dot'."
        )
    else:
        graph.render(path.with_suffix(""), view=False, cleanup=True, format=path.suffix[1:])
