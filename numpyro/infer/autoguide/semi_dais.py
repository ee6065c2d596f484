"""Annealing of local latent values, within a guide for the global ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import jax
import jax.numpy as jnp

from numpyro._errors import UsageError
from numpyro._typing import Array, Key
from numpyro.distributions import Normal, constraints
from numpyro.handlers import block, seed, substitute, trace
from numpyro.infer.autoguide.annealing import anneal, check_schedule, schedule_params
from numpyro.infer.autoguide.base import AutoGuide
from numpyro.infer.autoguide.dais import params_of
from numpyro.infer.autoguide.params import full, unconstrained_event_dim, zeros
from numpyro.infer.model import ModelView, Site
from numpyro.infer.model.evaluate import log_density_at
from numpyro.primitives import factor, param, plate, sample
from numpyro.primitives.stack import request_key


class AutoSemiDAIS(AutoGuide):
    r"""Annealed Langevin dynamics for local latent values, given global ones of another guide.

    Local values are those in the plate of the data, of which a subsample may be taken: with global values
    :math:`\theta` from their guide, the local ones :math:`z_n` move, as those of :class:`AutoDAIS`, towards
    :math:`p(z_n, y_n \mid \theta)`. They need no amortisation, but may have a guide to start from.

    :param model: the whole model, ``local_model(global_model(...))``.
    :param local_model: the part of the model with the local values. With a ``global_guide`` it takes what the model of
        that guide returns, else the arguments of ``model``.
    :param global_guide: an autoguide of the part of the model with the global values, or a guide that returns what
        ``local_model`` takes; ``None`` (default) where there are none.
    :param local_guide: a function, with the arguments of ``local_model``, that draws the values to start from, and
        whose sites do not depend on each other; normal distributions by default.
    :param prefix: params are those of :class:`AutoDAIS`, with the full size of the plate in front.
    :param K: the number of steps, 4 by default.
    :param eta_init: the first step size, 0.01 by default; below ``eta_max``.
    :param eta_max: a bound of the step sizes, 0.1 by default.
    :param gamma_init: what a refreshment keeps of the momentum at first, 0.9 by default; between 0 and 1.
    :param init_scale: the first scale of the normal distributions to start from, 0.1 by default; positive.
    :param subsample_plate: the name of the plate; by default the one that takes a subsample.
    :param use_global_dais_params: let all entries of the plate share one schedule and mass matrix.
    :param forward_mode_differentiation: see :class:`AutoGuide`.
    :raises ValueError: where there is no such plate, a latent site outside of it has no guide, or an option is out of
        its range.

    Draws of :meth:`sample_posterior` are for one subsample; to choose it, put the indices in place of the plate, as in
    ``with numpyro.handlers.substitute(data={"data": indices})``.

    **Reference:** Jankowiak & Phan, *Surrogate likelihoods for variational annealed importance sampling* (2021).
    """

    _exposed_types = ("plate",)

    def __init__(
        self,
        model: Callable,
        local_model: Callable,
        global_guide: Callable | None = None,
        local_guide: Callable | None = None,
        *,
        prefix: str = "auto",
        K: int = 4,
        eta_init: float = 0.01,
        eta_max: float = 0.1,
        gamma_init: float = 0.9,
        init_scale: float = 0.1,
        subsample_plate: str | None = None,
        use_global_dais_params: bool = False,
        forward_mode_differentiation: bool = False,
    ) -> None:
        check_schedule(K, eta_init, eta_max, gamma_init, init_scale)
        for name, function in (
            ("local_model", local_model),
            ("global_guide", global_guide),
            ("local_guide", local_guide),
        ):
            if not callable(function) and (function is not None or name == "local_model"):
                raise TypeError(f"`{name}` must be a function, got {type(function).__name__}.")
        self.local_model, self.global_guide, self.local_guide = local_model, global_guide, local_guide
        self.K, self.eta_init, self.eta_max, self.gamma_init = K, eta_init, eta_max, gamma_init
        self._init_scale = init_scale
        self.subsample_plate = subsample_plate
        self.use_global_dais_params = use_global_dais_params
        self._plate_name = ""
        super().__init__(model, prefix=prefix, forward_mode_differentiation=forward_mode_differentiation)

    def begin(self, rng_key: Key, *args: Any, **kwargs: Any) -> None:
        """Get to know the model, and begin the global guide."""
        with block():
            self._describe(args, kwargs)
        if isinstance(self.global_guide, AutoGuide):
            self.global_guide.begin(rng_key, *args, **kwargs)

    def _check(self, view: ModelView) -> None:
        if self.subsample_plate is not None:
            described = view.sites.get(self.subsample_plate)
            if described is None or described.kind != "plate":
                raise UsageError(f"AutoSemiDAIS: the model has no plate '{self.subsample_plate}', the subsample_plate.")
            self._plate_name = self.subsample_plate
        else:
            names = [site.name for site in view.sites.values() if site.is_subsampled]
            if len(names) != 1:
                raise UsageError(
                    "AutoSemiDAIS assumes that the model contains exactly 1 plate with data subsampling but got "
                    f"{len(names)} {names}. Give the name of the plate as subsample_plate."
                )
            self._plate_name = names[0]
        if not any(self._is_local(site) for site in view.latent.values()):
            raise RuntimeError(f"AutoSemiDAIS found no latent variables in the plate '{self._plate_name}'.")
        rest = [site.name for site in view.latent.values() if not self._is_local(site)]
        if rest and self.global_guide is None:
            raise UsageError(
                f"AutoSemiDAIS: the latent sites {rest} are not in the plate '{self._plate_name}' of local values; "
                "give a global_guide for them."
            )

    def _is_local(self, site: Site) -> bool:
        return any(frame.name == self._plate_name for frame in site.plates)

    @property
    def _local(self) -> dict[str, Site]:
        """The local latent sites by name, sorted."""
        return {name: site for name, site in sorted(self._latent.items()) if self._is_local(site)}

    def _frames(self) -> list[tuple[Any, int]]:
        frames = {frame.name: frame for site in self._local.values() for frame in site.plates}
        return [(frame, self._full_size(frame)) for frame in frames.values()]

    def _whole_plates(self) -> dict[str, plate]:
        return self._create_plates()

    # Local values, as rows of a matrix

    def _axis(self, site: Site) -> int:
        """The axis of the plate in unconstrained values of a site."""
        dim = next(frame.dim for frame in site.plates if frame.name == self._plate_name)
        return (dim or -1) - unconstrained_event_dim(site)

    def _row_shape(self, site: Site) -> tuple[int, ...]:
        shape = list(site.unconstrained_shape or ())
        del shape[self._axis(site)]
        return tuple(shape)

    @property
    def _row_size(self) -> int:
        return sum(prod(self._row_shape(site)) for site in self._local.values())

    def _unpack_rows(self, rows: Array) -> dict[str, Array]:
        values, column = {}, 0
        for name, site in self._local.items():
            shape = self._row_shape(site)
            part = rows[:, column : column + prod(shape)].reshape(rows.shape[0], *shape)
            values[name] = jnp.moveaxis(part, 0, self._axis(site))
            column += prod(shape)
        return values

    def _pack_rows(self, values: Mapping[str, Any]) -> Array:
        parts = [jnp.moveaxis(values[name], self._axis(site), 0) for name, site in self._local.items()]
        return jnp.concatenate([part.reshape(part.shape[0], -1) for part in parts], axis=1)

    # Calls

    def _run(self, plates: Mapping[str, plate], args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
        args, kwargs = self._arguments_to_run("local values")
        values, local_args, local_kwargs = self._run_global(args, kwargs)
        data_plate = plates[self._plate_name]
        fixed = {name: made._indices for name, made in plates.items()}
        weight = data_plate.subsample_size / data_plate.size

        def log_density_of(model: Callable, rng_key: Key | None) -> Callable[[Array], Array]:
            params = params_of(model, local_args, local_kwargs)

            def log_density(rows: Array) -> Array:
                with block(), substitute(data={**params, **fixed}):
                    found = log_density_at(model, local_args, local_kwargs, self._unpack_rows(rows), rng_key)
                return weight * found

            return log_density

        log_target = log_density_of(self.local_model, request_key())
        log_base: Callable[[Array], Array]
        if self.local_guide is not None:
            log_base = log_density_of(self._local_guide_alone, request_key())
            start = self._start_of(self.local_guide, fixed, local_args, local_kwargs)
        if self.use_global_dais_params:
            schedule = self._schedule(None)
        with data_plate:
            if not self.use_global_dais_params:
                schedule = self._schedule(data_plate.size)
            if self.local_guide is not None:
                factor(f"{self.prefix}_z_0_factor", log_base(start) / data_plate.subsample_size)
            else:
                base = self._base(data_plate.size)
                start = sample(f"{self.prefix}_z_0", base, infer={"is_auxiliary": True})
                log_base = lambda rows: jnp.sum(base.log_prob(rows))
            scale = jnp.broadcast_to(
                jnp.sqrt(schedule.mass_matrix)[..., None, :], (data_plate.subsample_size, self.K, self._row_size)
            )
            kicks = Normal(0.0, scale).to_event(2).mask(False)
            momentum = sample(f"{self.prefix}_momentum", kicks, infer={"is_auxiliary": True})
            rows, gained = anneal(log_target, log_base, start, momentum, schedule)
            factor(f"{self.prefix}_local_dais_factor", gained)
        return self._draw_local(self._unpack_rows(rows), values, plates, fixed)

    def _schedule(self, size: int | None) -> Any:
        return schedule_params(
            self.prefix, self.K, self._row_size, self.eta_init, self.eta_max, self.gamma_init, batch=size
        )

    def _base(self, size: int) -> Any:
        shape = (size, self._row_size)
        loc = param(f"{self.prefix}_z_0_loc", zeros(*shape), event_dim=1)
        scale = param(
            f"{self.prefix}_z_0_scale", full(shape, self._init_scale), constraint=constraints.positive, event_dim=1
        )
        return Normal(loc, scale).to_event(1)

    def _run_global(self, args: tuple, kwargs: dict[str, Any]) -> tuple[dict[str, Any], tuple, dict[str, Any]]:
        """The global values, and the arguments of the local model."""
        if self.global_guide is None:
            return {}, args, kwargs
        if not isinstance(self.global_guide, AutoGuide):
            with trace() as guide_trace:
                result = self.global_guide(*args, **kwargs)
            values = {n: s["value"] for n, s in guide_trace.items() if s["type"] == "sample" and n in self._latent}
            return values, (result,), {}
        values = self.global_guide(*args, **kwargs)
        with block(expose_types=["param"]), seed(rng_seed=jax.random.key(0)), substitute(data=values):
            result = self.global_guide.model(*args, **kwargs)
        return values, (result,), {}

    def _local_guide_alone(self, *args: Any, **kwargs: Any) -> Any:
        """The local guide without what only helps it."""
        with block(hide_fn=lambda msg: msg["type"] == "sample" and msg["name"] not in self._local):
            return self.local_guide(*args, **kwargs)  # type: ignore[misc]

    def _start_of(self, guide: Callable, fixed: Mapping[str, Any], args: tuple, kwargs: dict[str, Any]) -> Array:
        """Unconstrained values that the local guide draws, as rows."""
        with (
            block(expose_types=["param"]),
            trace() as guide_trace,
            seed(rng_seed=request_key()),
            substitute(data=dict(fixed)),
        ):
            guide(*args, **kwargs)
        missing = [name for name in self._local if name not in guide_trace]
        if missing:
            raise UsageError(f"AutoSemiDAIS: local_guide draws no values of the local sites {missing}.")
        values = {name: guide_trace[name]["value"] for name in self._local}
        return self._pack_rows({name: self._transform(name, values)._inverse(value) for name, value in values.items()})

    def _draw_local(
        self,
        unconstrained: Mapping[str, Array],
        values: dict[str, Any],
        plates: Mapping[str, plate],
        fixed: Mapping[str, Any],
    ) -> dict[str, Any]:
        for name, site in self._local.items():
            point = self._at(name, unconstrained[name], {**fixed, **values})
            with self._within(plates, site):
                values[name] = sample(name, point)
        return values
