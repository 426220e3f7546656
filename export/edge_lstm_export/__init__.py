"""edge-lstm on the desktop: a trained run becomes a verified bundle, or a folder of C source.

The names are imported when they are first used, because they bring PyTorch and onnx. The runtime
asks the backend in this package for its facts, and should not wait for those two.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .c.export import CExport, export_c
    from .imported import import_net
    from .importers.torch import from_torch
    from .npu.target import Target
    from .npu.targets import targets
    from .pipeline import export_run

__all__ = ["CExport", "Target", "export_c", "export_run", "from_torch", "import_net", "targets"]
_HOMES = {
    "CExport": "c.export",
    "export_c": "c.export",
    "Target": "npu.target",
    "targets": "npu.targets",
    "export_run": "pipeline",
    "from_torch": "importers.torch",
    "import_net": "imported",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
