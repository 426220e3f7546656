"""The runtime on a real aarch64 Python with the real rknn-toolkit-lite2, emulated, as far as one gets without an NPU."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

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
def project(emulated: Board, wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, installed there."""
    folder = tmp_path_factory.mktemp("project")
    emulated.install(wheels["manylinux2014_aarch64"], folder)
    return folder


@pytest.fixture
def python(emulated: Board, project: Path, tmp_path: Path) -> OnBoard:
    """Run the board's Python; its temporary files are in the test's `tmp_path`/temporary."""
    (tmp_path / "temporary").mkdir()

    def run(
        *arguments: str | Path,
        npu: bool = True,
        text: str | None = None,
        root: Path | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            emulated.command(*arguments, root=root), input=text, capture_output=True, text=True, timeout=TIMEOUT, check=False,
            env={**emulated.variables(project, npu=npu), "TMPDIR": str(tmp_path / "temporary"), **(variables or {})}, cwd=tmp_path,
        )  # fmt: skip

    return run


@pytest.fixture
def edge_lstm(python: OnBoard, project: Path) -> OnBoard:
    """Run the command there."""

    def run(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        return python("-W", "error", project / "bin/edge-lstm", *arguments, **options)

    return run


def export(trained: Run, path: Path, form: str) -> Path:
    """A bundle with a model in one form, made by the real converter."""
    from edge_lstm_export import export_run
    from edge_lstm_export.rknn import environment
    from edge_lstm_export.steps import convert_rknn

    if reason := environment.unsupported_reason():
        pytest.skip(reason)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convert_rknn, "candidates", lambda *_: (form,))
        export_run(trained, path, schemes=("fp16",))
    return path


