"""The built wheels: what is in them, and that the runtime's works beside NumPy alone."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import edge_lstm_runtime
import hatch_build
from helpers.paths import ROOT

pytestmark = pytest.mark.slow
VERSION = edge_lstm_runtime.__version__
INFO = f"edge_lstm_runtime-{VERSION}.dist-info"
DESKTOP_INFO = f"edge_lstm-{VERSION}.dist-info"
NATIVE = "edge_lstm_runtime/native"
MAX_KB = 400  # what a board installs beside NumPy: model, kernel, service, signatures
MAX_KB_X86 = 460  # four kernels of every type of layer, where boards with ARM have two
CLEAN = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}


def on_board(
    python: Path, *arguments: str | Path, text: str | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(python.with_name("edge-lstm")), *map(str, arguments)],
        input=text, capture_output=True, text=True, env=CLEAN, cwd=python.parent, timeout=120,
        check=False,
    )  # fmt: skip


def said_by(python: Path, verb: str) -> str:
    """The one line of a verb that can't run there."""
    done = on_board(python, verb)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    return line


def missing(python: Path, command: str, *options: str) -> str:
    """The package that pip lacks for a command of a message, if no index has any."""
    asked = [str(python), "-m", *shlex.split(command), "--dry-run", "--no-index", *options]
    done = subprocess.run(
        asked, capture_output=True, text=True, env={**CLEAN, "PIP_FIND_LINKS": ""}, check=False
    )
    found = re.search(r"No matching distribution found for ([\w-]+)", done.stderr)
    assert found, done.stderr
    return found[1]


@pytest.fixture(scope="module", params=[*hatch_build.PLATFORMS, "any"])
def platform(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def wheel(wheels: dict[str, Path], platform: str) -> Path:
    return wheels[platform]


@pytest.fixture(scope="module")
def for_desktop(dist: Path) -> Path:
    return dist / f"edge_lstm-{VERSION}-py3-none-any.whl"


def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_size(wheel: Path, platform: str) -> None:
    limit = MAX_KB_X86 if platform.endswith("x86_64") else MAX_KB
    assert wheel.stat().st_size <= limit * 1000, (
        f"{wheel.stat().st_size} bytes, of which most in {sorted(names(wheel))}"
    )


def test_name_and_version(wheel: Path, platform: str) -> None:
    tag = f"py3-none-{platform}" if platform == "any" else f"cp310-abi3-{platform}"
    assert wheel.name == f"edge_lstm_runtime-{VERSION}-{tag}.whl"
    with zipfile.ZipFile(wheel) as archive:
        lines = archive.read(f"{INFO}/WHEEL").decode().splitlines()
    assert f"Tag: {tag}" in lines
    assert f"Root-Is-Purelib: {'true' if platform == 'any' else 'false'}" in lines


@pytest.mark.parametrize("name", [INFO, DESKTOP_INFO])
def test_record(name: str, dist: Path) -> None:
    wheel = next(dist.glob(name.replace(".dist-info", "-*.whl")))
    with zipfile.ZipFile(wheel) as archive:
        rows = [line.split(",") for line in archive.read(f"{name}/RECORD").decode().splitlines()]
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
        "edge-lstm-runtime",
    ]
    subprocess.run(command, check=True)
    assert [path.name for path in tmp_path.iterdir()] == [expected.name]


