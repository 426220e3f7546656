"""Runs inside the converter's environment: builds one model with rknn-toolkit2, exports it, and simulates it on request.

Started by `process.Converter` with a folder and two pipes. A message is a line of JSON, then as many bytes as its "bytes" says.
Standard output and error belong to the vendor's log. The board's own adapter drives the simulator: the two take the same calls.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rknn.api import RKNN

from edge_lstm_runtime.backends.rknn import RknnBackend


def build(job: dict[str, Any], folder: Path) -> RKNN:
    """job: target, scheme, and (quantised) the dataset file. Reads model.onnx, writes model.rknn, both in `folder`."""
    rknn = RKNN(verbose=True)
    quantised = job["scheme"] != "fp16"
    options = {"quantized_dtype": job["scheme"]} if quantised else {}
    steps: tuple[tuple[str, Callable[[], Any]], ...] = (
        ("config", lambda: rknn.config(target_platform=job["target"], **options)),
        ("load_onnx", lambda: rknn.load_onnx(model=str(folder / "model.onnx"))),
        ("build", lambda: rknn.build(do_quantization=quantised, dataset=str(folder / "dataset.txt") if quantised else None)),
        ("export_rknn", lambda: rknn.export_rknn(str(folder / "model.rknn"))),
    )
    for name, step in steps:
        code = step()
        if code not in (0, None):
            raise RuntimeError(f"rknn-toolkit2's {name} returned {code}")
    return rknn


class Simulator:
    def __init__(self, rknn: RKNN, job: dict[str, Any]):
        if rknn.init_runtime() != 0:
            raise RuntimeError("rknn-toolkit2's simulator did not start")
        self._shape = job["layers"], job["hidden"]
        self._backend = RknnBackend(rknn, features=job["features"], hidden=job["hidden"], layers=job["layers"])

    def answer(self, operation: str, array: Any) -> Any:
        """array and result: float32, flat; states are h then c."""
        if operation == "reset":
            self._backend.reset()
        elif operation == "run":
            return self._backend.run(array.reshape(-1, self._backend._x.size))
        elif operation == "get_state":
            return np.stack(self._backend.state)
        elif operation == "set_state":
            h, c = array.reshape(2, *self._shape)
            self._backend.state = h, c
        else:
            raise ValueError(f"unknown operation {operation!r}")
        return np.empty(0, np.float32)


def main(folder: Path, requests_fd: int, answers_fd: int) -> None:
    with os.fdopen(requests_fd, "rb") as requests, os.fdopen(answers_fd, "wb") as answers:
        simulator: Simulator | None = None
        rknn: RKNN | None = None
        job: dict[str, Any] = {}
        while line := requests.readline():
            request = json.loads(line)
            data = np.frombuffer(requests.read(request["bytes"]), np.float32)
            result, error = np.empty(0, np.float32), None
            try:
                if request["operation"] == "build":
                    job = request["job"]
                    rknn = build(job, folder)
                else:
                    if simulator is None:
                        assert rknn is not None, "build comes first"
                        simulator = Simulator(rknn, job)
                    result = np.ascontiguousarray(simulator.answer(request["operation"], data), np.float32)
            except Exception as e:
                lines = [line.strip() for line in str(e).splitlines() if line.strip()]  # the vendor puts a whole traceback in here
                error = f"{type(e).__name__}: {lines[-1] if lines else 'no message'}"
            content = result.tobytes()
            answers.write(json.dumps({"error": error, "bytes": len(content)}).encode() + b"\n" + content)
            answers.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
