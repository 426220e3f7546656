"""The runtime on a real, emulated aarch64 Python with the real rknn-toolkit-lite2.

It gets as far as it can without an NPU.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import edge_lstm_runtime as rt
from edge_lstm import Run
from helpers.board import ARCHITECTURES, SOURCE, Board, BoardError, cached, make
from helpers.on_board import Machine, OnBoard, export
from helpers.on_request import ON_REQUEST
from helpers.specs import hidden_size

pytestmark = pytest.mark.slow
ARTIFACT = "rk3588-fp16.rknn"


@pytest.fixture
def machine(arm64: Machine) -> Machine:
    return arm64


@pytest.fixture(scope="session")
def emulated(arm64: Machine) -> Board:
    return arm64.board


@pytest.fixture(scope="module")
def fused_bundle(trained: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(trained, tmp_path_factory.mktemp("fused") / "motions.edge", "fused")


def test_without_an_npu_one_line_says_so(edge_lstm: OnBoard, bundle: Path, tmp_path: Path) -> None:
    """The vendor's code takes the file and fails without its library. Our line comes last."""
    done = edge_lstm("check", bundle, "--backend", "rknn")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Can not find dynamic library on RK3588" in done.stderr
    assert done.stderr.splitlines()[-1].startswith(
        f"edge-lstm: error: the NPU did not take {ARTIFACT} (its message is above): "
    )
    assert "librknnrt.so in /usr/lib?" in done.stderr.splitlines()[-1]
    assert "edge_lstm_runtime" not in done.stderr, "a traceback of ours"
    assert list((tmp_path / "temporary").iterdir()) == []


def test_auto_takes_another_and_says_why(edge_lstm: OnBoard, bundle: Path, tmp_path: Path) -> None:
    done = edge_lstm("run", bundle, "--input", "-", text="[0.1, -0.3, 0.2, 0.0, 0.1, 0.0]\n")
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["line"] for line in done.stdout.splitlines()] == [1], (
        "the vendor's lines are not among the answers"
    )
    expected = (
        rf"edge-lstm: runs on (native(-\w+)?|numpy); rknn \({ARTIFACT}\): not here: "
        rf"the NPU did not take {ARTIFACT}"
    )
    assert re.search(expected, done.stderr), done.stderr
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_model_for_another_chip_is_refused_before_the_vendor_sees_it(
    edge_lstm: OnBoard, bundle: Path, tmp_path: Path
) -> None:
    """/proc/device-tree/compatible of the board says rk3588."""
    whole = rt.load(bundle).bundle
    entry = {**whole.manifest["artifacts"][ARTIFACT], "target": "rk3576"}
    members = {
        name: whole.member(name) for name in whole.manifest["members"] if name != "weights.npz"
    }
    rt.write_bundle(
        tmp_path / "other.edge", whole.spec, whole.weights, members, artifacts={ARTIFACT: entry}
    )
    done = edge_lstm("check", tmp_path / "other.edge", "--backend", "rknn")
    assert done.returncode == 2
    assert done.stderr == (
        f"edge-lstm: error: {ARTIFACT} is for rk3576 and this board is radxa,rock-5b "
        "rockchip,rk3588; export with its own --target\n"
    )


# What the adapter calls, and what a user of other cores would call:
# name -> parameters that are given by name.
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
        "calls = {n: list(inspect.signature(f).parameters) for n, f in "
        "inspect.getmembers(RKNNLite, inspect.isfunction)}\n"
        "cores = {n.removeprefix('NPU_CORE_'): v for n, v in vars(RKNNLite).items() if "
        "n.startswith('NPU_CORE_')}\n"
        "r = RKNNLite(verbose=False)\n"
        "returned = [r.get_sdk_version(), r.load_rknn('nowhere.rknn'), r.load_rknn('model.rknn'), "
        "r.init_runtime(core_mask=0)]\n"
        "returned += [r.get_sdk_version(), r.inference(inputs=[]), r.release()]\n"
        "print(json.dumps([calls, cores, returned]))"
    )
    done = python("-c", script)
    assert done.returncode == 0, done.stderr
    calls, cores, returned = json.loads(done.stdout.splitlines()[-1])
    for name, parameters in CALLS.items():
        assert parameters <= set(calls[name]), name
    assert cores == CORES
    # Without hardware nothing raises: a version is None, loading is -1 or 0, init_runtime -1,
    # an inference None.
    assert returned == [None, -1, 0, -1, None, None, None]


# --- with a library in the place of the vendor's, to go through all of the vendor's Python ---


def with_stand_in(emulated: Board, bundle: Path, folder: Path, dims: int) -> Path:
    """The board's file system with this folder's librknnrt.c.

    Its answers are known and are not the model's.
    """
    compiler = shutil.which("aarch64-linux-gnu-gcc")
    if compiler is None:
        pytest.skip(
            "no compiler for aarch64; run: apt-get install gcc-aarch64-linux-gnu "
            "libc6-dev-arm64-cross"
        )
    spec = rt.load(bundle).spec
    sizes = {
        "FEATURES": spec.feature_size,
        "HIDDEN": hidden_size(spec),
        "STATES": len(spec.network.state),
        "OUTPUTS": spec.output_size,
    }
    library = folder / "librknnrt.so"
    source = Path(__file__).with_name("librknnrt.c")
    options = ["-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC"]
    options += [f"-D{name}={size}" for name, size in {**sizes, "DIMS": dims}.items()]
    subprocess.run([compiler, *options, "-o", str(library), str(source)], check=True)
    emulated.with_library(library, folder / "root")
    return folder / "root"


