"""Modules of PyTorch with layers that are not recurrent: against the module itself in float64."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as fn
from torch import Tensor, nn

from edge_lstm_export import export_run, from_torch
from edge_lstm_export.importers import Foreign
from edge_lstm_export.importers._proof import layer_outputs, prove
from edge_lstm_export.importers.torch import from_module
from edge_lstm_runtime import ConversionError, load
from edge_lstm_runtime.backends.numpy import numpy_backend
from edge_lstm_runtime.layers import Float32

F = 3
ROWS = 11  # of an embedding
STEPS = 1000
WINDOW = 25  # steps of the example


class Conv(nn.Module):
    """A causal convolution, batch normalization and a GRU.

    how: "pad" or "cat" for zeros in front, "cut" for a convolution that is cut off behind.
    """

    def __init__(self, how: str, *, steps_last: bool = False, **options: Any) -> None:
        super().__init__()
        reach = 2 * options.get("dilation", 1)
        self.how = how
        self.reach = reach
        self.steps_last = steps_last
        self.conv = nn.Conv1d(F, 6, 3, padding=reach if how == "cut" else 0, **options)
        self.norm = nn.BatchNorm1d(6)
        self.gru = nn.GRU(6, 5, batch_first=True)
        self.head = nn.Linear(5, 2)
        with torch.no_grad():
            for name in ("weight", "bias", "running_mean"):
                getattr(self.norm, name).normal_()
            self.norm.running_var.uniform_(0.2, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.steps_last else x.transpose(1, 2)
        steps = x.shape[2]
        if self.how == "pad":
            x = fn.pad(x, (self.reach, 0))
        elif self.how == "cat":
            x = torch.cat([torch.zeros(1, F, self.reach, dtype=x.dtype), x], dim=2)
        y = torch.relu(self.norm(self.conv(x)[:, :, :steps]))
        return self.head(self.gru(y.transpose(1, 2))[0])


class Norms(nn.Module):
    """Layer normalization, an LSTM, a residual, and arithmetic with constants."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(F, 6)
        self.norm = nn.LayerNorm(6)
        self.lstm = nn.LSTM(6, 6, batch_first=True)
        self.prelu = nn.PReLU(6)
        self.head = nn.Linear(6, 4)
        self.gain = nn.Parameter(torch.rand(6))
        with torch.no_grad():
            self.norm.weight.normal_()
            self.norm.bias.normal_()
            self.prelu.weight.normal_()

    def forward(self, x: Tensor) -> Tensor:
        a = self.enter(x)
        y = a + self.lstm(self.norm(a))[0]
        y = (2 - y * self.gain - 0.3) / 4 * torch.sigmoid(a) - a
        y = self.prelu(y.squeeze(0).t().t()).unsqueeze(0) if y.shape[1] > 1 else y
        return torch.softmax(self.head(y), dim=-1)


class Gates(nn.Module):
    """Halves, single channels, GLU, SiLU, a leaky ReLU, a convolution by groups."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(F, 8)
        self.gru = nn.GRU(4, 4, batch_first=True)
        self.each = nn.Conv1d(4, 8, 4, groups=4)
        self.mix = nn.Conv1d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = fn.glu(self.enter(x), dim=-1)
        z = self.mix(self.each(fn.pad(y.transpose(1, 2), (3, 0)))).transpose(1, 2)
        h = self.gru(fn.leaky_relu(z, 0.2))[0]
        one, other = h.chunk(2, dim=-1)
        return torch.cat([fn.silu(one) * other, -x[..., 1:], h @ self.enter.weight[:4, :]], dim=-1)


class Learned(nn.Module):
    """States that begin at weights of the net."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(F, 5, 2, batch_first=True)
        self.cell = nn.GRUCell(5, 4)
        self.h = nn.Parameter(torch.randn(2, 1, 5))
        self.c = nn.Parameter(torch.randn(2, 1, 5))
        self.g = nn.Parameter(torch.randn(1, 4))

    def forward(self, x: Tensor) -> Tensor:
        rows = x.shape[0]
        start = torch.tanh(self.h).expand(-1, rows, -1).contiguous()
        y, _ = self.lstm(x, (start, self.c))
        g = self.g
        found = []
        for t in range(y.shape[1]):
            g = self.cell(y[:, t], g)
            found.append(g)
        return torch.stack(found, 1)


class Words(nn.Module):
    """Whole numbers in, an embedding. both: an LSTM that reads both ways."""

    def __init__(self, *, both: bool) -> None:
        super().__init__()
        self.rows = nn.Embedding(ROWS, 4)
        self.lstm = nn.LSTM(4, 5, 2, batch_first=True, bidirectional=both)
        self.head = nn.Linear(10 if both else 5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(self.rows(x))[0])


