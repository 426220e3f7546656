"""ONNX Runtime: the LSTM operator in float32, and its quantizer's DynamicQuantizeLSTM."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from nets import hidden_size
from onnxruntime.quantization import quantize_dynamic

from edge_lstm_export.graphs.bundle import build
from edge_lstm_runtime import ModelSpec

from . import Float32, Steps, Weights


def float32(spec: ModelSpec, weights: Weights) -> Steps:
    return _steps(spec, build(spec, weights, "fused").SerializeToString())


def int8(spec: ModelSpec, weights: Weights) -> Steps:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        quantize_dynamic(build(spec, weights, "fused"), path, op_types_to_quantize=["LSTM"])
        model = onnx.load(path)
    if "DynamicQuantizeLSTM" not in {node.op_type for node in model.graph.node}:
        raise RuntimeError("the quantizer left the LSTM as it was")
    return _steps(spec, model.SerializeToString())


def _steps(spec: ModelSpec, model: bytes) -> Steps:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    shape = (1, 1, hidden_size(spec))
    run = session.run
    _, h_in, c_in = (node.name for node in session.get_inputs())
    outputs = [node.name for node in session.get_outputs()]  # y, h, c
    feed = {h_in: np.zeros(shape, np.float32), c_in: np.zeros(shape, np.float32)}

    def step(x: Float32) -> Float32:
        feed["x"] = x.reshape(1, 1, -1)
        y, feed[h_in], feed[c_in] = run(outputs, feed)
        return y[0]

    # Two bindings, so that a step never writes the state that it reads.
    array = {}
    value = {}
    for name, size in (
        ("x", (1, 1, spec.inputs.feature_size)),
        ("y", (1, spec.answer.size)),
        *((f"{s}{k}", shape) for s in "hc" for k in "01"),
    ):
        array[name] = np.zeros(size, np.float32)
        value[name] = onnxruntime.OrtValue.ortvalue_from_numpy(array[name])
    bindings = []
    for old, new in ("01", "10"):
        binding = session.io_binding()
        binding.bind_ortvalue_input("x", value["x"])
        binding.bind_ortvalue_output("y", value["y"])
        for s, name_in, name_out in zip("hc", (h_in, c_in), outputs[1:], strict=True):
            binding.bind_ortvalue_input(name_in, value[s + old])
            binding.bind_ortvalue_output(name_out, value[s + new])
        bindings.append(binding)
    turn = itertools.cycle(bindings)
    run_bound = session.run_with_iobinding
    x_bound = array["x"][0, 0]
    y_bound = array["y"][0]

    def bound(x: Float32) -> Float32:
        x_bound[:] = x
        run_bound(next(turn))
        return y_bound

    return {"run": step, "IO binding": bound}
