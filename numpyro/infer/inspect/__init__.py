"""The structure of a model: what depends on what, as tables and as a picture.

1. ``dependencies``: :func:`get_dependencies`, which latent sites depend on which, a priori and a posteriori;
2. ``relations``: :func:`get_model_relations`, sites, params, plates and what connects them;
3. ``graph``: from relations to a description of nodes, edges and nested plates;
4. ``render``: :func:`render_model`, the picture, in the language of Graphviz.

What depends on what is read off the operations of the model, traced once without being run
(:mod:`numpyro.ops.provenance`).
"""

from numpyro.infer.inspect.dependencies import get_dependencies
from numpyro.infer.inspect.graph import generate_graph_specification
from numpyro.infer.inspect.relations import get_model_relations
from numpyro.infer.inspect.render import render_graph, render_model

__all__ = [
    "generate_graph_specification",
    "get_dependencies",
    "get_model_relations",
    "render_graph",
    "render_model",
]
