"""How the C tests are compiled: the kernels with the library's flags, and the tests with them."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import hatch_build

HERE = Path(__file__).parents[1] / "runtime" / "native"  # has the C files
NATIVE = hatch_build.NATIVE
SOURCES = hatch_build.sources()
SUITE = (
    "suite.c",
    "suite_arguments.c",
    "suite_tools.c",
    *(f"layer_{source.name}" for source in SOURCES[1:]),
)
COMMON = ("-std=c99", "-ffp-contract=fast", f"-I{NATIVE}")
WARNINGS = (
    "-Wall",
    "-Wextra",
    "-Wdouble-promotion",
    "-Wfloat-conversion",
    "-Wconversion",
    "-Werror",
)
ALONE = (hatch_build.Part(""),)  # as in a firmware
HOST = hatch_build.MACHINES.get(platform.machine(), ALONE)


def run(command: Sequence[str | Path], timeout: float = 600, cwd: Path | None = None) -> str:
    """Its output. AssertionError with all of it if it fails."""
    done = subprocess.run(
        [str(c) for c in command],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        cwd=cwd,
    )
    assert done.returncode == 0, (
        f"{' '.join(map(str, command))} ended with {done.returncode}:\n"
        f"{done.stdout[-6000:]}{done.stderr[-6000:]}"
    )
    return done.stdout + done.stderr


def compiler(name: str) -> str | None:
    return shutil.which(name)


def build(
    folder: Path,
    *flags: str,
    cc: str = "gcc",
    kernels: Sequence[hatch_build.Part] = HOST,
    sources: Sequence[str] = SUITE,
    link: Sequence[str] = ("-lm",),
) -> Path:
    """The program of these sources with these kernels.

    AssertionError with the compiler's words if it can't be made.
    """
    objects = []

    def compiled(source: Path, name: str, *own: str) -> None:
        objects.append(folder / f"{name}.o")
        run([cc, *COMMON, *WARNINGS, *flags, *own, "-c", source, "-o", objects[-1]])

    for k, part in enumerate(kernels):
        for source in SOURCES:
            own = (*part.macros.split(), *part.options(zig=False))
            compiled(source, f"{k}-{source.stem}", "-fvisibility=hidden", *own)
    for name in sources:
        compiled(HERE / name, Path(name).stem)
    run([cc, *COMMON, *WARNINGS, *flags, *objects, *link, "-o", folder / "program"])
    return folder / "program"
