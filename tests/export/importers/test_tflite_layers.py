"""Nets of TFLite with layers that are not recurrent, and with a layer over a whole window."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_lstm_runtime as rt
from edge_lstm_export import export_run
from edge_lstm_export.imported import import_net
from edge_lstm_export.importers import Foreign
from edge_lstm_export.importers._proof import layer_outputs, prove
from edge_lstm_export.importers.tflite import read
from edge_lstm_runtime.errors import ConversionError
from helpers.paths import ROOT
from helpers.tflite_nets import FEATURES, Builder, interpreted

STEPS = 7  # of a call
XS = np.random.default_rng(1).normal(size=(301, FEATURES)).astype(np.float32)
CLOSE = 1e-5  # float32 sums of other orders, carried over all steps
DATA = [Path(p) for p in (os.environ.get("EDGE_LSTM_DATA"), ROOT.parent / "shared" / "data") if p]
NETS_OF_OTHERS = next((d / "nets" for d in DATA if (d / "nets").is_dir()), None)
real = pytest.mark.skipif(
    NETS_OF_OTHERS is None, reason="EDGE_LSTM_DATA names no folder with nets/"
)
Build = Callable[[Builder, int], int]  # x (1, STEPS, FEATURES) -> y


def saved(path: Path, build: Build) -> Path:
    b = Builder()
    x = b.tensor(1, STEPS, FEATURES)
    return b.saved(path, x, build(b, x))


def ours(foreign: Foreign, xs: Any) -> Any:
    return layer_outputs(foreign, xs)[foreign.network.layers[-1].name]


def same(b: Builder, code: str, inputs: list[int], options: Any = None, **set_: Any) -> int:
    """An operator whose output has the shape of its first input."""
    return b.add(code, inputs, b.tensor(*b.tensors[inputs[0]].shape.tolist()), options, **set_)


def soft(b: Builder, x: int, beta: float = 1.0) -> int:
    return same(b, "SOFTMAX", [x], "SoftmaxOptions", beta=beta)


def slopes(b: Builder, x: int) -> int:
    y = same(b, "PRELU", [b.lstm(x, 5), b.random(1, 5)])
    return same(b, "LEAKY_RELU", [b.dense(y, 4)], "LeakyReluOptions", alpha=0.25)


def products(b: Builder, x: int) -> int:
    y = b.lstm(x, FEATURES)
    z = same(b, "MUL", [y, x], "MulOptions", fusedActivationFunction=1)
    return same(b, "ADD", [same(b, "MUL", [z, z], "MulOptions"), y], "AddOptions")


def side_by_side(b: Builder, x: int) -> int:
    both = b.add(
        "CONCATENATION", [b.lstm(x, 4), x], b.tensor(1, STEPS, 7), "ConcatenationOptions", axis=2
    )
    return same(b, "PRELU", [both, b.random(7)])


NETS: dict[str, tuple[Build, list[str]]] = {
    "softmax": (lambda b, x: soft(b, b.dense(b.lstm(x, 5), 4)), ["lstm", "dense", "softmax"]),
    "softmax, beta": (lambda b, x: soft(b, b.lstm(x, 5), 2.5), ["lstm", "scale", "softmax"]),
    "slopes": (slopes, ["lstm", "prelu", "dense", "prelu"]),
    "products": (products, ["lstm", "combine", "scale", "combine", "combine"]),
    "side by side": (side_by_side, ["lstm", "combine", "prelu"]),
    "activation": (lambda b, x: same(b, "LOGISTIC", [b.lstm(x, 5)]), ["lstm", "scale"]),
}


@pytest.mark.parametrize("name", NETS)
def test_a_net_is_the_same_here(name: str, tmp_path: Path) -> None:
    build, types = NETS[name]
    path = saved(tmp_path / "net.tflite", build)
    foreign = read(path)
    assert [layer.type for layer in foreign.network.layers] == types
    right = interpreted(path, XS)
    found = ours(foreign, XS)
    assert np.abs(found - right.reshape(found.shape)).max() <= CLOSE
    prove(foreign, XS)


# --- a window ---


def flat(b: Builder, x: int) -> int:
    _, steps, size = b.tensors[x].shape.tolist()
    return b.reshape(x, 1, steps * size)


def head(b: Builder, x: int) -> int:
    return soft(b, b.dense(flat(b, b.lstm(x, 5)), 4))


def relu_head(b: Builder, x: int) -> int:
    """Two layers, and x beside the state."""
    wide = b.dense(x, 4, fused=1)
    both = b.add(
        *("CONCATENATION", [b.lstm(wide, 4), x], b.tensor(1, STEPS, 7), "ConcatenationOptions"),
        axis=2,
    )
    return b.dense(b.dense(flat(b, both), 6, fused=1), 2)


def turned(b: Builder, x: int) -> int:
    """The values of a unit are side by side."""
    y = b.add("TRANSPOSE", [b.lstm(x, 5), b.constant([0, 2, 1], "i4")], b.tensor(1, 5, STEPS))
    return b.dense(b.reshape(y, 1, 5 * STEPS), 3)


def flattened_inside(b: Builder, x: int) -> int:
    """The dense layer puts the steps side by side itself."""
    inputs = [b.lstm(x, 5), b.random(3, 5 * STEPS), b.random(3)]
    return b.add("FULLY_CONNECTED", inputs, b.tensor(1, 3), "FullyConnectedOptions")


WINDOWS: dict[str, tuple[Build, list[str]]] = {
    "softmax": (head, ["lstm", "causal-conv", "softmax"]),
    "relu": (relu_head, ["dense", "lstm", "causal-conv", "dense"]),
    "turned": (turned, ["lstm", "causal-conv"]),
    "flattened inside": (flattened_inside, ["lstm", "causal-conv"]),
}


@pytest.mark.parametrize("name", WINDOWS)
def test_a_dense_layer_of_a_window_is_a_convolution(name: str, tmp_path: Path) -> None:
    build, types = WINDOWS[name]
    path = saved(tmp_path / "net.tflite", build)
    foreign = read(path)
    assert [layer.type for layer in foreign.network.layers] == types
    windows_agree(path, foreign, XS, STEPS)
    prove(foreign, XS)
    (said,) = (note for note in foreign.notes if "reads the last 7 steps" in note)
    assert "A reset before each 7 steps gives the answers of a file that starts anew" in said


def windows_agree(path: Path, foreign: Foreign, xs: Any, steps: int) -> None:
    """With the file, whose states go on from call to call, and begin anew in each call."""
    carried = interpreted(path, xs)
    ends = ours(foreign, xs)[steps - 1 :: steps]
    assert np.abs(ends - carried.reshape(ends.shape)).max() <= CLOSE
    pieces = xs.reshape(-1, steps, xs.shape[1])[:5]
    new = np.stack([interpreted(path, piece).ravel() for piece in pieces])
    found = np.stack([ours(foreign, piece)[-1] for piece in pieces])
    assert np.abs(found - new).max() <= CLOSE
    # The states make a difference, so that the two ways are not one.
    assert np.abs(new[1:] - carried.reshape(ends.shape)[1:5]).max() > 1e-3


@real
def test_a_real_file_with_a_window() -> None:
    """An LSTM over 28 rows of a picture, Flatten, Dense and Softmax."""
    assert NETS_OF_OTHERS is not None
    path = NETS_OF_OTHERS / "trained_lstm.tflite"
    foreign = read(path)
    rng = np.random.default_rng(0)
    xs = (rng.random((28 * 12, 28)) * (rng.random((28 * 12, 28)) < 0.2)).astype(np.float32)
    assert [layer.type for layer in foreign.network.layers] == ["lstm", "causal-conv", "softmax"]
    windows_agree(path, foreign, xs, 28)
    prove(foreign, xs)
    assert any("clips the cell state" in note for note in foreign.measured(xs))


@real
def test_a_real_file_in_int8_with_a_window() -> None:
    """Spectra of 49 steps. The first answer of the file, in int8, is not far from this one."""
    assert NETS_OF_OTHERS is not None
    path = NETS_OF_OTHERS / "micro_speech_lstm.tflite"
    foreign = read(path)
    whole = -128 + (np.random.default_rng(0).random((49 * 7, 257)) < 0.02)
    xs = ((whole + 128) * 0.6114379).astype(np.float32)  # the scale of x, whose zero is -128
    prove(foreign, xs)
    pieces = zip(whole.reshape(-1, 49, 257), xs.reshape(-1, 49, 257), strict=True)
    for of_file, of_ours in pieces:
        right = (interpreted(path, of_file).ravel() + 128.0) / 256
        assert np.abs(ours(foreign, of_ours)[-1] - right).max() < 0.05


@pytest.mark.slow
def test_a_bundle_of_a_net_with_a_window(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.tflite", head)
    np.save(tmp_path / "x.npy", XS)
    work = export_run(import_net(path, tmp_path / "x.npy"), tmp_path / "net.edge", schemes=())
    assert not work.doubts
    model = rt.load(tmp_path / "net.edge")
    with model.session("numpy") as session:
        for piece in XS[: 5 * STEPS].reshape(5, STEPS, FEATURES):
            session.reset()
            y = session.run(piece)[-1]
            assert np.abs(y - interpreted(path, piece).ravel()).max() <= CLOSE


def test_a_tap_of_another_step_is_refused(tmp_path: Path) -> None:
    foreign = read(saved(tmp_path / "net.tflite", head))
    W = foreign.weights["causal-conv1.W"]
    changed = {**foreign.weights, "causal-conv1.W": np.roll(W, 5, axis=0)}
    node = foreign.nodes["causal-conv1"]
    with pytest.raises(ConversionError, match=f"{node!r} is the first part that differs from Lite"):
        prove(dataclasses.replace(foreign, weights=changed), XS)


# --- what is refused ---


def with_last(b: Builder, x: int) -> int:
    """What reads the window, beside the last step alone."""
    h = b.lstm(x, 5)
    parts = [b.dense(flat(b, h), 4), b.last(h)]
    return b.add("CONCATENATION", parts, b.tensor(1, 9), "ConcatenationOptions", axis=1)


def two_windows(b: Builder, x: int) -> int:
    parts = [b.dense(flat(b, y), 4) for y in (b.lstm(x, 5), x)]
    return b.add("ADD", parts, b.tensor(1, 4), "AddOptions")


def halves(b: Builder, x: int) -> int:
    return b.dense(b.reshape(b.lstm(x, 4), 1, 2, STEPS * 2), 3)


def parts(b: Builder, x: int) -> int:
    return soft(b, b.reshape(b.lstm(x, 4), 1, STEPS, 2, 2))


def by_step(b: Builder, x: int) -> int:
    return same(b, "PRELU", [b.lstm(x, 4), b.random(1, STEPS, 4)])


REFUSED: dict[str, tuple[Build, str]] = {
    "a window and its last step": (with_last, "it reads a window and a step of it"),
    "two windows": (two_windows, "2 tensors are read as windows of steps, expected 1"),
    "halves of a window": (halves, "it reads 2 windows of several steps, expected 1"),
    "softmax of parts": (parts, "it is over 2 parts of a step, expected all of it"),
    "softmax without beta": (lambda b, x: soft(b, b.lstm(x, 5), 0.0), "its beta is 0.0"),
    "softmax over time": (
        lambda b, x: soft(
            b,
            b.add("TRANSPOSE", [b.lstm(x, 5), b.constant([0, 2, 1], "i4")], b.tensor(1, 5, STEPS)),
        ),
        "it computes with several steps at once",
    ),
    "slopes of steps": (by_step, "its slope is another one at each step"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    build, match = REFUSED[name]
    path = saved(tmp_path / "net.tflite", build)
    with pytest.raises(ConversionError, match=match) as caught:
        import_net(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
