"""The figures of an export in the manifest: as they are written today, and as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge_lstm_runtime import BundleError
from edge_lstm_runtime.cli import main
from edge_lstm_runtime.model.measured import Measured, read_measured, write_measured
from helpers.bundles import make_bundle

FIGURES = {"max_abs": 1.25e-3, "nrmse": 2.5e-4, "steps": 1000}
KEYS = {
    "numpy": Measured("numpy"),
    "numpy, state never reset": Measured("numpy", carried=True),
    "onnx cell.onnx": Measured("onnx", "cell.onnx"),
    "rknn-sim rk3588-fp16.rknn": Measured("rknn-sim", "rk3588-fp16.rknn"),
    "rknn-sim rk3588-fp16.rknn, state never reset": Measured("rknn-sim", "rk3588-fp16.rknn", carried=True),
}


def test_a_row_for_each() -> None:
    rows = write_measured({KEYS["rknn-sim rk3588-fp16.rknn"]: FIGURES})
    assert rows == [
        {"backend": "rknn-sim", "member": "rk3588-fp16.rknn", "carried": False, "max_abs": 1.25e-3, "nrmse": 2.5e-4, "steps": 1000}
    ]


def test_what_is_written_is_read() -> None:
    figures = {key: {**FIGURES, "steps": n} for n, key in enumerate(KEYS.values())}
    assert read_measured(write_measured(figures)) == figures


def test_earlier_bundles_are_read() -> None:
    old = {label: {**FIGURES, "steps": n} for n, label in enumerate(KEYS)}
    assert read_measured(old) == {key: {**FIGURES, "steps": n} for n, key in enumerate(KEYS.values())}


def test_they_are_called_as_they_were() -> None:
    assert [str(key) for key in KEYS.values()] == list(KEYS)
    assert KEYS["numpy"].never_reset() == KEYS["numpy, state never reset"]
    assert KEYS["numpy, state never reset"].reset() == KEYS["numpy"]


@pytest.mark.parametrize(
    "accuracy",
    [{"onnx cell.onnx": FIGURES, "numpy": FIGURES}, write_measured({KEYS["onnx cell.onnx"]: FIGURES, KEYS["numpy"]: FIGURES})],
    ids=["old", "new"],
)
def test_info_prints_both(accuracy: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_bundle(tmp_path / "a.edge", accuracy=accuracy)
    assert main(["info", str(tmp_path / "a.edge")]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in ("onnx cell.onnx", "numpy"):
        assert f"  {name:<34}max abs 1.25e-03  NRMSE 2.50e-04  over 1000 steps" in lines


ROW = {"backend": "numpy", "member": None, "carried": False, **FIGURES}


@pytest.mark.parametrize(
    "accuracy",
    [
        3,
        [3],
        [[]],
        {"numpy": 3},
        {"numpy": {"max_abs": 1.0}},
        [{**ROW, "backend": 3}],
        [{**ROW, "backend": ["numpy"]}],
        [{**ROW, "member": 3}],
        [{**ROW, "carried": 1}],
        [{**ROW, "nrmse": "small"}],
        [{**ROW, "nrmse": -1.0}],
        [FIGURES],
        "numpy",
    ],
)
def test_figures_that_are_malformed(accuracy: Any, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="malformed"):
        make_bundle(tmp_path / "a.edge", accuracy=accuracy)
    assert not list(tmp_path.iterdir())
