"""An NPU's integers on NumPy, equal to the compiler's reference model to the bit."""

from .backend import FACTS, open_backend, open_streams

__all__ = ["FACTS", "open_backend", "open_streams"]
