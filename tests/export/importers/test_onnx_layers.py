"""ONNX files with layers that are not recurrent, and with recurrent ones node by node."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_lstm_export.imported import import_net
from edge_lstm_export.importers._proof import layer_outputs, prove
from edge_lstm_export.importers.onnx import read
from edge_lstm_export.importers.onnx.graph import _inputs, _traced
from edge_lstm_runtime.errors import ConversionError
from helpers.onnx_nets import FEATURES, Builder, Ends, made, saved, streamed

H = 4
Build = Callable[[Builder], Ends]


def stream(steps: int = 301) -> Any:
    return np.random.default_rng(1).normal(size=(steps, FEATURES)).astype(np.float32)


def parts(b: Builder, sums: str, count: int, how: str) -> list[str]:
    """The gates of sums (1, count H)."""
    if how == "split":
        names = [f"{sums}_{k}" for k in range(count)]
        sizes = b.constant([H] * count, np.int64)
        b.split(sums, sizes, names)
        return names
    ends = [
        [b.constant([k * H], np.int64), b.constant([(k + 1) * H], np.int64)] for k in range(count)
    ]
    axis = b.constant([1], np.int64)
    return [b.add("Slice", sums, *pair, axis) for pair in ends]


def unrolled_lstm(order: str, how: str) -> Build:
    """order: of the gates. how: "split", or "slice" with one product of x and h."""

    def build(b: Builder) -> Ends:
        if how == "slice":
            both = b.add("Concat", "h", "x", axis=1)
            sums = b.add("Gemm", both, b.random(4 * H, FEATURES + H), b.random(4 * H), transB=1)
        else:
            products = [
                b.add("MatMul", "x", b.random(FEATURES, 4 * H)),
                b.add("MatMul", "h", b.random(H, 4 * H)),
            ]
            sums = b.add("Add", b.add("Add", *products), b.random(4 * H))
        gates = dict(zip(order, parts(b, sums, 4, how), strict=True))
        i, f, o = (b.add("Sigmoid", gates[gate]) for gate in "ifo")
        new = b.add("Mul", b.add("Tanh", gates["g"]), i)
        b.add("Add", new, b.add("Mul", "c", f), to="cn")
        b.add("Mul", o, b.add("Tanh", "cn"), to="hn")
        b.add("MatMul", "hn", b.random(H, 2), to="y")
        inputs = {"x": (1, FEATURES), "h": (1, H), "c": (1, H)}
        return Ends(inputs, ["y", "hn", "cn"], {"h": "hn", "c": "cn"})

    return build


def unrolled_gru(*, after: bool) -> Build:
    """after: the reset gate stands behind the product."""

    def build(b: Builder) -> Ends:
        x_sums = b.add("Gemm", "x", b.random(FEATURES, 3 * H), b.random(3 * H))
        x_z, x_r, x_n = parts(b, x_sums, 3, "split")
        h_sums = b.add("Gemm", "h", b.random(H, 3 * H), b.random(3 * H))
        h_z, h_r, h_n = parts(b, h_sums, 3, "split")
        r = b.add("Sigmoid", b.add("Add", x_r, h_r))
        z = b.add("Sigmoid", b.add("Add", h_z, x_z))
        if after:
            rest = b.add("Mul", r, h_n)
        else:
            rest = b.add("MatMul", b.add("Mul", r, "h"), b.random(H, H))
        n = b.add("Tanh", b.add("Add", x_n, rest))
        one = b.add("Sub", b.constant(1), z)
        b.add("Add", b.add("Mul", one, n), b.add("Mul", z, "h"), to="hn")
        b.add("Relu", "hn", to="y")
        return Ends({"x": (1, FEATURES), "h": (1, H)}, ["y", "hn"], {"h": "hn"})

    return build


def layer_norm(b: Builder, x: str, *, power: bool) -> str:
    axes = b.constant([-1], np.int64)
    mean = b.add("ReduceMean", x, axes)
    centred = b.add("Sub", x, mean)
    square = b.add("Pow", centred, b.constant(2)) if power else b.add("Mul", centred, centred)
    variance = b.add("Add", b.add("ReduceMean", square, axes), b.constant(1e-3))
    return b.add("Div", b.add("Sub", x, mean), b.add("Sqrt", variance))


def norms(b: Builder) -> Ends:
    """Normalization from primitives, as an operator, and of a batch; softmax; slopes."""
    y = b.add("MatMul", "x", b.random(FEATURES, H))
    y = b.add("Add", b.add("Mul", layer_norm(b, y, power=False), b.random(H)), b.random(H))
    y = b.squeezed(b.recurrent("LSTM", y, (H, H)), 1)
    y = b.add("LayerNormalization", y, b.random(H), b.random(H), axis=-1, epsilon=1e-2)
    y = b.add("PRelu", y, b.random(H))
    y = b.add("Transpose", y, perm=[1, 2, 0])  # (1, H, T), where axis 1 are the channels
    positive = b.constant([0.5, 1.5, 2, 3])
    y = b.add("BatchNormalization", y, b.random(H), b.random(H), b.random(H), positive)
    y = b.add("LeakyRelu", b.add("Neg", y), alpha=0.25)
    b.add("Softmax", b.add("Transpose", y, perm=[2, 0, 1]), axis=2, to="y")
    return Ends({"x": ("T", 1, FEATURES)}, ["y"], {})


def products(b: Builder) -> Ends:
    """A mask on an earlier tensor, a square, a mean over the features that all are divided by."""
    y = b.squeezed(b.recurrent("GRU", "x", (FEATURES, FEATURES)), 1)
    masked = b.add("Mul", b.add("Sigmoid", y), "x")
    mean = b.add("ReduceMean", "x", b.constant([2], np.int64))
    b.add("Mul", b.add("Mul", masked, masked), b.add("Sub", masked, mean), to="y")
    return Ends({"x": ("T", 1, FEATURES)}, ["y"], {})


def frame(b: Builder) -> Ends:
    """Convolutions inside of a step, with zeros at its ends, a stride and groups."""
    x = b.add("Pad", "x", b.constant([0] * 6, np.int64))
    x = b.add("Conv", x, b.random(4, 1, 2), b.random(4), pads=[1, 1], strides=[2])  # (1, 4, 2)
    x = b.add("Conv", b.add("Relu", x), b.random(6, 2, 1), group=2)
    x = b.add("Reshape", x, b.constant([1, 1, 12], np.int64))
    y = b.recurrent("LSTM", x, (12, H), ["h", "c"], ["hn", "cn"])
    b.add("MatMul", y, b.random(H, 2), to="y")
    inputs = {"x": (1, 1, FEATURES), "h": (1, 1, H), "c": (1, 1, H)}
    return Ends(inputs, ["y", "hn", "cn"], {"h": "hn", "c": "cn"})


def begun(steps: int | str) -> Build:
    """States that begin at constants."""

    def build(b: Builder) -> Ends:
        states = [b.constant(np.full((1, 1, H), value)) for value in (0.75, -1.5)]
        y = b.recurrent("LSTM", "x", (FEATURES, H), states)
        b.add("MatMul", b.squeezed(y, 1), b.random(H, 2), to="y")
        return Ends({"x": (steps, 1, FEATURES)}, ["y"], {})

    return build


NETS: dict[str, tuple[Build, list[str]]] = {
    "lstm by split": (unrolled_lstm("ifgo", "split"), ["lstm", "dense"]),
    "lstm, gates of Keras": (unrolled_lstm("ifgo", "slice"), ["lstm", "dense"]),
    "lstm, gates of ONNX": (unrolled_lstm("iofg", "slice"), ["lstm", "dense"]),
    "gru, reset after": (unrolled_gru(after=True), ["gru", "scale"]),
    "gru, reset before": (unrolled_gru(after=False), ["gru", "scale"]),
    "norms": (
        norms,
        ["dense", "layer-norm", "lstm", "layer-norm", "prelu", "scale", "prelu", "softmax"],
    ),
    "products": (
        products,
        ["gru", "scale", "combine", "dense", "combine", "dense", "combine"],
    ),
    "frame": (frame, ["dense", "dense", "lstm", "dense"]),
    "begun": (begun("T"), ["lstm", "dense"]),
}


@pytest.mark.parametrize("name", NETS)
def test_a_net_is_the_same_here(name: str, tmp_path: Path) -> None:
    build, types = NETS[name]
    foreign = import_net(saved(tmp_path / "net.onnx", build)).foreign
    assert [layer.type for layer in foreign.network.layers] == types
    xs = stream()
    expected = streamed(*made(build), xs)
    last = foreign.network.layers[-1].name
    assert np.abs(layer_outputs(foreign, xs)[last] - expected).max() <= 1e-5


def test_a_state_of_windows_begins_there_once(tmp_path: Path) -> None:
    """The file begins anew in each call of 7 steps. Here the state is carried."""
    foreign = import_net(saved(tmp_path / "net.onnx", begun(7))).foreign
    assert any("starts these states anew in each call" in note for note in foreign.notes)
    xs = stream(308)
    expected = streamed(*made(begun("T")), xs)
    last = foreign.network.layers[-1].name
    assert np.abs(foreign.original.run(xs)[last] - expected).max() <= 1e-5
    assert np.abs(layer_outputs(foreign, xs)[last] - expected).max() <= 1e-5


@pytest.mark.parametrize("order", ["ifgo", "iofg", "fogi"])
def test_a_gate_that_is_read_wrongly_is_refused(order: str, tmp_path: Path) -> None:
    foreign = read(saved(tmp_path / "net.onnx", unrolled_lstm(order, "slice")))
    W = foreign.weights["lstm0.W_h"]
    i, f, g, o = np.split(W, 4, axis=1)
    for wrong in (np.hstack([f, i, g, o]), np.hstack([i, f, o, g]), np.hstack([i.T, f, g, o])):
        other = dataclasses.replace(foreign, weights={**foreign.weights, "lstm0.W_h": wrong})
        with pytest.raises(ConversionError, match="is the first part that differs"):
            prove(other, stream())


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (
            lambda b: b.add("Add", b.add("Mul", "hn", "h"), "hn", to="y"),
            "Mul 'mul_[0-9]+': it computes with the state 'h'",
        ),
        (lambda b: b.add("Add", "hn", "cn", to="y"), "it reads the cell state of 'mul_"),
        (lambda b: b.add("Div", "hn", b.add("Exp", "x"), to="y"), "1 Exp"),
        (lambda b: b.add("Div", "hn", b.add("Sqrt", "hn"), to="y"), "1 Sqrt"),
        (
            lambda b: b.add("Div", b.add("Sub", "hn", "hn"), b.add("Relu", "hn"), to="y"),
            "Div 'div_[0-9]+': it divides by a tensor: no layer does that",
        ),
    ],
    ids=["state", "cell", "exp", "sqrt", "quotient"],
)
def test_what_is_not_taken(build: Callable[[Builder], Any], expected: str) -> None:
    def net(b: Builder) -> Ends:
        ends = unrolled_lstm("ifgo", "split")(b)
        b.nodes.pop()
        build(b)
        return ends

    with pytest.raises(ConversionError, match=expected):
        as_layers(net)


def as_layers(build: Build) -> None:
    """What can't be is taken as it is, if it is one step."""
    model, _ = made(build)
    _traced(model, _inputs(model))


