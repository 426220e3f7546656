"""Rounding weights and choosing ranges."""
