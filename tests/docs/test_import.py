"""docs/import.md is run, block by block, in one folder."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

import edge_lstm_runtime as rt
from helpers.commands import environment
from helpers.jobs import NET
from helpers.paths import ROOT

Samples = NDArray[np.int16]
PAGE = (ROOT / "docs" / "import.md").read_text("utf-8")
DATA = [Path(p) for p in (os.environ.get("EDGE_LSTM_DATA"), ROOT.parent / "shared" / "data") if p]
NETS = next((folder for folder in DATA if (folder / "nets").is_dir()), None)


@pytest.mark.slow
@pytest.mark.skipif(NETS is None, reason="EDGE_LSTM_DATA names no folder with nets/")
def test_the_page_from_top_to_bottom(tmp_path: Path) -> None:
    """Its first block is of a net that the page makes later, so it is run last."""

    found = re.findall(r"^```(sh|python)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    blocks = [*found[1:], found[0]]
    assert len(blocks) == 11
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(600, 6)))
    (tmp_path / "amp.json").write_text(NET)
    for name, rate in (("guitar", 48000), ("speech", 16000)):
        write_wav(tmp_path / f"{name}.wav", rate)
    np.save(tmp_path / "amp.npy", np.random.default_rng(0).normal(size=(600, 1)))
    python = "".join(code for language, code in blocks if language == "python")
    command = f'edge-lstm() {{ {shlex.quote(sys.executable)} -m edge_lstm_command "$@"; }}\n'
    shell = "".join(code for language, code in blocks if language == "sh")
    for words in ([sys.executable, "-c", python], ["bash", "-ec", command + shell]):
        done = subprocess.run(
            words,
            cwd=tmp_path,
            env={**environment(), "EDGE_LSTM_DATA": str(NETS)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    for name in ("net", "same", "from-python", "dtln", "silero", "amp", "keras", "clean"):
        assert rt.load(tmp_path / f"{name}.edge").spec.answer.task == "values"
    assert (tmp_path / "net-c" / "Makefile").is_file()
    assert len(read_wav(tmp_path / "loud.wav")) == 8000
    right = overlapped(read_wav(tmp_path / "speech.wav"))
    # `auto` may take int8, which is near. The backend `native` is exact.
    near = read_wav(tmp_path / "clean.wav") - right
    assert np.sqrt(np.mean(near**2)) / right.std() < 0.05
    words = ("run", "clean.edge", "--input", "speech.wav", "--output", "exact.wav")
    command_line = [sys.executable, "-m", "edge_lstm_command", *words, "--backend", "native"]
    subprocess.run(command_line, cwd=tmp_path, env=environment(), check=True)
    assert np.abs(read_wav(tmp_path / "exact.wav") - right).max() <= 0.6


def overlapped(pcm: Samples) -> NDArray[Any]:
    """What DTLN's second net makes of sound: the sum of its frames, by ONNX Runtime."""
    assert NETS is not None
    net = onnxruntime.InferenceSession(NETS / "nets" / "dtln_2.onnx")
    frame, state = (each.name for each in net.get_inputs())
    x = np.zeros(len(pcm) + 128, np.float32)
    x[: len(pcm)] = pcm / 32768
    states = np.zeros((1, 2, 128, 2), np.float32)
    out = np.zeros(len(x))
    for start in range(0, len(x) - 511, 128):
        given = {frame: x[start : start + 512].reshape(1, 1, 512), state: states}
        y, states = net.run(None, given)
        out[start : start + 512] += y.ravel()
    return np.clip(out[: len(pcm)] * 32768, -32768, 32767)


def read_wav(path: Path) -> Samples:
    with wave.open(str(path), "rb") as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def write_wav(path: Path, rate: int) -> None:
    pcm = np.random.default_rng(0).integers(-9000, 9000, 8000)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm.astype("<i2").tobytes())
