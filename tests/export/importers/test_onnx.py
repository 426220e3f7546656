"""ONNX nets are imported as they are, or refused by name. ONNX's reference stands beside."""

from __future__ import annotations

import dataclasses
import os
import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases
from onnx.reference import ReferenceEvaluator

import edge_lstm_runtime as rt
from edge_lstm_export import export_run
from edge_lstm_export.imported import import_net
from edge_lstm_export.importers import Foreign
from edge_lstm_export.importers._proof import layer_outputs, prove
from edge_lstm_export.importers.onnx import read
from edge_lstm_runtime.errors import ConversionError
from edge_lstm_runtime.inputs.channels import Channels
from edge_lstm_runtime.layers.dense import Dense
from edge_lstm_runtime.layers.gru import Gru
from edge_lstm_runtime.layers.scale import Scale
from edge_lstm_runtime.model.step_graph import StepGraph
from edge_lstm_runtime.tasks.values import Values
from helpers.backends import open_any
from helpers.onnx_nets import FEATURES, GATES, NETS, Builder, Ends, made, saved, step, streamed

STEPS = 1001  # whole windows of 7, and over 1,000 that the state is carried
# float32 sums of other orders, carried over all steps; the outputs are of the order of 1.
CLOSE = 1e-5
Build = Callable[[Builder], Ends]


def stream(steps: int = STEPS, features: int = FEATURES) -> Any:
    return np.random.default_rng(1).normal(size=(steps, features)).astype(np.float32)


def refused(path: Path, build: Build, match: str) -> None:
    with pytest.raises(ConversionError, match=match) as caught:
        read(saved(path, build))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def file_of(path: Path, model: onnx.ModelProto) -> Path:
    onnx.save_model(model, path)
    return path


# --- what is taken ---


@pytest.mark.parametrize("name", NETS)
def test_a_net_is_the_same_here(name: str, tmp_path: Path) -> None:
    model, ends = made(NETS[name])
    foreign = import_net(file_of(tmp_path / "net.onnx", model)).foreign
    xs = stream()
    expected = streamed(model, ends, xs)
    last = foreign.network.layers[-1].name
    assert np.abs(layer_outputs(foreign, xs)[last] - expected).max() <= CLOSE
    spec = rt.ModelSpec(
        Channels(tuple("abc"), (0.0,) * FEATURES, (1.0,) * FEATURES),
        foreign.network,
        Values(tuple(f"y{k}" for k in range(foreign.network.outputs))),
    )
    backend = open_any("numpy", spec, foreign.weights)
    assert np.abs(np.stack([backend.step(x) for x in xs]) - expected).max() <= CLOSE


def test_layers_are_as_few_as_can_be(tmp_path: Path) -> None:
    """Factors, biases and activations are inside the dense layers that they stand after."""
    foreign = read(saved(tmp_path / "net.onnx", NETS["residual"]))
    layers = foreign.network.layers
    assert [(layer.name, layer.inputs) for layer in layers] == [
        ("scale0", ("x",)),
        ("rnn1", ("scale0",)),
        ("combine2", ("rnn1", "scale0")),
        ("scale3", ("combine2",)),
        ("scale4", ("scale0",)),
        ("dense5", ("scale3", "scale4", "rnn1")),
    ]
    functions = {n.name: n.activation for n in layers if isinstance(n, Dense | Scale)}
    assert functions == {"scale0": "none", "scale3": "relu", "scale4": "tanh", "dense5": "none"}
    assert foreign.nodes["combine2"] == "add_4"
    # x is (x - [1, 2, 3]) / [2, 0.5, 4]
    np.testing.assert_array_equal(foreign.weights["scale0.a"], np.float32([0.5, 2, 0.25]))
    np.testing.assert_array_equal(foreign.weights["scale0.b"], np.float32([-0.5, -4, -0.75]))


class Net(torch.nn.Module):
    """Two LSTM layers in one module, a GRU, a linear layer before and after. Batch first."""

    def __init__(self) -> None:
        super().__init__()
        self.into = torch.nn.Linear(FEATURES, 5)
        self.lstm = torch.nn.LSTM(5, 4, 2, batch_first=True)
        self.gru = torch.nn.GRU(4, 6, batch_first=True)
        self.out = torch.nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, _ = self.lstm(torch.relu(self.into(x)))
        y, _ = self.gru(y)
        result: torch.Tensor = self.out(torch.tanh(y))
        return result


