"""An RK3588 board without its NPU, emulated: Debian's aarch64 Python, NumPy and rknn-toolkit-lite2 in a folder, run by qemu-user.

    .venv/bin/python tests/board/board.py FOLDER

makes one in FOLDER, with this working tree's wheel installed, and says how to run it. Needs no root rights.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = Path(__file__).parents[2]
CONSTRAINTS = PROJECT / "constraints.txt"
SUITE = "bookworm"  # its Python is 3.11; the next one's, 3.13, has no wheel of rknn-toolkit-lite2
DEBIAN_PACKAGES = "python3-pip", "libstdc++6"  # NumPy's wheel needs the latter, which every real installation has
SOURCE = f"deb [arch=arm64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian {SUITE} main\n"
# An apt of its own beside the machine's, for arm64 and as if nothing were installed; the machine's proxy settings stay.
APT = """
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
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
SOC = b"radxa,rock-5b\0rockchip,rk3588\0"


class BoardError(Exception):
    """There can't be a board here; the message is one line and says what is missing."""


@dataclasses.dataclass(frozen=True)
class Board:
    """FOLDER/root: Debian; FOLDER/numpy and FOLDER/npu: the packages of the runtime alone, and those of the extra `npu`."""

    folder: Path

    def command(self, *arguments: str | Path, root: Path | None = None) -> list[str]:
        """The emulated Python with these arguments. root: what it sees as / where it isn't this board's own, see `with_library`."""
        own = self.folder / "root"
        return [_qemu(), "-L", str(root or own), str(own / "usr/bin/python3"), *map(str, arguments)]

    def with_library(self, library: Path, root: Path) -> None:
        """Make the folder `root`: the board's own, of links, with this file as /usr/lib/librknnrt.so."""
        shutil.copytree(self.folder / "root", root, symlinks=True, copy_function=os.symlink)
        (root / "usr/lib/librknnrt.so").symlink_to(library)

    def variables(self, project: Path | None = None, *, npu: bool = True) -> dict[str, str]:
        """The environment variables of a process there. project: a folder that `install` has made. npu: with rknn-toolkit-lite2?"""
        paths = [str(path) for path in (project, self.folder / "numpy", self.folder / "npu" if npu else None) if path]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return {**kept, "PYTHONPATH": os.pathsep.join(paths), "PYTHONNOUSERSITE": "1"}

    def install(self, wheel: Path, project: Path) -> None:
        """Install the project's wheel into the folder `project`, by the board's own pip."""
        _run(self.command("-m", "pip", "install", "--no-index", "--no-deps", "--target", project, wheel), variables=self.variables())


def build_wheel(out: Path) -> Path:
    """The wheel of this working tree for such a board, in the folder `out`."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(PROJECT)]
    _run(command, variables={**os.environ, "EDGE_LSTM_WHEEL": "manylinux2014_aarch64"})
    (path,) = out.glob("*.whl")
    return path


def cached() -> Board:
    """The board in the cache, beside the converter's environment; made where it isn't there. Raises BoardError."""
    from edge_lstm_export.rknn import environment

    # This file says how it is made.
    digest = hashlib.sha256(Path(__file__).read_bytes() + CONSTRAINTS.read_bytes() + "\n".join(requirements()).encode()).hexdigest()[:12]
    return make(environment.location().parent / f"board-{digest}")


def requirements() -> list[str]:
    """What `pip install "edge-lstm[npu]"` asks for on a board."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
    return [line.split(";")[0] for line in (*project["dependencies"], *project["optional-dependencies"]["npu"])]


def make(home: Path) -> Board:
    """Make a board in the folder `home`, or find the one that is there. Raises BoardError; what was half made is removed."""
    home = home.absolute()
    board = Board(home)
    board.command()  # is the emulator there?
    if (home / "npu").exists():
        return board
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise BoardError(f"{tool}, which fetches and unpacks Debian's Python, is not here")
    home.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=".building-", dir=home.parent))
    try:
        _unpack_debian(building / "root")
        _install_packages(Board(building))
        building.chmod(0o755)
        try:
            building.rename(home)
        except OSError as e:
            if not (home / "npu").exists():  # else somebody made it meanwhile: theirs serves as well
                raise BoardError(f"can't make a board in {home}: {e.strerror}") from e
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return board


def _unpack_debian(root: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("lists/partial", "archives/partial"):
            (folder / part).mkdir(parents=True)
        (folder / "status").touch()
        (folder / "sources.list").write_text(SOURCE)
        (folder / "apt.conf").write_text(APT.replace("FOLDER", name))
        variables = {**os.environ, "APT_CONFIG": str(folder / "apt.conf")}
        _run(["apt-get", "update", "--error-on=any"], variables=variables)
        _run(["apt-get", "install", "--yes", "--download-only", *DEBIAN_PACKAGES], variables=variables)
        root.mkdir()
        for package in sorted((folder / "archives").glob("*.deb")):
            _run(["dpkg-deb", "--extract", str(package), str(root)])
    # rknn-toolkit-lite2 looks for these two before it looks for its library where it takes the machine for a container.
    for path, content in (("proc/device-tree/compatible", SOC), ("dev/dri/renderD129", b"")):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)


def _install_packages(board: Board) -> None:
    npu, numpy = board.folder / "npu", board.folder / "numpy"
    pip = board.command("-m", "pip", "install", "--only-binary", ":all:", "--constraint", CONSTRAINTS, "--target", npu, *requirements())
    _run(pip, variables=board.variables())
    numpy.mkdir()
    for path in list(npu.glob("numpy*")):
        path.rename(numpy / path.name)


def _qemu() -> str:
    for name in ("qemu-aarch64-static", "qemu-aarch64"):
        if found := shutil.which(name):
            return found
    raise BoardError("qemu-aarch64, the emulator, is not here; run: apt-get install qemu-user-static")


def _run(command: Sequence[str], *, variables: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env=variables, check=False)
    if done.returncode != 0:
        lines = [line for line in (done.stderr.strip() or done.stdout.strip()).splitlines() if not line.startswith(("W", "  "))]
        shown = " ".join(Path(part).name for part in command[:7])
        raise BoardError(f"`{shown} ...` failed: {' / '.join(lines[-2:]) or f'exit code {done.returncode}'}")


def main(arguments: Sequence[str]) -> None:
    if len(arguments) != 1 or arguments[0].startswith("-"):
        raise SystemExit(__doc__)
    try:
        board = make(Path(arguments[0]))
        project = board.folder / "project"
        shutil.rmtree(project, ignore_errors=True)
        with tempfile.TemporaryDirectory() as folder:
            board.install(build_wheel(Path(folder)), project)
    except BoardError as e:
        raise SystemExit(f"board: error: {e}") from e
    path = board.variables(project)["PYTHONPATH"]
    print(f"PYTHONPATH={path} {' '.join(board.command(project / 'bin/edge-lstm'))} --help")


if __name__ == "__main__":
    main(sys.argv[1:])
