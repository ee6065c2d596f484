"""What the package's classes of distributions, constraints, transforms and divergences say of themselves, as tables.

Supports, domains and formulas are those of the docstrings, parameters and methods those of the classes. The tables are
text in reStructuredText; :mod:`reference_tables` puts them into the pages.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpyro.distributions as dist
from numpyro.distributions import constraints, flows, transforms
from numpyro.distributions.constraints import Constraint
from numpyro.distributions.kl import kl_divergence

METHODS = ("mean", "variance", "mode", "cdf", "icdf", "entropy", "enumerate_support", "rsample")
WRAPPED = {"base_dist", "base_distribution", "component_distribution", "component_distributions", "marginal_dist"}


# What there is


def families() -> list[type[dist.Distribution]]:
    """The exported classes of distributions."""
    return [o for o in exported(dist) if inspect.isclass(o) and issubclass(o, dist.Distribution)]


def makers() -> list[Any]:
    """The exported functions that choose a family by their arguments."""
    return [o for o in exported(dist) if inspect.isfunction(o)]


def maps() -> list[type[transforms.Transform]]:
    """The exported classes of transforms, without their base classes."""
    abstract = (transforms.Transform, transforms.ParameterFreeTransform)
    classes = [o for o in (*exported(transforms), *exported(flows)) if inspect.isclass(o)]
    return [c for c in classes if issubclass(c, transforms.Transform) and c not in abstract]


def sets() -> dict[str, Any]:
    """The exported constraints by name: instances, and classes of those with parameters."""
    abstract = (Constraint, constraints.ParameterFreeConstraint)
    found = {name: getattr(constraints, name) for name in constraints.__all__}
    return {name: c for name, c in found.items() if c not in abstract and not inspect.isfunction(c)}


def exported(module: Any) -> list[Any]:
    return [getattr(module, name) for name in sorted(module.__all__)]


# What is known of each


def field(documented: Any, name: str) -> str:
    """The text of one field of a docstring, say ``:support:``; empty where there is none."""
    found = re.search(rf"^:{re.escape(name)}: (.*(?:\n +.*)*)", inspect.getdoc(documented) or "", re.MULTILINE)
    return re.sub(r"\s+", " ", found[1]) if found else ""


def parameters(documented: Any) -> list[str]:
    """Names of the parameters of a constructor or function, without ``validate_args``, which all share."""
    found = inspect.signature(documented).parameters.values()
    return [p.name for p in found if p.name != "validate_args" and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def availability(family: type[dist.Distribution], method: str) -> bool | None:
    """Whether a family has a method; none where that depends on the distribution it is made of."""
    if method == "rsample":
        if family.sample is dist.Distribution.sample:
            return False
        try:
            return object.__new__(family).has_rsample
        except AttributeError:  # the base distribution tells, of which only a family's own parameters are known
            return None if wraps(family) else set(family.arg_constraints) <= set(family.reparametrized_params)
    if refuses(family, method):
        return False
    if wraps(family):
        return None
    owner = next(c for c in family.__mro__ if method in vars(c))
    if owner is dist.TransformedDistribution:  # monotone changes of variables, on the line
        return event_dim(family) == 0
    return None if wraps(owner) else True


def refuses(family: type[dist.Distribution], method: str) -> bool:
    """Whether a method says that it is not there before it asks for any parameter."""
    try:
        member = getattr(object.__new__(family), method)
        if callable(member):
            member(*([0.5] if method in ("cdf", "icdf") else []))
    except NotImplementedError:
        return True
    except Exception:  # some parameter is missing
        return False
    return False


def wraps(family: type) -> bool:
    """Whether a distribution is made of another one."""
    return issubclass(family, dist.Distribution) and bool(WRAPPED & set(inspect.signature(family.__init__).parameters))


def event_dim(family: type[dist.Distribution]) -> int | None:
    """Number of event dimensions; none where only an instance tells."""
    if not isinstance(family.support, Constraint):
        return None
    try:
        return family.support.event_dim
    except NotImplementedError:
        return None


def name_of(constraint: Constraint) -> str:
    """A constraint as one writes it: ``positive``, ``interval(0.0, 1.0)``."""
    for name, public in sets().items():
        if public is constraint:
            return name
    name = next(name for name, public in sets().items() if inspect.isclass(public) and type(constraint) is public)
    arguments = [getattr(constraint, argument) for argument in inspect.signature(type(constraint)).parameters]
    written = [name_of(a) if isinstance(a, Constraint) else repr(a) for a in arguments]
    return f"{name}({', '.join(written)})"


# As reStructuredText


def link(documented: Any) -> str:
    role = "class" if inspect.isclass(documented) else "func"
    return f":{role}:`~{documented.__module__}.{documented.__name__}`"


def summary(documented: Any) -> str:
    """The first paragraph of a docstring, on one line."""
    return re.sub(r"\s+", " ", (inspect.getdoc(documented) or "").split("\n\n")[0])


def list_table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f".. list-table:: {title}".rstrip(), "   :header-rows: 1", ""]
    for row in (header, *rows):
        lines += [f"   {'*' if i == 0 else ' '} - {cell}".rstrip() for i, cell in enumerate(row)]
    return "\n".join([*lines, "", ""])


def parameter_cell(family: type[dist.Distribution]) -> str:
    cells = []
    for name in parameters(family):
        constraint = family.arg_constraints.get(name)
        known = constraint is not None and not constraints.is_dependent(constraint)
        cells.append(f"``{name}`` " + (link_to_constraint(constraint) if known else ""))
    return ", ".join(cell.strip() for cell in cells)


def link_to_constraint(constraint: Constraint) -> str:
    written = name_of(constraint)
    return f":py:obj:`{written} <{constraints.__name__}.{written.split('(')[0]}>`"


def method_cell(family: type[dist.Distribution]) -> str:
    has = {method: availability(family, method) for method in METHODS}
    return ", ".join(method if known else f"({method})" for method, known in has.items() if known is not False)


def families_table() -> str:
    header = ("Family", "Support", "Parameters", "Event dim.", "Methods besides sample and log_prob")
    text = ""
    for module in dict.fromkeys(c.__module__ for c in families()):
        rows = [
            (
                link(c),
                field(c, "support"),
                parameter_cell(c),
                "varies" if event_dim(c) is None else str(event_dim(c)),
                method_cell(c),
            )
            for c in families()
            if c.__module__ == module and c is not dist.Distribution
        ]
        text += list_table(f"``{module}``", header, rows)
    rows_of_makers = [(link(f), summary(f)) for f in makers()]
    return text + list_table("Functions that choose a family by their arguments", ("Function", "Makes"), rows_of_makers)


def constraints_text() -> str:
    """A description of each constraint that is one object; the classes of the others have theirs from autodoc."""
    text = ""
    for name, constraint in sets().items():
        if inspect.isclass(constraint):
            continue
        facts = []
        if not constraints.is_dependent(constraint):
            facts.append(f":event dimensions: {constraint.event_dim}")
            try:
                facts.append(f":bijection from the reals: ``{dist.biject_to(constraint)!r}``")
            except NotImplementedError:  # no bijection from the reals, say onto a discrete set
                pass
        body = "\n\n".join([inspect.getdoc(type(constraint)) or "", "\n".join(facts)])
        indented = "\n".join(f"   {line}".rstrip() for line in body.splitlines())
        text += f".. py:data:: {constraints.__name__}.{name}\n\n{indented}\n\n"
    return text


def transforms_table() -> str:
    names = ("domain", "codomain", "log determinant")
    rows = [(link(t), *(field(t, name) for name in names)) for t in maps()]
    return list_table("", ("Transform", "Domain", "Codomain", "Log determinant of the Jacobian"), rows)


def divergences_table() -> str:
    """One line for each rule, with its formula; classes that are private stand for their exported subclasses."""
    rows = []
    for (p, q), rule in kl_divergence.rules.items():
        pairs = [(a, b) for a in public(p) for b in public(q)]
        rows += [(link(a), link(b), summary(rule)) for a, b in pairs]
    return list_table("", ("p", "q", "Divergence"), sorted(rows))


def public(family: type) -> list[type]:
    return [family] if family in families() else [c for c in families() if family in c.__bases__]
