"""Guides for parts of a model, put together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax

from numpyro._errors import UsageError
from numpyro._typing import Key
from numpyro.handlers import block, trace
from numpyro.infer.autoguide.base import AutoGuide
from numpyro.infer.model import ModelView
from numpyro.primitives import plate


class AutoGuideList(AutoGuide):
    """Guides for parts of a model, run one after the other.

    Each part is a guide of the model with some sites hidden, or a function of the model's arguments that draws sites of
    the model and returns their values by name. Parts share the plates of the list.

    :param model: the whole model.
    :param prefix: it is not used: params are named by the parts.
    :param init_loc_fn: it is not used: the parts have theirs.
    :param create_plates: see :class:`AutoGuide`; for all parts.
    :param forward_mode_differentiation: see :class:`AutoGuide`.

    >>> import jax, numpyro, numpyro.distributions as dist
    >>> from numpyro.handlers import block
    >>> from numpyro.infer.autoguide import AutoDelta, AutoGuideList, AutoNormal
    >>> def model():
    ...     x = numpyro.sample("x", dist.Normal(0.0, 1.0))
    ...     numpyro.sample("y", dist.Normal(x, 1.0))
    >>> guide = AutoGuideList(model)
    >>> guide.append(AutoNormal(block(model, hide=["y"])))
    >>> guide.append(AutoDelta(block(model, hide=["x"])))
    >>> sorted(numpyro.handlers.seed(guide, rng_seed=0)())
    ['x', 'y']
    """

    def __init__(
        self,
        model: Callable,
        *,
        prefix: str = "auto",
        init_loc_fn: Callable | None = None,
        create_plates: Callable | None = None,
        forward_mode_differentiation: bool = False,
    ) -> None:
        self._parts: list[Callable] = []
        options = {} if init_loc_fn is None else {"init_loc_fn": init_loc_fn}
        super().__init__(
            model,
            prefix=prefix,
            create_plates=create_plates,
            forward_mode_differentiation=forward_mode_differentiation,
            **options,  # type: ignore[arg-type]
        )

    def append(self, part: Callable) -> None:
        """Add a part.

        :param part: a guide, or a function of the model's arguments.
        """
        if not callable(part):
            raise TypeError(f"A part of AutoGuideList must be a guide or a function, got {type(part).__name__}.")
        self._parts.append(part)

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self) -> Iterator[Callable]:
        return iter(self._parts)

    def __getitem__(self, index: Any) -> Any:
        return self._parts[index]

    @property
    def _guides(self) -> list[AutoGuide]:
        return [part for part in self._parts if isinstance(part, AutoGuide)]

    def begin(self, rng_key: Key, *args: Any, **kwargs: Any) -> None:
        """Get to know the model, and begin all parts."""
        with block():
            self._describe(args, kwargs)
        for i, part in enumerate(self._guides):
            part.begin(jax.random.fold_in(rng_key, i), *args, **kwargs)

    def _describe(self, args: tuple, kwargs: dict[str, Any]) -> ModelView:
        view = super()._describe(args, kwargs)
        for part in self._guides:
            if part._sites is None:
                part._describe(args, kwargs)
        return view

    def _run(self, plates: Mapping[str, plate], args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for position, part in enumerate(self._parts):
            if isinstance(part, AutoGuide):
                with part._called_with(args, kwargs):
                    drawn = part._run(plates, args, kwargs)
            else:
                drawn = _draws_of(part, args, kwargs)
            twice = sorted(set(values) & set(drawn))
            if twice:
                raise UsageError(
                    f"AutoGuideList: all sites must have unique names but got `{twice[0]}` duplicated: part {position} "
                    "and one before it both draw it. Hide it from one of them with numpyro.handlers.block."
                )
            values |= drawn
        return values

    def _of_parts(self, method: str, params: Mapping[str, Any], *args: Any) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for position, part in enumerate(self._parts):
            if not isinstance(part, AutoGuide):
                raise NotImplementedError(f"AutoGuideList: part {position} is a function, which has no {method}.")
            values |= getattr(part, method)(params, *args)
        return {name: value for name, value in values.items() if name in self._latent}

    def median(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return self._of_parts("median", params)

    def quantiles(self, params: Mapping[str, Any], quantiles: Any) -> dict[str, Any]:
        return self._of_parts("quantiles", params, quantiles)


def _draws_of(part: Callable, args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The values of latent sites that a function draws."""
    with trace() as part_trace:
        part(*args, **kwargs)
    return {
        name: site["value"]
        for name, site in part_trace.items()
        if site["type"] == "sample" and not site["is_observed"] and not site["infer"].get("is_auxiliary")
    }
