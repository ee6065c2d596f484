"""Branches in models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._typing import ArrayLike, Key, PyTree
from numpyro.contrib.control_flow.body import Declarations, Surroundings, Undeclared, emit, run_body, write_back
from numpyro.contrib.control_flow.leaves import Site, inside_of
from numpyro.contrib.control_flow.step import Step
from numpyro.primitives import apply_stack
from numpyro.primitives.stack import _PYRO_STACK

Branch = Callable[[PyTree], PyTree]


def cond(pred: ArrayLike, true_fun: Branch, false_fun: Branch, operand: PyTree) -> PyTree:
    """Run ``true_fun(operand)`` where ``pred`` holds, else ``false_fun(operand)``, with statements of a model in both.

    The branches must have the same sites, of the same kinds, families and shapes, since the sites of a model cannot
    depend on values that are not known when it is traced; the parameters of their distributions may differ. A site
    of the model then has the distribution of the branch that was taken.

    :param pred: a truth value, or a number: a scalar.
    :param true_fun: a function of ``operand``.
    :param false_fun: a function of ``operand`` that returns values of the same structure, shapes and dtypes.
    :param operand: any pytree of arrays.
    :return: what the branch that was taken returns.
    :raises TypeError: if ``pred`` is no scalar, a branch no function, or the branches differ in their sites or in what
        they return.

    >>> import numpyro, numpyro.distributions as dist
    >>> from numpyro.contrib.control_flow import cond
    >>> def model(x):
    ...     wide = lambda loc: numpyro.sample("y", dist.Normal(loc, 10.0))
    ...     narrow = lambda loc: numpyro.sample("y", dist.Normal(loc, 0.1))
    ...     return cond(x > 0, wide, narrow, 3.0)
    >>> trace = numpyro.handlers.trace(numpyro.handlers.seed(model, rng_seed=0)).get_trace(-1.0)
    >>> round(float(trace["y"]["fn"].scale), 2)
    0.1
    """
    for name, branch in (("true_fun", true_fun), ("false_fun", false_fun)):
        if not callable(branch):
            raise TypeError(f"{name} of cond must be a function of the operand, but got {type(branch).__name__}.")
    if np.shape(pred) != ():
        raise TypeError(
            f"pred of cond must be a scalar, but has shape {np.shape(pred)}; to choose entry by entry, compute both "
            "sides and use jax.numpy.where, or a mixture distribution."
        )
    if not _PYRO_STACK.handlers:
        return _cond(pred, true_fun, false_fun, operand, rng_key=None, substitute_stack=())[0]
    msg = apply_stack(
        {
            "type": "control_flow",
            "fn": _cond,
            "args": (pred, true_fun, false_fun, operand),
            "kwargs": {"rng_key": None, "substitute_stack": []},
            "value": None,
        }
    )
    value, sites = msg["value"]
    emit(sites)
    return value


def _cond(
    pred: ArrayLike,
    true_fun: Branch,
    false_fun: Branch,
    operand: PyTree,
    *,
    rng_key: Key | None,
    substitute_stack: Sequence[tuple[str, Any]],
) -> tuple[PyTree, list[Site]]:
    """What the message of a cond computes: the value, and the sites of the branch that was taken."""
    return _run(pred, true_fun, false_fun, operand, rng_key, Surroundings(substitute_stack))


def _run(
    pred: ArrayLike,
    true_fun: Branch,
    false_fun: Branch,
    operand: PyTree,
    rng_key: Key | None,
    surroundings: Surroundings,
) -> tuple[PyTree, list[Site]]:
    try:
        return _choose(pred, true_fun, false_fun, operand, rng_key, surroundings, {}, {})
    except Undeclared:
        declarations = Declarations()
        step = Step(rng_key=rng_key, plate_shape=surroundings.plate_shape)
        for branch in (true_fun, false_fun):  # both are run, outside of the choice, for what they declare
            run_body(lambda: branch(operand), step, surroundings, {}, inside_of(_marker()), declarations)  # noqa: B023
        params, mutables = declarations.of("param"), declarations.of("mutable")
        return _choose(pred, true_fun, false_fun, operand, rng_key, surroundings, params, mutables)


def _marker() -> Any:
    """An array of the trace that runs."""
    return jnp.zeros(()) + 0


def _choose(
    pred: ArrayLike,
    true_fun: Branch,
    false_fun: Branch,
    operand: PyTree,
    rng_key: Key | None,
    surroundings: Surroundings,
    params: dict[str, Any],
    mutables: dict[str, Any],
) -> tuple[PyTree, list[Site]]:
    sides: dict[str, _Side] = {}
    dtypes: list[Any] | None = None
    changed: dict[str, Any]

    def taking(name: str, branch: Branch) -> Callable[..., Any]:
        def run(operand: PyTree, rng_key: Key | None, mutables: dict[str, Any]) -> Any:
            step = Step(rng_key=rng_key, plate_shape=surroundings.plate_shape)
            is_inside = inside_of(_marker())
            value, sites = run_body(lambda: branch(operand), step, surroundings, {**params, **mutables}, is_inside)
            sides[name] = side = _Side(sites, is_inside)
            return value, mutables, side.arrays(dtypes)

        return run

    def run() -> tuple[PyTree, dict[str, Any], list[Any]]:
        branches = taking("true_fun", true_fun), taking("false_fun", false_fun)
        return lax.cond(pred, *branches, operand, rng_key, mutables)

    try:
        value, changed, arrays = run()
    except TypeError:
        if len(sides) < 2:
            raise
        true, false = sides["true_fun"], sides["false_fun"]
        true.require_same(false)
        if true.dtypes == false.dtypes:
            raise
        # numbers of several types among the parameters, as 0 and 0.5 are
        dtypes = [jnp.promote_types(a, b) for a, b in zip(true.dtypes, false.dtypes, strict=True)]
        value, changed, arrays = run()
    write_back(mutables, changed)
    if len(sides) == 2:  # under jax.disable_jit only the branch that is taken runs
        sides["true_fun"].require_same(sides["false_fun"])
    return value, next(iter(sides.values())).sites(arrays)


# What of a site may differ between the branches: numbers under these keys, and whatever else a branch computes.
_FREE = ("fn", "value", "intermediates", "scale", "_log_det", "_intervention")


class _Side:
    """The sites of one branch, cut into arrays and what the branches must have in common."""

    def __init__(self, sites: Sequence[Site], is_inside: Callable[[Any], bool]) -> None:
        self._sites = [{**s, "kwargs": {**s["kwargs"], "rng_key": None}} if s["type"] == "sample" else s for s in sites]
        leaves, self._structure = jax.tree.flatten(
            [
                {
                    key: value
                    for key, value in site.items()
                    if key in _FREE and (key != "fn" or site["type"] == "sample")
                }
                for site in self._sites
            ]
        )
        self._free = [jnp.asarray(leaf) for leaf in leaves]
        self._rest = [
            {
                key: value
                for key, value in site.items()
                if key not in _FREE or (key == "fn" and site["type"] != "sample")
            }
            for site in self._sites
        ]
        rest, self._rest_structure = jax.tree.flatten(self._rest)
        self._is_dynamic = [is_inside(leaf) for leaf in rest]
        self._fixed = [None if dynamic else leaf for leaf, dynamic in zip(rest, self._is_dynamic, strict=True)]
        self._free += [leaf for leaf, dynamic in zip(rest, self._is_dynamic, strict=True) if dynamic]
        self._num_free = len(leaves)
        self.dtypes = [leaf.dtype for leaf in self._free]

    def arrays(self, dtypes: Sequence[Any] | None) -> list[Any]:
        if dtypes is None:
            return self._free
        return [leaf.astype(dtype) for leaf, dtype in zip(self._free, dtypes, strict=True)]

    def sites(self, arrays: Sequence[Any]) -> list[Site]:
        """The sites, given their arrays."""
        free = jax.tree.unflatten(self._structure, arrays[: self._num_free])
        computed = iter(arrays[self._num_free :])
        rest = jax.tree.unflatten(
            self._rest_structure,
            [next(computed) if dynamic else leaf for leaf, dynamic in zip(self._fixed, self._is_dynamic)],
        )
        return [{**common, **own} for common, own in zip(rest, free, strict=True)]

    def require_same(self, other: _Side) -> None:
        """Raise ``TypeError`` where the sites of the branches differ, ``self`` being those of ``true_fun``."""
        names = [[site["name"] for site in side._sites] for side in (self, other)]
        alone = [[name for name in names[i] if name not in names[1 - i]] for i in (0, 1)]
        for branch, missing, only in (("true_fun", "false_fun", alone[0]), ("false_fun", "true_fun", alone[1])):
            if only:
                raise TypeError(
                    f"The branches of cond must have the same sites, but only {branch} has {_listed(only)}. Give "
                    f"{missing} such a site, too, or declare '{only[0]}' outside of the branches and use its value in "
                    "one of them; numpyro.handlers.mask(mask=pred) around it leaves its density out elsewhere."
                )
        if names[0] != names[1]:
            raise TypeError(f"The branches of cond have their sites in different orders: {names[0]} and {names[1]}.")
        for true, false in zip(self._sites, other._sites, strict=True):
            differing = [(what, one, other) for what, one, other in _features(true, false) if one != other]
            if differing:
                what, in_true, in_false = differing[0]
                raise TypeError(
                    f"The site '{true['name']}' differs between the branches of cond: its {what} is {in_true} in "
                    f"true_fun and {in_false} in false_fun. Make it the same in both, or give the sites different "
                    "names and move them out of the branches, with jax.numpy.where for what depends on pred."
                )


def _features(true: Site, false: Site) -> list[tuple[str, Any, Any]]:
    features: list[tuple[str, Any, Any]] = [("type", true["type"], false["type"])]
    if true["type"] == false["type"] == "sample":
        observed = {True: "observed", False: "latent"}
        features += [
            ("role", observed[bool(true["is_observed"])], observed[bool(false["is_observed"])]),
            ("distribution", type(true["fn"]).__name__, type(false["fn"]).__name__),
            ("shape", true["fn"].shape(), false["fn"].shape()),
            ("scale", _kind_of_scale(true), _kind_of_scale(false)),
            ("structure", jax.tree.structure(true["fn"]), jax.tree.structure(false["fn"])),
        ]
    features.append(("value's shape", _shapes(true["value"]), _shapes(false["value"])))
    features.append(("plates", list(true.get("cond_indep_stack", ())), list(false.get("cond_indep_stack", ()))))
    return features


def _kind_of_scale(site: Site) -> str:
    return "nothing" if site["scale"] is None else "a factor"


def _shapes(tree: PyTree) -> PyTree:
    return jax.tree.map(np.shape, tree)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
