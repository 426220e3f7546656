"""The C export for other CPUs: built by Debian's cross compilers, run by QEMU.

An emulator shows whether answers are right, not how fast they come.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge_lstm_export import export_c, export_run
from edge_lstm_export.c.block import PRECISIONS, model_bytes, state_bytes
from edge_lstm_export.c.style import CStyle
from edge_lstm_runtime.native import network_of
from helpers.c_folder import STRICT, golden_file, masked_bundle, passed, run, timed_detector_bundle
from helpers.derived import derived_bundle
from helpers.paths import ROOT

pytestmark = pytest.mark.slow
DOCUMENT = ROOT / "docs" / "c-export.md"
ARM = "arm-linux-gnueabihf"
LINUX = {  # name -> (compiler, its options, how to run it)
    "aarch64": ("aarch64-linux-gnu-gcc", "", "qemu-aarch64-static -L /usr/aarch64-linux-gnu"),
    "armhf": (f"{ARM}-gcc", "", f"qemu-arm-static -L /usr/{ARM}"),
    "cortex-a7": (
        f"{ARM}-gcc",
        "-mcpu=cortex-a7 -mfpu=neon-vfpv4",
        f"qemu-arm-static -cpu cortex-a7 -L /usr/{ARM}",
    ),
}
CORTEX_M = {  # CPU -> (QEMU's machine, options of the FPU)
    "cortex-m3": ("mps2-an385", "-mfloat-abi=soft"),
    "cortex-m4": ("mps2-an386", "-mfloat-abi=hard -mfpu=fpv4-sp-d16"),
    "cortex-m7": ("mps2-an500", "-mfloat-abi=hard -mfpu=fpv5-d16"),
}

RISC_V = {  # ISA -> (ABI, emulator)
    "rv32imac": ("ilp32", "qemu-riscv32-static"),
    "rv64imafdc": ("lp64d", "qemu-riscv64-static"),
}


def need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


SOURCES = ("classify", "ffill", "mask", "detector", "derived")
# float16 differs from float32 in the products alone, so one model is enough.
CASES = [*((s, p) for s in SOURCES for p in ("float32", "int8")), ("classify", "float16")]


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def made(request, trained, forecast_run, tmp_path_factory):
    name, scheme = request.param
    folder = tmp_path_factory.mktemp(name)
    made_here = {
        "mask": masked_bundle,
        "detector": timed_detector_bundle,
        "derived": derived_bundle,
    }
    if name in made_here:
        source = made_here[name](folder / f"{name}.edge")
    else:
        source = {"classify": trained, "ffill": forecast_run}[name]
    return export_c(source, folder / "model", scheme=scheme).folder


@pytest.mark.parametrize("cpu", LINUX)
def test_linux_boards(made, cpu):
    compiler, options, emulator = LINUX[cpu]
    need(compiler, emulator.split()[0])
    passed(
        run(
            "make",
            f"CC={compiler}",
            f"CFLAGS=-O2 {options} {STRICT}",
            f"RUN={emulator}",
            f"BUILD=build/{cpu}",
            "test",
            cwd=made,
        )
    )


@pytest.mark.parametrize("cpu", CORTEX_M)
def test_microcontrollers(made, cpu):
    machine, fpu = CORTEX_M[cpu]
    need("arm-none-eabi-gcc", "qemu-system-arm")
    passed(
        run(
            "make",
            f"CPU={cpu}",
            f"MACHINE={machine}",
            f"FPU={fpu}",
            f"CFLAGS=-O2 {STRICT}",
            "test",
            cwd=made / "cortex-m",
        )
    )


def check_risc_v(made, isa):
    abi, emulator = RISC_V[isa]
    need("riscv64-unknown-elf-gcc", emulator)
    if not Path("/usr/lib/picolibc/riscv64-unknown-elf").is_dir():
        pytest.skip("picolibc for RISC-V is not installed")
    options = [f"ARCH={isa}", f"ABI={abi}", f"RUN={emulator}", f"CFLAGS=-O2 {STRICT}"]
    passed(run("make", *options, "test", cwd=made / "riscv"))


def test_risc_v_without_an_fpu(made):
    check_risc_v(made, "rv32imac")


@pytest.mark.parametrize("scheme", ["float32", "int8"])
def test_risc_v_of_64_bits(scheme, trained, tmp_path):
    made = export_c(trained, tmp_path / "m", scheme=scheme, style=CStyle("gesture")).folder
    check_risc_v(made, "rv64imafdc")


def test_instructions_are_counted_as_they_are(trained, tmp_path):
    """A loop whose length is known, and a step of the model, by the same clock."""
    need("arm-none-eabi-gcc", "qemu-system-arm")
    made = export_c(trained, tmp_path / "model", style=CStyle(count=True)).folder
    (said,) = re.findall(r"\*\*([\d,]+) instructions a step\*\*", (made / "README.md").read_text())
    assert "under\nemulation and no time" in (made / "README.md").read_text()
    macs = (6 + 16) * 64 + (16 + 16) * 64 + 16 * 4  # 6 channels, 2 layers of 16, 4 classes
    assert macs < int(said.replace(",", "")) < 20 * macs
    (made / "examples" / "selftest" / "main.c").write_text(
        '#include <stdio.h>\n#include "model.h"\n'
        "int main(void) {\n"
        "    for (uint32_t n = 1000; n <= 4000000; n *= 20) {\n"
        "        uint32_t k = n;\n"
        "        const uint32_t began = model_clock();\n"
        '        __asm__ volatile("1: subs %0, %0, #1\\n bne 1b" : "+r"(k) : : "cc");\n'
        '        printf("%lu %lu\\n", (unsigned long)(2 * n), (unsigned long)(model_clock() - '
        "began));\n"
        "    }\n"
        "    return 0;\n}\n"
    )
    done = run("make", "count", cwd=made / "cortex-m")
    rows = re.findall(r"^(\d+) (\d+)$", done.stdout, re.MULTILINE)
    assert len(rows) == 3
    for expected, counted in rows:  # the clock itself takes some
        assert 0 <= int(counted) - int(expected) < 60


def test_microcontroller_says_fail_for_a_golden_value_that_is_off(trained, tmp_path):
    need("arm-none-eabi-gcc", "qemu-system-arm")
    made = export_c(trained, tmp_path / "model").folder
    golden = golden_file(made)
    head, answers = golden.read_text().split("golden_answers", 1)
    value = re.search(r"-?\d+\.\d+", answers)[0]
    golden.write_text(
        head + "golden_answers" + answers.replace(value, repr(float(value) + 2e-5), 1)
    )
    done = run("make", "test", cwd=made / "cortex-m")
    assert done.returncode != 0
    assert "FAIL" in done.stdout.splitlines()


def test_constants_lie_in_flash_and_the_stack_is_small(trained, tmp_path):
    """docs/c-export.md and the header say so."""
    need("arm-none-eabi-gcc")
    made = export_c(trained, tmp_path / "model").folder
    flags = (
        "-mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16 -std=gnu99 -O2 -fstack-usage"
    )
    kernel = ("edge_lstm", "dense", "lstm")
    for name in (*kernel, "model"):
        done = run("arm-none-eabi-gcc", *flags.split(), "-c", f"src/{name}.c", cwd=made)
        assert done.returncode == 0, done.stderr
    sections = [
        line.split()
        for line in run(
            "arm-none-eabi-size", *(f"{name}.o" for name in kernel), cwd=made
        ).stdout.splitlines()[1:]
    ]
    assert {data for _, data, *_ in sections} == {"0"}, "initialized data would be copied to RAM"
    assert sum(int(text) for text, *_ in sections) < 21_500
    used = {
        name: dict(re.findall(r":(\w+)\t(\d+)\t", (made / f"{name}.su").read_text()))
        for name in (*kernel, "model")
    }
    deepest = (
        ("model", "model_step"),
        ("edge_lstm", "el_answer"),
        ("edge_lstm", "advance"),
        ("lstm", "step"),
        ("lstm", "quantize"),
    )
    assert sum(int(used[file][name]) for file, name in deepest) < 1536


def test_big_endian_is_refused(trained, tmp_path):
    need("arm-none-eabi-gcc")
    made = export_c(trained, tmp_path / "model").folder
    done = run(
        "arm-none-eabi-gcc", "-mbig-endian", "-c", "src/edge_lstm.c", "-o", "/dev/null", cwd=made
    )
    assert done.returncode != 0
    assert "little-endian" in done.stderr


def test_commands_of_the_document(trained, tmp_path):
    need("arm-none-eabi-gcc", "qemu-system-arm")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "motions").symlink_to(trained.path)
    export_run(trained, tmp_path / "motions.edge", schemes=())
    (block,) = re.findall(
        r"^```sh\n(.*?)^```$", DOCUMENT.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    for command in block.splitlines():
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def test_sizes_in_the_document_are_those_of_the_layout(random_model):
    rows = re.findall(r"^\| (\d) x (\d+) \| (.*) \|$", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    assert len(rows) == 5
    for layers, hidden, cells in rows:
        spec, _ = random_model(int(layers), int(hidden))
        network = network_of(spec.network)
        sizes = [
            f(network, scheme)
            for f in (model_bytes, lambda *a: state_bytes(*a) + 8 * 6 + 4)
            for scheme in PRECISIONS
        ]
        assert [int(cell.replace(",", "")) for cell in cells.split(" | ")] == sizes


def test_commands_of_the_folders_readme(trained, tmp_path):
    need("cmake", "aarch64-linux-gnu-gcc", f"{ARM}-gcc", "arm-none-eabi-gcc", "qemu-system-arm")
    made = export_c(trained, tmp_path / "model").folder
    (block,) = re.findall(
        r"^```sh\n(.*?)^```$", (made / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    commands = [line.split("  #")[0].strip() for line in block.splitlines()]
    assert len(commands) == 6
    for command in commands:
        done = run("bash", "-c", command, cwd=made)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    for cpu, (_, _, emulator) in LINUX.items():
        if cpu != "armhf":
            passed(run(*shlex.split(emulator), made / "build" / cpu / "selftest"))
