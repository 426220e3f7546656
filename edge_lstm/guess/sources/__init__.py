"""How each source finds its data. A file has `find(asked) -> Finding | None`."""
