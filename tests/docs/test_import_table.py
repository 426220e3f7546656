"""The table of docs/import.md, "what is taken, what is refused": each cell by a net of its own."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as fn
from torch import Tensor, nn

from edge_lstm_export.imported import import_net, imported
from edge_lstm_export.importers.torch import from_module
from edge_lstm_runtime import ConversionError
from helpers.onnx_nets import FEATURES as F
from helpers.onnx_nets import NETS as ONNX
from helpers.onnx_nets import Builder, Ends, saved
from helpers.paths import ROOT

PAGE = (ROOT / "docs" / "import.md").read_text("utf-8")
H = 4


def table() -> dict[str, dict[str, bool]]:
    """Row -> column -> whether it says yes."""
    section = PAGE.split("## What is taken, what is refused")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    columns = [cell.strip("`") for cell in head[1:]]
    assert all(cell in ("yes", "no") for _, *cells in rows for cell in cells)
    return {
        name: {c: cell == "yes" for c, cell in zip(columns, cells, strict=True)}
        for name, *cells in rows
    }


# --- PyTorch ---


class Net(nn.Module):
    """A function of x (1, T, F) and the parts. The first part is a recurrent layer."""

    def __init__(self, function: Callable[..., Any], *parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.parts = nn.ModuleList(parts)

    def forward(self, *xs: Tensor) -> Any:
        return self.function(*xs, *self.parts)


def gru(**options: Any) -> nn.GRU:
    return nn.GRU(F, H, batch_first=True, **options)


def after(function: Callable[..., Tensor], *parts: nn.Module) -> nn.Module:
    """Of the outputs (1, T, H) of a GRU."""
    return Net(lambda x, g, *rest: function(g(x)[0], *rest), gru(), *parts)


def loop(x: Tensor, cell: nn.Module) -> Tensor:
    h = torch.zeros(1, H)
    found = []
    for t in range(x.shape[1]):
        h = cell(x[:, t], h)
        found.append(h)
    return torch.stack(found, 1)


def begun(x: Tensor, g: nn.Module, h: nn.Module) -> Tensor:
    return g(x, h.weight[None])[0]


def causal(y: Tensor, conv: nn.Module) -> Tensor:
    return conv(fn.pad(y.transpose(1, 2), (2, 0))).transpose(1, 2)


X = torch.zeros(1, 6, F)
TORCH: dict[str, tuple[Callable[[], nn.Module], tuple[Tensor, ...]]] = {
    "LSTM": (lambda: Net(lambda x, g: g(x)[0], nn.LSTM(F, H, batch_first=True)), (X,)),
    "GRU, reset gate after the product": (lambda: Net(lambda x, g: g(x)[0], gru()), (X,)),
    "RNN, tanh or relu": (
        lambda: Net(lambda x, g: g(x)[0], nn.RNN(F, H, nonlinearity="relu", batch_first=True)),
        (X,),
    ),
    "a cell, step by step": (lambda: Net(loop, nn.GRUCell(F, H)), (X,)),
    "both ways, whole sequences of one length": (
        lambda: Net(lambda x, g: g(x)[0], gru(bidirectional=True)),
        (X,),
    ),
    "states as inputs and outputs": (
        lambda: Net(lambda x, h, g: g(x, h), gru()),
        (X[:, :1], torch.zeros(1, 1, H)),
    ),
    "states that begin at other values than zero": (
        lambda: Net(begun, gru(), nn.Linear(H, 1, bias=False)),
        (X,),
    ),
    "dense, with tanh, relu, sigmoid or none": (
        lambda: after(lambda y, d: torch.relu(d(y)), nn.Linear(H, 2)),
        (X,),
    ),
    "PReLU, leaky ReLU": (lambda: after(lambda y: fn.leaky_relu(y, 0.3)), (X,)),
    "SiLU": (lambda: after(fn.silu), (X,)),
    "softmax over the features": (lambda: after(lambda y: torch.softmax(y, -1)), (X,)),
    "sum and product of tensors": (lambda: after(lambda y: y * y + y), (X,)),
    "layer normalization": (lambda: after(lambda y, n: n(y), nn.LayerNorm(H)), (X,)),
    "batch normalization": (
        lambda: after(lambda y, n: n(y.transpose(1, 2)), nn.BatchNorm1d(H)),
        (X,),
    ),
    "causal convolution over the steps": (lambda: after(causal, nn.Conv1d(H, 2, 3)), (X,)),
    "convolution inside a step": (
        lambda: after(lambda y, c: c(y.transpose(0, 1)), nn.Conv1d(1, 2, 3)),
        (X,),
    ),
    "embedding of whole numbers": (
        lambda: Net(lambda x, g, e: g(e(x))[0], gru(), nn.Embedding(9, F)),
        (torch.zeros(1, 6, dtype=torch.long),),
    ),
    "a look ahead: symmetric convolution": (
        lambda: after(lambda y, c: c(y.transpose(1, 2)), nn.Conv1d(H, 2, 3, padding=1)),
        (X,),
    ),
    "`proj_size`, peepholes, a clip in the cell": (
        lambda: Net(lambda x, g: g(x)[0], nn.LSTM(F, H, proj_size=2, batch_first=True)),
        (X,),
    ),
    "attention, pooling over time": (lambda: after(lambda y: y.mean(1)), (X,)),
    "no layer with a state": (lambda: Net(torch.tanh), (X,)),
}


def of_torch(name: str, folder: Path) -> None:
    make, example = TORCH[name]
    imported(from_module(make().eval(), *example), folder / "net", None)


# --- ONNX ---


def after_gru(b: Builder, act: Callable[[Builder, str], Any]) -> Ends:
    """Of the outputs (T, 1, H)."""
    act(b, b.squeezed(b.recurrent("GRU", "x", (F, H)), 1))
    return Ends({"x": ("T", 1, F)}, ["y"], {})


def onnx_after(act: Callable[[Builder, str], Any]) -> Callable[[Builder], Ends]:
    return lambda b: after_gru(b, act)


def onnx_begun(b: Builder) -> Ends:
    start = b.constant(np.full((1, 1, H), 0.5))
    b.squeezed(b.recurrent("GRU", "x", (F, H), [start]), 1, to="y")
    return Ends({"x": ("T", 1, F)}, ["y"], {})


def onnx_cell(b: Builder) -> Ends:
    sums = b.add("Gemm", b.add("Concat", "x", "h", axis=1), b.random(F + H, 4 * H), b.random(4 * H))
    b.split(sums, b.constant([H] * 4, np.int64), [*"ifgo"])
    new = b.add("Mul", b.add("Sigmoid", "i"), b.add("Tanh", "g"))
    b.add("Add", b.add("Mul", b.add("Sigmoid", "f"), "c"), new, to="cn")
    b.add("Mul", b.add("Sigmoid", "o"), b.add("Tanh", "cn"), to="hn")
    b.add("Relu", "hn", to="y")
    inputs = {"x": (1, F), "h": (1, H), "c": (1, H)}
    return Ends(inputs, ["y", "hn", "cn"], {"h": "hn", "c": "cn"})


def onnx_conv(**options: Any) -> Callable[[Builder], Ends]:
    """Over the steps."""

    def act(b: Builder, y: str) -> None:
        turned = b.add("Transpose", y, perm=[1, 2, 0])
        conv = b.add("Conv", turned, b.random(2, H, 3), **options)
        b.add("Transpose", conv, to="y", perm=[2, 0, 1])

    return onnx_after(act)


def onnx_frame(b: Builder) -> Ends:
    conv = b.add("Conv", "x", b.random(H, 1, F))
    y = b.recurrent("GRU", b.add("Transpose", conv, perm=[2, 0, 1]), (H, H), ["h"], ["hn"])
    b.squeezed(y, 1, to="y")
    return Ends({"x": (1, 1, F), "h": (1, 1, H)}, ["y", "hn"], {"h": "hn"})


def onnx_both(b: Builder) -> Ends:
    weights = [b.random(2, 3 * H, F), b.random(2, 3 * H, H)]
    b.add("GRU", "x", *weights, to="y", hidden_size=H, direction="bidirectional")
    return Ends({"x": (6, 1, F)}, ["y"], {})


def onnx_clipped(b: Builder) -> Ends:
    b.squeezed(b.recurrent("LSTM", "x", (F, H), clip=3.0), 1, to="y")
    return Ends({"x": ("T", 1, F)}, ["y"], {})


def onnx_dense(b: Builder) -> Ends:
    b.add("Tanh", b.add("MatMul", "x", b.random(F, 2)), to="y")
    return Ends({"x": ("T", 1, F)}, ["y"], {})


ONNX_ROWS: dict[str, Callable[[Builder], Ends]] = {
    "LSTM": ONNX["lstm"],
    "GRU, reset gate after the product": ONNX["gru, reset after the product"],
    "GRU, reset gate before the product": ONNX["gru"],
    "RNN, tanh or relu": ONNX["rnn, relu"],
    "a cell, step by step": onnx_cell,
    "both ways, whole sequences of one length": onnx_both,
    "states as inputs and outputs": ONNX["a cell"],
    "states that begin at other values than zero": onnx_begun,
    "dense, with tanh, relu, sigmoid or none": ONNX["two layers"],
    "PReLU, leaky ReLU": onnx_after(lambda b, y: b.add("LeakyRelu", y, to="y")),
    "softmax over the features": onnx_after(lambda b, y: b.add("Softmax", y, to="y")),
    "sum and product of tensors": onnx_after(
        lambda b, y: b.add("Mul", y, b.add("Add", y, y), to="y")
    ),
    "layer normalization": onnx_after(
        lambda b, y: b.add("LayerNormalization", y, b.random(H), b.random(H), to="y")
    ),
    "batch normalization": onnx_after(
        lambda b, y: b.add(
            "BatchNormalization",
            b.add("Transpose", y, perm=[1, 2, 0]),
            *(b.random(H) for _ in range(3)),
            b.constant([1.0] * H),
            to="y",
        )
    ),
    "causal convolution over the steps": onnx_conv(pads=[2, 0]),
    "convolution inside a step": onnx_frame,
    "a look ahead: symmetric convolution": onnx_conv(pads=[1, 1]),
    "`proj_size`, peepholes, a clip in the cell": onnx_clipped,
    "attention, pooling over time": onnx_after(
        lambda b, y: b.add("ReduceMean", y, b.constant([0], np.int64), to="y")
    ),
    "no layer with a state": onnx_dense,
}


def of_onnx(name: str, folder: Path) -> None:
    net = import_net(saved(folder / "net.onnx", ONNX_ROWS[name]))
    assert net.step is None  # of layers


# --- Keras ---


def keras_nets() -> dict[str, Callable[[], Any]]:
    os.environ.setdefault("KERAS_BACKEND", "torch")  # before Keras is imported
    import keras
    from keras import layers as kl

    def chain(*layers: Any, shape: Any = (None, F)) -> Any:
        return keras.Sequential([keras.Input(shape), *layers])

    def recurrent(kind: Any = kl.GRU, **options: Any) -> Any:
        return kind(H, return_sequences=True, **options)

    def after(*layers: Any) -> Any:
        return chain(recurrent(), *layers)

    def products() -> Any:
        x = keras.Input((None, F))
        y = recurrent()(x)
        return keras.Model(x, kl.Add()([kl.Multiply()([y, y]), y]))

    def window() -> Any:
        return chain(recurrent(), kl.Flatten(), kl.Dense(2), shape=(6, F))

    return {
        "LSTM": lambda: chain(recurrent(kl.LSTM)),
        "GRU, reset gate after the product": after,
        "GRU, reset gate before the product": lambda: chain(recurrent(reset_after=False)),
        "RNN, tanh or relu": lambda: chain(recurrent(kl.SimpleRNN, activation="relu")),
        "a cell, step by step": lambda: chain(kl.RNN(kl.LSTMCell(H), return_sequences=True)),
        "both ways, whole sequences of one length": lambda: chain(
            kl.Bidirectional(recurrent()), shape=(6, F)
        ),
        "dense, with tanh, relu, sigmoid or none": lambda: after(kl.Dense(2, activation="relu")),
        "PReLU, leaky ReLU": lambda: after(kl.LeakyReLU()),
        "SiLU": lambda: after(kl.Activation("silu")),
        "softmax over the features": lambda: after(kl.Softmax()),
        "sum and product of tensors": products,
        "layer normalization": lambda: after(kl.LayerNormalization()),
        "batch normalization": lambda: after(kl.BatchNormalization()),
        "causal convolution over the steps": lambda: after(kl.Conv1D(2, 3, padding="causal")),
        "dense over all steps of a window": window,
        "embedding of whole numbers": lambda: chain(kl.Embedding(9, F), recurrent(), shape=(None,)),
        "a look ahead: symmetric convolution": lambda: after(kl.Conv1D(2, 3, padding="same")),
        "attention, pooling over time": lambda: after(kl.GlobalAveragePooling1D()),
        "no layer with a state": lambda: chain(kl.Dense(2)),
    }


def of_keras(name: str, folder: Path) -> None:
    keras_nets()[name]().save(folder / "net.keras")
    import_net(folder / "net.keras")


# --- TFLite ---

STEPS = 6  # of a call


def tflite_nets() -> dict[str, Callable[[Any, int], int]]:
    def after(act: Callable[[Any, int, int], int]) -> Callable[[Any, int], int]:
        """act: from the LSTM's outputs (1, STEPS, H), and a tensor of that shape to be filled."""
        return lambda b, x: act(b, b.lstm(x, H), b.tensor(1, STEPS, H))

    def rnn(b: Any, x: int) -> int:
        weights = [b.random(H, F), b.random(H, H), b.random(H)]
        inputs = [x, *weights, b.tensor(1, H, variable=True)]
        y = b.tensor(1, STEPS, H)
        code = "UNIDIRECTIONAL_SEQUENCE_RNN"
        return b.add(code, inputs, y, "SequenceRNNOptions", fusedActivationFunction=1)

    def sums(b: Any, y: int, to: int) -> int:
        product = b.add("MUL", [y, y], b.tensor(1, STEPS, H), "MulOptions")
        return b.add("ADD", [product, y], to, "AddOptions")

    def pooled(b: Any, y: int, _: int) -> int:
        return b.add("MEAN", [y, b.constant([1], "i4")], b.tensor(1, H), "ReducerOptions")

    return {
        "LSTM": lambda b, x: b.lstm(x, H),
        "RNN, tanh or relu": rnn,
        "dense, with tanh, relu, sigmoid or none": lambda b, x: b.dense(b.lstm(x, H), 2, fused=1),
        "PReLU, leaky ReLU": after(
            lambda b, y, to: b.add("LEAKY_RELU", [y], to, "LeakyReluOptions", alpha=0.25)
        ),
        "softmax over the features": after(
            lambda b, y, to: b.add("SOFTMAX", [y], to, "SoftmaxOptions", beta=1.0)
        ),
        "sum and product of tensors": after(sums),
        "dense over all steps of a window": lambda b, x: b.dense(
            b.reshape(b.lstm(x, H), 1, STEPS * H), 2
        ),
        "weights in int8, dequantized": lambda b, x: b.dense(b.lstm(x, H, b.whole), 2),
        "`proj_size`, peepholes, a clip in the cell": lambda b, x: b.lstm(x, H, i9=b.random(H)),
        "attention, pooling over time": after(pooled),
        "no layer with a state": lambda b, x: b.dense(x, 2),
    }