@pytest.fixture(scope="module")
def root(emulated: Board, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_stand_in(emulated, bundle, tmp_path_factory.mktemp("library"), 4)


@pytest.fixture(scope="module")
def fused_root(
    emulated: Board, fused_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return with_stand_in(emulated, fused_bundle, tmp_path_factory.mktemp("fused_library"), 3)


@pytest.mark.parametrize("form", ["cell", pytest.param("fused", marks=ON_REQUEST)])
def test_inputs_states_and_outputs_go_through_the_vendors_python(
    python: OnBoard, form: str, request: pytest.FixtureRequest
) -> None:
    """Four-dimensional tensors of the cell, three-dimensional ones of the fused operator."""
    root, bundle = (
        request.getfixturevalue(n)
        for n in (("root", "bundle") if form == "cell" else ("fused_root", "fused_bundle"))
    )
    rows = (
        np.random.default_rng(0)
        .normal(size=(4, rt.load(bundle).spec.feature_size))
        .astype(np.float32)
    )
    script = (
        "import json, sys, numpy as np, edge_lstm_runtime as rt\n"
        "from edge_lstm_runtime.backends.registry import open_backend\n"
        "backend = open_backend('rknn', rt.load(sys.argv[1]).bundle)\n"
        "rows = np.array(json.loads(sys.argv[2]), np.float32)\n"
        "first = backend.run(rows[:2])\n"
        "saved = backend.state\n"
        "rest = backend.run(rows[2:])\n"
        "backend.state = saved\n"
        "again = backend.run(rows[2:])\n"
        "assert (again == rest).all()\n"
        "try: backend.step(np.full(rows.shape[1], 1e7, np.float32))\n"
        "except rt.BackendError as e: print(e, file=sys.stderr)\n"
        "backend.reset()\n"
        "assert (backend.step(rows[0]) == first[0]).all()\n"
        "backend.close()\n"
        "print(json.dumps([[*first.tolist(), *rest.tolist()], [a.tolist() for a in "
        "saved.values()]]))"
    )
    done = python("-c", script, bundle, json.dumps(rows.tolist()), root=root)
    assert done.returncode == 0, done.stderr
    outputs, saved = json.loads(done.stdout.splitlines()[-1])
    spec = rt.load(bundle).spec
    hidden = hidden_size(spec)
    states = np.zeros((len(spec.network.state), hidden))  # h0, c0, h1, ...
    numbers = np.arange(len(states))[:, None]
    for n, x in enumerate(rows.astype(np.float64)):
        if n == 2:
            np.testing.assert_allclose(saved, states, rtol=1e-5)
        expected = np.resize(x, spec.output_size) + (
            (numbers + 1) * states[:, : spec.output_size]
        ).sum(0)
        np.testing.assert_allclose(outputs[n], expected, rtol=1e-5, atol=1e-5)
        states = states / 2 + np.resize(x, hidden) + numbers
    assert "the NPU's run failed with code -1" in done.stderr, "RKNNLite drops this code by itself"
    assert "the NPU runtime returned no result for this step" in done.stderr
    assert done.stderr.count("librknnrt: destroyed") == 1


def test_other_versions_on_the_board_are_named(python: OnBoard, root: Path, bundle: Path) -> None:
    script = (
        "import sys; from edge_lstm_runtime import load; from edge_lstm_runtime.backends.registry "
        "import open_backend; "
        "open_backend('rknn', load(sys.argv[1]).bundle)"
    )
    assert "built by" not in python("-c", script, bundle, root=root).stderr
    done = python(
        "-c",
        script,
        bundle,
        root=root,
        variables={"TEST_API_VERSION": "1.4.0", "TEST_DRIVER_VERSION": "0.8.2"},
    )
    assert done.returncode == 0, done.stderr
    assert (
        "rk3588-fp16.rknn: built by rknn-toolkit2 2.5.0, and the board's librknnrt.so is 1.4.0, "
        "driver 0.8.2: " in done.stderr
    )
    done = python("-c", script, bundle, root=root, variables={"TEST_DRIVER_VERSION": "0.8.2"})
    assert "the NPU driver of this board is 0.8.2; Rockchip advises 0.9.2 or later" in done.stderr


def test_an_npu_that_answers_wrongly_is_found_out(
    edge_lstm: OnBoard, root: Path, bundle: Path
) -> None:
    done = edge_lstm("check", bundle, "--backend", "rknn", root=root)
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith(f"rknn {ARTIFACT}"), done.stdout
    assert " BAD " in done.stdout
    done = edge_lstm(
        "run", bundle, "--input", "-", text="[0.1, -0.3, 0.2, 0.0, 0.1, 0.0]\n", root=root
    )
    assert done.returncode == 0, done.stderr
    assert re.search(
        rf"edge-lstm: runs on (native(-\w+)?|numpy); rknn \({ARTIFACT}\): WRONG \(nrmse ",
        done.stderr,
    ), done.stderr


# --- making the board ---


def test_without_qemu_one_line_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        BoardError,
        match=r"^qemu-aarch64, the emulator, is not here; run: apt-get install qemu-user-static$",
    ):
        make(tmp_path / "board", ARCHITECTURES["arm64"])


@pytest.mark.usefixtures("emulated")  # skipped if there is no emulator
def test_without_a_network_one_line_says_so_and_nothing_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("helpers.board.SOURCE", SOURCE.replace("deb.debian.org", "127.0.0.1:9"))
    with pytest.raises(BoardError, match=r"^`apt-get update .*` failed: .*127\.0\.0\.1") as caught:
        make(tmp_path / "board", ARCHITECTURES["arm64"])
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_board_that_is_there_is_used(emulated: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("helpers.board._unpack_debian", lambda *_: pytest.fail("made again"))
    assert cached(emulated.architecture) == emulated == make(emulated.folder, emulated.architecture)
