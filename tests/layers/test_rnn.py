"""RNN with tanh and with relu. PyTorch is the judge."""

from __future__ import annotations

import functools

import pytest
import torch

from helpers import layers
from helpers.arrays import Array, Weights
from helpers.layers import Kind


def by_torch(nonlinearity: str, weights: Weights, x: Array) -> Array:
    rnn = torch.nn.RNN(
        x.shape[1],
        len(weights["W_h"]),
        nonlinearity=nonlinearity,
        dtype=torch.float64,
    )
    arrays = (weights["W_x"].T, weights["W_h"].T, weights["b"], 0 * weights["b"])
    with torch.inference_mode():
        for parameter, array in zip(rnn.parameters(), arrays, strict=True):
            parameter.copy_(torch.from_numpy(array.copy()))
        found: Array = rnn(torch.from_numpy(x.copy()))[0].numpy()
    return found


TANH, RELU = (
    Kind({"type": "rnn", "activation": name}, functools.partial(by_torch, name))
    for name in ("tanh", "relu")
)
both = pytest.mark.parametrize("kind", [TANH, RELU], ids=["tanh", "relu"])


@both
def test_backends(kind: Kind) -> None:
    layers.check_backends(kind)


@both
def test_streams(kind: Kind) -> None:
    layers.check_streams(kind)


def test_drift() -> None:
    layers.check_drift(TANH)


@both
def test_both_ways(kind: Kind) -> None:
    layers.check_both_ways(kind)


@both
def test_module(kind: Kind) -> None:
    layers.check_module(kind)


@both
def test_joined(kind: Kind) -> None:
    layers.check_joined(kind)


def test_cpu_int8() -> None:
    layers.check_cpu_int8(TANH, 3e-2)


def test_npu_int8() -> None:
    layers.check_npu_int8(TANH, 3e-2)


def test_refused() -> None:
    layers.check_refused(
        TANH,
        "activation",
        "sigmoid",
        "network: layer 'r0': activation is 'sigmoid', expected one of 'tanh', 'relu'",
    )
