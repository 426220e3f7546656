"""Bundles of format 1 of edge-lstm 0.1.0, and the answers that it gave: data/make_format1.py."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_lstm_runtime as rt
from edge_lstm_runtime import cli
from edge_lstm_runtime.digest import sha256
from edge_lstm_runtime.model.bundle import _pack
from edge_lstm_runtime.model.measured import Measured, read_measured
from helpers.arrays import Array
from helpers.broken_bundles import refused, rewritten
from helpers.tolerances import assert_close

DATA = Path(__file__).with_name("data")
NAMES = ("classify", "forecast", "both", "language")
LSTM = {"type": "lstm", "name": "lstm0", "inputs": ["x"]}
HEAD = {"type": "dense", "name": "head", "inputs": ["lstm0"], "activation": "none"}
SPECS: dict[str, dict[str, Any]] = {
    "classify": {
        "inputs": {
            "kind": "channels",
            "channels": ["ax", "ay"],
            "mean": [0.5, -1.0],
            "std": [2.0, 0.25],
            "missing": "mask",
        },
        "network": [{**LSTM, "units": 3}, {**HEAD, "units": 3}],
        "answer": {"task": "classify", "classes": ["still", "walk", "run"]},
    },
    "forecast": {
        "inputs": {
            "kind": "channels",
            "channels": ["a", "dt", "b"],
            "mean": [0.0, 0.5, 10.0],
            "std": [1.0, 2.0, 3.0],
            "missing": "ffill",
            "dt": "dt",
            "dt_unit": 60.0,
            "time": "when",
        },
        "network": [
            {**LSTM, "units": 4},
            {**LSTM, "name": "lstm1", "inputs": ["lstm0"], "units": 4},
            {**HEAD, "inputs": ["lstm1"], "units": 4},
        ],
        "answer": {
            "task": "forecast",
            "targets": ["b", "a"],
            "horizon": 2,
            "offset": [0.1, 0.2, 0.3, 0.4],
            "scale": [1.0, 2.0, 0.5, 4.0],
            "residual": True,
            "detector": {
                "centre": [0.0, 0.1, 0.0, -0.1],
                "scale": [1.0, 0.5, 2.0, 1.0],
                "threshold": 2.5,
                "smoothing": 0.4,
            },
        },
    },
    "both": {
        "inputs": {
            "kind": "channels",
            "channels": ["a", "b"],
            "mean": [0.0, 1.0],
            "std": [1.0, 2.0],
        },
        "network": [
            {
                "type": "both-ways",
                "name": f"lstm{k}",
                "inputs": [below],
                "layer": {"type": "lstm", "units": 3},
            }
            for k, below in enumerate(("x", "lstm0"))
        ]
        + [{**HEAD, "inputs": ["lstm1"], "units": 2}],
        "answer": {"task": "classify", "classes": ["yes", "no"]},
    },
    "language": {
        "inputs": {"kind": "characters", "characters": ["<unk>", " ", "a", "b"]},
        "network": [{**LSTM, "units": 5}, {**HEAD, "units": 4}],
        "answer": {"task": "language", "classes": ["<unk>", " ", "a", "b"]},
    },
}

every = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def answered() -> dict[str, Array]:
    with np.load(DATA / "format1.npz") as file:
        return dict(file)


@every
def test_the_specification_is_that_of_format_2(name: str) -> None:
    model = rt.load(DATA / f"{name}.edge")
    assert model.manifest["format"] == 1
    assert model.spec.to_dict() == SPECS[name]


@every
def test_the_reference_answers_as_it_did(name: str, answered: dict[str, Array]) -> None:
    model = rt.load(DATA / f"{name}.edge")
    xs = answered[f"{name}.x"]
    ys = answered[f"{name}.y"]
    with model.session("reference") as session:
        assert_close(session.run(xs), ys, "float64", "answers")
        if not model.spec.whole:
            session.reset()
            assert_close(np.stack([session.step(x) for x in xs]), ys, "float64", "step by step")


@pytest.mark.parametrize(
    ("name", "backend"),
    [
        *((name, backend) for name in NAMES for backend in ("numpy", "onnx")),
        # The kernel has no whole sequences.
        *((n, b) for n in NAMES if n != "both" for b in ("native", "native-int8")),
    ],
)
def test_each_backend_runs_it(name: str, backend: str, answered: dict[str, Array]) -> None:
    """onnx: on the graph that was written then."""
    model = rt.load(DATA / f"{name}.edge")
    xs = answered[f"{name}.x"]
    ys = answered[f"{name}.y"]
    assert rt.check_backend(model.bundle, backend).passed
    with model.session(backend) as session:
        found = session.run(xs)
    if backend != "native-int8":
        assert_close(found, ys.astype(np.float32), "float32", "answers")


def test_its_detector_scores_as_it_did(answered: dict[str, Array]) -> None:
    detector = rt.AnomalyDetector(rt.load(DATA / "forecast.edge").spec)
    pairs = zip(answered["forecast.x"], answered["forecast.y"], strict=True)
    scores = np.array([detector(x, y).score for x, y in pairs])
    expected = answered["forecast.scores"]
    np.testing.assert_array_equal(np.isnan(scores), np.isnan(expected))
    assert 20 < np.isfinite(scores).sum() < 30
    np.testing.assert_allclose(scores, expected, rtol=1e-12)


def test_weights_states_and_members_have_the_new_names() -> None:
    bundle = rt.load(DATA / "forecast.edge").bundle
    layers = [f"{layer}.{part}" for layer in ("lstm0", "lstm1") for part in ("W_x", "W_h", "b")]
    assert set(bundle.weights) == {*layers, "head.W", "head.b"}
    assert set(bundle.arrays("int8.npz")) == {
        *layers,
        *(f"{name}.step" for name in layers if ".W_" in name),
    }
    calibration = bundle.arrays("calibration.npz")
    assert {name: array.shape for name, array in calibration.items()} == {
        "x": (2, 3),
        "lstm0.h": (2, 4),
        "lstm0.c": (2, 4),
        "lstm1.h": (2, 4),
        "lstm1.c": (2, 4),
    }
    with zipfile.ZipFile(io.BytesIO(bundle.member("calibration.npz"))) as archive:
        h = np.load(io.BytesIO(archive.read("h.npy")))
    np.testing.assert_array_equal(calibration["lstm1.h"], h[:, 1])
    both = rt.load(DATA / "both.edge").bundle
    assert both.weights["lstm1.reverse.W_x"].shape == (6, 12)
    np.testing.assert_array_equal(both.lengths, [17, 13])


def test_its_figures_are_read(capsys: pytest.CaptureFixture[str]) -> None:
    bundle = rt.load(DATA / "classify.edge").bundle
    assert set(read_measured(bundle.manifest["accuracy"])) == {
        Measured("numpy"),
        Measured("onnx", "model.onnx", carried=True),
    }
    assert cli.main(["info", str(DATA / "classify.edge")]) == 0
    assert "onnx model.onnx, state never reset" in capsys.readouterr().out


CHANGES: dict[str, tuple[str, Callable[[dict[str, Any]], Any], str]] = {
    "unknown key": ("classify", lambda s: s.update(depth=3), r"unknown keys \['depth'\]"),
    "no task": ("classify", lambda s: s.pop("task"), "it lacks 'task'"),
    "no units": ("classify", lambda s: s.pop("hidden_size"), "it lacks 'hidden_size'"),
    "no layers": ("classify", lambda s: s.update(num_layers=0), "num_layers is 0, expected 1 to"),
    "layers as text": ("classify", lambda s: s.update(num_layers="1"), "num_layers is '1'"),
    "units as text": ("classify", lambda s: s.update(hidden_size="3"), "units is '3'"),
    "unknown task": ("classify", lambda s: s.update(task="cluster"), "'targets'|task is 'cluster'"),
    "two channels": ("language", lambda s: s.update(channels=["a", "b"]), "malformed"),
    "horizon as text": ("forecast", lambda s: s.update(horizon="2"), "malformed"),
    "targets as a number": ("forecast", lambda s: s.update(targets=2), "malformed"),
    "a list": ("classify", lambda s: [s], "unknown keys"),
    "infinite scale": ("forecast", lambda s: s.update(output_scale=[1e300] * 4), "scale is"),
    "threshold": ("forecast", lambda s: s.update(anomaly_threshold=-1.0), "detector.threshold"),
}


@pytest.mark.parametrize(("name", "change", "message"), CHANGES.values(), ids=CHANGES)
def test_a_wrong_specification_is_refused(
    tmp_path: Path, name: str, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    with zipfile.ZipFile(DATA / f"{name}.edge") as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    manifest = json.loads(members.pop("manifest.json"))
    result = change(manifest["spec"])
    manifest["spec"] = result if isinstance(result, list) else manifest["spec"]
    entries = {n: {"bytes": len(data), "sha256": sha256(data)} for n, data in members.items()}
    assert entries == manifest["members"]
    path = tmp_path / "wrong.edge"
    path.write_bytes(_pack({**members, "manifest.json": json.dumps(manifest).encode()}))
    with pytest.raises(rt.BundleError, match=message):
        rt.read_bundle(path)


def _saved(**arrays: Array) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _with_weights(change: Callable[[dict[str, Array]], Any]) -> bytes:
    """The classifier with its weights changed and every checksum right."""

    def damage(_: dict[str, Any], members: dict[str, bytes]) -> None:
        with np.load(io.BytesIO(members["weights.npz"])) as found:
            arrays = dict(found)
        changed = change(arrays)
        members["weights.npz"] = changed if isinstance(changed, bytes) else _saved(**arrays)

    return rewritten((DATA / "classify.edge").read_bytes(), damage)


def _nan(arrays: dict[str, Array]) -> None:
    arrays["head.b"][0] = np.nan


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda arrays: arrays.update({"layer0.W_x": np.zeros((4, 11), np.float32)}),
            r"weight lstm0\.W_x is float32\(4, 11\), expected float32\(4, 12\)",
        ),
        (lambda arrays: arrays.pop("layer0.b"), r"weights are .*, expected .*'lstm0\.b'"),
        (_nan, r"weight head\.b has values that are not finite"),
        (lambda _: b"PK\x03\x04 cut off", r"weights\.npz"),
    ],
)
def test_a_damaged_member_is_refused_by_name(
    tmp_path: Path, change: Callable[[dict[str, Array]], Any], message: str
) -> None:
    error = refused(tmp_path / "damaged.edge", _with_weights(change), message)
    assert "\n" not in str(error)


def test_an_altered_byte_is_found(tmp_path: Path) -> None:
    data = bytearray((DATA / "classify.edge").read_bytes())
    data[len(data) // 2] ^= 1
    refused(tmp_path / "altered.edge", bytes(data), "altered|damaged")
