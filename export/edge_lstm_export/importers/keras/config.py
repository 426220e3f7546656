"""The configuration of a Keras model, down to what a net is.

Keras makes a class of what a configuration names, and may run code that is stored in it. So only
the classes below are read, and of each only the options that are listed, with plain values. The
rest, such as initializers, is left out. A configuration for Keras is made of that alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edge_lstm_runtime.errors import ConversionError

# Class -> its place in the file of weights, and its options with their defaults.
RECURRENT = {"use_bias": True, "activation": "tanh"}
GATED = {**RECURRENT, "recurrent_activation": "sigmoid"}
SEQUENCES = {
    "return_sequences": False,
    "return_state": False,
    "go_backwards": False,
    "stateful": False,
}
CLASSES: dict[str, tuple[str, dict[str, Any]]] = {
    "InputLayer": ("input_layer", {}),
    "LSTM": ("lstm", {"units": 0, **GATED, **SEQUENCES}),
    "GRU": ("gru", {"units": 0, **GATED, **SEQUENCES, "reset_after": True}),
    "SimpleRNN": ("simple_rnn", {"units": 0, **RECURRENT, **SEQUENCES}),
    "RNN": ("rnn", SEQUENCES),
    "StackedRNNCells": ("stacked_rnn_cells", {}),
    "LSTMCell": ("lstm_cell", {"units": 0, **GATED}),
    "GRUCell": ("gru_cell", {"units": 0, **GATED, "reset_after": True}),
    "SimpleRNNCell": ("simple_rnn_cell", {"units": 0, **RECURRENT}),
    "Dense": ("dense", {"units": 0, "use_bias": True, "activation": "linear"}),
    "TimeDistributed": ("time_distributed", {}),
    "BatchNormalization": (
        "batch_normalization",
        {"axis": -1, "epsilon": 1e-3, "center": True, "scale": True},
    ),
    "Activation": ("activation", {"activation": "linear"}),
    "ReLU": ("re_lu", {"max_value": None, "negative_slope": 0.0, "threshold": 0.0}),
    "LeakyReLU": ("leaky_re_lu", {"negative_slope": 0.3}),
    "PReLU": ("p_re_lu", {"shared_axes": []}),
    "Softmax": ("softmax", {"axis": -1}),
    "LayerNormalization": (
        "layer_normalization",
        {"axis": [-1], "epsilon": 1e-3, "center": True, "scale": True, "rms_scaling": False},
    ),
    "Rescaling": ("rescaling", {"scale": 1.0, "offset": 0.0}),
    "Embedding": ("embedding", {"input_dim": 0, "output_dim": 0, "mask_zero": False}),
    "ZeroPadding1D": ("zero_padding1d", {"padding": [1, 1], "data_format": "channels_last"}),
    "Conv1D": (
        "conv1d",
        {
            "filters": 0,
            "kernel_size": [1],
            "strides": [1],
            "padding": "valid",
            "data_format": "channels_last",
            "dilation_rate": [1],
            "groups": 1,
            "activation": "linear",
            "use_bias": True,
        },
    ),
    "Bidirectional": ("bidirectional", {"merge_mode": "concat"}),
    "Dropout": ("dropout", {"rate": 0.0}),
    "SpatialDropout1D": ("spatial_dropout1d", {"rate": 0.0}),
    "Concatenate": ("concatenate", {"axis": -1}),
    "Add": ("add", {}),
    "Multiply": ("multiply", {}),
    "Subtract": ("subtract", {}),
    "Average": ("average", {}),
    "Sequential": ("sequential", {}),
    "Functional": ("functional", {}),
}
COMBINED = ("Add", "Multiply", "Subtract", "Average", "Concatenate")  # they read several tensors
OPERATIONS = ("Add", "Multiply", "Subtract", "Concatenate", "Softmax")  # of keras.ops, the same
MODELS = ("Sequential", "Functional")
# Class -> the keys of the layers that it wraps, and their places in the file of weights.
INSIDE = {
    "RNN": {"cell": "cell"},
    "TimeDistributed": {"layer": "layer"},
    "Bidirectional": {"layer": "forward_layer", "backward_layer": "backward_layer"},
}
WHOLE = "it needs the whole sequence at once"
WHY = {
    "Masking": "it skips steps, and here each step counts",
    **dict.fromkeys(("NotEqual", "Any"), "it makes a mask of steps, and here each step counts"),
    "Lambda": "it holds code, which is never run",
    "Flatten": (
        "it puts the steps of a window side by side, which is taken from a .tflite file alone"
    ),
    **dict.fromkeys(("Reshape", "Permute"), "it moves steps, and there is one at a time"),
    **dict.fromkeys(("GlobalAveragePooling1D", "GlobalMaxPooling1D"), WHOLE),
    **dict.fromkeys(("Attention", "AdditiveAttention", "MultiHeadAttention"), WHOLE),
    **dict.fromkeys(
        ("MaxPooling1D", "AveragePooling1D"), "it makes one step of several, and here each counts"
    ),
    **dict.fromkeys(
        ("DepthwiseConv1D", "SeparableConv1D"), "expected a Conv1D with padding='causal'"
    ),
    "RepeatVector": "it repeats the answer after the last step",
}
FLOATS = ("float16", "bfloat16", "float32", "float64", "mixed_float16", "mixed_bfloat16")
MAX_FEATURES = 1 << 16
LARGEST = 1e30  # of an option's value
Ref = tuple[str, int, int]  # a layer, its call, its output
Refs = tuple[Ref, ...]


@dataclasses.dataclass(frozen=True)
class Item:
    """A layer, or a model as a layer.

    path    of its weights
    calls   what it reads, for each time that it is called
    inside  the layers that it wraps: a cell, cells, or the layers of a model
    shape   of an input: (rows, steps, features), None for what is open. 0 features: each step is
            a number
    outputs of a model
    """

    kind: str
    name: str
    path: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    calls: tuple[Refs, ...] = ()
    inside: tuple[Item, ...] = ()
    shape: tuple[int | None, ...] = ()
    outputs: Refs = ()


def every(item: Item) -> Iterator[Item]:
    """The layers inside, and inside of those."""
    for inside in item.inside:
        yield inside
        yield from every(inside)


class Reader:
    """faults: why layers can't be taken, a sentence each."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def model(self, config: Any) -> Item:
        """Raises ConversionError, which names all the faults."""
        try:
            kind = "Functional" if config["class_name"] == "Model" else config["class_name"]
            if kind not in MODELS:
                raise ConversionError(
                    f"the model is of the class {kind!r}, whose code is not in the file; expected "
                    "a Sequential or a functional model"
                )
            found = self._item({**config, "class_name": kind}, "")
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError) as e:
            why = f"there is no {e}" if isinstance(e, KeyError) else e
            raise ConversionError(f"config.json is malformed: {why}") from e
        if self.faults:
            raise ConversionError("; ".join(self.faults))
        assert found is not None
        return found

    def _item(self, values: Any, path: str) -> Item | None:
        kind = values["class_name"]
        config = values["config"]
        name = config.get("name", values.get("name", kind))
        if type(name) is not str:
            raise ConversionError(f"config.json is malformed: {_shown(name)} is a layer's name")
        said = len(self.faults)
        if kind not in CLASSES or values.get("registered_name") not in (None, kind):
            why = WHY.get(kind, "there is no layer for it")
            if values.get("registered_name") not in (None, kind):
                why = "it is of a class of your own, whose code is not in the file"
            self.faults.append(f"{kind} {name!r} can't be taken: {why}")
            return None
        if kind not in (*OPERATIONS, *MODELS, "InputLayer") and not {"trainable", "dtype"} & {
            *config
        }:
            why = "it is an operation of keras.ops, not the layer of that name"
            self.faults.append(f"{kind} {name!r} can't be taken: {why}")
        self._check_type(kind, name, config)
        options = {key: config.get(key, plain) for key, plain in CLASSES[kind][1].items()}
        for key, plain in CLASSES[kind][1].items():
            if not _plain(options[key], plain):
                shown = _shown(options[key])
                self.faults.append(f"{kind} {name!r} can't be taken: {key} is {shown}")
        found = Item(kind, name, path, options)
        try:
            calls = tuple(_call(kind, node) for node in values.get("inbound_nodes", []))
            found = dataclasses.replace(found, calls=calls)
        except ConversionError as e:
            self.faults.append(f"{kind} {name!r} can't be taken: {e}")
        if kind == "InputLayer":
            shape = config.get("batch_shape", config.get("batch_input_shape"))
            found = dataclasses.replace(found, shape=_shape(name, shape))
        elif kind in INSIDE:
            inner = [
                self._item(config[key], f"{path}{place}/") for key, place in INSIDE[kind].items()
            ]
            found = dataclasses.replace(found, inside=tuple(item for item in inner if item))
        elif kind == "StackedRNNCells":
            found = dataclasses.replace(found, inside=self._list(config["cells"], f"{path}cells/"))
        elif kind in MODELS:
            inside = self._list(config["layers"], f"{path}layers/")
            found = dataclasses.replace(found, inside=inside)
            found = _chain(found) if kind == "Sequential" else _graph(found, config)
        return found if len(self.faults) == said else None

    def _check_type(self, kind: str, name: str, config: Any) -> None:
        policy = config.get("dtype") or "float32"
        if isinstance(policy, dict):
            policy = policy["config"]["name"]
        if policy not in FLOATS:
            self.faults.append(
                f"{kind} {name!r} can't be taken: it computes in {_shown(policy)}, expected floats"
            )

    def _list(self, items: Sequence[Any], path: str) -> tuple[Item, ...]:
        """The layers of a list. Each is stored by its class, and a number from the second on."""
        found = []
        counts: dict[str, int] = {}
        for values in items:
            place = CLASSES.get(values["class_name"], ("", {}))[0]
            number = counts.get(place, 0)
            counts[place] = number + 1
            own = f"{path}{place}_{number}/" if number else f"{path}{place}/"
            if item := self._item(values, own):
                found.append(item)
        return tuple(found)


