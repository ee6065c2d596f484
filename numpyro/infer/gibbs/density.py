"""The joint density of a model's latent sites, some by unconstrained values, some by values as the model has them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import Array, Key, PyTree
from numpyro.handlers import seed, substitute, trace
from numpyro.infer.initialization import init_to_uniform
from numpyro.infer.model import ModelView
from numpyro.infer.model.density import ToUnconstrained, is_latent
from numpyro.infer.model.evaluate import key_of


class JointDensity:
    """The joint density of the latent sites of a model.

    A position ``z`` has the values of all latent sites by name: those of ``free`` sites unconstrained. Discrete sites
    of finite support that are marked ``infer={"enumerate": "parallel"}`` are no part of it: they are summed out.

    :param model: the model.
    :param args: its positional arguments.
    :param kwargs: its keyword arguments.
    :param algorithm: the name of the kernel, for messages.
    """

    def __init__(self, model: Callable, args: tuple, kwargs: dict[str, Any], algorithm: str) -> None:
        self.view = ModelView(model, args, kwargs)
        # By itself a view sums all discrete sites out that it can; here those without a mark are for kernels to move.
        self.view.sites = {
            name: site._replace(is_enumerable=site.is_enumerable and site.infer.get("enumerate") == "parallel")
            for name, site in self.view.sites.items()
        }
        self.algorithm = algorithm
        plates = [site.name for site in self.view.sites.values() if site.is_subsampled]
        if plates:
            raise UsageError(
                f"{algorithm} does not support models with subsample plates, but these draw a subsample: {plates}; use "
                "HMCECS, or leave out their subsample_size."
            )
        self.latent = {
            name: site
            for name, site in self.view.sites.items()
            if site.kind == "sample" and not site.is_observed and not site.is_enumerable
        }
        self._check_deterministic()
        self.free: frozenset[str] = frozenset()

    def _check_deterministic(self) -> None:
        """Raise where draws of sites that are summed out would be the same whenever a position comes again."""
        sites = self.view.sites.values()
        deterministic = [site.name for site in sites if site.kind == "deterministic"]
        if self.view.enumerated and deterministic and all(site.is_discrete for site in self.latent.values()):
            raise UsageError(
                f"{self.algorithm}: the deterministic sites {deterministic} may depend on {self.view.enumerated}, "
                "which are marked to be summed out, and the model has no continuous site. Leave out the marks "
                "infer={'enumerate': 'parallel'}, so that these sites are sampled, or the deterministic sites."
            )

    def with_free(self, names: Any) -> JointDensity:
        """The same with these sites unconstrained."""
        density = copy.copy(self)
        density.free = frozenset(names)
        return density

    @property
    def prototype(self) -> dict[str, jax.ShapeDtypeStruct]:
        """The shapes and dtypes of a position."""
        dtype = jnp.result_type(float)
        return {
            name: jax.ShapeDtypeStruct(site.unconstrained_shape or (), dtype)
            if name in self.free
            else jax.ShapeDtypeStruct(site.shape, site.dtype)
            for name, site in sorted(self.latent.items())
        }

    def at(self, z: Mapping[str, Any]) -> tuple[ModelView, dict[str, Any]]:
        """The view of the model with the sites that are not free set, and the unconstrained values of the others."""
        view = copy.copy(self.view)
        fixed = {name: value for name, value in z.items() if name not in self.free}
        if fixed:
            view.model = substitute(view.model, data=fixed)
        return view, {name: value for name, value in z.items() if name in self.free}

    def potential(self, data: PyTree, z: Mapping[str, Any]) -> Array:
        """Minus the log density, with the Jacobian terms of free sites; a scalar."""
        view, unconstrained = self.at(z)
        return -view.log_density(data, unconstrained)

    def constrain(self, data: PyTree, z: Mapping[str, Any], *, deterministic: bool = False) -> dict[str, PyTree]:
        """The values of all latent sites as the model has them, and of deterministic ones if ``deterministic``.

        Deterministic sites are evaluated at a draw of the sites that are summed out, given all others.
        """
        view, unconstrained = self.at(z)
        if deterministic and view.enumerated:
            given = {name: value for name, value in z.items() if name not in self.free}
            return {**given, **view.constrain((key_of(z, data[0]), data[1]), unconstrained, deterministic=True)}
        model_trace, _ = view.trace_at(data, unconstrained)
        return {
            name: site["value"]
            for name, site in model_trace.items()
            if (name in z and is_latent(site)) or (deterministic and site["type"] == "deterministic")
        }

    def draw(self, data: PyTree, rng_key: Key, strategy: Callable = init_to_uniform) -> dict[str, Array]:
        """A position to start from: continuous sites by an initialization strategy, others from their distributions."""
        args, kwargs = self.view.arguments.rebuild(data[1])
        point = ToUnconstrained()
        with trace() as model_trace, substitute(substitute_fn=strategy), seed(rng_seed=rng_key), point:
            self.view.model(*args, **kwargs)
        values = {name: point.values[name] if name in self.free else model_trace[name]["value"] for name in self.latent}
        return self._fitted(values)

    def _fitted(self, values: Mapping[str, Any]) -> dict[str, Array]:
        return {
            name: jnp.broadcast_to(values[name], shape.shape).astype(shape.dtype)
            for name, shape in self.prototype.items()
        }

    def check_position(self, init_params: Any) -> None:
        """Raise where ``init_params`` are not values of latent sites."""
        if not isinstance(init_params, dict):
            raise UsageError(f"`init_params` must be a dictionary of values by site, got {type(init_params).__name__}.")
        prototype = self.prototype
        unknown = sorted(set(init_params) - set(prototype))
        if unknown:
            raise UsageError(f"`init_params` has values of {unknown}, but the latent sites are {sorted(prototype)}.")
        for name, value in init_params.items():
            if np.shape(value) != prototype[name].shape:
                raise UsageError(
                    f"`init_params` of site '{name}' must have shape {prototype[name].shape}, got {np.shape(value)}."
                )
