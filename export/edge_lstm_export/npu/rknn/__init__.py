"""Rockchip: the vendor's converter in its own environment and process, its simulator as a
backend.

The runtime asks that backend for its facts, and should not wait for all that a vendor is.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .vendor import VENDOR

__all__ = ["VENDOR"]


def __getattr__(name: str) -> Any:
    if name != "VENDOR":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.vendor").VENDOR
