"""edge-lstm on the desktop: a trained run becomes a verified bundle, or a folder of C source."""

from .c.export import CExport, export_c
from .npu.targets import Target, targets
from .pipeline import export_run

__all__ = ["CExport", "Target", "export_c", "export_run", "targets"]
