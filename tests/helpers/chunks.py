"""A converted model of T steps at a time, computed by ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnxruntime

from edge_lstm_export.graphs.npu import fused
from edge_lstm_runtime.backends.chunks import any_length
from edge_lstm_runtime.backends.rknn.board import RknnBackend
from edge_lstm_runtime.backends.rknn.packing import Packing
from helpers.tolerances import assert_close

T = 8


class OrtChunks:
    """The vendor's call, answered by ONNX Runtime on the graph of T steps.

    It hands out the same arrays again, as mapped memory would.
    """

    def __init__(self, graph: bytes):
        self._session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        self._buffers = None
        self.calls = self.released = 0
        self.fail_at = None

    def inference(self, inputs):
        self.calls += 1
        if self.calls == self.fail_at:
            return None
        outputs = self._session.run(
            None, {i.name: a for i, a in zip(self._session.get_inputs(), inputs, strict=True)}
        )
        self._buffers = self._buffers or [np.empty_like(o) for o in outputs]
        for buffer, output in zip(self._buffers, outputs, strict=True):
            buffer[...] = output
        return self._buffers

    def release(self):
        self.released += 1


def chunks(spec, weights, steps=T):
    """The backend, and the runtime inside."""
    form = fused(spec, weights, {}, steps=steps)
    runtime = OrtChunks(form.graph.SerializeToString())
    packing = Packing(
        form.recipe["io"],
        features=spec.feature_size,
        states=spec.network.state,
    )
    return any_length(RknnBackend(runtime, packing), packing.steps, spec, weights), runtime


def assert_right(found, expected):
    assert_close(found, expected, "float32", "y or state")
