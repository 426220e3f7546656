"""In the place of the vendor's converter: the graph's own answers by ONNX Runtime, to features that
a test may spoil."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import onnxruntime
import pytest

from edge_lstm_export.npu.rknn import VENDOR, trace
from edge_lstm_export.npu.rknn import convert as rknn_convert
from edge_lstm_export.npu.rknn.converter import Converter
from edge_lstm_runtime import ConversionError
from edge_lstm_runtime.backends.rknn.board import RknnBackend
from edge_lstm_runtime.backends.rknn.packing import Packing

Spoil = Callable[[np.ndarray], np.ndarray]


class OrtRuntime:
    """The vendor's call."""

    def __init__(self, graph: bytes):
        self._session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])

    def inference(self, inputs):
        named = zip(self._session.get_inputs(), inputs, strict=True)
        return self._session.run(None, {i.name: a.reshape(i.shape) for i, a in named})

    def release(self):
        pass


def on_ort(spec, graph: bytes, io) -> RknnBackend:
    packing = Packing(io, features=spec.feature_size, states=spec.network.state)
    return RknnBackend(OrtRuntime(graph), packing)


class StandIn:
    """In the place of Converter. spoil: scheme -> what becomes of the features (steps, F)."""

    spoil: ClassVar[dict[str, Spoil]] = {}
    closed: ClassVar[list[str]] = []
    cycles = 100
    inner_operators: ClassVar[list] = []
    operators: ClassVar[list] = []
    memory_kb: ClassVar[dict] = {"internal": 1, "weight": 1}

    def __init__(self, conversion, **_):
        scheme = conversion.scheme
        self.spec = conversion.spec
        self._label = f"{conversion.target}-{scheme}"
        self.steps = conversion.steps
        self.rknn = b"RKNN of " + self._label.encode()
        self._spoil = StandIn.spoil.get(scheme, lambda rows: rows)
        self._backend = on_ort(self.spec, conversion.graph, conversion.recipe["io"])

    def reset(self):
        self._backend.reset()

    def run(self, rows):
        return self._backend.run(self._spoil(rows))

    def get_state(self):
        return self._backend.state

    def set_state(self, state):
        self._backend.state = state

    on_cpu = 0
    backend = Converter.backend

    def trace(self, _rows):
        raise ConversionError("a stand-in has no tensors inside")

    def log(self):
        return ""

    def close(self):
        StandIn.closed.append(self._label)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def install(monkeypatch: pytest.MonkeyPatch, **spoil: Spoil) -> None:
    """Exports use it from now on. spoil: by scheme."""
    monkeypatch.setattr(StandIn, "spoil", spoil)
    monkeypatch.setattr(StandIn, "closed", [])
    for module in (rknn_convert, trace):
        monkeypatch.setattr(module, "Converter", StandIn)
    monkeypatch.setattr(VENDOR, "unsupported_reason", lambda: None)
    monkeypatch.setattr(VENDOR, "make_ready", lambda _: None)
