"""What algorithms, users' and ours, ask of a model: densities, maps between spaces, starting points, predictions.

All of it is a thin cover of :mod:`numpyro.infer.model`, where the work is done. Throughout, ``params`` are values by
the names of sites: *constrained* values lie in the supports of their sites, *unconstrained* values are any real
numbers, which the bijections of ``biject_to`` map onto the supports.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from numpyro._errors import UsageError
from numpyro._typing import Array, Key, PyTree
from numpyro.distributions._shapes import sum_rightmost
from numpyro.distributions.transforms import IdentityTransform, Transform
from numpyro.infer.discrete import find_first_available_dim
from numpyro.infer.initialization import init_to_uniform
from numpyro.infer.model import ModelView
from numpyro.infer.model.bijection import site_bijection
from numpyro.infer.model.density import check_log_prob_shape, site_log_prob, total
from numpyro.infer.model.draws import common_batch_shape, map_draws
from numpyro.infer.model.evaluate import constrain_at, log_density_at, trace_at, trace_with, transforms_of, values_of
from numpyro.infer.model.start import begin
from numpyro.infer.predictive import Predictive, as_count
from numpyro.primitives import factor

__all__ = [
    "ModelInfo",
    "ParamInfo",
    "Predictive",
    "compute_log_probs",
    "constrain_fn",
    "find_valid_initial_params",
    "get_potential_fn",
    "get_transforms",
    "initialize_model",
    "log_density",
    "log_likelihood",
    "potential_energy",
    "transform_fn",
    "unconstrain_fn",
]

Params = dict[str, PyTree]
Kwargs = dict[str, Any] | None


class ParamInfo(NamedTuple):
    """A point: unconstrained values ``z``, their ``potential_energy``, and its gradient ``z_grad`` (or ``None``)."""

    z: Params
    potential_energy: Array
    z_grad: Params | None


class ModelInfo(NamedTuple):
    """A model made ready for a sampler.

    ``param_info`` is a valid starting point, ``potential_fn`` the potential energy as a function of unconstrained
    values, ``postprocess_fn`` maps such values to constrained ones and deterministic sites, ``model_trace`` is the
    trace of the model at the starting point.
    """

    param_info: ParamInfo
    potential_fn: Callable[..., Any]
    postprocess_fn: Callable[..., Any]
    model_trace: dict[str, Any]


# Densities


def compute_log_probs(
    model: Callable, model_args: tuple, model_kwargs: Kwargs, params: Params, sum_log_prob: bool = True
) -> tuple[dict[str, Array], dict[str, Any]]:
    """Log probabilities of a model's sample sites, scaled and masked, at constrained values.

    :param model: the model.
    :param model_args: its positional arguments.
    :param model_kwargs: its keyword arguments.
    :param params: values by the names of sites.
    :param sum_log_prob: sum the log probabilities of each site; otherwise they keep the batch shape of the site.
    :return: log probabilities by site, and the trace of the model.
    :raises ValueError: where a latent site has no value, or the shapes of values and distributions do not fit.
    """
    model_trace = trace_with(model, model_args, model_kwargs or {}, params)
    log_probs = {}
    for name, site in model_trace.items():
        if site["type"] == "sample":
            log_prob = site_log_prob(site)
            check_log_prob_shape(site, log_prob)
            log_probs[name] = total(log_prob) if sum_log_prob else log_prob
    return log_probs, model_trace


def log_density(
    model: Callable, model_args: tuple, model_kwargs: Kwargs, params: Params
) -> tuple[Array, dict[str, Any]]:
    """The log joint density :math:`\\log p(x, y)` of latent values and observations, at constrained values.

    :param model: the model.
    :param model_args: its positional arguments.
    :param model_kwargs: its keyword arguments.
    :param params: values of the latent sites.
    :return: the log density, a scalar, and the trace of the model.
    :raises ValueError: where a latent site has no value, or the shapes of values and distributions do not fit.

    >>> import numpyro, numpyro.distributions as dist
    >>> model = lambda: numpyro.sample("x", dist.Normal(0, 1))
    >>> log_joint, trace = log_density(model, (), {}, {"x": 0.0})
    >>> round(float(log_joint), 4)
    -0.9189
    """
    log_probs, model_trace = compute_log_probs(model, model_args, model_kwargs, params)
    return (sum(log_probs.values()) if log_probs else jnp.zeros(())), model_trace  # type: ignore[return-value]


def potential_energy(
    model: Callable, model_args: tuple, model_kwargs: Kwargs, params: Params, enum: bool = False
) -> Array:
    """The potential energy :math:`-\\log p(T(z), y) - \\log|\\det T'(z)|` of unconstrained values :math:`z`.

    The log determinant of a site is scaled, and masked by ``handlers.mask``, as its log density is.

    :param model: the model.
    :param model_args: its positional arguments.
    :param model_kwargs: its keyword arguments.
    :param params: unconstrained values of the latent sites. Param sites that are named, too, take theirs as they are.
    :param enum: whether discrete latent sites of finite support are to be summed out.
    :return: a scalar.
    :raises ValueError: where a latent site has no value, or one of another shape, or is discrete and not summed out.
    """
    first_available_dim = None
    if enum:
        view = ModelView(model, model_args, model_kwargs, constant=True)
        view.require_continuous("potential_energy(..., enum=True)")
        first_available_dim = view.first_available_dim
    return -log_density_at(model, model_args, model_kwargs or {}, params, None, first_available_dim)


def log_likelihood(
    model: Callable,
    posterior_samples: Params,
    *args: Any,
    parallel: bool = False,
    batch_ndims: int = 1,
    batch_size: int | None = None,
    **kwargs: Any,
) -> dict[str, Array]:
    """The log likelihoods of the observed sites, for each draw and each observation, neither scaled nor summed.

    :param model: the model.
    :param posterior_samples: values of latent sites, with ``batch_ndims`` leading dimensions of draws.
    :param args: arguments of the model, observations among them.
    :param parallel: evaluate all draws at once (``vmap``), instead of one after the other.
    :param batch_ndims: number of leading dimensions of draws, default 1; 2 for draws by chain.
    :param batch_size: evaluate so many draws at a time, and bring their results to host memory before the next, as
        NumPy arrays. Where the model itself has a parameter of this name, it is the model's.
    :param kwargs: keyword arguments of the model.
    :return: log likelihoods by observed site, of shape ``batch dimensions + batch shape of the site``.
    :raises ValueError: where the draws of sites differ in number, or a latent site has none.
    """

    if batch_size is not None and "batch_size" in _parameters(model):
        kwargs, batch_size = {**kwargs, "batch_size": batch_size}, None
    batch_size = None if batch_size is None else as_count("batch_size", batch_size, 1)

    def of_one_draw(rng_key: Key | None, params: Params) -> dict[str, Array]:
        model_trace = trace_with(model, args, kwargs, params)
        return {
            name: site["fn"].log_prob(site["value"])
            for name, site in model_trace.items()
            if site["type"] == "sample" and site["is_observed"]
        }

    batch_shape = common_batch_shape(posterior_samples, batch_ndims)
    return map_draws(of_one_draw, None, posterior_samples, batch_shape, parallel=parallel, batch_size=batch_size)


def _parameters(model: Callable) -> Collection[str]:
    """The names of a model's parameters, where they can be known."""
    try:
        return inspect.signature(model).parameters.keys()
    except (TypeError, ValueError):
        return ()


