"""Nets of TFLite against LiteRT's interpreter, which the test runs over the file as it is."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import edge_lstm_runtime as rt
from edge_lstm_export import export_run
from edge_lstm_export.imported import Imported, import_net
from edge_lstm_export.importers import Foreign
from edge_lstm_export.importers._proof import layer_outputs, prove
from edge_lstm_export.importers.tflite import read
from edge_lstm_runtime.errors import ConversionError
from helpers.paths import ROOT
from helpers.tflite_nets import FEATURES, Builder, interpreted

STEPS = 7  # of a call
XS = np.random.default_rng(1).normal(size=(1001, FEATURES)).astype(np.float32)
CLOSE = 1e-5  # float32 sums of other orders, carried over all steps
DATA = [Path(p) for p in (os.environ.get("EDGE_LSTM_DATA"), ROOT.parent / "shared" / "data") if p]
NETS_OF_OTHERS = next((d / "nets" for d in DATA if (d / "nets").is_dir()), None)
real = pytest.mark.skipif(
    NETS_OF_OTHERS is None, reason="EDGE_LSTM_DATA names no folder with nets/"
)
Build = Callable[[Builder, int], int]  # x (1, STEPS, FEATURES) -> y


def saved(path: Path, build: Build, *shape: int) -> Path:
    b = Builder()
    x = b.tensor(*(shape or (1, STEPS, FEATURES)))
    return b.saved(path, x, build(b, x))


def imported(path: Path, xs: Any = XS) -> Imported:
    np.save(path.with_suffix(".npy"), xs)
    return import_net(path, path.with_suffix(".npy"))


def ours(foreign: Foreign, xs: Any = XS) -> Any:
    return layer_outputs(foreign, xs)[foreign.network.layers[-1].name]


# --- what is taken ---


def branches(b: Builder, x: int) -> int:
    """A residual sum, a concatenation, factors, activations and shapes on the way."""
    wide = b.dense(x, 4, fused=1)
    h = b.lstm(wide, 4)
    total = b.add("ADD", [h, wide], b.tensor(1, STEPS, 4), "AddOptions", fusedActivationFunction=1)
    flat = b.reshape(total, STEPS, 4)
    scaled = b.add("MUL", [flat, b.random(4)], b.tensor(STEPS, 4), "MulOptions")
    moved = b.add("ADD", [scaled, b.random(4)], b.tensor(STEPS, 4), "AddOptions")
    soft = b.add("LOGISTIC", [moved], b.tensor(STEPS, 4))
    both = b.add("CONCATENATION", [soft, flat], b.tensor(STEPS, 8), "ConcatenationOptions", axis=-1)
    return b.lstm(b.reshape(both, 1, STEPS, 8), 3)


def turned(b: Builder, x: int) -> int:
    y = b.lstm(x, 4)
    turned = b.add("TRANSPOSE", [y, b.constant([1, 0, 2], "i4")], b.tensor(STEPS, 1, 4))
    squeezed = b.add(
        "SQUEEZE", [turned], b.tensor(STEPS, 4), "SqueezeOptions", squeezeDims=np.int32([1])
    )
    return b.reshape(b.dense(squeezed, 2), 1, STEPS, 2)


def rnn(activation: int) -> Build:
    def build(b: Builder, x: int) -> int:
        state = b.tensor(1, 5, variable=True)
        inputs = [x, b.random(5, FEATURES), b.random(5, 5), b.random(5), state]
        options = {"fusedActivationFunction": activation}
        y = b.tensor(1, STEPS, 5)
        return b.add("UNIDIRECTIONAL_SEQUENCE_RNN", inputs, y, "SequenceRNNOptions", **options)

    return build


def half(b: Builder, x: int) -> int:
    """Weights in float16, which are made float32 in the graph."""

    def weight(*shape: int) -> int:
        place = b.constant(b.rng.normal(size=shape) * 0.5, "f2")
        return b.add("DEQUANTIZE", [place], b.tensor(*shape))

    return b.dense(b.lstm(x, 5, weight), 2, weight=weight)


NETS: dict[str, Build] = {
    "lstm": lambda b, x: b.lstm(x, 5),
    "lstm, dense": lambda b, x: b.dense(b.lstm(b.lstm(x, 5), 4), 2, fused=1),
    "rnn, tanh": rnn(4),
    "rnn, relu": rnn(1),
    "branches": branches,
    "turned": turned,
    "float16": half,
}


@pytest.mark.parametrize("name", NETS)
def test_a_net_is_the_same_here(name: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "net.tflite", NETS[name])
    net = imported(path)
    right = interpreted(path, XS)
    found = ours(net.foreign)
    assert np.abs(found - right.reshape(found.shape)).max() <= CLOSE
    assert any(note.startswith("A call of the file takes 7 steps.") for note in net.notes)
    layers = {layer.name for layer in net.foreign.network.layers}
    # A sum whose activation is in the same operator has no tensor of its own.
    assert layers - net.foreign.original.run(XS[:2]).keys() == {"combine2"} & layers


def test_layers_are_as_few_as_can_be(tmp_path: Path) -> None:
    """Factors, biases and activations are inside the dense layers that they stand after."""
    foreign = read(saved(tmp_path / "net.tflite", branches))
    assert [(layer.name, layer.inputs) for layer in foreign.network.layers] == [
        ("dense0", ("x",)),
        ("lstm1", ("dense0",)),
        ("combine2", ("lstm1", "dense0")),
        ("scale3", ("combine2",)),
        ("scale4", ("scale3",)),
        ("lstm5", ("scale4", "scale3")),
    ]


@pytest.mark.parametrize("steps", [1, 5])
def test_time_may_come_first(steps: int, tmp_path: Path) -> None:
    def build(b: Builder, x: int) -> int:
        b.tensors[x].shape = np.array([1, steps, FEATURES], np.int32)
        y = b.lstm(x, 4)
        b.operators[-1].builtinOptions.timeMajor = True
        for place in (x, y):
            b.tensors[place].shape = b.tensors[place].shape[[1, 0, 2]]
        return y

    path = saved(tmp_path / "net.tflite", build)
    found = ours(imported(path).foreign)
    size = len(XS) // steps * steps
    # A call answers (steps, 1, 4), and the helper takes the first row.
    right = interpreted(path, XS)[:, 0]
    assert np.abs(found[:size:steps] - right).max() <= CLOSE


def test_a_net_that_answers_at_the_end_answers_at_each_step(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.tflite", lambda b, x: b.dense(b.last(b.lstm(x, 5)), 2))
    net = imported(path)
    assert net.notes[0] == "The file answers after the last of 7 steps alone, and here at each step"
    assert np.abs(ours(net.foreign)[6::7] - interpreted(path, XS)).max() <= CLOSE


def test_a_net_of_one_step_whose_length_is_open(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.tflite", lambda b, x: b.lstm(x, 4), 1, 1, FEATURES)
    net = imported(with_signature(path, [-1, -1, FEATURES]))
    assert net.notes[0] == "A size of the input is open in the file. It is 1 here"
    right = interpreted(path, XS).reshape(-1, 4)
    assert np.abs(ours(net.foreign) - right).max() <= CLOSE


def test_a_bundle_of_a_net(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.tflite", NETS["lstm, dense"])
    work = export_run(imported(path), tmp_path / "net.edge", schemes=())
    assert not work.left_out
    assert not work.doubts
    model = rt.load(tmp_path / "net.edge")
    assert rt.check_backend(model.bundle, "numpy").passed
    with model.session("numpy") as session:
        assert np.abs(session.run(XS) - interpreted(path, XS).reshape(-1, 2)).max() <= CLOSE


def test_weights_in_int8_are_dequantized(tmp_path: Path) -> None:
    path = saved(
        tmp_path / "net.tflite",
        lambda b, x: b.dense(b.lstm(x, 5, b.whole), 2, weight=b.whole),
    )
    net = imported(path)
    assert net.foreign.original.tool.endswith("dequantized")
    # LiteRT rounds the inputs of each product to int8 here.
    right = ours(net.foreign)
    error = interpreted(path, XS).reshape(right.shape) - right
    nrmse = np.sqrt(np.mean(error**2)) / right.std()
    assert 1e-4 < nrmse < 2e-2
    assert net.notes[-1] == (
        "The weights of the file are whole numbers. Here they are dequantized, in float32. The "
        f"file as it is, in LiteRT, differs by NRMSE {nrmse:.2g} over the 1,001 samples"
    )


def test_a_scale_for_each_row_is_taken(tmp_path: Path) -> None:
    def build(b: Builder, x: int) -> int:
        rows = b.scaled(b.constant([[10, -20, 30], [40, 50, -60]], "i1"), [0.5, 0.25])
        return b.add(
            "FULLY_CONNECTED",
            [b.lstm(x, 3), rows, b.constant([1, 2])],
            b.tensor(1, STEPS, 2),
            "FullyConnectedOptions",
            keepNumDims=True,
        )

    weights = read(saved(tmp_path / "net.tflite", build)).weights
    np.testing.assert_array_equal(weights["dense1.W"], [[5, 10], [-10, 12.5], [15, -15]])
    np.testing.assert_array_equal(weights["dense1.b"], [1, 2])


# --- files of TensorFlow's own converter ---


def lstm_alone(name: str, path: Path) -> Path:
    """The LSTM of a real file, whose answers are the net's."""
    assert NETS_OF_OTHERS is not None
    content = (NETS_OF_OTHERS / name).read_bytes()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    (graph,) = model.subgraphs
    lstm = graph.operators[0]
    graph.operators = [lstm]
    graph.outputs = lstm.outputs
    model.metadata = model.signatureDefs = None
    b = Builder()
    b.tensors, b.operators = graph.tensors, graph.operators
    b.codes, b.buffers = model.operatorCodes, model.buffers
    return b.saved(path, int(graph.inputs[0]), int(lstm.outputs[0]))


