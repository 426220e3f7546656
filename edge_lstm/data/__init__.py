"""Recordings, splits, windows. `sources/` has one file for each source of data."""
