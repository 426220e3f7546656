"""The instructions of a step on a Cortex-M4F, counted by QEMU: `make -C cortex-m count`.

QEMU runs one instruction in 64 ns of its own time (-icount), and the program reads that time. It is
a count under emulation, and no time of a board.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from edge_lstm_runtime import ConversionError

from .folder import fill

PROGRAMS = ("make", "arm-none-eabi-gcc", "qemu-system-arm")
CPU = "a Cortex-M4F (mps2-an386)"
TIMEOUT = 300  # seconds


@dataclasses.dataclass(frozen=True)
class Instructions:
    """count: a step's mean over the golden samples. cpu, compiler: in words."""

    count: int
    cpu: str
    compiler: str


def check_countable() -> None:
    """Raises ConversionError if a program is not installed."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        raise ConversionError(
            f"--count needs {', '.join(missing)}; "
            "on Debian: apt install make gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm"
        )


def count_instructions(contents: Mapping[str, bytes]) -> Instructions:
    """Raises ConversionError if the folder can't be built or its self-test says FAIL."""
    check_countable()
    with tempfile.TemporaryDirectory(prefix="edge-lstm-count-") as name:
        fill(Path(name), contents)
        try:
            done = _run(["make", "-C", f"{name}/cortex-m", "count"])
            version = _run(["arm-none-eabi-gcc", "-dumpversion"]).stdout.strip()
        except (OSError, subprocess.SubprocessError) as e:
            raise ConversionError(f"--count: {e}") from e
    found = re.search(r"^clock: (\d+) a step$", done.stdout, re.MULTILINE)
    if done.returncode or not found:
        last = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
        raise ConversionError(f"--count: the self-test did not pass on {CPU}: {last[-1]}")
    return Instructions(int(found[1]), CPU, f"arm-none-eabi-gcc {version}")


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
