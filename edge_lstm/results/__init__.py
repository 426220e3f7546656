"""A run, read back from its folder, and how good its answers are."""