def of_tflite(name: str, folder: Path) -> None:
    from helpers.tflite_nets import Builder as TfliteBuilder

    b = TfliteBuilder()
    x = b.tensor(1, STEPS, F)
    xs = np.random.default_rng(0).normal(size=(60, F)).astype(np.float32)
    np.save(folder / "x.npy", xs)
    import_net(b.saved(folder / "net.tflite", x, tflite_nets()[name](b, x)), folder / "x.npy")


COLUMNS: dict[str, tuple[Callable[[], Any], Callable[[str, Path], None]]] = {
    ".pt2": (lambda: TORCH, of_torch),
    ".onnx": (lambda: ONNX_ROWS, of_onnx),
    ".keras": (keras_nets, of_keras),
    ".tflite": (tflite_nets, of_tflite),
}


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of Keras
@pytest.mark.parametrize(
    "column",
    [*(".pt2", ".onnx"), *(pytest.param(c, marks=pytest.mark.slow) for c in (".keras", ".tflite"))],
)
def test_every_cell_is_true(column: str, tmp_path: Path) -> None:
    make, take = COLUMNS[column]
    nets = make()
    said = {row: cells[column] for row, cells in table().items()}
    assert {row for row, yes in said.items() if yes} <= set(nets) <= set(said)
    wrong = []
    for row in nets:
        folder = tmp_path / re.sub(r"\W+", "-", row)
        folder.mkdir()
        try:
            take(row, folder)
        except (ConversionError, AssertionError) as e:
            if said[row]:
                wrong.append(f"{row}: {e}")
        else:
            if not said[row]:
                wrong.append(f"{row} is taken")
    assert not wrong, "\n".join(wrong)
