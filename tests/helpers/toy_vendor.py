"""The vendor of an NPU that there is not, as another package would bring it: its "converter" rounds
the weights of the bundle's cell to float16, and its "simulator" is ONNX Runtime."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

from edge_lstm_export.graphs.bundle import cells
from edge_lstm_export.graphs.checked import checked
from edge_lstm_export.npu.converted import Converted, Job, Packed
from edge_lstm_export.npu.finding import Finding, Rule
from edge_lstm_export.npu.target import Table, Target
from edge_lstm_export.npu.vendor import Vendor
from edge_lstm_export.work import Artifact, Work
from edge_lstm_runtime import Backend, Bundle, Facts
from edge_lstm_runtime.backends.artifacts import pick_artifact
from edge_lstm_runtime.backends.base import State

KIND = "toy"
FACTS = Facts("the artifact's", runs_on="simulator", needs="ONNX Runtime", artifact=KIND)
TARGETS = """
[target.toy-1]
schemes = ["half"]
boards = "none"
sources = { boards = ["book:2"] }
[target.toy-2]
schemes = ["half", "narrow"]
refused = { wide = "it has no room" }
sources = {}
[schemes]
half = "float16 weights"
narrow = "the same, of at most 8 columns"
[sources]
book = "A book on toys"
"""


class Toy(Backend):
    """The cell by ONNX Runtime. sizes: of the states."""

    name = "toysim"

    def __init__(self, model: bytes, sizes: Mapping[str, int]):
        self._session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        self._sizes = sizes
        self.reset()

    def reset(self) -> None:
        self.state = {name: np.zeros(size, np.float32) for name, size in self._sizes.items()}

    def step(self, features: Any) -> Any:
        vectors = [features, *self._state.values()]
        named = zip(self._session.get_inputs(), vectors, strict=True)
        given = {i.name: np.reshape(v, i.shape).astype(np.float32) for i, v in named}
        y, *states = self._session.run(None, given)
        self.state = {n: s.ravel() for n, s in zip(self._sizes, states, strict=True)}
        return y.ravel()

    @property
    def state(self) -> State:
        return {name: array.copy() for name, array in self._state.items()}

    @state.setter
    def state(self, value: State) -> None:
        self._state = {name: np.array(value[name]) for name in self._sizes}


def open_backend(bundle: Bundle, *, artifact: str | None = None) -> Backend:
    member, _ = pick_artifact(bundle, KIND, artifact)
    return Toy(bundle.member(member), bundle.spec.network.state)


@dataclasses.dataclass(frozen=True)
class Form:
    name: str
    graph: onnx.ModelProto
    steps: int = 1
    label: str = "rounded"


@dataclasses.dataclass(frozen=True)
class Model(Converted):
    content: bytes
    sizes: Mapping[str, int]
    cycles = 42
    on_cpu = 0

    def backend(self, weights: Any) -> Backend:
        return Toy(self.content, self.sizes)

    def close(self) -> None:
        """Nothing is open."""


def columns(graph: onnx.ModelProto) -> Any:
    """A kernel has at most 8 columns in narrow."""
    for tensor in graph.graph.initializer:
        if len(tensor.dims) > 1 and tensor.dims[1] > 8:
            yield f"{tensor.name} has {tensor.dims[1]} columns, expected at most 8", "use half"


class ToyVendor(Vendor):
    name = "toy"
    title = "Toys"
    models = "toy"
    kind = KIND
    simulator = "toysim"
    source = "ONNX Runtime, not a toy"
    legend = "They are for play."

    @property
    def table(self) -> Table:
        return Table.read(TARGETS)

    def targets(self) -> Mapping[str, Target]:
        return {name: Target(**common) for name, common, _ in self.table.rows(self.name)}

    def rules(self) -> Mapping[str, Rule]:
        return {"columns": Rule("error", columns)}

    def lint(self, graph: onnx.ModelProto, target: str, scheme: str) -> Sequence[Finding]:
        return [
            Finding(name, rule.level, *place)
            for name, rule in self.rules().items()
            if scheme == "narrow"
            for place in rule.check(graph)
        ]

    def lint_bundle(
        self, bundle: Bundle, target: str, scheme: str
    ) -> Mapping[str, Sequence[Finding]]:
        graph = checked("cell.onnx", bundle.member("cell.onnx"))
        return {"cell.onnx": self.lint(graph, target, scheme)}

    def jobs(self, work: Work, target: str, scheme: str) -> Sequence[Job]:
        return [Job(target, scheme, "rounded")]

    def form(self, work: Work, name: str, steps: int) -> Form:
        return Form(name, cells(work.spec, work.weights)[0])

    def findings(self, work: Work, form: Any, target: str, scheme: str) -> Sequence[Finding]:
        return self.lint(form.graph, target, scheme)

    def convert(self, work: Work, job: Job, form: Any, log_file: Path) -> Model:
        graph = onnx.ModelProto.FromString(form.graph.SerializeToString())
        for tensor in graph.graph.initializer:
            array = numpy_helper.to_array(tensor)
            if array.dtype == np.float32:
                rounded = array.astype(np.float16).astype(np.float32)
                tensor.CopyFrom(numpy_helper.from_array(rounded, tensor.name))
        return Model(graph.SerializeToString(), work.spec.network.state)

    def notes(self, work: Work, kept: Job) -> Sequence[str]:
        return ["it can be played with"]

    def pack(self, work: Work, artifact: Artifact, shared: Mapping[str, bytes]) -> Packed:
        model: Any = artifact.converter
        facts = {
            "recipe": {"io": {"form": artifact.form.name}},
            "estimates": [{"what": "blocks", "value": "7", "source": "counted by a child"}],
        }
        return Packed(model.content, facts, beside={"toy.txt": b"play"}, versions={"toy": "1"})


VENDOR = ToyVendor()
