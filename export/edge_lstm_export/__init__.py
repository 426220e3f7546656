"""edge-lstm on the desktop: a trained run becomes a verified bundle, or a folder of C source."""

from .c.export import CExport, export_c
from .pipeline import export_run
from .target_table import Target, targets

__all__ = ["CExport", "Target", "export_c", "export_run", "targets"]
