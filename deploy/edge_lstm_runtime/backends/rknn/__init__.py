"""Rockchip's NPU."""

from .board import FACTS, open_backend

__all__ = ["FACTS", "open_backend"]