@real
def test_the_lstm_of_a_real_file(tmp_path: Path) -> None:
    path = lstm_alone("trained_lstm.tflite", tmp_path / "net.tflite")
    xs = np.random.default_rng(0).random((28 * 20, 28), np.float32) / 10  # dark pixels
    net = imported(path, xs)
    right = interpreted(path, xs).reshape(-1, 20)
    assert np.abs(ours(net.foreign, xs) - right).max() <= CLOSE


@real
def test_the_lstm_of_a_real_file_in_int8(tmp_path: Path) -> None:
    """Weights and answers are int8 and the cell state is int16, in the file."""
    path = lstm_alone("micro_speech_lstm.tflite", tmp_path / "net.tflite")
    scale = 0.6114379  # of x, whose zero is -128
    whole = -128 + (np.random.default_rng(0).random((49 * 8, 257)) < 0.02)
    xs = ((whole + 128) * scale).astype(np.float32)
    net = imported(path, xs)
    right = (interpreted(path, whole).reshape(-1, 80) + 1.0) * 0.00784314
    found = ours(net.foreign, xs)
    nrmse = np.sqrt(np.mean((found - right) ** 2)) / found.std()
    assert nrmse < 0.03
    (said,) = (note for note in net.notes if "NRMSE" in note)
    assert f"NRMSE {nrmse:.2g} over" in said


