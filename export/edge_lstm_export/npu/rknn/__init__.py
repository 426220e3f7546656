"""Rockchip: the vendor's converter in its own environment and process, its simulator as a
backend."""

from .vendor import VENDOR

__all__ = ["VENDOR"]
