"""`edge-lstm run --output`: a wav file as the answer to sound."""

from __future__ import annotations

import re
import signal
import time
import wave
from pathlib import Path

import numpy as np
import pytest

import edge_lstm_runtime as rt
from helpers.bundles import make_bundle
from helpers.commands import Pipe, here
from helpers.sounds import LOG_MEL, frames_spec, sound_spec

PCM = np.random.default_rng(0).integers(-9000, 9000, 9001).astype("<i2")


def write(path: Path, pcm: np.ndarray[tuple[int], np.dtype[np.int16]] = PCM) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(pcm.tobytes())
    return path


def read(path: Path) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 8000)
        size = path.stat().st_size
        assert size == 44 + 2 * file.getnframes()
        assert path.read_bytes()[4:8] == (size - 8).to_bytes(4, "little")
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


@pytest.fixture(scope="module")
def amp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A step is a sample."""
    path = tmp_path_factory.mktemp("amp") / "amp.edge"
    make_bundle(path, frames_spec(1, 1))
    return path


def expected(bundle: Path) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    with rt.load(bundle).session("reference") as session:
        return np.asarray(session.run(PCM[:, None] / 32768)[:, 0] * 32768)


@pytest.mark.parametrize("backend", ["numpy", "native"])
def test_a_wav_file_of_the_answers(
    amp: Path, backend: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.wav"
    code, told, err = here(
        capfd, "run", amp, "--input", write(tmp_path / "in.wav"), "--output", out, "--backend",
        backend,
    )  # fmt: skip
    assert (code, told) == (0, "")
    assert re.fullmatch(
        rf"edge-lstm: {out}: 1\.13 s of sound in [\d.]+ s, [\d.e+]+ times real time\n", err
    )
    assert np.abs(read(out) - np.clip(expected(amp), -32768, 32767)).max() <= 0.6


def test_in_a_pipe_and_over_its_own_input(amp: Path, tmp_path: Path) -> None:
    out = write(tmp_path / "both.wav")
    with Pipe("run", amp, "--input", "-", "--format", "s16le", "--output", out) as pipe:
        pipe.stdin.write(PCM.tobytes())
        pipe.stdin.close()
        assert pipe.process.wait(20) == 0
    found = read(out)
    assert np.abs(found - np.clip(expected(amp), -32768, 32767)).max() <= 0.6
    write(out)
    with Pipe("run", amp, "--input", out, "--output", out) as pipe:
        assert pipe.process.wait(20) == 0
    assert read(out).tolist() == found.tolist()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_leaves_a_whole_file(amp: Path, tmp_path: Path, number: signal.Signals) -> None:
    out = tmp_path / "out.wav"
    words = ("run", amp, "--input", "-", "--format", "s16le", "--output", out)
    with Pipe(*words, "--backend", "numpy") as pipe:
        pipe.stdin.write(PCM[:5000].tobytes())
        while not any(path.stat().st_size for path in tmp_path.iterdir()):
            time.sleep(0.01)
        assert not out.exists()
        pipe.process.send_signal(number)
        assert pipe.process.wait(20) == 128 + number
        assert pipe.process.stderr is not None
        assert b" s of sound in " in pipe.process.stderr.read()
    found = read(out)
    assert 0 < len(found) <= 5000
    right = np.clip(expected(amp), -32768, 32767)[: len(found)]
    assert np.abs(found - right).max() <= 0.6
    assert [*tmp_path.iterdir()] == [out]


def test_a_stop_before_the_first_sample_leaves_nothing(amp: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.wav"
    with Pipe("run", amp, "--input", "-", "--format", "s16le", "--output", out) as pipe:
        while not [*tmp_path.iterdir()]:
            time.sleep(0.01)
        pipe.process.send_signal(signal.SIGINT)
        assert pipe.process.wait(20) == 130
    assert not [*tmp_path.iterdir()]


def test_what_is_refused_before_anything_is_written(
    amp: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    wav = write(tmp_path / "in.wav")
    make_bundle(tmp_path / "classes.edge", sound_spec(LOG_MEL))
    make_bundle(tmp_path / "frames.edge", frames_spec(64, 64))
    (tmp_path / "a.csv").write_text("1\n")
    short = write(tmp_path / "short.wav", PCM[:63])
    old = tmp_path / "old.wav"
    old.write_text("old")
    cut = tmp_path / "cut.wav"
    cut.write_bytes(wav.read_bytes()[:9000])
    before = sorted(tmp_path.iterdir())
    for words, message in (
        ((amp, "--input", wav, "--output", "out.mp3"), "--output is 'out.mp3'; expected a name"),
        ((amp, "--input", wav, "--output", "-"), "--output is '-'; expected a name like out.wav"),
        ((amp, "--input", tmp_path / "a.csv", "--output", old), "--output is for sound; give"),
        ((amp, "--input", wav, "--output", old, "--every", "2"), "--every is for answers in lines"),
        ((amp, "--input", wav, "--output", tmp_path / "no/a.wav"), "can't write .*no.* not there"),
        ((amp, "--input", cut, "--output", old), "cut.wav: is cut off"),
        ((amp, "--input", tmp_path / "absent.wav", "--output", old), "can't read .*absent.wav"),
        ((tmp_path / "classes.edge", "--input", wav, "--output", old), "this one reads log-mel"),
        ((tmp_path / "frames.edge", "--input", short, "--output", old), "has 63 samples; expected"),
    ):
        code, out, err = here(capfd, "run", *words, "--backend", "numpy")
        assert (code, out) == (2, "")
        assert len(err.splitlines()) == 1
        assert re.search(message, err), err
        assert old.read_text() == "old"
        assert sorted(tmp_path.iterdir()) == before


def test_info_says_what_a_step_is(amp: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _, out, _ = here(capfd, "info", amp)
    assert "sound     8000 Hz mono, a sample of PCM in -1 to 1 a step" in out
