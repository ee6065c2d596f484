"""What all guides share: what they know of the model, where they start, plates, and the values of its sites."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import Key, PyTree, Shape
from numpyro.distributions import Delta
from numpyro.distributions._shapes import sum_rightmost
from numpyro.distributions.transforms import IdentityTransform, Transform
from numpyro.handlers import block, seed, substitute, trace
from numpyro.infer.autoguide.params import Fitted, MissingParam
from numpyro.infer.initialization import init_to_uniform
from numpyro.infer.model import ModelView, Site
from numpyro.infer.model.bijection import site_bijection
from numpyro.infer.model.density import Prototype
from numpyro.infer.model.draws import map_draws
from numpyro.infer.model.start import begin as find_start
from numpyro.infer.program import in_jit, is_traced
from numpyro.primitives import plate
from numpyro.primitives.stack import request_key

Values = dict[str, Any]


class Start(NamedTuple):
    """Where a guide starts: ``unconstrained`` values of the latent sites of a model, and the ``values`` themselves."""

    unconstrained: Values
    values: Values


class _Call(threading.local):
    """The arguments of the call of a guide that runs in this thread, and where the guide starts in it."""

    arguments: tuple[tuple, dict[str, Any]] | None = None
    start: Start | None = None


class AutoGuide(ABC):
    """Base class of guides that are made from a model.

    A guide gets to know its model when it is first called, and at :meth:`begin`: the latent sites, their shapes,
    supports and plates, and values at which the density is finite. The arguments of later calls may differ (new data
    without observations, say); the sites stay as they were.

    :param model: the model.
    :param prefix: what the names of the guide's params contain.
    :param init_loc_fn: an initialization strategy, such as :func:`~numpyro.infer.init_to_median`.
    :param create_plates: a function of the model's arguments that returns a plate, or several, which the guide uses in
        place of its own of the same names: to share a subsample, or to take one of another size.
    :param forward_mode_differentiation: differentiate forwards when a start is looked for.
    :raises ValueError: where the model has discrete latent sites, unless they are marked to be enumerated by
        ``infer={"enumerate": "parallel"}``, which are left to the objective.

    Subclasses override :meth:`_run`.
    """

    _exposed_types: tuple[str, ...] = ()
    """Types of sites that handlers around see when draws are made."""

    def __init__(
        self,
        model: Callable,
        *,
        prefix: str = "auto",
        init_loc_fn: Callable = init_to_uniform,
        create_plates: Callable | None = None,
        forward_mode_differentiation: bool = False,
    ) -> None:
        if not callable(model):
            raise TypeError(f"{type(self).__name__}: `model` must be a function, got {type(model).__name__}.")
        if not isinstance(prefix, str):
            raise TypeError(f"{type(self).__name__}: `prefix` must be a string, got {prefix!r}.")
        if create_plates is not None and not callable(create_plates):
            raise TypeError(f"{type(self).__name__}: `create_plates` must be a function, got {create_plates!r}.")
        self.model = model
        self.prefix = prefix
        self.init_loc_fn = init_loc_fn
        self.create_plates = create_plates
        self.prototype_trace: dict[str, Any] | None = None
        self._forward_mode_differentiation = forward_mode_differentiation
        self._sites: dict[str, Site] | None = None
        self._arguments: tuple[tuple, dict[str, Any]] | None = None
        self._start: Start | None = None
        self._call = _Call()

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_call"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _call=_Call())

    # The model

    def begin(self, rng_key: Key, *args: Any, **kwargs: Any) -> None:
        """Get to know the model with these arguments, and find values to start from.

        :class:`~numpyro.infer.SVI` does this, and so does a first call.

        :param rng_key: a key; under a trace, where the values are found with the first params, it is not used.
        :raises InitializationError: where no values with a finite density and gradient are found.
        """
        is_in_trace = is_traced((rng_key, args, kwargs)) or in_jit()
        with block():
            view = self._describe(args, kwargs)
            self._start = None
            if not is_in_trace:
                self._start, self.prototype_trace = self._find_start(view, rng_key)

    def _describe(self, args: tuple, kwargs: dict[str, Any]) -> ModelView:
        """Get to know the sites of the model."""
        view = ModelView(self._visible_model, args, kwargs)
        if view.discrete_latent:
            names = ", ".join(f"'{name}'" for name in view.discrete_latent)
            raise UsageError(
                f"{type(self).__name__} proposes continuous values, but the model has discrete latent sites: {names}. "
                "Mark them with infer={'enumerate': 'parallel'} and sum them out with TraceEnum_ELBO, leave them to "
                "another guide (numpyro.handlers.block hides them from this one), or observe them."
            )
        self._check(view)
        self._sites = view.sites
        self._arguments = None if is_traced((args, kwargs)) else (args, kwargs)
        self.prototype_trace = {name: _message(site) for name, site in view.sites.items()}
        return view

    def _check(self, view: ModelView) -> None:
        """Raise where the guide can't serve a model."""

    def _visible_model(self, *args: Any, **kwargs: Any) -> Any:
        """The model without the discrete sites that are left to the objective."""
        with block(hide_fn=_is_enumerated):
            return self.model(*args, **kwargs)

    def _find_start(self, view: ModelView, rng_key: Key) -> tuple[Start, dict[str, Any]]:
        start, _, model_trace = find_start(
            view, rng_key, self.init_loc_fn, forward_mode=self._forward_mode_differentiation
        )
        values = {name: model_trace[name]["value"] for name in view.latent}
        return Start(start.unconstrained, values), model_trace

    @property
    def _latent(self) -> dict[str, Site]:
        """The latent sites, in the order of the model."""
        sites = self._known_sites()
        return {name: site for name, site in sites.items() if site.unconstrained_shape is not None}

    def _known_sites(self) -> dict[str, Site]:
        if self._sites is None:
            raise UsageError(
                f"{type(self).__name__} has not met its model's sites yet: fit it first, as in svi.run(...), or call "
                "guide.begin(rng_key, *args) with the arguments of the model."
            )
        return self._sites

    # Calls

    def __call__(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Run the guide: draw a value for each latent site of the model.

        :param args: arguments of the model.
        :return: the values by site.
        """
        if self._sites is None:
            self._first_call(args, kwargs)
        with self._called_with(args, kwargs):
            return self._run(self._create_plates(*args, **kwargs), args, kwargs)

    def _first_call(self, args: tuple, kwargs: dict[str, Any]) -> None:
        rng_key = request_key()
        if rng_key is None:
            raise UsageError(
                f"{type(self).__name__} needs a random key when it is first called; run it under a seed, as in "
                "numpyro.handlers.seed(guide, rng_seed=0)(...)."
            )
        self.begin(rng_key, *args, **kwargs)

    @abstractmethod
    def _run(self, plates: Mapping[str, plate], args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Draw a value for each latent site, within ``plates``."""

    @contextmanager
    def _called_with(self, args: tuple, kwargs: dict[str, Any]) -> Iterator[None]:
        before = self._call.arguments, self._call.start
        self._call.arguments, self._call.start = (args, kwargs), None
        try:
            yield
        finally:
            self._call.arguments, self._call.start = before

    def _initially(self, value_at: Callable[[Start], Any]) -> Any:
        """A first value of a param: the value, or a function of a key where the start is yet to be found."""
        if self._start is not None:
            return value_at(self._start)

        def initialize(rng_key: Key) -> Any:
            if self._call.start is None:
                args, kwargs = self._call.arguments or self._arguments or ((), {})
                with block():
                    self._call.start, _ = self._find_start(ModelView(self._visible_model, args, kwargs), rng_key)
            return value_at(self._call.start)

        return initialize

    # Plates

    def _create_plates(self, *args: Any, **kwargs: Any) -> dict[str, plate]:
        """The plates that the latent sites stand in, by name."""
        if self.create_plates is None:
            plates = {}
        else:
            created = self.create_plates(*args, **kwargs)
            created = [created] if isinstance(created, plate) else list(created)
            if not all(isinstance(made, plate) for made in created):
                raise UsageError(f"`create_plates` must return a plate or a list of plates, but returned {created}.")
            plates = {made.name: made for made in created}
        for frame, size in self._frames():
            if frame.name not in plates:
                plates[frame.name] = plate(
                    frame.name, size, subsample_size=None if frame.size == size else frame.size, dim=frame.dim
                )
        return plates

    def _whole_plates(self) -> dict[str, plate]:
        """The same plates without subsampling."""
        return {frame.name: plate(frame.name, size, dim=frame.dim) for frame, size in self._frames()}

    def _frames(self) -> list[tuple[Any, int]]:
        """The frames of the plates that latent sites stand in, and their full sizes."""
        frames = {frame.name: frame for site in self._latent.values() for frame in site.plates}
        return [(frame, self._full_size(frame)) for frame in frames.values()]

    def _full_size(self, frame: Any) -> int:
        described = self._known_sites().get(frame.name)
        return frame.size if described is None or described.plate_size is None else described.plate_size

    @contextmanager
    def _within(self, plates: Mapping[str, plate], site: Site) -> Iterator[None]:
        """The plates of a site, entered."""
        with ExitStack() as stack:
            for frame in sorted(site.plates, key=lambda frame: frame.dim or 0, reverse=True):
                stack.enter_context(plates[frame.name])
            yield

    def _for_whole_plates(self, site: Site, value: Any, event_dim: int) -> Any:
        """A value of a site, repeated where its plates take subsamples, until it has their full sizes."""
        for frame in site.plates:
            size = self._full_size(frame)
            if size != frame.size:
                indices = np.arange(size) % frame.size
                take = jnp.take if is_traced(value) else lambda v, i, axis: np.take(np.asarray(v), i, axis=axis)
                value = take(value, indices, axis=(frame.dim or 0) - event_dim)
        return value

    # Values of sites

    def _transform(self, name: str, values: Mapping[str, Any]) -> Transform:
        """The bijection onto the support of a site, which may depend on ``values`` of sites before it."""
        known = self._latent[name].transform
        if known is not None:
            return known
        return site_bijection(self._site_given(name, values))

    def _at(self, name: str, unconstrained: Any, given: Mapping[str, Any]) -> Delta:
        """A point mass at the value of a site, of the density by which its bijection changes the unconstrained one.

        :param given: values of sites before it.
        """
        site, transform = self._latent[name], self._transform(name, given)
        value, intermediates = transform.call_with_intermediates(unconstrained)
        log_density: Any = 0.0
        if not isinstance(transform, IdentityTransform):
            log_det = transform.log_abs_det_jacobian(unconstrained, value, intermediates)
            log_density = -sum_rightmost(log_det, np.ndim(log_det) - np.ndim(value) + site.event_dim)
        return Delta(value, log_density=log_density, event_dim=site.event_dim)

    def _site_given(self, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """The message of a site in the model, given values of others."""
        args, kwargs = self._arguments_to_run(f"the support of site '{name}'")
        with (
            block(expose_types=["param"]),
            trace() as model_trace,
            seed(rng_seed=jax.random.key(0)),
            Prototype(),
            substitute(data=dict(values)),
        ):
            self._visible_model(*args, **kwargs)
        return model_trace[name]

    def _arguments_to_run(self, why: str) -> tuple[tuple, dict[str, Any]]:
        """The arguments of the present call, or else those with which the guide began."""
        given = self._call.arguments
        if given is not None and (given[0] or given[1] or self._arguments is None):
            return given
        if self._arguments is None:
            raise UsageError(
                f"{type(self).__name__} needs the arguments of the model to compute {why}, but it began within a trace "
                "(jax.jit, say), from which they cannot be kept: call guide.begin(rng_key, *args) outside of it."
            )
        return self._arguments

    def _complete(self, values: dict[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
        """``values`` of the latent sites, with those of deterministic sites.

        Where plates take subsamples, deterministic sites have no values for the whole of them, and are left out.
        """
        sites = self._known_sites().values()
        names = [site.name for site in sites if site.kind == "deterministic"]
        if not names or any(site.is_subsampled for site in sites):
            return values
        args, kwargs = self._arguments_to_run("its deterministic sites")
        data = {**params, **values}
        with block(), trace() as model_trace, seed(rng_seed=jax.random.key(0)), substitute(data=data):
            self._visible_model(*args, **kwargs)
        return {**values, **{name: model_trace[name]["value"] for name in names if name in model_trace}}

    def _map(
        self,
        fn: Callable[[Any, PyTree], dict[str, Any]],
        rng_key: Key | None,
        draws: PyTree,
        batch_shape: Shape,
        params: Mapping[str, Any],
        args: tuple = (),
        kwargs: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The values of sites by ``fn(key, draw)``, a draw each, in one compiled program."""

        def of_one(rng_key: Key, draw: PyTree) -> dict[str, Any]:
            with self._called_with(args, kwargs or {}):
                with block(expose_types=self._exposed_types), Fitted(params, self.prefix):
                    values = fn(rng_key, draw)
                return self._complete(values, params)

        return map_draws(of_one, rng_key, draws, batch_shape, parallel=True)

    def _fitted(self, params: Mapping[str, Any], name: str) -> Any:
        if name not in params:
            raise MissingParam.of(name, self.prefix, params)
        return params[name]

    def sample_posterior(
        self, rng_key: Key, params: Mapping[str, Any], *args: Any, sample_shape: Shape = (), **kwargs: Any
    ) -> dict[str, Any]:
        """Draw values of the model's latent sites, and those of its deterministic sites that go with them.

        Plates are whole, where the model takes subsamples.

        :param rng_key: a key.
        :param params: the params of the guide, as ``SVI`` returns them.
        :param args: arguments of the model; by default those with which the guide began.
        :param sample_shape: the shape of independent draws.
        :return: arrays by site, of shapes ``sample_shape + shape of the site``.
        """
        if self._sites is None and (args or kwargs):
            with block():
                self._describe(args, kwargs)
        self._known_sites()

        def draw(rng_key: Key, _: PyTree) -> dict[str, Any]:
            with seed(rng_seed=rng_key):
                return self._run(self._whole_plates(), args, kwargs)

        return self._map(draw, rng_key, {}, tuple(sample_shape), params, args, kwargs)

    def median(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The medians of the unconstrained values, in the supports.

        :param params: the params of the guide.
        :raises NotImplementedError: for guides that do not know them.
        """
        raise NotImplementedError(f"{type(self).__name__} has no medians in closed form; use sample_posterior.")

    def quantiles(self, params: Mapping[str, Any], quantiles: Any) -> dict[str, Any]:
        """Quantiles of each unconstrained value, in the supports, along a leading axis.

        :param params: the params of the guide.
        :param quantiles: probabilities.
        :raises NotImplementedError: for guides that do not know them.
        """
        raise NotImplementedError(f"{type(self).__name__} has no quantiles in closed form; use sample_posterior.")


def _is_enumerated(msg: Any) -> bool:
    return (
        msg["type"] == "sample"
        and not msg["is_observed"]
        and msg["infer"].get("enumerate") == "parallel"
        and bool(msg["fn"].is_discrete)
    )


def _message(site: Site) -> dict[str, Any]:
    """What is known of a site before the model has run."""
    return {
        "type": site.kind,
        "name": site.name,
        "value": jax.ShapeDtypeStruct(site.shape, site.dtype) if site.dtype is not None else None,
        "is_observed": site.is_observed,
        "cond_indep_stack": list(site.plates),
        "infer": dict(site.infer),
    }
