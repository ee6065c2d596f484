"""Predictive: draws of a model's sites from the prior, a posterior, or a guide."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Collection, Mapping
from math import prod
from typing import Any

import jax
import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import Key, PyTree, Shape
from numpyro.handlers import seed, substitute, trace
from numpyro.infer.discrete import discrete_values
from numpyro.infer.model.draws import common_batch_shape, map_draws
from numpyro.util import is_prng_key

Values = Mapping[str, PyTree]


class Predictive:
    """Draws the sites of a model that posterior samples, or a guide, leave open.

    With posterior samples :math:`\\theta_1, \\ldots, \\theta_n` the result holds one draw
    :math:`\\tilde y_i \\sim p(y \\mid \\theta_i)` for each: the posterior predictive distribution. With ``num_samples``
    alone it holds draws of all sites: the prior predictive. With a ``guide``, samples are drawn from the guide first.

    :param model: a model.
    :param posterior_samples: values of sites by name, with ``batch_ndims`` leading dimensions of draws.
    :param guide: a guide to draw posterior samples from, in place of ``posterior_samples``. A subsample that its plates
        take, the plates of the model take, too.
    :param params: values of param sites of model and guide, by name.
    :param num_samples: the number of draws; with ``posterior_samples`` it is their number.
    :param return_sites: names of the sites to return, whatever their kinds; names that the model does not have are
        left out. By default those of sample sites without posterior samples, and of deterministic sites.
    :param infer_discrete: draw discrete latent sites of finite support, which inference sums out, from their
        distribution given the posterior samples and the data.
    :param parallel: make all draws at once (``vmap``), instead of one after the other (``lax.map``): faster, with more
        memory. The draws are the same.
    :param batch_ndims: number of leading dimensions of draws: of ``posterior_samples``, 1 by default (2 for samples
        grouped by chain; 0 for one single draw), or of ``params`` with a guide, 0 by default. A prior predictive with
        ``batch_ndims=2`` has the dimensions ``(1, num_samples)``.
    :param batch_size: make so many draws at a time, and bring them to host memory before the next: the memory of the
        device then does not grow with the number of draws, and the result is of NumPy arrays. The draws are the same.
    :param condition_deterministic: let deterministic sites keep the values that ``posterior_samples`` has for them;
        by default they are computed anew.
    :param exclude_deterministic: deprecated, the opposite of ``condition_deterministic``.
    :raises TypeError: if ``posterior_samples`` is no dictionary of arrays, or ``num_samples`` no integer.
    :raises ValueError: if neither ``posterior_samples`` nor ``num_samples`` is given, the batch dimensions of posterior
        samples differ, or options exclude each other.

    Called with a random key and the model's arguments, it returns a dictionary of arrays by site, with the dimensions
    of draws in front. A second call of the same shapes compiles nothing.

    >>> import jax, numpyro, numpyro.distributions as dist
    >>> def model(n):
    ...     mu = numpyro.sample("mu", dist.Normal(0, 1))
    ...     with numpyro.plate("n", n):
    ...         numpyro.sample("y", dist.Normal(mu, 1))
    >>> prior = Predictive(model, num_samples=100)(jax.random.key(0), n=3)
    >>> prior["mu"].shape, prior["y"].shape
    ((100,), (100, 3))
    >>> list(Predictive(model, {"mu": prior["mu"]})(jax.random.key(1), n=3))
    ['y']
    """

    def __init__(
        self,
        model: Callable,
        posterior_samples: Values | None = None,
        *,
        guide: Callable | None = None,
        params: Values | None = None,
        num_samples: int | None = None,
        return_sites: Collection[str] | None = None,
        infer_discrete: bool = False,
        parallel: bool = False,
        batch_ndims: int | None = None,
        condition_deterministic: bool | None = None,
        exclude_deterministic: bool | None = None,
        batch_size: int | None = None,
    ) -> None:
        for name, function in (("model", model), ("guide", guide)):
            if not callable(function) and not (name == "guide" and guide is None):
                raise UsageError(f"`{name}` must be a function, but got {type(function).__name__}.")
        if posterior_samples is None and num_samples is None:
            raise ValueError("Either posterior_samples or num_samples must be specified.")
        if posterior_samples is not None and guide is not None:
            raise ValueError("Only one of guide or posterior_samples can be provided, not both.")
        if isinstance(return_sites, str) or not (return_sites is None or isinstance(return_sites, Collection)):
            raise UsageError(f"return_sites must be a list, tuple or set of names of sites, but got {return_sites!r}.")
        if batch_ndims is None:
            batch_ndims = 1 if guide is None else 0
        self.model = model
        self.guide = guide
        self.params: Values = {} if params is None else params
        self.posterior_samples: Values = {} if posterior_samples is None else posterior_samples
        self.return_sites = return_sites
        self.infer_discrete = infer_discrete
        self.parallel = parallel
        self.batch_size = None if batch_size is None else as_count("batch_size", batch_size, 1)
        self.batch_ndims = as_count("batch_ndims", batch_ndims, 0)
        self.condition_deterministic = _conditions_deterministic(condition_deterministic, exclude_deterministic)
        self._batch_shape = self._find_batch_shape(posterior_samples, num_samples)
        self.num_samples = prod(self._batch_shape)

    def _find_batch_shape(self, posterior_samples: Values | None, num_samples: int | None) -> Shape:
        if posterior_samples or num_samples is None:
            # Without num_samples there must be samples to tell their number.
            batch_shape = common_batch_shape(posterior_samples, self.batch_ndims)  # type: ignore[arg-type]
            size = prod(batch_shape)
            if num_samples is not None and num_samples != size:
                warnings.warn(
                    f"Sample's batch dimension size {size} is different from the provided {num_samples} num_samples "
                    f"argument. Defaulting to {size}.",
                    UserWarning,
                    stacklevel=3,
                )
            return batch_shape
        num_samples = as_count("num_samples", num_samples, 1)
        return (1,) * (self.batch_ndims - 1 if self.guide is None else 0) + (num_samples,)

    @property
    def exclude_deterministic(self) -> bool:
        """Whether deterministic sites are computed anew; deprecated, see ``condition_deterministic``."""
        warnings.warn(
            "`exclude_deterministic` is deprecated, use `condition_deterministic` instead.", FutureWarning, stacklevel=2
        )
        return not self.condition_deterministic

    def __call__(self, rng_key: Key, *args: Any, **kwargs: Any) -> dict[str, PyTree]:
        """Draw.

        :param rng_key: a random key.
        :param args: arguments of the model, and of the guide.
        :param kwargs: keyword arguments of the model, and of the guide.
        :return: values by site, with the dimensions of draws in front.
        :raises TypeError: if ``rng_key`` is no random key.
        """
        if not is_prng_key(rng_key):
            raise TypeError(
                "Predictive takes one random key, such as jax.random.key(0), before the arguments of the model, but "
                f"got {getattr(rng_key, 'dtype', type(rng_key).__name__)} of shape {np.shape(rng_key)}. For a batch of "
                "keys use jax.vmap."
            )

        def of_one_draw(rng_key: Key, values: Values) -> dict[str, PyTree]:
            if self.guide is None:
                return self._draw(rng_key, values, self.params, args, kwargs)
            if self.batch_ndims == 0:
                return self._draw_by_guide(rng_key, self.params, args, kwargs)
            # Params fitted in a batch: one draw for each of them.
            params_shape = common_batch_shape(self.params, self.batch_ndims)
            by_guide = lambda key, params: self._draw_by_guide(key, params, args, kwargs)
            return map_draws(by_guide, rng_key, self.params, params_shape, parallel=True)

        return map_draws(
            of_one_draw,
            rng_key,
            self.posterior_samples,
            self._batch_shape,
            parallel=self.parallel,
            batch_size=self.batch_size,
        )

    def _draw_by_guide(self, rng_key: Key, params: Values, args: tuple, kwargs: dict[str, Any]) -> dict[str, PyTree]:
        guide_key, model_key = jax.random.split(rng_key)
        with trace() as guide_trace, seed(rng_seed=guide_key), substitute(data=params):
            self.guide(*args, **kwargs)  # type: ignore[misc]
        values = {
            name: site["value"]
            for name, site in guide_trace.items()
            if site["type"] in ("sample", "deterministic") or _is_subsampled(site)
        }
        return self._draw(model_key, values, params, args, kwargs)

    def _draw(
        self, rng_key: Key, values: Values, params: Values, args: tuple, kwargs: dict[str, Any]
    ) -> dict[str, PyTree]:
        """One draw of the sites to return, given values of others."""

        def value_of(site: Any) -> Any:
            name = site["name"]
            if name in values and (site["type"] != "deterministic" or self.condition_deterministic):
                return values[name]
            return params.get(name) if site["type"] != "deterministic" else None

        model = substitute(self.model, substitute_fn=value_of)
        if self.infer_discrete:
            rng_key, discrete_key = jax.random.split(rng_key)
            found = discrete_values(model, args, kwargs, discrete_key, mark=True)
            model = substitute(model, data=found)
        with trace() as model_trace, seed(rng_seed=rng_key):
            model(*args, **kwargs)
        return {name: site["value"] for name, site in model_trace.items() if self._is_returned(site, values)}

    def _is_returned(self, site: Any, values: Values) -> bool:
        if self.return_sites is not None:
            return site["name"] in self.return_sites
        return site["type"] == "deterministic" or (site["type"] == "sample" and site["name"] not in values)


def _is_subsampled(site: Any) -> bool:
    return site["type"] == "plate" and site["args"][1] is not None and site["args"][1] < site["args"][0]


def _conditions_deterministic(condition: bool | None, exclude: bool | None) -> bool:
    if exclude is None:
        return bool(condition)
    if condition is not None:
        raise ValueError(
            "Only one of `condition_deterministic` or the deprecated `exclude_deterministic` can be provided, not both."
        )
    warnings.warn(
        "`exclude_deterministic` is deprecated, use `condition_deterministic` instead (`exclude_deterministic=True` "
        "corresponds to `condition_deterministic=False`).",
        FutureWarning,
        stacklevel=3,
    )
    return not exclude


def as_count(name: str, value: Any, least: int) -> int:
    """``value`` as an integer that is not less than ``least``."""
    try:
        if isinstance(value, bool):
            raise TypeError
        count = operator.index(value)
    except TypeError:
        raise TypeError(f"`{name}` must be an integer, but got {value!r}.") from None
    if count < least:
        raise UsageError(f"`{name}` must be at least {least}, but got {count}.")
    return count


Predictive.__module__ = "numpyro.infer.util"
