"""States that begin at other values than zero, in sessions of one stream and of several.

A net that begins so is one whose state was set to these values.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_lstm_runtime as rt
from edge_lstm_export.graphs.bundle import build
from edge_lstm_runtime import native
from edge_lstm_runtime.model.npz import write_npz
from helpers.plain_layers import spec_of
from helpers.tolerances import assert_close
from helpers.weights import normal_weights

STREAMS = 3
H = [0.5, -0.25, 1.0, 0.75]
C = [2.0, -3.0, 0.125, 1.5]
LSTM: dict[str, Any] = {"type": "lstm", "name": "memory", "units": 4}
HEAD = {"type": "dense", "name": "head", "inputs": ["memory"], "units": 2}
built = pytest.mark.skipif(not native.LIBRARY.exists(), reason="the native library is not built")


@pytest.mark.parametrize(
    "backend", ["reference", "numpy", "onnx", pytest.param("native", marks=built)]
)
def test_a_stream_begins_there(backend: str, tmp_path: Path) -> None:
    spec = spec_of(3, {**LSTM, "initial": [H, C]}, HEAD)
    weights = normal_weights(spec)
    x = np.random.default_rng(8).normal(size=(20, 3))
    plain = rt.Reference(spec_of(3, LSTM, HEAD), weights)
    plain.state = {"memory.h": np.array(H), "memory.c": np.array(C)}
    expected = plain.run(x)
    members = {
        "golden.npz": write_npz({"x": x, "y": expected}),
        "cell.onnx": build(spec, weights, "cell").SerializeToString(),
    }
    rt.write_bundle(tmp_path / "net.edge", spec, weights, members)
    model = rt.load(tmp_path / "net.edge")
    assert model.spec == spec
    session = model.session(backend)
    assert_close(session.run(x), expected, "float32", "from the start")
    session.reset()
    assert_close(session.run(x), expected, "float32", "after a reset")
    several = model.session(backend, streams=STREAMS)
    xs = np.repeat(x[:, None], STREAMS, axis=1)
    for k, found in enumerate(several.run(xs).transpose(1, 0, 2)):
        assert_close(found, expected, "float32", f"stream {k}")
    several.reset(streams=[1])
    on = plain.run(x)
    again = several.run(xs)
    assert_close(again[:, 1], expected, "float32", "the stream that was reset")
    assert_close(again[:, 2], on, "float32", "a stream that was not")
