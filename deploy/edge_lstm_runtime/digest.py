"""sha256 without OpenSSL, which takes a board 2 ms and 4 MB to load and no bundle needs."""

from __future__ import annotations

import importlib
import sys
from typing import Any

LARGE = 1 << 20  # bytes from which OpenSSL, five times as fast, is worth its loading


def _of_python() -> Any:
    """Python's own, of a module that `random` takes too. Builds without it have OpenSSL's alone."""
    try:
        return importlib.import_module("_sha2" if sys.version_info >= (3, 12) else "_sha256")
    except ImportError:
        return importlib.import_module("hashlib")


_small = _of_python().sha256


def running(size: int) -> Any:
    """A sha256 of hashlib's kind, to be updated with so many bytes in all."""
    if size < LARGE:
        return _small()
    import hashlib  # here: see above

    return hashlib.sha256()


def sha256(data: bytes | memoryview) -> str:
    """The digest as 64 hexadecimal digits."""
    sums = running(len(data))
    sums.update(data)
    return str(sums.hexdigest())
