"""The files of benchmarks/, which is no package."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

from .paths import ROOT


def benchmark(name: str) -> Any:
    """A file of benchmarks/ as a module."""
    file = ROOT / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # for its dataclasses
    sys.path.insert(0, str(file.parent))  # as Python itself does it for a script
    spec.loader.exec_module(module)
    sys.path.remove(str(file.parent))
    return module
