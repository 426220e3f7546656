"""The front end in C: alone against NumPy, and in an exported folder, which takes sound."""

from __future__ import annotations

import ctypes
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_lstm_export import export_c
from edge_lstm_export.c.audio import sound_ram, sound_tables
from edge_lstm_runtime import FrontEnd, ModelSpec, Reference, load, write_bundle
from edge_lstm_runtime import native as native_package
from edge_lstm_runtime.inputs.channels import Channels
from edge_lstm_runtime.model.npz import write_npz
from edge_lstm_runtime.tasks.classify import Classify
from helpers.c_folder import STRICT, headers, passed, run, sources
from helpers.specs import chain
from helpers.tolerances import assert_close
from helpers.weights import normal_weights

pytestmark = pytest.mark.skipif(
    shutil.which("gcc") is None or shutil.which("make") is None,
    reason="gcc and make are not installed",
)

FRONT_ENDS = {
    "log-mel": FrontEnd("log-mel", 8000, 200, 80, 256, 40, 0, 20.0, 4000.0),
    "mfcc": FrontEnd("mfcc", 16000, 400, 160, 512, 40, 13, 60.0, 7600.0),
    "whole": FrontEnd(
        "mfcc", 8000, 256, 256, 256, 24, 24, 0.0, 4000.0
    ),  # frames side by side, to the last bin
    "least": FrontEnd("log-mel", 100, 3, 1, 4, 1, 0, 0.0, 50.0),
}
every = pytest.mark.parametrize("front_end", FRONT_ENDS.values(), ids=FRONT_ENDS.keys())


class CFrontEnd(ctypes.Structure):
    _fields_ = (
        *(
            (name, ctypes.c_uint32)
            for name in ("frame_length", "hop_length", "n_fft", "n_mels", "n_mfcc")
        ),
        ("floor", ctypes.c_float),
        *((name, ctypes.c_void_p) for name in ("window", "waves", "bands", "weights", "dct")),
    )


class CSound(ctypes.Structure):
    _fields_ = (
        ("samples", ctypes.c_void_p),
        ("work", ctypes.c_void_p),
        ("filled", ctypes.c_uint32),
    )


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    out = tmp_path_factory.mktemp("audio") / "audio.so"
    source = Path(native_package.__file__).with_name("front_end.c")
    done = run(
        "gcc", "-std=c99", "-O2", *STRICT.split(), "-shared", "-fPIC", source, "-lm", "-o", out
    )
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(out))


class Listener:
    """el_listen on memory of ours."""

    def __init__(self, library: ctypes.CDLL, front_end: FrontEnd):
        tables = sound_tables(front_end)
        kinds = {
            "window": np.float32,
            "waves": np.float32,
            "bands": np.uint16,
            "weights": np.float32,
            "dct": np.float32,
        }
        self._kept = {name: np.array(tables[name], kind) for name, kind in kinds.items()}
        sizes = (
            getattr(front_end, name)
            for name in ("frame_length", "hop_length", "n_fft", "n_mels", "n_mfcc")
        )
        self._front_end = CFrontEnd(
            *sizes, front_end.floor, *(a.ctypes.data for a in self._kept.values())
        )
        self._samples = np.full(front_end.frame_length, 12345, np.int16)
        self._work = np.full(front_end.n_fft + front_end.n_mels, np.nan, np.float32)
        self.sound = CSound(self._samples.ctypes.data, self._work.ctypes.data, 0)
        self._library = library
        self._width = len(front_end.names)

    def push(self, pcm: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        frames = []
        at = 0
        complete = ctypes.c_int()
        pcm = np.ascontiguousarray(pcm)
        while at < len(pcm):
            frame = np.full(self._width, np.nan)
            piece = pcm[at:]
            at += self._library.el_listen(
                ctypes.byref(self._front_end), ctypes.byref(self.sound),
                ctypes.c_void_p(piece.ctypes.data), ctypes.c_uint32(len(piece)),
                ctypes.c_void_p(frame.ctypes.data), ctypes.byref(complete),
            )  # fmt: skip
            if complete.value:
                frames.append(frame)
        return np.array(frames).reshape(-1, self._width)


def speech_like(front_end: FrontEnd, count: int) -> np.ndarray[Any, Any]:
    """int16: harmonics that fall by 12 dB an octave, in a room's noise, that swell and fade."""
    rng = np.random.default_rng(0)
    t = np.arange(count) / front_end.sample_rate
    pitch = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * 2 * t)) / front_end.sample_rate
    voice = sum(np.sin(k * pitch) / k**2 for k in range(1, 20))
    x = 6000 * voice * (0.55 + 0.45 * np.sin(2 * np.pi * 3 * t)) + rng.normal(0, 30, count)
    return np.round(np.clip(x, -32768, 32767)).astype(np.int16)


