"""How the LSTM stands beside simpler models: on a configuration's own data, and where a gap must be remembered."""

from __future__ import annotations

from .agreement import Agreement, agreement
from .comparison import Comparison, compare
from .rows import Row

__all__ = ["Agreement", "Comparison", "Row", "agreement", "compare"]
