"""Settings of XLA's processor backend that suit samplers, made where the user has made none.

The backend compiles a loop as one kernel when the arrays that an iteration touches are below a threshold, by default
about a kilobyte. Loops of samplers are larger, and dispatching their operations one by one takes several times as
long as computing them: with a threshold of a megabyte a leapfrog step of the eight schools takes a fifth, and one of a
model with a thousand rows a third to a half. The threshold is no option of a single program, it is read when the
backend starts.

Set the environment variable ``NUMPYRO_XLA_FLAGS=0`` to leave all as it is.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

import jaxlib

from numpyro._util.platform import backends_are_up

SWITCH = "NUMPYRO_XLA_FLAGS"
"""The environment variable that turns this off when it is ``0``, ``false``, ``no`` or ``off``."""

KNOWN_RELEASES = (("0", "10"),)
"""Releases of jaxlib that know the settings. XLA ends the process at a flag that it does not know, so that no other
release is given any."""

_FLAG = "--xla_backend_extra_options"
_OPTION = "xla_cpu_small_while_loop_byte_threshold"
_BYTES = 1_000_000


def set_xla_flags(environment: MutableMapping[str, str] = os.environ, release: str = jaxlib.__version__) -> bool:
    """Add the settings to ``XLA_FLAGS``, which XLA reads when the first computation starts its backend.

    Nothing changes where the switch is off, the backend has started, the release of jaxlib is not known, or
    ``XLA_FLAGS`` already has options of this kind.

    :param environment: the environment variables.
    :param release: the release of jaxlib.
    :returns: whether the settings were added.
    """
    if environment.get(SWITCH, "").strip().lower() in ("0", "false", "no", "off"):
        return False
    flags = environment.get("XLA_FLAGS", "")
    known = tuple(release.split(".")[:2]) in KNOWN_RELEASES
    if not known or _FLAG in flags or not _is_list_of_flags(flags) or backends_are_up():
        return False
    environment["XLA_FLAGS"] = f"{flags} {_FLAG}={_OPTION}={_BYTES}".strip()
    return True


def _is_list_of_flags(flags: str) -> bool:
    """Whether flags can be added: ``XLA_FLAGS`` may also be the name of a file that has them."""
    return not flags.strip() or flags.strip().startswith("-")
