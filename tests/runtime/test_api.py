"""The public names, the tree of errors, and what an import brings in."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

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


INSTALLED = {
    "edge_lstm": 'pip install "edge-lstm[train]"',  # a desktop: pip keeps what is installed
    "edge_lstm_runtime": 'pip install --find-links FOLDER "edge-lstm[train]" '
    "with the folder of edge-lstm's wheels",  # a board, or a source folder
}


@pytest.mark.parametrize(("name", "command"), INSTALLED.items(), ids=INSTALLED)
def test_a_missing_dependency_names_the_command(
    name: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / f"{name}-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])  # nothing else is installed
    said = str(rt.MissingDependencyError("torch", "train"))
    assert said == f"torch is not installed; run: {command}"


@pytest.mark.parametrize(
    "module", ["edge_lstm_runtime", "edge_lstm_runtime.cli", "edge_lstm_runtime.feeds.lines"]
)
def test_an_import_brings_in_numpy_alone(module: str) -> None:
    script = (
        f"import sys, numpy; before = set(sys.modules); import {module} as m\n"
        "for name in getattr(m, '__all__', ()): getattr(m, name)\n"
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
