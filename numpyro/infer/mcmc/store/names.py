"""Names of files for sites of any name."""

from __future__ import annotations

import re
import unicodedata

LONGEST_NAME = 100
"""The most bytes of a site's name that are kept; file systems allow about 255 for a file with all that is added."""
RESERVED = frozenset({"", "chain", "draw", "c", "zarr.json"})


def file_name(name: str, taken: set[str]) -> str:
    """A name that a file can have and that is not ``taken``, to which it is added.

    Names that differ only in upper and lower case, or in how their accents are written, are one to some file systems.
    """
    name = re.sub(r"[/\\\x00]", ".", name).encode(errors="replace")[:LONGEST_NAME].decode(errors="ignore")
    if _folded(name) in RESERVED or name.startswith((".", "__")):
        name = f"site_{name}"
    unused, number = name, 1
    while _folded(unused) in taken:
        number += 1
        unused = f"{name}_{number}"
    taken.add(_folded(unused))
    return unused


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
