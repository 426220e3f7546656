"""A run's way to a bundle: the export is another package, which may not be installed."""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Mapping
from typing import Any

from edge_lstm_runtime import load
from edge_lstm_runtime.errors import ConfigError, MissingDependencyError

EXPORT = "edge_lstm_export"  # by its name alone: this package doesn't import that one
C = "c"


def export(
    run: Any, out: str | os.PathLike[str], targets: tuple[str, ...], options: Mapping[str, Any]
) -> Any:
    """See `Run.export`."""
    if C in targets and len(targets) > 1:
        raise ConfigError(
            f"targets is {targets}; expected {C!r} alone, which writes a folder, or NPUs"
        )
    try:
        package = importlib.import_module(EXPORT)
        make = package.export_c if targets == (C,) else package.export_run
    except ModuleNotFoundError as e:
        if (e.name or "").startswith("edge_lstm") and e.name != EXPORT:
            raise
        missing = "the export" if e.name == EXPORT else e.name or "a package"
        raise MissingDependencyError(missing, "export") from e
    if targets == (C,):
        return make(run.path if options.get("scheme") == "int8" else run, out, **options)
    asked: dict[str, Any] = {"targets": targets} if targets else {"schemes": ()}
    work = make(run, out, **{**asked, **options})
    for name, reason in work.left_out.items():
        warnings.warn(f"{name} was left out of {os.fspath(out)}: {reason}", stacklevel=3)
    for doubt in work.doubts:
        warnings.warn(doubt, stacklevel=3)
    return load(out)
