"""One conversion in a process of its own.

However the vendor's code fails in there, the failure ends in one clear line here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime import ConversionError
from edge_lstm_runtime.errors import ConverterDiedError
from edge_lstm_runtime.files import atomic_write

from ...layers import OPERATORS
from . import environment, log
from .batch import STOPPED, Batch
from .child import MEMORY_VARIABLE, Child, EndedError, memory_limit
from .conversion import Conversion
from .folder import claim_folder, is_full, no_folder

Result = TypeVar("Result")
BUILD_TIMEOUT = 600.0  # seconds; a compact LSTM takes about one
STEP_TIMEOUT = 120.0
_NO_MEMORY = re.compile(
    r"MemoryError|bad_alloc|[Cc]ould not allocate|[Uu]nable to allocate"
    r"|[Cc]an(no|')t allocate memory|not enough memory"
    r"|failed to map segment|[Tt]hread creation failed|can't start new thread"
)


class Converter:
    """A converted model and its simulator.

    Use it as a context manager: leaving it ends the process and removes its folder.
    """

    def __init__(
        self,
        conversion: Conversion,
        *,
        say: Callable[[str], None] = lambda _: None,
        log_file: Path | None = None,
        timeout: float = BUILD_TIMEOUT,
        batch: Batch | None = None,
    ):
        """timeout: of the build, in seconds. batch: of the processes that are ended together.

        Raises ConversionError with the vendor's own message, and ConverterDiedError if the process
        gave no answer. The whole log is then kept in `log_file`, if one is given.
        """
        self.spec = conversion.spec
        self.steps = conversion.steps
        self._label = conversion.label
        self._log_file = log_file
        memory = memory_limit()
        interpreter = environment.python(say)
        self._folder, self._claim = claim_folder()
        self._batch = batch or Batch()
        self._child = Child(self._folder, memory, self._batch)
        try:
            try:
                files = conversion.write(self._folder)
                self._child.start(interpreter)
            except OSError as e:
                raise ConversionError(no_folder(self._folder, e)) from e
            self._greet()
            digest = self._ask("build", job={**conversion.job, "files": files}, timeout=timeout)
            self.operators, self.memory_kb = self._read_log()
            self.rknn = self._read_model(digest.tobytes())
        except BaseException:
            self.close()
            raise

    def _greet(self) -> None:
        """Waits until the vendor's code is loaded."""
        try:
            error = self._child.receive(time.monotonic() + STEP_TIMEOUT)[0]
        except EndedError:
            ended = f"can't be loaded: {self._child.how_it_ended()}"
            advice = "" if self._child.was_killed else environment.advice()
            raise self._failure(ended, advice=advice, retry=True) from None
        except TimeoutError:
            self._child.kill()
            late = f"gave no answer in time ({STEP_TIMEOUT:g} s, to be loaded) and was ended"
            raise self._failure(late, retry=False) from None
        if error:
            raise self._failure(f"can't be loaded: {error}", advice=environment.advice())

    def _read_log(self) -> tuple[list[dict[str, Any]], dict[str, float]]:
        """The table of operators, and the memory in KB by its kind. See `log`."""
        text = self.log()
        if found := log.errors(text):
            raise self._failure(f"logged an error although it returned success: {found[0]}")
        try:
            operators = log.operators(text)
            memory_kb = log.memory_kb(text)
        except ValueError as e:
            raise self._failure(f"printed a table of operators that is not known here: {e}") from e
        if not operators:
            raise self._failure(
                "printed no table of operators; "
                "is this a version of rknn-toolkit2 that is not known here?"
            )
        return operators, memory_kb

    def _read_model(self, digest: bytes) -> bytes:
        """digest: the sha256 that the process has found."""
        path = self._folder / "model.rknn"
        model = path.read_bytes() if path.exists() else b""
        if not model:
            raise self._failure("returned success and wrote no model")
        if not (model.startswith(b"RKNN") and model.endswith(b"}")):  # binary, then JSON
            raise self._failure(
                f"returned success and wrote only a part of the model ({len(model)} bytes)"
            )
        if hashlib.sha256(model).digest() != digest:
            raise self._failure("wrote a model that was changed before it was read", retry=True)
        return model

    def run(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """features: (steps, F) -> (steps, O) on the simulator, the state carried."""
        steps = len(features)
        outputs = np.empty((steps, self.spec.output_size), np.float32)
        # Few enough that each answer comes well inside the time-out.
        some = self.steps * max(1, 1000 // self.steps)
        for start in range(0, steps, some):
            part = np.asarray(features[start : start + some], np.float32)
            outputs[start : start + some] = self._ask("run", part).reshape(len(part), -1)
        return outputs

    def trace(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """features: (steps, F) -> (steps, values): every output of each step, in the graph's order,
        the state carried."""
        rows = np.asarray(features, np.float32)
        return self._ask("trace", rows, timeout=BUILD_TIMEOUT).reshape(len(rows), -1)

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

    def reset(self) -> None:
        self._ask("reset")
        if any(layer.initial for layer in self.spec.network.layers):
            self.set_state(self.spec.network.initial_state())

    def get_state(self) -> dict[str, NDArray[np.float32]]:
        """(size,) each, by the network's names, in its order."""
        sizes = self.spec.network.state
        ends = np.cumsum(list(sizes.values()))[:-1]
        return dict(zip(sizes, np.split(self._ask("get_state"), ends), strict=True))

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """state: as `get_state` gives it."""
        self._ask("set_state", np.concatenate([state[name] for name in self.spec.network.state]))

    def log(self) -> str:
        """All that the vendor's code has printed so far."""
        return self._child.log()

    def close(self) -> None:
        self._child.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._claim is not None:
            os.close(self._claim)
            self._claim = None

    def __enter__(self) -> Converter:
        return self

    def __exit__(self, *_: object) -> None:
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
        if self._child.process is None:
            raise ConversionError(f"the simulator of {self._label} is closed")
        header = json.dumps({"operation": operation, "job": job, "bytes": len(content)})
        deadline = time.monotonic() + timeout
        try:
            self._child.send(header.encode() + b"\n" + content, deadline)
            error, result = self._child.receive(deadline)
        except (EndedError, BrokenPipeError):
            raise self._failure(self._child.how_it_ended(), retry=True) from None
        except TimeoutError:
            self._child.kill()
            raise self._failure(
                f"gave no answer in time ({timeout:g} s in {operation}) and was ended", retry=False
            ) from None
        if error:
            messages = log.errors(self.log())
            raise self._failure(
                f"failed in {operation}: {error}" + (f" ({messages[0]})" if messages else "")
            )
        return np.frombuffer(result, np.float32)

    def _failure(
        self, what: str, *, advice: str = "", retry: bool | None = None
    ) -> ConversionError:
        """retry: as of ConverterDiedError. None if the process gave an answer, unless this machine
        was too small for it."""
        if self._batch.ended:  # that killed it, and its log tells nobody anything
            return ConversionError(STOPPED)
        text = self.log()
        size = self._child.limit
        peak = self._child.peak
        limit = f"out of memory (limit {size / 2**30:g} GiB, set by {MEMORY_VARIABLE})"
        if _NO_MEMORY.search(what) or _NO_MEMORY.search(text):
            what = f"ran {limit}: {what}"
            advice = ""
            retry = False
        elif is_full(self._folder):
            what = f"found no space left in {self._folder.parent} (less than 1 MiB): {what}"
            advice = ""
            retry = False
        elif peak > 0.7 * size:
            # Without memory the vendor's code fails in many ways, most of which name another cause.
            what = f"probably ran {limit}; it had {peak / 2**30:.2f} GiB: {what}"
            advice = ""
            retry = False
        kept = f"; {advice}" if advice else ""
        if self._log_file is not None:
            try:
                with atomic_write(self._log_file) as file:
                    file.write(text.encode())
                kept += f"; its whole log is in {self._log_file}"
            except OSError as e:
                kept += f"; its log could not be kept in {self._log_file}: {e.strerror}"
        message = f"rknn-toolkit2 ({self._label}) {what}{kept}"
        if retry is None:
            return ConversionError(message)
        return ConverterDiedError(message, retry=retry)


def once_more(action: Callable[[], Result], say: Callable[[str], None]) -> Result:
    """The action's result. If a converter died in it, the action is done once more."""
    try:
        return action()
    except ConverterDiedError as e:
        if not e.retry:
            raise
        say(f"  {e}; once more")
        return action()