# Maps between unconstrained and constrained values


def transform_fn(transforms: Mapping[str, Transform], params: Params, invert: bool = False) -> Params:
    """Map values by the transforms of their names; those without a transform stay as they are.

    :param transforms: transforms by name.
    :param params: values by name.
    :param invert: apply the inverse transforms.
    :return: the mapped values.
    """
    return {
        name: jax.tree.map(transforms[name].inv if invert else transforms[name], value) if name in transforms else value
        for name, value in params.items()
    }


def constrain_fn(
    model: Callable,
    model_args: tuple,
    model_kwargs: Kwargs,
    params: Params,
    return_deterministic: bool = False,
    batch_ndims: int = 0,
) -> Params:
    """The constrained values of sites, from unconstrained ones. Supports may depend on the values of other sites.

    :param model: the model.
    :param model_args: its positional arguments.
    :param model_kwargs: its keyword arguments.
    :param params: unconstrained values of latent sites, and of param sites.
    :param return_deterministic: return the values of deterministic sites, too.
    :param batch_ndims: number of leading dimensions of ``params`` that count draws, default 0.
    :return: values by the names of sites, of those in ``params`` only.
    """

    def of_one_draw(rng_key: Key | None, params: Params) -> Params:
        model_trace, _ = trace_at(model, model_args, model_kwargs or {}, params, None, constrain_params=True)
        return values_of(model_trace, params, deterministic=return_deterministic)

    if batch_ndims == 0:
        return of_one_draw(None, params)
    return map_draws(of_one_draw, None, params, common_batch_shape(params, batch_ndims), parallel=True)


def get_transforms(model: Callable, model_args: tuple, model_kwargs: Kwargs, params: Params) -> dict[str, Transform]:
    """The bijections from real numbers to the supports of continuous latent sites, and to the constraints of params.

    :param model: the model.
    :param model_args: its positional arguments.
    :param model_kwargs: its keyword arguments.
    :param params: constrained values of the latent sites, on which supports may depend.
    :return: transforms by the names of sites.
    """
    return transforms_of(trace_with(model, model_args, model_kwargs or {}, params))


