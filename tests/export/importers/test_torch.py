"""Nets of PyTorch, from files of torch.export and from modules."""

from __future__ import annotations

import dataclasses
import json
import pickle
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import edge_lstm_runtime
from edge_lstm_export import export_run, from_torch
from edge_lstm_export.imported import import_net
from edge_lstm_export.importers import Foreign, importer_of
from edge_lstm_export.importers._proof import layer_outputs, prove
from edge_lstm_export.importers.torch import from_module, read
from edge_lstm_runtime import ConversionError
from edge_lstm_runtime.layers import Float32

STEPS = 1000
F = 3


def samples(steps: int = STEPS) -> Float32:
    return np.random.default_rng(1).standard_normal((steps, F)).astype(np.float32)


class Stack(nn.Module):
    """Layers of nn.LSTM and the like in a row, then what is left."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
            x = x[0] if isinstance(x, tuple) else x
        return x


class Residual(nn.Module):
    """Each kind of node that is neither recurrent nor linear."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(F, 6, batch_first=True)
        self.gru = nn.GRU(6, 6, batch_first=True, bias=False)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(12 + F, 2, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, _ = self.lstm(x)
        b, _ = self.gru(a)
        both = torch.cat([torch.relu(a + self.drop(b)), torch.sigmoid(a), x], dim=-1)
        return torch.tanh(self.head(both))


class Concat(nn.Module):
    """The output itself is a cat, of steps before the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.RNN(F, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, _ = self.rnn(x.transpose(0, 1))
        return torch.cat([y.permute(1, 0, 2), x], -1)


class Loop(nn.Module):
    """Two cells in a loop over the steps, with a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTMCell(F, 5)
        self.gru = nn.GRUCell(5, 5)
        self.rnn = nn.RNNCell(5, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = x.new_zeros(1, 5)
        c = torch.zeros(1, 5)
        g = torch.zeros(1, 5)
        r = torch.zeros(1, 4)
        c, g, r = (part.to(x.dtype) for part in (c, g, r))
        found = []
        for t in range(x.shape[1]):
            h, c = self.lstm(x[:, t], (h, c))
            g = self.gru(h, g)
            r = self.rnn(g + h, r)
            found.append(torch.sigmoid(self.head(r)))
        return torch.stack(found, dim=1)


class Step(nn.Module):
    """One step with its states: those of two layers are packed."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(F, 4, num_layers=2)
        self.gru = nn.GRUCell(4, 4)
        self.head = nn.Linear(4, 2)

    def forward(
        self, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor, g: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        y, (h, c) = self.lstm(x.unsqueeze(0), (h, c))
        g = self.gru(y.squeeze(0), g)
        return self.head(g), h, c, g


STATES = (torch.zeros(2, 1, 4), torch.zeros(2, 1, 4), torch.zeros(1, 4))

NETS: dict[str, Callable[[], nn.Module]] = {
    "lstm": lambda: nn.Sequential(Stack(nn.LSTM(F, 8, batch_first=True)), nn.Linear(8, 2)),
    "gru": lambda: nn.Sequential(Stack(nn.GRU(F, 8, batch_first=True)), nn.Linear(8, 2)),
    "rnn": lambda: nn.Sequential(Stack(nn.RNN(F, 8, batch_first=True)), nn.Linear(8, 2)),
    "rnn relu": lambda: Stack(nn.RNN(F, 8, nonlinearity="relu", batch_first=True)),
    "unequal": lambda: Stack(nn.LSTM(F, 9, batch_first=True), nn.LSTM(9, 4, batch_first=True)),
    "two layers": lambda: Stack(nn.LSTM(F, 7, 2, batch_first=True), nn.Linear(7, 1), nn.ReLU()),
    "residual": Residual,
    "concat": Concat,
    "loop": Loop,
    "no batch": lambda: Stack(nn.GRU(F, 4, 2), nn.Tanh()),
    "steps first": lambda: Stack(nn.LSTM(F, 4)),
    "step": Step,
}
SHAPES = {"no batch": (9, F), "steps first": (9, 1, F), "step": (1, F)}
LAYERS = {
    "lstm": ["lstm", "dense"],
    "gru": ["gru", "dense"],
    "rnn": ["rnn", "dense"],
    "rnn relu": ["rnn", "dense"],
    "unequal": ["lstm", "lstm", "dense"],
    "two layers": ["lstm", "lstm", "dense"],
    "residual": ["lstm", "gru", "dense", "dense", "dense", "dense"],
    "concat": ["rnn", "dense"],
    "loop": ["lstm", "gru", "dense", "rnn", "dense"],
    "no batch": ["gru", "gru", "dense"],
    "steps first": ["lstm", "dense"],
    "step": ["lstm", "lstm", "gru", "dense"],
}


def made(net: Callable[[], nn.Module]) -> nn.Module:
    """Of biases whose sums are exact in float32, as a layer has one in the place of two."""
    torch.manual_seed(0)
    module = net().eval()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "bias" in name:
                parameter.copy_((parameter * 2**20).round() / 2**20)
    return module


def saved(path: Path, net: nn.Module, *example: torch.Tensor, **options: Any) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, of nn.LSTM
        torch.export.save(torch.export.export(net, example, **options), path)
    return path


def example_of(name: str) -> tuple[torch.Tensor, ...]:
    x = torch.randn(SHAPES.get(name, (1, 7, F)))
    return (x, *STATES) if name == "step" else (x,)


def by_torch(name: str, net: nn.Module, xs: Float32) -> np.ndarray[Any, Any]:
    """(T, O) of the module itself, in float64 and over the whole sequence."""
    net = net.double()
    x = torch.from_numpy(xs).double()
    with torch.no_grad():
        if name == "step":
            states = [s.double() for s in STATES]
            found = []
            for row in x:
                y, *states = net(row[None], *states)
                found.append(y[0])
            return torch.stack(found).numpy()
        shape = {"no batch": (-1, F), "steps first": (-1, 1, F)}.get(name, (1, -1, F))
        return net(x.reshape(shape)).reshape(len(xs), -1).numpy()


@pytest.fixture(name="file", params=NETS)
def _file(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    net = made(NETS[request.param])
    return request.param, saved(tmp_path / "net.pt2", net, *example_of(request.param))


def test_a_file_is_the_module(file: tuple[str, Path]) -> None:
    name, path = file
    foreign = read(path)
    xs = samples()
    expected = by_torch(name, made(NETS[name]), xs)
    ours = layer_outputs(foreign, xs)[foreign.network.layers[-1].name]
    assert np.abs(ours - expected).max() <= 1e-9
    # The original, in windows of the exported length, is the whole sequence too.
    assert np.abs(prove(foreign, xs) - expected).max() <= 1e-9
    assert [layer.type for layer in foreign.network.layers] == LAYERS[name]


def test_a_session_answers_alike(file: tuple[str, Path], tmp_path: Path) -> None:
    name, path = file
    net = import_net(path)
    work = export_run(net, tmp_path / "net.edge", schemes=())
    assert not work.doubts
    model = edge_lstm_runtime.load(tmp_path / "net.edge")
    xs = samples()
    expected = by_torch(name, made(NETS[name]), xs)
    with model.session("numpy") as session:
        found = np.stack([session.step(x) for x in xs])
    assert np.abs(found - expected).max() <= 1e-5