# --- a wrong import is refused ---


def changed_weights(foreign: Foreign, change: Callable[[str, Any], Any]) -> Foreign:
    weights = {name: change(name, w) for name, w in foreign.weights.items()}
    return dataclasses.replace(foreign, weights=weights)


def gates(foreign: Foreign) -> Foreign:
    """Keras's f and g for each other."""

    def change(name: str, w: Any) -> Any:
        if not name.startswith("lstm0."):
            return w
        blocks = np.split(w, 4, axis=-1)
        return np.concatenate([blocks[k] for k in (0, 2, 1, 3)], -1)

    return changed_weights(foreign, change)


def transposed(foreign: Foreign) -> Foreign:
    def change(name: str, w: Any) -> Any:
        if name != "lstm0.W_h":
            return w
        return np.concatenate([block.T for block in np.split(w, 4, axis=1)], axis=1)

    return changed_weights(foreign, change)


def no_state(foreign: Foreign) -> Foreign:
    class Forgetful:
        tool = foreign.original.tool
        double = False

        def run(self, xs: Any) -> Any:
            found = [foreign.original.run(x[None]) for x in xs]
            return {name: np.concatenate([f[name] for f in found]) for name in found[0]}

    return dataclasses.replace(foreign, original=Forgetful())


def swapped_gates(path: Path) -> None:
    """i and f of x for each other, in the file."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes()))
    inputs = model.subgraphs[0].operators[0].inputs.copy()
    model.subgraphs[0].operators[0].inputs = inputs
    b = Builder()
    graph = model.subgraphs[0]
    b.tensors, b.operators = graph.tensors, graph.operators
    b.codes, b.buffers = model.operatorCodes, model.buffers
    inputs[[1, 2]] = inputs[[2, 1]]
    b.saved(path, int(graph.inputs[0]), int(graph.outputs[0]))


@pytest.mark.parametrize("change", [gates, transposed, no_state])
def test_a_wrong_lstm_is_refused(change: Callable[[Foreign], Foreign], tmp_path: Path) -> None:
    foreign = read(saved(tmp_path / "net.tflite", NETS["lstm, dense"]))
    prove(foreign, XS[:300])
    node = foreign.nodes["lstm0"]
    with pytest.raises(ConversionError, match=f"'{node}' is the first part that differs from Lite"):
        prove(change(foreign), XS[:300])


def test_a_file_with_other_gates_is_another_net(tmp_path: Path) -> None:
    """Its own interpreter tells the two apart, and so does the proof."""
    path = saved(tmp_path / "net.tflite", NETS["lstm"])
    one = read(path)
    swapped_gates(path)
    two = read(path)
    prove(two, XS[:300])
    with pytest.raises(ConversionError, match="is the first part that differs"):
        prove(dataclasses.replace(one, original=two.original), XS[:300])


def test_the_file_as_it_is_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only its graph of one step."""
    original: Any = read(saved(tmp_path / "net.tflite", NETS["lstm"])).original
    right = original.run(XS[:20])
    monkeypatch.setattr(type(original), "_run", lambda *_: {n: y + 1e-3 for n, y in right.items()})
    original._compared = False
    with pytest.raises(
        ConversionError, match=r"the file as it is and .* differ by 0.001 in LiteRT"
    ):
        original.run(XS[:20])


