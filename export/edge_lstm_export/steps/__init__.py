"""The steps of an export. Each module has `call(work) -> Work`. `pipeline` has them in order."""
