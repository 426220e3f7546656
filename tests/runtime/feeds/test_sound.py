"""Sound as files and pipes, and the command that answers it."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import shlex
import subprocess
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_lstm_runtime as rt
from edge_lstm_runtime.backends.numpy import NumpyBackend
from edge_lstm_runtime.feeds import lines
from edge_lstm_runtime.feeds.sound import answers, raw_chunks, read_wav, samples_of
from edge_lstm_runtime.tasks.forecast import Detector, Forecast
from helpers.bundles import make_bundle
from helpers.commands import command, edge_lstm, environment
from helpers.sounds import LOG_MEL, sound, sound_spec, write_whole
from helpers.specs import chain
from helpers.weights import random_weights

PCM = sound(LOG_MEL)
FRAMES = 1 + (len(PCM) - 200) // 80


def write_wav(
    path: Path,
    pcm: np.ndarray[Any, Any] = PCM,
    *,
    rate: int = 8000,
    channels: int = 1,
    width: int = 2,
) -> Path:
    with wave.open(str(path), "wb") as wav:
        wav.setnchannels(channels)
        wav.setsampwidth(width)
        wav.setframerate(rate)
        wav.writeframes(pcm.astype("<i2").tobytes())
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "sound.edge"
    make_bundle(path, sound_spec(LOG_MEL))
    return path


@pytest.fixture(scope="module")
def expected(model: Path) -> list[dict[str, Any]]:
    with rt.load(model).session("numpy") as session:
        return [rt.describe(session.spec, y) for y in session.run(LOG_MEL.frames(PCM))]


def answers_of(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def assert_right(answer: dict[str, Any], expected: list[dict[str, Any]]) -> None:
    right = expected[answer["frame"] - 1]
    assert answer["label"] == right["label"]
    assert answer["probabilities"] == pytest.approx(right["probabilities"], abs=2e-6)
    assert answer["time"] == pytest.approx((200 + 80 * (answer["frame"] - 1)) / 8000)


# --- files ---


def test_a_wav_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_wav(write_wav(tmp_path / "a.wav"), 8000), PCM)
    assert len(read_wav(write_wav(tmp_path / "empty.wav", PCM[:0]), 8000)) == 0


def test_a_file_that_is_absent(tmp_path: Path) -> None:
    with pytest.raises(rt.DataError, match=r"absent.wav: can't be read: No such file"):
        read_wav(tmp_path / "absent.wav", 8000)


def test_raw_samples_cut_anywhere() -> None:
    data = PCM.astype("<i2").tobytes()

    class Pipe:
        def __init__(self) -> None:
            self.left = data

        def read1(self, size: int) -> bytes:
            part = self.left[: min(size, 777)]
            self.left = self.left[min(size, 777) :]
            return part

    chunks = list(raw_chunks(Pipe()))  # type: ignore[arg-type]
    np.testing.assert_array_equal(np.concatenate(chunks), PCM)
    np.testing.assert_array_equal(np.concatenate(list(raw_chunks(io.BytesIO(data + b"x")))), PCM)


# --- the command ---


def test_a_wav_file_is_answered_at_each_frame(
    model: Path, expected: list[dict[str, Any]], tmp_path: Path
) -> None:
    found = answers_of(
        edge_lstm("run", model, "--input", write_wav(tmp_path / "a.WAV"), "--backend", "numpy")
    )
    assert [a["frame"] for a in found] == list(range(1, FRAMES + 1))
    for answer in found:
        assert_right(answer, expected)


def test_a_wav_file_in_a_pipe(model: Path, expected: list[dict[str, Any]], tmp_path: Path) -> None:
    data = write_wav(tmp_path / "a.wav").read_bytes()
    found = answers_of(
        edge_lstm(
            "run",
            model,
            "--input",
            "-",
            "--format",
            "wav",
            "--every",
            "20",
            "--backend",
            "numpy",
            text=data,
        )
    )
    assert [a["frame"] for a in found] == [20, 40, FRAMES]
    for answer in found:
        assert_right(answer, expected)
    cut = edge_lstm(
        "run", model, "--input", "-", "--format", "wav", "--backend", "numpy", text=data[:3000]
    )
    # nobody could have known its length
    assert len(answers_of(cut)) == 1 + ((3000 - 44) // 2 - 200) // 80


def test_a_file_that_is_cut_off_is_refused_before_an_answer(model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(write_wav(tmp_path / "whole.wav").read_bytes()[:3000])
    done = edge_lstm("run", model, "--input", tmp_path / "a.wav", "--backend", "numpy")
    assert (done.returncode, done.stdout) == (2, "")
    assert "a.wav: is cut off: its header says 4800 samples, and there are 1478" in done.stderr


def test_an_anomaly_detector_scores_sound_as_it_scores_lines() -> None:
    answer = Forecast(("mel0", "mel7"), 2, (-5.0,) * 4, (3.0,) * 4)
    detector = Detector((0.1,) * 4, (0.5,) * 4, threshold=4.0, smoothing=0.5)
    spec = sound_spec(LOG_MEL)
    network = chain(40, 8, 1, 4)
    spec = rt.ModelSpec(spec.inputs, network, dataclasses.replace(answer, detector=detector))

    def session() -> rt.Session:
        return rt.Session(spec, NumpyBackend(spec, random_weights(spec)))

    text = [json.dumps(x) for x in LOG_MEL.frames(PCM).tolist()]
    for reset_every in (0, 20):
        expected = list(lines.answers(session(), text, reset_every))
        found = list(answers(session(), [PCM[:999], PCM[999:]], every=3, reset_every=reset_every))
        assert [a["frame"] for a in found] == [*range(3, FRAMES + 1, 3), FRAMES]
        for a in found:
            line = expected[a["frame"] - 1]
            assert (a["score"], a["anomaly"]) == (line["score"], line["anomaly"])
        assert {a["anomaly"] for a in found} == {False, True}


def test_every_so_many_and_the_last_one(model: Path, expected: list[dict[str, Any]]) -> None:
    data = PCM.astype("<i2").tobytes()
    done = edge_lstm(
        "run",
        model,
        "--input",
        "-",
        "--format",
        "s16le",
        "--every",
        "10",
        "--backend",
        "numpy",
        text=data,
    )
    found = answers_of(done)
    assert [a["frame"] for a in found] == [10, 20, 30, 40, 50, FRAMES]
    for answer in found:
        assert_right(answer, expected)


def test_it_answers_while_the_sound_goes_on(model: Path) -> None:
    with subprocess.Popen(
        command("run", model, "--input", "-", "--format", "s16le", "--backend", "numpy"),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(),
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        for n, samples in ((1, 200), (2, 80)):
            process.stdin.write(b"\0\0" * samples)
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["frame"] == n
        process.stdin.close()
        assert process.stdout.read() == b""


def test_reset_every_sets_the_state_to_zero(model: Path, tmp_path: Path) -> None:
    wav = write_wav(tmp_path / "a.wav", np.tile(PCM[:800], 3))
    found = answers_of(
        edge_lstm("run", model, "--input", wav, "--reset-every", "10", "--backend", "numpy")
    )
    # 10 frames on, 800 samples on
    assert found[10]["probabilities"] == pytest.approx(found[0]["probabilities"])
    assert found[9]["probabilities"] != pytest.approx(found[0]["probabilities"])


def test_a_bidirectional_model_answers_at_the_end(tmp_path: Path) -> None:
    write_whole(tmp_path / "whole.edge")
    wav = write_wav(tmp_path / "a.wav")
    found = answers_of(
        edge_lstm(
            "run", tmp_path / "whole.edge", "--input", wav, "--every", "20", "--backend", "numpy"
        )
    )
    assert [a["frame"] for a in found] == [20, 40, FRAMES]
    with rt.load(tmp_path / "whole.edge").session("numpy") as session:
        assert_right(
            found[-1], [rt.describe(session.spec, y) for y in session.run(LOG_MEL.frames(PCM))]
        )


def test_what_cannot_be_run(model: Path, tmp_path: Path) -> None:
    wav = write_wav(tmp_path / "a.wav", rate=16000)
    make_bundle(tmp_path / "plain.edge")
    for arguments, message in (
        (
            (model, "--input", wav),
            "holds 16-bit PCM, 1 channel, 16000 Hz; expected .*, 8000 Hz",
        ),
        ((model, "--input", tmp_path / "absent.wav"), "can't read .*absent.wav: No such file"),
        (
            (tmp_path / "plain.edge", "--input", wav),
            r"this model takes no sound: it has no \[front_end\] or was imported without --rate, "
            "and reads ch0, ch1, ch2$",
        ),
        ((model, "--input", wav, "--every", "0"), "--every is 0; expected at least 1"),
        ((model, "--input", wav, "--reopen"), "--reopen is for lines of text and --format s16le"),
    ):
        done = edge_lstm("run", *arguments, "--backend", "numpy", text="")
        assert (done.returncode, done.stdout) == (2, "")
        assert len(done.stderr.splitlines()) == 1
        assert re.search(message, done.stderr), done.stderr


def test_info_shows_the_front_end(model: Path) -> None:
    assert (
        "sound     8000 Hz mono, log-mel of frames of 200 samples, 80 apart: 100 a second"
        in edge_lstm("info", model).stdout
    )


def test_half_a_sample_of_a_writer_that_went_away_is_dropped() -> None:
    pieces = samples_of([b"\1\0\2", b"\0\3", b"", b"\4\0", b"\5"])
    assert np.concatenate(list(pieces)).tolist() == [1, 2, 4]


@pytest.mark.parametrize("form", ["wav", "s16le"])
def test_closed_standard_input_is_said_in_words(model: Path, form: str) -> None:
    words = command("run", model, "--input", "-", "--format", form, "--backend", "numpy")
    done = subprocess.run(
        ["bash", "-c", f"exec {shlex.join(words)} <&-"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "edge-lstm: error: can't read standard input: it is closed\n"
