"""Task "language": the text that is read, and configurations that are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_lstm import Config, load_data
from edge_lstm.data.characters import indices
from edge_lstm.data.recordings import Recording
from edge_lstm_runtime.errors import ConfigError, DataError
from edge_lstm_runtime.inputs.characters import UNKNOWN
from helpers.configs import CLASSIFY, LANGUAGE
from helpers.prose import decoded, write_prose

Configure = Callable[..., Config]


@pytest.fixture(autouse=True)
def prose(tmp_path: Path) -> str:
    return write_prose(tmp_path)


def test_text_is_reduced_and_cut_in_order(configure: Configure, prose: str) -> None:
    splits = load_data(configure(LANGUAGE))
    assert splits.classes == (UNKNOWN, *" aehmnorst")
    assert splits.channels == ("character",)
    parts = [decoded(splits.classes, part[0].x) for part in (splits.train, splits.val, splits.test)]
    assert "".join(parts) == prose
    assert [len(p) for p in parts[1:]] == [round(0.1 * len(prose)), round(0.15 * len(prose))]
    first = load_data(configure(LANGUAGE, data__first=100))
    assert (
        "".join(decoded(first.classes, part[0].x) for part in (first.train, first.val, first.test))
        == prose[:100]
    )
    assert first.fingerprint != splits.fingerprint


def test_what_training_does_not_know_is_the_unknown(configure: Configure, tmp_path: Path) -> None:
    (tmp_path / "prose.txt").write_text("ab" * 50 + "aébz")
    splits = load_data(configure(LANGUAGE, ("lower = true\n", ""), ('keep = "aehmnorst"\n', "")))
    assert splits.classes == (UNKNOWN, "a", "b")
    assert decoded(splits.classes, splits.test[0].x).endswith(f"a{UNKNOWN}b{UNKNOWN}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "prose.txt: there is no such file"),
        (b"", "has 0 characters, of those that `keep` leaves; expected a text"),
        (b"\xff\xfe\x00", "expected a text in UTF-8"),
        (b"a" * 100, "has one character, 'a', again and again"),
    ],
)
def test_a_text_that_is_none(
    content: bytes | None, message: str, configure: Configure, tmp_path: Path
) -> None:
    (tmp_path / "prose.txt").unlink()
    if content is not None:
        (tmp_path / "prose.txt").write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_data(configure(LANGUAGE))


def test_an_empty_text_is_not_the_fault_of_a_key_that_is_not_there(
    configure: Configure, tmp_path: Path
) -> None:
    (tmp_path / "prose.txt").write_text("")
    with pytest.raises(DataError, match="has 0 characters; expected a text"):
        load_data(configure(LANGUAGE, ('keep = "aehmnorst"\n', "")))


def test_indices_whatever_the_order_of_the_classes() -> None:
    text = np.array([[float(ord(c))] for c in "abcaz"])
    found = indices(Recording("t", "t", text), ("\0", "c", "a"))
    assert found.tolist() == [[2], [0], [1], [2], [0]]
    assert found.dtype == np.float64


def test_a_given_split_takes_validation_from_the_end_of_training(
    configure: Configure, tmp_path: Path, prose: str
) -> None:
    (tmp_path / "other.txt").write_text("that man")
    config = configure(
        LANGUAGE,
        ('path = "prose.txt"', 'train_path = "prose.txt"\ntest_path = "other.txt"'),
        ('by = "time"', 'by = "given"'),
        ("test = 0.15\n", ""),
    )
    splits = load_data(config)
    assert decoded(splits.classes, np.concatenate([splits.train[0].x, splits.val[0].x])) == prose
    assert decoded(splits.classes, splits.test[0].x) == "that man"


# --- configurations ---


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('task = "language"', 'task = "classify"', "expected 'language', for source 'text'"),
        (
            'source = "text"\npath = "prose.txt"\nlower = true\nkeep = "aehmnorst"',
            'source = "npz"\npath = "x.npz"',
            "expected 'text', for task 'language'",
        ),
        ("window = 7\n", "", "over which the gradient is followed back"),
        (
            "window = 7",
            "window = 7\nstride = 3",
            "stride = 3: is for sources 'aeon', .* and 'wav', and source is 'text'; remove it",
        ),
        ("window = 7", 'window = 7\nmissing = "ffill"', "is for sources .*, and source is 'text'"),
        ("window = 7", 'window = 7\nchannels = ["a"]', "is for sources .*, and source is 'text'"),
        ('by = "time"', 'by = "group"', "expected 'time'"),
        ("epochs = 2", "epochs = 2\ncarry = 1.0", "whose streams always carry their state"),
        (
            "epochs = 2",
            'epochs = 2\nmonitor = "rmse"',
            "expected one of loss, bits_per_character, perplexity",
        ),
        (
            "epochs = 2",
            "epochs = 2\nlabel_smoothing = 0.1",
            "is for tasks 'classify' and 'tag', and task is 'language'",
        ),
        ("hidden_size = 9", "hidden_size = 9\nbidirectional = true", "is for task 'classify'"),
        (
            "hidden_size = 9",
            "hidden_size = 9\nhorizon = 2",
            "is for tasks 'anomaly' and 'forecast'",
        ),
        (
            "num_layers = 2",
            'num_layers = 2\nembedding = 4\n[quantize]\nscheme = "int8"',
            "can't be with \\[quantize\\] or",
        ),
    ],
)
def test_contradictions_name_key_and_line(
    old: str, new: str, message: str, configure: Configure
) -> None:
    with pytest.raises(ConfigError, match=message):
        configure(LANGUAGE, (old, new))


def test_the_keys_of_text_are_refused_elsewhere(configure: Configure) -> None:
    for key, value in (("lower", True), ("keep", "abc"), ("first", 5)):
        with pytest.raises(
            ConfigError, match=f"{key} = .*is for source 'text', and source is 'csv'; remove it"
        ):
            configure(CLASSIFY, **{f"data__{key}": value})
    with pytest.raises(
        ConfigError,
        match="embedding = 3: is for task 'language', and task is 'classify'; remove it",
    ):
        configure(CLASSIFY, model__embedding=3)