@pytest.mark.parametrize(("what", "kind"), [("y", 9), ("state", 9), ("weight", 1), ("bias", 2)])
def test_types_that_do_not_go_together_are_refused(what: str, kind: int, tmp_path: Path) -> None:
    """LiteRT takes some of these, and writes past the end of a tensor."""

    def build(b: Builder, x: int) -> int:
        y = b.lstm(x, 4)
        inputs = b.operators[-1].inputs
        place = {"y": y, "state": inputs[18], "weight": inputs[2], "bias": inputs[13]}[what]
        if what in ("weight", "bias"):
            shape = b.tensors[place].shape.tolist()
            place = b.constant(np.ones(shape), "f2" if what == "weight" else "i4")
            inputs[2 if what == "weight" else 13] = place
        b.tensors[place].type = kind
        return y

    refused(
        saved(tmp_path / "net.tflite", build),
        "it reads and writes FLOAT32 and INT8|its states are INT8|its matrices are FLOAT32 and "
        "FLOAT16|its biases are FLOAT32 and INT32",
    )


def test_a_clip_that_makes_a_difference_is_refused(tmp_path: Path) -> None:
    def build(b: Builder, x: int) -> int:
        y = b.lstm(x, 5)
        b.tensors[y].name = b"t14"
        b.operators[-1].builtinOptions.cellClip = 0.1
        return y

    with pytest.raises(
        ConversionError, match=r"'t14' clips its cell state at 0.1, and reaches that"
    ):
        imported(saved(tmp_path / "net.tflite", build))


# --- what is refused ---


