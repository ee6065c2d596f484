"""Transformed functions of Haiku."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from numpyro._typing import Key, PyTree, Shape
from numpyro.contrib.module.linen import Declare, example, fitted, init_sites, plain, sampled
from numpyro.contrib.module.parameters import Prior


def haiku_module(
    name: str, nn_module: Any, *args: Any, input_shape: Shape | None = None, apply_rng: bool = False, **kwargs: Any
) -> Callable:
    """A Haiku function whose parameters are fitted, as the param site ``{name}$params``.

    :param name: the name of the module.
    :param nn_module: what ``hk.transform`` or ``hk.transform_with_state`` returns. The state of the latter is the
        mutable site ``{name}$state``.
    :param args: inputs to initialise it with.
    :param input_shape: the shape of an input of ones, in place of ``args``.
    :param apply_rng: whether it uses a random key, which then comes before the inputs at each call.
    :param kwargs: keyword inputs to initialise it with.
    :return: a function of the inputs of the module.
    """
    return _haiku(name, nn_module, args, input_shape, apply_rng, kwargs, fitted(name))


def random_haiku_module(
    name: str,
    nn_module: Any,
    prior: Prior,
    *args: Any,
    input_shape: Shape | None = None,
    apply_rng: bool = False,
    **kwargs: Any,
) -> Callable:
    """A Haiku function whose parameters have priors: the sample sites ``{name}/{path}``, as ``net/linear.w``.

    :param prior: one distribution for all arrays, a dictionary ``{"linear.w": ...}`` of distributions, or a function of
        a name and a shape that returns one. Arrays without a prior are fitted, as in :func:`haiku_module`.

    The other parameters are those of :func:`haiku_module`.
    """
    return _haiku(name, nn_module, args, input_shape, apply_rng, kwargs, sampled(name, prior))


def _haiku(
    name: str,
    nn_module: Any,
    args: tuple,
    input_shape: Shape | None,
    apply_rng: bool,
    kwargs: dict[str, Any],
    declare: Declare,
) -> Callable:
    import haiku

    args = example(args, input_shape)
    has_state = isinstance(nn_module, haiku.TransformedWithState)

    def init(rng_key: Key) -> tuple[PyTree, dict[str, PyTree]]:
        found = nn_module.init(rng_key, *args, **kwargs)
        params, state = found if has_state else (found, {})
        return plain(params), {"state": plain(state)}

    params, holder = init_sites(name, init, declare, has_state)

    def apply(params: PyTree, *args: Any, **kwargs: Any) -> Any:
        rng_key, args = (args[0], args[1:]) if apply_rng else (None, args)
        if holder is None:
            return nn_module.apply(params, rng_key, *args, **kwargs)
        out, changed = nn_module.apply(params, holder["state"], rng_key, *args, **kwargs)
        holder["state"] = plain(changed)
        return out

    return partial(apply, params)


for _function in (haiku_module, random_haiku_module):
    _function.__module__ = "numpyro.contrib.module"
