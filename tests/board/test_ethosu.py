"""The backend `ethosu` on an emulated aarch64 board, with LiteRT's own wheel for it.

The delegate is ours, and the integer program answers in the NPU's place (`helpers/ethosu.py`).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from helpers.ethosu import BESIDE, MEMBER, board_bundle, delegate, recorded
from helpers.on_board import Machine, OnBoard
from helpers.paths import ROOT

pytestmark = pytest.mark.slow
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def machine(arm64: Machine) -> Machine:
    return arm64


@pytest.fixture(scope="module")
def litert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel of lock/dev.txt for the board."""
    folder = tmp_path_factory.mktemp("litert")
    lock = (ROOT / "lock/dev.txt").read_text("utf-8")
    asked = re.search(r"^ai-edge-litert==(?:.*\\\n)+.*\n", lock, re.MULTILINE)
    assert asked is not None
    (folder / "lock.txt").write_text(asked[0])
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    board = ["--implementation", "cp", "--python-version", "3.11", "--abi", "cp311"]
    wheels = ["--platform", "manylinux_2_27_aarch64", "--only-binary", ":all:"]
    places = ["--target", folder / "site", "--requirement", folder / "lock.txt"]
    done = subprocess.run(
        [*pip, *board, *wheels, *places], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no wheel of LiteRT for a board: {done.stderr.strip().splitlines()[-1:]}")
    return folder / "site"


@pytest.fixture
def on_imx93(
    python: OnBoard, machine: Machine, litert: Path, tmp_path: Path
) -> Callable[..., Command]:
    """The board's command, with all that NXP's image has. environ: faults of the delegate."""
    compiler = shutil.which("aarch64-linux-gnu-gcc") or pytest.skip("no aarch64-linux-gnu-gcc here")
    library = delegate(tmp_path, compiler)
    device = tmp_path / "ethosu0"
    device.touch()
    program = tmp_path / "on_the_npu.tosa"
    program.write_bytes(recorded("tosa"))
    paths = [machine.project, machine.board.folder / "numpy", litert, ROOT / "tests"]
    variables: Mapping[str, str] = {
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "EDGE_LSTM_ETHOSU_DEVICE": str(device),
        "EDGE_LSTM_ETHOSU_DELEGATE": str(library),
        "NPU_PROGRAM": str(program),
        "EDGE_LSTM_CACHE": str(tmp_path / "cache"),
        "EDGE_LSTM_REMEMBER": "1",
    }

    def run(*arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
        command = machine.project / "bin/edge-lstm"
        return python(command, *arguments, variables={**variables, **environ})

    return run


def test_the_carried_integers_are_those_of_the_program(on_imx93: Command, tmp_path: Path) -> None:
    file = tmp_path / "a.edge"
    board_bundle(file)
    rows = tmp_path / "rows.csv"
    rows.write_text("\n".join(f"{k % 7 - 3},{k % 5 - 2},{k % 3}" for k in range(60)) + "\n")
    answers = []
    for backend in ("ethosu", "tosa"):
        checked = on_imx93("check", file, "--backend", backend)
        assert checked.returncode == 0, checked.stderr
        assert checked.stdout.split()[:3] == [backend, MEMBER, "ok"]
        done = on_imx93("run", file, "--input", rows, "--backend", backend)
        assert done.returncode == 0, done.stderr
        answers.append([json.loads(line) for line in done.stdout.splitlines()])
    assert answers[0] == answers[1]
    assert len(answers[0]) == 60


def test_auto_goes_on_without_it(on_imx93: Command, tmp_path: Path) -> None:
    """If the delegate refuses, if the NPU is wrong, and if it ends the process, twice."""
    file = tmp_path / "a.edge"
    board_bundle(file)
    rows = tmp_path / "rows.csv"
    rows.write_text("1,2,3\n")
    ended = [on_imx93("run", file, "--input", rows, NPU_FAULT="crash") for _ in range(2)]
    assert all(done.returncode not in (0, 1, 2) for done in ended)
    wrong = "failed: the NPU gives wrong answers here"
    for environ, why in (
        ({"NPU_FAULT": "crash"}, "failed: 2 processes ended while they opened it here"),
        ({"NPU_WRONG": "2", "EDGE_LSTM_CACHE": str(tmp_path / "other")}, wrong),
        (
            {"NPU_FAULT": "create", "EDGE_LSTM_REMEMBER": "0"},
            f"not here: the NPU did not take {BESIDE}",
        ),
    ):
        done = on_imx93("run", file, "--input", rows, **environ)
        assert (done.returncode, len(done.stdout.splitlines())) == (0, 1), done.stderr
        assert f"; ethosu ({MEMBER}): {why}" in done.stderr
