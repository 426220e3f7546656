"""How the LSTM stands beside simpler models, on a configuration's own data."""

from __future__ import annotations

from .comparison import Comparison, compare
from .rows import Row

__all__ = ["Comparison", "Row", "compare"]
