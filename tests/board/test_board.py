"""The runtime on a real aarch64 Python with the real rknn-toolkit-lite2, emulated, as far as one gets without an NPU."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from board import SOURCE, Board, BoardError, cached, make

import edge_lstm_runtime as rt
from edge_lstm import Run

pytestmark = pytest.mark.slow
TIMEOUT = 120  # seconds; an emulated command takes one to ten
ARTIFACT = "rk3588-fp16.rknn"
OnBoard = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def emulated() -> Board:
    try:
        return cached()
    except BoardError as e:
        pytest.skip(str(e))


@pytest.fixture(scope="module")
def project(emulated: Board, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, installed there."""
    folder = tmp_path_factory.mktemp("project")
    emulated.install(wheel, folder)
    return folder


@pytest.fixture
def python(emulated: Board, project: Path, tmp_path: Path) -> OnBoard:
    """Run the board's Python; its temporary files are in the test's `tmp_path`/temporary."""
    (tmp_path / "temporary").mkdir()

    def run(*arguments: str | Path, npu: bool = True, text: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            emulated.command(*arguments), input=text, capture_output=True, text=True, timeout=TIMEOUT, check=False,
            env={**emulated.variables(project, npu=npu), "TMPDIR": str(tmp_path / "temporary")}, cwd=tmp_path,
        )  # fmt: skip

    return run


@pytest.fixture
def edge_lstm(python: OnBoard, project: Path) -> OnBoard:
    """Run the command there."""

    def run(*arguments: str | Path, npu: bool = True, text: str | None = None) -> subprocess.CompletedProcess[str]:
        return python("-W", "error", project / "bin/edge-lstm", *arguments, npu=npu, text=text)

    return run


@pytest.fixture(scope="module")
def bundle(trained: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a model that the real converter has made."""
    from edge_lstm_export import export_run
    from edge_lstm_export.rknn import environment

    if reason := environment.unsupported_reason():
        pytest.skip(reason)
    path = tmp_path_factory.mktemp("bundle") / "motions.edge"
    export_run(trained, path, schemes=("fp16",))
    return path


def test_the_runtime_needs_numpy_alone(python: OnBoard) -> None:
    script = (
        "import platform, sys, edge_lstm_runtime as rt, importlib.util as u\n"
        "print(platform.machine(), sys.platform, *sorted({m.split('.')[0] for m in sys.modules} & {'numpy', 'rknnlite'}))\n"
        "print([n for n in ('torch', 'onnx', 'onnxruntime', 'pydantic', 'rknnlite') if u.find_spec(n)], rt.__file__)"
    )
    done = python("-W", "error", "-c", script, npu=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("aarch64 linux numpy\n[] "), done.stdout
    assert "project" in done.stdout


def test_the_extra_npu_is_what_the_board_has(python: OnBoard, wheel: Path) -> None:
    """pip itself, there, reads the extra's markers: nothing of it is missing, and the desktop's packages are not asked for."""
    done = python("-m", "pip", "install", "--dry-run", "--no-index", "--break-system-packages", f"{wheel}[npu]")
    assert done.returncode == 0, done.stderr
    assert "Requirement already satisfied: rknn-toolkit-lite2" in done.stdout, done.stdout
    assert "torch" not in done.stdout


def test_numpy_is_right_there(edge_lstm: OnBoard, bundle: Path) -> None:
    done = edge_lstm("check", bundle, "--backend", "numpy", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["passed"]
    assert (result["steps"], result["limit"]) == (1000, {"max_abs": 1e-5})


def test_run_answers_as_on_the_desktop(edge_lstm: OnBoard, bundle: Path) -> None:
    model = rt.load(bundle)
    xs = np.round(model.bundle.golden[0][:20], 4)
    done = edge_lstm("run", bundle, "--input", "-", "--backend", "numpy", text="".join(json.dumps(x) + "\n" for x in xs.tolist()))
    assert (done.returncode, done.stderr) == (0, "")
    with model.session("numpy") as session:
        for line, x in zip(done.stdout.splitlines(), xs, strict=True):
            here, there = rt.describe(model.spec, session.step(x)), json.loads(line)
            assert there["label"] == here["label"]
            assert there["probabilities"] == pytest.approx(here["probabilities"], abs=2e-6)  # printed to 6 places


def test_without_an_npu_one_line_says_so(edge_lstm: OnBoard, bundle: Path, tmp_path: Path) -> None:
    """The vendor's own code takes the file and ends for want of its library; what it prints stands above our line."""
    done = edge_lstm("check", bundle, "--backend", "rknn")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Can not find dynamic library on RK3588" in done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"edge-lstm: error: the NPU did not take {ARTIFACT} (its message is above): ")
    assert "librknnrt.so in /usr/lib?" in done.stderr.splitlines()[-1]
    assert "edge_lstm_runtime" not in done.stderr, "a traceback of ours"
    assert list((tmp_path / "temporary").iterdir()) == []


def test_auto_takes_numpy_and_says_why(edge_lstm: OnBoard, bundle: Path, tmp_path: Path) -> None:
    done = edge_lstm("run", bundle, "--input", "-", text="[0.1, -0.3, 0.2, 0.0, 0.1, 0.0]\n")
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["line"] for line in done.stdout.splitlines()] == [1], "the vendor's lines are not among the answers"
    assert f"edge-lstm: runs on numpy; rknn ({ARTIFACT}): not here: the NPU did not take {ARTIFACT}" in done.stderr
    assert list((tmp_path / "temporary").iterdir()) == []


