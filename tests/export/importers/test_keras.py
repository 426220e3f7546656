"""Nets of Keras, made here, against a model that Keras itself loads."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")  # before Keras is imported
import h5py
import keras
from keras import layers as kl

import edge_lstm_runtime as rt
from edge_lstm_export import export_run
from edge_lstm_export.imported import Imported, import_net
from edge_lstm_export.importers import Foreign
from edge_lstm_export.importers._proof import layer_outputs, prove
from edge_lstm_export.importers.keras import read
from edge_lstm_runtime.errors import ConversionError

FEATURES = 3
XS = np.random.default_rng(1).normal(size=(100, FEATURES)).astype(np.float32)
CLOSE = 1e-5  # float32 sums of other orders
WEIGHTS = "model.weights.h5"
# Keras converts a tensor of PyTorch in NumPy's old way.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def input_() -> Any:
    return keras.Input((None, FEATURES), name="x")


def chain(*layers: Any, shape: tuple[int | None, ...] = (None, FEATURES)) -> Any:
    return keras.Sequential([keras.Input(shape), *layers])


def steps(**options: Any) -> dict[str, Any]:
    return {"return_sequences": True, **options}


def branches() -> Any:
    x = input_()
    a = kl.LSTM(4, **steps(name="left"))(x)
    b = kl.GRU(5, **steps(name="right"))(kl.Dense(4, activation="relu")(x))
    both = kl.Concatenate()([a, b, x])
    c = kl.LSTM(4, **steps())(both)
    total = kl.Add()([a, c, kl.Dense(4)(b)])
    y = kl.TimeDistributed(kl.Dense(2, activation="sigmoid"))(kl.Dropout(0.5)(total))
    return keras.Model(x, y)


def operators() -> Any:
    x = input_()
    a = kl.LSTM(4, **steps())(x)
    b = kl.SimpleRNN(4, **steps(activation="relu"))(x)
    mean = kl.Average()([a + b, b - a])
    return keras.Model(x, kl.Concatenate(axis=2)([mean, kl.ReLU()(a)]))


def nested() -> Any:
    inner = chain(kl.LSTM(4, **steps()), kl.Dense(3), shape=(None, 5))
    x = input_()
    shared = kl.Dense(5, activation="tanh")
    y = inner(shared(kl.GRU(FEATURES, **steps())(x)))
    return keras.Model(x, [kl.Dense(2)(kl.Concatenate()([y, shared(x)])), y])


NETS: dict[str, Callable[[], Any]] = {
    "lstm": lambda: chain(kl.LSTM(5, **steps(dropout=0.2)), kl.Dense(2)),
    "gru": lambda: chain(kl.GRU(5, **steps(unroll=False)), kl.Dense(2, activation="tanh")),
    "gru, reset before": lambda: chain(kl.GRU(5, **steps(reset_after=False)), kl.Dense(2)),
    "rnn": lambda: chain(kl.SimpleRNN(5, **steps()), kl.SimpleRNN(4, **steps(activation="relu"))),
    "no bias": lambda: chain(
        kl.LSTM(4, **steps(use_bias=False)),
        kl.GRU(4, **steps(use_bias=False)),
        kl.Dense(2, use_bias=False),
        kl.Activation("sigmoid"),
    ),
    "cell": lambda: chain(kl.RNN(kl.LSTMCell(4), **steps()), kl.SpatialDropout1D(0.1)),
    "cells": lambda: chain(
        kl.RNN([kl.LSTMCell(4), kl.GRUCell(3), kl.LSTMCell(2)], **steps()), kl.Dense(1)
    ),
    "normalized": lambda: chain(
        kl.BatchNormalization(),
        kl.LSTM(4, **steps()),
        kl.Dense(3),
        kl.BatchNormalization(scale=False),
    ),
    "branches": branches,
    "operators": operators,
    "nested": nested,
    "mixed precision": lambda: chain(kl.LSTM(4, **steps(dtype="mixed_float16")), kl.Dense(2)),
    "double": lambda: chain(kl.LSTM(4, **steps(dtype="float64")), kl.Dense(2, dtype="float64")),
}


def saved(path: Path, model: Any) -> Path:
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if weight.dtype.startswith("float"):
            positive = "variance" in weight.path
            drawn = rng.normal(size=weight.shape) * 0.4
            weight.assign(np.abs(drawn) + 0.1 if positive else drawn)
    model.save(path)
    return path


def expected(path: Path, xs: Any = XS) -> Any:
    """(T, O) of the model that Keras loads, in float32."""
    model = keras.saving.load_model(path)
    y = model(xs[None], training=False)
    first = y[0] if isinstance(y, list) else y
    return np.asarray(keras.ops.convert_to_numpy(first)[0], np.float64)


def imported(path: Path) -> Imported:
    np.save(path.with_suffix(".npy"), XS)
    return import_net(path, path.with_suffix(".npy"))


def ours(foreign: Foreign, xs: Any = XS) -> Any:
    return layer_outputs(foreign, xs)[foreign.network.layers[-1].name]


@pytest.mark.parametrize("name", NETS)
def test_a_net_is_the_same_here(name: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "net.keras", NETS[name]())
    foreign = read(path)
    limit = 5e-3 if name == "mixed precision" else CLOSE  # float16 steps; they add up
    found = layer_outputs(foreign, XS)
    last = foreign.network.layers[-1].name
    assert np.abs(found[last] - expected(path)).max() <= limit
    # Both are in float64. Only what is folded, and a sum of two biases, is rounded to float32.
    right = foreign.original.run(XS)
    assert last in right
    for layer, y in found.items():
        if layer in right:
            assert np.abs(y - right[layer]).max() <= 5e-7


def test_layers_are_named_as_in_the_file(tmp_path: Path) -> None:
    foreign = read(saved(tmp_path / "net.keras", branches()))
    layers = [(layer.name, layer.inputs) for layer in foreign.network.layers]
    assert layers == [
        ("dense0", ("x",)),
        ("lstm1", ("x",)),
        ("gru2", ("dense0",)),
        ("lstm3", ("lstm1", "gru2", "x")),
        ("dense4", ("gru2",)),
        ("combine5", ("lstm1", "lstm3", "dense4")),
        ("dense6", ("combine5",)),
    ]
    assert (foreign.nodes["lstm1"], foreign.nodes["gru2"]) == ("left", "right")
    assert foreign.original.run(XS[:9]).keys() == {layer for layer, _ in layers}


@pytest.mark.slow
def test_a_bundle_of_a_net(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.keras", NETS["lstm"]())
    work = export_run(imported(path), tmp_path / "net.edge", schemes=())
    assert not work.left_out
    assert not work.doubts
    model = rt.load(tmp_path / "net.edge")
    assert rt.check_backend(model.bundle, "numpy").passed
    with model.session("numpy") as session:
        assert np.abs(session.run(XS) - expected(path)).max() <= CLOSE


@pytest.mark.parametrize("window", [None, 28])
def test_a_net_that_answers_at_the_end_answers_at_each_step(
    window: int | None, tmp_path: Path
) -> None:
    model = chain(kl.LSTM(6, **steps()), kl.GRU(5), kl.Dense(2), shape=(window, FEATURES))
    path = saved(tmp_path / "net.keras", model)
    foreign = imported(path).foreign
    assert foreign.notes[0].startswith("The file answers after its last step alone")
    found = ours(foreign)
    for count in (window,) if window else (1, 17, 100):
        assert np.abs(found[count - 1] - expected(path, XS[:count])).max() <= CLOSE


def test_a_stateful_net_goes_on_from_call_to_call(tmp_path: Path) -> None:
    layers = (kl.LSTM(6, **steps(stateful=True)), kl.GRU(5, **steps(stateful=True)))
    model = keras.Sequential([keras.Input(batch_shape=(4, 7, FEATURES)), *layers, kl.Dense(2)])
    path = saved(tmp_path / "net.keras", model)
    foreign = imported(path).foreign
    assert foreign.notes[0] == "The file takes 4 streams at once, and here it is 1"
    loaded = keras.saving.load_model(path)
    four = np.random.default_rng(2).normal(size=(4, 70, FEATURES)).astype(np.float32)
    pieces = [
        keras.ops.convert_to_numpy(loaded(four[:, k : k + 7], training=False))
        for k in range(0, 70, 7)
    ]
    right = np.concatenate(pieces, axis=1)
    for row in range(4):
        assert np.abs(ours(foreign, four[row]) - right[row]).max() <= CLOSE


# --- a wrong import is refused ---


def gates(foreign: Foreign, order: tuple[int, ...]) -> Foreign:
    weights = {
        name: np.concatenate([np.split(w, len(order), axis=-1)[k] for k in order], axis=-1)
        if name.startswith(("lstm0.", "gru0."))
        else w
        for name, w in foreign.weights.items()
    }
    return dataclasses.replace(foreign, weights=weights)


def transposed(foreign: Foreign) -> Foreign:
    W = np.split(foreign.weights["lstm0.W_h"], 4, axis=1)
    turned = np.concatenate([block.T for block in W], axis=1)
    return dataclasses.replace(foreign, weights={**foreign.weights, "lstm0.W_h": turned})


def no_state(foreign: Foreign) -> Foreign:
    class Forgetful:
        tool = foreign.original.tool
        double = True

        def run(self, xs: Any) -> Any:
            found = [foreign.original.run(x[None]) for x in xs[:20]]
            found += [foreign.original.run(xs[20:])]
            return {name: np.concatenate([f[name] for f in found]) for name in found[0]}

    return dataclasses.replace(foreign, original=Forgetful())


@pytest.mark.parametrize(
    "change",
    [transposed, no_state, *(lambda f, o=o: gates(f, o) for o in ((0, 2, 1, 3), (0, 1, 3, 2)))],
)
def test_a_wrong_lstm_is_refused(change: Callable[[Foreign], Foreign], tmp_path: Path) -> None:
    foreign = read(saved(tmp_path / "net.keras", chain(kl.LSTM(5, **steps(name="first")))))
    prove(foreign, XS)
    with pytest.raises(ConversionError, match="'first' is the first part that differs from Keras"):
        prove(change(foreign), XS)


def test_another_place_of_the_reset_gate_is_refused(tmp_path: Path) -> None:
    """The option is flipped in the file, where the weights fit both without biases."""
    path = saved(tmp_path / "net.keras", chain(kl.GRU(5, **steps(use_bias=False, name="gru"))))
    after = read(path)
    other = changed(path, lambda config: config["layers"][1]["config"].update(reset_after=False))
    before = read(other)
    for one, two in ((after, before), (before, after)):
        prove(one, XS)
        with pytest.raises(ConversionError, match="'gru' is the first part that differs"):
            prove(dataclasses.replace(one, original=two.original), XS)


def test_the_model_as_it_is_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only the one that answers at each step."""
    original: Any = read(saved(tmp_path / "net.keras", chain(kl.LSTM(5)))).original
    right = original.run(XS[:20])
    monkeypatch.setattr(type(original), "_run", lambda *_: {n: y + 1e-6 for n, y in right.items()})
    original._compared = False
    with pytest.raises(
        ConversionError, match=r"the model as it is and .* differ by 1e-06 in Keras"
    ):
        original.run(XS[:20])