FLOATS = torch.zeros(1, WINDOW, F)
NUMBERS = torch.zeros(1, WINDOW, dtype=torch.long)
NETS: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "padded": (lambda: Conv("pad", dilation=3), FLOATS),
    "zeros in front": (lambda: Conv("cat", groups=3), FLOATS),
    "cut off": (lambda: Conv("cut", dilation=2, bias=False), FLOATS),
    "steps last": (lambda: Conv("pad", steps_last=True), torch.zeros(1, F, WINDOW)),
    "one step": (lambda: Conv("cut", dilation=2), torch.zeros(1, 1, F)),
    "norms": (Norms, FLOATS),
    "gates": (Gates, FLOATS),
    "learned": (Learned, FLOATS),
    "words": (lambda: Words(both=False), NUMBERS),
    "both ways": (lambda: Words(both=True), NUMBERS),
}
TYPES = {
    "padded": ["causal-conv", "scale", "scale", "gru", "dense"],
    "norms": [
        *("dense", "layer-norm", "lstm", "combine", "scale", "scale", "scale", "scale", "scale"),
        *("combine", "dense", "prelu", "dense", "softmax"),
    ],
    "learned": ["lstm", "lstm", "gru"],
    "words": ["embedding", "lstm", "lstm", "dense"],
    "both ways": ["embedding", "both-ways", "both-ways", "dense"],
}


@functools.cache
def net_of(name: str) -> tuple[nn.Module, Foreign]:
    torch.manual_seed(3)
    make, example = NETS[name]
    module = make().eval()
    return module, from_module(module, example)


def samples(foreign: Foreign, steps: int = STEPS) -> Float32:
    rng = np.random.default_rng(1)
    if foreign.counts:
        return rng.integers(ROWS, size=(steps, 1)).astype(np.float32)
    return rng.standard_normal((steps, F)).astype(np.float32)


def of_module(module: nn.Module, foreign: Foreign, xs: Float32, *, steps_last: bool) -> Any:
    """(T, O) of the module itself in float64, over all steps at once or over whole sequences."""
    net = copy.deepcopy(module).double()
    length = foreign.length or len(xs)
    found = []
    for part in xs.reshape(-1, length, xs.shape[1]):
        x = torch.from_numpy(part[None]).double()
        if foreign.counts:
            x = x[:, :, 0].long()
        with torch.no_grad():
            found.append(net(x.transpose(1, 2) if steps_last else x)[0].numpy())
    return np.concatenate(found)


@pytest.mark.parametrize("name", NETS)
def test_it_is_the_module(name: str) -> None:
    module, foreign = net_of(name)
    if name in TYPES:
        assert [layer.type for layer in foreign.network.layers] == TYPES[name]
    xs = samples(foreign)
    theirs = foreign.original.run(xs)
    last = foreign.network.layers[-1].name
    # Sums of two biases, and constants that are computed, are rounded to float32 in `theirs` too.
    alone = of_module(module, foreign, xs, steps_last=name == "steps last")
    assert np.abs(theirs[last] - alone).max() < 1e-6
    ours = layer_outputs(foreign, xs)
    assert len(theirs) >= len(ours) - 4
    for layer, expected in theirs.items():
        assert np.abs(ours[layer] - expected).max() <= 1e-9, layer
    prove(foreign, xs)


@pytest.mark.parametrize("name", NETS)
def test_numpy_answers_alike(name: str) -> None:
    module, _ = net_of(name)
    net = from_torch(module, NETS[name][1])
    xs = samples(net.foreign)
    expected = net.foreign.original.run(xs)[net.foreign.network.layers[-1].name]
    length = net.foreign.length or STEPS
    backend = numpy_backend(net.spec, net.weights)
    found = np.concatenate([backend.run(part) for part in xs.reshape(-1, length, xs.shape[1])])
    assert np.abs(found - expected).max() <= 1e-5


@pytest.mark.parametrize("name", ["padded", "learned", "both ways"])
def test_it_becomes_a_bundle(name: str, tmp_path: Path) -> None:
    module, _ = net_of(name)
    work = export_run(from_torch(module, NETS[name][1]), tmp_path / "net.edge", schemes=())
    assert not work.left_out.keys() - {"native", "native-fp16", "native-int8"}
    with load(work.out).session("onnx") as session:
        xs, expected = load(work.out).bundle.golden
        rows = slice(WINDOW if name == "both ways" else 100)
        assert np.abs(session.run(xs[rows]) - expected[rows]).max() < 1e-5


def wrongly(foreign: Foreign, weight: str, change: Callable[[Any], Any]) -> Foreign:
    return dataclasses.replace(
        foreign, weights={**foreign.weights, weight: change(foreign.weights[weight])}
    )


