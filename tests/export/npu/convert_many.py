"""Run in the converter's environment: converts each "GRAPH TARGET SCHEME" line in a child process.

Prints a JSON line for each: how it ended, the error lines, the operators on the CPU, and the size
of the file.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import signal
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from rknn.api import RKNN


def convert(graph: str, target: str, scheme: str) -> str:
    dataset = None
    if scheme != "fp16":
        rng = np.random.default_rng(0)
        lines = []
        for sample in range(20):
            names = []
            for value in onnx.load(graph).graph.input:
                names.append(f"{value.name}{sample}.npy")
                kind = value.type.tensor_type
                values = rng.uniform(-1, 1, [d.dim_value for d in kind.shape.dim])
                dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
                np.save(names[-1], values.astype(dtype))
            lines.append(" ".join(names))
        Path("dataset.txt").write_text("\n".join(lines) + "\n")
        dataset = "dataset.txt"
    rknn = RKNN(verbose=True)
    steps = {
        "config": lambda: rknn.config(
            target_platform=target, **({} if scheme == "fp16" else {"quantized_dtype": scheme})
        ),
        "load_onnx": lambda: rknn.load_onnx(model=graph),
        "build": lambda: rknn.build(do_quantization=scheme != "fp16", dataset=dataset),
        "export_rknn": lambda: rknn.export_rknn("model.rknn"),
    }
    for name, step in steps.items():
        if (code := step()) not in (0, None):
            return f"{name} returned {code}"
    return "ok"


def main() -> None:
    for line in sys.stdin:
        graph, target, scheme = line.split()
        with tempfile.TemporaryDirectory() as folder:
            sys.stdout.flush()
            child = os.fork()
            if child == 0:
                os.chdir(folder)
                # In one file the two run into each other, in the middle of a line.
                for number, name in ((1, "out.txt"), (2, "err.txt")):
                    os.dup2(os.open(name, os.O_CREAT | os.O_WRONLY | os.O_APPEND), number)
                signal.alarm(60)
                try:
                    outcome = convert(graph, target, scheme)
                except BaseException as e:
                    outcome = f"{type(e).__name__}: {e}"
                Path("outcome.txt").write_text(outcome)
                ctypes.CDLL(None).fflush(None)  # the end of the table may be in a buffer of C
                os._exit(0)
            _, status = os.waitpid(child, 0)
            printed = [
                (Path(folder) / name).read_text(errors="replace") for name in ("out.txt", "err.txt")
            ]
            text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(printed))
            answer = Path(folder) / "outcome.txt"
            if os.WIFSIGNALED(status):
                ended = signal.Signals(os.WTERMSIG(status)).name
            elif answer.exists():
                ended = answer.read_text()
            else:
                ended = f"exit code {os.WEXITSTATUS(status)}"
            model = Path(folder) / "model.rknn"
            rows = re.findall(
                r"^D RKNN: \[[0-9:.]+\] +\d+ +(\w+) +\w+ +(CPU|NPU) ", text, re.MULTILINE
            )
            result = {
                "outcome": ended,
                "errors": re.findall(r"^E (.*)", text, re.MULTILINE),
                "cpu": [
                    o
                    for o, place in rows
                    if place == "CPU" and o not in ("InputOperator", "OutputOperator")
                ],
                "operators": len(rows),
                "bytes": model.stat().st_size if model.exists() else 0,
            }
        sys.stdout.write("RESULT " + json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
