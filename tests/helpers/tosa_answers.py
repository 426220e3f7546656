"""Answers of TOSA's reference model to random programs, recorded and anew.

`python tests/helpers/tosa_answers.py PYTHON` makes the recorded file again: PYTHON is the one of an
environment with tosa-tools (pip install tosa-tools). The file was made with tosa-tools 2026.5.0.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.tosa_graphs import MAKERS, Case, chain, single

RECORDED = Path(__file__).parents[1] / "runtime" / "backends" / "tosa" / "recorded.json.gz"
_TYPES = {"int48": "int64", "shape": "int64"}


def constants(case: Case) -> dict[str, NDArray[Any]]:
    found = {}
    for name, values in case["constants"].items():
        kind = case["program"]["tensors"].get(name, {"dtype": "shape", "shape": [len(values)]})
        dtype = _TYPES.get(kind["dtype"], kind["dtype"])
        found[name] = np.array(values, dtype).reshape(kind["shape"])
    return found


def reference_python() -> str:
    """The Python of an environment with tosa-tools, or "" if none is stated."""
    return os.environ.get("EDGE_LSTM_TOSA_PYTHON", "")


def answered(cases: list[Case], python: str) -> list[Case]:
    """The cases with "answers", for each stream {"status", "outputs"}."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cases.json"
        file.write_text(json.dumps(cases))
        script = Path(__file__).with_name("tosa_reference.py")
        clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        subprocess.run([python, str(script), str(file)], check=True, capture_output=True, env=clean)
        found: list[Case] = json.loads(file.read_text())
    return found


def random_cases(seeds: range) -> list[Case]:
    return [single(op, seed) for op in MAKERS for seed in seeds] + [chain(s) for s in seeds]


def recorded() -> list[Case]:
    found: list[Case] = json.loads(gzip.decompress(RECORDED.read_bytes()))
    return found


if __name__ == "__main__":
    text = json.dumps(answered(random_cases(range(4)), sys.argv[1]), separators=(",", ":"))
    RECORDED.write_bytes(gzip.compress(text.encode(), mtime=0))
