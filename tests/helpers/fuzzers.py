"""Runs the fuzzers of the C kernel (libFuzzer, and the same under GCC's sanitizers), of its Python
module under the same, and of bundles (atheris), and says what they found.

python tests/helpers/fuzzers.py [seconds of each, 600 unless given]

keeps what it learns in build/fuzz.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2] / "deploy"))  # hatch_build
import hatch_build
from helpers.c_build import HOST, NATIVE, SOURCES, build, run
from helpers.paths import ROOT

SANITISED = ("-g", "-O1", "-fno-sanitize-recover=all")

# A process's peak memory, which the fuzzers watch, begins at that of the process that started it.
# After a thousand tests that is large.
# So a small shell starts them, and stays.
APART = ("sh", "-c", '"$@"; exit $?', "sh")


def fuzz_kernel(folder: Path, seconds: int, *options: str) -> str:
    """What libFuzzer says at its end. AssertionError with the input that crashes, if any."""
    flags = (*SANITISED, "-fsanitize=fuzzer-no-link,address,undefined")
    program = build(
        folder,
        *flags,
        cc="clang",
        kernels=HOST,
        sources=["fuzz.c"],
        link=["-fsanitize=fuzzer,address,undefined"],
    )
    (folder / "corpus").mkdir(exist_ok=True)
    limits = ("-max_len=8192", "-rss_limit_mb=1024", "-timeout=20", f"-artifact_prefix={folder}/")
    return run(
        [*APART, program, folder / "corpus", f"-max_total_time={seconds}", *limits, *options],
        seconds + 120,
    )


def fuzz_kernel_of_gcc(folder: Path, seconds: int, seed: int = 1) -> str:
    """The same with GCC, on the inputs that libFuzzer found if they are here, and random ones."""
    flags = (*SANITISED, "-fsanitize=address,undefined")
    program = build(folder, *flags, kernels=HOST, sources=["fuzz.c", "fuzz_main.c"])
    found = sorted((folder.parent / fuzz_kernel.__name__ / "corpus").glob("*"))[:5000]
    return run([*APART, program, str(seconds), str(seed), *found], seconds + 120)


def fuzz_call(folder: Path, seconds: int, seed: int = 1) -> str:
    """What fuzz_call.py says of a module that GCC's sanitizers watch. AssertionError as above."""
    sanitizers = "-fsanitize=address,undefined"
    package = folder / "edge_lstm_runtime"
    shutil.rmtree(package, ignore_errors=True)
    ignored = shutil.ignore_patterns("*.so*", "__pycache__")
    shutil.copytree(ROOT / "deploy" / "edge_lstm_runtime", package, ignore=ignored)
    library = package / "native" / hatch_build.LIBRARY.name
    # With one kernel: the others are in the fuzzers above.
    sources = [*SOURCES, *hatch_build.EXTENSION.glob("*.c")]
    options = [*SANITISED, sanitizers, "-std=c99", "-fPIC", "-shared", "-DEL_API=", f"-I{NATIVE}"]
    run(["gcc", *options, *sources, "-o", library])
    checksum = hashlib.sha256(library.read_bytes()).hexdigest()
    hatch_build.sum_of(library).write_text(checksum)
    preload = run(["gcc", "-print-file-name=libasan.so"]).strip()
    path = os.pathsep.join([str(folder), str(ROOT), str(ROOT / "export")])
    # Python's own allocator would hide what is read past an end. Its leaks at the end are Python's.
    options = [f"LD_PRELOAD={preload}", "ASAN_OPTIONS=detect_leaks=0", "PYTHONMALLOC=malloc"]
    program = [sys.executable, Path(__file__).with_name("fuzz_call.py"), str(seconds), str(seed)]
    return run(["env", *options, f"PYTHONPATH={path}", *program], seconds + 120)


def fuzz_bundles(folder: Path, seconds: int, *options: str) -> str:
    """The same of atheris."""
    limits = ("-timeout=20", f"-artifact_prefix={folder}/")
    fuzzer = (
        sys.executable,
        Path(__file__).with_name("fuzz_bundle.py"),
        folder / "corpus",
        f"-max_total_time={seconds}",
    )
    return run([*APART, *fuzzer, *limits, *options], seconds + 120)


def main(seconds: int = 600) -> None:
    for fuzz in (fuzz_kernel, fuzz_kernel_of_gcc, fuzz_call, fuzz_bundles):
        folder = ROOT / "build" / "fuzz" / fuzz.__name__
        folder.mkdir(parents=True, exist_ok=True)
        try:
            print(fuzz.__name__, fuzz(folder, seconds).strip().splitlines()[-1])
        except AssertionError as e:
            sys.exit(f"{fuzz.__name__}: {e}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
