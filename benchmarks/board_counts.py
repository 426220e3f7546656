"""What a step executes on a board's CPU, counted by QEMU: this kernel, plain C, ncnn and LiteRT.

Counted by an emulator, not timed: no board takes part. Of the libraries that Python calls only
their own code counts, and not Python, the C library or libm. Of the C programs all code of a step
counts. It needs qemu-user (not -static, which takes no plugin), the cross compilers, and pip for
the peers' wheels.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import peers

from edge_lstm_runtime import Reference, write_bundle
from edge_lstm_runtime.model.npz import write_npz

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT / "tests"))
from helpers import board  # noqa: E402

SIZES = (16, 64, 128, 256)
STEPS = 20
# LiteRT looks here for its CPU, and the emulator would show it the desktop's.
CPU_INFO = """processor : 0
Features : fp asimd aes pmull sha1 sha2 crc32 atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp
CPU implementer : 0x41
CPU architecture: 8
CPU variant : 0x4
CPU part : 0xd0b
CPU revision : 0
"""
COMPILE = ("-O3", "-static")
LIMIT = 0.5  # of the peers' instructions, at hidden 64
# Name, line, then bytes and ways of L1 (data) and of L2: what the makers say of RK3588 (both of its
# cores), i.MX6ULL and STM32H743.
CACHES = {
    "aarch64": ("A76:64:65536:4:524288:8", "A55:64:32768:4:131072:4"),
    "armv7": ("A7:64:32768:4:131072:8", "M7:32:16384:4:0:0"),
}
COUNTS = ("instructions", "loads", "stores", "branches", "bytes_loaded")


@dataclasses.dataclass(frozen=True)
class Machine:
    """cpu: the emulator's name. flags: the cross compiler's."""

    name: str
    board: str
    cpu: str
    compiler: str
    flags: tuple[str, ...] = ()
    peers: tuple[str, ...] = ("native", "native int8")

    @property
    def architecture(self) -> board.Architecture:
        return board.ARCHITECTURES[self.board]


MACHINES = (
    Machine(
        "aarch64",
        "arm64",
        "cortex-a76",
        "aarch64-linux-gnu-gcc",
        peers=("native", "native int8", "ncnn", "litert"),
    ),
    # ncnn and LiteRT have no wheel for it.
    Machine(
        "armv7",
        "armhf",
        "cortex-a7",
        "arm-linux-gnueabihf-gcc",
        ("-mcpu=cortex-a7", "-mfpu=neon-vfpv4"),
    ),
)
WHEELS = ("ncnn", "ai-edge-litert", "flatbuffers", "backports.strenum", "typing-extensions")
WHEELS += ("tqdm", "protobuf", "ml_dtypes", "requests", "portalocker", "urllib3", "idna", "certifi")
WHEELS += ("charset-normalizer",)
TAGS = ("manylinux2014", "manylinux_2_17", "manylinux_2_24", "manylinux_2_27", "manylinux_2_28")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python benchmarks/board_counts.py --hidden 64"
    )
    parser.add_argument("--hidden", default=",".join(map(str, SIZES)), help="default: %(default)s")
    parser.add_argument(
        "--machine", default="aarch64,armv7", help="which, with commas (default: %(default)s)"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    sizes = [int(text) for text in arguments.hidden.split(",")]
    chosen = [m for m in MACHINES if m.name in arguments.machine.split(",")]
    found = {}
    with tempfile.TemporaryDirectory(prefix="board-counts-") as name:
        folder = Path(name)
        plugin = build_plugin(folder)
        for machine in chosen:
            rows = found[machine.name] = {}
            there = Path(tempfile.mkdtemp(dir=folder))
            variables = prepare(machine, there)
            for hidden in sizes:
                for way, figures in step(machine, hidden, there, plugin, variables):
                    rows.setdefault(way, {})[hidden] = figures
                    print(f"{machine.name} {hidden} {way}: {figures}", file=sys.stderr, flush=True)
            show(machine, rows, sizes)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


def build_plugin(folder: Path) -> Path:
    out = folder / "libcounts.so"
    run([tool("cc"), "-O2", "-shared", "-fPIC", str(HERE / "board_counts.c"), "-o", str(out)])
    return out


def prepare(machine: Machine, folder: Path) -> dict[str, str]:
    """The environment variables of the emulated Python, with this tree's wheel and the peers'."""
    there = board.cached(machine.architecture)
    wheel = board.build_wheel(machine.architecture, folder / "wheel")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:"]
    pip += ["--python-version", "3.11", "--implementation", "cp", "--target", str(folder / "site")]
    for tag in TAGS:
        pip += ["--platform", f"{tag}_{machine.architecture.machine}"]
    run([*pip, str(wheel), *(WHEELS if "ncnn" in machine.peers else ())])
    root = folder / "root"
    shutil.copytree(there.folder / "root", root, symlinks=True, copy_function=os.symlink)
    (root / "proc/cpuinfo").write_text(CPU_INFO)
    variables = there.variables(folder / "site", npu=False, root=root)
    return {**variables, "PYTHONPATH": f"{variables['PYTHONPATH']}{os.pathsep}{HERE}"}


def step(
    machine: Machine, hidden: int, folder: Path, plugin: Path, variables: Mapping[str, str]
) -> list[tuple[str, dict[str, Any]]]:
    """Each way to run a step, and its figures: COUNTS, and (L1, L2) misses by cache."""
    found = []
    qemu = [tool(machine.architecture.qemu), "-cpu", machine.cpu]

    def counted(way: str, command: Sequence[str], steps: int) -> str:
        out = folder / "counts.json"
        out.unlink(missing_ok=True)
        options = ",".join([f"out={out}", *(f"cache={c}" for c in CACHES[machine.name])])
        said = run([*qemu, "-plugin", f"{plugin},{options}", *command], variables)
        sums = json.loads(out.read_text())
        figures: dict[str, Any] = {name: sums[name] / steps for name in COUNTS}
        figures["misses"] = {k: [n / steps for n in v] for k, v in sums["misses"].items()}
        found.append((way, figures))
        return said

    plain = folder / "plain"
    flags = [*COMPILE, *machine.flags]
    run([tool(machine.compiler), *flags, str(HERE / "board_plain.c"), "-lm", "-o", str(plain)])
    counted("plain C", [str(plain), str(hidden), str(STEPS)], STEPS)
    exported = build_export(machine, hidden, folder / f"export-{hidden}")
    counted("C export", [str(exported), str(STEPS)], STEPS)
    root = folder / "root"
    python = ["-L", str(root), str(root / "usr/bin/python3"), str(HERE / "board_step.py")]
    for name in machine.peers:
        way = ways = 0
        while way == 0 or way < ways:
            said = counted(name, [*python, name, str(hidden), str(way), str(STEPS)], STEPS)
            about = json.loads(said.splitlines()[-1])
            if "int8" not in name and not about["max_abs"] < 1e-5:
                raise SystemExit(f"board_counts.py: {name} is wrong by {about['max_abs']}")
            ways = about["ways"]
            if ways > 1:
                found[-1] = (f"{name}: {about['way']}", found[-1][1])
            way += 1
    return found


def build_export(machine: Machine, hidden: int, folder: Path) -> Path:
    """The program of a C export of the same net."""
    from edge_lstm_export import export_c

    spec, weights = peers.network(hidden, 1, 8)
    x = np.random.default_rng(1).standard_normal((20, 8))
    golden = write_npz({"x": x, "y": Reference(spec, weights).run(spec.features(x))})
    bundle = write_bundle(folder.with_suffix(".edge"), spec, weights, {"golden.npz": golden})
    export_c(bundle, folder)
    program = folder.with_suffix(".program")
    sources = [*map(str, sorted((folder / "src").glob("*.c"))), str(HERE / "board_export.c")]
    flags = ["-std=gnu99", *COMPILE, *machine.flags, f"-I{folder / 'include'}"]
    run([tool(machine.compiler), *flags, *sources, "-lm", "-o", str(program)])
    return program


def show(machine: Machine, rows: Mapping[str, Mapping[int, Any]], sizes: Sequence[int]) -> None:
    """Markdown, a table for each figure."""
    caches = [c.split(":")[0] for c in CACHES[machine.name]]
    cells = {name: lambda f, name=name: f"{f[name]:,.0f}" for name in COUNTS}
    for c in caches:
        cells[f"misses of {c}'s L1, L2"] = lambda f, c=c: "{:,.0f}, {:,.0f}".format(*f["misses"][c])
    for name, cell in cells.items():
        print(f"\n{machine.name} ({machine.cpu}), a step: {name.replace('_', ' ')}\n")
        print(f"| hidden | {' | '.join(map(str, sizes))} |\n|{' --- |' * (len(sizes) + 1)}")
        for way, by_size in rows.items():
            print(f"| {way} | {' | '.join(cell(by_size[hidden]) for hidden in sizes)} |")
    print()
    for name in machine.peers[2:]:
        for hidden in sizes:
            print(verdict(name, hidden, rows))


def verdict(name: str, hidden: int, rows: Mapping[str, Mapping[int, Any]]) -> str:
    """Our instructions beside those of a peer's shortest way, in words."""
    least = min(f[hidden]["instructions"] for way, f in rows.items() if way.split(":")[0] == name)
    share = rows["native"][hidden]["instructions"] / least
    met = f", {'met' if share <= LIMIT else 'MISSED'}" if hidden == 64 else ""
    return f"native / {name}, instructions at hidden {hidden}: {share:.2f}{met}"


def tool(name: str) -> str:
    """Its path. Ends the program if it is not installed."""
    packages = {"qemu-aarch64": "qemu-user", "qemu-arm": "qemu-user", "cc": "gcc"}
    packages |= {"aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu"}
    packages |= {"arm-linux-gnueabihf-gcc": "gcc-arm-linux-gnueabihf"}
    found = shutil.which(name)
    if found is None:
        raise SystemExit(
            f"board_counts.py: {name} is not here; run: apt-get install {packages[name]}"
        )
    return found


def run(command: Sequence[str], variables: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env=variables, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise SystemExit(f"board_counts.py: `{' '.join(command[:6])} ...` failed: {' '.join(said)}")
    return done.stdout


if __name__ == "__main__":
    main()