@pytest.fixture(scope="module")
def bundle(trained: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(trained, tmp_path_factory.mktemp("bundle") / "motions.edge", "cell")


@pytest.fixture(scope="module")
def fused_bundle(trained: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(trained, tmp_path_factory.mktemp("fused") / "motions.edge", "lstm")


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


def test_the_native_library_loads_there(python: OnBoard) -> None:
    script = (
        "import ctypes, pathlib, edge_lstm_runtime as rt\n"
        "library = ctypes.CDLL(pathlib.Path(rt.__file__).with_name('native') / 'libedge_lstm.so')\n"
        "library.el_kernel_name.restype = ctypes.c_char_p\n"
        "print(*(library.el_kernel_name(k).decode() for k in range(2)), library.el_kernel_name(2))"
    )
    done = python("-W", "error", "-c", script, npu=False)
    assert (done.returncode, done.stdout) == (0, "neon-dotprod neon None\n"), done.stderr


def test_the_extra_npu_is_what_the_board_has(python: OnBoard, wheels: dict[str, Path]) -> None:
    """pip itself, there, reads the extra's markers: nothing of it is missing, and the desktop's packages are not asked for."""
    done = python("-m", "pip", "install", "--dry-run", "--no-index", "--break-system-packages", f"{wheels['manylinux2014_aarch64']}[npu]")
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


# --- with a library in the place of the vendor's, to go through all of the vendor's Python ---


def with_stand_in(emulated: Board, bundle: Path, folder: Path, dims: int) -> Path:
    """The board's file system with librknnrt.c of this folder, whose answers are known and are not the model's."""
    compiler = shutil.which("aarch64-linux-gnu-gcc")
    if compiler is None:
        pytest.skip("no compiler for aarch64; run: apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross")
    spec = rt.load(bundle).spec
    sizes = {"FEATURES": spec.feature_size, "HIDDEN": spec.hidden_size, "STATES": 2 * spec.num_layers, "OUTPUTS": spec.output_size}
    library, source = folder / "librknnrt.so", Path(__file__).with_name("librknnrt.c")
    options = ["-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC"]
    options += [f"-D{name}={size}" for name, size in {**sizes, "DIMS": dims}.items()]
    subprocess.run([compiler, *options, "-o", str(library), str(source)], check=True)
    emulated.with_library(library, folder / "root")
    return folder / "root"


@pytest.fixture(scope="module")
def root(emulated: Board, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_stand_in(emulated, bundle, tmp_path_factory.mktemp("library"), 4)


@pytest.fixture(scope="module")
def fused_root(emulated: Board, fused_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_stand_in(emulated, fused_bundle, tmp_path_factory.mktemp("fused_library"), 3)


@pytest.mark.parametrize("form", ["cell", "lstm"])
def test_inputs_states_and_outputs_go_through_the_vendors_python(python: OnBoard, form: str, request: pytest.FixtureRequest) -> None:
    """Four-dimensional tensors of the cell, three-dimensional ones of the fused operator."""
    root, bundle = (request.getfixturevalue(n) for n in (("root", "bundle") if form == "cell" else ("fused_root", "fused_bundle")))
    rows = np.random.default_rng(0).normal(size=(4, rt.load(bundle).spec.feature_size)).astype(np.float32)
    script = (
        "import json, sys, numpy as np, edge_lstm_runtime as rt\n"
        "from edge_lstm_runtime.backends import open_backend\n"
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
        "print(json.dumps([[*first.tolist(), *rest.tolist()], np.stack(saved).tolist()]))"
    )
    done = python("-c", script, bundle, json.dumps(rows.tolist()), root=root)
    assert done.returncode == 0, done.stderr
    outputs, saved = json.loads(done.stdout.splitlines()[-1])
    spec = rt.load(bundle).spec
    states = np.zeros((2 * spec.num_layers, spec.hidden_size))  # h0, c0, h1, ...
    numbers = np.arange(len(states))[:, None]
    for n, x in enumerate(rows.astype(np.float64)):
        if n == 2:
            np.testing.assert_allclose(saved, [states[0::2], states[1::2]], rtol=1e-5)
        expected = np.resize(x, spec.output_size) + ((numbers + 1) * states[:, : spec.output_size]).sum(0)
        np.testing.assert_allclose(outputs[n], expected, rtol=1e-5, atol=1e-5)
        states = states / 2 + np.resize(x, spec.hidden_size) + numbers
    assert "the NPU's run failed with code -1" in done.stderr, "RKNNLite drops this code by itself"
    assert "the NPU runtime returned no result for this step" in done.stderr
    assert done.stderr.count("librknnrt: destroyed") == 1


def test_other_versions_on_the_board_are_named(python: OnBoard, root: Path, bundle: Path) -> None:
    script = "import sys; from edge_lstm_runtime import backends, load; backends.open_backend('rknn', load(sys.argv[1]).bundle)"
    assert "built by" not in python("-c", script, bundle, root=root).stderr
    done = python("-c", script, bundle, root=root, variables={"TEST_API_VERSION": "1.4.0", "TEST_DRIVER_VERSION": "0.8.2"})
    assert done.returncode == 0, done.stderr
    assert "rk3588-fp16.rknn: built by rknn-toolkit2 2.5.0, and the board's librknnrt.so is 1.4.0, driver 0.8.2: " in done.stderr
    done = python("-c", script, bundle, root=root, variables={"TEST_DRIVER_VERSION": "0.8.2"})
    assert "the NPU driver of this board is 0.8.2; Rockchip advises 0.9.2 or later" in done.stderr


def test_an_npu_that_answers_wrongly_is_found_out(edge_lstm: OnBoard, root: Path, bundle: Path) -> None:
    done = edge_lstm("check", bundle, "--backend", "rknn", root=root)
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith(f"rknn {ARTIFACT}"), done.stdout
    assert " BAD " in done.stdout
    done = edge_lstm("run", bundle, "--input", "-", text="[0.1, -0.3, 0.2, 0.0, 0.1, 0.0]\n", root=root)
    assert done.returncode == 0, done.stderr
    assert f"edge-lstm: runs on numpy; rknn ({ARTIFACT}): WRONG (nrmse " in done.stderr


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
