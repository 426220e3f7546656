"""What the export steps hand on to each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edge_lstm import Run
from edge_lstm_runtime import Bundle, Comparison, ModelSpec
from edge_lstm_runtime.compare import Tolerance

from .rknn.process import Converter

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """A backend's outputs over the golden stream, against the reference's."""

    outputs: NDArray[Any]  # (steps, O)
    comparison: Comparison
    tolerance: Tolerance
    source: str  # where the figures come from: this machine's CPU, or the converter's simulator


@dataclasses.dataclass(frozen=True)
class Work:
    """Each step returns a copy with its own part filled in; the comment names the step."""

    run: Run
    target: str
    schemes: tuple[str, ...]
    out: Path
    say: Callable[[str], None]
    resources: ExitStack  # closed when the export ends, however it ends
    stream: Float64 = dataclasses.field(default_factory=lambda: np.empty((0, 0)))  # draw_stream: (steps, C) raw units
    reference: Float64 = dataclasses.field(default_factory=lambda: np.empty((0, 0)))  # draw_stream: (steps, O)
    graphs: Mapping[str, onnx.ModelProto] = dataclasses.field(default_factory=dict)  # build_graphs, simplify: form -> graph
    calibration: Mapping[str, Float32] = dataclasses.field(default_factory=dict)  # calibrate: x (N, F), h and c (N, layers, H)
    converters: Mapping[str, Converter] = dataclasses.field(default_factory=dict)  # convert_rknn: member name -> open converter
    accuracy: Mapping[str, Accuracy] = dataclasses.field(default_factory=dict)  # verify_float, simulate: backend -> accuracy
    metrics: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)  # evaluate_task: backend -> task metrics
    answers: Sequence[NDArray[Any]] = ()  # evaluate_task: per test sequence (T, O), of the NumPy backend
    notes: tuple[str, ...] = ()  # any step: what the user must know
    bundle: Bundle | None = None  # pack

    @property
    def spec(self) -> ModelSpec:
        return self.run.spec

    @property
    def weights(self) -> Mapping[str, Float32]:
        return self.run.weights


def scheme_of(work: Work, member: str) -> str:
    """The scheme of a converted member, "rk3588-fp16.rknn" -> "fp16"."""
    return member.removeprefix(f"{work.target}-").removesuffix(".rknn")
