"""Nets of PyTorch, from files of torch.export and from modules."""

from __future__ import annotations

import json
import pickle
import random
import shutil
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
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
        b += b
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
    "rnn relu": ["rnn"],
    "unequal": ["lstm", "lstm"],
    "two layers": ["lstm", "lstm", "dense"],
    "residual": ["lstm", "gru", "combine", "combine", "scale", "scale", "dense"],
    "concat": ["rnn", "combine"],
    "loop": ["lstm", "gru", "combine", "rnn", "dense"],
    "no batch": ["gru", "gru", "scale"],
    "steps first": ["lstm"],
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


def test_one_bundle_end_to_end(tmp_path: Path) -> None:
    """A module in memory, real samples, and the check of the bundle."""
    xs = samples(500)
    net = made(NETS["lstm"])
    imported = from_torch(net, torch.randn(1, 7, F), samples=xs)
    np.testing.assert_array_equal(imported.samples, xs)
    np.testing.assert_allclose(imported.answers, by_torch("lstm", net, xs), atol=1e-9)
    assert imported.origin.startswith("Sequential, imported; proved against PyTorch 2.")
    assert not imported.notes
    export_run(imported, tmp_path / "net.edge", schemes=())
    model = edge_lstm_runtime.load(tmp_path / "net.edge")
    assert edge_lstm_runtime.check_backend(model.bundle, "numpy").passed
    assert edge_lstm_runtime.check_backend(model.bundle, "onnx").passed


def test_a_module_is_left_as_it_is() -> None:
    net = NETS["residual"]().train()
    foreign = from_module(net, torch.randn(1, 5, F))
    assert net.training
    assert next(net.parameters()).dtype == torch.float32
    prove(foreign, samples(20))


def test_a_module_with_states_in_memory() -> None:
    net = made(Step)
    imported = from_torch(net, (torch.randn(1, F), *STATES), samples=samples(300))
    expected = by_torch("step", net, samples(300))
    assert np.abs(imported.answers - expected).max() <= 1e-9


def test_biases_are_summed_in_float32() -> None:
    """Two biases become one. That is the only rounding."""
    torch.manual_seed(0)
    net = Stack(nn.LSTM(F, 8, batch_first=True), nn.Linear(8, 1)).eval()
    foreign = from_module(net, torch.randn(1, 7, F))
    xs = samples()
    prove(foreign, xs)
    (ours,) = (v for n, v in layer_outputs(foreign, xs).items() if n == "dense0")
    assert 1e-9 < np.abs(ours - by_torch("lstm", net, xs)).max() <= 1e-7


def test_weights_of_other_types() -> None:
    net = made(NETS["gru"]).double()
    foreign = from_module(net, torch.randn(1, 7, F, dtype=torch.float64))
    assert "float64" in foreign.notes[0]
    prove(foreign, samples(50))
    half = made(NETS["gru"]).half()
    prove(from_module(half, torch.randn(1, 7, F).half()), samples(50))


@pytest.mark.parametrize("steps", [1, 2, 300])
def test_any_exported_length(steps: int) -> None:
    net = made(NETS["residual"])
    foreign = from_module(net, torch.randn(1, steps, F))
    xs = samples(305)
    assert np.abs(prove(foreign, xs) - by_torch("residual", net, xs)).max() <= 1e-9


def test_notes_of_what_a_user_must_know() -> None:
    step = from_module(nn.Sequential(nn.GRUCell(F, 4), nn.Linear(4, 1)), torch.randn(1, F))
    assert [note[:35] for note in step.notes] == ["The net takes one step and no state"]
    prove(step, samples(50))
    two = from_module(Around(lambda x, a: (a[0] + x, torch.tanh(x), a[1])), torch.randn(1, 7, F))
    assert two.notes == ("The output 'tanh' is left out: the first one is the answer.",)


