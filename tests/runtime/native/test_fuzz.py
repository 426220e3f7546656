"""A short run of each fuzzer from a fixed start. `make fuzz` runs them for longer."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import hatch_build
from edge_lstm_runtime import native
from helpers.c_build import compiler, run
from helpers.fuzzers import fuzz_bundles, fuzz_call, fuzz_kernel, fuzz_kernel_of_gcc
from helpers.on_request import ON_REQUEST

pytestmark = pytest.mark.slow
SECONDS = 10


def runs(output: str) -> int:
    found = re.search(r"Done (\d+) runs", output)
    assert found, output[-3000:]
    return int(found[1])


@pytest.fixture
def libfuzzer(tmp_path):
    """Clang with its runtime, which Debian has in a package of its own."""
    (tmp_path / "a.c").write_text(
        "int LLVMFuzzerTestOneInput(const char *d, long n) { return d == (const char *)n; }\n"
    )
    if not compiler("clang"):
        pytest.skip("needs clang")
    made = subprocess.run(
        ["clang", "-fsanitize=fuzzer,address", tmp_path / "a.c", "-o", tmp_path / "a"],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(
            f"needs Clang's libFuzzer (Debian: libclang-rt-dev): {made.stderr.strip()[-200:]}"
        )


@pytest.mark.usefixtures("libfuzzer")
def test_kernel(tmp_path):
    assert runs(fuzz_kernel(tmp_path, SECONDS, "-seed=1")) > 1000


@ON_REQUEST
@pytest.mark.skipif(not compiler("gcc"), reason="needs gcc")
def test_kernel_of_gcc(tmp_path):
    """Before the sums were unsigned, this ended at an overflow in the first second."""
    assert runs(fuzz_kernel_of_gcc(tmp_path, SECONDS)) > 1000


@pytest.mark.skipif(not compiler("gcc"), reason="needs gcc")
def test_call(tmp_path):
    """Random objects through the module of Python, under the sanitizers."""
    said = fuzz_call(tmp_path, 8)
    assert runs(said) > 100
    assert str(tmp_path) in said, "another library ran"


@ON_REQUEST  # two minutes
@pytest.mark.skipif(not compiler("valgrind"), reason="needs valgrind")
@pytest.mark.skipif(not native.LIBRARY.exists(), reason="the library is not built")
def test_call_under_valgrind(tmp_path):
    """On the module as it is shipped. What it says of Python, NumPy and the loader is theirs."""
    log = tmp_path / "log"
    program = [sys.executable, Path(fuzz_call.__code__.co_filename).with_name("fuzz_call.py")]
    said = run(["env", "PYTHONMALLOC=malloc", "valgrind", f"--log-file={log}", *program, "40", "1"])
    assert runs(said) > 20
    assert "ERROR SUMMARY" in log.read_text()
    assert native.LIBRARY.name not in log.read_text()


@ON_REQUEST
@pytest.mark.skipif(not compiler("gcc"), reason="needs gcc")
def test_a_wrong_call_is_found(tmp_path, monkeypatch):
    """One that writes past the end of its memory for a sample."""
    changed = tmp_path / "extension"
    shutil.copytree(hatch_build.EXTENSION, changed)
    source = (changed / "step.c").read_text()
    right = "sizeof(double) * (size_t)size"
    assert right in source
    (changed / "step.c").write_text(source.replace(right, "sizeof(float) * (size_t)size"))
    monkeypatch.setattr(hatch_build, "EXTENSION", changed)
    with pytest.raises(AssertionError, match="AddressSanitizer"):
        fuzz_call(tmp_path, 20)


@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None,
    reason="needs atheris (x86-64 Linux, Python 3.11 or later)",
)
def test_bundles(tmp_path):
    assert runs(fuzz_bundles(tmp_path, SECONDS, "-seed=1")) > 100
