"""Tables of the reference, written from the classes themselves each time the documentation is built.

``.. families::`` lists the distributions, ``.. constraints::`` describes the sets, ``.. transforms::`` lists the maps
and ``.. divergences::`` the pairs of families whose divergence is known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import catalogue
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import numpyro.distributions as dist


class _Text(SphinxDirective):
    """A directive that stands for text in reStructuredText."""

    def text(self) -> str:
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()  # what the classes say may change where the page does not
        return self.parse_text_to_nodes(self.text())


def directive(text: Callable[[], str]) -> type[_Text]:
    return type(text.__name__, (_Text,), {"text": lambda self: text()})


def resolve_short_name(app: Sphinx, env: Any, node: Any, content: Any) -> Any:
    """Lead ``Gamma``, from whichever module's docstring, to ``numpyro.distributions.continuous.Gamma``."""
    name = node.get("reftarget", "").removeprefix(f"{dist.__name__}.")
    if node.get("refdomain") != "py" or name not in dist.__all__ or not hasattr(getattr(dist, name), "__module__"):
        return None
    full_name = f"{getattr(dist, name).__module__}.{name}"
    return env.domains["py"].resolve_xref(env, node["refdoc"], app.builder, "obj", full_name, node, content)


def setup(app: Sphinx) -> dict[str, bool]:
    for name, text in (
        ("families", catalogue.families_table),
        ("constraints", catalogue.constraints_text),
        ("transforms", catalogue.transforms_table),
        ("divergences", catalogue.divergences_table),
    ):
        app.add_directive(name, directive(text))
    app.connect("missing-reference", resolve_short_name)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
