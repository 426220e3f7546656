"""`known`: channels for the values of later rows, such as a weather forecast."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_lstm import Config, load_config, load_data, load_run, train
from edge_lstm.data.load import Sequence, make_spec
from edge_lstm.results.answers import answers as of_trainer
from edge_lstm_export.insight.recording import read_recording
from edge_lstm_runtime import cli
from edge_lstm_runtime.errors import ConfigError
from helpers.configs import CLASSIFY, FORECAST

Configure = Callable[..., Config]
KNOWN = ("window = 12", 'known = ["a"]\nwindow = 12')


@pytest.mark.usefixtures("forecast_csv")
def test_the_steps_are_those_that_are_forecast(configure: Configure) -> None:
    """a counts the rows, 200 of them, and the splits begin at rows 120 and 160."""
    config = configure(FORECAST, KNOWN, model__horizon=[1, 24])
    splits = load_data(config)
    assert splits.channels == ("a", "b", "a+1", "a+24")
    assert make_spec(config, splits).inputs.channels == splits.channels
    (train_split,) = splits.train
    (test,) = splits.test
    assert train_split.x[-1, [0, 2, 3]].tolist() == [119, 120, 143]  # over the border
    assert test.x[0, [0, 2, 3]].tolist() == [160, 161, 184]
    # Past the end the last value stays.
    assert test.x[-3:, [0, 2, 3]].tolist() == [[197, 198, 199], [198, 199, 199], [199, 199, 199]]
    np.testing.assert_array_equal(test.x[:, 1], load_data(configure(FORECAST)).test[0].x[:, 1])
    assert load_data(configure(FORECAST, KNOWN)).channels == ("a", "b", "a+1", "a+2", "a+3")


def test_each_recording_has_its_own_end_and_gaps_stay(configure: Configure, tmp_path: Path) -> None:
    rows = ["g,t,a,b", "x,0,1,5", "x,1,,6", "x,2,3,7", "x,3,,8", "y,0,40,9", "y,1,50,9"]
    (tmp_path / "data.csv").write_text("\n".join(rows) + "\n")
    config = configure(
        FORECAST,
        KNOWN,
        data__group="g",
        data__time="t",
        data__dt=True,
        data__missing="ffill",
        data__known_ahead=[2],
    )
    found = config.data.read(config.asked)
    assert config.data.inputs(config.asked, 4) == ("a", "b", "a+2", "dt")
    np.testing.assert_array_equal(
        found[0].x, [[1, 5, 3, 0], [np.nan, 6, np.nan, 1], [3, 7, 3, 1], [np.nan, 8, 3, 1]]
    )
    np.testing.assert_array_equal(found[1].x, [[40, 9, 50, 0], [50, 9, 50, 1]])


@pytest.mark.usefixtures("classify_csv")
def test_another_task_names_the_steps(configure: Configure) -> None:
    config = configure(CLASSIFY, data__known=["b"], data__known_ahead=[3])
    first = load_data(config).train[0].x
    np.testing.assert_array_equal(first[:-3, 2], first[3:, 1])
    with pytest.raises(ConfigError) as caught:
        configure(CLASSIFY, data__known=["b"])
    assert str(caught.value).endswith(
        "[data] known_ahead: expected the steps ahead, because task 'classify' has no `horizon`"
    )


@pytest.mark.usefixtures("forecast_csv")
def test_a_run_streams_with_these_channels(
    configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The answers of `edge-lstm run` to lines with a+3 are those of the trainer."""
    run = train(configure(FORECAST, KNOWN, data__known_ahead=[3]), tmp_path / "run", quiet=True)
    again = load_config(run.path / "config.toml")
    assert (again.data.known, again.data.known_ahead) == (("a",), (3,))
    assert load_run(run.path).spec.inputs.names == ("a", "b", "a+3")
    assert cli.main(["export", str(run.path), "--no-npu", "-o", str(tmp_path / "m.edge")]) == 0
    plain = tmp_path / "plain.csv"
    plain.write_text("a,b\n1,0.5\n2,0.25\n3,0.125\n4,0.5\n")
    assert read_recording(run, plain).x[:, 2].tolist() == [4, 4, 4, 4]  # it looks ahead itself
    lines = tmp_path / "lines.csv"
    lines.write_text("a,b,a+3\n1,0.5,4\n2,0.25,4\n")
    capsys.readouterr()
    asked = ["run", str(tmp_path / "m.edge"), "--input", str(lines)]
    # "auto" may take native-int8, whose answers are others.
    assert cli.main([*asked, "--backend", "numpy"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    found = [answer["forecast"]["b"] for answer in answers]
    x = np.array([[1, 0.5, 4], [2, 0.25, 4]])
    (expected,) = of_trainer(run.model, [Sequence("lines", "lines", x)])
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"known": ["c"]},
            "expected names among the channels ['a', 'b'], each once, and 'c' is not",
        ),
        ({"known": ["a", "a"]}, "expected names among the channels ['a', 'b'], each once"),
        ({"known": ["b"]}, "expected no target, and the future of 'b' is asked"),
        ({"known": ["a"], "known_ahead": [2, 2]}, "expected each step once"),
        ({"known_ahead": [2]}, "has no meaning without `known`; add `known`, or remove it"),
        (
            {"known": ["a"], "channels": ["a", "b", "a+2"]},
            "makes a channel 'a+2', and there is one of this name",
        ),
    ],
)
def test_mistakes_are_told_before_the_data_is_read(
    configure: Configure, changes: dict[str, object], expected: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        configure(FORECAST, **{f"data__{key}": value for key, value in changes.items()})
    assert str(caught.value).endswith(f": {expected}")
    assert "\n" not in str(caught.value)


def test_targets_must_be_named(configure: Configure) -> None:
    with pytest.raises(ConfigError) as caught:
        configure(FORECAST, KNOWN, ('targets = ["b"]\n', ""))
    assert str(caught.value).endswith(
        "[model] targets: is missing; expected names: `known` in [data] makes further channels, "
        "which are not to be forecast"
    )


def test_a_source_without_a_table_has_no_such_key(configure: Configure) -> None:
    with pytest.raises(ConfigError, match=r"known .*: is for sources 'csv' and 'parquet', and"):
        configure(FORECAST, ('"csv"', '"npz"'), KNOWN)
