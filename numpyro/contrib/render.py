"""Pictures of models, under the name that they had before :mod:`numpyro.infer.inspect`."""

from numpyro.infer.inspect import generate_graph_specification, get_model_relations, render_graph, render_model

__all__ = ["generate_graph_specification", "get_model_relations", "render_graph", "render_model"]
