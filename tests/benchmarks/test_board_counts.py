"""The counts of benchmarks/board_counts.c, on a program that is counted by hand."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from helpers.paths import ROOT

TOOLS = ("cc", "aarch64-linux-gnu-gcc", "qemu-aarch64")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)} not installed"),
]

# Ten times: 3 loads of 8, 16 and 2 x 8 bytes, from 3 lines that are 128 bytes apart, and a store of
# 8 into the first. Before it 1 instruction counts, behind it the 3 of the mark.
PROGRAM = """
.globl _start
_start: ldr x2, =data
    mov x8, #0x5e1
    mov x0, #2
    svc 0
    mov x1, #10
again: ldr x3, [x2]
    str x1, [x2]
    ldr q0, [x2, #128]
    ldp x4, x5, [x2, #256]
    subs x1, x1, #1
    b.ne again
    mov x8, #0x5e1
    mov x0, #3
    svc 0
    mov x8, #93
    mov x0, #0
    svc 0
.data
.balign 512
data: .skip 512
"""


def test_a_loop(tmp_path: Path) -> None:
    (tmp_path / "loop.S").write_text(PROGRAM)
    source = str(ROOT / "benchmarks/board_counts.c")
    strict = ["-std=gnu11", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-O2"]
    subprocess.run(
        ["cc", *strict, "-shared", "-fPIC", source, "-o", "libcounts.so"], cwd=tmp_path, check=True
    )
    assemble = ["aarch64-linux-gnu-gcc", "-nostdlib", "-static", "loop.S", "-o", "loop"]
    subprocess.run(assemble, cwd=tmp_path, check=True)
    # Of 2 sets and 2 ways, where all 3 lines are of one set, and of 4 sets, where 2 of them are.
    options = "out=counts.json,blocks=blocks.txt,cache=small:64:256:2:512:2,cache=one:64:1024:4:0:0"
    plugin = f"{tmp_path}/libcounts.so,{options}"
    subprocess.run(["qemu-aarch64", "-plugin", plugin, "./loop"], cwd=tmp_path, check=True)
    assert json.loads((tmp_path / "counts.json").read_text()) == {
        "instructions": 1 + 10 * 6 + 3,
        "loads": 30,
        "stores": 10,
        "branches": 10,
        "bytes_loaded": 10 * (8 + 16 + 16),
        "bytes_stored": 80,
        "misses": {"small": [30, 3], "one": [3, 0]},
    }
    blocks = [line.split() for line in (tmp_path / "blocks.txt").read_text().splitlines()]
    assert sum(int(size) * int(runs) for _, size, runs in blocks) == 64


def test_a_bad_argument_ends_qemu(tmp_path: Path) -> None:
    source = str(ROOT / "benchmarks/board_counts.c")
    subprocess.run(
        ["cc", "-shared", "-fPIC", source, "-o", "libcounts.so"], cwd=tmp_path, check=True
    )
    for option in ("cache=a:64:1:4:0:0", "cache=a:0:64:1:0:0", "cashe=a"):
        command = ["qemu-aarch64", "-plugin", f"{tmp_path}/libcounts.so,{option}", "/bin/true"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode != 0
        assert f"board_counts: bad argument {option}" in done.stderr