def refused(path: Path, match: str) -> None:
    with pytest.raises(ConversionError, match=match) as caught:
        import_net(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def lstm_with(place: int, *shape: int) -> Build:
    return lambda b, x: b.lstm(x, 5, **{f"i{place}": b.random(*shape)})


def loop(b: Builder, x: int) -> int:
    y = b.add("WHILE", [x], b.tensor(1, STEPS, 4))
    return b.add("GELU", [y], b.tensor(1, STEPS, 4))


def shuffled(b: Builder, x: int) -> int:
    y = b.dense(b.lstm(x, 5), 2)
    b.operators[-1].builtinOptions.weightsFormat = 1
    return y


def one_state(b: Builder, x: int) -> int:
    state = b.tensor(1, 5, variable=True)
    return b.lstm(b.lstm(x, 5, i18=state), 5, i18=state)


def not_a_number(b: Builder, x: int) -> int:
    return b.lstm(x, 5, i6=b.constant(np.full((5, 5), np.nan)))


def cycle(b: Builder, x: int) -> int:
    y = b.lstm(x, FEATURES)
    b.operators[0].inputs[0] = b.add("TANH", [y], b.tensor(1, STEPS, FEATURES))
    return y


def shapes(b: Builder, x: int) -> int:
    y = b.dense(b.lstm(x, 5), 2)
    b.tensors[y].shape = np.array([1, STEPS, 3], np.int32)
    return y


def sliced(begin: list[int], end: list[int], *shape: int) -> Build:
    def build(b: Builder, x: int) -> int:
        inputs = [b.lstm(x, 5), *(b.constant(v, "i4") for v in (begin, end, [1, 1, 1]))]
        return b.add("STRIDED_SLICE", inputs, b.tensor(*shape), "StridedSliceOptions")

    return build


REFUSED: dict[str, tuple[Build, str]] = {
    "peephole": (
        lstm_with(9, 5),
        "UNIDIRECTIONAL_SEQUENCE_LSTM 't.*' can't be taken: it has a peephole",
    ),
    "projection": (lstm_with(16, 2, 5), "it has a projection, which there is no layer for"),
    "normalized": (lstm_with(20, 5), "it has a layer normalization"),
    "no input gate": (lambda b, x: b.lstm(x, 5, i1=-1), r"it has no input gate \(CIFG\)"),
    "no bias": (lambda b, x: b.lstm(x, 5, i13=-1), "it has no input 13"),
    "relu6": (lambda b, x: b.dense(b.lstm(x, 5), 2, fused=3), "its activation is RELU6, expected"),
    "loop": (loop, r"1 WHILE \(a loop that TensorFlow's converter left: .*\), 1 GELU"),
    "shuffled": (shuffled, "its weights are shuffled"),
    "one state": (one_state, "its state is the state of another layer too"),
    "a state that is a constant": (lstm_with(18, 1, 5), "its state is no variable of the file"),
    "no state": (lambda b, x: b.dense(x, 2), "no layer of it has a state"),
    "NaN": (not_a_number, "its input 6 has NaN or infinity"),
    "a part": (sliced([0, 0, 1], [1, 7, 3], 1, 7, 2), "it takes a part of a step's values"),
    "the first step": (sliced([0, 0, 0], [1, 1, 5], 1, 1, 5), "or other steps than the last one"),
    "cycle": (cycle, "UNIDIRECTIONAL_SEQUENCE_LSTM reads 't.*' before it is there"),
    "shapes": (shapes, "FULLY_CONNECTED 't.*'"),
    "wrong weights": (lstm_with(5, 5, 4), "its gates have the shapes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    build, match = REFUSED[name]
    refused(saved(tmp_path / "net.tflite", build), match)


def test_several_streams_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.tflite", lambda b, x: b.lstm(x, 5), 2, STEPS, FEATURES)
    refused(path, r"it reads the shape \(2, 7, 3\), expected \(1, steps, 3\)")


def test_a_second_input_is_refused(tmp_path: Path) -> None:
    b = Builder()
    x = b.tensor(1, STEPS, FEATURES)
    b.tensor(1, 5)
    path = b.saved(tmp_path / "net.tflite", x, b.lstm(x, 5))
    refused(with_inputs(path, [0, 1]), "the graph has 2 inputs, expected 1: 't0', 't1'")


def with_inputs(path: Path, inputs: list[int]) -> Path:
    def change(graph: Any) -> None:
        graph.inputs = np.array(inputs, np.int32)

    return rewritten(path, change)


def with_signature(path: Path, sizes: list[int]) -> Path:
    """With these sizes of x, of which -1 are open."""

    def change(graph: Any) -> None:
        graph.tensors[0].shapeSignature = np.array(sizes, np.int32)

    return rewritten(path, change)


def rewritten(path: Path, change: Callable[[Any], None]) -> Path:
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes()))
    change(model.subgraphs[0])
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def test_without_litert_a_line_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "net.tflite", NETS["lstm"])
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    refused(path, r'a .tflite file needs LiteRT; pip install "edge-lstm\[tflite\]"')


