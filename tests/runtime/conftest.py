"""Fixtures of the runtime's tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import pytest

from edge_lstm_runtime import BackendUnavailableError
from helpers.bundles import make_bundle
from helpers.plug_ins import replace_backend
from helpers.specs import make_spec


@pytest.fixture
def no_native(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the native library were not installed."""

    def opener(*_: Any, **__: Any) -> NoReturn:
        raise BackendUnavailableError("the native library is not in this installation")

    for name in ("native", "native-fp16", "native-int8"):
        replace_backend(monkeypatch, name, open_backend=opener, open_streams=opener)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="session")
def classify_file(shared: Path) -> Path:
    """Three channels, four classes, gaps refused, with model.onnx."""
    make_bundle(shared / "classify.edge", make_spec(hidden=16), form="fused")
    return shared / "classify.edge"


@pytest.fixture(scope="session")
def forecast_file(shared: Path) -> Path:
    """Two targets, three steps ahead, gaps filled forward, residual, no model.onnx."""
    make_bundle(
        shared / "forecast.edge",
        make_spec(task="forecast", outputs=3, missing="ffill", residual=True),
    )
    return shared / "forecast.edge"
