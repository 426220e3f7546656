"""The wheel and the library, built with and without a compiler, from the tree and the sdist.

They are the same each time.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

import hatch_build
from hatch_build import CompileError
from helpers.locks import locked
from helpers.on_request import ON_REQUEST
from helpers.paths import ROOT

WITHOUT = "edge-lstm-runtime without its native kernel, so the runtime will use NumPy: "
slow = pytest.mark.slow


def test_without_a_compiler_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", "")
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "ziglang" else find(name)
    )
    with pytest.raises(
        CompileError, match=r"^there is no C compiler here, neither cc nor ziglang$"
    ):
        hatch_build.compile_here(tmp_path / "library.so")
    with pytest.raises(
        CompileError,
        match=r"^ziglang, which compiles for manylinux2014_aarch64, is not installed; run: pip "
        r"install ",
    ):
        hatch_build.compile_for("manylinux2014_aarch64", tmp_path / "library.so")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_an_old_compiler_leaves_out_the_kernel_it_cannot_make(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.write_text('#!/bin/sh\ncase "$*" in *avxvnni*) exit 1;; esac\nexec gcc "$@"\n')
    old.chmod(0o755)
    parts = hatch_build.MACHINES["x86_64"]
    found = hatch_build._known_parts(parts, [str(old)], zig=False)
    assert found[0].macros == "-DEL_WITH_AVX2 -DEL_WITH_AVX512"
    assert found[1:] == [part for part in parts[1:] if "vnni" not in part.macros]
    assert len(found) == 3


def test_a_compiler_that_fails_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for script, told in (
        ("echo 'x.c: error: no such thing' >&2; exit 1", "x.c: error: no such thing"),
        ("exit 3", "exit code 3"),
    ):
        (tmp_path / "broken").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "broken").chmod(0o755)
        monkeypatch.setenv("CC", str(tmp_path / "broken"))
        with pytest.raises(
            CompileError, match=rf"^`broken -std=c99 -O3 -ffp-contract=fast \.\.\.` failed: {told}$"
        ):
            hatch_build.compile_here(tmp_path / "library.so")
    assert not (tmp_path / "library.so").exists()


def test_no_kernel_for_other_machines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for tag in ("macosx_14_0_arm64", "linux_riscv64", "linux_armv6l", "win_amd64"):
        monkeypatch.setattr(hatch_build, "platform_tags", lambda tag=tag: iter([tag]))
        with pytest.raises(
            CompileError,
            match=rf"^there is none for {tag}, only for Linux on x86_64, aarch64, armv7l$",
        ):
            hatch_build.compile_here(tmp_path / "library.so")


def test_a_wrong_platform_names_the_right_ones(tmp_path: Path) -> None:
    with pytest.raises(
        CompileError,
        match=r"^EDGE_LSTM_WHEEL=aarch64 is no platform; expected pure or one of "
        r"manylinux2014_x86_64, ",
    ):
        hatch_build.compile_for("aarch64", tmp_path / "library.so")


def test_the_compiler_has_one_version() -> None:
    """An exact version, because it decides the bytes.

    A wheel that names its platform asks for it, and an install from source never does.
    """
    text, runtime = (
        (ROOT / folder / "pyproject.toml").read_text("utf-8") for folder in (".", "deploy")
    )
    assert re.findall(r'"(ziglang[^"]*)"', text) == [hatch_build.ZIGLANG]
    assert locked(["ziglang"]).startswith(f"{hatch_build.ZIGLANG} \\\n")
    (required,) = re.findall(r"^requires = \[(.*)\]$", text, re.MULTILINE)
    assert f'{required}, "{hatch_build.ZIGLANG}"' in text, (
        "dev builds with the same backend as everybody"
    )
    assert f"requires = [{required}]\n" in runtime


def test_both_distributions_have_the_licence() -> None:
    """The text lies twice: a distribution takes no file from outside of its folder."""
    assert (ROOT / "deploy/LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


# --- whole builds, in a copy of the working tree ---


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is in the repository or would be, in another folder and with other times."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip("no git repository here")
    root = tmp_path_factory.mktemp("copy") / "elsewhere"
    for name in filter(None, listed.stdout.split("\n")):
        if (ROOT / name).exists():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, root / name)
    return root


def run(
    command: Sequence[str | Path], folder: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("CC", hatch_build.VARIABLE)}
    return subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env={**kept, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def pip(board: Path, folder: Path, *arguments: str | Path, **variables: str) -> str:
    """What it says. It makes the environment that it builds in, with nothing but hatchling."""
    done = run([board, *arguments], folder, **variables)
    if "No matching distribution found for hatchling" in done.stderr:
        pytest.skip("hatchling can't be installed here, from no index")
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@ON_REQUEST  # all wheels are made a second time
@slow
def test_the_same_bytes_elsewhere(copy: Path, dist: Path, tmp_path: Path) -> None:
    """Another folder, other times, another umask, and a compiler that has nothing in its cache."""
    caches = {
        name: str(tmp_path / name) for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")
    }
    old = os.umask(0o077)
    try:
        command = [sys.executable, "deploy/hatch_build.py", "wheels", tmp_path / "dist"]
        done = run(command, copy, **caches)
    finally:
        os.umask(old)
    assert done.returncode == 0, done.stderr
    again = {path.name: path for path in (tmp_path / "dist").iterdir()}
    assert again.keys() == {path.name for path in dist.iterdir()}
    for name, wheel in again.items():
        with zipfile.ZipFile(dist / name) as one, zipfile.ZipFile(wheel) as two:
            assert one.namelist() == two.namelist()
            assert [m for m in one.namelist() if one.read(m) != two.read(m)] == [], name
        assert wheel.read_bytes() == (dist / name).read_bytes(), name


@slow
def test_a_wheel_that_names_its_platform_has_its_library_or_fails(
    copy: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path]
    done = run(command, copy / "deploy", **{hatch_build.VARIABLE: "aarch64"})
    assert done.returncode != 0
    assert (
        "edge-lstm: error: EDGE_LSTM_WHEEL=aarch64 is no platform; expected pure or one of "
        "manylinux2014_x86_64, " in done.stderr
    )
    assert list(tmp_path.iterdir()) == []


@slow
def test_an_editable_install_has_this_machines_library(
    copy: Path, board: Path, tmp_path: Path
) -> None:
    library = copy / hatch_build.LIBRARY.relative_to(ROOT)
    # Without --ignore-installed pip takes the board's own away, prefix or not.
    install = [
        "-m",
        "pip",
        "install",
        "-v",
        "--no-deps",
        "--ignore-installed",
        "--prefix",
        tmp_path,
        "--editable",
        "./deploy",
    ]
    with_compiler = pip(board, copy, *install)
    if shutil.which("cc"):
        assert WITHOUT not in with_compiler
        assert b"PyInit__kernel" in library.read_bytes()
    assert f"{WITHOUT}there is no C compiler here, neither nowhere nor ziglang" in pip(
        board, copy, *install, CC="nowhere"
    )
    assert not library.exists(), "an old one would be taken for the source's"
    assert not hatch_build.sum_of(library).exists()


@slow
def test_from_the_sdist_as_on_a_board(copy: Path, board: Path, tmp_path: Path) -> None:
    """pip builds with cc, or without a library if there is no cc. It fetches no compiler."""
    build = [sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", tmp_path]
    for folder in (copy, copy / "deploy"):
        done = run(build, folder)
        assert done.returncode == 0, done.stderr
    sdist, desktop = sorted(tmp_path.glob("*.tar.gz"), key=lambda path: path.stat().st_size)
    for path in (sdist, desktop):
        with tarfile.open(path) as archive:
            names = archive.getnames()
        assert not [name for name in names if name.endswith(".so")]
        top = path.name.removesuffix(".tar.gz")
        assert {f"{top}/LICENSE", f"{top}/README.md", f"{top}/pyproject.toml"} <= set(names)
    (tmp_path / "bin").mkdir()
    for path in (os.environ["PATH"], str(tmp_path / "bin")):
        pure = shutil.which("cc", path=path) is None
        out = tmp_path / f"{'pure' if pure else 'native'}"
        said = pip(
            board,
            tmp_path,
            "-m",
            "pip",
            "wheel",
            "-v",
            "--no-deps",
            "--wheel-dir",
            out,
            sdist,
            PATH=path,
        )
        assert (f"{WITHOUT}there is no C compiler here, neither cc nor ziglang" in said) == pure
        assert "ziglang-" not in said, "a compiler was fetched"
        (wheel,) = out.glob("*.whl")
        assert re.search(
            r"-py3-none-any\.whl$" if pure else r"-cp310-abi3-linux_\w+\.whl$", wheel.name
        ), wheel.name
        with zipfile.ZipFile(wheel) as archive:
            assert (hatch_build.IN_WHEEL in archive.namelist()) != pure