def unconstrain_fn(model: Callable, model_args: tuple, model_kwargs: Kwargs, params: Params) -> Params:
    """The unconstrained values of sites, from constrained ones: the inverse of :func:`constrain_fn`.

    :param model: the model.
    :param model_args: its positional arguments.
    :param model_kwargs: its keyword arguments.
    :param params: constrained values of the latent sites.
    :return: values by the names in ``params``; names that are neither latent sites nor params keep their values.
    """
    return transform_fn(get_transforms(model, model_args, model_kwargs, params), params, invert=True)


def _unconstrain_reparam(params: Params, site: Any) -> Any:
    """The value of a site from unconstrained ``params``, for ``handlers.substitute(substitute_fn=...)``.

    At a latent site the log determinant of its bijection joins the density as the factor ``_{name}_log_det``.
    """
    name = site["name"]
    if name not in params:
        return None
    unconstrained = params[name]
    if site["type"] != "sample":
        return unconstrained
    fn = site["fn"]
    if fn.is_discrete:
        raise UsageError(f"Continuous inference cannot handle discrete sample site '{name}'.")
    transform = site_bijection(site)
    value, intermediates = transform.call_with_intermediates(unconstrained)
    if not isinstance(transform, IdentityTransform):
        log_det = transform.log_abs_det_jacobian(unconstrained, value, intermediates)
        factor(f"_{name}_log_det", sum_rightmost(log_det, jnp.ndim(log_det) - jnp.ndim(value) + fn.event_dim))
    return value


# Starting points, and models made ready for samplers


def find_valid_initial_params(
    rng_key: Key,
    model: Callable,
    *,
    init_strategy: Callable = init_to_uniform,
    enum: bool = False,
    model_args: tuple = (),
    model_kwargs: Kwargs = None,
    prototype_params: Params | None = None,
    forward_mode_differentiation: bool = False,
    validate_grad: bool = True,
) -> tuple[tuple[Params, Array, Params | None], Array]:
    """Draw unconstrained values until their potential energy and its gradient are finite.

    :param rng_key: a random key, or a batch of them for a batch of points.
    :param model: the model.
    :param init_strategy: how to draw, see :mod:`numpyro.infer.initialization`; uniformly on (-2, 2) by default.
    :param enum: whether discrete latent sites of finite support are to be summed out; otherwise they are an error.
    :param model_args: positional arguments of the model.
    :param model_kwargs: keyword arguments of the model.
    :param prototype_params: unconstrained values of the shapes that are expected, to hold the model's against.
    :param forward_mode_differentiation: differentiate in forward mode.
    :param validate_grad: whether the gradient must be finite; otherwise it is not computed.
    :return: ``((z, potential_energy, z_grad), is_valid)``, ``z_grad`` being ``None`` without ``validate_grad``.
    :raises ValueError: for discrete latent sites, or where ``prototype_params`` have other names or shapes.
    """
    view = ModelView(model, model_args, model_kwargs)
    view.require_continuous(f"find_valid_initial_params(..., enum={enum})")
    if view.enumerated and not enum:
        names = ", ".join(f"'{name}'" for name in view.enumerated)
        raise UsageError(f"The model has discrete latent sites, {names}: write enum=True to sum them out.")
    if prototype_params is not None:
        _check_prototype(view, prototype_params)
    start, _, _ = begin(
        view,
        rng_key,
        init_strategy,
        forward_mode=forward_mode_differentiation,
        validate_grad=validate_grad,
        required=False,
    )
    point = (start.unconstrained, start.potential_energy, start.gradient if validate_grad else None)
    return point, start.is_valid


def _check_prototype(view: ModelView, prototype: Params) -> None:
    expected = {name: shape.shape for name, shape in view.prototype.items()}
    given = {name: jnp.shape(value) for name, value in prototype.items()}
    if given != expected:
        raise UsageError(f"prototype_params have the shapes {given}, but the latent sites of the model {expected}.")


