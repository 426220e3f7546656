"""One model, converted by rknn-toolkit2 and on its simulator, in a process of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime import Backend
from edge_lstm_runtime.backends.chunks import any_length

from ...layers import OPERATORS
from ..converted import Converted, Weights
from ..worker.batch import Batch
from ..worker.child import Tool
from ..worker.streamed import Streamed, StreamedBackend
from . import log
from .conversion import Conversion
from .environment import ENVIRONMENT

BUILD_TIMEOUT = 600.0  # seconds; a compact LSTM takes about one
MODEL = "model.rknn"
TOOL = Tool(ENVIRONMENT, Path(__file__).with_name("worker.py"), log.errors)


class Converter(Streamed, Converted):
    """A converted model and its simulator. rknn: the content of its file."""

    def __init__(
        self,
        conversion: Conversion,
        *,
        say: Callable[[str], None] = lambda _: None,
        log_file: Path | None = None,
        timeout: float = BUILD_TIMEOUT,
        batch: Batch | None = None,
    ):
        """timeout: of the build, in seconds. The others, and what is raised, are as of Process."""
        self.spec = conversion.spec
        self.steps = conversion.steps
        self.some = self.steps * max(1, 1000 // self.steps)
        super().__init__(
            TOOL, conversion.label, conversion.write, say=say, log_file=log_file, batch=batch
        )
        try:
            job = {**conversion.job, "files": self.files}
            digest = self.ask("build", job=job, timeout=timeout)
            self.operators, self.memory_kb = self._read_log()
            self.rknn = self._read_model(digest)
        except BaseException:
            self.close()
            raise

    def _read_log(self) -> tuple[list[dict[str, Any]], dict[str, float]]:
        """The table of operators, and the memory in KB by its kind. See `log`."""
        text = self.log()
        if found := log.errors(text):
            raise self.failure(f"logged an error although it returned success: {found[0]}")
        try:
            operators = log.operators(text)
            memory_kb = log.memory_kb(text)
        except ValueError as e:
            raise self.failure(f"printed a table of operators that is not known here: {e}") from e
        if not operators:
            raise self.failure(
                "printed no table of operators; "
                "is this a version of rknn-toolkit2 that is not known here?"
            )
        return operators, memory_kb

    def _read_model(self, digest: bytes) -> bytes:
        """digest: the sha256 that the process has found."""
        model = self.read(MODEL)
        if not model:
            raise self.failure("returned success and wrote no model")
        if not (model.startswith(b"RKNN") and model.endswith(b"}")):  # binary, then JSON
            raise self.failure(
                f"returned success and wrote only a part of the model ({len(model)} bytes)"
            )
        if hashlib.sha256(model).digest() != digest:
            raise self.failure("wrote a model that was changed before it was read", retry=True)
        return model

    def trace(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """features: (steps, F) -> (steps, values): every output of each step, in the graph's order,
        the state carried."""
        rows = np.asarray(features, np.float32)
        return self.floats("trace", rows, timeout=BUILD_TIMEOUT).reshape(len(rows), -1)

    @property
    def inner_operators(self) -> list[dict[str, Any]]:
        """The rows of the converter's table, without those of the graph's inputs and outputs."""
        return [
            row
            for row in self.operators
            if row["operator"] not in ("InputOperator", "OutputOperator")
        ]

    @property
    def cycles(self) -> int | None:
        """The converter's estimate for one run. None if it gives none, as for a fused operator."""
        totals = [row["cycles"].rsplit("/", 1)[-1] for row in self.inner_operators]
        total = sum(int(cycles) for cycles in totals if cycles.isdigit())
        fused = {f"ex{OPERATORS.load(name).OPERATOR.name}" for name in OPERATORS.names()}
        unknown = any(row["operator"] in fused for row in self.inner_operators)
        return None if unknown or not total else total

    @property
    def on_cpu(self) -> int:
        return sum(row["target"] == "CPU" for row in self.inner_operators)

    def reset(self) -> None:
        self.ask("reset")
        if any(layer.initial for layer in self.spec.network.layers):
            self.set_state(self.spec.network.initial_state())

    def backend(self, weights: Weights) -> Backend:
        return any_length(SimulatorBackend(self), self.steps, self.spec, weights)


class SimulatorBackend(StreamedBackend):
    name = "rknn-sim"
