"""Backends put in place of others, and plug-ins from outside the packages."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest

from edge_lstm_runtime.backends import registry

# The source of a backend that prints, as vendors' libraries do.
NOISY = """
import ctypes, os
from edge_lstm_runtime import Facts
from edge_lstm_runtime.backends.numpy import NumpyBackend

FACTS = Facts("float32")

class Noisy(NumpyBackend):
    name = "noisy"
    def step(self, features):
        os.write(1, b"I RKNN: raw write\\n")                 # straight to the descriptor
        print("W rknn-toolkit-lite2: print")                 # through Python's buffer
        ctypes.CDLL(None).printf(b"E RKNN: printf\\n")       # through the C library's buffer
        return super().step(features)

def open_backend(bundle, *, artifact=None):
    print("I rknn-toolkit-lite2 version: 2.3.2")
    return Noisy(bundle.spec, bundle.weights)
"""


def replace_backend(
    monkeypatch: pytest.MonkeyPatch, name: str, **attributes: Any
) -> types.ModuleType:
    """The backend's module with other attributes in place of its own, such as open_backend.

    It then has no open_streams unless given."""
    original = registry.BACKENDS.load(name)
    module = types.ModuleType(original.__name__)
    vars(module).update(
        {key: value for key, value in vars(original).items() if key != "open_streams"}
    )
    vars(module).update(attributes)
    monkeypatch.setitem(sys.modules, original.__name__, module)
    return module


def plug_in(
    folder: Path, distribution: str, *, group: str = "edge_lstm.backends", **modules: str
) -> None:
    """An installed package with a thing of the group for each name, given the source of its module.

    `folder` is then put on the path.
    """
    info = folder / f"{distribution}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    lines = [f"{name} = {distribution}_{name}\n" for name in modules]
    (info / "entry_points.txt").write_text(f"[{group}]\n" + "".join(lines))
    for name, source in modules.items():
        (folder / f"{distribution}_{name}.py").write_text(source)
