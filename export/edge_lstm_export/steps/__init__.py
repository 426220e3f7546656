"""The export steps. Each module has `call(work) -> Work`; the list in `pipeline` is the order."""
