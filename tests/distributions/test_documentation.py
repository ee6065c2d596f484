"""What the reference says of each family, constraint, transform and divergence is complete, and what it can do, true.

The tables of the reference are made from the classes and their docstrings by ``docs/extensions/catalogue.py``.
"""

from __future__ import annotations

import importlib.util
import inspect
import re
from pathlib import Path
from typing import Any

import jax
import pytest

import numpyro.distributions as dist
from numpyro.distributions.kl import kl_divergence
from tests.helpers.distributions import CASES, Case

DOCS = Path(__file__).parents[2] / "docs"
FORMULA = re.compile(r"^\s*\.\. math::|:math:`", re.MULTILINE)
REFERENCE = re.compile(r"^\*\*Reference:\*\* \S", re.MULTILINE)


def _load_catalogue() -> Any:
    spec = importlib.util.spec_from_file_location("catalogue", DOCS / "extensions" / "catalogue.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


catalogue = _load_catalogue()
FAMILIES = [family for family in catalogue.families() if family is not dist.Distribution]
FRAME = [family for family in FAMILIES if family.__module__ == "numpyro.distributions.distribution"]


def named(documented: Any) -> str:
    return documented.__name__


def undocumented(documented: Any) -> list[str]:
    """Parameters without a line of their own; ``validate_args`` needs one where it is not what it is elsewhere."""
    found = inspect.signature(documented).parameters.values()
    needed = [p.name for p in found if p.name != "validate_args" or p.default is not None]
    return [name for name in needed if not catalogue.field(documented, f"param {name}")]


@pytest.mark.parametrize("family", FAMILIES, ids=named)
def test_family_says_its_density_parameters_support_and_reference(family: type[dist.Distribution]) -> None:
    text = inspect.getdoc(family) or ""
    assert FORMULA.search(text.split(":param")[0]), "a formula of the density or mass"
    assert undocumented(family) == []
    assert catalogue.field(family, "support")
    assert REFERENCE.search(text), "**Reference:** author (year), title"


def test_base_class_says_what_validate_args_is() -> None:
    assert catalogue.field(dist.Distribution, "param validate_args")


@pytest.mark.parametrize("maker", catalogue.makers(), ids=named)
def test_function_that_makes_distributions_says_its_parameters_and_what_it_returns(maker: Any) -> None:
    assert undocumented(maker) == []
    assert catalogue.field(maker, "return")


@pytest.mark.parametrize("name", catalogue.sets())
def test_constraint_says_its_set_and_parameters(name: str) -> None:
    constraint = catalogue.sets()[name]
    cls = constraint if inspect.isclass(constraint) else type(constraint)
    assert FORMULA.search((inspect.getdoc(cls) or "").split(":param")[0])
    assert not inspect.isclass(constraint) or undocumented(cls) == []


@pytest.mark.parametrize("transform", catalogue.maps(), ids=named)
def test_transform_says_its_formula_parameters_sets_and_determinant(transform: Any) -> None:
    assert FORMULA.search((inspect.getdoc(transform) or "").split(":param")[0].split(":domain")[0])
    assert undocumented(transform) == []
    for name in ("domain", "codomain", "log determinant"):
        assert catalogue.field(transform, name), name


@pytest.mark.parametrize("rule", dict.fromkeys(kl_divergence.rules.values()), ids=named)
def test_rule_for_a_divergence_says_its_formula(rule: Any) -> None:
    assert FORMULA.search(inspect.getdoc(rule) or "")


def test_every_rule_for_a_divergence_is_in_the_table() -> None:
    assert all(catalogue.public(p) and catalogue.public(q) for p, q in kl_divergence.rules)


def test_tables_name_everything_that_is_exported() -> None:
    table = catalogue.families_table()
    for documented in (*FAMILIES, *catalogue.makers()):
        assert f"`~{documented.__module__}.{documented.__name__}`" in table
    described = catalogue.constraints_text()
    assert all(f"constraints.{c}\n" in described for c, value in catalogue.sets().items() if not inspect.isclass(value))


def test_everything_in_the_tables_has_an_entry_to_link_to() -> None:
    page = (DOCS / "reference" / "distributions.md").read_text()
    for documented in (*FAMILIES, *catalogue.makers(), *catalogue.maps()):
        assert f".. automodule:: {documented.__module__}\n" in page, documented


def test_field_is_read_to_its_end() -> None:
    def documented() -> None:
        """One line.

        :param a: the first,
            and more.
        :param b: the second.
        :support: all

        More.
        """

    assert catalogue.field(documented, "param a") == "the first, and more."
    assert catalogue.field(documented, "support") == "all"
    assert catalogue.field(documented, "domain") == ""


# The table of methods, and the table of cases


def test_case_table_has_a_line_for_every_family() -> None:
    """The wrappers of the frame, which are no families, have tests of their own."""
    tested = {type(case.example) for case in CASES}
    assert [named(family) for family in FAMILIES if family not in tested and family not in FRAME] == []


def offers(d: dist.Distribution, method: str) -> bool:
    """Whether a method gives an answer, of which only the shape is computed."""
    arguments = {"cdf": lambda: (d.sample(jax.random.key(0)),), "icdf": lambda: (0.3,)}.get(method, tuple)
    if method == "rsample":
        return d.has_rsample
    if method == "enumerate_support":
        return d.has_enumerate_support

    def answer() -> Any:
        member = getattr(d, method)
        return member(*arguments()) if callable(member) else member

    try:
        jax.eval_shape(answer)
    except NotImplementedError:
        return False
    return True


@pytest.mark.parametrize("case", CASES, ids=str)
def test_methods_in_the_table_are_there_and_no_others(case: Case) -> None:
    for method in catalogue.METHODS:
        known = catalogue.availability(type(case.example), method)
        assert known is None or known == offers(case.example, method), method


@pytest.mark.parametrize("case", CASES, ids=str)
def test_event_dimensions_in_the_table_are_those_of_instances(case: Case) -> None:
    assert catalogue.event_dim(type(case.example)) in (None, case.example.event_dim)
