"""Which messages ask for a random key."""

from __future__ import annotations

from typing import Any


def needs_key(msg: Any) -> bool:
    """Tell whether a site is still to be drawn, and has no random key for it."""
    if msg["type"] not in ("sample", "plate", "prng_key", "control_flow") or msg.get("is_observed"):
        return False
    return msg.get("value") is None and msg["kwargs"].get("rng_key") is None
