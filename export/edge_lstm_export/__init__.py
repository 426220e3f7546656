"""edge-lstm on the desktop: a trained run becomes a verified bundle."""

from .pipeline import export_run
from .target_table import Target, targets

__all__ = ["Target", "export_run", "targets"]
