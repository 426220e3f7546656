"""Every kernel, compiled by ziglang and GCC for every machine, run or emulated, against float64."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from packaging.tags import platform_tags

import edge_lstm_runtime as rt
import hatch_build
from edge_lstm_runtime.layers.ops import NUMPY
from helpers.specs import plain_spec

pytestmark = pytest.mark.slow
WARNINGS = [
    "-Wall",
    "-Wextra",
    "-Wdouble-promotion",
    "-Wfloat-conversion",
    "-Wconversion",
    "-Werror",
]
HARNESS = Path(__file__).with_name("kernels.c")
PREFIX = {
    "x86_64": "x86_64-linux-gnu",
    "aarch64": "aarch64-linux-gnu",
    "armv7l": "arm-linux-gnueabihf",
}  # of Debian's cross compilers
LIBC = {
    "x86_64": "lib/x86_64-linux-gnu/libc.so.6",
    "aarch64": "lib/libc.so.6",
    "armv7l": "lib/libc.so.6",
}
STEPS = 1000
HIDDEN = 19
FLOAT32 = 2e-6  # max abs over 1,000 steps: rounding of 6e-8 in a contracting recurrence
# One step from the same state: the integers are exact, so only the float32 arithmetic around them
# differs.
INT8 = 1e-6


Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


class Cpu(NamedTuple):
    """A CPU that qemu emulates, and the kernels that must be found there, the fastest first."""

    machine: str
    name: str
    kernels: list[str]


CPUS = [
    Cpu("x86_64", "Nehalem", ["portable"]),
    Cpu("x86_64", "Haswell", ["avx2", "portable"]),
    Cpu("aarch64", "cortex-a53", ["neon"]),
    Cpu("aarch64", "cortex-a76", ["neon-dotprod", "neon"]),
    Cpu("armv7l", "cortex-a7", ["neon", "portable"]),
    Cpu(
        "armv7l", "cortex-r5f", ["portable"]
    ),  # VFPv3 with 16 registers, no NEON, as Debian's armhf allows
]


def model(layers: int) -> tuple[rt.ModelSpec, dict[str, Float32]]:
    """With sizes that fill neither lanes nor tiles."""
    spec = plain_spec(layers, HIDDEN, channels=5)
    rng = np.random.default_rng(layers)
    return spec, {
        name: rng.uniform(-0.3, 0.3, shape).astype(np.float32)
        for name, shape in spec.network.weights.items()
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """(compiler, machine or platform) -> a folder with the library and the program.

    They are compiled without a warning, if there is a compiler.
    """
    found = {}
    for machine, prefix in PREFIX.items():
        if gcc := shutil.which(f"{prefix}-gcc"):
            found["gcc", machine] = folder = tmp_path_factory.mktemp("gcc")
            hatch_build.compile_library(
                folder / "libedge_lstm.so", machine, [gcc], options=WARNINGS, python=False
            )
            link(folder, [gcc])
    for platform in hatch_build.PLATFORMS:
        found["zig", platform] = folder = tmp_path_factory.mktemp("zig")
        hatch_build.compile_for(
            platform, folder / "libedge_lstm.so", options=WARNINGS, python=False
        )
        machine = hatch_build.machine_of(platform)
        # The program is always for glibc, which Debian has for every machine: see `emulator`.
        compiler = hatch_build.compiler_for(f"manylinux2014_{machine}")
        link(
            folder,
            [
                *compiler,
                *hatch_build.MACHINES[machine][0].options(zig=True),
                "-Wl,--allow-shlib-undefined",
            ],
        )
    return found


def link(folder: Path, compiler: list[str]) -> None:
    options = [
        "-std=c99",
        "-O1",
        "-I",
        str(hatch_build.NATIVE),
        str(HARNESS),
        "-L",
        str(folder),
        "-ledge_lstm",
        "-Wl,-rpath,$ORIGIN",
    ]
    done = subprocess.run(
        [*compiler, *options, "-o", str(folder / "kernels")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def answers(
    folder: Path,
    cpu: Cpu | None,
    layers: int,
    x: Float32,
    *,
    int8: bool,
    states: Float32 | None = None,
) -> dict[str, Float64]:
    """Name of each kernel, the fastest first -> y (steps, streams, O).

    x: (steps, streams, I). states: h and c, (2, steps, 1, H).
    """
    spec, weights = model(layers)
    head = [
        spec.feature_size,
        HIDDEN,
        layers,
        spec.output_size,
        int8,
        x.shape[1],
        len(x),
        states is not None,
    ]
    arrays = [
        np.array(head, np.uint32),
        *weights.values(),
        x,
        *([] if states is None else [states.swapaxes(0, 1)]),
    ]
    (folder / "input").write_bytes(b"".join(array.tobytes() for array in arrays))
    command = [str(folder / "kernels"), str(folder / "input")]
    if cpu is not None:
        command = [*emulator(cpu, folder), *command]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={"LD_LIBRARY_PATH": str(folder)},
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    return {
        name: np.array(rest, np.float64).reshape(len(x), x.shape[1], spec.output_size)
        for name, *rest in lines
    }


def emulator(cpu: Cpu, folder: Path) -> list[str]:
    root = Path("/" if cpu.machine == "x86_64" else f"/usr/{PREFIX[cpu.machine]}")
    qemu = shutil.which(f"qemu-{'arm' if cpu.machine == 'armv7l' else cpu.machine}-static")
    if qemu is None or not root.is_dir():
        pytest.skip(
            "run: apt-get install qemu-user-static libc6-dev-arm64-cross libc6-dev-armhf-cross"
        )
    if not (folder / "libc.so").exists():
        # What the libraries for musl ask for, by the name of musl's, is in glibc too.
        # musl itself is not tested here.
        (folder / "libc.so").symlink_to((root / LIBC[cpu.machine]).resolve())
    return [qemu, "-cpu", cpu.name, "-L", str(root)]


def folders(built: dict[tuple[str, str], Path], machine: str) -> dict[str, Path]:
    """ "gcc" or the platform -> the folder of what runs on this machine."""
    return {
        "gcc" if compiler == "gcc" else name: folder
        for (compiler, name), folder in built.items()
        if name.endswith(machine)
    }


def noise(*shape: int) -> Float32:
    return np.random.default_rng(5).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("cpu", CPUS, ids=lambda cpu: cpu.name)
@pytest.mark.parametrize("streams", [1, 7])
def test_float32(built: dict[tuple[str, str], Path], cpu: Cpu, streams: int) -> None:
    x = noise(STEPS, streams, 5)
    expected = np.stack([rt.Reference(*model(2)).run(x[:, s]) for s in range(streams)], axis=1)
    for name, folder in folders(built, cpu.machine).items():
        found = answers(folder, cpu, 2, x, int8=False)
        assert list(found) == cpu.kernels, name
        for kernel, y in found.items():
            assert np.abs(y - expected).max() <= FLOAT32, f"{name} {kernel}"


@pytest.mark.parametrize("cpu", CPUS, ids=lambda cpu: cpu.name)
def test_int8(built: dict[tuple[str, str], Path], cpu: Cpu) -> None:
    """Each step is from a state that is the same for all.

    So a value half-way between two integers can't lead them apart.
    """
    x = noise(STEPS, 5)
    states = np.tanh(noise(2, STEPS, 1, HIDDEN))
    expected = int8_steps(x, states[0, :, 0], states[1, :, 0])
    for name, folder in folders(built, cpu.machine).items():
        found = answers(folder, cpu, 1, x[:, None], int8=True, states=states)
        assert list(found) == cpu.kernels, name
        for kernel, y in found.items():
            assert np.abs(y[:, 0] - expected).max() <= INT8, f"{name} {kernel}"


def int8_steps(x: Float32, h: Float32, c: Float32) -> Float64:
    """The header's int8 in integers and float64, for the model of one layer.

    x: (N, I), h and c: (N, H) -> (N, O).
    """
    _, w = model(1)
    a = w["lstm0.b"].astype(np.float64)
    for v, W in ((x, w["lstm0.W_x"]), (h, w["lstm0.W_h"])):
        largest = np.abs(v).max(1, keepdims=True)
        largest_w = np.abs(W).max(0)
        q = np.rint(v.astype(np.float64) * (np.float32(127) / largest))
        # float32, as in the kernel: it decides what is half-way
        scaled = W * (np.float32(127) / largest_w)
        q_w = np.sign(scaled) * np.floor(np.abs(scaled) + np.float32(0.5))
        a = a + (q @ q_w) * (largest.astype(np.float64) / 127) * (
            largest_w.astype(np.float64) / 127
        )
    i, f, g, o = np.split(a, 4, axis=1)
    c = NUMPY.sigmoid(f) * c + NUMPY.sigmoid(i) * np.tanh(g)
    return (NUMPY.sigmoid(o) * np.tanh(c)) @ w["head.W"].astype(np.float64) + w["head.b"]


def test_this_machine(built: dict[tuple[str, str], Path]) -> None:
    """Without an emulator, and so with AVX-512 if there is any, which qemu does not emulate."""
    if "linux_x86_64" not in platform_tags():
        pytest.skip(f"this machine is {next(platform_tags())}")
    x = noise(STEPS, 3, 5)
    expected = np.stack([rt.Reference(*model(2)).run(x[:, s]) for s in range(3)], axis=1)
    states = np.tanh(noise(2, STEPS, 1, HIDDEN))
    for name, folder in folders(built, "x86_64").items():
        if name.startswith("musl"):
            continue
        found = answers(folder, None, 2, x, int8=False)
        found8 = answers(folder, None, 1, x[:, :1], int8=True, states=states)
        assert list(found)[-1] == "portable"
        for kernel in found:
            assert np.abs(found[kernel] - expected).max() <= FLOAT32, f"{name} {kernel}"
            assert (
                np.abs(
                    found8[kernel][:, 0] - int8_steps(x[:, 0], states[0, :, 0], states[1, :, 0])
                ).max()
                <= INT8
            ), f"{name} {kernel}"


def test_musl(built: dict[tuple[str, str], Path], tmp_path: Path) -> None:
    """With musl itself, which Debian has for the machine it runs on."""
    if "linux_x86_64" not in platform_tags() or not Path("/lib/ld-musl-x86_64.so.1").exists():
        pytest.skip("this machine is not x86-64 or has no musl; run: apt-get install musl")
    shutil.copy(built["zig", "musllinux_1_1_x86_64"] / "libedge_lstm.so", tmp_path)
    link(tmp_path, [*hatch_build.compiler_for("musllinux_1_1_x86_64"), "-dynamic"])
    assert b"/lib/ld-musl-x86_64.so.1" in (tmp_path / "kernels").read_bytes()
    x = noise(STEPS, 1, 5)
    for kernel, y in answers(tmp_path, None, 2, x, int8=False).items():
        assert np.abs(y[:, 0] - rt.Reference(*model(2)).run(x[:, 0])).max() <= FLOAT32, kernel
