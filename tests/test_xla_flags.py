"""Settings of XLA: made where the user has made none, for known releases, before the backend starts, with a switch."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import jaxlib
import pytest

from numpyro._util.xla_flags import KNOWN_RELEASES, SWITCH

OURS = "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold="
IS_KNOWN = tuple(jaxlib.__version__.split(".")[:2]) in KNOWN_RELEASES
SHOW = "import json, os; print(json.dumps(os.environ.get('XLA_FLAGS', '')))"


def flags_after(code, **environment):
    """``XLA_FLAGS`` at the end of a fresh process, which must not fail."""
    kept = {name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", SWITCH)}
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; {SHOW}"],
        env=kept | {"JAX_PLATFORMS": "cpu"} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


COMPUTE = "import jax.numpy as jnp; assert int(jnp.arange(3).sum()) == 3"


def test_the_import_makes_the_settings_and_starts_no_backend():
    code = (
        f"import numpyro; from numpyro._util.platform import backends_are_up; assert not backends_are_up(); {COMPUTE}"
    )
    assert flags_after(code).startswith(OURS) == IS_KNOWN


def test_other_flags_of_the_user_stay():
    user = "--xla_cpu_enable_fast_math=false"
    flags = flags_after(f"import numpyro; {COMPUTE}", XLA_FLAGS=user)
    assert flags.startswith(user)
    assert (OURS in flags) == IS_KNOWN


@pytest.mark.parametrize(
    ("before", "environment"),
    [
        ("pass", {SWITCH: "0"}),
        ("pass", {SWITCH: "off"}),
        ("pass", {"XLA_FLAGS": "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=2048"}),
        ("import jax, jaxlib; jaxlib.__version__ = '0.99.1'", {}),
        (COMPUTE, {}),
    ],
    ids=["switched off", "switched off by a word", "the user's own", "an unknown release", "too late"],
)
def test_nothing_is_set(before, environment):
    flags = flags_after(f"{before}; import numpyro; {COMPUTE}", **environment)
    assert flags == environment.get("XLA_FLAGS", "")


def test_the_name_of_a_file_of_flags_stays(tmp_path):
    file = tmp_path / "flags"
    file.write_text("--xla_cpu_enable_fast_math=false")
    assert flags_after(f"import numpyro; {COMPUTE}", XLA_FLAGS=str(file)) == str(file)