def _plain(value: Any, default: Any) -> bool:
    """Whether an option's value is of the kind of its default. No objects, no code."""
    if isinstance(default, list):  # of whole numbers
        return value is None or (
            type(value) is list and len(value) <= 2 and all(type(v) is int for v in value)
        )
    if default is None or isinstance(default, float):
        return value is None or (type(value) in (int, float) and abs(value) <= LARGEST)
    return type(value) is type(default)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        value = value.get("registered_name") or value.get("class_name")
    return f"{value!r:.60}"


def _shape(name: str, shape: Any) -> tuple[int | None, ...]:
    sizes = tuple(shape)
    if len(sizes) == 2:
        sizes = (*sizes, 0)
    elif len(sizes) != 3 or type(sizes[2]) is not int or not 1 <= sizes[2] <= MAX_FEATURES:
        raise ConversionError(
            f"input {name!r} has the shape {sizes}, expected (batch, steps, features)"
        )
    if any(size is not None and (type(size) is not int or size < 1) for size in sizes[:2]):
        raise ConversionError(f"input {name!r} has the shape {sizes}")
    return sizes


def _ref(values: Any) -> Ref:
    name, call, output = values
    return str(name), int(call), int(output)


def _refs(values: Any) -> Refs:
    """Of nested lists and tensors, or of one or several lists [layer, call, output]."""
    if isinstance(values, dict) and values.get("class_name") == "__keras_tensor__":
        return (_ref(values["config"]["keras_history"]),)
    if isinstance(values, dict):
        return tuple(ref for value in values.values() for ref in _refs(value))
    if isinstance(values, list | tuple):
        if len(values) == 3 and isinstance(values[0], str):
            return (_ref(values),)
        return tuple(ref for value in values for ref in _refs(value))
    raise ConversionError(f"config.json is malformed: {_shown(values)} is no tensor")


