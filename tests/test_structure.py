"""How the package is put together: imports point downwards, files stay small, extras stay behind their adapters."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "numpyro"

# Rooms from the ground up. A module belongs to its longest prefix here; what is not named stands on top of everything.
LAYERS = [
    ["numpyro._errors", "numpyro._typing"],
    ["numpyro._util", "numpyro.util", "numpyro.diagnostics"],
    ["numpyro.ops"],
    ["numpyro.distributions"],
    ["numpyro.nn"],
    ["numpyro.primitives"],
    ["numpyro.enumeration"],
    ["numpyro.handlers"],
    ["numpyro.infer.chain_axis", "numpyro.infer.one_kernel", "numpyro.infer.program"],
    [
        "numpyro.infer.discrete",
        "numpyro.infer.initialization",
        "numpyro.infer.model",
        "numpyro.infer.predictive",
        "numpyro.infer.reparam",
        "numpyro.infer.util",
    ],
    ["numpyro.infer.mcmc"],
    ["numpyro.infer.adaptation"],
    ["numpyro.infer.hmc", "numpyro.infer.hmc_util"],
    ["numpyro.optim"],
    ["numpyro.infer.elbo"],
    ["numpyro.infer.importance", "numpyro.infer.svi"],
    ["numpyro.infer.autoguide", "numpyro.infer.calibration"],
    ["numpyro.infer"],
    ["numpyro.contrib"],
]

# Optional packages, and the modules that may import them.
ADAPTERS = {
    "arviz": [],
    "equinox": ["numpyro.contrib.module"],
    "flax": ["numpyro.contrib.module"],
    "graphviz": ["numpyro.infer.inspect"],
    "haiku": ["numpyro.contrib.module"],
    "jaxns": ["numpyro.contrib.nested_sampling"],
    "matplotlib": ["numpyro.examples.demo.picture"],
    "sklearn": [],
    "tensorflow_probability": ["numpyro.contrib.nested_sampling", "numpyro.contrib.tfp"],
    "zarr": ["numpyro.infer.mcmc.store"],
}

MAX_LINES = 500


@cache
def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text())


def running_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under ``if TYPE_CHECKING:``, which never run."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for alternative in child.orelse:
                yield alternative
                yield from running_nodes(alternative)
        else:
            yield child
            yield from running_nodes(child)


@cache
def imported_names(module: str) -> frozenset[str]:
    """The absolute dotted names that a module imports, at its top or late, ``from a import b`` counting as ``a.b``."""
    names = set()
    package = module.split(".") if modules()[module].name == "__init__.py" else module.split(".")[:-1]
    for node in running_nodes(tree(module)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            names.update(f"{source}.{alias.name}" for alias in node.names)
    return frozenset(names)


@cache
def edges(module: str) -> frozenset[str]:
    """The modules of the package that a module imports; ``from package import submodule`` points at the submodule."""
    targets = set()
    for name in imported_names(module):
        while name and name not in modules():
            name = name.rpartition(".")[0]
        if name:
            targets.add(name)
    return frozenset(targets - {module})


def layer(module: str) -> int:
    best, height = "", len(LAYERS)
    for index, prefixes in enumerate(LAYERS):
        for prefix in prefixes:
            if (module == prefix or module.startswith(prefix + ".")) and len(prefix) > len(best):
                best, height = prefix, index
    return height


def find_cycle(graph: dict[str, frozenset[str]]) -> list[str]:
    """A closed path of the graph, or an empty list: depth first, a node on the current path met again closes it."""
    done: set[str] = set()
    for start in graph:
        path, pending = [start], [iter(sorted(graph[start]))]
        while path:
            following = next(pending[-1], None)
            if following is None:
                done.add(path.pop())
                pending.pop()
            elif following in path:
                return [*path[path.index(following) :], following]
            elif following not in done:
                path.append(following)
                pending.append(iter(sorted(graph[following])))
    return []


def test_find_cycle_knows_a_cycle_from_a_diamond():
    diamond = {"a": frozenset("bc"), "b": frozenset("d"), "c": frozenset("d"), "d": frozenset()}
    assert find_cycle(diamond) == []
    assert find_cycle({**diamond, "d": frozenset("b")}) == ["b", "d", "b"]


def test_imports_form_no_cycle():
    cycle = find_cycle({module: edges(module) for module in modules()})
    assert not cycle, " -> ".join(cycle)


def test_imports_point_downwards():
    upward = [f"{m} imports {t}" for m in modules() for t in edges(m) if layer(t) > layer(m)]
    assert not upward, "\n".join(upward)


def test_files_are_short_or_say_why_not():
    """A longer file gives its reason in the module docstring, in a sentence with the words "in one file because"."""
    long = {m: len(p.read_text().splitlines()) for m, p in modules().items()}
    reasonless = {
        m: n
        for m, n in long.items()
        if n > MAX_LINES and not re.search(r"in one\s+file\s+because", ast.get_docstring(tree(m)) or "")
    }
    assert not reasonless


def test_every_module_says_what_it_is():
    silent = [m for m in modules() if tree(m).body and not ast.get_docstring(tree(m))]
    assert not silent


def test_no_assert_guards_anything():
    asserts = [
        f"{modules()[m].relative_to(ROOT)}:{node.lineno}"
        for m in modules()
        for node in ast.walk(tree(m))
        if isinstance(node, ast.Assert)
    ]
    assert not asserts


@pytest.mark.parametrize("extra", sorted(ADAPTERS))
def test_optional_packages_stay_behind_their_adapter(extra):
    importers = [m for m in modules() if any(name.split(".")[0] == extra for name in imported_names(m))]
    strays = [m for m in importers if not any(m == a or m.startswith(a + ".") for a in ADAPTERS[extra])]
    assert not strays


def test_private_modules_of_jax_are_touched_in_one_file():
    touching = [m for m, path in modules().items() if "jax._src" in path.read_text()]
    assert len(touching) <= 1, touching


def test_import_brings_in_nothing_beyond_jax():
    """``import numpyro`` stays cheap: optimisers, progress bars, SciPy and plots are imported where they are used."""
    program = (
        "import json, sys; import jax, jax.scipy.special; before = set(sys.modules); import numpyro;"
        "print(json.dumps(sorted({name.split('.')[0] for name in set(sys.modules) - before})))"
    )
    output = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=ROOT)
    new = set(json.loads(output.stdout)) - set(sys.stdlib_module_names)
    assert {name for name in new if not name.startswith("__editable__")} <= {"numpyro", "jax", "jaxlib", "numpy"}


def test_every_public_name_exists():
    missing = []
    for module in modules():
        declared = [
            node
            for node in tree(module).body
            if isinstance(node, ast.Assign) and any(ast.unparse(t) == "__all__" for t in node.targets)
        ]
        if declared:
            loaded = importlib.import_module(module)
            missing += [f"{module}.{name}" for name in loaded.__all__ if not hasattr(loaded, name)]
            assert len(set(loaded.__all__)) == len(loaded.__all__), module
    assert not missing


def test_the_version_is_stated_once():
    numpyro = importlib.import_module("numpyro")
    assert numpyro.__version__ == importlib.metadata.version("numpyro")
