"""The built wheels on every architecture of a board, emulated, with one bundle from the desktop.

Nothing here says how fast a board is.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import edge_lstm_runtime as rt
from edge_lstm_runtime.verify.error import FLOAT32, compare
from helpers import board
from helpers.board import BoardError, make
from helpers.on_board import Machine, OnBoard

pytestmark = pytest.mark.slow
ARTIFACT = "rk3588-fp16.rknn"
SAMPLE = "[0.1, -0.3, 0.2, 0.0, 0.1, 0.0]\n"
KERNELS = {
    "arm64": ["neon-dotprod", "neon"],
    "armhf": ["neon", "portable"],
}  # on a board's default CPU
# (architecture, the emulator's CPU) -> the kernels that must be found there, the fastest first
CPUS = {
    ("arm64", "cortex-a53"): ["neon"],
    ("arm64", "cortex-a76"): ["neon-dotprod", "neon"],
    ("armhf", "cortex-a9"): ["neon", "portable"],
    ("armhf", "cortex-a9,neon=off"): ["portable"],
}
# Max abs between float32 answers of two architectures over 1,000 carried steps: their sums are in
# another order.
BETWEEN = 2e-6
ANSWERS = """
import sys, numpy as np, edge_lstm_runtime as rt
from edge_lstm_runtime import native
model = rt.load(sys.argv[1])
x = model.bundle.golden[0]
names = ("numpy", "native", "native-fp16", "native-int8")
answers = {name: model.session(name).run(x) for name in names}
np.savez(sys.argv[2], kernels=native.kernels(), **answers)
"""
RUN = ["native", "native-fp16", "native-int8", "numpy"]
Arrays = dict[str, NDArray[np.float32]]


@pytest.fixture(scope="module")
def desktop(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Arrays:
    """What the backends of this machine answer to the golden samples."""
    path = tmp_path_factory.mktemp("desktop") / "answers.npz"
    subprocess.run([sys.executable, "-c", ANSWERS, str(bundle), str(path)], check=True)
    return dict(np.load(path))


def test_numpy_is_all_that_is_imported(python: OnBoard, machine: Machine) -> None:
    script = (
        "import platform, sys, edge_lstm_runtime as rt, importlib.util as u\n"
        "for name in rt.__all__: getattr(rt, name)\n"
        "print(platform.machine(), sys.platform, *sorted({m.split('.')[0] for m in sys.modules} & "
        "{'numpy', 'rknnlite'}))\n"
        "print([n for n in ('torch', 'onnx', 'onnxruntime', 'pydantic', 'rknnlite') if "
        "u.find_spec(n)], rt.__file__)"
    )
    done = python("-W", "error", "-c", script, npu=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{machine.board.architecture.machine} linux numpy\n[] "), (
        done.stdout
    )
    assert str(machine.project) in done.stdout


def test_info_names_the_kernels(edge_lstm: OnBoard, machine: Machine, bundle: Path) -> None:
    done = edge_lstm("info", bundle)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"\nnative    {', '.join(KERNELS[machine.board.architecture.debian])} (" in done.stdout


def test_check_passes(edge_lstm: OnBoard, bundle: Path) -> None:
    done = edge_lstm("check", bundle, "--json")
    assert done.returncode == 0, done.stderr
    results = {result["backend"]: result for result in map(json.loads, done.stdout.splitlines())}
    promised = {
        name: rt.load(bundle).manifest[f"native_{name}"]["tolerance"]["limit"]
        for name in ("fp16", "int8")
    }
    limits = {
        "numpy": {"max_abs": 1e-5},
        "native": {"max_abs": 1e-5},
        "native-fp16": {"nrmse": promised["fp16"]},
        "native-int8": {"nrmse": promised["int8"]},
    }
    assert {name: result["limit"] for name, result in results.items()} == limits
    assert all(result["passed"] and result["steps"] == 1000 for result in results.values())


@pytest.mark.parametrize(("machine", "cpu"), CPUS, indirect=["machine"])
def test_every_cpu_takes_its_kernel_and_answers_as_the_desktop(
    python: OnBoard, machine: Machine, cpu: str, bundle: Path, desktop: Arrays, tmp_path: Path
) -> None:
    done = python("-W", "error", "-c", ANSWERS, bundle, tmp_path / "answers.npz", cpu=cpu)
    assert (done.returncode, done.stderr) == (0, "")
    found = dict(np.load(tmp_path / "answers.npz"))
    assert found["kernels"].tolist() == CPUS[machine.board.architecture.debian, cpu]
    opened = rt.load(bundle).bundle
    y = opened.golden[1]
    int8_limit = opened.manifest["native_int8"]["tolerance"]["limit"]
    for name in ("numpy", "native"):
        assert compare(found[name], y).within(FLOAT32), name
        for here in ("numpy", "native"):
            assert np.abs(found[name] - desktop[here]).max() <= BETWEEN, (
                f"{name} there and {here} here"
            )
    errors = [compare(answers["native-int8"], y).nrmse for answers in (found, desktop)]
    assert max(errors) <= int8_limit, f"int8 there and here: {errors}"
    assert np.abs(found["native-fp16"] - desktop["native-fp16"]).max() <= BETWEEN


@pytest.mark.parametrize("backend", ["numpy", "native"])
def test_run_answers_as_on_the_desktop(edge_lstm: OnBoard, bundle: Path, backend: str) -> None:
    model = rt.load(bundle)
    xs = np.round(model.bundle.golden[0][:20], 4)
    done = edge_lstm(
        "run",
        bundle,
        "--input",
        "-",
        "--backend",
        backend,
        text="".join(json.dumps(x) + "\n" for x in xs.tolist()),
    )
    assert (done.returncode, done.stderr) == (0, "")
    with model.session("numpy") as session:
        for line, x in zip(done.stdout.splitlines(), xs, strict=True):
            here = rt.describe(model.spec, session.step(x))
            there = json.loads(line)
            assert there["label"] == here["label"]
            # printed to 6 places
            assert there["probabilities"] == pytest.approx(here["probabilities"], abs=2e-6)


def test_bench_prints_its_table(edge_lstm: OnBoard, bundle: Path) -> None:
    """An emulated program starts another process. Its times are the emulator's."""
    done = edge_lstm("bench", bundle, "--backend", "native", "--steps", "20", "--streams", "2")
    assert done.returncode == 0, done.stderr
    head, row, *_ = done.stdout.splitlines()
    assert head.split()[:3] == ["backend", "p50", "µs"]
    assert re.fullmatch(r"native( +\d+(\.\d)?){7}", row), row


