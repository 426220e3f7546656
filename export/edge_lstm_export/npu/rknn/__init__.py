"""Rockchip: the vendor's converter in its own environment and process, and its simulator as a backend."""
