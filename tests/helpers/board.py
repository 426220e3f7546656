"""An emulated board in a folder: Debian's Python for its architecture, run by qemu-user.

    .venv/bin/python tests/helpers/board.py FOLDER [--arch arm64|armhf]

makes one in FOLDER, with this working tree's wheel installed, and says how to run it. It needs no
root rights. arm64, the default, is an RK3588 without its NPU, with NumPy's wheel and Rockchip's
rknn-toolkit-lite2. armhf is a 32-bit board with Debian's NumPy. The speed is the
emulator's and says nothing about a board.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2] / "deploy"))
import hatch_build

PROJECT = Path(__file__).parents[2]
LOCK = PROJECT / "lock/board.txt"
# Its Python is 3.11. For that of the next one, 3.13, rknn-toolkit-lite2 has no wheel.
SUITE = "bookworm"
SOURCE = (
    "deb [arch=ARCHITECTURE signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] "
    f"http://deb.debian.org/debian {SUITE} main\n"
)
# An apt for the board beside the machine's, as if nothing were installed. The machine's proxy
# settings stay.
APT = """
APT::Architecture "ARCHITECTURE";
APT::Architectures { "ARCHITECTURE"; };
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Languages "none";
Debug::NoLocking "true";
Dir::Etc::sourcelist "FOLDER/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "FOLDER";
Dir::State::status "FOLDER/status";
Dir::Cache "FOLDER";
Dir::Log "FOLDER";
"""
LAUNCHER_PATH = "root/usr/bin/emulated-python3"
SOC = b"radxa,rock-5b\0rockchip,rk3588\0"
# The board's Python, as a file that the host runs: an emulated program can start it too, as
# `edge-lstm bench` does. By its name Python finds its library. It sees $QEMU_LD_PREFIX as / and
# $QEMU_CPU as its CPU, and so do the processes that it starts.
LAUNCHER = """#!/bin/sh
here=$(dirname "$0")
export QEMU_LD_PREFIX="${QEMU_LD_PREFIX:-$here/../..}" QEMU_CPU="${QEMU_CPU:-DEFAULT}"
exec EMULATOR -0 "$0" "$here/python3" "$@"
"""


class Architecture(NamedTuple):
    debian: str  # its name there
    machine: str  # as Python's `platform.machine()` says it
    qemu: str
    cpu: str  # if none is asked for
    platform: str  # of the wheel
    debian_packages: tuple[str, ...]
    locked: bool  # pip installs what lock/board.txt has. If not, NumPy is Debian's


ARCHITECTURES = {
    a.debian: a
    for a in (
        # NumPy's wheel needs libstdc++6, which every real installation has.
        Architecture(
            "arm64",
            "aarch64",
            "qemu-aarch64",
            "max",
            "manylinux2014_aarch64",
            ("python3-pip", "libstdc++6"),
            True,
        ),
        # The index has no NumPy for it. By its best CPU the emulator would be an armv8l, and
        # Debian's pip takes no wheel of that.
        Architecture(
            "armhf",
            "armv7l",
            "qemu-arm",
            "cortex-a7",
            "manylinux2014_armv7l",
            ("python3-pip", "python3-numpy"),
            False,
        ),
    )
}


class BoardError(Exception):
    """There can't be a board here. The message is one line and says what is missing."""


@dataclasses.dataclass(frozen=True)
class Board:
    """FOLDER/root is Debian. pip fills FOLDER/numpy (no extra) and FOLDER/npu (extra `npu`)."""

    folder: Path
    architecture: Architecture

    def command(self, *arguments: str | Path) -> list[str]:
        """The emulated Python with these arguments, which can start another."""
        return [str(self.folder / LAUNCHER_PATH), *map(str, arguments)]

    def pip(self, *arguments: str | Path) -> list[str]:
        """pip there.

        It reads the file of the Python that runs it, to tell which wheels that takes. So that file
        must not be the launcher.
        """
        root = self.folder / "root"
        cpu = ["-cpu", self.architecture.cpu]
        return [
            _qemu(self.architecture),
            "-L",
            str(root),
            *cpu,
            str(root / "usr/bin/python3"),
            "-m",
            "pip",
            *map(str, arguments),
        ]

    def with_library(self, library: Path, root: Path) -> None:
        """Make the folder `root`: links to the board's own, and this file as librknnrt.so."""
        shutil.copytree(self.folder / "root", root, symlinks=True, copy_function=os.symlink)
        (root / "usr/lib/librknnrt.so").symlink_to(library)

    def variables(
        self,
        project: Path | None = None,
        *,
        npu: bool = True,
        root: Path | None = None,
        cpu: str = "",
    ) -> dict[str, str]:
        """The environment variables of a process there.

        project: a folder that `install` has made. npu: with rknn-toolkit-lite2?
        root: what it sees as / if not this board's own, see `with_library`.
        cpu: by the emulator's name.
        """
        paths = [
            str(path)
            for path in (project, self.folder / "numpy", self.folder / "npu" if npu else None)
            if path
        ]
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "QEMU_"))
        }
        emulated = {
            "QEMU_LD_PREFIX": str(root or self.folder / "root"),
            "QEMU_CPU": cpu or self.architecture.cpu,
        }
        return {**kept, **emulated, "PYTHONPATH": os.pathsep.join(paths), "PYTHONNOUSERSITE": "1"}

    def install(self, wheel: Path, project: Path) -> None:
        """Install the project's wheel into the folder `project`, by the board's own pip."""
        _run(
            self.pip("install", "--no-index", "--no-deps", "--target", project, wheel),
            variables=self.variables(),
        )


