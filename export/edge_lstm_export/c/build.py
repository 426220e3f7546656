"""The exported folder, built and run on this machine if it has a C compiler.

So the figures of an export are those of the source itself.
"""

from __future__ import annotations

import dataclasses
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from edge_lstm_runtime import ConversionError

from .folder import fill
from .names import Names

TIMEOUT = 300  # seconds, for the compiler and for the self-test
OPTIONS = ("-std=gnu99", "-O2", "-Iinclude")  # as in the folder's Makefile


@dataclasses.dataclass(frozen=True)
class Built:
    """verdict: the self-test's line of figures, or why there is none. code_bytes: of the kernel, or
    None if it was not measured."""

    verdict: str
    compiler: str = ""
    code_bytes: int | None = None


def build_and_run(contents: Mapping[str, bytes], names: Names) -> Built:
    """Compile the folder and run its self-test. Raises ConversionError if that says FAIL.

    names: those in the folder.
    """
    compiler = next((path for name in ("cc", "gcc", "clang") if (path := shutil.which(name))), None)
    if compiler is None:
        return Built("not run here: no C compiler (cc) was found")
    try:
        with tempfile.TemporaryDirectory(prefix="edge-lstm-c-") as name:
            return _built(Path(name), contents, names, compiler)
    except (OSError, subprocess.SubprocessError) as e:
        reason = (getattr(e, "stderr", None) or str(e)).strip()
        return Built(f"not run here: {Path(compiler).name}: {reason.splitlines()[0]}")


def _built(folder: Path, contents: Mapping[str, bytes], names: Names, compiler: str) -> Built:
    fill(folder, contents)
    sources = [path for path in contents if path.endswith(".c") and path.startswith("src/")]
    objects = {Path(path).stem: path.replace(".c", ".o") for path in sources}
    for path in sources:
        _run([compiler, *OPTIONS, "-c", path, "-o", path.replace(".c", ".o")], folder)
    _run([compiler, *OPTIONS, "-c", "examples/selftest/main.c", "-o", "main.o"], folder)
    _run([compiler, "main.o", *objects.values(), "-lm", "-o", "selftest"], folder)
    version = _run([compiler, "-dumpversion"], folder).strip()
    label = f"{Path(compiler).name} {version} -O2 for {platform.machine()}"
    done = subprocess.run(
        [folder / "selftest"], capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    lines = done.stdout.split("\n")
    if done.returncode != 0:
        raise ConversionError(
            f"the C source is out of tolerance here, built by {label}: {' '.join(lines).strip()}"
        )
    others = (names.prefix, f"{names.kernel}front_end", f"{names.kernel}transforms")
    kernel = [path for stem, path in objects.items() if stem not in others]
    return Built(lines[1], label, _code_bytes(folder, kernel))


def _code_bytes(folder: Path, objects: Sequence[str]) -> int | None:
    """Bytes of these objects, their constants included."""
    try:
        rows = [line.split() for line in _run(["size", *objects], folder).splitlines()[1:]]
        return sum(int(text) + int(data) for text, data, *_ in rows)
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def _run(command: list[str], folder: Path) -> str:
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT, check=True
    ).stdout
