"""Nets that read sound as it is: the wav files that they are proved with, and what they become."""

from __future__ import annotations

import re
import shutil
import subprocess
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import edge_lstm_runtime as rt
from edge_lstm_export import export_c, export_run, from_torch, import_net
from edge_lstm_runtime import cli
from edge_lstm_runtime.inputs.frames import Frames
from helpers.jobs import NET

PCM = np.random.default_rng(0).integers(-32768, 32768, 4000).astype(np.int16)


def write(
    path: Path, pcm: Any = PCM, *, rate: int = 8000, channels: int = 1, width: int = 2
) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(np.asarray(pcm, "<i2").tobytes())
    return path


@pytest.fixture
def amp(tmp_path: Path) -> Path:
    path = tmp_path / "amp.json"
    path.write_text(NET)
    return path


class Denoise(nn.Module):
    """Frames of 16 samples in and out."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lstm = nn.LSTM(16, 4, batch_first=True)
        self.out = nn.Linear(4, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.out(self.lstm(x)[0])
        return y


def test_a_step_is_a_sample(amp: Path, tmp_path: Path) -> None:
    net = import_net(amp, write(tmp_path / "x.wav", rate=48000))
    assert net.spec.inputs.sound == Frames(48000, 1, 1)
    assert net.samples.ravel().tolist() == (PCM / 32768).tolist()
    assert not net.synthetic
    assert net.step_words == ("A step is one sample of sound at 48000 Hz.",)


def test_frames_of_a_wav_file_from_python(tmp_path: Path) -> None:
    wav = write(tmp_path / "x.wav")
    module = Denoise()
    net = from_torch(module, torch.zeros(1, 20, 16), samples=wav, hop=4)
    assert net.spec.inputs.sound == Frames(8000, 16, 4)
    windows = np.array([PCM[k : k + 16] for k in range(0, 3985, 4)]) / 32768
    assert np.array_equal(net.samples, windows)
    with torch.no_grad():
        right = module(torch.from_numpy(windows[None]).float())[0].numpy()
    assert np.abs(net.answers - right).max() <= 1e-6
    whole = from_torch(module, torch.zeros(1, 20, 16), samples=wav)
    assert whole.spec.inputs.sound == Frames(8000, 16, 16)
    assert len(whole.samples) == 250


def test_the_rate_alone(amp: Path) -> None:
    net = import_net(amp, rate=44100)
    assert net.spec.inputs.sound == Frames(44100, 1, 1)
    assert net.samples.shape == (3000, 1)
    assert 0.9 < np.abs(net.samples).max() <= 1
    assert net.synthetic
    assert "The samples are synthetic: 3,000 frames of noise, even in -1 to 1." in net.notes[-1]


def test_other_samples_stay_as_they_are(amp: Path, tmp_path: Path) -> None:
    xs = np.random.default_rng(0).normal(size=(50, 1)).astype(np.float32)
    np.save(tmp_path / "x.npy", xs)
    plain = import_net(amp, tmp_path / "x.npy")
    assert plain.spec.inputs.sound is None
    sound = import_net(amp, tmp_path / "x.npy", rate=8000)
    assert sound.spec.inputs.sound == Frames(8000, 1, 1)
    assert np.array_equal(plain.samples, xs)
    assert np.array_equal(sound.samples, xs)


def test_of_a_long_recording_the_loudest_part_is_used(amp: Path, tmp_path: Path) -> None:
    pcm = np.zeros(60_000, np.int16)
    pcm[40_000:49_000] = 9000
    net = import_net(amp, write(tmp_path / "x.wav", pcm))
    assert net.samples.shape == (10_000, 1)
    assert (net.samples != 0).sum() == 9000
    assert net.notes[-1] == (
        "Of the sound's 60,000 samples, 10,000 in a row are used, its loudest part, from 5.00 to "
        "6.25 s. All figures are theirs"
    )


def test_a_bundle_keeps_its_frames(tmp_path: Path) -> None:
    """Also if it is exported again with another sound."""
    made = from_torch(Denoise(), torch.zeros(1, 20, 16), samples=write(tmp_path / "x.wav"), hop=4)
    path = tmp_path / "net.edge"
    export_run(made, path, schemes=())
    again = import_net(path, write(tmp_path / "y.wav", PCM[::-1]))
    assert again.spec.inputs.sound == Frames(8000, 16, 4)
    assert np.array_equal(again.samples[1], PCM[::-1][4:20] / 32768)
    assert import_net(path, tmp_path / "y.wav", hop=8).spec.inputs.sound == Frames(8000, 16, 8)
    with pytest.raises(
        rt.ConversionError, match=r"z\.wav: has 9000 Hz, and the net reads sound of 8000 Hz"
    ):
        import_net(path, write(tmp_path / "z.wav", rate=9000))
    with pytest.raises(rt.ConversionError, match="--rate: has 9000 Hz, and the net reads sound of"):
        import_net(path, rate=9000)


BAD: dict[str, tuple[dict[str, Any], list[str], str]] = {
    "stereo": (
        {"channels": 2},
        [],
        "holds 16-bit PCM, 2 channels, 8000 Hz; expected 16-bit PCM, 1",
    ),
    "8 bits": ({"width": 1}, [], "holds 8-bit PCM, 1 channel, 8000 Hz; expected 16-bit PCM"),
    "short": ({"pcm": PCM[:9]}, [], r"x.wav: has 9 samples; expected 10 frames or more$"),
    "silent": ({"pcm": 0 * PCM}, [], r"x.wav: is silent, which proves nothing; expected sound$"),
    "hop 0": ({}, ["--hop", "0"], "hop is 0; expected a whole number from 1 to 65536"),
    "rate 0": ({}, ["--rate", "0"], "rate is 0; expected a whole number from 1 to 1000000"),
    "another rate": ({}, ["--rate", "9"], "x.wav: has 8000 Hz, and rate is 9; leave the rate out"),
    "hop of a sample": ({}, ["--hop", "2"], "hop is 2; expected 1 to 1, the samples of a frame"),
}


@pytest.mark.parametrize("name", BAD)
def test_one_line_and_nothing_written(
    name: str, amp: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    form, words, message = BAD[name]
    wav = write(tmp_path / "x.wav", **form)
    before = sorted(tmp_path.iterdir())
    code = cli.main(
        ["import", str(amp), "--samples", str(wav), *words, "-o", str(tmp_path / "n.edge")]
    )
    _, err = capfd.readouterr()
    assert code == 2
    assert len(err.splitlines()) == 1
    assert re.search(message, err), err
    assert sorted(tmp_path.iterdir()) == before


def test_float_and_damaged_files(amp: Path, tmp_path: Path) -> None:
    wav = write(tmp_path / "x.wav")
    data = bytearray(wav.read_bytes())
    data[20] = 3  # IEEE float
    wav.write_bytes(data)
    with pytest.raises(rt.DataError, match="holds 16-bit float, 1 channel, 8000 Hz; expected"):
        import_net(amp, wav)
    wav.write_bytes(b"RIFX" + bytes(data[4:]))
    with pytest.raises(rt.DataError, match=r"in the form RIFX.*ffmpeg -i \S+ -ac 1 -c:a pcm_s16le"):
        import_net(amp, wav)
    wav.write_bytes(b"")
    with pytest.raises(rt.DataError, match=r"x\.wav: is empty"):
        import_net(amp, wav)


def test_frames_that_do_not_fit(tmp_path: Path) -> None:
    net = (Denoise(), torch.zeros(1, 20, 16))
    for hop, pcm, message in (
        (17, PCM, "hop is 17; expected 1 to 16, the samples of a frame: the net has 16 inputs"),
        (4, PCM[:51], "has 51 samples, 9 frames; expected 10 frames or more, which are 52 samples"),
        (None, PCM[:15], "has 15 samples, 0 frames; expected 10 frames or more, which are 160"),
    ):
        with pytest.raises(rt.ConversionError, match=message):
            from_torch(*net, samples=write(tmp_path / "x.wav", pcm), hop=hop)
    with pytest.raises(rt.ConversionError, match="hop is 4, and nothing says that the net reads s"):
        from_torch(*net, hop=4)
    with pytest.raises(rt.ConversionError, match=r"rate is 8000\.0; expected a whole number"):
        from_torch(*net, rate=8000.0)  # type: ignore[arg-type]


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_in_c_a_frame_is_a_sample_like_any_other(tmp_path: Path) -> None:
    net = from_torch(Denoise(), torch.zeros(1, 20, 16), samples=write(tmp_path / "x.wav"), hop=4)
    export_run(net, tmp_path / "net.edge", schemes=())
    export_c(tmp_path / "net.edge", tmp_path / "c")
    assert not (tmp_path / "c" / "front_end.c").exists()
    assert (
        "A step is a frame of sound: 16 samples at 8000 Hz, mono, in -1 to 1"
        in (tmp_path / "c" / "README.md").read_text()
    )
    done = subprocess.run(["make", "-s", "-C", tmp_path / "c", "test"], capture_output=True)
    assert b"PASS" in done.stdout, done.stderr