def build_wheel(architecture: Architecture, out: Path) -> Path:
    """This working tree's wheel of the runtime for such a board, in the folder `out`."""
    hatch_build.build_wheel(out, architecture.platform)
    (path,) = out.glob("*.whl")
    return path


def cached(architecture: Architecture) -> Board:
    """The board in the cache, beside the converter's environment. Makes it if needed.

    Raises BoardError.
    """
    from edge_lstm_export.npu.rknn.environment import ENVIRONMENT

    parts = (Path(__file__).read_bytes(), LOCK.read_bytes())  # which say how it is made
    digest = hashlib.sha256(b"".join(parts)).hexdigest()[:12]
    return make(ENVIRONMENT.home.parent / f"board-{architecture.debian}-{digest}", architecture)


def make(home: Path, architecture: Architecture) -> Board:
    """Make a board in the folder `home`, or find the one that is there.

    Raises BoardError, and then removes what was half made.
    """
    home = home.absolute()
    board = Board(home, architecture)
    qemu = _qemu(architecture)
    if (home / "npu").exists():
        if architecture.qemu not in (home / LAUNCHER_PATH).read_text():
            raise BoardError(
                f"{home} has a board of another architecture; name another folder for "
                f"{architecture.debian}"
            )
        return board
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise BoardError(f"{tool}, which fetches and unpacks Debian's Python, is not here")
    home.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=".board-", dir=home.parent))
    try:
        _unpack_debian(building / "root", architecture)
        launcher = building / LAUNCHER_PATH
        launcher.write_text(
            LAUNCHER.replace("EMULATOR", Path(qemu).name).replace("DEFAULT", architecture.cpu)
        )
        launcher.chmod(0o755)
        _install_packages(Board(building, architecture))
        building.chmod(0o755)
        try:
            building.rename(home)
        except OSError as e:
            if not (
                home / "npu"
            ).exists():  # else somebody made it meanwhile: theirs serves as well
                raise BoardError(f"can't make a board in {home}: {e.strerror}") from e
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return board


def _unpack_debian(root: Path, architecture: Architecture) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("lists/partial", "archives/partial"):
            (folder / part).mkdir(parents=True)
        (folder / "status").touch()
        (folder / "sources.list").write_text(SOURCE.replace("ARCHITECTURE", architecture.debian))
        (folder / "apt.conf").write_text(
            APT.replace("FOLDER", name).replace("ARCHITECTURE", architecture.debian)
        )
        variables = {**os.environ, "APT_CONFIG": str(folder / "apt.conf")}
        _run(["apt-get", "update", "--error-on=any"], variables=variables)
        _run(
            ["apt-get", "install", "--yes", "--download-only", *architecture.debian_packages],
            variables=variables,
        )
        root.mkdir()
        for package in sorted((folder / "archives").glob("*.deb")):
            _run(["dpkg-deb", "--extract", str(package), str(root)])
    # What update-alternatives would link when Debian's BLAS and LAPACK are installed.
    for library in root.glob("usr/lib/*/*/lib*.so.3"):
        (library.parents[1] / library.name).symlink_to(library.relative_to(library.parents[1]))
    # If rknn-toolkit-lite2 takes the machine for a container, it looks for these two before it
    # looks for its library.
    for path, content in (("proc/device-tree/compatible", SOC), ("dev/dri/renderD129", b"")):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)


def _install_packages(board: Board) -> None:
    npu = board.folder / "npu"
    numpy = board.folder / "numpy"
    for folder in (npu, numpy):
        folder.mkdir()
    if board.architecture.locked:
        pip = board.pip(
            "install",
            "--require-hashes",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--target",
            npu,
            "--requirement",
            LOCK,
        )
        _run(pip, variables=board.variables())
    for path in list(npu.glob("numpy*")):
        path.rename(numpy / path.name)


def _qemu(architecture: Architecture) -> str:
    for name in (f"{architecture.qemu}-static", architecture.qemu):
        if found := shutil.which(name):
            return found
    raise BoardError(
        f"{architecture.qemu}, the emulator, is not here; run: apt-get install qemu-user-static"
    )


def _run(command: Sequence[str], *, variables: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env=variables, check=False)
    if done.returncode != 0:
        lines = [
            line
            for line in (done.stderr.strip() or done.stdout.strip()).splitlines()
            if not line.startswith(("W", "  "))
        ]
        shown = " ".join(Path(part).name for part in command[:7])
        raise BoardError(
            f"`{shown} ...` failed: {' / '.join(lines[-2:]) or f'exit code {done.returncode}'}"
        )


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        "board.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folder", type=Path, metavar="FOLDER", help="where it is made, or is already"
    )
    parser.add_argument(
        "--arch",
        choices=ARCHITECTURES,
        default="arm64",
        help="as Debian calls it (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    architecture = ARCHITECTURES[options.arch]
    try:
        board = make(options.folder, architecture)
        project = board.folder / "project"
        shutil.rmtree(project, ignore_errors=True)
        with tempfile.TemporaryDirectory() as folder:
            board.install(build_wheel(architecture, Path(folder)), project)
    except BoardError as e:
        raise SystemExit(f"board: error: {e}") from e
    path = board.variables(project)["PYTHONPATH"]
    print(
        f"PYTHONPATH={shlex.quote(path)} "
        f"{shlex.join(board.command(project / 'bin/edge-lstm', '--help'))}"
    )
    print(
        "QEMU_CPU=NAME before it for another CPU. Times measured there are the emulator's, not a "
        "board's.",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
