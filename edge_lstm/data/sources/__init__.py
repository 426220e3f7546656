"""Data sources, a file each."""
