"""The ONNX graphs against PyTorch's own LSTM in float64, and what the converter needs of them."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from edge_lstm_export.graphs.builder import state_name
from edge_lstm_export.graphs.bundle import build
from edge_lstm_export.steps.simplify import _simplify
from edge_lstm_runtime import ConversionError, compare
from edge_lstm_runtime.backends.onnx import OnnxBackend
from edge_lstm_runtime.layers.lstm import GATES
from edge_lstm_runtime.verify.error import FLOAT32
from helpers.specs import hidden_size, lstm_names


def torch_float64(spec, weights, rows):
    """(steps, F) -> (steps, O) by torch.nn.LSTM in double precision."""
    lstm = torch.nn.LSTM(
        spec.feature_size, hidden_size(spec), len(lstm_names(spec)), batch_first=True
    ).double()
    assert GATES == "ifgo"  # the order of torch.nn.LSTM, by its documentation
    with torch.no_grad():
        for k, name in enumerate(lstm_names(spec)):
            getattr(lstm, f"weight_ih_l{k}").copy_(torch.from_numpy(weights[f"{name}.W_x"].T))
            getattr(lstm, f"weight_hh_l{k}").copy_(torch.from_numpy(weights[f"{name}.W_h"].T))
            getattr(lstm, f"bias_ih_l{k}").copy_(torch.from_numpy(weights[f"{name}.b"]))
            getattr(lstm, f"bias_hh_l{k}").zero_()
        hidden, _ = lstm(torch.from_numpy(rows.astype(np.float64))[None])
        return (
            hidden[0] @ torch.from_numpy(weights["head.W"]).double()
            + torch.from_numpy(weights["head.b"]).double()
        ).numpy()


@pytest.mark.parametrize("form", ["fused", "cell"])
@pytest.mark.parametrize(("layers", "hidden"), [(1, 1), (1, 64), (2, 16), (4, 7)])
@pytest.mark.parametrize("simplified", [False, True])
def test_streamed_graph_equals_torch(random_model, form, layers, hidden, simplified):
    spec, weights = random_model(layers, hidden)
    graph = build(spec, weights, form)
    if simplified:
        graph = _simplify(graph, form)
    rows = np.random.default_rng(1).normal(size=(1000, spec.feature_size)).astype(np.float32)
    comparison = compare(
        OnnxBackend(spec, graph.SerializeToString()).run(rows), torch_float64(spec, weights, rows)
    )
    assert comparison.within(FLOAT32), comparison


@pytest.mark.parametrize("form", ["fused", "cell"])
def test_names_shapes_and_opset_are_as_documented(random_model, form):
    spec, weights = random_model(2, 8)
    model = build(spec, weights, form)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    states = ["lstm0_h", "lstm0_c", "lstm1_h", "lstm1_c"]
    assert [state_name(name, "in") for name in spec.network.state] == [f"{s}_in" for s in states]
    assert [i.name for i in session.get_inputs()] == ["x", *(f"{s}_in" for s in states)]
    assert [o.name for o in session.get_outputs()] == ["y", *(f"{s}_out" for s in states)]
    x, state, y = {
        "fused": ([1, 1, 6], [1, 1, 8], [1, 4]),
        "cell": ([1, 6, 1, 1], [1, 8, 1, 1], [1, 4, 1, 1]),
    }[form]
    assert [i.shape for i in session.get_inputs()] == [x] + [state] * 4
    assert [o.shape for o in session.get_outputs()] == [y] + [state] * 4
    assert {o.domain: o.version for o in model.opset_import} == {
        "": 19
    }  # the newest that the converter reads


def test_cell_form_has_only_operators_of_four_dimensions(random_model):
    spec, weights = random_model(1, 8)
    operators = {node.op_type for node in build(spec, weights, "cell").graph.node}
    assert operators == {
        "Concat",
        "Conv",
        "Sigmoid",
        "Tanh",
        "Mul",
        "Add",
    }  # a MatMul, Gemm or Reshape would go to the CPU


def test_every_gate_uses_its_own_columns(random_model):
    spec, weights = random_model(1, 3)
    graph = build(spec, weights, "cell").graph
    constants = {i.name: onnx.numpy_helper.to_array(i) for i in graph.initializer}
    made_by = {output: node for node in graph.node for output in node.output}
    for k, gate in enumerate(GATES):
        linear = made_by[made_by[f"lstm0_{gate}"].input[0]]
        np.testing.assert_array_equal(
            constants[linear.input[2]], weights["lstm0.b"][3 * k : 3 * k + 3]
        )


def test_simplify_refuses_a_changed_interface(random_model, monkeypatch):
    spec, weights = random_model(1, 4)
    other = build(*random_model(1, 5), "cell")
    monkeypatch.setattr("onnxsim.simplify", lambda _: (other, True))
    with pytest.raises(ConversionError, match="changed the inputs or outputs of the cell form"):
        _simplify(build(spec, weights, "cell"), "cell")
