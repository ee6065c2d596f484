"""Files fetched once from the network and kept in a folder."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlparse
from urllib.request import urlopen

_TRANSIENT_STATUS = (429, 500, 502, 503, 504)
_ATTEMPTS = 3
_CHUNK = 1 << 20


def file_of(url: str, folder: str | Path) -> Path:
    """Return the path of a file of the name that the URL gives it, downloading it unless it is there.

    :raises URLError: when the file is neither there nor to be had; the message says where to put a copy.
    """
    path = Path(folder) / Path(urlparse(url).path).name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _download(url, path)
        except OSError as error:  # URLError and time-outs are kinds of it
            reason = getattr(error, "reason", None) or error
            raise URLError(
                f"cannot download {url} ({reason}). Without a network, put a copy of the file at {path}."
            ) from error
    return path


def _download(url: str, path: Path) -> None:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _download_once(url, path)
            return
        except HTTPError as error:
            if error.code not in _TRANSIENT_STATUS or attempt == _ATTEMPTS:
                raise
            time.sleep(2.0**attempt)


def _download_once(url: str, path: Path) -> None:
    """Write to a temporary file and move it into place when complete, so that an interrupt leaves no half file."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as target, urlopen(url, timeout=60) as source:
            while chunk := source.read(_CHUNK):
                target.write(chunk)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
