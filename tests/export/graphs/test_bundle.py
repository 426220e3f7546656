"""The ONNX graphs against PyTorch's own LSTM in float64, and what the converter needs of them."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from edge_lstm_export.graphs.builder import state_names
from edge_lstm_export.graphs.bundle import FORMS, build
from edge_lstm_export.steps.simplify import _simplify
from edge_lstm_runtime import ConversionError, compare
from edge_lstm_runtime.backends.onnx import OnnxBackend
from edge_lstm_runtime.layers.layout import GATES, gate
from edge_lstm_runtime.verify.error import FLOAT32


def torch_float64(spec, weights, rows):
    """(steps, F) -> (steps, O) by torch.nn.LSTM in double precision."""
    lstm = torch.nn.LSTM(spec.feature_size, spec.hidden_size, spec.num_layers, batch_first=True).double()
    assert GATES == "ifgo"  # the order of torch.nn.LSTM, by its documentation
    with torch.no_grad():
        for k in range(spec.num_layers):
            getattr(lstm, f"weight_ih_l{k}").copy_(torch.from_numpy(weights[f"layer{k}.W_x"].T))
            getattr(lstm, f"weight_hh_l{k}").copy_(torch.from_numpy(weights[f"layer{k}.W_h"].T))
            getattr(lstm, f"bias_ih_l{k}").copy_(torch.from_numpy(weights[f"layer{k}.b"]))
            getattr(lstm, f"bias_hh_l{k}").zero_()
        hidden, _ = lstm(torch.from_numpy(rows.astype(np.float64))[None])
        return (hidden[0] @ torch.from_numpy(weights["head.W"]).double() + torch.from_numpy(weights["head.b"]).double()).numpy()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("layers", "hidden"), [(1, 1), (1, 64), (2, 16), (4, 7)])
@pytest.mark.parametrize("simplified", [False, True])
def test_streamed_graph_equals_torch(random_model, form, layers, hidden, simplified):
    spec, weights = random_model(layers, hidden)
    graph = build(spec, weights, form)
    if simplified:
        graph = _simplify(graph, form)
    rows = np.random.default_rng(1).normal(size=(1000, spec.feature_size)).astype(np.float32)
    comparison = compare(OnnxBackend(spec, graph.SerializeToString()).run(rows), torch_float64(spec, weights, rows))
    assert comparison.within(FLOAT32), comparison


@pytest.mark.parametrize("form", FORMS)
def test_names_shapes_and_opset_are_as_documented(random_model, form):
    spec, weights = random_model(2, 8)
    model = build(spec, weights, form)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    assert [i.name for i in session.get_inputs()] == ["x", "h0_in", "c0_in", "h1_in", "c1_in"] == ["x", *state_names(2, "in")]
    assert [o.name for o in session.get_outputs()] == ["y", "h0_out", "c0_out", "h1_out", "c1_out"]
    x, state, y = {"lstm": ([1, 1, 6], [1, 1, 8], [1, 4]), "cell": ([1, 6, 1, 1], [1, 8, 1, 1], [1, 4, 1, 1])}[form]
    assert [i.shape for i in session.get_inputs()] == [x] + [state] * 4
    assert [o.shape for o in session.get_outputs()] == [y] + [state] * 4
    assert {o.domain: o.version for o in model.opset_import} == {"": 19}  # the newest that the converter reads


def test_cell_form_has_only_operators_of_four_dimensions(random_model):
    spec, weights = random_model(1, 8)
    operators = {node.op_type for node in build(spec, weights, "cell").graph.node}
    assert operators == {"Concat", "Conv", "Sigmoid", "Tanh", "Mul", "Add"}  # a MatMul, Gemm or Reshape would go to the CPU


def test_every_gate_uses_its_own_columns(random_model):
    spec, weights = random_model(1, 3)
    constants = {i.name: onnx.numpy_helper.to_array(i) for i in build(spec, weights, "cell").graph.initializer}
    for name in GATES:
        np.testing.assert_array_equal(constants[f"layer0_{name}_linear_b"], gate(weights["layer0.b"], name))


def test_simplify_refuses_a_changed_interface(random_model, monkeypatch):
    spec, weights = random_model(1, 4)
    other = build(*random_model(1, 5), "cell")
    monkeypatch.setattr("onnxsim.simplify", lambda _: (other, True))
    with pytest.raises(ConversionError, match="changed the inputs or outputs of the cell form"):
        _simplify(build(spec, weights, "cell"), "cell")
