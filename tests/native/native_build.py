"""How the C tests are compiled: the kernels with the flags of the library, and the tests with them, into one program."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import edge_lstm_runtime.native

HERE = Path(__file__).parent
SOURCE = Path(edge_lstm_runtime.native.__file__).with_name("edge_lstm.c")
SUITE = ("suite.c", "suite_arguments.c", "suite_tools.c")
COMMON = ("-std=c99", "-ffp-contract=fast", f"-I{SOURCE.parent}")
WARNINGS = ("-Wall", "-Wextra", "-Wdouble-promotion", "-Wfloat-conversion", "-Wconversion", "-Werror")
AVX2 = ("-mavx2", "-mfma")
AVX512 = (*AVX2, "-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mavx512vnni", "-mprefer-vector-width=512")
X86_64 = {  # the object's name: its flags
    "portable": ("-DEL_WITH_AVX2", "-DEL_WITH_AVX512"),
    "avx2": (*AVX2, "-DEL_LANES=8", "-DEL_KERNEL=el_kernel_avx2", '-DEL_KERNEL_NAME="avx2"'),
    "avx512": (*AVX512, "-DEL_LANES=16", "-DEL_KERNEL=el_kernel_avx512", '-DEL_KERNEL_NAME="avx512"'),
}
AARCH64 = {
    "portable": ("-DEL_WITH_DOTPROD", '-DEL_KERNEL_NAME="neon"'),
    "dotprod": ("-march=armv8.2-a+dotprod", "-DEL_KERNEL=el_kernel_dotprod", '-DEL_KERNEL_NAME="neon-dotprod"'),
}
ARMV7 = {
    "portable": ("-DEL_WITH_NEON",),
    "neon": ("-mfpu=neon", "-DEL_KERNEL=el_kernel_neon", '-DEL_KERNEL_NAME="neon"'),
}
ALONE: dict[str, tuple[str, ...]] = {"alone": ()}
HOST = {"x86_64": X86_64, "aarch64": AARCH64}.get(platform.machine(), ALONE)


def run(command: Sequence[str | Path], timeout: float = 600) -> str:
    """Its output; AssertionError with all of it where it fails."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout[-6000:]}{done.stderr[-6000:]}"
    return done.stdout + done.stderr


def compiler(name: str) -> str | None:
    return shutil.which(name)


def build(
    folder: Path,
    *flags: str,
    cc: str = "gcc",
    kernels: dict[str, tuple[str, ...]] = HOST,
    sources: Sequence[str] = SUITE,
    link: Sequence[str] = ("-lm",),
) -> Path:
    """The program of these sources with these kernels. AssertionError with the compiler's words where it can't be made."""
    objects = []
    for name, own in kernels.items():
        objects.append(folder / f"{name}.o")
        run([cc, *COMMON, *WARNINGS, *flags, "-fvisibility=hidden", *own, "-c", SOURCE, "-o", objects[-1]])
    run([cc, *COMMON, *WARNINGS, *flags, *(HERE / s for s in sources), *objects, *link, "-o", folder / "program"])
    return folder / "program"