# --- damaged files ---


def damaged(b: Builder, x: int, what: str) -> int:
    y = b.lstm(x, 5, b.whole if what == "scales" else None)
    weight = int(b.operators[0].inputs[1])
    if what == "buffer":
        b.tensors[weight].buffer = 10_000
    elif what == "bytes":
        b.buffers[b.tensors[weight].buffer].data = np.zeros(7, np.uint8)
    elif what == "place":
        b.operators[0].inputs[2] = 10_000
    elif what == "negative place":
        b.operators[0].inputs[0] = -2
    elif what == "shape":
        b.tensors[y].shape = np.array([1, 2**30, 2**30], np.int32)
    elif what == "negative shape":
        b.tensors[x].shape = np.array([1, -7, 3], np.int32)
    elif what == "empty":
        b.tensors[x].shape = np.array([1, 0, 3], np.int32)
    elif what == "code":
        b.operators[0].opcodeIndex = 99
    elif what == "scales":
        b.scaled(weight, [0.1, 0.2])
    elif what == "many":
        b.tensors += [b.tensors[x]] * 5000
    return y


DAMAGED = {
    "buffer": "has a buffer that is not there",
    "bytes": r"has 7 bytes, and the shape \(5, 3\) of FLOAT32",
    "place": "an operator reads a tensor that is not there",
    "negative place": "an operator reads a tensor that is not there",
    "shape": r"has the shape \(1, 1073741824, 1073741824\)",
    "negative shape": r"has the shape \(1, -7, 3\)",
    "empty": r"input 't0' has the shape \(1, 0, 3\)",
    "code": "an operator is of no kind",
    "scales": "has 2 scales, expected 1",
    "many": "has 5,016 tensors, expected at most 4,096",
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_graph_is_refused(what: str, tmp_path: Path) -> None:
    refused(saved(tmp_path / "net.tflite", lambda b, x: damaged(b, x, what)), DAMAGED[what])


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\0\0\0\0TFL3", b"\xff" * 4 + b"TFL3" * 99])
def test_a_file_that_is_none_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(content)
    refused(path, "is damaged|is no .tflite file|has no graph")


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("net") / "net.tflite"
    return saved(path, lambda b, x: b.dense(b.last(b.lstm(x, 5)), 2)).read_bytes()


def attempt(path: Path, content: bytes) -> None:
    """It is read and run, or refused."""
    path.write_bytes(content)
    try:
        with np.errstate(all="ignore"):
            prove(read(path), XS[:20])
    except ConversionError as e:
        said = str(e)
    else:
        said = ""
    assert "\n" not in said


def test_a_cut_off_file_is_refused(net: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    for size in np.linspace(0, len(net) - 1, 60, dtype=int):
        path.write_bytes(net[:size])
        refused(path, "net.tflite: ")


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    changes=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4
    )
)
def test_altered_bytes_never_end_in_another_error(
    changes: list[tuple[float, int]], net: bytes, tmp_path: Path
) -> None:
    altered = bytearray(net)
    for place, value in changes:
        altered[int(place * len(altered))] = value
    attempt(tmp_path / "net.tflite", bytes(altered))
