"""The built wheel: what is in it, and that it works beside NumPy alone."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import edge_lstm_runtime
import hatch_build
from helpers.paths import ROOT

pytestmark = pytest.mark.slow
PACKAGES = {
    "edge_lstm": ROOT,
    "edge_lstm_export": ROOT / "export",
    "edge_lstm_runtime": ROOT / "deploy",
}
INFO = f"edge_lstm-{edge_lstm_runtime.__version__}.dist-info"
MAX_KB = 1200  # all three packages and the libraries of one platform
CLEAN = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}


def on_board(
    python: Path, *arguments: str | Path, text: str | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(python.with_name("edge-lstm")), *map(str, arguments)],
        input=text, capture_output=True, text=True, env=CLEAN, cwd=python.parent, timeout=120,
        check=False,
    )  # fmt: skip


@pytest.fixture(scope="module", params=[*hatch_build.PLATFORMS, "any"])
def platform(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def wheel(wheels: dict[str, Path], platform: str) -> Path:
    return wheels[platform]


def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_size(wheel: Path) -> None:
    assert wheel.stat().st_size <= MAX_KB * 1000, (
        f"{wheel.stat().st_size} bytes, of which most in {sorted(names(wheel))}"
    )


def test_name_and_version(wheel: Path, platform: str) -> None:
    assert wheel.name == f"edge_lstm-{edge_lstm_runtime.__version__}-py3-none-{platform}.whl"
    with zipfile.ZipFile(wheel) as archive:
        lines = archive.read(f"{INFO}/WHEEL").decode().splitlines()
    assert f"Tag: py3-none-{platform}" in lines
    assert f"Root-Is-Purelib: {'true' if platform == 'any' else 'false'}" in lines


def test_record(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        rows = [line.split(",") for line in archive.read(f"{INFO}/RECORD").decode().splitlines()]
        assert sorted(name for name, *_ in rows) == sorted(archive.namelist())
        for name, digest, size in rows:
            content = archive.read(name)
            sha256 = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
            assert (digest, size) == (
                ("", "") if name.endswith("/RECORD") else (f"sha256={sha256}", str(len(content)))
            ), name


@pytest.mark.parametrize("asked", [*hatch_build.PLATFORMS, "linux_riscv64"])
def test_pip_takes_the_right_one_of_all(
    wheels: dict[str, Path], asked: str, tmp_path: Path
) -> None:
    expected = wheels.get(asked, wheels["any"])
    options = [
        "--no-deps",
        "--no-index",
        "--only-binary",
        ":all:",
        "--platform",
        asked,
        "--find-links",
        str(expected.parent),
    ]
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        *options,
        "--dest",
        str(tmp_path),
        "edge-lstm",
    ]
    subprocess.run(command, check=True)
    assert [path.name for path in tmp_path.iterdir()] == [expected.name]


@pytest.mark.parametrize("machine", hatch_build.MACHINES)
def test_auditwheel_agrees(wheels: dict[str, Path], machine: str) -> None:
    """For glibc alone: for musl it would read the libc.so of this machine."""
    command = [sys.executable, "-m", "auditwheel", "show", str(wheels[f"manylinux2014_{machine}"])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert f'platform tag: "manylinux_2_17_{machine}"' in " ".join(done.stdout.split()), done.stderr


def test_exactly_the_three_packages(wheel: Path, platform: str) -> None:
    found = names(wheel)
    assert {name.split("/")[0] for name in found} == {*PACKAGES, INFO, "edge_lstm_command.py"}
    for package, root in PACKAGES.items():
        assert f"{package}/__init__.py" in found
        assert f"{package}/py.typed" in found
        files = [
            p
            for p in (root / package).rglob("*")
            if p.is_file()
            and "__pycache__" not in p.parts
            and not p.name.startswith(hatch_build.LIBRARY.name)
        ]
        library = (
            {hatch_build.IN_WHEEL, hatch_build.IN_WHEEL + hatch_build.SUM}
            if package == "edge_lstm_runtime" and platform != "any"
            else set()
        )
        assert {name for name in found if name.startswith(f"{package}/")} == {
            p.relative_to(root).as_posix() for p in files
        } | library


def test_data_files_licence_and_entry_points(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        found = archive.namelist()
        for suffix in (".toml", ".txt", ".j2"):
            assert any(
                name.startswith("edge_lstm_export/") and name.endswith(suffix) for name in found
            ), f"no {suffix} file of export"
        assert b"Apache License" in archive.read(f"{INFO}/licenses/LICENSE")
        points = archive.read(f"{INFO}/entry_points.txt").decode()
        metadata = archive.read(f"{INFO}/METADATA").decode()
    assert "edge-lstm = edge_lstm_command:main" in points
    assert "rknn-sim = edge_lstm_export.npu.rknn.sim" in points.splitlines()
    assert re.findall(r"^Requires-Dist: ([^;\n]+)$", metadata, re.MULTILINE) == ["numpy>=1.24"]
    assert "Requires-Python: >=3.10" in metadata
    assert set(re.findall(r"^Provides-Extra: (\w+)$", metadata, re.MULTILINE)) == {
        "train",
        "export",
        "desktop",
        "npu",
        "keras",
        "tflite",
        "search",
        "ray",
        "mlflow",
        "wandb",
        "docs",
        "notebooks",
        "mqtt",
        "build",
        "dev",
    }


def test_nothing_but_numpy_is_there(board: Path) -> None:
    done = subprocess.run(
        [str(board), "-m", "pip", "list", "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
        env=CLEAN,
    )
    assert {p["name"] for p in json.loads(done.stdout)} - {"pip", "setuptools"} == {
        "edge-lstm",
        "numpy",
    }


# "auto" reads the facts of rknn-sim, the wheel's own plug-in, and nothing that is not there.
PLUG_IN = ["edge_lstm_export"] + [
    f"edge_lstm_export.npu{name}"
    for name in (
        "",
        ".rknn",
        ".rknn.content",
        ".rknn.environment",
        ".rknn.indexes",
        ".rknn.sim",
        ".rknn.uv",
    )
]


@pytest.mark.parametrize(("backend", "loaded"), [("numpy", []), ("auto", PLUG_IN)])
def test_import_and_stream(board: Path, bundle: Path, backend: str, loaded: list[str]) -> None:
    script = (
        "import sys, edge_lstm_runtime as rt\n"
        "with rt.load(sys.argv[1]).session(sys.argv[2]) as s: y = s.step([0.5, 1.5]); "
        "print(y.shape)\n"
        "foreign = {'torch', 'onnx', 'onnxruntime', 'edge_lstm', 'edge_lstm_export', 'polars', "
        "'pydantic'}\n"
        "print(sorted(m for m in sys.modules if m.split('.')[0] in foreign))\n"
        "print(rt.__file__)"
    )
    asked = [str(board), "-W", "error", "-c", script, str(bundle), backend]
    done = subprocess.run(
        asked, capture_output=True, text=True, env=CLEAN, cwd=board.parent, check=False
    )
    assert done.returncode == 0, done.stderr
    shape, foreign, file = done.stdout.splitlines()
    assert (shape, foreign) == ("(2,)", str(loaded))
    assert "site-packages" in file


def test_run_check_info_and_bench(board: Path, bundle: Path) -> None:
    done = on_board(board, "run", bundle, "--input", "-", text="b,a\n1.5,0.5\n[0, 0]\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert [json.loads(line)["line"] for line in done.stdout.splitlines()] == [2, 3]
    done = on_board(board, "check", bundle, "--backend", "numpy")
    assert done.returncode == 0
    assert re.match(r"numpy +ok +max abs", done.stdout)
    done = on_board(board, "info", bundle)
    assert done.returncode == 0
    assert "classify: class0, class1" in done.stdout
    done = on_board(board, "bench", bundle, "--steps", "20")
    assert done.returncode == 0


def test_check_everything_says_what_is_not_here(board: Path, bundle: Path) -> None:
    done = on_board(board, "check", bundle)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["numpy"]
    for name in ("onnx", "rknn ", "rknn-sim"):
        assert re.search(rf"^{name} *not here: ", done.stderr, re.MULTILINE), name


@pytest.mark.parametrize(
    ("verb", "extra"),
    [("train", "train"), ("export", "export"), ("demo", "export"), ("lint", "export")],
)
def test_desktop_verbs_name_the_exact_command(
    board: Path, wheels: dict[str, Path], verb: str, extra: str
) -> None:
    done = on_board(board, verb)
    assert done.returncode == 2
    assert done.stdout == ""
    message, command = done.stderr.split("; run: ")
    assert re.fullmatch(
        rf"edge-lstm: error: \S+, which `edge-lstm {verb}` needs, is not installed", message
    )
    assert command == f'pip install "{wheels["any"]}[{extra}]"\n'


def test_what_needs_no_package_runs(board: Path) -> None:
    assert on_board(board, "targets").stdout.startswith("target")
    assert on_board(board, "converter").returncode == 0


def test_the_command_is_one_that_pip_understands(board: Path, wheels: dict[str, Path]) -> None:
    """It finds the wheel and its extra. It is not given the packages themselves."""
    asked = [
        str(board),
        "-m",
        "pip",
        "install",
        "--dry-run",
        "--no-index",
        f"{wheels['any']}[train]",
    ]
    done = subprocess.run(
        asked, capture_output=True, text=True, env={**CLEAN, "PIP_FIND_LINKS": ""}, check=False
    )
    assert re.search(r"No matching distribution found for \S+; extra == .train.", done.stderr), (
        done.stderr
    )


def test_help_and_version_need_nothing(board: Path) -> None:
    assert on_board(board, "--help").returncode == 0
    assert on_board(board, "--version").stdout == f"edge-lstm {edge_lstm_runtime.__version__}\n"
