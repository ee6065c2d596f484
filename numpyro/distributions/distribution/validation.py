"""Whether distributions validate what they are given, for all of them at once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from numpyro.distributions.distribution.base import MODULE, Distribution


def enable_validation(is_validate: bool = True) -> None:
    """Let distributions check parameters and values (the default), or not.

    A distribution made with ``validate_args`` keeps to that. Checks cost nothing in compiled programs.

    :param is_validate: whether to check.
    """
    Distribution.set_default_validate_args(is_validate)


@contextlib.contextmanager
def validation_enabled(is_validate: bool = True) -> Iterator[None]:
    """Let distributions check within a ``with`` block, or not, and go back to what was set before.

    :param is_validate: whether to check.
    """
    before = Distribution._validate_args
    enable_validation(is_validate)
    try:
        yield
    finally:
        enable_validation(before)


enable_validation.__module__ = validation_enabled.__module__ = MODULE
