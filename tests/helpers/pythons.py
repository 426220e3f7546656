"""The Pythons of this machine, and modules of the runtime on them, without NumPy."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .paths import ROOT

VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
PLACES = (".pyenv/versions/*/bin", ".local/share/uv/python/*/bin")
# The packages without their __init__, which imports NumPy.
_PACKAGES = """
import json, sys, types
for name in ("edge_lstm_runtime", "edge_lstm_runtime.inputs", "edge_lstm_runtime.feeds"):
    package = types.ModuleType(name)
    package.__path__ = [sys.argv[1] + "/" + name.replace(".", "/")]
    sys.modules[name] = package
"""


@functools.lru_cache
def found(version: str) -> str | None:
    """The path of a Python of this version."""
    name = f"python{version}"
    installed = (str(path) for at in PLACES for path in Path.home().glob(f"{at}/{name}"))
    for path in filter(None, [shutil.which(name), *installed]):
        # pyenv's python3.10 on the PATH may be a script that fails.
        asked = [path, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        if subprocess.run(asked, capture_output=True, text=True).stdout.strip() == version:
            return path
    return None


def told(version: str, code: str, data: object) -> Any:
    """What `code` prints as JSON in that Python, with `data` as JSON in its standard input.

    Skips the test if the Python is not here.
    """
    path = found(version)
    if path is None:
        pytest.skip(f"Python {version} is not on this machine")
    command = [path, "-I", "-c", _PACKAGES + code, str(ROOT / "deploy")]
    done = subprocess.run(command, input=json.dumps(data), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def headers(version: str) -> Path:
    """The folder of its Python.h. Skips the test if it is not here."""
    path = found(version)
    if path is None:
        pytest.skip(f"Python {version} is not on this machine")
    code = "import sysconfig; print(sysconfig.get_path('include'))"
    asked = [path, "-I", "-c", code]
    folder = Path(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip())
    if not (folder / "Python.h").exists():
        pytest.skip(f"Python {version} has no Python.h here")
    return folder
