"""Arm Ethos-U: ExecuTorch and Vela in their own environment and process, TOSA's reference model."""

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