def _call(kind: str, node: Any) -> Refs:
    """Raises ConversionError for an argument that is more than a tensor."""
    if not isinstance(node, dict):
        raise ConversionError("the file is of Keras 2; load it in Keras 3, and save it")
    args = node["args"]
    if kind in COMBINED and (numbers := [a for a in args if type(a) in (int, float)]):
        raise ConversionError(
            f"it computes with the number {numbers[0]:g}; expected a layer Rescaling for that"
        )
    given = {k: v for k, v in node["kwargs"].items() if v is not None and k != "training"}
    if given or (len(args) != 1 and kind not in COMBINED):
        listed = ", ".join(given) or f"{len(args)} arguments"
        raise ConversionError(f"it is called with {listed}: a given state or mask is not taken")
    return _refs(args)


def _chain(model: Item) -> Item:
    """Of a Sequential: each layer reads the one before."""
    inside: list[Item] = []
    for item in model.inside:
        calls = (((inside[-1].name, 0, 0),),) if inside else ()
        inside.append(dataclasses.replace(item, calls=calls))
    outputs = ((inside[-1].name, 0, 0),) if inside else ()
    return dataclasses.replace(model, inside=tuple(inside), outputs=outputs)


def _graph(model: Item, config: Any) -> Item:
    names = [ref[0] for ref in _refs(config["input_layers"])]
    if len(names) != 1:
        raise ConversionError(f"the model {model.name!r} has {len(names)} inputs, expected 1")
    return dataclasses.replace(model, outputs=_refs(config["output_layers"]))


