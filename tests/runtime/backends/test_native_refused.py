"""What the C kernel refuses at opening, and a library that can't be loaded."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import edge_lstm_runtime as rt
from edge_lstm_runtime import native
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.backends.native_int8 import read_int8
from edge_lstm_runtime.errors import BackendError, BundleError
from helpers.bundles import make_bundle
from helpers.commands import environment
from helpers.specs import hidden_size, make_spec
from helpers.weights import int8_arrays, random_weights

BUILT = native.LIBRARY.exists()
built = pytest.mark.skipif(not BUILT, reason=f"{native.LIBRARY.name} is not built")


@built
def test_what_is_refused_at_opening():
    spec = make_spec()
    weights = random_weights(spec)
    for streams in (0, -1, 65537, 2**32, 2**32 + 1):
        with pytest.raises(BackendError, match="streams, expected 1 to 65536"):
            NativeBackend(spec, weights, streams=streams)
    with pytest.raises(BackendError, match="precision is 'int4'"):
        NativeBackend(spec, weights, "int4")
    with pytest.raises(BackendError, match="EL_NO_KERNEL"):
        NativeBackend(spec, weights, kernel="mmx")
    name = next(iter(weights))
    for wrong in (
        weights[name][1:],
        weights[name].astype(np.float64),
        weights[name] * np.float32(np.inf),
    ):
        with pytest.raises(BundleError, match=name):
            NativeBackend(spec, {**weights, name: wrong})
    # finite, and times 2 log2(e) it would not be
    with pytest.raises(BackendError, match="EL_NOT_FINITE"):
        NativeBackend(spec, {**weights, name: np.full_like(weights[name], 3e38)})
    count = 8 * hidden_size(spec)
    good = np.full(count, 0.01, np.float32)
    for wrong in (good[1:], good.astype(np.float64), np.full(2 * count, 0.01, np.float32)[::2]):
        with pytest.raises(BackendError, match="steps are"):
            NativeBackend(spec, weights, "int8", steps=wrong)
    for bad in (0.0, -0.01, np.nan, np.inf):
        steps = good.copy()
        steps[-1] = bad
        with pytest.raises(BackendError, match="EL_NOT_FINITE"):
            NativeBackend(spec, weights, "int8", steps=steps)


def test_int8_arrays():
    spec = make_spec(layers=2)
    arrays = int8_arrays(spec)
    layers, steps = read_int8(spec, arrays)
    for k in range(2):
        np.testing.assert_array_equal(
            layers[f"lstm{k}.W_h"], arrays[f"lstm{k}.W_h"] * arrays[f"lstm{k}.W_h.step"]
        )
    np.testing.assert_array_equal(
        steps, np.concatenate([arrays[f"lstm{k}.W_{p}.step"] for k in range(2) for p in "xh"])
    )
    for name, array in arrays.items():
        bad_values = (
            [-128]
            if array.dtype == np.int8
            else [np.nan, np.inf]
            if name.endswith("b")
            else [np.nan, np.inf, 0, -1, 1e31]
        )
        for bad in bad_values:
            wrong = array.copy()
            wrong.flat[3] = bad
            with pytest.raises(BundleError, match=rf"int8.npz: {name}"):
                read_int8(spec, {**arrays, name: wrong})
        for wrong in (array[1:], array[None], array.astype(np.float64)):
            with pytest.raises(BundleError, match=r"int8.npz holds other arrays"):
                read_int8(spec, {**arrays, name: wrong})
        with pytest.raises(BundleError, match=r"int8.npz holds other arrays"):
            read_int8(spec, {n: a for n, a in arrays.items() if n != name})
    with pytest.raises(BundleError, match=r"int8.npz holds other arrays"):
        read_int8(spec, {**arrays, "more": np.zeros(1)})


def sealed(library: bytes) -> bytes:
    """The checksum that goes with it."""
    return f"{hashlib.sha256(library).hexdigest()}  {native.LIBRARY.name}\n".encode()


def fails_with(tmp_path: Path, library: bytes | None, stated: bytes | None = None) -> str:
    """What the backend says in a copy of the package with this library and checksum."""
    package = tmp_path / "edge_lstm_runtime"
    shutil.copytree(
        Path(rt.__file__).parent, package, ignore=shutil.ignore_patterns("*.so*", "__pycache__")
    )
    if stated is not None:
        (package / "native" / f"{native.LIBRARY.name}.sha256").write_bytes(stated)
    if library is not None:
        (package / "native" / native.LIBRARY.name).write_bytes(library)
    program = """
import sys
import edge_lstm_runtime as rt
from edge_lstm_runtime import native
assert str(native.LIBRARY).startswith(sys.argv[1]), native.LIBRARY
try:
    native.kernels()
except rt.BackendUnavailableError as e:
    print(e)
