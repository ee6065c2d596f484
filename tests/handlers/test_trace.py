"""Records of models."""

from __future__ import annotations

from collections import OrderedDict

import pytest

import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from numpyro._errors import UsageError
from numpyro.primitives import apply_stack


def test_sites_in_order_and_a_new_record_each_time():
    def model(n):
        for i in range(n):
            numpyro.sample(f"x{i}", dist.Normal(0, 1))
        numpyro.get_mask()
        numpyro.prng_key()

    handler = handlers.trace(handlers.seed(model, rng_seed=0))
    first, second = handler.get_trace(3), handler.get_trace(n=1)
    assert isinstance(first, OrderedDict)
    assert list(first) == ["x0", "x1", "x2"]
    assert list(second) == ["x0"]
    assert handler.trace is second
    with handler as third:
        assert not third


def test_a_record_holds_what_the_site_was_for_handlers_outside():
    """A plate within hands the subsample to the model; the record has the whole param."""

    def model():
        with numpyro.plate("p", 4, subsample_size=2):
            return numpyro.param("a", dist.Normal(0, 1).expand([4]).sample(numpyro.prng_key()), event_dim=0)

    handler = handlers.trace(handlers.seed(model, rng_seed=0))
    assert handler().shape == (2,)
    assert handler.trace["a"]["value"].shape == (4,)


@pytest.mark.parametrize(
    ("first", "second", "match"),
    [
        (
            lambda: numpyro.sample("x", dist.Delta(0.0)),
            lambda: numpyro.sample("x", dist.Delta(0.0)),
            r"latent.*\(Delta\)",
        ),
        (lambda: numpyro.sample("x", dist.Delta(0.0)), lambda: numpyro.param("x", 1.0), "latent sample.*param site"),
        (
            lambda: numpyro.param("x", 1.0),
            lambda: numpyro.sample("x", dist.Delta(0.0), obs=0.0),
            "param.*observed sample",
        ),
        (lambda: numpyro.deterministic("x", 1.0), lambda: numpyro.deterministic("x", 1.0), "deterministic"),
        (lambda: numpyro.plate("x", 3), lambda: numpyro.deterministic("x", 1.0), "plate.*deterministic"),
        (lambda: numpyro.factor("x", 1.0), lambda: numpyro.factor("x", 1.0), "observed sample"),
    ],
)
def test_two_sites_of_one_name(first, second, match):
    with pytest.raises(UsageError, match=f"unique names but got `x` duplicated.*{match}.*scope"):
        handlers.trace(lambda: (first(), second())).get_trace()


def test_plates_and_params_may_be_met_again():
    def model():
        for name in "yz":
            with numpyro.plate("p", 3):
                numpyro.sample(name, dist.Delta(0.0))
            numpyro.param("a", 1.0)

    assert list(handlers.trace(model).get_trace()) == ["p", "y", "a", "z"]


def test_control_flow_is_left_to_the_sites_within():
    msg = {"type": "control_flow", "name": "scan", "fn": lambda: 1, "args": (), "kwargs": {}, "value": None}
    with handlers.trace() as sites:
        apply_stack(msg)
    assert not sites