# --- for Keras ---


def for_keras(item: Item, *, stepwise: bool) -> dict[str, Any]:
    """A configuration that Keras makes this of, in float64.

    stepwise: as streams of an open length, and each layer answers at each step.
    """
    config: dict[str, Any] = {"name": item.name, "dtype": "float64", **item.options}
    if stepwise:
        config |= {"return_sequences": True} if "return_sequences" in config else {}
        config |= {"stateful": False} if "stateful" in config else {}
    inner = [for_keras(inside, stepwise=stepwise) for inside in item.inside]
    if item.kind == "InputLayer":
        features = [item.shape[2]] if item.shape[2] else []
        config["batch_shape"] = [None, None] if stepwise else [1, item.shape[1]]
        config["batch_shape"] += features
    elif item.kind in INSIDE:
        config |= dict(zip(INSIDE[item.kind], inner, strict=True))
    elif item.kind == "StackedRNNCells":
        config["cells"] = inner
    elif item.kind in MODELS:
        config = {"name": item.name, "layers": inner}
        if item.kind == "Functional":
            inputs = [[i.name, 0, 0] for i in item.inside if i.kind == "InputLayer"]
            config |= {"input_layers": inputs, "output_layers": [list(r) for r in item.outputs]}
    module = "keras" if item.kind in MODELS else "keras.layers"
    return {
        "module": module,
        "class_name": "Model" if item.kind == "Functional" else item.kind,
        "config": config,
        "registered_name": None,
        "name": item.name,
        "inbound_nodes": [_node(item, refs) for refs in item.calls],
    }


def _node(item: Item, refs: Refs) -> dict[str, Any]:
    tensors = [
        {
            "class_name": "__keras_tensor__",
            "config": {"shape": [1, None, None], "dtype": "float64", "keras_history": list(ref)},
        }
        for ref in refs
    ]
    return {"args": [tensors if item.kind in COMBINED else tensors[0]], "kwargs": {}}
