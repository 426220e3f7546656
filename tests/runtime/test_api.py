"""The public names, the tree of errors, and what an import brings in."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import edge_lstm_runtime as rt
from edge_lstm_runtime import errors
from helpers.commands import environment

PUBLIC = {
    "load", "Model", "Session", "StreamsSession", "Backend", "Facts", "describe", "generate",
    "FrontEnd", "FrontEndStream", "AnomalyDetector", "Detection",
    "check_backend", "choose_backend", "compare", "Check", "Comparison", "Tolerance", "Reference",
    "Bundle", "ModelSpec", "read_bundle", "write_bundle",
    "EdgeLstmError", "BackendError", "BackendUnavailableError", "BundleError", "ConfigError",
    "ConversionError", "DataError", "MissingDependencyError", "NewerFormatError",
    "OlderVersionError", "SampleError",
    "SignatureError", "TrainingError",
}  # fmt: skip
TREE = {
    "EdgeLstmError": Exception,
    "ConfigError": rt.EdgeLstmError,
    "DataError": rt.EdgeLstmError,
    "TrainingError": rt.EdgeLstmError,
    "BundleError": rt.EdgeLstmError,
    "NewerFormatError": rt.BundleError,
    "OlderVersionError": rt.BundleError,
    "SignatureError": rt.BundleError,
    "SampleError": rt.EdgeLstmError,
    "BackendError": rt.EdgeLstmError,
    "BackendUnavailableError": rt.BackendError,
    "ConversionError": rt.EdgeLstmError,
    "ConverterDiedError": rt.ConversionError,
    "MissingDependencyError": rt.EdgeLstmError,
}


def test_public_names() -> None:
    assert set(rt.__all__) == {*PUBLIC, "__version__"}
    assert len(rt.__all__) == len(PUBLIC) + 1
    for name in PUBLIC:
        assert getattr(rt, name) is not None
        assert inspect.getdoc(getattr(rt, name)) or issubclass(getattr(rt, name), Exception), (
            f"{name} has no docstring"
        )


def test_version() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", rt.__version__)


def test_error_tree() -> None:
    found = {
        name: kind.__base__
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, Exception)
    }
    assert found == TREE
    for name, kind in vars(errors).items():
        if name in TREE:
            assert kind.exit_code == 2


def test_error_tree_is_drawn_at_the_top_of_its_file() -> None:
    drawn = re.findall(r"^[│├└─ ]*(\w+Error)\b", errors.__doc__ or "", re.MULTILINE)
    assert sorted(drawn) == sorted(TREE)


ORIGINS = {
    "a wheel": (
        {"url": "file:///home/me/my%20files/edge_lstm-0.1.0-py3-none-any.whl", "archive_info": {}},
        'pip install "/home/me/my files/edge_lstm-0.1.0-py3-none-any.whl[train]"',
    ),
    "a clone": (
        {"url": "file:///home/me/edge-lstm", "dir_info": {"editable": True}},
        'pip install -e "/home/me/edge-lstm[train]"',
    ),
    "a folder": (
        {"url": "file:///home/me/edge-lstm", "dir_info": {}},
        'pip install "/home/me/edge-lstm[train]"',
    ),
    "somewhere else": (None, 'pip install "WHEEL[train]" with the path of edge-lstm\'s wheel'),
}


@pytest.mark.parametrize(("origin", "command"), ORIGINS.values(), ids=ORIGINS)
def test_a_missing_dependency_names_the_wheel_or_the_clone(
    origin: dict[str, Any] | None, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "edge_lstm-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: edge-lstm\nVersion: 0.1.0\n")
    if origin:
        (info / "direct_url.json").write_text(json.dumps(origin))
    monkeypatch.syspath_prepend(tmp_path)
    assert (
        str(rt.MissingDependencyError("torch", "train"))
        == f"torch is not installed; run: {command}"
    )


def test_a_missing_dependency_of_a_source_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])  # edge-lstm is installed nowhere
    said = (
        'torch is not installed; run: pip install "WHEEL[train]" '
        "with the path of edge-lstm's wheel"
    )
    assert str(rt.MissingDependencyError("torch", "train")) == said


@pytest.mark.parametrize(
    "module", ["edge_lstm_runtime", "edge_lstm_runtime.cli", "edge_lstm_runtime.feeds.lines"]
)
def test_an_import_brings_in_numpy_alone(module: str) -> None:
    script = (
        f"import sys, numpy; before = set(sys.modules); import {module}\n"
        "new = {m.split('.')[0] for m in set(sys.modules) - before} - "
        "set(sys.stdlib_module_names)\n"
        "print(sorted(new))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() in ("['edge_lstm_runtime']", "['edge_lstm_runtime', 'numpy']")