@pytest.mark.filterwarnings("ignore")  # of torch: this exporter is old, and it traces
@pytest.mark.parametrize("open_axes", [{1: "T"}, {0: "N", 1: "T"}, {0: "N"}, {}])
def test_a_net_of_torch(open_axes: dict[int, str], tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = Net().eval()
    path = tmp_path / "net.onnx"
    torch.onnx.export(
        net,
        (torch.zeros(1, 5, FEATURES),),
        path,
        dynamo=False,
        input_names=["x"],
        output_names=["y"],
        dynamic_axes={"x": open_axes} if open_axes else None,
    )
    imported = import_net(path)
    foreign = imported.foreign
    xs = stream()
    with torch.no_grad():
        expected = net.double()(torch.from_numpy(xs[None]).double())[0].numpy()
    ours = layer_outputs(foreign, xs)[foreign.network.layers[-1].name]
    # The weights are the same float32, so only float64's rounding is between the two.
    assert np.abs(ours - expected).max() <= 1e-9
    carried = "here they are carried" in " ".join(imported.notes)
    assert carried == (1 not in open_axes)  # a window of 5 steps starts at zero each time
    assert ("size of a batch is open" in " ".join(imported.notes)) == (0 in open_axes)


def test_a_net_that_answers_at_the_end_answers_at_each_step(tmp_path: Path) -> None:
    def build(b: Builder) -> Ends:
        y = b.recurrent("LSTM", "x", (FEATURES, 4), (), ["hn"])
        assert y
        b.add("Gemm", b.squeezed("hn", 0), b.random(4, 2), to="y")
        return Ends({"x": ("T", 1, FEATURES)}, ["y"], {})

    model, ends = made(build)
    imported = import_net(file_of(tmp_path / "net.onnx", model))
    foreign = imported.foreign
    assert imported.notes[0].startswith("The file answers after its last step alone")
    xs = stream(40)
    found = layer_outputs(foreign, xs)[foreign.network.layers[-1].name]
    for steps in (1, 2, 17, 40):
        (expected,) = ReferenceEvaluator(model).run(ends.outputs, {"x": xs[:steps, None]})
        assert np.abs(found[steps - 1] - expected[0]).max() <= CLOSE
    # The last layer and the one before are compared at each of the steps.
    assert foreign.original.run(xs).keys() == {"lstm0", "dense1"}


def test_names_of_states_may_be_in_any_order(tmp_path: Path) -> None:
    """What they reach decides, not their order."""

    def build(b: Builder) -> Ends:
        ends = step("LSTM")(b)
        inputs = {name: ends.inputs[name] for name in ("x", "c", "h")}
        return Ends(inputs, ["y", "hn", "cn"], ends.states)

    imported = import_net(saved(tmp_path / "net.onnx", build))
    assert imported.notes[0] == "The states, before and after a step: c and cn, h and hn"


def test_a_bundle_of_a_net(tmp_path: Path) -> None:
    imported = import_net(saved(tmp_path / "net.onnx", NETS["packed states"]))
    work = export_run(imported, tmp_path / "net.edge", schemes=())
    assert not work.left_out
    assert not work.doubts
    model = rt.load(tmp_path / "net.edge")
    assert rt.check_backend(model.bundle, "numpy").passed
    xs = stream(30)
    with model.session("numpy") as session:
        found = session.run(xs)
    expected = streamed(*made(NETS["packed states"]), xs)
    assert np.abs(found - expected).max() <= CLOSE


# --- a wrong import is refused ---


def wrong_states(foreign: Foreign) -> Foreign:
    original: Any = foreign.original
    (h, after_h), (c, after_c) = original.states.items()
    swapped = dataclasses.replace(original, states={h: after_c, c: after_h})
    return dataclasses.replace(foreign, original=swapped)


def no_state(foreign: Foreign) -> Foreign:
    original: Any = foreign.original

    class Forgetful:
        tool = original.tool
        double = False

        def run(self, xs: Any) -> Any:
            found = [original.run(x[None]) for x in xs]
            return {name: np.concatenate([f[name] for f in found]) for name in found[0]}

    return dataclasses.replace(foreign, original=Forgetful())


def transposed(foreign: Foreign) -> Foreign:
    (name,) = (name for name in foreign.weights if name.endswith(".W_h"))
    W = np.split(foreign.weights[name], 4, axis=1)
    turned = np.concatenate([block.T for block in W], axis=1)
    return dataclasses.replace(foreign, weights={**foreign.weights, name: turned})


def wrong_gates(foreign: Foreign) -> Foreign:
    """As the file has them, i, o, f, c."""
    weights = {
        name: np.concatenate([np.split(w, 4, axis=-1)[k] for k in (0, 3, 1, 2)], axis=-1)
        if name.startswith("lstm0.")
        else w
        for name, w in foreign.weights.items()
    }
    return dataclasses.replace(foreign, weights=weights)


@pytest.mark.parametrize("change", [wrong_states, no_state, transposed, wrong_gates])
def test_a_wrong_lstm_is_refused(change: Callable[[Foreign], Foreign], tmp_path: Path) -> None:
    foreign = read(saved(tmp_path / "net.onnx", NETS["lstm"]))
    xs = stream(300)
    prove(foreign, xs)
    with pytest.raises(ConversionError, match=r"'lstm_0' is the first part that differs"):
        prove(change(foreign), xs)


def test_another_place_of_the_reset_gate_is_refused(tmp_path: Path) -> None:
    """The file's attribute is flipped between the import and its proof."""
    right = read(saved(tmp_path / "a.onnx", NETS["gru"]))
    flipped = read(saved(tmp_path / "b.onnx", NETS["gru, reset after the product"]))
    xs = stream(300)
    for one, other, reset in ((right, flipped, False), (flipped, right, True)):
        (gru,) = (layer for layer in one.network.layers if isinstance(layer, Gru))
        assert gru.linear_before_reset is reset
        prove(one, xs)
        with pytest.raises(ConversionError, match=r"'gru_0' is the first part that differs"):
            prove(dataclasses.replace(one, original=other.original), xs)


# --- ONNX's own tests of these operators ---

REFUSED = {
    "test_gru_batchwise": "layout = 1",
    "test_gru_reverse": "direction = reverse",
    "test_gru_bidirectional": "direction = bidirectional",
    "test_lstm_batchwise": "layout = 1",
    "test_lstm_reverse": "direction = reverse",
    "test_lstm_bidirectional": "direction = bidirectional",
    "test_lstm_with_peepholes": "sequence_lens and peephole weights P",
    "test_simple_rnn_batchwise": "layout = 1",
    "test_simple_rnn_reverse": "direction = reverse",
    "test_simple_rnn_bidirectional": "direction = bidirectional",
}
TAKEN = {
    "test_gru_defaults",
    "test_gru_with_initial_bias",
    "test_gru_seq_length",
    "test_lstm_defaults",
    "test_lstm_with_initial_bias",
    "test_simple_rnn_defaults",
    "test_simple_rnn_with_initial_bias",
    "test_rnn_seq_length",
}


@pytest.fixture(scope="module")
def cases() -> dict[str, Any]:
    """Name -> (model, inputs by name, outputs by name)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = collect_testcases(None)  # of all operators: they make their data
    return {
        case.name: (
            case.model,
            dict(zip((i.name for i in case.model.graph.input), case.data_sets[0][0], strict=True)),
            dict(zip((o.name for o in case.model.graph.output), case.data_sets[0][1], strict=True)),
        )
        for case in found
        if case.model.graph.node and case.model.graph.node[0].op_type in GATES
    }


def with_one_row(model: onnx.ModelProto, inputs: dict[str, Any]) -> onnx.ModelProto:
    """The weights are constants, the batch is 1, and the number of steps is open."""
    (node,) = model.graph.node
    states = [name for name in ("initial_h", "initial_c") if name in inputs]
    assert not any(inputs[name].any() for name in states)
    own = {n: a[:, :1] if n in states else a for n, a in inputs.items() if n != "X"}
    shape = ["T", 1, inputs["X"].shape[-1]]
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("Y_h", TensorProto.FLOAT, list("abc"))],
        [numpy_helper.from_array(a, name) for name, a in own.items()],
    )
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=10)


def test_the_tables_are_of_all_cases(cases: dict[str, Any]) -> None:
    assert cases.keys() == TAKEN | REFUSED.keys()
    assert not TAKEN & REFUSED.keys()


@pytest.mark.parametrize("name", sorted(TAKEN))
def test_a_case_of_onnx_passes(name: str, cases: dict[str, Any], tmp_path: Path) -> None:
    model, inputs, outputs = cases[name]
    imported = import_net(file_of(tmp_path / "net.onnx", with_one_row(model, inputs)))
    last = imported.foreign.network.layers[-1].name
    xs = inputs["X"]  # (steps, rows, inputs)
    for row in range(xs.shape[1]):
        found = layer_outputs(imported.foreign, xs[:, row])[last][-1]
        assert np.abs(found - outputs["Y_h"][0, row]).max() <= 1e-6


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_case_of_onnx_is_refused(name: str, cases: dict[str, Any], tmp_path: Path) -> None:
    model, inputs, _ = cases[name]
    path = file_of(tmp_path / "net.onnx", with_one_row(model, inputs))
    with pytest.raises(ConversionError, match=re.escape(REFUSED[name])):
        read(path)


# --- what is refused ---


def lstm_with(states: Sequence[str] = (), **attributes: Any) -> Build:
    """An LSTM over an open number of steps, without a head."""

    def build(b: Builder) -> Ends:
        names = [b.constant(np.zeros((1, 1, 4))) if n == "zero" else n for n in states]
        names = [b.constant(np.full((1, 1, 4), 0.5)) if n == "half" else n for n in names]
        y = b.recurrent("LSTM", "x", (FEATURES, 4), names, **attributes)
        b.squeezed(y, 1, to="y")
        return Ends({"x": ("T", 1, FEATURES)}, ["y"], {})

    return build


def after_lstm(
    act: Callable[[Builder, str], Any], x: Sequence[int | str] = ("T", 1, FEATURES)
) -> Build:
    """act: from Y without its axis of directions to "y"."""

    def build(b: Builder) -> Ends:
        act(b, b.squeezed(b.recurrent("LSTM", "x", (FEATURES, 4), (), ["", "cn"]), 1))
        return Ends({"x": x}, ["y"], {})

    return build


def wide(b: Builder) -> Ends:
    backwards = b.add("Gather", "x", b.constant(np.arange(10000)[::-1], np.int64), axis=2)
    b.squeezed(b.recurrent("RNN", b.add("Tanh", backwards), (10000, 4)), 1, to="y")
    return Ends({"x": ("T", 1, 10000)}, ["y"], {})


def no_pair(b: Builder) -> Ends:
    ends = step("LSTM")(b)
    return Ends(ends.inputs, ["y", "hn"], {})


def no_state_at_all(b: Builder) -> Ends:
    ends = step("GRU")(b)
    return Ends({**ends.inputs, "rate": (1,)}, ["y", "hn"], {})


def twice(b: Builder) -> Ends:
    y = b.recurrent("GRU", "x", (FEATURES, 4), ["h"], ["hn"])
    b.recurrent("GRU", b.squeezed(y, 1), (4, 4), ["h"], ["gn"])
    b.squeezed("t2", 1, to="y")
    return Ends({"x": (1, 1, FEATURES), "h": (1, 1, 4)}, ["y", "gn"], {})


def decoder(b: Builder) -> Ends:
    b.recurrent("GRU", "x", (FEATURES, 4), (), ["hn"])
    b.squeezed(b.recurrent("GRU", "x", (FEATURES, 4), ["hn"]), 1, to="y")
    return Ends({"x": ("T", 1, FEATURES)}, ["y"], {})


def batch(b: Builder) -> Ends:
    b.squeezed(b.recurrent("LSTM", "x", (FEATURES, 4)), 1, to="y")
    return Ends({"x": (1, 2, FEATURES)}, ["y"], {})


def many(b: Builder) -> Ends:
    y = b.recurrent("LSTM", b.add("Erf", b.add("Exp", "x")), (FEATURES, 4))
    y = b.add("Exp", b.add("Exp", b.squeezed(y, 1)))
    b.add("ReduceSum", y, to="y", keepdims=0)  # over time
    return Ends({"x": ("T", 1, FEATURES)}, ["y"], {})


def only_dense(b: Builder) -> Ends:
    b.add("Tanh", b.add("MatMul", "x", b.random(FEATURES, 2)), to="y")
    return Ends({"x": ("T", 1, FEATURES)}, ["y"], {})


def depends(b: Builder) -> Ends:
    zero = b.constant(0)
    y = b.recurrent("LSTM", "x", (FEATURES, 4))
    total = b.add("Greater", b.add("ReduceMax", "x", keepdims=0), zero)
    branches = {}
    for name, op in (("then_branch", "Tanh"), ("else_branch", "Relu")):
        node = helper.make_node(op, [y], ["inside"])
        out = helper.make_tensor_value_info("inside", TensorProto.FLOAT, list("abcd"))
        branches[name] = helper.make_graph([node], name, [], [out])
    b.add("If", total, to="y", **branches)
    return Ends({"x": (1, 1, FEATURES)}, ["y"], {})


def last_of_five(b: Builder) -> Ends:
    b.recurrent("LSTM", "x", (FEATURES, 4), (), ["hn"])
    b.squeezed("hn", 0, to="y")
    return Ends({"x": (5, 1, FEATURES)}, ["y"], {})


def of_two_steps(b: Builder, y: str) -> None:
    """The difference to the step before."""
    places = [b.constant([k], np.int64) for k in (0, 1, 2**31)]
    before = b.add("Slice", y, places[0], b.constant([-1], np.int64), places[0])
    now = b.add("Slice", y, places[1], places[2], places[0])
    b.add("Sub", now, before, to="y")


def constant_x(b: Builder) -> Ends:
    y = b.recurrent("LSTM", b.constant(np.ones((1, 1, 3))), (3, FEATURES))
    b.add("Add", "x", b.squeezed(y, 1), to="y")
    return Ends({"x": (1, 1, FEATURES)}, ["y"], {})


def much(b: Builder) -> Ends:
    zeros = b.add("ConstantOfShape", b.constant([10**6, 10**6], np.int64))
    x = b.add("Add", "x", b.add("ReduceSum", zeros, keepdims=0))
    b.squeezed(b.recurrent("LSTM", x, (FEATURES, 4)), 1, to="y")
    return Ends({"x": ("T", 1, FEATURES)}, ["y"], {})


REFUSALS: dict[str, tuple[Build, str]] = {
    "clip": (lstm_with(clip=3.0), r"LSTM 'lstm_0': clip = 3\.0 can't be taken, only 0\.0"),
    "coupled gates": (lstm_with(input_forget=1), r"input_forget = 1 can't be taken"),
    "other functions": (
        lstm_with(activations=["HardSigmoid", "Tanh", "Tanh"]),
        r"activations = \['hardsigmoid', 'tanh', 'tanh'\] can't be taken, only \['sigmoid'",
    ),
    "a wide function": (wide, r"'tanh_1' becomes a matrix of 10,000 by 10,000 values, too large"),
    "no pair": (
        no_pair,
        r"input 'c' is a state of 'lstm_0', and no output holds it after the step",
    ),
    "no layer": (no_state_at_all, r"input 'rate' is taken as a state, and it reaches no initial"),
    "a state twice": (twice, r"GRU 'gru_2': initial_h is the state of another layer too"),
    "a computed state": (decoder, r"GRU 'gru_1': initial_h is computed"),
    "a batch": (
        batch,
        r"LSTM 'lstm_0': it reads shape \(1, 2, 3\), expected \(steps, 1, features\)",
    ),
    "operators": (
        many,
        r"these operators, each with its first node: 1 Erf \('erf_1'\), 3 Exp \('exp_0'\), "
        r"1 ReduceSum \('reducesum_6'\); and it can't be taken as one step as it is: ",
    ),
    "no recurrence": (only_dense, r"no layer of it has a state: it is no recurrent net"),
    "an open If": (depends, r"1 Greater \('greater_2'\), 1 If \('if_3'\), 1 ReduceMax"),
    "the last of five": (last_of_five, r"answers only after the last of 5 steps"),
    "a constant x": (constant_x, r"LSTM 'lstm_0': it reads the constant 'w0', expected a tensor"),
    "steps at once": (after_lstm(of_two_steps), r"Sub 'sub_4': it computes with several steps"),
    "padding": (
        after_lstm(
            lambda b, y: b.add("Concat", y, b.constant(np.zeros((1, 1, 4))), axis=0, to="y")
        ),
        r"Concat 'concat_2': it takes a constant and a tensor",
    ),
    "a matrix of NaN": (
        after_lstm(lambda b, y: b.add("MatMul", y, b.constant(np.full((4, 1), np.nan)), to="y")),
        r"MatMul 'matmul_2': its matrix 'w4' has NaN or infinity",
    ),
    "division by zero": (
        after_lstm(lambda b, y: b.add("Div", y, b.constant([1, 0, 1, 1]), to="y")),
        r"Div 'div_2': its constants have NaN or infinity",
    ),
    "much from little": (
        much,
        r"ConstantOfShape 'constantofshape_0': it makes a constant of 1,000,000,000,000 values",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_names_the_node(name: str, tmp_path: Path) -> None:
    refused(tmp_path / "net.onnx", *REFUSALS[name])


def test_other_domains_are_refused_by_name(tmp_path: Path) -> None:
    model, _ = made(NETS["lstm"])
    model.graph.node[1].domain = "com.example"
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    with pytest.raises(ConversionError, match=r"1 com\.example\.Squeeze \('squeeze_1'\)"):
        read(file_of(tmp_path / "net.onnx", model))


def test_other_types_are_refused(tmp_path: Path) -> None:
    model, _ = made(only_dense)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.DOUBLE
    del model.graph.value_info[:]
    (matrix,) = model.graph.initializer
    matrix.CopyFrom(
        numpy_helper.from_array(numpy_helper.to_array(matrix).astype(np.float64), matrix.name)
    )
    with pytest.raises(ConversionError, match=r"input 'x' is DOUBLE, expected FLOAT"):
        read(file_of(tmp_path / "net.onnx", model))


def test_an_unknown_type_is_refused(tmp_path: Path) -> None:
    model, _ = made(NETS["lstm"])
    model.graph.input[1].type.tensor_type.elem_type = 99
    with pytest.raises(ConversionError, match=r"net\.onnx: "):
        read(file_of(tmp_path / "net.onnx", model))


def test_a_graph_that_onnx_runtime_refuses_has_no_proof(tmp_path: Path) -> None:
    """Two nodes of one name."""

    def build(b: Builder) -> Ends:
        ends = NETS["lstm"](b)
        for node in b.nodes:
            node.name = "same"
        return ends

    match = r"^ONNX Runtime does not take the net: .*two nodes with same node name"
    with pytest.raises(ConversionError, match=match):
        import_net(saved(tmp_path / "net.onnx", build))


# --- files ---


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    whole = saved(tmp_path / "net.onnx", NETS["lstm"]).read_bytes()
    path = tmp_path / "part.onnx"
    for size in (0, 1, 10, *range(50, len(whole) - 1, 97)):
        path.write_bytes(whole[:size])
        with pytest.raises(ConversionError, match=r"part\.onnx: ") as caught:
            read(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"PK\x03\x04 a zip", b"\x80\x04.", b"hello\n" * 100])
def test_another_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(ConversionError, match="truncated, or no ONNX file"):
        read(path)


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    name=st.sampled_from(sorted(NETS)),
    places=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
)
def test_an_altered_file_is_read_or_refused(
    name: str, places: list[tuple[float, int]], tmp_path: Path
) -> None:
    content = bytearray(made(NETS[name])[0].SerializeToString())
    for place, byte in places:
        content[int(place * len(content))] = byte
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    try:
        read(path)
    except ConversionError as e:
        said = str(e)
    else:
        said = ""
    assert "\n" not in said
    assert places or not said


def test_weights_of_wrong_shapes_are_refused(tmp_path: Path) -> None:
    """The checker compares neither."""
    model, _ = made(NETS["lstm"])
    W = model.graph.initializer[0]
    del W.dims[:]
    W.dims.extend((1, 12, 4))
    match = r"LSTM 'lstm_0': its weights have shapes \{'W': \(12, 4\).* expected \{'W': \(16, 3\)"
    with pytest.raises(ConversionError, match=match):
        read(file_of(tmp_path / "net.onnx", model))
    W.dims[1] = 3
    with pytest.raises(ConversionError, match="tensor 'w0' is damaged"):
        read(file_of(tmp_path / "net.onnx", model))


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    with path.open("wb") as file:
        file.truncate(600 * 2**20)  # takes no space
    with pytest.raises(
        ConversionError, match="has 629,145,600 bytes, expected at most 536,870,912"
    ):
        read(path)


def test_a_cycle_is_refused(tmp_path: Path) -> None:
    model, _ = made(NETS["lstm"])
    model.graph.node[0].input[0] = model.graph.node[1].output[0]
    with pytest.raises(
        ConversionError, match="ONNX's checker refuses it: Nodes in a graph must be"
    ):
        read(file_of(tmp_path / "net.onnx", model))


def test_weights_beside_the_model_are_read(tmp_path: Path) -> None:
    model, _ = made(NETS["lstm"])
    path = tmp_path / "net.onnx"
    onnx.save_model(model, path, save_as_external_data=True, location="net.data", size_threshold=0)
    foreign = read(path)
    inside = read(saved(tmp_path / "inside.onnx", NETS["lstm"]))
    for name, weight in inside.weights.items():
        np.testing.assert_array_equal(foreign.weights[name], weight)
    (tmp_path / "net.data").unlink()
    with pytest.raises(
        ConversionError, match=r"tensor 'w0' has its data in 'net\.data', and there"
    ):
        read(path)


@pytest.mark.parametrize("where", ["../secret", "link", "{}/secret"])
def test_weights_outside_of_the_folder_are_refused(where: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(bytes(4096))
    (folder / "link").symlink_to(tmp_path / "secret")
    model, _ = made(NETS["lstm"])
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=where.format(tmp_path))
    path = folder / "net.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(
        ConversionError, match=r"tensor 'w0' has its data in .* outside of the folder"
    ):
        read(path)


def test_a_local_function_is_put_in_its_place(tmp_path: Path) -> None:
    model, ends = made(NETS["lstm"])
    node = model.graph.node[2]
    assert node.op_type == "Gemm"
    body = helper.make_node("Gemm", ["a", "b", "c"], ["d"], transB=1, alpha=0.5)
    opsets = [helper.make_opsetid("", 21)]
    model.functions.append(
        helper.make_function("own", "Head", ["a", "b", "c"], ["d"], [body], opsets)
    )
    model.opset_import.append(helper.make_opsetid("own", 1))
    call = helper.make_node("Head", list(node.input), list(node.output), domain="own")
    node.CopyFrom(call)
    foreign = read(file_of(tmp_path / "net.onnx", model))
    xs = stream(300)
    prove(foreign, xs)
    expected = streamed(made(NETS["lstm"])[0], ends, xs)
    assert np.abs(foreign.original.run(xs)["dense1"] - expected).max() <= CLOSE


# --- nets of others ---

DATA = Path(os.environ.get("EDGE_LSTM_DATA", "data")) / "nets"
needs_nets = pytest.mark.skipif(not DATA.is_dir(), reason="EDGE_LSTM_DATA has no nets")


@needs_nets
def test_dtln_1_is_taken_with_its_packed_states() -> None:
    imported = import_net(DATA / "dtln_1.onnx")
    network = imported.foreign.network
    assert [(layer.title, layer.inputs) for layer in network.layers] == [
        ("lstm 128", ("x",)),
        ("lstm 128", ("lstm0",)),
        ("dense 257", ("lstm1",)),
    ]
    assert imported.notes[0] == (
        "The states, before and after a step: input_3 and tf_op_layer_stack_2"
    )
    ends = Ends(
        {"input_2": (1, 1, 257), "input_3": (1, 2, 128, 2)},
        ["activation_2", "tf_op_layer_stack_2"],
        {"input_3": "tf_op_layer_stack_2"},
    )
    xs = np.abs(stream(300, 257))  # magnitudes
    expected = streamed(onnx.load(DATA / "dtln_1.onnx"), ends, xs)
    assert np.abs(layer_outputs(imported.foreign, xs)["dense2"] - expected).max() <= CLOSE


@needs_nets
def test_a_net_that_lacks_layers_says_which() -> None:
    foreign = read(DATA / "silero_vad_16k_sequence.onnx")
    assert isinstance(foreign.network, StepGraph)
    for what in ("2 Pow", "1 Sqrt", "it pads: no layer does that"):
        assert what in foreign.notes[0]
    assert foreign.notes[1] == "The states, before and after a step: h and hn, c and cn"
