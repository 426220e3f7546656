"""One model, compiled by Vela or read from a bundle, on TOSA's reference model, in a process of
its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime import Backend, ModelSpec
from edge_lstm_runtime.backends.tosa.backend import TosaBackend
from edge_lstm_runtime.backends.tosa.program import unpack
from edge_lstm_runtime.model.npz import read_npz

from ..converted import Converted, Traced, Weights
from ..worker.batch import Batch
from ..worker.child import Tool
from ..worker.streamed import Streamed, StreamedBackend
from .conversion import Conversion, written
from .environment import ENVIRONMENT

BUILD_TIMEOUT = 600.0  # seconds; a compact LSTM takes about 20
TOOL = Tool(ENVIRONMENT, Path(__file__).with_name("worker.py"))
KINDS = ("pte", "tflite", "npz", "flatbuffer")  # ExecuTorch's, TFLite's, Vela's, TOSA's


class Simulated(Streamed):
    """A program on TOSA's reference model."""

    some = 500


class Compiled(Simulated, Converted):
    """model: the program's artifact. files_of: kind -> the content of another file, of KINDS."""

    def __init__(
        self,
        conversion: Conversion,
        *,
        say: Callable[[str], None] = lambda _: None,
        log_file: Path | None = None,
        batch: Batch | None = None,
    ):
        """say, log_file, batch, and what is raised: as of Process."""
        self.spec = conversion.spec
        super().__init__(
            TOOL, conversion.label, conversion.write, say=say, log_file=log_file, batch=batch
        )
        try:
            job = {**conversion.job, "files": self.files}
            digest = self.ask("build", job=job, timeout=BUILD_TIMEOUT)
            self.model = self.read("model.tosa")
            if hashlib.sha256(self.model).digest() != digest:
                raise self.failure("wrote a model that was changed before it was read", retry=True)
            self.files_of = {kind: self.read(f"model.{kind}") for kind in KINDS}
            facts = json.loads(self.read("facts.json"))
            self.operators: list[dict[str, str]] = facts["operators"]
            self.summary: dict[str, str] = facts["summary"]
            self.outside: list[str] = facts["outside"]
            self.versions: dict[str, str] = facts["versions"]
            self.program, self._constants = unpack(self.model, "the compiled program")
        except BaseException:
            self.close()
            raise

    @property
    def cycles(self) -> int | None:
        """Of a step, as Vela estimates them."""
        return int(float(self.summary["cycles_total"]))

    @property
    def on_cpu(self) -> int:
        on_cpu = sum(row["Target"] != "NPU" for row in self.operators)
        return on_cpu + len(self.outside)

    def backend(self, weights: Weights) -> Backend:
        return self.integers()

    def trace(self, rows: NDArray[Any]) -> Sequence[Traced]:
        """y, each state, and each value inside that has a grid of its own: of the reference model,
        and in float64. rows: (steps, F), from the start of a stream. Raises as of Process."""
        content = np.ascontiguousarray(rows, np.float32).tobytes()
        arrays = read_npz(self.ask("trace", content, timeout=BUILD_TIMEOUT), "the trace")
        names = [name.partition("/")[2] for name in arrays if name.startswith("found/")]
        return [Traced(name, arrays[f"found/{name}"], arrays[f"exact/{name}"]) for name in names]

    def integers(self, streams: int | None = None) -> TosaBackend:
        """The program on NumPy, equal to the reference model to the bit."""
        return TosaBackend(self.spec, self.program, self._constants, streams=streams)


class Opened(Simulated):
    """An artifact of a bundle. program, flatbuffer: the two files that an export has made."""

    def __init__(self, spec: ModelSpec, program: bytes, flatbuffer: bytes):
        self.spec = spec
        contents = {"model.tosa": program, "model.flatbuffer": flatbuffer}
        super().__init__(TOOL, "the reference model", partial(written, contents))
        try:
            layers = spec.network.to_list()
            job = {"features": spec.inputs.feature_size, "layers": layers, "files": self.files}
            self.ask("open", job=job)
        except BaseException:
            self.close()
            raise


class ReferenceModel(StreamedBackend):
    """TOSA's reference model with one program."""

    name = "tosa-sim"

    def __init__(self, process: Simulated):
        super().__init__(process)
        self.reset()
