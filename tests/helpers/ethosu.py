"""A bundle for an i.MX 93, and a delegate of our own in the place of NXP's."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import edge_lstm_runtime as rt
from helpers.bundles import artifact_entry, members_of
from helpers.specs import one_layer_spec
from helpers.weights import random_weights

HERE = Path(__file__).parent
TARGET = "ethos-u65-256"
MEMBER = f"{TARGET}-a16w8.tosa"
BESIDE = f"{TARGET}-a16w8.tflite"
# What ExecuTorch 1.5.1 and Vela 5.1.0 have made of `one_layer_spec("lstm")` with `random_weights`.
FILES = HERE.parent / "runtime" / "backends" / "ethosu"


def recorded(kind: str) -> bytes:
    return gzip.decompress((FILES / f"lstm.{kind}.gz").read_bytes())


def board_bundle(path: Path, **members: bytes | None) -> rt.Bundle:
    """members: others by their kind, tosa or tflite. None for no such member."""
    spec = one_layer_spec("lstm")
    weights = random_weights(spec)
    found = {MEMBER: recorded("tosa"), BESIDE: recorded("tflite")}
    for kind, content in members.items():
        del found[f"{TARGET}-a16w8.{kind}"]
        if content is not None:
            found[f"{TARGET}-a16w8.{kind}"] = content
    beside = [name for name in found if name != MEMBER]
    own = {"kind": "tosa", "scheme": "a16w8", "beside": beside}
    entry = {**artifact_entry(TARGET, limit=0.01), **own}
    return rt.write_bundle(
        path,
        spec,
        weights,
        {**members_of(spec, weights, steps=300), **found},
        artifacts={MEMBER: entry},
    )


def delegate(folder: Path, compiler: str = "") -> Path:
    """The library of `ethosu_delegate.c`. It calls the Python that loads it."""
    compiler = compiler or shutil.which("cc") or pytest.skip("no C compiler here")
    library = folder / "libethosu_delegate.so"
    options = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC"]
    source = HERE / "ethosu_delegate.c"
    subprocess.run([compiler, *options, "-o", str(library), str(source)], check=True)
    return library


def on_the_board(
    monkeypatch: pytest.MonkeyPatch, library: Path, program: bytes, folder: Path
) -> None:
    """This machine has the NPU from now on, also for processes that it starts."""
    device = folder / "ethosu0"
    device.touch()
    file = folder / "on_the_npu.tosa"
    file.write_bytes(program)
    monkeypatch.setenv("EDGE_LSTM_ETHOSU_DEVICE", str(device))
    monkeypatch.setenv("EDGE_LSTM_ETHOSU_DELEGATE", str(library))
    monkeypatch.setenv("NPU_PROGRAM", str(file))
    monkeypatch.setenv("PYTHONPATH", str(HERE.parent), prepend=os.pathsep)
