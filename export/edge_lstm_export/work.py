"""The data that the export steps hand on to each other."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edge_lstm_runtime import Backend, Bundle, Comparison, ModelSpec
from edge_lstm_runtime.backends.numpy import numpy_backend
from edge_lstm_runtime.backends.reference import reference
from edge_lstm_runtime.model.measured import Measured
from edge_lstm_runtime.verify.error import Tolerance
from edge_lstm_runtime.verify.golden import Lengths, golden_features

from .exported import Exported
from .graphs import step as step_graphs
from .graphs.step import StepModel
from .imported import Imported
from .measure import keys
from .measure.judgement import Judgement
from .measure.speed import Speed
from .npu import SIM_STEPS
from .npu.converted import Converted, Form
from .npu.worker.batch import Batch
from .quantize.cpu_int8 import Arrays

GRAPHS = {
    "fused": "model.onnx",
    step_graphs.FORM: "model.onnx",
    "cell": "cell.onnx",
}  # the forms' names in the bundle
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """A backend's outputs over the golden stream, against the reference's.

    tolerance: the one that `check` holds the backend to there.
    """

    outputs: NDArray[Any]  # (steps, O)
    comparison: Comparison
    tolerance: Tolerance
    source: str  # of the figures: this machine's CPU, or the converter's simulator


@dataclasses.dataclass
class Candidate:
    """A form that was tried for a target and scheme.

    comparison, cycles, on_cpu, converter, outputs: if it was converted. refused: the reason if it
    wasn't. why: the reason if it was kept.
    """

    target: str
    scheme: str
    form: str
    comparison: Comparison | None = None
    cycles: int | None = None  # by the converter's table, if it gives any
    on_cpu: int = 0  # operators that don't run on the NPU
    refused: str = ""
    died: bool = False  # refused, because the converter ended without an answer
    why: str = ""
    converter: Converted | None = None
    outputs: NDArray[np.float32] | None = None
    steps: int = 1  # taken at once

    @property
    def nrmse(self) -> float:
        return self.comparison.nrmse if self.comparison else math.inf

    def to_dict(self) -> dict[str, Any]:
        """For the manifest."""
        found = (
            {"nrmse": self.nrmse, "cycles": self.cycles, "on_cpu": self.on_cpu}
            if self.comparison
            else {"refused": self.refused}
        )
        steps = {"steps": self.steps} if self.steps > 1 else {}
        return {"form": self.form, **steps, **found, **({"kept": self.why} if self.why else {})}


@dataclasses.dataclass(frozen=True)
class Artifact:
    """A converted model that goes into the bundle. Its simulator is open.

    outputs: (steps, O) over the golden stream, on the simulator. simulated: that backend with this
    model, as a key of figures.
    """

    target: str
    scheme: str
    form: Form
    converter: Converted
    outputs: NDArray[np.float32]
    simulated: Measured


@dataclasses.dataclass(frozen=True)
class Inspection:
    """tensors: rows of name, nrmse, cosine, max_abs, snr_db. drift: the NRMSE of each `window` of
    streamed steps, with the same samples every time. verdict: a sentence on both."""

    tensors: tuple[dict[str, Any], ...]
    drift: tuple[float, ...]
    window: int
    verdict: str


@dataclasses.dataclass(frozen=True)
class Counted:
    """Bytes of the C export in a scheme: of the constants, and of the state of one stream."""

    scheme: str
    constants: int
    state: int


@dataclasses.dataclass(frozen=True)
class Work:
    """Each step returns a copy with its own part filled in. The comment names the step."""

    run: Exported
    schemes: Mapping[str, tuple[str, ...]]  # target -> number formats
    out: Path
    say: Callable[[str], None]
    resources: ExitStack  # closed when the export ends, however it ends
    batch: Batch = dataclasses.field(default_factory=Batch)  # of the converter's processes
    # Steps of the further artifacts that take several at once, or None. For a bidirectional model
    # draw_stream sets it: the steps of the only artifacts, or None if there are none.
    chunk: int | None = None
    model: Mapping[str, Any] | None = None  # its name and version, for the manifest
    sim_steps: int = SIM_STEPS  # of the test split that a pass on the simulator takes at most
    # draw_stream: (steps, C) in raw units
    stream: Float64 = dataclasses.field(default_factory=lambda: np.empty((0, 0)))
    # draw_stream: of the sequences in the stream
    lengths: Lengths = dataclasses.field(default_factory=lambda: np.empty(0, np.int64))
    # draw_stream: (steps, O)
    reference: Float64 = dataclasses.field(default_factory=lambda: np.empty((0, 0)))
    # build_graphs, simplify: form -> graph
    graphs: Mapping[str, onnx.ModelProto] = dataclasses.field(default_factory=dict)
    # calibrate: x (N, F) and states (N, size) by name; x (N, T, F) alone for whole sequences
    calibration: Mapping[str, Float32] = dataclasses.field(default_factory=dict)
    # calibrate: by the name of an NPU vendor, what else its forms need
    prepared: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    # quantize_native: of int8.npz
    native_int8: Arrays = dataclasses.field(default_factory=dict)
    # convert: member -> the form that was kept
    artifacts: Mapping[str, Artifact] = dataclasses.field(default_factory=dict)
    # convert: member -> all that were tried
    candidates: Mapping[str, tuple[Candidate, ...]] = dataclasses.field(default_factory=dict)
    # inspect: by member
    inspections: Mapping[str, Inspection] = dataclasses.field(default_factory=dict)
    # verify_float, quantize_native, round_native, simulate, evaluate_task
    accuracy: Mapping[Measured, Accuracy] = dataclasses.field(default_factory=dict)
    # evaluate_task: of the models in fewer bits
    judgements: Mapping[Measured, Judgement] = dataclasses.field(default_factory=dict)
    # evaluate_task: the task's
    metrics: Mapping[Measured, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    # evaluate_task: (T, O) for each test sequence, of the NumPy backend
    answers: Sequence[NDArray[Any]] = ()
    notes: tuple[str, ...] = ()  # any step: facts that the user must know
    # any step that measures: member or backend -> reason
    left_out: Mapping[str, str] = dataclasses.field(default_factory=dict)
    # any step: notes on what should not be, and may be otherwise in another export
    doubts: tuple[str, ...] = ()
    bundle: Bundle | None = None  # pack
    # time_backends: on this machine
    speeds: tuple[Speed, ...] = ()
    counted: tuple[Counted, ...] = ()  # time_backends
    recommended: tuple[str, ...] = ()  # time_backends: sentences, the recommendation first

    def __repr__(self) -> str:
        left_out = f", {len(self.left_out)} left out" if self.left_out else ""
        return f"Work({self.out.name!r}, {self.spec.summary}{left_out})"

    @property
    def spec(self) -> ModelSpec:
        return self.run.spec

    @property
    def step(self) -> StepModel | None:
        """The graph, if the network is a `StepGraph`."""
        return self.run.step if isinstance(self.run, Imported) else None

    @property
    def base(self) -> Measured:
        """The backend of the float model: NumPy, or ONNX Runtime for a graph."""
        return keys.NUMPY if self.step is None else keys.onnx(GRAPHS[step_graphs.FORM])

    def float32(self, weights: Mapping[str, Float32] | None = None) -> Backend:
        """That backend. weights: others than the net's own."""
        if self.step is not None:
            return self.step.backend(weights)
        return numpy_backend(self.spec, self.weights if weights is None else weights)

    def exact(self) -> Backend:
        """The reference."""
        if self.step is not None:
            return self.step.reference()
        return reference(self.spec, self.weights)

    @functools.cached_property
    def rows(self) -> Float32:
        """(steps, F): the features of the golden stream, as every backend gets them."""
        return golden_features(self.spec, self.stream, self.lengths).astype(np.float32)

    @property
    def weights(self) -> Mapping[str, Float32]:
        return self.run.weights

    def doubt(self, text: str) -> Work:
        """A copy with this note. The export ends with exit code 1."""
        self.say(f"  {text}")
        return dataclasses.replace(self, notes=(*self.notes, text), doubts=(*self.doubts, text))

    def leave_out(self, name: str, reason: str) -> Work:
        """A copy without it, and with a note. name: a member, "native" or "native-int8"."""
        note = f"{name} was left out: {reason}"
        self.say(f"  {note}")
        if artifact := self.artifacts.get(name):
            artifact.converter.close()
        return dataclasses.replace(
            self,
            notes=(*self.notes, note),
            left_out={**self.left_out, name: reason},
            graphs={form: g for form, g in self.graphs.items() if GRAPHS[form] != name},
            native_int8={} if name == keys.NATIVE_INT8.backend else self.native_int8,
            artifacts={member: a for member, a in self.artifacts.items() if member != name},
            accuracy={
                backend: a
                for backend, a in self.accuracy.items()
                if name not in (backend.backend, backend.member)
            },
        )
