"""Every backend by its name, without a bundle. ONNX Runtime computes the NPU's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

import edge_lstm_runtime as rt
from helpers.arrays import Array, Weights


class OrtRuntime:
    """The vendor's runtime, computed by ONNX Runtime on the same cell graph.

    Every call hands out the same output buffers, as a runtime with mapped NPU memory may.
    """

    def __init__(self, model: bytes):
        import onnxruntime

        self._session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        self._names = [i.name for i in self._session.get_inputs()]
        self._buffers: list[Array] = []
        self.calls = 0
        self.released = 0
        self.fail_at: int | None = None

    def inference(self, inputs: Sequence[NDArray[np.float32]]) -> list[Array] | None:
        self.calls += 1
        if self.calls == self.fail_at:
            return None
        for array in inputs:
            assert array.dtype == np.float32, array.dtype
            assert array.shape[:3] == (1, 1, 1), array.shape
        outputs = self._session.run(
            None, {n: a.reshape(1, -1, 1, 1) for n, a in zip(self._names, inputs, strict=True)}
        )
        if not self._buffers:
            self._buffers = [np.empty_like(o) for o in outputs]
        for buffer, output in zip(self._buffers, outputs, strict=True):
            buffer[...] = output
        return self._buffers

    def release(self) -> int:
        self.released += 1
        return 0


def rknn_on_ort(spec: rt.ModelSpec, weights: Weights) -> tuple[rt.Backend, OrtRuntime]:
    from edge_lstm_export.graphs.bundle import build
    from edge_lstm_runtime.backends.rknn.board import RknnBackend
    from edge_lstm_runtime.backends.rknn.packing import Packing

    runtime = OrtRuntime(build(spec, weights, "cell").SerializeToString())
    packing = Packing(
        {"form": "cell"},
        features=spec.feature_size,
        states=spec.network.state,
        initial=spec.network.initial_state(),
    )
    return RknnBackend(runtime, packing), runtime


BACKENDS = ("reference", "numpy", "onnx-fused", "onnx-cell", "rknn-adapter")


def open_any(name: str, spec: rt.ModelSpec, weights: Weights) -> rt.Backend:
    """A backend by the names of BACKENDS, without a bundle."""
    from edge_lstm_runtime.backends.numpy import NumpyBackend
    from edge_lstm_runtime.backends.onnx import onnx_backend

    if name == "reference":
        return rt.Reference(spec, weights)
    if name == "numpy":
        return NumpyBackend(spec, weights)
    if name == "rknn-adapter":
        return rknn_on_ort(spec, weights)[0]
    from edge_lstm_export.graphs.bundle import build

    graph = build(spec, weights, name.removeprefix("onnx-")).SerializeToString()
    return onnx_backend(spec, graph)
