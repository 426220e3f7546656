"""One conversion in a process of its own: whatever the vendor's code does there ends in one clear line here."""

from __future__ import annotations

import contextlib
import json
import os
import re
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
from edge_lstm_runtime import ConfigError, ConversionError, ModelSpec
from edge_lstm_runtime.backends.rknn.packing import Packing

from . import environment, log

BUILD_TIMEOUT = 600.0  # seconds; a compact LSTM takes about one
STEP_TIMEOUT = 120.0
MEMORY_VARIABLE = "EDGE_LSTM_CONVERTER_MEMORY_GB"
MEMORY_GB = 8.0  # of address space; hidden 64 takes 1.2, hidden 1024 1.7
PREFIX = "edge-lstm-converter-"
_NO_MEMORY = re.compile(
    r"MemoryError|bad_alloc|[Cc]ould not allocate|[Uu]nable to allocate|[Cc]an(no|')t allocate memory|not enough memory"
    r"|failed to map segment|[Tt]hread creation failed|can't start new thread"
)
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
        """graph, recipe: of a `graphs.form.Form`. calibration: float32, as `steps.calibrate` makes it:
        x (N, F), and every state (N, size) by name; x (N, T, F) alone for whole sequences.

        Raises ConversionError with the vendor's own message; the whole log is then kept in
        `log_file`, if one is given.
        """
        self._label, self._log_file = f"{target} {scheme}", log_file
        self._spec = spec
        self._memory = _memory_limit()
        self._peak = 0  # bytes of address space, as last seen
        self.steps: int = recipe["io"].get("steps", 1)
        interpreter = environment.python(say)
        self._process: subprocess.Popen[bytes] | None = None
        self._pipes: list[int] = []
        self._folder, self._claim = _claim_folder()
        try:
            try:
                (self._folder / "model.onnx").write_bytes(graph)
                if scheme != "fp16":
                    _write_dataset(self._folder, spec, graph, recipe["io"], calibration)
                self._start(interpreter)
            except OSError as e:
                raise ConversionError(_no_folder(self._folder, e)) from e
            self._greet()
            job = {
                "target": target,
                "scheme": scheme,
                "recipe": dict(recipe),
                "features": spec.inputs.feature_size,
                "states": spec.network.state,
            }
            self._ask("build", job=job, timeout=timeout)
            text = self.log()
            if found := log.errors(text):
                raise self._failure(f"logged an error although it returned success: {found[0]}")
            try:
                self.operators, self.memory_kb = log.operators(text), log.memory_kb(text)
            except ValueError as e:
                raise self._failure(
                    f"printed a table of operators that is not known here: {e}"
                ) from e
            if not self.operators:
                raise self._failure(
                    "printed no table of operators; is this a version of rknn-toolkit2 that is not known here?"
                )
            path = self._folder / "model.rknn"
            self.rknn = path.read_bytes() if path.exists() else b""
            if not self.rknn:
                raise self._failure("returned success and wrote no model")
            if not (
                self.rknn.startswith(b"RKNN") and self.rknn.endswith(b"}")
            ):  # binary, then JSON
                raise self._failure(
                    f"returned success and wrote only a part of the model ({len(self.rknn)} bytes)"
                )
        except BaseException:
            self.close()
            raise

    def _start(self, interpreter: Path) -> None:
        # The worker imports the runtime package alone; the rest of this environment must not be on its path.
        packages = self._folder / "packages"
        packages.mkdir()
        (packages / "edge_lstm_runtime").symlink_to(Path(edge_lstm_runtime.__file__).parent)
        ends = []
        for ours in (1, 0, 1):  # requests, answers, lifeline: the last is only held
            pair = os.pipe()
            self._pipes.append(pair[ours])
            ends.append(pair[1 - ours])
        os.set_blocking(self._pipes[0], False)
        blocked = {"PYTHONHOME", "VIRTUAL_ENV"}
        variables = {k: v for k, v in os.environ.items() if k not in blocked}
        variables.update(
            dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        )  # several run side by side
        variables.update(
            {"PYTHONPATH": str(packages), "PYTHONNOUSERSITE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        )
        variables["PYTHONUNBUFFERED"] = "1"  # else the end of the log is missing when it is read
        start = Path(__file__).with_name("start.py")
        try:
            with open(self._folder / "log.txt", "wb") as output:  # noqa: PTH123
                try:
                    self._process = subprocess.Popen(
                        [interpreter, start, self._folder, *map(str, ends), str(self._memory)],
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=subprocess.STDOUT,
                        pass_fds=ends,
                        cwd=self._folder,  # the vendor's code leaves files where it stands
                        env={**variables, "TMPDIR": str(self._folder)},
                        start_new_session=True,
                    )
                except OSError as e:
                    raise ConversionError(
                        f"can't start {interpreter}: {e.strerror}; {environment.advice()}"
                    ) from e
        finally:
            for end in ends:
                os.close(end)

    def _greet(self) -> None:
        """Waits until the vendor's code is loaded."""
        try:
            error = self._receive(time.monotonic() + STEP_TIMEOUT)[0]
        except _EndedError:
            error = self._how_it_ended()
        except TimeoutError:
            self._kill()
            error = f"it gave no answer in time ({STEP_TIMEOUT:g} s) and was ended"
        if error:
            raise self._failure(f"can't be loaded: {error}", advice=environment.advice())

    def run(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """features: (steps, F) -> (steps, O) on the simulator, the state carried."""
        steps = len(features)
        outputs = np.empty((steps, self._spec.output_size), np.float32)
        some = self.steps * max(
            1, 1000 // self.steps
        )  # so that each answer comes well inside the time-out
        for start in range(0, steps, some):
            part = np.asarray(features[start : start + some], np.float32)
            outputs[start : start + some] = self._ask("run", part).reshape(len(part), -1)
        return outputs

    def trace(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """features: (steps, F) -> (steps, values): every output of each step, in the graph's order, the state carried."""
        return self._ask("trace", np.asarray(features, np.float32), timeout=BUILD_TIMEOUT).reshape(
            len(features), -1
        )

    @property
    def inner_operators(self) -> list[dict[str, Any]]:
        """The rows of the converter's table but those of the graph's inputs and outputs."""
        return [
            row
            for row in self.operators
            if row["operator"] not in ("InputOperator", "OutputOperator")
        ]

    @property
    def cycles(self) -> int | None:
        """Of one run, as the converter estimates them; None where it gives none for its operators, as for the fused LSTM."""
        totals = [row["cycles"].rsplit("/", 1)[-1] for row in self.inner_operators]
        total = sum(int(cycles) for cycles in totals if cycles.isdigit())
        return (
            None
            if not total or any(row["operator"] == "exLSTM" for row in self.inner_operators)
            else total
        )

    def reset(self) -> None:
        self._ask("reset")

    def get_state(self) -> dict[str, NDArray[np.float32]]:
        """(size,) each, by the network's names, in its order."""
        sizes = self._spec.network.state
        ends = np.cumsum(list(sizes.values()))[:-1]
        return dict(zip(sizes, np.split(self._ask("get_state"), ends), strict=True))

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """state: as `get_state` gives it."""
        self._ask("set_state", np.concatenate([state[name] for name in self._spec.network.state]))

    def log(self) -> str:
        """All that the vendor's code has printed so far."""
        try:
            return (self._folder / "log.txt").read_text("utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def close(self) -> None:
        if self._process is not None:
            self._kill()
            self._process = None
        for descriptor in self._pipes:
            os.close(descriptor)
        self._pipes = []
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._claim is not None:
            os.close(self._claim)
            self._claim = None

    def _kill(self) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def __enter__(self) -> Converter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(
        self,
        operation: str,
        array: NDArray[Any] | None = None,
        *,
        job: Mapping[str, Any] | None = None,
        timeout: float = STEP_TIMEOUT,
    ) -> NDArray[np.float32]:
        content = b"" if array is None else np.ascontiguousarray(array, np.float32).tobytes()
        if self._process is None:
            raise ConversionError(f"the simulator of {self._label} is closed")
        header = (
            json.dumps({"operation": operation, "job": job, "bytes": len(content)}).encode() + b"\n"
        )
        deadline = time.monotonic() + timeout
        try:
            self._send(header + content, deadline)
            error, result = self._receive(deadline)
        except (_EndedError, BrokenPipeError):
            raise self._failure(self._how_it_ended()) from None
        except TimeoutError:
            self._kill()
            raise self._failure(
                f"gave no answer in time ({timeout:g} s in {operation}) and was ended"
            ) from None
        if error:
            messages = log.errors(self.log())
            raise self._failure(
                f"failed in {operation}: {error}" + (f" ({messages[0]})" if messages else "")
            )
        return np.frombuffer(result, np.float32)

    def _send(self, data: bytes, deadline: float) -> None:
        view = memoryview(data)
        while view:
            self._wait_for(self._pipes[0], deadline, writing=True)
            view = view[os.write(self._pipes[0], view) :]

    def _receive(self, deadline: float) -> tuple[str | None, bytes]:
        """(error, content) of one answer."""
        line = b""
        while not line.endswith(b"\n"):
            line += self._read(1, deadline)
        answer = json.loads(line)
        self._peak = answer["peak"]
        return answer["error"], self._read(answer["bytes"], deadline)

    def _read(self, count: int, deadline: float) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            self._wait_for(self._pipes[1], deadline)
            part = os.read(self._pipes[1], count - len(parts))
            if not part:
                raise _EndedError
            parts += part
        return bytes(parts)

    def _wait_for(self, descriptor: int, deadline: float, *, writing: bool = False) -> None:
        mine: tuple[list[int], list[int]] = ([], [descriptor]) if writing else ([descriptor], [])
        while not any(select.select(*mine, [], max(0.0, min(0.1, deadline - time.monotonic())))):
            self._look_at_memory()
            if time.monotonic() >= deadline:
                raise TimeoutError

    def _look_at_memory(self) -> None:
        assert self._process is not None
        try:
            text = Path(f"/proc/{self._process.pid}/status").read_text("ascii", errors="replace")
        except OSError:
            return
        if match := re.search(r"VmPeak:\s+(\d+) kB", text):
            self._peak = int(match[1]) * 1024

    def _how_it_ended(self) -> str:
        assert self._process is not None
        try:
            code = self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._kill()
            return "closed its pipe and went on; it was ended"
        if code == -signal.SIGKILL:
            return "was killed (SIGKILL), by hand or by the system for want of memory"
        if code < 0:
            return f"crashed ({signal.Signals(-code).name})"
        messages = (
            log.errors(self.log())
            or [line for line in self.log().splitlines() if line.strip()][-1:]
        )
        return f"ended with exit code {code}" + (f": {messages[-1]}" if messages else "")

    def _failure(self, what: str, *, advice: str = "") -> ConversionError:
        text = self.log()
        limit = f"out of memory (limit {self._memory / 2**30:g} GiB, set by {MEMORY_VARIABLE})"
        if _NO_MEMORY.search(what) or _NO_MEMORY.search(text):
            what, advice = f"ran {limit}: {what}", ""
        elif _is_full(self._folder):
            what, advice = (
                f"found no space left in {self._folder.parent} (less than 1 MiB): {what}",
                "",
            )
        elif (
            self._peak > 0.7 * self._memory
        ):  # without memory the vendor's code fails in many ways, most of which name another cause
            what, advice = f"probably ran {limit}; it had {self._peak / 2**30:.2f} GiB: {what}", ""
        kept = f"; {advice}" if advice else ""
        if self._log_file is not None:
            try:
                self._log_file.write_text(text, "utf-8")
                kept += f"; its whole log is in {self._log_file}"
            except OSError as e:
                self._log_file.unlink(missing_ok=True)
                kept += f"; its log could not be kept in {self._log_file}: {e.strerror}"
        return ConversionError(f"rknn-toolkit2 ({self._label}) {what}{kept}")


class _EndedError(Exception):
    """The process has closed its pipe."""


def _memory_limit() -> int:
    text = os.environ.get(MEMORY_VARIABLE) or str(MEMORY_GB)
    try:
        size = int(float(text) * 2**30)
    except (ValueError, OverflowError):
        size = 0
    if size <= 0:
        raise ConfigError(
            f"{MEMORY_VARIABLE} is {text!r}; expected a number of GiB above 0, such as {MEMORY_GB:g}"
        )
    return size


def _claim_folder() -> tuple[Path, int | None]:
    """A new folder and its lock, which ends with this process: what a killed one left is known by it, and removed here."""
    import fcntl

    try:
        parent = Path(tempfile.gettempdir())
        for folder in parent.glob(f"{PREFIX}*"):
            with contextlib.suppress(OSError):  # locked, or not ours
                if time.time() - folder.stat().st_mtime < 10:  # perhaps not locked yet
                    continue
                claim = os.open(folder, os.O_RDONLY)
                try:
                    fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)
                finally:
                    os.close(claim)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    except OSError as e:
        raise ConversionError(
            _no_folder(Path(tempfile.tempdir or os.environ.get("TMPDIR") or "/tmp"), e)
        ) from e
    mine = None
    with contextlib.suppress(OSError):  # a file system without locks
        mine = os.open(folder, os.O_RDONLY)
        fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return folder, mine


def _no_folder(folder: Path, error: OSError) -> str:
    return f"can't write the converter's files into {folder}: {error.strerror or error}; TMPDIR names another place"


def _is_full(folder: Path) -> bool:
    try:
        return (
            shutil.disk_usage(folder).free < 2**20
        )  # the vendor's code may have removed some of its own already
    except OSError:
        return False


def dataset(calibration: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """The part of the calibration set that the converter is given, evenly drawn: it needs ranges only, and gets most of them from us."""
    count = len(calibration["x"])
    chosen = np.unique(np.linspace(0, count - 1, min(DATASET, count)).astype(int))
    return {name: array[chosen] for name, array in calibration.items()}


def _write_dataset(
    folder: Path,
    spec: ModelSpec,
    graph: bytes,
    io: Mapping[str, Any],
    calibration: Mapping[str, NDArray[np.float32]],
) -> None:
    """The vendor's format: a text file, a line for each sample, an .npy file for each input in the
    graph's order and shape."""
    sizes = spec.network.state
    packing = Packing(io, features=spec.inputs.feature_size, states=sizes)
    multiplied = {f"{layer.name}.{layer.recurrent}" for layer in spec.network.layers} & set(sizes)
    shapes = [
        [d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in onnx.load_from_string(graph).graph.input
    ]
    samples, steps = dataset(calibration), packing.steps
    xs = samples["x"]
    lines = []
    for n in range(len(xs)):
        state = {name: samples[name][n] for name in sizes}
        if steps > 1 and n < 2:
            # Over several steps the converter aborts unless the h that it sees reaches from -1 to 1.
            state |= {name: np.full(sizes[name], 1.0 - 2 * n) for name in multiplied}
        packing.state = state
        several = steps > 1 and not spec.whole
        packing.put(np.take(xs, range(n, n + steps), axis=0, mode="wrap") if several else xs[n])
        names = [str(folder / f"calibration_{n}_{i}.npy") for i in range(len(shapes))]
        for name, array, shape in zip(names, packing.inputs, shapes, strict=True):
            np.save(name, array.reshape(shape))
        lines.append(" ".join(names))
    (folder / "dataset.txt").write_text("\n".join(lines) + "\n", "utf-8")
