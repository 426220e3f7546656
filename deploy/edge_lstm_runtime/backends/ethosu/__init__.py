"""Arm's NPU under Linux, as on NXP's i.MX 93."""

from .board import FACTS, open_backend, open_streams

__all__ = ["FACTS", "open_backend", "open_streams"]
