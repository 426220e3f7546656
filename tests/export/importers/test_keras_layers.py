"""Nets of Keras with layers that are not recurrent, and with layers both ways, against Keras."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")  # before Keras is imported
import keras
from keras import layers as kl

from edge_lstm_export.imported import import_net
from edge_lstm_export.importers import Foreign
from edge_lstm_export.importers._proof import layer_outputs, prove
from edge_lstm_export.importers.keras import read
from edge_lstm_runtime.errors import ConversionError

FEATURES = 3
LENGTH = 20  # of a whole sequence
XS = np.random.default_rng(1).normal(size=(100, FEATURES)).astype(np.float32)
NUMBERS = np.random.default_rng(1).integers(9, size=(100, 1)).astype(np.float32)
CLOSE = 1e-5  # float32 sums of other orders
# Keras converts a tensor of PyTorch in NumPy's old way.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def chain(*layers: Any, shape: tuple[int | None, ...] = (None, FEATURES)) -> Any:
    return keras.Sequential([keras.Input(shape), *layers])


def lstm(units: int = 4, **options: Any) -> Any:
    return kl.LSTM(units, return_sequences=True, **options)


def products() -> Any:
    x = keras.Input((None, FEATURES))
    y = lstm(FEATURES)(x)
    gate = kl.Dense(FEATURES, activation="sigmoid")(y)
    z = kl.Multiply()([x, gate, y]) + x * y
    return keras.Model(x, kl.Rescaling(-0.5, 2.0)(keras.ops.multiply(z, z)))


def joined() -> Any:
    """Layers that read several others side by side, and a part that none of them is whole of."""
    x = keras.Input((None, FEATURES))
    both = kl.Concatenate()([lstm(4)(x), x])
    y = kl.BatchNormalization()(kl.LayerNormalization()(both))
    return keras.Model(x, kl.PReLU(shared_axes=[1])(kl.Concatenate()([y, both])))


def both(cell: Any = kl.LSTM, **options: Any) -> Any:
    return kl.Bidirectional(cell(4, return_sequences=True, **options))


NETS: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "softmax": (
        lambda: chain(lstm(), kl.Activation("softmax"), kl.Dense(3, activation="softmax")),
        ["lstm", "softmax", "dense", "softmax"],
    ),
    "softmax, last": (
        lambda: chain(kl.LSTM(4), kl.LayerNormalization(), kl.Dense(3), kl.Softmax()),
        ["lstm", "layer-norm", "dense", "softmax"],
    ),
    "norms": (
        lambda: chain(
            kl.LayerNormalization(center=False),
            lstm(),
            kl.LayerNormalization(scale=False, epsilon=0.1),
            kl.LayerNormalization(axis=2, scale=False, center=False),
            kl.TimeDistributed(kl.LayerNormalization(axis=1)),
            kl.BatchNormalization(axis=2),
        ),
        ["layer-norm", "lstm", *["layer-norm"] * 3],  # the last one takes the factors
    ),
    "batch norms": (
        lambda: chain(kl.BatchNormalization(), lstm(), kl.BatchNormalization(center=False)),
        ["scale", "lstm", "scale"],
    ),
    "slopes": (
        lambda: chain(
            lstm(),
            kl.PReLU(shared_axes=[1]),
            kl.LeakyReLU(negative_slope=0.1),
            kl.PReLU(shared_axes=[1, 2]),
            kl.TimeDistributed(kl.PReLU()),
            kl.Activation("leaky_relu"),
            kl.ReLU(negative_slope=0.5),
        ),
        ["lstm", *["prelu"] * 6],
    ),
    "limits": (
        lambda: chain(
            lstm(),
            kl.ReLU(max_value=0.25),
            kl.Dense(4, activation="relu6"),
            kl.ReLU(max_value=0.5, negative_slope=0.25),
            kl.Activation("hard_sigmoid"),
        ),
        ["lstm", *["scale"] * 3, "dense", *["scale"] * 2, "prelu", *["scale"] * 4],
    ),
    "silu": (
        lambda: chain(kl.Activation("tanh"), lstm(), kl.Dense(3, activation="silu")),
        ["scale", "lstm", "dense", "scale", "combine"],
    ),
    "products": (
        products,
        ["lstm", "dense", "combine", "combine", "combine", "combine", "scale"],
    ),
    "side by side": (joined, ["lstm", "combine", "layer-norm", "combine", "prelu"]),
    "convolutions": (
        lambda: chain(
            kl.Conv1D(4, 3, padding="causal", activation="relu"),
            kl.Conv1D(6, 2, padding="causal", dilation_rate=3, groups=2, use_bias=False),
            kl.Conv1D(5, 1, activation="softmax"),
            kl.ZeroPadding1D((4, 0)),
            kl.Conv1D(3, 3, dilation_rate=2),
            kl.GRU(3, return_sequences=True),
        ),
        ["causal-conv", "causal-conv", "dense", "softmax", "causal-conv", "gru"],
    ),
    "convolutions alone": (
        lambda: chain(kl.Conv1D(4, 3, padding="causal"), kl.Conv1D(2, 4, padding="causal")),
        ["causal-conv", "causal-conv"],
    ),
    "embedding": (
        lambda: chain(kl.Embedding(9, 5), lstm(), shape=(None,)),
        ["embedding", "lstm"],
    ),
    "both ways": (
        lambda: chain(both(), both(kl.GRU), kl.Dense(2), shape=(LENGTH, FEATURES)),
        ["both-ways", "both-ways", "dense"],
    ),
    "both ways, others": (
        lambda: chain(
            kl.Conv1D(3, 2, padding="causal"),
            both(kl.SimpleRNN, activation="relu"),
            both(kl.GRU, reset_after=False),
            lstm(),
            shape=(LENGTH, FEATURES),
        ),
        ["causal-conv", "both-ways", "both-ways", "lstm"],
    ),
    "both ways, numbers": (
        lambda: chain(kl.Embedding(9, 5), both(), shape=(LENGTH,)),
        ["embedding", "both-ways"],
    ),
}


def saved(path: Path, model: Any) -> Path:
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if weight.dtype.startswith("float"):
            drawn = rng.normal(size=weight.shape) * 0.4
            weight.assign(np.abs(drawn) + 0.1 if "variance" in weight.path else drawn)
    model.save(path)
    return path


@functools.cache
def net(name: str, folder: Path) -> tuple[Any, Foreign]:
    """The model that Keras loads, and ours."""
    path = saved(folder / f"{name}.keras", NETS[name][0]())
    return keras.saving.load_model(path), read(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nets")


def inputs(name: str) -> Any:
    return NUMBERS if name in ("embedding", "both ways, numbers") else XS


def ours(foreign: Foreign, xs: Any) -> Any:
    return layer_outputs(foreign, xs)[foreign.network.layers[-1].name]


@pytest.mark.parametrize("name", NETS)
def test_a_net_is_the_same_here(name: str, folder: Path) -> None:
    model, foreign = net(name, folder)
    assert [layer.type for layer in foreign.network.layers] == NETS[name][1]
    xs = inputs(name)
    batch = xs.reshape(-1, foreign.length or len(xs), xs.shape[1])
    y = model(batch[..., 0] if xs is NUMBERS else batch, training=False)
    right = np.asarray(keras.ops.convert_to_numpy(y), np.float64)
    found = ours(foreign, xs)
    y_found = found[-1:] if right.ndim == 2 else found
    assert np.abs(y_found - right.reshape(y_found.shape)).max() <= CLOSE
    # Both are in float64. Only what is folded, and a sum of two biases, is rounded to float32.
    theirs = foreign.original.run(xs)
    assert np.abs(found - theirs[foreign.network.layers[-1].name]).max() <= 5e-7
    prove(foreign, xs)


def test_an_embedding_takes_whole_numbers(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.keras", NETS["embedding"][0]())
    made = import_net(path)
    assert set(np.unique(made.samples)) == set(range(9))
    np.save(tmp_path / "x.npy", np.full((20, 1), 9.0, np.float32))
    with pytest.raises(ConversionError, match="expected a whole number from 0 to 8"):
        import_net(path, tmp_path / "x.npy")


def test_a_net_both_ways_takes_whole_sequences(folder: Path) -> None:
    _, foreign = net("both ways", folder)
    assert foreign.length == LENGTH
    assert foreign.notes == ("The net reads both ways: it takes whole sequences of 20 steps",)


def test_directions_that_are_swapped_are_refused(folder: Path) -> None:
    _, foreign = net("both ways", folder)
    weights = dict(foreign.weights)
    for name in [name for name in weights if ".reverse." in name]:
        forward = name.replace(".reverse.", ".")
        weights[name], weights[forward] = (weights[forward], weights[name])
    with pytest.raises(ConversionError, match=r"'bidirectional.*' is the first part that differs"):
        prove(dataclasses.replace(foreign, weights=weights), XS)


def numbers_of_two() -> Any:
    return chain(kl.Embedding(9, 2, name="table"), lstm(), shape=(None, FEATURES))


def scaled_by_a_number() -> Any:
    x = keras.Input((None, FEATURES))
    return keras.Model(x, lstm()(x) * 0.5)


def averaged_steps() -> Any:
    """An operation of the name of a layer that computes something else."""
    x = keras.Input((5, FEATURES))
    return keras.Model(x, keras.ops.average(lstm()(x), axis=1))


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "look-ahead": (
        lambda: chain(kl.Conv1D(3, 5, padding="same", name="conv"), lstm()),
        "Conv1D 'conv' can't be taken: padding is 'same', so it reads 2 steps ahead of the one",
    ),
    "look-ahead, dilated": (
        lambda: chain(kl.Conv1D(3, 2, padding="same", dilation_rate=3), lstm()),
        "padding is 'same', so it reads 2 steps ahead",
    ),
    "fewer steps": (
        lambda: chain(kl.Conv1D(3, 5, name="conv"), lstm()),
        "reads 4 steps back, and 0 zeros stand before .*; expected 4: padding='causal'",
    ),
    "too few zeros": (
        lambda: chain(kl.ZeroPadding1D((2, 0)), kl.Conv1D(3, 5), lstm()),
        "it reads 4 steps back, and 2 zeros stand before the first step",
    ),
    "zeros behind": (
        lambda: chain(kl.ZeroPadding1D((2, 1)), kl.Conv1D(3, 4), lstm()),
        "it pads 1 steps behind the last one",
    ),
    "zeros for others": (
        lambda: chain(kl.ZeroPadding1D((2, 0)), lstm()),
        "it reads padded steps, expected a Conv1D after a ZeroPadding1D",
    ),
    "strides": (lambda: chain(kl.Conv1D(3, 2, 2), lstm()), r"strides is \[2\], expected \[1\]"),
    "slopes": (
        lambda: chain(lstm(), kl.PReLU(name="p"), shape=(5, FEATURES)),
        r"PReLU 'p' can't be taken: it has other slopes at each step; expected shared_axes=\[1\]",
    ),
    "threshold": (lambda: chain(lstm(), kl.ReLU(threshold=1.0)), "threshold is 1, expected 0"),
    "axis": (
        lambda: chain(lstm(), kl.Softmax(axis=1), shape=(5, FEATURES)),
        "axis is 1, expected -1, the features",
    ),
    "axes": (
        lambda: chain(lstm(), kl.LayerNormalization(axis=[1, 2]), shape=(5, FEATURES)),
        r"axis is \[1, 2\], expected -1",
    ),
    "activation": (
        lambda: chain(lstm(), kl.Dense(2, activation="elu", name="head")),
        "Dense 'head' can't be taken: activation is 'elu', expected one of linear, tanh, relu, "
        "sigmoid, softmax",
    ),
    "a number": (scaled_by_a_number, "it computes with the number 0.5; expected a layer Rescaling"),
    "an average": (averaged_steps, "Average '.*' can't be taken: it is an operation of keras.ops"),
    "a mask": (
        lambda: chain(kl.Embedding(9, 2, mask_zero=True), lstm(), shape=(None,)),
        "mask_zero is True: it skips steps",
    ),
    "numbers without a table": (
        lambda: chain(kl.Dense(2), shape=(FEATURES,)),
        "it reads one number at each step",
    ),
    "merged": (
        lambda: chain(kl.Bidirectional(lstm(), merge_mode="sum"), shape=(5, FEATURES)),
        "merge_mode is 'sum', expected 'concat'",
    ),
    "an open length": (
        lambda: chain(both()),
        "needs whole sequences of a fixed length, and has an open number of steps",
    ),
    "both ends": (
        lambda: chain(kl.Bidirectional(kl.LSTM(3)), shape=(5, FEATURES)),
        "it answers with the last step of one direction and the first step of the other",
    ),
    "pooled": (
        lambda: chain(kl.MaxPooling1D(2, name="pool"), lstm()),
        "MaxPooling1D 'pool' can't be taken: it makes one step of several",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    build, match = REFUSED[name]
    path = saved(tmp_path / "net.keras", build())
    with pytest.raises(ConversionError, match=match) as caught:
        import_net(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