# --- what is refused ---


def changed(
    path: Path,
    change: Callable[[Any], object] | None = None,
    members: dict[str, bytes] | None = None,
) -> Path:
    """The file with another configuration, or other members."""
    with zipfile.ZipFile(path) as source:
        found = {name: source.read(name) for name in source.namelist()}
    if change:
        config = json.loads(found["config.json"])
        change(config["config"])
        found["config.json"] = json.dumps(config).encode()
    found |= members or {}
    target = path.with_name("changed.keras")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in found.items():
            out.writestr(name, content)
    return target


def refused(path: Path, match: str) -> None:
    with pytest.raises(ConversionError, match=match) as caught:
        import_net(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def several() -> Any:
    x = input_()
    y = kl.Lambda(lambda v: v * 2, name="code")(x)
    return keras.Model(x, kl.LSTM(3, name="last")(kl.Masking(name="skip")(y)))


def given_state() -> Any:
    x = input_()
    _, h, c = kl.LSTM(4, return_state=True)(x)
    return keras.Model(x, kl.LSTM(4, name="second")(x, initial_state=[h, c]))


def its_state() -> Any:
    x = input_()
    _, h, _ = kl.LSTM(4, return_state=True, name="first")(x)
    return keras.Model(x, kl.Dense(2, name="head")(h))


def two_inputs() -> Any:
    x, z = (keras.Input((None, FEATURES)) for _ in range(2))
    return keras.Model([x, z], kl.LSTM(4)(kl.Add()([x, z])))


def mixed_steps() -> Any:
    x = input_()
    y = kl.LSTM(4, name="last")(x)
    return keras.Model(x, kl.Add(name="sum")([kl.LSTM(4, **steps())(x), y]))


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "several": (
        several,
        "Lambda 'code' can't be taken: "
        "it holds code, which is never run; .*Masking 'skip' can't be taken: it skips steps",
    ),
    "hard sigmoid": (
        lambda: chain(kl.LSTM(3, name="a", recurrent_activation="hard_sigmoid")),
        "LSTM 'a' can't be taken: recurrent_activation is 'hard_sigmoid', expected 'sigmoid'",
    ),
    "relu": (lambda: chain(kl.GRU(3, activation="relu")), "activation is 'relu', expected 'tanh'"),
    "backwards": (lambda: chain(kl.LSTM(3, go_backwards=True)), "go_backwards needs the whole"),
    "no state": (lambda: chain(kl.Dense(3)), "no layer of it has a state"),
    "pooled": (
        lambda: chain(kl.LSTM(3, **steps()), kl.GlobalAveragePooling1D(name="mean")),
        "GlobalAveragePooling1D 'mean' can't be taken: it needs the whole sequence at once",
    ),
    "no layer": (
        lambda: chain(kl.GroupNormalization(1, name="groups"), kl.LSTM(3)),
        "GroupNormalization 'groups' can't be taken: there is no layer for it",
    ),
    "an image": (
        lambda: keras.Sequential([keras.Input((8, 8, 1)), kl.Dense(2)]),
        r"has the shape \(None, 8, 8, 1\), expected \(batch, steps, features\)",
    ),
    "a given state": (given_state, "LSTM 'second' can't be taken: it is called with"),
    "its state": (its_state, "the layers 'head' read a state"),
    "two inputs": (two_inputs, "has 2 inputs, expected 1"),
    "mixed steps": (mixed_steps, "Add 'sum' can't be taken: it reads all steps, and the last one"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    build, match = REFUSED[name]
    refused(saved(tmp_path / "net.keras", build()), match)


@keras.saving.register_keras_serializable(package="mine")
class Own(keras.Model):  # type: ignore[misc]
    def call(self, x: Any) -> Any:
        return x


@keras.saving.register_keras_serializable(package="mine")
class Twice(kl.Layer):  # type: ignore[misc]
    def call(self, x: Any) -> Any:
        return 2 * x


def test_classes_of_ones_own_are_refused(tmp_path: Path) -> None:
    own = Own(name="own")
    own.build((None, None, FEATURES))
    own.save(tmp_path / "own.keras")
    refused(tmp_path / "own.keras", "the model is of the class 'Own', whose code is not in the")
    path = saved(tmp_path / "net.keras", chain(Twice(name="x2"), kl.LSTM(3)))
    refused(path, "Twice 'x2' can't be taken: it is of a class of your own")


@pytest.mark.parametrize("place", ["activation", "recurrent_activation", "units", "name"])
def test_an_object_in_place_of_a_value_is_not_made(place: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "net.keras", chain(kl.LSTM(3)))
    code = {"module": "os", "class_name": "function", "config": "system", "registered_name": "x"}
    file = changed(path, lambda c: c["layers"][1]["config"].__setitem__(place, code))
    with pytest.raises(ConversionError):
        import_net(file)


def test_what_is_not_known_is_left_out(tmp_path: Path) -> None:
    """Keras would import the module of an initializer, and run a layer's build_config."""
    path = saved(tmp_path / "net.keras", chain(kl.LSTM(3)))
    evil: dict[str, Any] = {
        "module": "this",
        "class_name": "s",
        "config": {},
        "registered_name": None,
    }

    def change(config: Any) -> None:
        config["layers"][1]["module"] = "antigravity"
        config["layers"][1]["config"]["kernel_initializer"] = evil
        config["layers"][1]["build_config"] = evil

    foreign = imported(changed(path, change)).foreign
    assert np.abs(ours(foreign)[-1] - expected(path)).max() <= CLOSE


# --- damaged files ---


def h5_with(change: Callable[[Any], object]) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        change(file)
    return buffer.getvalue()


def lstm_weights(file: Any, W: Any, **options: Any) -> None:
    group = file.create_group("layers/lstm/cell/vars")
    group.create_dataset("0", data=W, **options)
    group["1"] = np.zeros((3, 12), np.float32)
    group["2"] = np.zeros(12, np.float32)


def linked(file: Any) -> None:
    lstm_weights(file, np.zeros((3, 12), np.float32))
    del file["layers/lstm/cell/vars/1"]
    file["layers/lstm/cell/vars/1"] = h5py.ExternalLink("other.h5", "/secret")


def huge(file: Any) -> None:
    group = file.create_group("layers/lstm/cell/vars")
    group.create_dataset("0", shape=(1 << 30, 1 << 10), dtype="f4", chunks=(1 << 10, 1 << 10))


NAN = np.full((3, 12), np.nan, np.float32)
H5: dict[str, tuple[Callable[[Any], object], str]] = {
    "NaN": (lambda f: lstm_weights(f, NAN), "LSTM 'lstm' can't be taken: its weights have NaN"),
    "a wrong shape": (
        lambda f: lstm_weights(f, np.zeros((4, 12), np.float32)),
        r"LSTM 'lstm' can't be taken: its weights have the shapes \[\(4, 12\), \(3, 12\)",
    ),
    "text": (
        lambda f: lstm_weights(f, np.array([b"a"] * 3)),
        "LSTM 'lstm' can't be taken: its weights have the shapes",
    ),
    "empty": (lambda f: f.flush(), "it has no weights of its own in the file"),
    "a link": (linked, "'layers/lstm/cell/vars/1' is a link to another place"),
    "huge": (huge, "unpacks to more than is taken"),
}


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("net") / "net.keras", chain(kl.LSTM(3, name="lstm")))


@pytest.mark.parametrize("name", H5)
def test_weights_that_are_damaged_are_refused(name: str, net: Path) -> None:
    change, match = H5[name]
    refused(changed(net, members={WEIGHTS: h5_with(change)}), match)


def test_a_zip_that_is_no_net_is_refused(net: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.keras"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    refused(path, "can't be read: File is not a zip file")
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("a.txt", "a")
    refused(path, "has no member 'config.json'; expected what model.save")
    refused(changed(net, members={"config.json": b"{"}), "config.json can't be read")
    for values in ("[]", "{}", "1", '{"class_name": "Sequential", "config": {}}'):
        refused(changed(net, members={"config.json": values.encode()}), "config.json is malformed")
    deep = b"[" * 100_000
    refused(changed(net, members={"config.json": deep}), "config.json can't be read")


@pytest.mark.parametrize("name", ["old.h5", "net.weights.h5", "old.HDF5"])
def test_an_older_file_is_answered_with_what_to_do(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"")
    refused(tmp_path / name, r"is a file of Keras 2, or of weights alone\. Load it")


def test_a_bomb_is_refused(net: Path) -> None:
    bomb = changed(net, members={"config.json": bytes((1 << 26) + 1)})
    assert bomb.stat().st_size < 1 << 18
    refused(bomb, "config.json is larger than 64 MiB")


def test_without_keras_a_line_says_how_to_get_it(
    net: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    refused(net, r'a .keras file needs Keras; pip install "edge-lstm\[keras\]"')


def attempt(path: Path) -> None:
    """It is read, or refused."""
    try:
        foreign = read(path)
        if all(np.isfinite(w).all() for w in foreign.weights.values()):
            foreign.original.run(XS[:10])
    except ConversionError as e:
        said = str(e)
    else:
        said = ""
    assert "\n" not in said


def test_a_cut_off_file_is_refused(net: Path, tmp_path: Path) -> None:
    content = net.read_bytes()
    path = tmp_path / "cut.keras"
    for size in np.linspace(0, len(content) - 1, 40, dtype=int):
        path.write_bytes(content[:size])
        refused(path, "can't be read")


@pytest.mark.parametrize("member", ["config.json", WEIGHTS])
def test_altered_bytes_never_end_in_another_error(member: str, net: Path) -> None:
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(net) as source:
        content = source.read(member)
    for _ in range(40):
        altered = bytearray(content)
        for place in rng.integers(len(content), size=rng.integers(1, 5)):
            altered[place] = rng.integers(256)
        attempt(changed(net, members={member: bytes(altered)}))
    for size in range(0, len(content), len(content) // 12):
        attempt(changed(net, members={member: content[:size]}))
