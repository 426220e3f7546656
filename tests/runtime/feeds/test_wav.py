"""Headers of wav files: every kind, damaged ones, and the same on every Python."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest
import scipy.io.wavfile
from hypothesis import given, settings
from hypothesis import strategies as st

import edge_lstm_runtime as rt
from edge_lstm_runtime.feeds import wav
from edge_lstm_runtime.feeds.sound import read_wav, wav_chunks
from helpers.bundles import make_bundle
from helpers.commands import command, edge_lstm, environment
from helpers.pythons import VERSIONS, told
from helpers.sounds import LOG_MEL, sound, sound_spec

PCM = sound(LOG_MEL)[:1000]
DATA = PCM.astype("<i2").tobytes()
GUID = bytes.fromhex("0100000000001000800000aa00389b71")  # KSDATAFORMAT_SUBTYPE_PCM
FORMAT = struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16)
EXTENSIBLE = struct.pack("<HHIIHHHHI", 0xFFFE, 1, 8000, 16000, 2, 16, 22, 16, 4) + GUID
WORDS = "ffmpeg -i in.wav -ac 1 -ar 8000 -c:a pcm_s16le new.wav"
HEARD = DATA.hex()


def chunk(name: bytes, content: bytes, size: int | None = None) -> bytes:
    length = struct.pack("<I", len(content) if size is None else size)
    return name + length + content + b"\0" * (len(content) % 2)


def riff(*chunks: bytes, size: int | None = None) -> bytes:
    content = b"WAVE" + b"".join(chunks)
    return chunk(b"RIFF", content, size)


def form(tag: int = 1, channels: int = 1, rate: int = 8000, bits: int = 16) -> bytes:
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, 16000, 2, bits))


FMT = chunk(b"fmt ", FORMAT)
# name, the file, its samples in hex or the error
CASES = [
    ("plain", riff(FMT, chunk(b"data", DATA)), HEARD),
    ("extensible", riff(chunk(b"fmt ", EXTENSIBLE), chunk(b"data", DATA)), HEARD),
    ("18 bytes", riff(chunk(b"fmt ", FORMAT + b"\0\0"), chunk(b"data", DATA)), HEARD),
    ("odd before", riff(chunk(b"LIST", b"odd"), FMT, chunk(b"data", DATA)), HEARD),
    ("odd between", riff(FMT, chunk(b"fact", b"12345"), chunk(b"data", DATA)), HEARD),
    ("after", riff(FMT, chunk(b"data", DATA), chunk(b"LIST", b"INFO" * 9)), HEARD),
    ("two formats", riff(form(rate=9), FMT, chunk(b"data", DATA)), HEARD),
    ("stream of 0", riff(FMT, chunk(b"data", DATA, 0), size=36), HEARD),
    ("stream of 0 and 0", riff(FMT, chunk(b"data", DATA, 0), size=0), HEARD),
    ("stream of ffmpeg", riff(FMT, chunk(b"data", DATA, 2**32 - 1), size=2**32 - 1), HEARD),
    ("stream of arecord", riff(FMT, chunk(b"data", DATA, 0x7FFFFFF0), size=0x7FFFFFFF), HEARD),
    ("stream of sox", riff(FMT, chunk(b"data", DATA, 0x7FFFF000), size=0x7FFFF024), HEARD),
    ("stream, half", riff(FMT, chunk(b"data", DATA + b"x", 0), size=36)[:-1], HEARD),
    ("no samples", riff(FMT, chunk(b"data", b"")), ""),
    ("no samples, then others", riff(FMT, chunk(b"data", b""), chunk(b"LIST", b"INFO")), ""),
    ("odd size", riff(FMT, chunk(b"data", DATA + b"x")), HEARD),
    ("empty", b"", "-: is empty; expected a wav file"),
    ("text", b"hello world, said he", "-: is no wav file: it begins with b'hello world,'; "),
    ("avi", b"RIFF\x04\0\0\0AVI ", "-: is no wav file: it begins with b'RIFF\\x04\\x00"),
    ("short", b"RIF", "-: is no wav file: it begins with b'RIF'"),
    ("rf64", b"RF64" + riff(FMT)[4:], "-: is a wav file in the form RF64 (for more than 4 GB)"),
    ("rifx", b"RIFX" + riff(FMT)[4:], "-: is a wav file in the form RIFX (with the high byte"),
    ("float", riff(form(3, bits=32), chunk(b"data", DATA)), "-: holds 32-bit float, 1 channel, "),
    ("stereo", riff(form(channels=2), chunk(b"data", DATA)), "-: holds 16-bit PCM, 2 channels, "),
    ("8 bit", riff(form(bits=8), chunk(b"data", DATA)), "-: holds 8-bit PCM, 1 channel, 8000 Hz"),
    ("24 bit", riff(form(bits=24), chunk(b"data", DATA)), "-: holds 24-bit PCM, 1 channel"),
    ("rate", riff(form(rate=44100), chunk(b"data", DATA)), "-: holds 16-bit PCM, 1 channel, 44100"),
    ("mu-law", riff(form(7, bits=8), chunk(b"data", DATA)), "-: holds 8-bit mu-law, 1 channel"),
    ("0x1234", riff(form(0x1234), chunk(b"data", DATA)), "-: holds 16-bit format 0x1234, 1 ch"),
    (
        "extensible float",
        riff(chunk(b"fmt ", EXTENSIBLE[:24] + b"\x03" + EXTENSIBLE[25:]), chunk(b"data", DATA)),
        "-: holds 16-bit float, 1 channel",
    ),
    (
        "another guid",
        riff(chunk(b"fmt ", EXTENSIBLE[:-1] + b"x"), chunk(b"data", DATA)),
        "-: holds 16-bit format 0xfffe",
    ),
    ("no format", riff(chunk(b"data", DATA)), "-: has samples before it says their format; "),
    (
        "short format",
        riff(chunk(b"fmt ", FORMAT[:14]), chunk(b"data", DATA)),
        "-: its chunk 'fmt ' has 14 bytes, expected 16 or more",
    ),
    ("no data", riff(FMT), "-: ends before its first sample; get the whole file"),
    ("huge chunk", riff(FMT, chunk(b"LIST", b"", 2**32 - 1)), "-: ends before its first sample"),
    (
        "cut off",
        riff(FMT, chunk(b"data", DATA))[:-501],
        "-: is cut off: its header says 1000 samples, and there are 749; get the whole file",
    ),
]
CODE = """
import io
from edge_lstm_runtime.errors import DataError
from edge_lstm_runtime.feeds.wav import to_samples
found = []
for content in json.load(sys.stdin):
    file = io.BytesIO(bytes.fromhex(content))
    try:
        size = to_samples(file, "-", 8000)
        heard = file.read() if size is None else file.read(size)
        found.append(heard[: len(heard) // 2 * 2].hex())
    except DataError as e:
        found.append(str(e))
print(json.dumps(found))
"""


def outcome(content: bytes) -> str:
    """The samples in hex, or the error."""
    try:
        pieces = list(wav_chunks(io.BytesIO(content), "-", 8000))
    except rt.DataError as e:
        return str(e)
    return b"".join(piece.astype("<i2").tobytes() for piece in pieces).hex()


def is_hex(text: str) -> bool:
    return not text.startswith("-")


@pytest.mark.parametrize(("content", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_a_file_is_heard_or_refused(content: bytes, expected: str) -> None:
    found = outcome(content)
    if is_hex(expected):
        assert found == expected
        return
    assert found.startswith(expected)
    assert len(found.splitlines()) == 1
    if "holds" in found:
        assert found.endswith(f"; expected 16-bit PCM, 1 channel, 8000 Hz; convert it: {WORDS}")


@pytest.mark.parametrize("version", VERSIONS)
def test_every_python_hears_the_same(version: str) -> None:
    found = told(version, CODE, [content.hex() for _, content, _ in CASES])
    assert found == [outcome(content) for _, content, _ in CASES]


@pytest.mark.parametrize(
    "name", ["plain", "extensible", "18 bytes", "odd before", "odd between", "after"]
)
def test_scipy_hears_the_same(name: str) -> None:
    content = next(c[1] for c in CASES if c[0] == name)
    rate, pcm = scipy.io.wavfile.read(io.BytesIO(content))
    assert rate == 8000
    np.testing.assert_array_equal(pcm, PCM)


# --- damaged files ---

WHOLE = [content for _, content, _ in CASES if len(content) > 60]


@settings(max_examples=2000)
@given(
    st.sampled_from(WHOLE),
    st.lists(st.tuples(st.integers(0, 90), st.binary(min_size=1, max_size=4)), max_size=4),
    st.integers(0, 120),
)
def test_a_damaged_file_raises_no_other_error(
    content: bytes, changes: list[tuple[int, bytes]], kept: int
) -> None:
    damaged = bytearray(content)
    for place, new in changes:
        damaged[place : place + len(new)] = new
    found = outcome(bytes(damaged[:kept] if kept < 100 else damaged))
    assert is_hex(found) or len(found.splitlines()) == 1


@given(st.binary(max_size=200))
def test_any_bytes_raise_no_other_error(content: bytes) -> None:
    for start in (b"", b"RIFF", b"RIFF\0\0\0\0WAVE", b"RIFF\0\0\0\0WAVEfmt "):
        assert len(outcome(start + content).splitlines()) <= 1


# --- the command ---


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("wav") / "sound.edge"
    make_bundle(path, sound_spec(LOG_MEL))
    return path


FRAMES = 1 + (1000 - 200) // 80


@pytest.mark.parametrize("name", [c[0] for c in CASES])
def test_run_answers_or_says_why_not(model: Path, tmp_path: Path, name: str) -> None:
    content, expected = next(c[1:] for c in CASES if c[0] == name)
    (tmp_path / "in.wav").write_bytes(content)
    done = edge_lstm("run", model, "--input", tmp_path / "in.wav", "--backend", "numpy")
    if expected == HEARD:
        assert (done.returncode, done.stderr) == (0, "")
        assert len(done.stdout.splitlines()) == FRAMES
        return
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    none = "the sound has 0 samples; expected a frame or more (200 samples)"
    assert (expected[2:] or none) in done.stderr


def test_a_sound_shorter_than_a_frame_is_refused(model: Path, tmp_path: Path) -> None:
    content = riff(FMT, chunk(b"data", DATA[:398]))
    (tmp_path / "in.wav").write_bytes(content)
    raw = ("--input", "-", "--format", "s16le")
    for arguments, data in ((("--input", tmp_path / "in.wav"), b""), (raw, DATA[:398])):
        done = edge_lstm("run", model, *arguments, "--backend", "numpy", text=data)
        assert (done.returncode, done.stdout) == (2, "")
        assert "the sound has 199 samples; expected a frame or more (200 samples)" in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_a_fifo_ends_where_its_writer_ends(model: Path, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo.wav"
    os.mkfifo(fifo)
    with subprocess.Popen(
        command("run", model, "--input", fifo, "--backend", "numpy"),
        stdout=subprocess.PIPE, env=environment(),
    ) as process:  # fmt: skip
        assert process.stdout is not None
        with fifo.open("wb") as file:
            file.write(riff(FMT, chunk(b"data", DATA, 64000)))
        answers = [json.loads(line) for line in process.stdout]
    assert process.returncode == 0
    assert len(answers) == FRAMES


def test_what_python_writes_is_read(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(DATA)
    np.testing.assert_array_equal(read_wav(tmp_path / "a.wav", 8000), PCM)


def test_names_are_quoted_in_the_advice(tmp_path: Path) -> None:
    path = tmp_path / "my voice.wav"
    path.write_bytes(riff(form(bits=8), chunk(b"data", DATA)))
    with pytest.raises(rt.DataError, match=r"ffmpeg -i '\S+/my voice\.wav' -ac 1"):
        read_wav(path, 8000)


def test_a_header_of_ours() -> None:
    data = wav.header(48000, 3)
    assert len(data) == 44
    assert wav.to_samples(io.BytesIO(data + bytes(6)), "x", 48000) == 6
    assert wav.rate_of(io.BytesIO(data + bytes(6)), "x") == 48000


def test_more_samples_than_a_header_of_ours_can_tell_are_read_up_to_the_end() -> None:
    data = wav.header(8000, 3_000_000_000)
    assert wav.to_samples(io.BytesIO(data + bytes(6)), "x", 8000) is None