class InPlace(nn.Module):
    """Nodes that change what others read afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.RNN(F, F, batch_first=True)
        self.head = nn.Linear(F, F)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, _ = self.rnn(x)
        z = self.head(y)
        before = z + y
        z.relu_()
        y.add_(x)
        return torch.cat([before, z, y], -1)


def test_nodes_in_place(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.pt2", made(InPlace), torch.randn(1, 4, F))
    xs = samples(300)
    expected = by_torch("in place", made(InPlace), xs)
    assert np.abs(prove(read(path), xs) - expected).max() <= 1e-9


class Tied(nn.Module):
    """The states come back in another order than they are taken, both of one shape."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(F, 4)
        self.head = nn.Linear(4, 1)

    def forward(
        self, x: torch.Tensor, c: torch.Tensor, h: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        h, c = self.cell(x, (h, c))
        return self.head(h), h, c


def test_states_are_paired_by_what_they_are() -> None:
    net = made(Tied)
    foreign = from_module(net, torch.randn(1, F), torch.zeros(1, 4), torch.zeros(1, 4))
    xs = samples(300)
    with torch.no_grad():
        h, c = (torch.zeros(1, 4, dtype=torch.float64) for _ in "hc")
        found = []
        for row in torch.from_numpy(xs).double():
            y, h, c = net.double()(row[None], c, h)
            found.append(y[0].numpy())
    assert np.abs(prove(foreign, xs) - np.stack(found)).max() <= 1e-9


# --- wrong on purpose ---


def transposed(foreign: Foreign) -> str:
    foreign.weights["lstm0.W_h"][:, :4] = foreign.weights["lstm0.W_h"][:, :4].T.copy()
    return "lstm"


def gates_swapped(foreign: Foreign) -> str:
    for name in ("W_x", "W_h", "b"):
        w = foreign.weights[f"lstm0.{name}"]
        i, f, g, o = np.split(w, 4, axis=-1)
        w[:] = np.concatenate([f, i, g, o], axis=-1)
    return "lstm"


def gru_gates_swapped(foreign: Foreign) -> str:
    for name in ("W_x", "W_h"):
        w = foreign.weights[f"gru0.{name}"]
        r, z, n = np.split(w, 3, axis=-1)
        w[:] = np.concatenate([z, r, n], axis=-1)
    return "gru"


def one_weight(foreign: Foreign) -> str:
    foreign.weights["dense0.W"][0, 0] += 1e-3
    return "head"


@pytest.mark.parametrize("wrong", [transposed, gates_swapped, gru_gates_swapped, one_weight])
def test_a_wrong_import_is_refused(wrong: Callable[[Foreign], str]) -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(F, 4, batch_first=True)
            self.gru = nn.GRU(4, 4, batch_first=True)
            self.head = nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.gru(self.lstm(x)[0])[0])

    foreign = from_module(made(Both), torch.randn(1, 7, F))
    prove(foreign, samples(50))
    node = wrong(foreign)
    with pytest.raises(ConversionError, match=f"^'{node}' is the first part that differs"):
        prove(foreign, samples(50))


@pytest.mark.parametrize("which", ["swapped", "dropped"])
def test_wrong_states_are_refused(which: str) -> None:
    foreign = from_module(made(Step), torch.randn(1, F), *STATES)
    given: dict[str, str] = foreign.original.given  # type: ignore[attr-defined]
    if which == "swapped":
        given["h"], given["c"] = given["c"], given["h"]
    else:
        del given["c"]
    with pytest.raises(ConversionError, match=r"'lstm' is the first|'lstm, layer 1' is the first"):
        prove(foreign, samples(50))


# --- what can't be taken ---


