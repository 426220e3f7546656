"""Nets of guitar amplifiers and effects: the JSON of RTNeural and of GuitarML, and LSTMs of NAM.

RTNeural   {"in_shape": [..., inputs], "layers": [{"type", "activation", "shape", "weights"}]}, the
           weights as Keras has them: columns of gates, LSTM i, f, c, o and GRU z, r, h
GuitarML   {"model_data": {...}, "state_dict": {...}} of Automated-GuitarAmpModelling, as torch
NAM        {"architecture": "LSTM", "config": {...}, "weights": [...]}: of each layer [W_x W_h] row
           by row, the bias, and the initial h and c; then the head

The sources are the programs' own loaders: RTNeural's model_loader.h, CoreAudioML's `SimpleRNN` and
NeuralAmpModelerCore's lstm.cpp. None of them runs here. PyTorch's layers, with the weights of the
file, stand for the original.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from edge_lstm_runtime.errors import BundleError, ConversionError
from edge_lstm_runtime.layers import FEATURES, Layer
from edge_lstm_runtime.layers.dense import Dense
from edge_lstm_runtime.layers.gru import Gru
from edge_lstm_runtime.layers.lstm import Lstm
from edge_lstm_runtime.model.network import Network

from . import Floats, Foreign
from ._rows import canonical, reordered

ENDINGS = (".json", ".nam")
LARGEST = 1 << 28  # bytes of a file
FORMS = (
    "the JSON of RTNeural (in_shape, layers) or of GuitarML (model_data, state_dict), or a .nam "
    "(architecture)"
)
ACTIVATIONS = {"": "none", "linear": "none", "tanh": "tanh", "relu": "relu", "sigmoid": "sigmoid"}
KERAS = {"lstm": (0, 1, 2, 3), "gru": (1, 0, 2)}  # the place of each of our gates there
GATES = {"lstm": 4, "gru": 3}


def read(path: Path) -> Foreign:
    """Raises ConversionError for a file that is none of these, and for a part that isn't taken."""
    try:
        if path.stat().st_size > LARGEST:
            raise ConversionError(f"{path}: is larger than {LARGEST >> 20} MiB; expected {FORMS}")
        values = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as e:
        raise ConversionError(f"{path}: can't be read: {e}; expected {FORMS}") from e
    try:
        net = _net(values)
    except ConversionError as e:
        raise ConversionError(f"{path}: {e}") from e
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, BundleError) as e:
        reason = f"there is no {e}" if isinstance(e, KeyError) else e
        raise ConversionError(f"{path}: is malformed: {reason}; expected {FORMS}") from e
    return net.foreign()


def _net(values: Any) -> _Net:
    if not isinstance(values, dict):
        raise ConversionError(f"is no JSON object; expected {FORMS}")
    if "layers" in values:
        return _rtneural(values)
    if "state_dict" in values:
        return _guitarml(values["model_data"], values["state_dict"])
    if "architecture" in values:
        return _nam(values)
    raise ConversionError(f"has the keys {sorted(values)[:8]}; expected {FORMS}")


class _Net:
    """Layers, one after the other."""

    def __init__(self, inputs: int) -> None:
        self._features = inputs
        self._layers: list[Layer] = []
        self._weights: dict[str, Floats] = {}
        self._theirs: list[Any] = []

    @property
    def last(self) -> tuple[str, ...]:
        return (self._layers[-1].name if self._layers else FEATURES,)

    def recurrent(
        self,
        kind: str,
        rows: tuple[Floats, Floats, Floats, Floats],
        initial: tuple[Floats, ...] = (),
    ) -> None:
        """rows: of x, of h, and their biases, in the order of torch's gates, which is ours.
        initial: the states at the start, h and c, () for zeros."""
        from ._torch_layers import Recurrent

        gates = GATES[kind]
        units = rows[1].shape[1]
        count = gates * units
        shapes = [(count, rows[0].shape[1]), (count, units), (count,), (count,)]
        if [r.shape for r in rows] != shapes:
            found = ", ".join(str(r.shape) for r in rows)
            raise ConversionError(f"the weights of a {kind} have the shapes {found}")
        name = f"{kind}{len(self._layers)}"
        inputs = self.last
        start = tuple(tuple(state.tolist()) for state in initial)
        layer: Layer = Gru(name, inputs, units)
        if kind == "lstm":
            layer = Lstm(name, inputs, units, initial=start)
        self._weights |= canonical(layer, *rows)
        self._layers.append(layer)
        self._theirs.append(Recurrent(name, kind, inputs, rows, initial))

    def dense(
        self, weight: Floats, bias: Floats, activation: str = "none", *, skip: int = 0
    ) -> None:
        """weight: (outputs, inputs). skip: the first inputs of the net that are added."""
        from ._torch_layers import Linear

        if activation not in ACTIVATIONS.values():
            raise ConversionError(f"the activation {activation!r} of a dense layer is not taken")
        inputs = self.last
        if skip:
            through = np.resize(np.eye(self._features)[:skip], (len(weight), self._features))
            weight = np.concatenate([weight, through], axis=1)
            inputs = (*inputs, FEATURES)
        name = f"dense{len(self._layers)}"
        layer = Dense(name, inputs, len(weight), activation)  # type: ignore[arg-type]
        self._weights[f"{name}.W"] = np.ascontiguousarray(weight.T)
        self._weights[f"{name}.b"] = bias
        self._layers.append(layer)
        self._theirs.append(Linear(name, inputs, weight, bias, activation))

    def foreign(self) -> Foreign:
        from ._torch_layers import TorchLayers

        weights = {name: w.astype(np.float32) for name, w in self._weights.items()}
        network = Network(self._features, tuple(self._layers))
        return Foreign(network, weights, TorchLayers(self._theirs))


