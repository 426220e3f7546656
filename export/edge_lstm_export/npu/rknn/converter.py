"""One model, converted by rknn-toolkit2 and on its simulator, in a process of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime import Backend
from edge_lstm_runtime.backends.base import State, check_state
from edge_lstm_runtime.backends.chunks import any_length

from ...layers import OPERATORS
from ..converted import Converted, Weights
from ..worker.batch import Batch
from ..worker.child import Tool
from ..worker.process import STEP_TIMEOUT, Process
from . import log
from .conversion import Conversion
from .environment import ENVIRONMENT

BUILD_TIMEOUT = 600.0  # seconds; a compact LSTM takes about one
MODEL = "model.rknn"
TOOL = Tool(ENVIRONMENT, Path(__file__).with_name("worker.py"), log.errors)


class Converter(Process, Converted):
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

    def run(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """features: (steps, F) -> (steps, O) on the simulator, the state carried."""
        steps = len(features)
        outputs = np.empty((steps, self.spec.output_size), np.float32)
        # Few enough that each answer comes well inside the time-out.
        some = self.steps * max(1, 1000 // self.steps)
        for start in range(0, steps, some):
            part = np.asarray(features[start : start + some], np.float32)
            outputs[start : start + some] = self._floats("run", part).reshape(len(part), -1)
        return outputs

    def trace(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """features: (steps, F) -> (steps, values): every output of each step, in the graph's order,
        the state carried."""
        rows = np.asarray(features, np.float32)
        return self._floats("trace", rows, timeout=BUILD_TIMEOUT).reshape(len(rows), -1)

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

    def get_state(self) -> dict[str, NDArray[np.float32]]:
        """(size,) each, by the network's names, in its order."""
        sizes = self.spec.network.state
        ends = np.cumsum(list(sizes.values()))[:-1]
        return dict(zip(sizes, np.split(self._floats("get_state"), ends), strict=True))

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """state: as `get_state` gives it."""
        self._floats("set_state", np.concatenate([state[name] for name in self.spec.network.state]))

    def backend(self, weights: Weights) -> Backend:
        return any_length(SimulatorBackend(self), self.steps, self.spec, weights)

    def _floats(
        self, operation: str, array: NDArray[Any] | None = None, timeout: float = STEP_TIMEOUT
    ) -> NDArray[np.float32]:
        content = b"" if array is None else np.ascontiguousarray(array, np.float32).tobytes()
        return np.frombuffer(self.ask(operation, content, timeout=timeout), np.float32)


class SimulatorBackend(Backend):
    name = "rknn-sim"

    def __init__(self, converter: Converter):
        self._converter = converter

    def reset(self) -> None:
        self._converter.reset()

    def step(self, features: NDArray[Any]) -> NDArray[Any]:
        answer: NDArray[Any] = self.run(features[None])[0]
        return answer

    def run(self, features: NDArray[Any]) -> NDArray[Any]:
        return self._converter.run(features)

    @property
    def state(self) -> State:
        return self._converter.get_state()

    @state.setter
    def state(self, value: State) -> None:
        sizes = self._converter.spec.network.state
        self._converter.set_state(check_state(value, {name: (n,) for name, n in sizes.items()}))

    def close(self) -> None:
        self._converter.close()