@every
def test_c_and_numpy_agree(library: ctypes.CDLL, front_end: FrontEnd) -> None:
    pcm = speech_like(front_end, 12 * front_end.frame_length + 5)
    listener = Listener(library, front_end)
    frames = listener.push(pcm)
    expected = front_end.frames(pcm)
    assert len(frames) == 1 + (len(pcm) - front_end.frame_length) // front_end.hop_length
    assert_close(frames, expected, "sound", "frames")
    listener.sound.filled = 0  # a new stream
    pieces = np.array_split(pcm, 97)
    np.testing.assert_array_equal(
        np.concatenate([listener.push(piece) for piece in pieces]), frames
    )


@every
def test_extremes(library: ctypes.CDLL, front_end: FrontEnd) -> None:
    """Silence is the floor. Full scale of either sign does not overflow."""
    listener = Listener(library, front_end)
    quiet = listener.push(np.zeros(front_end.frame_length, np.int16))
    assert_close(quiet, front_end.frames(np.zeros(front_end.frame_length)), "sound", "silence")
    for value in (-32768, 32767):
        loud = np.where(
            np.random.default_rng(1).random(front_end.frame_length) < 0.5, value, -value - 1
        ).astype(np.int16)
        listener.sound.filled = 0
        assert_close(listener.push(loud), front_end.frames(loud), "sound", "the loudest")


# --- the exported folder ---


@pytest.fixture(scope="module", params=["log-mel", "mfcc"])
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    front_end = FRONT_ENDS[request.param]
    rng = np.random.default_rng(3)
    names = front_end.names
    x = front_end.frames(speech_like(front_end, front_end.sample_rate))
    mean = tuple(x.mean(axis=0).tolist())
    std = tuple(x.std(axis=0).tolist())
    inputs = Channels(names, mean, std, front_end=front_end)
    spec = ModelSpec(inputs, chain(len(names), 12, 1, 3), Classify(("yes", "no", "other")))
    weights = normal_weights(spec, rng)
    path = tmp_path_factory.mktemp("sound") / "sound.edge"
    golden = write_npz({"x": x, "y": Reference(spec, weights).run(spec.features(x))})
    write_bundle(path, spec, weights, {"golden.npz": golden})
    return path