def test_auto_asks_in_its_order_and_remembers(
    python: OnBoard, bundle: Path, tmp_path: Path
) -> None:
    """Without the extra `npu`, so that nothing fails that may be back tomorrow."""
    script = (
        "import json, sys, edge_lstm_runtime as rt\n"
        "from edge_lstm_runtime.verify.auto import choose_backend\n"
        "choices = [choose_backend(rt.load(sys.argv[1]).bundle) for _ in range(2)]\n"
        "print(json.dumps([[c.name, *map(str, c.reasons)] for c in choices]))"
    )
    home = {
        "HOME": str(tmp_path),
        "XDG_CACHE_HOME": "",
        "EDGE_LSTM_CACHE": "",
        "EDGE_LSTM_REMEMBER": "1",
    }
    done = python("-W", "error", "-c", script, bundle, npu=False, variables=home)
    assert (done.returncode, done.stderr) == (0, "")
    (first, *reasons), (again, *remembered) = json.loads(done.stdout)
    said = [reason.split(":")[:2] for reason in reasons]
    assert said[:2] == [["ethosu", " not here"], [f"rknn ({ARTIFACT})", " not here"]]
    assert [name for name, _ in said[2:]] == [*RUN, "onnx"]
    right = [name for name, what in said if what.startswith(" right (")]
    assert right == RUN
    assert first in right
    assert again == first
    assert re.match(rf"{first}: right \(.*\), remembered as the fastest here$", remembered[0])
    kept = json.loads((tmp_path / ".cache/edge-lstm/auto.json").read_text())
    assert len(kept.pop("sha256")) == 64
    (entry,) = kept.values()
    assert entry["backend"] == first


def test_the_pure_wheel_does_without_native(
    edge_lstm: OnBoard, machine: Machine, bundle: Path
) -> None:
    done = edge_lstm("check", bundle, "--backend", "native", project=machine.pure)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "edge-lstm: error: the native library is not in this installation, which is the pure "
        "wheel or a source folder without it; install "
        "the wheel for this board (docs/native.md), or run there: python deploy/hatch_build.py\n"
    )
    done = edge_lstm("run", bundle, "--input", "-", text=SAMPLE, project=machine.pure, npu=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(f"edge-lstm: runs on numpy; rknn ({ARTIFACT}): not here: ")
    assert len(done.stdout.splitlines()) == 1


def test_the_wheel_of_another_architecture_is_refused(
    machine: Machine, wheels: dict[str, Path], tmp_path: Path
) -> None:
    other = {"arm64": "manylinux2014_armv7l", "armhf": "manylinux2014_aarch64"}[
        machine.board.architecture.debian
    ]
    with pytest.raises(BoardError, match=r"is not a supported wheel on this platform"):
        machine.board.install(wheels[other], tmp_path)


def test_without_the_vendors_package_the_message_names_it(edge_lstm: OnBoard, bundle: Path) -> None:
    """On armhf the extra is empty: Rockchip has no wheel for it."""
    done = edge_lstm("check", bundle, "--backend", "rknn", npu=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "edge-lstm: error: backend 'rknn' needs rknn-toolkit-lite2 on an aarch64 Rockchip board; "
        "run there: pip install rknn-toolkit-lite2\n"
    )


def test_the_extra_npu_is_what_the_board_has(machine: Machine) -> None:
    """The board's pip reads the markers of the extra.

    Nothing of the extra is missing, and the desktop's packages are not asked for.
    """
    command = machine.board.pip(
        "install", "--dry-run", "--no-index", "--break-system-packages", f"{machine.wheel}[npu]"
    )
    environment = machine.board.variables(machine.project)
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert "Requirement already satisfied: numpy" in done.stdout
    assert ("Requirement already satisfied: rknn-toolkit-lite2" in done.stdout) == (
        machine.board.architecture.debian == "arm64"
    )
    assert "torch" not in done.stdout


def test_by_hand_it_prints_a_command_that_works(
    machine: Machine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "a board"
    folder.mkdir()
    for name in ("root", "numpy", "npu"):
        (folder / name).symlink_to(machine.board.folder / name)
    monkeypatch.setattr(board, "build_wheel", lambda *_: machine.wheel)
    board.main([str(folder), "--arch", machine.board.architecture.debian])
    printed = capsys.readouterr()
    assert "Times measured there are the emulator's, not a board's." in printed.err
    done = subprocess.run(printed.out, shell=True, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: edge-lstm ")


def test_a_folder_with_another_board_is_refused(arm64: Machine, armhf: Machine) -> None:
    with pytest.raises(
        BoardError,
        match=r"^\S+ has a board of another architecture; name another folder for armhf$",
    ):
        make(arm64.board.folder, armhf.board.architecture)