def test_without_the_extra_the_message_names_it(edge_lstm: OnBoard, bundle: Path) -> None:
    done = edge_lstm("check", bundle, "--backend", "rknn", npu=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "edge-lstm: error: backend 'rknn' needs rknn-toolkit-lite2 on an aarch64 Rockchip board; "
        'run there: pip install "edge-lstm[npu]"\n'
    )


def test_a_model_for_another_chip_is_refused_before_the_vendor_sees_it(edge_lstm: OnBoard, bundle: Path, tmp_path: Path) -> None:
    """/proc/device-tree/compatible of the board says rk3588."""
    whole = rt.load(bundle).bundle
    entry = {**whole.manifest["artifacts"][ARTIFACT], "target": "rk3576"}
    members = {name: whole.member(name) for name in whole.manifest["members"] if name != "weights.npz"}
    rt.write_bundle(tmp_path / "other.edge", whole.spec, whole.weights, members, artifacts={ARTIFACT: entry})
    done = edge_lstm("check", tmp_path / "other.edge", "--backend", "rknn")
    assert done.returncode == 2
    assert done.stderr == (
        f"edge-lstm: error: {ARTIFACT} is for rk3576 and this board is radxa,rock-5b rockchip,rk3588; export with its own --target\n"
    )


# What the adapter calls, and what a user of other cores would: name -> parameters that are given by name.
CALLS = {
    "load_rknn": {"path"},
    "init_runtime": {"core_mask"},
    "inference": {"inputs", "data_format"},
    "get_sdk_version": set[str](),
    "release": set[str](),
}
CORES = {"AUTO": 0, "0": 1, "1": 2, "2": 4, "0_1": 3, "0_1_2": 7, "ALL": 0xFFFF}


def test_the_vendors_calls_are_what_we_think(python: OnBoard, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "model.rknn").write_bytes(rt.load(bundle).bundle.member(ARTIFACT))
    script = (
        "import inspect, json, sys\n"
        "from rknnlite.api import RKNNLite\n"
        "calls = {n: list(inspect.signature(f).parameters) for n, f in inspect.getmembers(RKNNLite, inspect.isfunction)}\n"
        "cores = {n.removeprefix('NPU_CORE_'): v for n, v in vars(RKNNLite).items() if n.startswith('NPU_CORE_')}\n"
        "r = RKNNLite(verbose=False)\n"
        "returned = [r.get_sdk_version(), r.load_rknn('nowhere.rknn'), r.load_rknn('model.rknn'), r.init_runtime(core_mask=0)]\n"
        "returned += [r.get_sdk_version(), r.inference(inputs=[]), r.release()]\n"
        "print(json.dumps([calls, cores, returned]))"
    )
    done = python("-c", script)
    assert done.returncode == 0, done.stderr
    calls, cores, returned = json.loads(done.stdout.splitlines()[-1])
    for name, parameters in CALLS.items():
        assert parameters <= set(calls[name]), name
    assert cores == CORES
    # Without hardware nothing raises: a version is None, loading is -1 or 0, init_runtime -1, an inference None.
    assert returned == [None, -1, 0, -1, None, None, None]


# --- making the board ---


def test_without_qemu_one_line_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BoardError, match=r"^qemu-aarch64, the emulator, is not here; run: apt-get install qemu-user-static$"):
        make(tmp_path / "board")


@pytest.mark.usefixtures("emulated")  # skipped where there is no emulator
def test_without_a_network_one_line_says_so_and_nothing_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("board.SOURCE", SOURCE.replace("deb.debian.org", "127.0.0.1:9"))
    with pytest.raises(BoardError, match=r"^`apt-get update .*` failed: .*127\.0\.0\.1") as caught:
        make(tmp_path / "board")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_board_that_is_there_is_used(emulated: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("board._unpack_debian", lambda _: pytest.fail("made again"))
    assert cached() == emulated == make(emulated.folder)
