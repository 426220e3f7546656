"""One conversion in a process of its own: whatever the vendor's code does there ends in one clear line here."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

import edge_lstm_runtime
from edge_lstm_runtime import ConversionError, ModelSpec
from edge_lstm_runtime.packing import Packing

from . import environment, log

BUILD_TIMEOUT = 600.0  # seconds; a compact LSTM takes about one
STEP_TIMEOUT = 120.0
DATASET = 256  # samples that the converter is given


class Converter:
    """A converted model and its simulator. Use as a context manager; leaving it ends the process and removes its folder."""

    def __init__(
        self,
        spec: ModelSpec,
        graph: bytes,
        recipe: Mapping[str, Any],
        target: str,
        scheme: str,
        calibration: Mapping[str, NDArray[np.float32]],
        *,
        say: Callable[[str], None] = lambda _: None,
        log_file: Path | None = None,
        timeout: float = BUILD_TIMEOUT,
    ):
        """graph, recipe: of a `forms.Form`. calibration: x (N, F), h and c (N, layers, H), float32, as `steps.calibrate` makes it.

        Raises ConversionError with the vendor's own message; the whole log is then kept in `log_file`, if one is given.
        """
        self._label, self._log_file = f"{target} {scheme}", log_file
        self._spec = spec
        self.steps: int = recipe["io"].get("steps", 1)
        interpreter = environment.python(say)
        self._folder = Path(tempfile.mkdtemp(prefix="edge-lstm-rknn-"))
        self._process: subprocess.Popen[bytes] | None = None
        try:
            (self._folder / "model.onnx").write_bytes(graph)
            if scheme != "fp16":
                _write_dataset(self._folder, spec, graph, recipe["io"], calibration)
            self._start(interpreter)
            job = {
                "target": target,
                "scheme": scheme,
                "recipe": dict(recipe),
                "features": spec.feature_size,
                "hidden": spec.hidden_size,
                "layers": spec.num_layers,
            }
            self._ask("build", job=job, timeout=timeout)
            text = self.log()
            if found := log.errors(text):
                raise self._failure(f"logged an error although it returned success: {found[0]}")
            self.operators, self.memory_kb = log.operators(text), log.memory_kb(text)
            if not self.operators:
                raise self._failure("printed no table of operators; is this a version of rknn-toolkit2 that is not known here?")
            path = self._folder / "model.rknn"
            self.rknn = path.read_bytes() if path.exists() else b""
            if not self.rknn:
                raise self._failure("returned success and wrote no model")
        except BaseException:
            self.close()
            raise

    def _start(self, interpreter: Path) -> None:
        # The worker imports the runtime package alone; the rest of this environment must not be on its path.
        packages = self._folder / "packages"
        packages.mkdir()
        (packages / "edge_lstm_runtime").symlink_to(Path(edge_lstm_runtime.__file__).parent)
        theirs, self._requests = os.pipe()
        self._answers, theirs_too = os.pipe()
        worker = Path(__file__).with_name("worker.py")
        blocked = {"PYTHONHOME", "VIRTUAL_ENV"}
        variables = {k: v for k, v in os.environ.items() if k not in blocked}
        try:
            with open(self._folder / "log.txt", "wb") as output:  # noqa: PTH123
                self._process = subprocess.Popen(
                    [interpreter, worker, self._folder, str(theirs), str(theirs_too)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=(theirs, theirs_too),
                    cwd=self._folder,  # the vendor's code leaves files where it stands
                    env={**variables, "PYTHONPATH": str(packages), "PYTHONNOUSERSITE": "1", "PYTHONDONTWRITEBYTECODE": "1"},
                    start_new_session=True,
                )
        except OSError as e:
            os.close(self._requests)
            os.close(self._answers)
            raise ConversionError(f"can't start {interpreter}: {e.strerror}; delete {environment.location()} and run again") from e
        finally:
            os.close(theirs)
            os.close(theirs_too)

    def run(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """features: (steps, F) -> (steps, O) on the simulator, the state carried."""
        steps = len(features)
        outputs = np.empty((steps, self._spec.output_size), np.float32)
        some = self.steps * max(1, 1000 // self.steps)  # so that each answer comes well inside the time-out
        for start in range(0, steps, some):
            part = np.asarray(features[start : start + some], np.float32)
            outputs[start : start + some] = self._ask("run", part).reshape(len(part), -1)
        return outputs

    def trace(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """features: (steps, F) -> (steps, values): every output of each step, in the graph's order, the state carried."""
        return self._ask("trace", np.asarray(features, np.float32), timeout=BUILD_TIMEOUT).reshape(len(features), -1)

    @property
    def inner_operators(self) -> list[dict[str, Any]]:
        """The rows of the converter's table but those of the graph's inputs and outputs."""
        return [row for row in self.operators if row["operator"] not in ("InputOperator", "OutputOperator")]

    @property
    def cycles(self) -> int | None:
        """Of one run, as the converter estimates them; None where it gives none for its operators, as for the fused LSTM."""
        totals = [row["cycles"].rsplit("/", 1)[-1] for row in self.inner_operators]
        total = sum(int(cycles) for cycles in totals if cycles.isdigit())
        return None if not total or any(row["operator"] == "exLSTM" for row in self.inner_operators) else total

    def reset(self) -> None:
        self._ask("reset")

    def get_state(self) -> NDArray[np.float32]:
        """(2, layers, H): h and c."""
        return self._ask("get_state").reshape(2, self._spec.num_layers, self._spec.hidden_size)

    def set_state(self, state: NDArray[np.float32]) -> None:
        self._ask("set_state", state)

    def log(self) -> str:
        """All that the vendor's code has printed so far."""
        try:
            return (self._folder / "log.txt").read_text("utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def close(self) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
            os.close(self._requests)
            os.close(self._answers)
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Converter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _ask(
        self, operation: str, array: NDArray[Any] | None = None, *, job: Mapping[str, Any] | None = None, timeout: float = STEP_TIMEOUT
    ) -> NDArray[np.float32]:
        content = b"" if array is None else np.ascontiguousarray(array, np.float32).tobytes()
        if self._process is None:
            raise ConversionError(f"the simulator of {self._label} is closed")
        header = json.dumps({"operation": operation, "job": job, "bytes": len(content)}).encode() + b"\n"
        deadline = time.monotonic() + timeout
        try:
            _write_all(self._requests, header + content)
        except BrokenPipeError:
            raise self._failure(self._how_it_ended()) from None
        answer = json.loads(self._read_line(deadline))
        result = np.frombuffer(self._read(answer["bytes"], deadline), np.float32)
        if answer["error"]:
            messages = log.errors(self.log())
            raise self._failure(f"failed in {operation}: {answer['error']}" + (f" ({messages[0]})" if messages else ""))
        return result

    def _read_line(self, deadline: float) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            line += self._read(1, deadline)
        return line

    def _read(self, count: int, deadline: float) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise self._failure("gave no answer in time and was ended")
            part = os.read(self._answers, count - len(parts))
            if not part:
                raise self._failure(self._how_it_ended())
            parts += part
        return bytes(parts)

    def _how_it_ended(self) -> str:
        assert self._process is not None
        code = self._process.wait(timeout=10)
        if code < 0:
            return f"crashed ({signal.Signals(-code).name})"
        messages = log.errors(self.log()) or [line for line in self.log().splitlines() if line.strip()][-1:]
        return f"ended with exit code {code}" + (f": {messages[-1]}" if messages else "")

    def _failure(self, what: str) -> ConversionError:
        kept = ""
        if self._log_file is not None:
            self._log_file.write_text(self.log(), "utf-8")
            kept = f"; its whole log is in {self._log_file}"
        return ConversionError(f"rknn-toolkit2 ({self._label}) {what}{kept}")


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def dataset(calibration: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """The part of the calibration set that the converter is given, evenly drawn: it needs ranges only, and gets most of them from us."""
    count = len(calibration["x"])
    chosen = np.unique(np.linspace(0, count - 1, min(DATASET, count)).astype(int))
    return {name: array[chosen] for name, array in calibration.items()}


def _write_dataset(
    folder: Path, spec: ModelSpec, graph: bytes, io: Mapping[str, Any], calibration: Mapping[str, NDArray[np.float32]]
) -> None:
    """The vendor's format: a text file, a line for each sample, an .npy file for each input in the graph's order and shape."""
    packing = Packing(io, features=spec.feature_size, hidden=spec.hidden_size, layers=spec.num_layers)
    shapes = [[d.dim_value for d in value.type.tensor_type.shape.dim] for value in onnx.load_from_string(graph).graph.input]
    samples, steps = dataset(calibration), packing.steps
    xs = samples["x"]
    lines = []
    for n in range(len(xs)):
        h, c = samples["h"][n], samples["c"][n]
        if steps > 1 and n < 2:  # over several steps the converter aborts unless the h that it sees reaches from -1 to 1
            h = np.full_like(h, 1 - 2 * n)
        packing.state = h, c
        packing.put(np.take(xs, range(n, n + steps), axis=0, mode="wrap") if steps > 1 else xs[n])
        names = [str(folder / f"calibration_{n}_{i}.npy") for i in range(len(shapes))]
        for name, array, shape in zip(names, packing.inputs, shapes, strict=True):
            np.save(name, array.reshape(shape))
        lines.append(" ".join(names))
    (folder / "dataset.txt").write_text("\n".join(lines) + "\n", "utf-8")
