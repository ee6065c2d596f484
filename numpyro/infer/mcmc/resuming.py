"""What a store keeps of a run beside its states, so that the run can be gone on with."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._typing import Key
from numpyro.infer.mcmc.engine import Plan
from numpyro.infer.mcmc.recorder import StoreError
from numpyro.infer.mcmc.schedule import Phase
from numpyro.infer.mcmc.stopping import Until


def import_store() -> Any:
    """The package of run stores.

    :raises ImportError: where zarr is not installed.
    """
    try:
        from numpyro.infer.mcmc import store
    except ModuleNotFoundError as error:
        raise ImportError("A run store needs zarr: pip install 'numpyro[zarr]'.") from error
    return store


@dataclass(frozen=True)
class RunSettings:
    """The settings of a run; see :class:`~numpyro.infer.MCMC`."""

    num_warmup: int
    num_samples: int
    num_chains: int
    thinning: int
    chain_method: Any
    extra_fields: tuple[str, ...]
    rng_key: Key
    phases: tuple[Phase, ...]
    until: Until | None

    def longer(self, num_samples: int) -> RunSettings:
        """The same run with more iterations of sampling.

        :raises ValueError: where they are fewer, or its last draws would not be those of the longer run.
        """
        *before, (last, keep) = self.phases
        plan = Plan.thinned(num_samples, self.thinning)
        if plan.rows < last.rows or plan.skip != last.skip:
            raise ValueError(
                f"num_samples must not be less than the run's {self.num_samples}, and differ from it by a multiple "
                f"of thinning={self.thinning}; got {num_samples}."
            )
        return replace(self, num_samples=num_samples, phases=(*before, Phase(plan, keep)))

    def as_json(self) -> dict[str, Any]:
        """The settings as plain JSON."""
        typed = jax.dtypes.issubdtype(self.rng_key.dtype, jax.dtypes.prng_key)
        plain = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return plain | {
            "extra_fields": list(self.extra_fields),
            "rng_key": np.asarray(jax.random.key_data(self.rng_key)).tolist(),
            "key_impl": str(jax.random.key_impl(self.rng_key)) if typed else None,
            "phases": [[[int(count) for count in phase.plan], phase.keep] for phase in self.phases],
            "until": None if self.until is None else self.until.as_json(),
        }

    @classmethod
    def from_json(cls, settings: dict[str, Any], path: Any) -> RunSettings:
        """The settings that the store at ``path`` has.

        :raises StoreError: where they are not those of a run.
        """
        try:
            words, impl = jnp.asarray(np.array(settings["rng_key"], np.uint32)), settings["key_impl"]
            return cls(
                **{name: settings[name] for name in ("num_warmup", "num_samples", "num_chains", "thinning")},
                chain_method=settings["chain_method"],
                extra_fields=tuple(settings["extra_fields"]),
                rng_key=words if impl is None else jax.random.wrap_key_data(words, impl=impl),
                phases=tuple(Phase(Plan(*plan), keep) for plan, keep in settings["phases"]),
                until=None if settings["until"] is None else Until(**settings["until"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"The store '{path}' is damaged: its settings are not those of a run: {error}.") from error
