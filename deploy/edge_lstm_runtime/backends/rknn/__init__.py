"""Rockchip's NPU."""
