"""Source "wav": frames, labels, groups and splits, mistakes, and a model that is trained on it."""

from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_lstm import load_config, load_data, load_run, train
from edge_lstm.config.schema import Config
from edge_lstm.data.load import make_spec
from edge_lstm_runtime import FrontEnd, Session
from edge_lstm_runtime.backends.numpy import NumpyBackend
from edge_lstm_runtime.errors import ConfigError, DataError

Configure = Callable[..., Config]

SOUND = """
[data]
source = "wav"
path = "tones"
pattern = "(?P<label>[a-z]+)_(?P<group>[a-z]+)_.*"

[data.split]
by = "group"
val = ["yuki"]
test = ["zoe"]

[front_end]
kind = "mfcc"
sample_rate = 4000
frame_length = 100
hop_length = 40
n_mels = 20

[model]
task = "classify"
hidden_size = 8

[train]
epochs = 3
batch_size = 4
loss_steps = "last"
learning_rate = 0.02
accelerator = "cpu"
"""
GIVEN = (
    ('by = "group"\nval = ["yuki"]\ntest = ["zoe"]', 'by = "given"'),
    ("(?P<group>[a-z]+)_.*", '\\\\w+"\ntest_pattern = ".*_0'),
)
FRONT_END = FrontEnd("mfcc", 4000, 100, 40, 128, 20, 13, 20.0, 2000.0)


def write_wav(path: Path, pcm: np.ndarray, rate: int = 4000) -> None:
    with wave.open(str(path), "wb") as wav:
        wav.setparams((1, 2, rate, 0, "NONE", ""))
        wav.writeframes(pcm.astype("<i2").tobytes())


@pytest.mark.usefixtures("tones")
def test_the_file_without_a_label_is_the_one_that_is_named(configure: Configure) -> None:
    some = ("(?P<label>[a-z]+)_", "((?P<label>low)_|high_)")
    with pytest.raises(DataError, match=r"^high_\w+: it has no label; expected one per sequence"):
        load_data(configure(SOUND, some))


