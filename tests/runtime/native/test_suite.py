"""The C tests of the kernel (suite.c), compiled in every way that a user may compile it.

They also run under tools that find wrong memory accesses.
"""

from __future__ import annotations

import platform
import shutil
from pathlib import Path

import pytest

from hatch_build import MACHINES
from helpers.c_build import ALONE, HERE, NATIVE, SOURCES, SUITE, WARNINGS, build, compiler, run
from helpers.on_request import ON_REQUEST

pytestmark = pytest.mark.skipif(not compiler("gcc"), reason="needs gcc")
SANITISED = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="needs an x86-64 CPU")


def passes(program: Path, *arguments: str, before: tuple[str, ...] = ()) -> str:
    output = run([*before, program, *arguments])
    assert "all passed" in output, output
    return output


def test_every_kernel_of_this_cpu(tmp_path):
    output = passes(build(tmp_path, "-O3"), "1000")
    assert "portable  done" in output


@pytest.mark.parametrize(
    "flags", [("-O2",), ("-O2", "-DEL_GROUP=1u")], ids=["alone", "one stream at a time"]
)
def test_alone_as_in_a_firmware(tmp_path, flags):
    assert passes(build(tmp_path, *flags, kernels=ALONE), "100").count("done") == 1


@ON_REQUEST
@pytest.mark.parametrize("flags", [("-O0",), ("-Os",), ("-O3", "-ffp-contract=off")], ids=" ".join)
@pytest.mark.slow
def test_other_optimisation(tmp_path, flags):
    passes(build(tmp_path, *flags), "1000")


@pytest.mark.slow
@pytest.mark.skipif(not compiler("clang"), reason="needs clang")
def test_clang(tmp_path):
    passes(build(tmp_path, "-O3", cc="clang"), "1000")


@pytest.mark.slow
@pytest.mark.parametrize("cc", ["gcc", pytest.param("clang", marks=ON_REQUEST)])
def test_sanitisers(tmp_path, cc):
    """GCC's UBSan sees overflows of vectors, and Clang's does not."""
    if not compiler(cc):
        pytest.skip(f"needs {cc}")
    passes(build(tmp_path, *SANITISED, cc=cc), "100")


@ON_REQUEST  # the sanitizers find nearly the same, in a third of the time
@pytest.mark.slow
@pytest.mark.skipif(not compiler("valgrind"), reason="needs valgrind")
def test_valgrind(tmp_path):
    """On the kernels that the CPU has that valgrind shows: 3.19 knows no AVX-512."""
    passes(
        build(tmp_path, "-g", "-O2"),
        "10",
        before=(
            "valgrind",
            "-q",
            "--error-exitcode=99",
            "--leak-check=full",
            "--errors-for-leak-kinds=all",
        ),
    )


@x86
@pytest.mark.slow
def test_32_bit(tmp_path):
    (tmp_path / "empty.c").write_text("#include <stdio.h>\nint main(void) { return 0; }\n")
    try:
        run([*["gcc", "-m32", "-o"], tmp_path / "empty", tmp_path / "empty.c"])
    except AssertionError:
        pytest.skip("needs gcc's 32-bit libraries (Debian: gcc-12-multilib)")
    passes(build(tmp_path, "-m32", "-msse2", "-mfpmath=sse", "-O2", kernels=ALONE), "300")
    # rather than wrong numbers
    with pytest.raises(AssertionError, match="compile with -msse2 -mfpmath=sse"):
        build(tmp_path, "-m32", "-mno-sse", "-O2", "-fmax-errors=1", kernels=ALONE)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("machine", "target", "emulator"),
    [
        ("aarch64", "aarch64-linux-gnu", "qemu-aarch64-static"),
        pytest.param("armv7l", "arm-linux-gnueabihf", "qemu-arm-static", marks=ON_REQUEST),
    ],
)
def test_emulated_arm(tmp_path, machine, target, emulator):
    cc = f"{target}-gcc"
    kernels = MACHINES[machine]
    if not compiler(cc) or not compiler(emulator):
        pytest.skip(f"needs {cc} and {emulator}")
    output = passes(
        build(tmp_path, "-O2", "-static", cc=cc, kernels=kernels), "50", before=(emulator,)
    )
    assert output.count(" done") == len(kernels)


@pytest.mark.parametrize("flag", ["-ffast-math", "-ffinite-math-only"])
def test_flags_that_would_make_it_wrong_are_refused(tmp_path, flag):
    with pytest.raises(AssertionError, match="compile without -ffast-math"):
        build(tmp_path, flag, kernels=ALONE)


@pytest.mark.skipif(not compiler("g++"), reason="needs g++")
def test_header_in_cpp(tmp_path):
    (tmp_path / "a.cpp").write_text(
        '#include "edge_lstm.h"\nint main() { return el_reset(nullptr, nullptr, EL_ALL) == '
        "EL_NULL_POINTER ? 0 : 1; }\n"
    )
    (tmp_path / "objects").mkdir()
    for source in SOURCES:
        run(
            [
                "gcc",
                "-std=c99",
                "-O1",
                "-c",
                source,
                "-o",
                tmp_path / "objects" / f"{source.stem}.o",
            ]
        )
    objects = (tmp_path / "objects").iterdir()
    strict = ["g++", "-std=c++11", *WARNINGS, "-Wpedantic", f"-I{NATIVE}"]
    run([*strict, tmp_path / "a.cpp", *objects, "-o", tmp_path / "program"])
    run([tmp_path / "program"])


@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        ("lstm.c", "c / (1.0f + ef)", "c / (1.0f + ei)"),
        ("tiles.h", "(a[2][s] + a[3][s])", "(a[2][s] + a[2][s])"),
        ("causal_conv.c", "at -= w->past", "at = 0"),
        ("tiles.h", "0.693147182f", "0.6931f"),
        ("tiles.h", "127.0f / largest", "126.0f / largest"),
        ("edge_lstm.c", "state->phase ? 0 : c->flip", "state->phase ? c->flip : 0"),
        ("edge_lstm.c", "x += next->count", "x += 0"),
    ],
)
def test_a_wrong_kernel_is_found(tmp_path, file, right, wrong):
    """The tests must fail with a wrong gate, a coarse exponential or exchanged sources."""
    shutil.copytree(NATIVE, tmp_path / "native", ignore=shutil.ignore_patterns("*.so", "*.py"))
    text = (tmp_path / "native" / file).read_text()
    assert right in text
    (tmp_path / "native" / file).write_text(text.replace(right, wrong))
    # Relative names, so that a compiler cache knows the files that did not change.
    names = [f"native/{source.name}" for source in SOURCES]
    for n, source in enumerate((*names, *(HERE / name for name in SUITE))):
        run(["gcc", "-std=c99", "-O1", "-Inative", "-c", source, "-o", f"{n}.o"], cwd=tmp_path)
    run(
        ["gcc", *(path.name for path in tmp_path.glob("*.o")), "-lm", "-o", "program"], cwd=tmp_path
    )
    with pytest.raises(AssertionError, match="FAILED"):
        run([tmp_path / "program", "20"])