def _array(values: Any) -> Floats:
    """The file's numbers as its own program holds them, in float32."""
    found = np.asarray(values, np.float32)
    if not np.isfinite(found).all():
        raise ConversionError("a weight is not finite")
    return found


def _rtneural(values: dict[str, Any]) -> _Net:
    net = _Net(_whole("in_shape", values["in_shape"][-1]))
    unknown = sorted({str(layer["type"]) for layer in values["layers"]} - set(_RTNEURAL))
    if unknown:
        raise ConversionError(
            f"the layers {', '.join(unknown)} are not taken; expected {', '.join(_RTNEURAL)}"
        )
    for layer in values["layers"]:
        _RTNEURAL[layer["type"]](net, layer)
    return net


def _of_keras(net: _Net, layer: dict[str, Any]) -> None:
    kind = layer["type"]
    activation = layer.get("activation", "")
    if activation not in ("", "tanh"):
        raise ConversionError(f"the activation {activation!r} of a {kind} is not taken")
    W_x, W_h, b = map(_array, layer["weights"])
    if b.ndim == 1:  # of one product, as of an LSTM and of a GRU before Keras 2.2
        if kind == "gru":
            raise ConversionError("a gru with one bias (reset_after = false) is not taken")
        b = np.stack([b, np.zeros_like(b)])
    rows = (reordered(part, KERAS[kind]) for part in (W_x.T, W_h.T, b[0], b[1]))
    net.recurrent(kind, tuple(rows))  # type: ignore[arg-type]


def _of_dense(net: _Net, layer: dict[str, Any]) -> None:
    activation = ACTIVATIONS.get(layer.get("activation", ""), str(layer.get("activation")))
    W, b = map(_array, layer["weights"])
    net.dense(W.T, b, activation)


_RTNEURAL = {
    "lstm": _of_keras,
    "gru": _of_keras,
    "dense": _of_dense,
    "time-distributed-dense": _of_dense,
}


def _guitarml(about: dict[str, Any], weights: dict[str, Any]) -> _Net:
    net = _Net(_whole("input_size", about["input_size"]))
    kind = str(about["unit_type"]).lower()
    if kind not in GATES:
        raise ConversionError(f"unit_type {about['unit_type']!r} is not taken; expected LSTM, GRU")
    for k in range(_whole("num_layers", about.get("num_layers", 1))):
        W_x, W_h = (_array(weights[f"rec.weight_{of}_l{k}"]) for of in ("ih", "hh"))
        none = np.zeros(len(W_x))
        biases = (_array(weights.get(f"rec.bias_{of}_l{k}", none)) for of in ("ih", "hh"))
        net.recurrent(kind, (W_x, W_h, *biases))  # type: ignore[arg-type]
    weight = _array(weights["lin.weight"])
    bias = _array(weights.get("lin.bias", np.zeros(len(weight))))
    skip = int(about.get("skip", 0))
    if skip > 1:
        raise ConversionError(
            f"skip is {skip}, expected 0 or 1: the input that is added to the output"
        )
    net.dense(weight, bias, skip=skip)
    return net


def _nam(values: dict[str, Any]) -> _Net:
    if values["architecture"] != "LSTM":
        raise ConversionError(
            f"architecture {values['architecture']!r} is not taken; expected 'LSTM': a WaveNet has "
            "no recurrent layer"
        )
    about = values["config"]
    size = _whole("input_size", about["input_size"])
    units = _whole("hidden_size", about["hidden_size"])
    rest = _array(values["weights"])

    def take(*shape: int) -> Floats:
        nonlocal rest
        count = int(np.prod(shape))
        if len(rest) < count:
            raise ConversionError("has fewer weights than its config says")
        found, rest = rest[:count], rest[count:]
        return found.reshape(shape)

    net = _Net(size)
    for _ in range(_whole("num_layers", about["num_layers"])):
        both = take(4 * units, size + units)
        bias = take(4 * units)
        h, c = take(2, units)
        W_x, W_h = np.split(both, [size], axis=1)
        initial = (h, c) if h.any() or c.any() else ()
        net.recurrent("lstm", (W_x, W_h, bias, np.zeros_like(bias)), initial)
        size = units
    net.dense(take(1, units), take(1))
    if len(rest):
        raise ConversionError(f"has {len(rest)} weights more than its config says")
    return net


def _whole(name: str, value: object) -> int:
    if type(value) is not int or value < 1:
        raise ConversionError(f"{name} is {value!r}, expected a whole number from 1 up")
    return value
