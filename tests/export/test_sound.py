"""A model of sound, from wav files to answers: trained, exported as a bundle and as C, and run."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import numpy as np

from edge_lstm import load_config, train
from edge_lstm_export import export_c, export_run
from edge_lstm_runtime import check_backend, load
from edge_lstm_runtime.cli import main

CONFIG = """
[data]
source = "wav"
path = "tones"
pattern = "(?P<label>[a-z]+)_.*"
test_pattern = ".*_[0-2]"
[data.split]
by = "given"
[front_end]
sample_rate = 4000
frame_length = 128
hop_length = 40
n_mels = 16
[model]
task = "classify"
hidden_size = 8
[train]
epochs = 4
batch_size = 4
learning_rate = 0.02
"""


def write_tone(path: Path, hz: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    t = np.arange(1500 + 20 * seed) / 4000
    pcm = 8000 * np.sin(2 * np.pi * hz * rng.uniform(0.9, 1.1) * t) + rng.normal(0, 200, len(t))
    with wave.open(str(path), "wb") as wav:
        wav.setparams((1, 2, 4000, 0, "NONE", ""))
        wav.writeframes(np.round(pcm).astype("<i2").tobytes())


def test_from_wav_files_to_answers(tmp_path, capsys):
    (tmp_path / "tones").mkdir()
    for label, hz in (("low", 300), ("high", 1200)):
        for k in range(10):
            write_tone(tmp_path / "tones" / f"{label}_{k}.wav", hz, k)
    (tmp_path / "config.toml").write_text(CONFIG)
    run = train(load_config(tmp_path / "config.toml"), tmp_path / "run", quiet=True)
    assert run.spec.inputs.sound is not None
    done = export_run(run, tmp_path / "tones.edge", schemes=())
    bundle = load(done.out).bundle
    assert bundle.spec == run.spec
    for backend in ("numpy", "onnx"):
        assert check_backend(bundle, backend).passed
    for label in ("low", "high"):
        capsys.readouterr()
        assert (
            main(
                [
                    "run",
                    str(done.out),
                    "--input",
                    str(tmp_path / "tones" / f"{label}_1.wav"),
                    "--backend",
                    "numpy",
                ]
            )
            == 0
        )
        answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert len(answers) == 1 + (1520 - 128) // 40
        assert answers[-1]["label"] == label
    folders = [
        export_c(source, tmp_path / name).folder
        for name, source in (("of_run", run), ("of_bundle", done.out))
    ]
    assert (folders[0] / "src" / "front_end.c").is_file()
    for name in ("src/front_end.c", "examples/selftest/golden.h"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
