"""Specifications of small models, and samples for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import edge_lstm_runtime as rt
from edge_lstm_runtime.inputs.channels import Channels, Missing
from edge_lstm_runtime.inputs.characters import Characters
from edge_lstm_runtime.layers import Layer, recurrent_types
from edge_lstm_runtime.layers.both_ways import BothWays
from edge_lstm_runtime.layers.dense import Dense
from edge_lstm_runtime.layers.lstm import Lstm
from edge_lstm_runtime.model.network import Network, network_from
from edge_lstm_runtime.tasks import Answer
from edge_lstm_runtime.tasks.classify import Classify
from edge_lstm_runtime.tasks.forecast import Forecast
from edge_lstm_runtime.tasks.language import Language

# The layer types that `edge-lstm compare` trains beside each other, as far as there are any.
PEERS = [kind for kind in ("lstm", "gru", "rnn") if kind in recurrent_types()]


def chain(
    features: int, hidden: int, layers: int, outputs: int, *, bidirectional: bool = False
) -> Network:
    """LSTM layers "lstm0", "lstm1" and so on, of one size, and a dense "head"."""

    def lstm(k: int) -> Layer:
        name = f"lstm{k}"
        inputs = (f"lstm{k - 1}" if k else "x",)
        layer = Lstm(name, inputs, hidden)
        return BothWays(name, inputs, layer) if bidirectional else layer

    head = Dense("head", (f"lstm{layers - 1}",), outputs)
    return Network(features, (*map(lstm, range(layers)), head))


def one_layer_spec(kind: str, head: str = "none", **options: Any) -> rt.ModelSpec:
    """A layer "r0" of 13 units and a dense head of 3, on 3 channels. head: its activation.

    options: keys of the type.
    """
    layers = [
        {"type": kind, "name": "r0", "inputs": ["x"], "units": 13, **options},
        {"type": "dense", "name": "head", "inputs": ["r0"], "units": 3, "activation": head},
    ]
    return dataclasses.replace(plain_spec(1, 8), network=network_from(3, layers))


def normed_spec(kind: str, **options: Any) -> rt.ModelSpec:
    """As `one_layer_spec`, with a layer normalization and a PReLU before the head."""
    spec = one_layer_spec(kind, **options)
    first, head = (layer.to_dict() for layer in spec.network.layers)
    layers = [
        first,
        {"type": "layer-norm", "name": "norm", "inputs": ["r0"]},
        {"type": "prelu", "name": "bent", "inputs": ["norm"]},
        {**head, "inputs": ["bent"]},
    ]
    return dataclasses.replace(spec, network=network_from(3, layers))


def mixed_spec() -> rt.ModelSpec:
    """Layers of unequal sizes with skips and activations, dense ones before, between and behind."""
    layers = (
        Dense("before", ("x",), 10, "tanh"),
        Lstm("first", ("before",), 19),
        Lstm("second", ("first",), 6),
        Dense("between", ("second", "x"), 9, "relu"),
        Dense("head", ("between", "first"), 3, "sigmoid"),
    )
    inputs = Channels(("a", "b", "c", "d"), (0.0,) * 4, (1.0,) * 4)
    return rt.ModelSpec(inputs, Network(4, layers), Classify(("u", "v", "w")))


def make_spec(  # noqa: PLR0913 - a factory: each test names the few that matter to it
    *,
    task: str = "classify",
    channels: int | Sequence[str] = 3,
    hidden: int = 8,
    layers: int = 1,
    outputs: int = 4,
    missing: Missing = "refuse",
    residual: bool = False,
    targets: Sequence[str] = (),
    bidirectional: bool = False,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> rt.ModelSpec:
    """outputs: the number of classes, or the horizon of a forecast.

    targets: of a forecast. If none is given, the first channel and, if there is one, the second.
    """
    names = (
        tuple(f"ch{k}" for k in range(channels)) if isinstance(channels, int) else tuple(channels)
    )
    inputs = Channels(
        names,
        tuple(mean) if mean is not None else tuple(0.5 * k - 1.0 for k in range(len(names))),
        tuple(std) if std is not None else tuple(1.0 + 0.25 * k for k in range(len(names))),
        missing=missing,
    )
    answer: Answer
    if task == "classify":
        answer = Classify(tuple(f"class{k}" for k in range(outputs)))
    else:
        targets = tuple(targets) or names[:2]
        size = outputs * len(targets)
        answer = Forecast(
            targets,
            horizon=outputs,
            offset=tuple(0.1 * k for k in range(size)),
            scale=tuple(1.0 + 0.5 * k for k in range(size)),
            residual=residual,
        )
    network = chain(inputs.feature_size, hidden, layers, answer.size, bidirectional=bidirectional)
    return rt.ModelSpec(inputs, network, answer)


def language_spec(characters: Sequence[str], *, hidden: int, layers: int = 1) -> rt.ModelSpec:
    known = tuple(characters)
    network = chain(len(known), hidden, layers, len(known))
    return rt.ModelSpec(Characters(known), network, Language(known))


def changed(spec: rt.ModelSpec, **changes: Any) -> rt.ModelSpec:
    """With other fields of its inputs or its answer, and a network that goes with them."""

    def part(of: Any) -> Any:
        own = {f.name for f in dataclasses.fields(of)}.intersection(changes)
        return dataclasses.replace(of, **{name: changes.pop(name) for name in own})

    answer = part(spec.answer)  # first: `low` and `high` are its own, if it has them
    inputs = part(spec.inputs)
    assert not changes, f"neither the inputs nor the answer have {sorted(changes)}"
    *inner, head = spec.network.layers
    assert isinstance(head, Dense)
    layers = (*inner, dataclasses.replace(head, units=answer.size))
    return rt.ModelSpec(inputs, Network(inputs.feature_size, layers), answer)


def lstm_names(spec: rt.ModelSpec) -> list[str]:
    """Of a `chain`: the layers without the head."""
    return [layer.name for layer in spec.network.layers[:-1]]


def hidden_size(spec: rt.ModelSpec) -> int:
    """Of a `chain`: H of its LSTM layers."""
    layer: Any = spec.network.layers[0]
    units: int = getattr(layer, "layer", layer).units
    return units


def samples(spec: rt.ModelSpec, steps: int, seed: int = 1) -> NDArray[np.float64]:
    """(steps, C) raw units: slow waves and noise around each channel's mean."""
    rng = np.random.default_rng(seed)
    waves = np.sin(np.arange(steps)[:, None] / (7.0 + 3.0 * np.arange(spec.input_size)))
    noise = rng.standard_normal((steps, spec.input_size))
    assert isinstance(spec.inputs, Channels)
    return np.asarray(spec.inputs.mean) + np.asarray(spec.inputs.std) * (waves + 0.5 * noise)


def plain_spec(
    layers: int, hidden: int, *, channels: int = 3, outputs: int = 3, bidirectional: bool = False
) -> rt.ModelSpec:
    """A classifier whose features are its samples: nothing is shifted or scaled."""
    return make_spec(
        channels=channels,
        hidden=hidden,
        layers=layers,
        outputs=outputs,
        bidirectional=bidirectional,
        mean=(0.0,) * channels,
        std=(1.0,) * channels,
    )


def least_spec() -> rt.ModelSpec:
    """A forecast of one channel, one step ahead, for what needs some specification."""
    return make_spec(task="forecast", channels=1, outputs=1, mean=(0.0,), std=(1.0,))


def feature_rows(spec: rt.ModelSpec, steps: int, seed: int = 0) -> NDArray[np.float32]:
    """(steps, F) of the standard normal distribution, as features are."""
    return np.random.default_rng(seed).normal(size=(steps, spec.feature_size)).astype(np.float32)
