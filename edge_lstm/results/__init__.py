"""A run read back, and how good its answers are."""
