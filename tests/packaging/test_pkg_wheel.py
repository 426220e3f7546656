"""The built wheel: what is in it, and that it works beside NumPy alone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import zipfile
from pathlib import Path

import pytest

import edge_lstm_runtime

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
PACKAGES = {"edge_lstm": ROOT, "edge_lstm_export": ROOT / "export", "edge_lstm_runtime": ROOT / "deploy"}
MAX_KB = 300
CLEAN = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}


def on_board(python: Path, *arguments: str | Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(python.with_name("edge-lstm")), *map(str, arguments)],
        input=text, capture_output=True, text=True, env=CLEAN, cwd=python.parent, timeout=120, check=False,
    )  # fmt: skip


def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_size(wheel: Path) -> None:
    assert wheel.stat().st_size <= MAX_KB * 1000, f"{wheel.stat().st_size} bytes, of which most in {sorted(names(wheel))}"


def test_name_and_version(wheel: Path) -> None:
    assert wheel.name == f"edge_lstm-{edge_lstm_runtime.__version__}-py3-none-any.whl"


def test_exactly_the_three_packages(wheel: Path) -> None:
    found = names(wheel)
    info = f"edge_lstm-{edge_lstm_runtime.__version__}.dist-info"
    assert {name.split("/")[0] for name in found} == {*PACKAGES, info}
    for package, root in PACKAGES.items():
        assert f"{package}/__init__.py" in found
        assert f"{package}/py.typed" in found
        on_disk = {p.relative_to(root).as_posix() for p in (root / package).rglob("*") if p.is_file() and "__pycache__" not in p.parts}
        assert {name for name in found if name.startswith(f"{package}/")} == on_disk


def test_data_files_licence_and_entry_points(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        found = archive.namelist()
        for suffix in (".toml", ".txt", ".j2"):
            assert any(name.startswith("edge_lstm_export/") and name.endswith(suffix) for name in found), f"no {suffix} file of export"
        info = f"edge_lstm-{edge_lstm_runtime.__version__}.dist-info"
        assert b"Apache License" in archive.read(f"{info}/licenses/LICENSE")
        points = archive.read(f"{info}/entry_points.txt").decode()
        metadata = archive.read(f"{info}/METADATA").decode()
    assert "edge-lstm = edge_lstm_runtime.cli:main" in points
    assert "rknn-sim = edge_lstm_export.rknn.sim:open_backend" in points
    assert re.findall(r"^Requires-Dist: ([^;\n]+)$", metadata, re.MULTILINE) == ["numpy>=1.24"]
    assert "Requires-Python: >=3.10" in metadata
    assert set(re.findall(r"^Provides-Extra: (\w+)$", metadata, re.MULTILINE)) == {"train", "export", "desktop", "npu", "dev"}


def test_nothing_but_numpy_is_there(board: Path) -> None:
    done = subprocess.run([str(board), "-m", "pip", "list", "--format", "json"], capture_output=True, text=True, check=True, env=CLEAN)
    assert {p["name"] for p in json.loads(done.stdout)} - {"pip", "setuptools"} == {"edge-lstm", "numpy"}


def test_import_and_stream(board: Path, bundle: Path) -> None:
    script = (
        "import sys, edge_lstm_runtime as rt\n"
        "with rt.load(sys.argv[1]).session('auto') as s: y = s.step([0.5, 1.5]); print(y.shape)\n"
        "foreign = {'torch', 'onnx', 'onnxruntime', 'edge_lstm', 'edge_lstm_export', 'polars', 'pydantic'}\n"
        "print(sorted(foreign & {m.split('.')[0] for m in sys.modules}))\n"
        "print(rt.__file__)"
    )
    done = subprocess.run(
        [str(board), "-W", "error", "-c", script, str(bundle)], capture_output=True, text=True, env=CLEAN, cwd=board.parent, check=False
    )
    assert done.returncode == 0, done.stderr
    shape, foreign, file = done.stdout.splitlines()
    assert (shape, foreign) == ("(2,)", "[]")
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
    assert "classify: still, moving" in done.stdout
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
    [("train", "train"), ("export", "export"), ("demo", "desktop"), ("targets", "export"), ("lint", "export"), ("converter", "export")],
)
def test_desktop_verbs_name_the_exact_command(board: Path, verb: str, extra: str) -> None:
    done = on_board(board, verb)
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(
        rf'edge-lstm: error: \S+, which `edge-lstm {verb}` needs, is not installed; run: pip install "edge-lstm\[{extra}\]"\n', done.stderr
    ), done.stderr


def test_help_and_version_need_nothing(board: Path) -> None:
    assert on_board(board, "--help").returncode == 0
    assert on_board(board, "--version").stdout == f"edge-lstm {edge_lstm_runtime.__version__}\n"