@pytest.fixture(scope="module")
def exported(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    done = export_c(bundle, tmp_path_factory.mktemp("c") / "sound")
    assert "largest error" in done.built.verdict
    return done.folder


@pytest.fixture
def made(exported: Path, tmp_path: Path) -> Path:
    return shutil.copytree(exported, tmp_path / "sound")


def test_the_folder_builds_and_passes(made: Path) -> None:
    done = run("make", f"CFLAGS=-O2 {STRICT}", "test", cwd=made)
    passed(done)
    assert re.search(
        r"^sound: 20 frames, largest error \S+, limit 0.0001$", done.stdout, re.MULTILINE
    ), done.stdout


def test_example_of_the_readme_compiles(made: Path) -> None:
    first, second, _ = re.findall(
        r"^```c\n(.*?)^```$", (made / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    head = (
        "#include <stdio.h>\n"
        + first.split("double sample")[0]
        + "uint32_t read_microphone(int16_t *pcm, uint32_t count);\n"
    )
    head += "int main(void) {\n"
    (made / "example.c").write_text(head + second + "return 0; }\n")
    done = run(
        "gcc", *STRICT.split(), *headers(made), "-c", "example.c", "-o", "/dev/null", cwd=made
    )
    assert done.returncode == 0, done.stderr


def test_sanitizers_find_nothing(made: Path) -> None:
    passed(
        run(
            "make",
            "CFLAGS=-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all",
            "test",
            cwd=made,
        )
    )


def test_cmake(made: Path) -> None:
    if shutil.which("cmake") is None:
        pytest.skip("cmake is not installed")
    for command in (
        "cmake -S . -B build/cmake",
        "cmake --build build/cmake",
        "ctest --test-dir build/cmake",
    ):
        done = run(*command.split(), cwd=made)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("cpu", [None, "cortex-m3", "cortex-m4"])
def test_boards(made: Path, cpu: str | None) -> None:
    """aarch64 Linux, and microcontrollers without and with an FPU, as QEMU has them."""
    compiler, emulator = (
        ("arm-none-eabi-gcc", "qemu-system-arm")
        if cpu
        else ("aarch64-linux-gnu-gcc", "qemu-aarch64-static")
    )
    for program in (compiler, emulator):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    if cpu is None:
        options = [
            f"CC={compiler}",
            f"RUN={emulator} -L /usr/aarch64-linux-gnu",
            "BUILD=build/aarch64",
        ]
        passed(run("make", *options, f"CFLAGS=-O2 {STRICT}", "test", cwd=made))
        return
    options = ["MACHINE=mps2-an385", "FPU=-mfloat-abi=soft"] if cpu == "cortex-m3" else []
    passed(
        run("make", f"CPU={cpu}", *options, f"CFLAGS=-O2 {STRICT}", "test", cwd=made / "cortex-m")
    )


def test_a_table_that_is_off_makes_it_say_fail(made: Path) -> None:
    source = (made / "src" / "model.c").read_text()
    # which a silence shows
    (made / "src" / "model.c").write_text(re.sub(r"\.floor = \S+,", ".floor = 1e-3f,", source))
    done = run("make", "test", cwd=made)
    assert done.returncode != 0
    assert "; BAD" in done.stdout
    assert "FAIL" in done.stdout.splitlines()


def test_model_listen_answers_as_a_session_does(made: Path, bundle: Path, tmp_path: Path) -> None:
    model = load(bundle)
    front_end = model.spec.inputs.sound
    assert front_end is not None
    pcm = speech_like(front_end, front_end.sample_rate // 2)
    (tmp_path / "pcm.raw").write_bytes(pcm.astype("<i2").tobytes())
    (tmp_path / "use.c").write_text(
        '#include <stdio.h>\n#include "model.h"\n'
        "int main(int n, char **v) {\n"
        "    static int16_t pcm[100000]; float y[MODEL_OUTPUTS]; int answered; uint32_t taken;\n"
        '    FILE *f = fopen(v[n - 1], "rb");\n'
        "    uint32_t count = (uint32_t)fread(pcm, 2, 100000, f);\n"
        "    if (model_init() != EL_OK) return 1;\n"
        "    for (const int16_t *p = pcm; count; p += taken, count -= taken) {\n"
        "        if (model_listen(p, count, &taken, y, &answered) != EL_OK) return 1;\n"
        '        if (answered) printf("%.9g %.9g %.9g\\n", (double)y[0], (double)y[1], '
        "(double)y[2]);\n"
        "    }\n"
        "    return 0;\n"
        "}\n"
    )
    done = run(
        "gcc", *headers(made), tmp_path / "use.c", *sources(made), "-lm", "-o", tmp_path / "use"
    )
    assert done.returncode == 0, done.stderr
    found = np.array(
        [line.split() for line in run(tmp_path / "use", tmp_path / "pcm.raw").stdout.splitlines()],
        float,
    )
    with model.session("reference") as session:
        assert_close(found, session.listen(pcm), "sound", "y")


def test_sizes_and_files(made: Path) -> None:
    front_end = FRONT_ENDS["log-mel"]
    assert sound_ram(front_end) == 2 * 200 + 4 * (256 + 40)
    run("make", "CFLAGS=-O2", "build/model.o", cwd=made)
    symbols = run("nm", "-S", "build/model.o", cwd=made).stdout
    # Without `sound`, two addresses and a counter: it isn't zero at the start.
    sizes = re.findall(r"^\w+ (\w+) b ", symbols, re.MULTILINE)
    assert len(sizes) == 5  # heard, work, state_memory, last, frame
    facts = json.loads((made / "model.json").read_text())["bytes"]
    assert facts["ram"] == sum(int(size, 16) for size in sizes) + 4  # and model_cycles
    tables = re.findall(
        r"^static const (float|uint16_t) model_(?:window|waves|bands|weights|dct)\[(\d+)\]",
        (made / "src" / "model.c").read_text(),
        re.M,
    )
    flash = sum({"float": 4, "uint16_t": 2}[kind] * int(count) for kind, count in tables)
    assert facts["flash_front_end"] == flash