class Around(nn.Module):
    """A function of x and of an LSTM's output, (1, T, 3) both, for one fault each."""

    def __init__(self, function: Callable[..., Any], **parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.lstm = nn.LSTM(F, F, batch_first=True)
        self.parts = nn.ModuleDict(parts)

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(x, self.lstm(x), **self.parts)


REFUSED: dict[str, tuple[Callable[..., Any], dict[str, nn.Module], str]] = {
    "projection": (
        lambda x, _, lstm: lstm(x)[0],
        {"lstm": nn.LSTM(F, 4, proj_size=2, batch_first=True)},
        r"'lstm_1' has a projection \(proj_size > 0\), .*\(in parts.lstm\)",
    ),
    "several": (
        lambda x, a, norm: norm(torch.cumsum(a[0], 1).transpose(1, 2)).transpose(1, 2) * x,
        {"norm": nn.GroupNorm(1, F)},
        r"'cumsum' is an operator that there is no layer for \[aten.cumsum.default\]$",
    ),
    "all at once": (
        lambda x, a, norm: norm(a[0].transpose(1, 2)) + torch.erf(x).transpose(1, 2),
        {"norm": nn.GroupNorm(1, F)},
        r"'group_norm' is a group normalization.*\(in parts.norm\); 'erf' is an operator .*erf",
    ),
    "attention": (
        lambda _, a: nn.functional.scaled_dot_product_attention(a[0], a[0], a[0]),
        {},
        "'scaled_dot_product_attention' is attention over time",
    ),
    "attention module": (
        lambda _, a, mha: mha(a[0], a[0], a[0])[0],
        {"mha": nn.MultiheadAttention(F, 1, batch_first=True)},
        r"can't take 'unflatten' is attention over time.*\(in parts.mha\)",
    ),
    "no state in a loop": (
        lambda x, _, cell: torch.stack([cell(row) for row in x.unbind(1)], 1),
        {"cell": nn.GRUCell(F, 4)},
        r"'gru_cell_1' \(and 5 more\) does not read its own h of the step before",
    ),
    "mean": (lambda _, a: a[0].mean(1), {}, "'mean' pools over time, which needs whole sequences"),
    "last step": (lambda _, a: a[0][:, -1], {}, "answers step 6 of 7 alone: it pools over time"),
    "last state": (lambda _, a: a[1][0], {}, "answers step 6 of 7 alone"),
    "no recurrence": (lambda x, _: torch.tanh(x), {}, "no layer of the net has a state"),
    "factor": (lambda x, a: torch.add(x, a[0], alpha=2), {}, "adds with a factor"),
    "some steps": (lambda _, a: a[0][:, 2:], {}, "takes some of the steps"),
    "mixed": (lambda _, a: a[0].reshape(1, 3, 7), {}, r"makes \(1, 3, 7\) of \(1, 7, 3\)"),
    "wrong batch_first": (
        lambda x, _, gru: gru(x)[0],
        {"gru": nn.GRU(F, 4)},
        r"reads the shape \(1, 7, 3\) as \(steps, batch, features\): expected one batch row",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str, tmp_path: Path) -> None:
    function, parts, expected = REFUSED[name]
    net = Around(function, **parts).eval()
    path = saved(tmp_path / "net.pt2", net, torch.randn(1, 7, F))
    with pytest.raises(ConversionError, match=expected) as e:
        read(path)
    assert str(e.value).startswith(f"{path}: ")
    assert "\n" not in str(e.value)


def test_several_batch_rows() -> None:
    expected = r"input 'input' has the shape \(4, 7, 3\): expected one batch row"
    with pytest.raises(ConversionError, match=expected):
        from_module(nn.Sequential(nn.Linear(F, 2)), torch.randn(4, 7, F))


def test_a_dynamic_batch_is_one_row(tmp_path: Path) -> None:
    net = made(NETS["lstm"])
    shapes = ({0: torch.export.Dim("rows", min=1, max=64)},)
    path = saved(
        tmp_path / "net.pt2", made(NETS["lstm"]), torch.randn(2, 7, F), dynamic_shapes=shapes
    )
    foreign = read(path)
    assert foreign.notes == ("The number of batch rows may vary in the file. It is 1 here.",)
    xs = samples(300)
    assert np.abs(prove(foreign, xs) - by_torch("lstm", net, xs)).max() <= 1e-9


def test_an_input_that_is_a_number(tmp_path: Path) -> None:
    class Scaled(nn.Module):
        def forward(self, n: int, x: torch.Tensor) -> torch.Tensor:
            return x * n

    shapes = {"n": torch.export.Dim.DYNAMIC, "x": None}
    x = torch.randn(1, 7, F)
    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(Scaled(), (5, x), dynamic_shapes=shapes), path)
    with pytest.raises(ConversionError, match="input 'n' is a number, expected tensors alone"):
        read(path)


def test_training_mode(tmp_path: Path) -> None:
    net = Residual().train()
    path = saved(tmp_path / "net.pt2", net, torch.randn(1, 7, F))
    with pytest.raises(ConversionError, match=r"training mode; call net.eval\(\) first"):
        read(path)


class Keeps(nn.Module):
    """Its state is a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(F, 4)
        self.register_buffer("h", torch.zeros(1, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.h.copy_(self.cell(x, self.h))
        return self.h.clone()


class Forgets(nn.Module):
    """It takes a state that it doesn't return."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(F, 4)
        self.head = nn.Linear(4, 1)

    def forward(self, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        return self.head(self.cell(x, h))


class Feeds(nn.Module):
    """Each answer is an input of the next step."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(F + 1, 4)
        self.head = nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.zeros(1, 4)
        y = torch.zeros(1, 1)
        found = []
        for t in range(x.shape[1]):
            h = self.cell(torch.cat([x[:, t], y], -1), h)
            y = self.head(h)
            found.append(y)
        return torch.stack(found, 1)


@pytest.mark.parametrize(
    ("net", "example", "expected"),
    [
        (Keeps, (torch.randn(1, F),), "'copy_' writes to 'b_h': a state that the net keeps"),
        (
            Forgets,
            (torch.randn(1, F), torch.zeros(1, 4)),
            "input 'h' is h of 'cell', and no output returns its next value",
        ),
        (Feeds, (torch.randn(1, 5, F),), "'cat' reads a constant, 'zeros_1'"),
        (
            NETS["lstm"],
            (torch.randn(1, 5, 2),),
            "torch.export can't export the module: ",
        ),
    ],
)
def test_modules_that_are_refused(
    net: Callable[[], nn.Module], example: tuple[torch.Tensor, ...], expected: str
) -> None:
    with pytest.raises(ConversionError, match=expected) as e:
        from_module(made(net), *example)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("xs", "expected"),
    [
        (np.zeros((50, 2), np.float32), r"samples: the samples have shape \(50, 2\), expected"),
        (
            np.full((50, F), np.nan, np.float32),
            "samples: value 0 of row 0 is nan; expected a finite float32",
        ),
        (np.zeros((5, F), np.float32), "samples: has 5 samples, expected 10 or more"),
    ],
)
def test_wrong_samples(xs: Float32, expected: str) -> None:
    with pytest.raises(ConversionError, match=expected):
        from_torch(made(NETS["lstm"]), torch.randn(1, 7, F), samples=xs)


# --- files that are no such nets ---

LINES = (
    r"ep = torch.export.export\(net.eval\(\), \(example,\)\); "
    r'torch.export.save\(ep, "net.pt2"\); then: edge-lstm import net.pt2'
)


def run_if_read(path: Path) -> object:
    """What creates a file if it is unpickled."""

    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (path,))

    return Hostile()


@pytest.mark.parametrize("ending", [".pt", ".pth", ".ckpt", ".bin", ".pt2"])
def test_pickles_are_never_read(ending: str, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    path = tmp_path / f"net{ending}"
    torch.save(run_if_read(touched), path)
    with pytest.raises(ConversionError, match="is a pickle of PyTorch .*" + LINES):
        importer_of(path).read(path)
    path.write_bytes(pickle.dumps(run_if_read(touched)))
    with pytest.raises(ConversionError, match="is a pickle of an old PyTorch.*" + LINES):
        importer_of(path).read(path)
    assert not touched.exists()


def test_a_pickle_is_refused_without_torch(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save({"weight": torch.zeros(2)}, path)
    code = (
        "import sys; from pathlib import Path\n"
        "from edge_lstm_export.importers import importer_of\n"
        f"try: importer_of(Path({str(path)!r}))\n"
        "except Exception as e: print(type(e).__name__, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "ConversionError False\n"


def test_torchscript_is_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "net.pt", "w") as archive:
        archive.writestr("net/constants.pkl", b"")
        archive.writestr("net/data.pkl", b"")
    with pytest.raises(ConversionError, match="is a TorchScript program.*" + LINES):
        importer_of(tmp_path / "net.pt")


def test_other_files_of_these_endings(tmp_path: Path) -> None:
    (tmp_path / "firmware.bin").write_bytes(b"\x00" * 64)
    with pytest.raises(ConversionError, match=r"the ending '.bin' is of no known kind of net"):
        importer_of(tmp_path / "firmware.bin")


def changed(path: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    """The archive with other members. None leaves one out."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            if (new := change(name, data)) is not None:
                archive.writestr(name, new)
    return path


def in_json(name: str, old: str, new: str) -> Callable[[str, bytes], bytes]:
    def change(member: str, data: bytes) -> bytes:
        if not member.endswith(name):
            return data
        assert old.encode() in data
        return data.replace(old.encode(), new.encode())

    return change


@pytest.fixture(name="good")
def _good(tmp_path: Path) -> Path:
    return saved(tmp_path / "net.pt2", made(NETS["lstm"]), torch.randn(1, 7, F))


def test_example_inputs_are_not_unpickled(good: Path, tmp_path: Path) -> None:
    hostile = pickle.dumps(run_if_read(tmp_path / "touched"))
    changed(good, lambda n, data: hostile if "sample_inputs" in n else data)
    prove(read(good), samples(20))
    assert not (tmp_path / "touched").exists()


GRAPH = "models/model.json"
UNSAFE: dict[str, tuple[Callable[[str, bytes], bytes | None], str]] = {
    "pickled weight": (
        in_json("weights_config.json", '"use_pickle": false', '"use_pickle": true'),
        "is pickled, which may run code",
    ),
    "custom object": (
        in_json("weights_config.json", '"weight_0"', '"custom_obj_0"'),
        "is pickled, which may run code",
    ),
    "expression": (
        in_json(GRAPH, '"as_int": 7', '"as_expr": {"expr_str": "exec(x)", "hint": null}'),
        r"has a size that is the expression 'exec\(x\)'",
    ),
    "target": (
        in_json(GRAPH, "torch.ops.aten.linear.default", "torch.hub.load"),
        "calls 'torch.hub.load', which is no operator of PyTorch",
    ),
    "structure": (
        in_json(GRAPH, "builtins.tuple", "os.system"),
        "takes or returns os.system, expected tensors",
    ),
    "no graph": (lambda n, data: None if n.endswith(GRAPH) else data, "has no models/model.json"),
    "no JSON": (lambda n, data: b"{" if n.endswith(GRAPH) else data, "is damaged: JSONDecodeError"),
    "a list": (lambda n, data: b"[]" if "config" in n else data, "is damaged: TypeError"),
    "deep": (lambda n, data: b"[" * 100_000 if n.endswith(GRAPH) else data, "is damaged: Rec"),
    "empty": (
        lambda n, data: b"" if n.endswith("weight_0") else data,
        "is damaged: weight_0 is empty",
    ),
    "short": (lambda n, data: data[:8] if n.endswith("weight_0") else data, "can't be read"),
    "unknown": (
        in_json(GRAPH, "torch.ops.aten.linear.default", "torch.ops.mine.magic.default"),
        "can't be read by PyTorch|mine.magic",
    ),
}


@pytest.mark.parametrize("name", UNSAFE)
def test_unsafe_and_damaged_files(name: str, good: Path) -> None:
    change, expected = UNSAFE[name]
    changed(good, change)
    with pytest.raises(ConversionError, match=expected) as e:
        import_net(good)
    assert "\n" not in str(e.value)
    assert len(str(e.value)) < 600


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """All paths of keys and indices into a JSON value."""
    keys = value if isinstance(value, dict) else range(len(value) if isinstance(value, list) else 0)
    for key in keys:
        yield (*path, key)
        yield from places(value[key], (*path, key))


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("member", [GRAPH, "data/weights/model_weights_config.json"])
def test_a_changed_value_is_one_line_or_harmless(
    member: str, seed: int, mutated: Path, tmp_path: Path
) -> None:
    rng = random.Random(seed)
    path = tmp_path / "net.pt2"

    def change(name: str, data: bytes) -> bytes:
        if not name.endswith(member):
            return data
        described = json.loads(data)
        known = list(places(described))
        place = rng.choice(known)
        odd = [None, -1, 5, 10**9, "x", [], {}, True, 1.5, at(described, rng.choice(known))]
        at(described, place[:-1])[place[-1]] = json.loads(json.dumps(rng.choice(odd)))
        return json.dumps(described).encode()

    shutil.copy(mutated, path)
    changed(path, change)
    line = ""
    try:
        prove(read(path), samples(20))
    except ConversionError as e:
        line = str(e)
    assert "\n" not in line
    assert len(line) < 1000


@pytest.fixture(name="mutated", scope="module")
def _mutated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mutated") / "net.pt2"
    return saved(path, made(NETS["step"]), *example_of("step"))


def test_two_members_of_one_name(good: Path) -> None:
    with zipfile.ZipFile(good, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr(archive.namelist()[0], b"other")
    with pytest.raises(ConversionError, match="has two members of one name"):
        read(good)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_truncated_files(share: float, good: Path) -> None:
    good.write_bytes(good.read_bytes()[: int(share * good.stat().st_size)])
    with pytest.raises(ConversionError, match=r"is damaged, or no file of torch.export.save"):
        read(good)


def test_a_flipped_byte(good: Path) -> None:
    with zipfile.ZipFile(good) as archive:
        weight = archive.read(next(n for n in archive.namelist() if n.endswith("/weight_1")))
    data = bytearray(good.read_bytes())
    data[data.index(weight) + 3] ^= 1
    good.write_bytes(data)
    with pytest.raises(ConversionError, match=r"is damaged, .*Bad CRC-32"):
        read(good)


def test_weights_that_are_not_finite(tmp_path: Path) -> None:
    net = made(NETS["lstm"])
    with torch.no_grad():
        next(net.parameters())[0, 0] = torch.nan
    path = saved(tmp_path / "net.pt2", net, torch.randn(1, 7, F))
    with pytest.raises(ConversionError, match=r"weight lstm0.W_x has values that are not finite"):
        import_net(path)


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "net.pt2").mkdir()
    with pytest.raises(ConversionError, match="there is no such file"):
        import_net(tmp_path / "net.pt2")