def get_potential_fn(
    model: Callable,
    inv_transforms: Mapping[str, Transform],
    *,
    enum: bool = False,
    replay_model: bool = False,
    dynamic_args: bool = False,
    model_args: tuple = (),
    model_kwargs: Kwargs = None,
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The potential energy of a model, and the map to what users see, as functions of unconstrained values.

    :param model: the model.
    :param inv_transforms: the bijections onto the supports, by the names of sites, see :func:`get_transforms`.
    :param enum: whether discrete latent sites of finite support are to be summed out; otherwise they are an error.
    :param replay_model: constrain values by running the model, which a support that depends on other sites needs, and
        return deterministic sites, too; otherwise by ``inv_transforms`` alone.
    :param dynamic_args: return functions of the model's arguments that return those functions.
    :param model_args: positional arguments of the model; not used with ``dynamic_args``.
    :param model_kwargs: keyword arguments of the model; not used with ``dynamic_args``.
    :return: ``(potential_fn, postprocess_fn)``; both can be pickled if the model can.
    """
    postprocess = partial(_replay, model, enum) if replay_model else partial(_apply, dict(inv_transforms))
    return _with_arguments(
        partial(potential_energy, model, enum=enum), postprocess, dynamic_args, model_args, model_kwargs
    )


def initialize_model(
    rng_key: Key,
    model: Callable,
    *,
    init_strategy: Callable = init_to_uniform,
    dynamic_args: bool = False,
    model_args: tuple = (),
    model_kwargs: Kwargs = None,
    forward_mode_differentiation: bool = False,
    validate_grad: bool = True,
) -> ModelInfo:
    """Make a model ready for a sampler: a starting point, the potential energy, and the map to what users see.

    :param rng_key: a random key, or a batch of them for a batch of starting points, one for each chain.
    :param model: the model, of continuous latent sites.
    :param init_strategy: how to draw a starting point; see :mod:`numpyro.infer.initialization`.
    :param dynamic_args: let ``potential_fn`` and ``postprocess_fn`` be functions of the model's arguments that return
        functions of unconstrained values.
    :param model_args: positional arguments of the model.
    :param model_kwargs: keyword arguments of the model.
    :param forward_mode_differentiation: differentiate in forward mode.
    :param validate_grad: whether the gradient must be finite at the start; otherwise it is not computed.
    :return: a :class:`ModelInfo`. Its functions can be jitted, differentiated, mapped, and, if the model can, pickled.
    :raises RuntimeError: where no starting point is found, naming the sites that are to blame.
    :raises ValueError: for discrete latent sites, for plates that draw subsamples, and for observations outside the
        support of their distribution.

    >>> import jax, numpyro, numpyro.distributions as dist
    >>> model = lambda: numpyro.sample("x", dist.HalfNormal(1))
    >>> info = initialize_model(jax.random.key(0), model)
    >>> list(info.param_info.z), round(float(info.potential_fn({"x": 0.0})), 4)
    (['x'], 0.7258)
    >>> info.postprocess_fn({"x": 0.0})["x"].item()
    1.0
    """
    view = ModelView(model, model_args, model_kwargs)
    view.require_continuous("initialize_model")
    view.require_whole_plates("initialize_model")
    view.check_observations()
    start, model_key, model_trace = begin(
        view, rng_key, init_strategy, forward_mode=forward_mode_differentiation, validate_grad=validate_grad
    )
    transforms = view.fixed_transforms
    potential_fn, postprocess_fn = _with_arguments(
        partial(_potential, model, model_key, view.first_available_dim),
        partial(_constrain_all, model, model_key, view.first_available_dim)
        if transforms is None
        else partial(_apply, transforms),
        dynamic_args,
        model_args,
        model_kwargs,
    )
    z_grad = start.gradient if validate_grad else None
    return ModelInfo(
        ParamInfo(start.unconstrained, start.potential_energy, z_grad), potential_fn, postprocess_fn, model_trace
    )


def _with_arguments(
    potential_fn: Callable, postprocess_fn: Callable, dynamic_args: bool, model_args: tuple, model_kwargs: Kwargs
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Fill in the model's arguments of functions ``(args, kwargs, z)``, now or, with ``dynamic_args``, later."""
    if dynamic_args:
        return partial(_fill_in, potential_fn), partial(_fill_in, postprocess_fn)
    return _fill_in(potential_fn, *model_args, **(model_kwargs or {})), _fill_in(
        postprocess_fn, *model_args, **(model_kwargs or {})
    )


def _fill_in(fn: Callable, *args: Any, **kwargs: Any) -> Callable[..., Any]:
    return partial(fn, args, kwargs)


def _potential(
    model: Callable, rng_key: Key, first_available_dim: int | None, args: tuple, kwargs: Mapping[str, Any], z: Params
) -> Array:
    return -log_density_at(model, args, kwargs, z, rng_key, first_available_dim)


def _constrain_all(
    model: Callable,
    rng_key: Key | None,
    first_available_dim: int | None,
    args: tuple,
    kwargs: Mapping[str, Any],
    z: Params,
) -> Params:
    return constrain_at(model, args, kwargs, z, rng_key, first_available_dim, deterministic=True)


def _replay(model: Callable, enum: bool, args: tuple, kwargs: Mapping[str, Any], z: Params) -> Params:
    first_available_dim = find_first_available_dim(model, args, kwargs) if enum else None
    return _constrain_all(model, None, first_available_dim, args, kwargs, z)


def _apply(transforms: dict[str, Transform], args: tuple, kwargs: Mapping[str, Any], z: Params) -> Params:
    return transform_fn(transforms, z)