def test_a_norm_that_only_looks_like_one() -> None:
    """Divided by the deviation of another tensor, or over other axes: no layer does that."""

    def net(b: Builder) -> Ends:
        y = b.squeezed(b.recurrent("LSTM", "x", (FEATURES, FEATURES)), 1)
        axes = b.constant([-1], np.int64)
        centred = b.add("Sub", y, b.add("ReduceMean", y, axes))
        other = b.add("Sub", "x", b.add("ReduceMean", "x", axes))
        variance = b.add("ReduceMean", b.add("Mul", other, other), axes)
        b.add("Div", centred, b.add("Sqrt", b.add("Add", variance, b.constant(1e-5))), to="y")
        return Ends({"x": ("T", 1, FEATURES)}, ["y"], {})

    with pytest.raises(ConversionError, match="it divides by a tensor"):
        as_layers(net)


DATA = Path(os.environ.get("EDGE_LSTM_DATA", "/nowhere")) / "nets"


@pytest.mark.skipif(not DATA.is_dir(), reason="EDGE_LSTM_DATA has no nets")
def test_dtln_2_becomes_layers() -> None:
    """Unrolled LSTMs, a norm from primitives, a mask on an earlier tensor, packed states."""
    foreign = read(DATA / "dtln_2.onnx")
    assert [(layer.type, layer.outputs(512)) for layer in foreign.network.layers][:4] == [
        ("dense", 256),
        ("layer-norm", 512),
        ("lstm", 128),
        ("lstm", 128),
    ]
    assert foreign.network.layers[5].inputs == ("dense0", "dense4")
    xs = 0.1 * np.random.default_rng(0).normal(size=(300, 512)).astype(np.float32)
    prove(foreign, xs)


def test_a_reset_gate_on_the_whole_sum_is_no_gru(tmp_path: Path) -> None:
    """n = tanh(r (W x + R h)): it is run as it is, and not taken for a GRU without W x."""

    def build(b: Builder) -> Ends:
        gates = [
            b.add("Add", b.add("MatMul", "x", b.random(FEATURES, H)), b.add("MatMul", "h", R))
            for R in (b.random(H, H), b.random(H, H), b.random(H, H))
        ]
        z, r = (b.add("Sigmoid", gate) for gate in gates[:2])
        n = b.add("Tanh", b.add("Mul", r, gates[2]))
        rest = b.add("Mul", b.add("Sub", b.constant(1), z), n)
        b.add("Add", rest, b.add("Mul", z, "h"), to="hn")
        b.add("MatMul", "hn", b.random(H, 2), to="y")
        return Ends({"x": (1, FEATURES), "h": (1, H)}, ["y", "hn"], {"h": "hn"})

    net = import_net(saved(tmp_path / "net.onnx", build))
    assert net.foreign.step is not None
    xs = stream(300)
    expected = streamed(*made(build), xs)
    assert np.abs(net.foreign.original.run(xs)["y"] - expected).max() < 1e-5