@pytest.mark.parametrize("machine", hatch_build.MACHINES)
def test_auditwheel_agrees(wheels: dict[str, Path], machine: str) -> None:
    """For glibc alone: for musl it would read the libc.so of this machine."""
    command = [sys.executable, "-m", "auditwheel", "show", str(wheels[f"manylinux2014_{machine}"])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert f'platform tag: "manylinux_2_17_{machine}"' in " ".join(done.stdout.split()), done.stderr


def sources(package: Path) -> set[str]:
    """The files of a package, from its parent's folder."""
    return {
        p.relative_to(package.parent).as_posix()
        for p in package.rglob("*")
        if p.is_file()
        and "__pycache__" not in p.parts
        and not p.name.startswith(hatch_build.LIBRARY.name)
    }


def c_sources() -> set[str]:
    return {p.name for p in (ROOT / "deploy" / NATIVE).glob("*.[ch]")}


def test_the_runtime_is_in_it_without_its_c(wheel: Path, platform: str) -> None:
    c = {f"{NATIVE}/{name}" for name in c_sources() - {"layers.h"}}
    library = {hatch_build.IN_WHEEL, hatch_build.IN_WHEEL + hatch_build.SUM}
    expected = sources(ROOT / "deploy/edge_lstm_runtime") - c | {"edge_lstm_command.py"}
    expected |= set() if platform == "any" else library
    assert {"edge_lstm_runtime/__init__.py", "edge_lstm_runtime/py.typed"} <= expected
    assert {name for name in names(wheel) if not name.startswith(INFO)} == expected


def test_the_rest_is_in_the_desktops_with_the_c(for_desktop: Path) -> None:
    c = {f"edge_lstm_export/c/kernel/{name}" for name in c_sources()}
    expected = sources(ROOT / "edge_lstm") | sources(ROOT / "export/edge_lstm_export") | c
    assert {"edge_lstm/py.typed", "edge_lstm_export/py.typed"} <= expected
    assert {"edge_lstm_export/c/kernel/edge_lstm.c", "edge_lstm_export/c/kernel/tiles.h"} <= c
    assert {name for name in names(for_desktop) if not name.startswith(DESKTOP_INFO)} == expected
    with zipfile.ZipFile(for_desktop) as archive:
        for name in sorted(c_sources()):
            packed = archive.read(f"edge_lstm_export/c/kernel/{name}")
            assert packed == (ROOT / "deploy" / NATIVE / name).read_bytes(), name
        for suffix in (".toml", ".txt", ".j2"):
            assert any(name.endswith(suffix) for name in archive.namelist()), suffix


def told(wheel: Path, info: str) -> tuple[str, str]:
    """What a wheel says of itself: METADATA, and its entry points. It has the licence."""
    with zipfile.ZipFile(wheel) as archive:
        assert b"Apache License" in archive.read(f"{info}/licenses/LICENSE")
        metadata = archive.read(f"{info}/METADATA").decode()
        assert "Requires-Python: >=3.10" in metadata
        return metadata, archive.read(f"{info}/entry_points.txt").decode()


def needed(metadata: str) -> list[str]:
    return re.findall(r"^Requires-Dist: ([^;\n]+)$", metadata, re.MULTILINE)


def extras(metadata: str) -> set[str]:
    return set(re.findall(r"^Provides-Extra: (\w+)$", metadata, re.MULTILINE))


def test_what_the_runtimes_says(wheel: Path) -> None:
    metadata, points = told(wheel, INFO)
    assert needed(metadata) == ["numpy>=1.24"]
    assert extras(metadata) == {"mqtt", "npu"}
    assert points.split("\n\n") == ["[console_scripts]\nedge-lstm = edge_lstm_command:main\n"]


def test_what_the_desktops_says(for_desktop: Path) -> None:
    metadata, points = told(for_desktop, DESKTOP_INFO)
    assert needed(metadata) == [f"edge-lstm-runtime=={VERSION}"]
    assert extras(metadata) == {
        "train", "export", "desktop", "keras", "tflite", "search", "ray", "mlflow", "wandb", "docs",
        "notebooks", "build", "dev",
    }  # fmt: skip
    assert points.splitlines() == [
        "[edge_lstm.backends]",
        "rknn-sim = edge_lstm_export.npu.rknn.sim",
        "tosa-sim = edge_lstm_export.npu.ethos_u.sim",
    ]


def test_nothing_but_numpy_is_there(board: Path) -> None:
    done = subprocess.run(
        [str(board), "-m", "pip", "list", "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
        env=CLEAN,
    )
    assert {p["name"] for p in json.loads(done.stdout)} - {"pip", "setuptools"} == {
        "edge-lstm-runtime",
        "numpy",
    }


# "auto" reads the facts of rknn-sim, the desktop's own plug-in, and nothing that is not there.
PLUG_IN = ["edge_lstm_export"] + [
    f"edge_lstm_export.npu{name}"
    for name in (
        "",
        ".ethos_u",
        ".ethos_u.environment",
        ".ethos_u.sim",
        ".rknn",
        ".rknn.environment",
        ".rknn.sim",
        ".worker",
        ".worker.content",
        ".worker.environment",
    )
]


@pytest.mark.parametrize(
    ("where", "backend", "loaded"),
    [("board", "numpy", []), ("board", "auto", []), ("desktop", "auto", PLUG_IN)],
)
def test_import_and_stream(
    where: str, backend: str, loaded: list[str], bundle: Path, request: pytest.FixtureRequest
) -> None:
    board = request.getfixturevalue(where)
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
    assert "rknn-sim" not in done.stderr, "which comes with the desktop's"
    for name in ("onnx", "rknn "):
        assert re.search(rf"^{name} *not here: ", done.stderr, re.MULTILINE), name


@pytest.mark.parametrize(
    ("verb", "extra"),
    [("train", "train"), ("export", "export"), ("demo", "export"), ("lint", "export")],
)
def test_desktop_verbs_name_the_exact_command(desktop: Path, verb: str, extra: str) -> None:
    """pip understands it: it takes what is installed, and lacks the extra's packages alone."""
    message, command = said_by(desktop, verb).split("; run: ")
    assert re.fullmatch(
        rf"edge-lstm: error: \S+, which `edge-lstm {verb}` needs, is not installed", message
    )
    assert command == f'pip install "edge-lstm[{extra}]"'
    assert missing(desktop, command) in {"aeon", "holidays", "lightning-fabric", "jinja2"}


def test_a_board_names_the_desktops_command(board: Path, dist: Path) -> None:
    line = said_by(board, "train")
    message, command = line.split("; to train and export, run: ")
    assert message == (
        "edge-lstm: error: argument VERB: there is no 'train'; expected one of bench, check, "
        "generate, info, install, run, serve, service; see `edge-lstm --help`"
    )
    command, folder = command.split(" with ")
    assert folder == "the folder of edge-lstm's wheels"
    assert command == 'pip install --find-links FOLDER "edge-lstm[desktop]"'
    assert f"To train and export: {command}" in on_board(board, "--help").stdout
    assert missing(board, command.replace("FOLDER", str(dist))) in {"aeon", "holidays", "jinja2"}


def test_what_needs_no_package_runs(desktop: Path) -> None:
    assert "\nrk3588 " in on_board(desktop, "targets").stdout
    assert on_board(desktop, "converter").returncode == 0


def test_help_and_version_need_nothing(board: Path) -> None:
    assert on_board(board, "--help").returncode == 0
    assert on_board(board, "--version").stdout == f"edge-lstm {edge_lstm_runtime.__version__}\n"