"""
    env = environment()
    env["PYTHONPATH"] = f"{tmp_path}:{env['PYTHONPATH']}"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        env=env,
        check=True,
    )
    return done.stdout


def test_no_library(tmp_path):
    assert (
        "install the wheel for this board (docs/native.md), or run there: "
        "python deploy/hatch_build.py" in fails_with(tmp_path, None)
    )


@pytest.mark.parametrize(
    "content",
    [b"", b"not a library\n" * 100, b"\x7fELF" + bytes(200)],
    ids=["empty", "text", "header only"],
)
def test_damaged_library(tmp_path, content):
    """Even if its checksum is right, it is no library."""
    said = fails_with(tmp_path, content, sealed(content))
    assert said.startswith("the native library _kernel.abi3.so can't be loaded here: ")
    assert "checksum" not in said


@built
@pytest.mark.parametrize("part", [0.01, 0.5, 0.99])
def test_library_cut_off(tmp_path, part):
    """As by a full disk. The loader itself would end the process with SIGBUS."""
    content = native.LIBRARY.read_bytes()
    said = fails_with(tmp_path, content[: int(part * len(content))], sealed(content))
    assert "can't be loaded here: it is damaged or was altered: its checksum is not" in said


@built
@pytest.mark.parametrize("stated", [b"", b"\n", b"_kernel.abi3.so", b"\xff" * 64])
def test_a_checksum_that_is_none(tmp_path, stated):
    said = fails_with(tmp_path, native.LIBRARY.read_bytes(), stated)
    assert "it is damaged or was altered: its checksum is not" in said


@built
def test_no_checksum(tmp_path):
    said = fails_with(tmp_path, native.LIBRARY.read_bytes())
    assert "its checksum, _kernel.abi3.so.sha256, is not beside it; install the wheel" in said
    assert "or in a source folder run: python deploy/hatch_build.py" in said


FLIPS = """
import random, sys
from pathlib import Path
import edge_lstm_runtime as rt
from edge_lstm_runtime import native
library, bundle, flips = Path(sys.argv[1]), rt.load(sys.argv[2]).bundle, int(sys.argv[3])
content = library.read_bytes()
native.LIBRARY = library
refused = numpy = 0
for k in random.Random(1).sample(range(8 * len(content)), flips):
    changed = bytearray(content)
    changed[k // 8] ^= 1 << k % 8
    library.write_bytes(changed)
    native.library.cache_clear()
    try:
        native.kernels()
    except rt.BackendUnavailableError as e:
        refused += "it is damaged or was altered" in str(e) and "\\n" not in str(e)
    if k % 20 == 0:
        numpy += 1 - (rt.choose_backend(bundle, ("native", "numpy")).name == "numpy")
library.write_bytes(content)
native.library.cache_clear()
print(refused, numpy, len(native.kernels()) > 0)
"""


@built
def test_flipped_bits_are_never_loaded(tmp_path):
    """Without the checksum, one in five ends the process. "auto" takes NumPy."""
    make_bundle(tmp_path / "a.edge")
    for name in ("_kernel.abi3.so", "_kernel.abi3.so.sha256", "layers.h"):
        shutil.copy(native.LIBRARY.with_name(name), tmp_path)
    done = subprocess.run(
        [
            *(sys.executable, "-W", "error", "-c", FLIPS),
            *(tmp_path / native.LIBRARY.name, tmp_path / "a.edge", "300"),
        ],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "300 0 True\n", "")


@built
def test_library_for_another_processor(tmp_path):
    content = bytearray(native.LIBRARY.read_bytes())
    content[18:20] = b"\x08\x00"  # e_machine: MIPS
    said = fails_with(tmp_path, bytes(content), sealed(bytes(content)))
    assert "can't be loaded here: " in said
    assert "checksum" not in said


@built
def test_a_python_without_the_stable_abi(tmp_path, monkeypatch):
    """As one without a global lock: loading the library would end it. NumPy answers there."""
    bundle = make_bundle(tmp_path / "a.edge")
    without = [suffix for suffix in native.EXTENSION_SUFFIXES if suffix != ".abi3.so"]
    monkeypatch.setattr(native, "EXTENSION_SUFFIXES", without)
    native.library.cache_clear()
    try:
        with pytest.raises(rt.BackendUnavailableError, match="for Python's stable ABI, which") as e:
            native.kernels()
        assert "\n" not in str(e.value)
        assert rt.choose_backend(bundle, ("native", "numpy")).name == "numpy"
    finally:
        native.library.cache_clear()


@built
def test_library_of_another_program(tmp_path):
    """A library that loads and has other functions."""
    content = native.LIBRARY.read_bytes().replace(b"PyInit__kernel", b"PyInit__colonel"[:14])
    said = fails_with(tmp_path, content, sealed(content))
    assert "can't be loaded here: " in said
    assert "checksum" not in said
