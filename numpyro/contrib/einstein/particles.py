"""The start of an inference by particles: a copy of the guide's params for each particle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from numpyro._errors import UsageError
from numpyro._typing import Key, PyTree
from numpyro.distributions import constraints
from numpyro.distributions.transforms import IdentityTransform, Transform, biject_to
from numpyro.handlers import replay, seed, trace
from numpyro.infer.program import Program, compiled_programs, in_jit, is_traced, jit


class Found(NamedTuple):
    """The first params.

    - **particles** - those of the guide that each particle has its own of, with a leading dimension.
    - **shared** - the others, of the guide and the model.
    - **transforms** - the bijections from the reals onto the constraints, by name; real params have none.
    """

    particles: dict[str, PyTree]
    shared: dict[str, PyTree]
    transforms: dict[str, Transform]


def find_particles(
    rng_key: Key,
    model: Callable,
    guide: Callable,
    num_particles: int,
    is_shared: Callable[[str], bool],
    args: tuple,
    kwargs: dict[str, Any],
) -> Found:
    """Start the guide once for each particle, with a key of its own, as one compiled program.

    :param is_shared: whether all particles share a param of the guide, by its name.
    :raises ValueError: for mutable state, and for constraints that depend on random values.
    """
    transforms: dict[str, Transform] = {}

    def of_one(rng_key: Key) -> tuple[dict[str, PyTree], dict[str, PyTree]]:
        begin_key, guide_key, model_key = jax.random.split(rng_key, 3)
        if hasattr(guide, "begin"):  # of an autoguide, which looks for a start of its own at each key
            guide.begin(begin_key, *args, **kwargs)
        with trace() as guide_trace, seed(rng_seed=guide_key):
            guide(*args, **kwargs)
        with trace() as model_trace, seed(rng_seed=model_key), replay(trace=guide_trace):
            model(*args, **kwargs)
        of_guide, of_model = (_params(found, transforms) for found in (guide_trace, model_trace))
        shared = {name: value for name, value in of_guide.items() if is_shared(name)}
        own = {name: value for name, value in of_guide.items() if name not in shared}
        return own, shared | {name: value for name, value in of_model.items() if name not in own}

    def run(rng_key: Key) -> tuple[dict[str, PyTree], dict[str, PyTree]]:
        keys = jax.random.split(rng_key, num_particles)
        own, shared = jax.vmap(of_one)(keys)
        return own, jax.tree.map(lambda leaf: leaf[0], shared)

    if is_traced((rng_key, args, kwargs)) or in_jit():
        own, shared = run(rng_key)
    else:
        program = Program(run, jax.eval_shape(lambda key: key, rng_key))
        compiled = compiled_programs.get(("stein start", program.key), lambda: jit(program.without_consts()))
        own, shared = run(rng_key) if is_traced(program.consts) else compiled(program.consts, rng_key)
    if not own:
        raise UsageError(
            "SteinVI moves params of the guide, but the guide has none that particles could have of their own."
        )
    return Found(own, shared, transforms)


def _params(site_trace: dict[str, Any], transforms: dict[str, Transform]) -> dict[str, PyTree]:
    """The values of params; their bijections go to ``transforms``."""
    values = {}
    for name, site in site_trace.items():
        if site["type"] == "mutable":
            raise UsageError(f"SteinVI does not support mutable state, but there is the mutable site '{name}'.")
        if site["type"] != "param":
            continue
        values[name] = site["value"]
        transform = biject_to(site["kwargs"].get("constraint", constraints.real))
        if is_traced(transform):
            raise UsageError(
                f"The constraint of the param '{name}' depends on random values, which SteinVI cannot keep."
            )
        if not isinstance(transform, IdentityTransform):
            transforms[name] = transform
    return values
