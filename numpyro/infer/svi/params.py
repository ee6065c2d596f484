"""The parameters of a model and a guide: where they start, and the maps from the reals to their constraints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from numpyro._typing import Key, PyTree
from numpyro.distributions import constraints
from numpyro.distributions.transforms import IdentityTransform, Transform, biject_to
from numpyro.handlers import replay, seed, substitute, trace
from numpyro.infer.model.arguments import Arguments
from numpyro.infer.model.evaluate import take_apart
from numpyro.infer.program import Program, compiled_programs, in_jit, is_traced, jit


class Found(NamedTuple):
    """What one run of a guide and a model finds.

    - **params** - the first values of params, in their constraints.
    - **transforms** - the bijections from the reals onto the constraints, by name; real params have none.
    - **mutable_state** - the first values of mutable sites, or ``None``.
    """

    params: dict[str, PyTree]
    transforms: dict[str, Transform]
    mutable_state: dict[str, PyTree] | None


def find_params(
    rng_key: Key,
    model: Callable,
    guide: Callable,
    args: tuple,
    kwargs: Mapping[str, Any],
    init_params: Mapping[str, PyTree] | None,
) -> Found:
    """Run the guide and the model once, as one compiled program where that can be, and find their params.

    :param init_params: values to start from, in their constraints; the others start as the sites say.
    """
    arguments = Arguments.split(args, dict(kwargs))
    put_together_by: list[Callable] = []

    def run(rng_key: Key, init_params: PyTree, arrays: tuple) -> list[Any]:
        args, kwargs = arguments.rebuild(arrays)
        guide_key, model_key = jax.random.split(rng_key)
        given = dict(init_params or {})
        with trace() as guide_trace, seed(rng_seed=guide_key), substitute(data=given):
            guide(*args, **kwargs)
        with trace() as model_trace, seed(rng_seed=model_key), substitute(data=given), replay(trace=guide_trace):
            model(*args, **kwargs)
        sites = {name: site for name, site in guide_trace.items() if _is_state(site)}
        sites |= {name: site for name, site in model_trace.items() if _is_state(site)}
        arrays_of_sites, put_together = take_apart(sites)
        put_together_by.append(put_together)
        return arrays_of_sites

    found = _run(run, rng_key, init_params, arguments.arrays)
    params, transforms, mutable = {}, {}, {}
    for name, site in put_together_by[-1](found).items():
        if site["type"] == "mutable":
            mutable[name] = site["value"]
            continue
        params[name] = site["value"]
        transform = biject_to(site["kwargs"].get("constraint", constraints.real))
        if not isinstance(transform, IdentityTransform):
            transforms[name] = transform
    return Found(params, transforms, mutable or None)


def _is_state(site: Mapping[str, Any]) -> bool:
    return site["type"] in ("param", "mutable")


def _run(fn: Callable, *args: PyTree) -> PyTree:
    """Compiled where nothing around us is being traced and the model needs no concrete values of its own."""
    if is_traced(args) or in_jit():
        return fn(*args)
    try:
        program = Program(fn, *jax.eval_shape(lambda *args: args, *args))
    except jax.errors.JAXTypeError:
        return fn(*args)
    if is_traced(program.consts):
        return fn(*args)
    compiled = compiled_programs.get(("svi start", program.key), lambda: jit(program.without_consts()))
    return compiled(program.consts, *args)


def constrain(transforms: Mapping[str, Transform], unconstrained: Mapping[str, PyTree]) -> dict[str, PyTree]:
    """The values in their constraints."""
    return {
        name: jax.tree.map(transforms[name], value) if name in transforms else value
        for name, value in unconstrained.items()
    }


def unconstrain(transforms: Mapping[str, Transform], params: Mapping[str, PyTree]) -> dict[str, PyTree]:
    """The unconstrained values of params."""
    return {
        name: jax.tree.map(transforms[name].inv, value) if name in transforms else value
        for name, value in params.items()
    }