@pytest.fixture
def tones(tmp_path: Path) -> Path:
    """Low and high tones of four voices, three files of each."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "tones"
    folder.mkdir()
    for label, hz in (("low", 300), ("high", 1200)):
        for voice in ("ann", "bob", "yuki", "zoe"):
            for index in range(3):
                t = np.arange(rng.integers(600, 900)) / 4000
                pcm = 8000 * np.sin(2 * np.pi * hz * rng.uniform(0.9, 1.1) * t) + rng.normal(
                    0, 200, len(t)
                )
                write_wav(folder / f"{label}_{voice}_{index}.wav", np.round(pcm))
    return folder


def test_files_are_frames_with_labels_and_groups(tones: Path, configure: Configure) -> None:
    splits = load_data(configure(SOUND))
    assert splits.channels == FRONT_END.names
    assert splits.classes == ("high", "low")
    assert [(s.name, s.group, s.label) for s in splits.test] == [
        (f"{c}_zoe_{k}", "zoe", n) for n, c in enumerate(splits.classes) for k in range(3)
    ]
    assert {s.group for s in splits.train} == {"ann", "bob"}
    with wave.open(str(tones / "low_zoe_1.wav"), "rb") as wav:
        pcm = np.frombuffer(wav.readframes(9999), "<i2").astype(np.int16)
    (sequence,) = [s for s in splits.test if s.name == "low_zoe_1"]
    np.testing.assert_array_equal(sequence.x, FRONT_END.frames(pcm))


@pytest.mark.usefixtures("tones")
def test_test_files_by_name(configure: Configure) -> None:
    splits = load_data(configure(SOUND, *GIVEN))
    assert {s.name for s in splits.test} == {
        f"{c}_{v}_0" for c in ("low", "high") for v in ("ann", "bob", "yuki", "zoe")
    }
    assert len(splits.val) == 2  # 0.15 of 8 of each class
    assert len(splits.train) == 14


@pytest.mark.usefixtures("tones")
def test_the_specification_carries_the_front_end(configure: Configure) -> None:
    config = configure(SOUND)
    spec = make_spec(config, load_data(config))
    assert spec.inputs.sound == FRONT_END
    whole = configure(
        SOUND,
        ('kind = "mfcc"\n', ""),
        ("n_mels = 20", "n_mels = 24\nn_fft = 256\nf_min = 50.0\nf_max = 1900.0\nfloor = 1e-4"),
    )
    assert whole.front_end is not None
    assert whole.front_end.front_end() == FrontEnd(
        "log-mel", 4000, 100, 40, 256, 24, 0, 50.0, 1900.0, 1e-4
    )


def test_a_model_that_listens(tones: Path, configure: Configure, tmp_path: Path) -> None:
    config = configure(
        SOUND,
        (
            "[model]",
            "[augment]\nmask_steps = 0.2\nmask_channels = 0.2\nlevel = 0.1\nnoise = 0.1\n\n[model]",
        ),
        train__epochs=12,
    )
    run = train(config, tmp_path / "run", quiet=True)
    assert run.metrics["test"]["accuracy"] == 1.0
    assert load_config(tmp_path / "run" / "config.toml").to_dict() == {
        **config.to_dict(),
        "data": {**config.to_dict()["data"], "path": str(tones)},
    }
    run = load_run(tmp_path / "run")
    with wave.open(str(tones / "high_zoe_2.wav"), "rb") as wav:
        pcm = np.frombuffer(wav.readframes(9999), "<i2").astype(np.int16)
    with Session(run.spec, NumpyBackend(run.spec, run.weights)) as session:
        answers = session.listen(pcm)
    assert run.spec.answer.classes[int(answers[-1].argmax())] == "high"


# --- folders ---

BY_FOLDER = ('"(?P<label>[a-z]+)_(?P<group>[a-z]+)_.*"', '"(?P<label>[^/]+)/(?P<group>[a-z]+)_.*"')


def test_other_cases_and_subfolders_are_read(tones: Path, configure: Configure) -> None:
    flat = load_data(configure(SOUND))
    assert flat.notes == ()
    for file in sorted(tones.iterdir()):
        label, rest = file.stem.split("_", 1)
        suffix = {"0": ".wav", "1": ".WAV", "2": ".Wav"}[rest[-1]]
        (tones / label).mkdir(exist_ok=True)
        file.rename(tones / label / f"{rest}{suffix}")
    nested = load_data(configure(SOUND, BY_FOLDER))
    for part in ("train", "val", "test"):
        before = getattr(flat, part)
        after = getattr(nested, part)
        assert [s.name for s in after] == [s.name.replace("_", "/", 1) for s in before]
        for a, b in zip(before, after, strict=True):
            assert (a.label, a.group) == (b.label, b.group)
            np.testing.assert_array_equal(a.x, b.x)


def test_other_files_are_told(
    tones: Path, configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tones / "a.mp3").touch()
    one = f"{tones}: 1 file was left out: 1 of another ending ('a.mp3')"
    assert load_data(configure(SOUND)).notes == (one,)
    (tones / "more").mkdir()
    (tones / "more" / "b.flac").touch()
    (tones / "._low_ann_1.wav").write_bytes(b"of macOS")
    (tones / "low_zoe_9.wav").touch()
    told = (
        f"{tones}: 4 files were left out: 1 hidden ('._low_ann_1.wav'), "
        "2 of another ending ('a.mp3'), 1 empty ('low_zoe_9.wav')"
    )
    run = train(configure(SOUND, train__epochs=1), tmp_path / "run")
    assert f"note: {told}\n" in capsys.readouterr().err
    assert run.metrics["data"] == [told]


def test_a_class_may_have_the_name_of_a_blank(tones: Path, configure: Configure) -> None:
    for file in tones.glob("low_*"):
        file.rename(tones / file.name.replace("low", "none"))
    for file in tones.glob("high_*"):
        file.rename(tones / file.name.replace("high", "null"))
    assert load_data(configure(SOUND)).classes == ("none", "null")


# --- mistakes ---


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            'path = "tones"\n',
            "",
            "[data] path: is missing; expected the folder with the .wav files",
        ),
        (
            'path = "tones"',
            'path = "tones"\nchannels = ["a"]',
            "the channels of source 'wav' are the front end's",
        ),
        (
            'path = "tones"',
            'path = "tones"\nlabel = "a"',
            "label = \"a\": is for sources 'csv' and 'parquet', and source is 'wav'; remove it",
        ),
        (
            'path = "tones"',
            'train_path = "tones"',
            "source 'wav' has one folder, `path`, and `test_pattern`",
        ),
        ("(?P<label>[a-z]+)", "[a-z]+", "with a part (?P<label>...), for task 'classify'"),
        ("(?P<label>", "(?P<label", "is no regular expression: "),
        (
            'pattern = "',
            'test_pattern = "a"\npattern = "',
            "goes with split by 'given' of source 'wav', and by is 'group'",
        ),
        (
            'by = "group"\nval = ["yuki"]\ntest = ["zoe"]',
            'by = "given"',
            "goes with split by 'given' of source 'wav', and by is 'given'",
        ),
        ("hop_length = 40\n", "", "[front_end] hop_length: is missing"),
        (
            "hop_length = 40",
            "hop_length = 101",
            "[front_end] hop_length = 101: hop_length is 101, expected 1 to frame_length (100)",
        ),
        (
            "n_mels = 20",
            "n_mels = 64\nf_max = 1000.0",
            "[front_end] n_mels = 64: mel band 2 is narrower than an FFT bin",
        ),
        (
            "n_mels = 20",
            "n_mels = 20\nn_fft = 100",
            "[front_end] n_fft = 100: n_fft is 100, expected a power of two",
        ),
        (
            'source = "wav"',
            'source = "npz"',
            "pattern = \"(?P<label>[a-z]+)_(?P<group>[a-z]+)_.*\": is for sources 'csv', "
            "'parquet' and 'wav', and source is 'npz'",
        ),
    ],
)
def test_configurations(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in SOUND
    (tmp_path / "c.toml").write_text(SOUND.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "c.toml")
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path}/c.toml:")
    assert len(str(caught.value).splitlines()) == 1


def test_the_section_goes_with_the_source(tmp_path: Path) -> None:
    front_end = SOUND[SOUND.index("[front_end]") : SOUND.index("[model]")]
    (tmp_path / "c.toml").write_text(SOUND.replace(front_end, ""))
    with pytest.raises(ConfigError, match="front_end: expected a section with sample_rate"):
        load_config(tmp_path / "c.toml")
    other = (
        SOUND.replace('"tones"', '"x.npz"')
        .replace('pattern = "(?P<label>[a-z]+)_(?P<group>[a-z]+)_.*"\n', "")
        .replace('"wav"', '"npz"')
    )
    (tmp_path / "c.toml").write_text(other)
    with pytest.raises(
        ConfigError, match="front_end: is for source 'wav', and source is 'npz'; remove the section"
    ):
        load_config(tmp_path / "c.toml")


def test_files_that_cannot_be_used(tones: Path, configure: Configure) -> None:
    config = configure(SOUND)
    for name, rate, samples, message in (
        (
            "low_ann_3",
            8000,
            500,
            r"low_ann_3.wav: holds 16-bit PCM, 1 channel, 8000 Hz; expected .*, 4000 Hz",
        ),
        ("low_ann_3", 4000, 99, r"low_ann_3.wav: is shorter than a frame \(100 samples\)"),
        (
            "low-ann-3",
            4000,
            500,
            r"low-ann-3.wav: the name 'low-ann-3' doesn't look like `pattern` in \[data\]",
        ),
    ):
        write_wav(tones / f"{name}.wav", np.zeros(samples), rate)
        with pytest.raises(DataError, match=message):
            load_data(config)
        (tones / f"{name}.wav").unlink()
    (tones / "low_ann_3.wav").write_bytes((tones / "low_ann_2.wav").read_bytes()[:700])
    with pytest.raises(
        DataError,
        match=r"low_ann_3.wav: is cut off: its header says \d+ samples, and there are 328",
    ):
        load_data(config)
    for file in tones.iterdir():
        file.unlink()
    with pytest.raises(
        DataError, match=r"tones: the folder has no \*.wav file; expected one per recording"
    ):
        load_data(config)