def test_wrong_on_purpose() -> None:
    _, conv = net_of("padded")
    xs = samples(conv, 300)
    W = conv.weights["causal-conv0.W"].reshape(3, F, 6)
    backwards = W[::-1].reshape(-1, 6)
    with pytest.raises(ConversionError, match="'conv' is the first part that differs"):
        prove(wrongly(conv, "causal-conv0.W", lambda _: backwards), xs)
    with pytest.raises(ConversionError, match="'norm' is the first part that differs"):
        prove(wrongly(conv, "scale0.a", lambda a: a + 1e-4), xs)
    layers = list(conv.network.layers)
    layers[0] = dataclasses.replace(layers[0], dilation=2)  # type: ignore[call-arg]
    other = dataclasses.replace(
        conv, network=dataclasses.replace(conv.network, layers=tuple(layers))
    )
    with pytest.raises(ConversionError, match="'conv' is the first part that differs"):
        prove(other, xs)
    _, learned = net_of("learned")
    layers = [dataclasses.replace(n, initial=()) for n in learned.network.layers]
    zero = dataclasses.replace(
        learned, network=dataclasses.replace(learned.network, layers=tuple(layers))
    )
    with pytest.raises(ConversionError, match=r"'lstm, layer 1' is the first part that differs"):
        prove(zero, xs)


class Around(nn.Module):
    """A function of x (1, T, F) and the channels (1, F, T) of an LSTM's output."""

    def __init__(self, function: Callable[..., Tensor], **parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.lstm = nn.LSTM(F, F, batch_first=True)
        self.parts = nn.ModuleDict(parts)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, self.lstm(x)[0].transpose(1, 2), **self.parts)


def conv(**options: Any) -> dict[str, nn.Module]:
    return {"conv": nn.Conv1d(F, 4, 5, **options)}


EACH_STEP = torch.arange(7.0)[None, :, None]
REFUSED: dict[str, tuple[Callable[..., Tensor], dict[str, nn.Module], str]] = {
    "symmetric": (
        lambda _, a, conv: conv(a),
        conv(padding=2),
        "'conv1d' reads 2 steps ahead of the one that it answers: delay its answers by 2 steps, "
        "with 4 zeros before the first step and none behind, or it needs whole sequences",
    ),
    "same": (lambda _, a, conv: conv(a), conv(padding="same"), "pads 'same', expected zeros"),
    "no zeros": (
        lambda _, a, conv: conv(a),
        conv(),
        r"reads 4 steps back, and 0 zeros stand before the first step; expected 4: F.pad\(x, "
        r"\(4, 0\)\)",
    ),
    "too many": (lambda _, a, conv: conv(fn.pad(a, (5, 0))), conv(), "and 5 zeros stand before"),
    "behind": (lambda _, a, conv: conv(fn.pad(a, (3, 1))), conv(), "reads as many steps ahead"),
    "not cut": (lambda _, a, conv: torch.relu(conv(a)), conv(padding=4), "reads 4 steps behind"),
    "stride": (lambda _, a, conv: conv(fn.pad(a, (4, 0))), conv(stride=2), "moves by 2 steps"),
    "other pad": (
        lambda _, a, conv: conv(fn.pad(a, (4, 0), mode="replicate")),
        conv(),
        "mode 'replicate'",
    ),
    "features padded": (lambda x, _: fn.pad(x, (1, 0)), {}, "pads an axis that is not the steps"),
    "norm of the steps": (
        lambda _, a, norm: norm(a),
        {"norm": nn.LayerNorm(7)},
        r"normalizes over \[7\], expected the 3 features alone",
    ),
    "group norm": (
        lambda _, a, norm: norm(a),
        {"norm": nn.GroupNorm(1, F)},
        "is a group normalization",
    ),
    "softmax over the steps": (
        lambda _, a: torch.softmax(a, dim=2),
        {},
        "is a softmax over an axis that is not the features",
    ),
    "quotient": (lambda x, a: x / a.transpose(1, 2), {}, "'div' divides by a tensor"),
    "another constant at each step": (
        lambda x, _: x * EACH_STEP,
        {},
        r"constant of the shape \(1, 7, 1\), expected one value for each feature",
    ),
    "one value for all": (lambda x, a: a.transpose(1, 2) * x[..., :1], {}, "parts of unequal size"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str) -> None:
    function, parts, expected = REFUSED[name]
    with pytest.raises(ConversionError, match=expected) as e:
        from_module(Around(function, **parts).eval(), torch.randn(1, 7, F))
    assert "\n" not in str(e.value)


def test_numbers_beyond_the_embedding() -> None:
    module, _ = net_of("words")
    for wrong, shown in ((11.0, "11"), (-1.0, "-1"), (0.5, "0.5")):
        xs = np.zeros((40, 1), np.float32)
        xs[7] = wrong
        with pytest.raises(ConversionError, match=f"value 0 of row 7 is {shown}, expected a whole"):
            from_torch(module, NUMBERS, samples=xs)


def test_too_few_whole_sequences() -> None:
    module, _ = net_of("both ways")
    xs = np.zeros((5 * WINDOW - 1, 1), np.float32)
    with pytest.raises(ConversionError, match=r"has 100 samples, expected 125 or more"):
        from_torch(module, NUMBERS, samples=xs)
