"""Backends and a bundle to choose among."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_lstm_runtime import Bundle
from helpers.bundles import make_bundle
from helpers.counted_backends import SPEC, Backends, fast, slow


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("choice") / "a.edge", SPEC, form="fused")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file, not there yet."""
    monkeypatch.delenv("EDGE_LSTM_REMEMBER")
    monkeypatch.setenv("EDGE_LSTM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "auto.json"


@pytest.fixture
def backends(monkeypatch: pytest.MonkeyPatch) -> Backends:
    found = Backends(monkeypatch)
    found.put("onnx", fast)
    found.put("numpy", slow)
    return found
