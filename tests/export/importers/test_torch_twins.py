"""Nodes that are nearly alike, and values that a node changes for another one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as fn
from torch import Tensor, nn

from edge_lstm_export.importers._proof import layer_outputs, prove
from edge_lstm_export.importers.torch import from_module
from edge_lstm_runtime import ConversionError

F = 3
UNITS = 4


class Net(nn.Module):
    """A GRU, and what a function makes of its outputs y (1, T, UNITS)."""

    def __init__(self, after: Callable[[Net, Tensor], Tensor | tuple[Tensor, ...]]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.after = after
        self.gru = nn.GRU(F, UNITS, batch_first=True)
        self.W = nn.Parameter(torch.randn(UNITS, UNITS))
        self.kernel = nn.Parameter(torch.randn(UNITS, UNITS, 2))
        self.b = nn.Parameter(torch.randn(UNITS))

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        return self.after(self, self.gru(x)[0])


def conv(net: Net, y: Tensor, dilation: int) -> Tensor:
    past = fn.pad(y.transpose(1, 2), (dilation, 0))
    return fn.conv1d(past, net.kernel, dilation=dilation).transpose(1, 2)


def second(first: Tensor, answer: Tensor) -> tuple[Tensor, Tensor]:
    """The answer is the one that was computed last."""
    return answer, first


def through_view(y: Tensor) -> Tensor:
    """y, of which a part is doubled by another view of it."""
    y[:, :, :2].mul_(2.0)
    return y


def transposed(y: Tensor) -> Tensor:
    """A view that is made before y is changed."""
    view = y.transpose(1, 2)
    y.relu_()
    return view


def dropped(y: Tensor) -> Tensor:
    """Dropout hands its input on, which is then changed."""
    fn.dropout(y, 0.5, training=False).mul_(3.0)
    return y


TAKEN: dict[str, Callable[[Net, Tensor], Tensor | tuple[Tensor, ...]]] = {
    "a matrix and its transpose": lambda n, y: second(fn.linear(y, n.W), y @ n.W),
    "both of them": lambda n, y: fn.linear(y, n.W) * (y @ n.W),
    "two biases": lambda n, y: second(
        torch.addmm(n.b, y[0], n.W), torch.addmm(torch.exp(n.b), y[0], n.W)
    ),
    "two epsilons": lambda _, y: second(
        fn.layer_norm(y, (UNITS,)), fn.layer_norm(y, (UNITS,), eps=0.1)
    ),
    "two dilations": lambda n, y: second(conv(n, y, 1), conv(n, y, 2)),
    "dropout is the same memory": lambda _, y: dropped(y),
    "a copy in place": lambda _, y: torch.cat([y.clone().relu_(), y], -1),
    "each second feature": lambda _, y: y[:, :, 1::2],
    "single features": lambda _, y: y[:, :, 0].unsqueeze(-1) * y.unbind(-1)[2].unsqueeze(-1),
    "whole numbers of a constant": lambda n, y: y * (3 * n.b).long(),
    "a rounded constant": lambda n, y: y * n.b.half().float(),
}


def by_module(net: Net, xs: np.ndarray) -> np.ndarray:
    """(T, O) of the module itself, over all steps at once."""
    with torch.no_grad():
        y = net(torch.from_numpy(xs)[None])
    return (y[0] if isinstance(y, tuple) else y).reshape(len(xs), -1).numpy()


def samples() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((17, F)).astype(np.float32)


@pytest.mark.parametrize("name", TAKEN)
def test_it_is_the_module(name: str) -> None:
    net = Net(TAKEN[name]).eval()
    foreign = from_module(net, torch.randn(1, 5, F))
    xs = samples()
    expected = by_module(net, xs)
    assert np.abs(prove(foreign, xs) - expected).max() <= 1e-5
    ours = layer_outputs(foreign, xs)[foreign.network.layers[-1].name]
    assert np.abs(ours - expected).max() <= 1e-5


REFUSED: dict[str, tuple[Callable[[Net, Tensor], Tensor], str]] = {
    "a part in place": (lambda _, y: through_view(y), "changes 'getitem' in place, another view"),
    "a view in place": (
        lambda _, y: (y.transpose(1, 2).relu_(), y)[1],
        "changes 'getitem' in place, another view",
    ),
    "a view made before": (
        lambda _, y: transposed(y),
        "changes 'transpose' in place, another view",
    ),
    "half": (lambda _, y: y.half().float(), "rounds to float16"),
    "whole numbers": (lambda _, y: (5 * y).long().float(), "rounds to int64"),
    "a floor": (lambda _, y: torch.div(y, 0.3, rounding_mode="floor"), "rounds what it divides"),
    "more axes": (lambda _, y: (y + torch.ones(1, 1, 1, 1))[0], "a constant of the shape"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str) -> None:
    after, expected = REFUSED[name]
    with pytest.raises(ConversionError, match=expected):
        from_module(Net(after).eval(), torch.randn(1, 5, F))


class Mixed(nn.Module):
    """Both ways, a convolution, one way: whole sequences, each from its own start."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv1d(F, F, 2)
        self.both = nn.GRU(F, UNITS, batch_first=True, bidirectional=True)
        self.lstm = nn.LSTM(2 * UNITS, UNITS, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(fn.pad(x.transpose(1, 2), (1, 0))).transpose(1, 2)
        return self.lstm(self.both(y)[0])[0]


def test_one_way_after_both_ways() -> None:
    net = Mixed().eval()
    foreign = from_module(net, torch.randn(1, 5, F))
    xs = np.random.default_rng(1).standard_normal((300, F)).astype(np.float32)
    with torch.no_grad():
        expected = net(torch.from_numpy(xs.reshape(60, 5, F))).reshape(300, -1).numpy()
    assert np.abs(prove(foreign, xs) - expected).max() <= 1e-5
