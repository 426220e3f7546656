"""A mistake in a configuration is one line: place, key, value and what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edge_lstm import load_config
from edge_lstm.config.load import toml_value
from edge_lstm.config.schema import Config
from edge_lstm_runtime.errors import ConfigError
from helpers.configs import CLASSIFY, FORECAST, LANGUAGE
from helpers.generated import PROPERTY

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "c.toml"
    path.write_text(text)
    return path


def line_of(text: str, start: str) -> int:
    return next(k for k, line in enumerate(text.splitlines(), start=1) if line.startswith(start))


@pytest.mark.parametrize(
    ("base", "old", "new", "at", "words"),
    [
        (
            CLASSIFY,
            "hidden_size = 6",
            "hidden_size = 0",
            "hidden_size",
            ["[model] hidden_size = 0", "greater than or equal to 1"],
        ),
        (
            CLASSIFY,
            "hidden_size = 6",
            "hiden_size = 6",
            "hiden_size",
            ["[model] has no key 'hiden_size'", "did you mean 'hidden_size'"],
        ),
        (
            CLASSIFY,
            "hidden_size = 6",
            "hidden_size = 6\nzzz = 1",
            "zzz",
            ["has no key 'zzz'", "known here: task, type, hidden_size"],
        ),
        (CLASSIFY, "[train]", "[trian]", "[trian]", ["'trian'", "did you mean 'train'"]),
        (
            CLASSIFY,
            "epochs = 2",
            'epochs = "2"',
            "epochs",
            ['[train] epochs = "2"', "valid integer"],
        ),
        (CLASSIFY, "epochs = 2", "epochs = true", "epochs", ["valid integer"]),
        (
            CLASSIFY,
            'val = ["s4"]',
            "val = 1.5",
            "val",
            ["[data.split] val = 1.5", "fraction between 0 and 1, or a list of groups"],
        ),
        (CLASSIFY, 'label = "activity"\n', "", "[data]", ["[data] label", "label column"]),
        (
            CLASSIFY,
            'by = "group"',
            'by = "time"',
            "val",
            ["names of groups are for split by 'group'"],
        ),
        (
            CLASSIFY,
            "hidden_size = 6",
            "hidden_size = 6\ndropout = 0.5",
            "dropout",
            ["between recurrent layers, and none of them reads another here"],
        ),
        (
            CLASSIFY,
            "epochs = 2",
            'epochs = 2\nmonitor = "mae"',
            "monitor",
            ["one of loss, accuracy, macro_f1"],
        ),
        (
            CLASSIFY,
            "hidden_size = 6",
            "hidden_size = 6\nhorizon = 2",
            "horizon",
            [
                "horizon = 2: is for tasks 'anomaly' and 'forecast', and task is 'classify'; "
                "remove it"
            ],
        ),
        (
            CLASSIFY,
            'label = "activity"',
            'label = "activity"\nstride = 3',
            "stride",
            ["without `window`"],
        ),
        (
            CLASSIFY,
            'path = "data.csv"',
            'path = "data.csv"\nname = "BasicMotions"',
            "name",
            ["is for source 'aeon'"],
        ),
        (
            CLASSIFY,
            "hidden_size = 6",
            "hidden_size = 6\nbidirectional = 1",
            "bidirectional",
            ["[model] bidirectional = 1", "boolean"],
        ),
        (
            CLASSIFY + "carry = 0.5\n",
            "hidden_size = 6",
            "hidden_size = 6\nbidirectional = true",
            "carry",
            ["[train] carry = 0.5: expected 0: a bidirectional model carries no state"],
        ),
        (
            CLASSIFY,
            "hidden_size = 6",
            "hidden_size = 6\nbidirectional = true\n[quantize]\nscheme = 'int8'",
            "scheme",
            ["no bidirectional"],
        ),
        (
            CLASSIFY,
            "[train]",
            "[quantize]\nscheme = 'int4'\n[train]",
            "scheme",
            ['[quantize] scheme = "int4"', "'int8'"],
        ),
        (
            CLASSIFY,
            "[train]",
            "[quantize]\nepoch = 1\n[train]",
            "epoch",
            ["[quantize] has no key 'epoch'", "did you mean 'epochs'"],
        ),
        (
            CLASSIFY,
            "[train]",
            "[quantize]\nlearning_rate = 0.1\n[train]",
            "[quantize]",
            ["[quantize] scheme", "is missing"],
        ),
        (
            FORECAST,
            "horizon = 3",
            "horizon = 3\nbidirectional = true",
            "bidirectional",
            ["is for task 'classify'", "read the future"],
        ),
        (
            FORECAST,
            "horizon = 3\n",
            "",
            "[model]",
            ["[model] horizon: is missing; expected the number of steps to forecast"],
        ),
        (FORECAST, 'targets = ["b"]', 'targets = ["c"]', "targets", ["'c' is not"]),
        (FORECAST, "test = 0.2", "test = 0.8", "test", ["val + test below 1, not 1"]),
        (CLASSIFY, "epochs = 2", "epochs = 2\nthreads = 1000000", "threads", ["equal to 1024"]),
        (FORECAST, "horizon = 3", "horizon = 0", "horizon", ["horizon = 0: expected a whole numb"]),
        (FORECAST, "horizon = 3", "horizon = 1000000000", "horizon", [", 1 to 100,000, or an asc"]),
        (FORECAST, "horizon = 3", "horizon = [6, 1]", "horizon", ["or an ascending list of them"]),
        (FORECAST, "horizon = 3", "horizon = [1, 1]", "horizon", ["or an ascending list of them"]),
        (FORECAST, "horizon = 3", "horizon = []", "horizon", ["or an ascending list of them"]),
        (
            FORECAST,
            "horizon = 3",
            "horizon = [1, 100001]",
            "horizon",
            ["1 to 100,000, or an"],
        ),
        (
            FORECAST,
            "horizon = 3",
            "horizon = 3\nquantiles = [0.1, 0.9]",
            "quantiles",
            ["expected ascending numbers, 0.5 among them"],
        ),
        (
            FORECAST,
            "horizon = 3",
            "horizon = 3\nquantiles = [0.5, 0.1]",
            "quantiles",
            ["expected ascending numbers, 0.5 among them"],
        ),
        (
            FORECAST,
            "[train]",
            'quantiles = [0.1, 0.5, 0.9]\n[train]\nloss = "mse"',
            "loss",
            ['loss = "mse": `quantiles` in [model] are learned by the pinball loss; remove one'],
        ),
        (FORECAST, "horizon = 3", "horizon = 3\nlow = 2\nhigh = 1", "low", ["less than `high`, 1"]),
        (
            FORECAST.replace('"forecast"', '"anomaly"'),
            "horizon = 3",
            "horizon = 3\nquantiles = [0.1, 0.5, 0.9]",
            "quantiles",
            ["a detector watches single forecasts; remove them"],
        ),
        (FORECAST, "window = 12", "window = 0", "window", ["window = 0"]),
        (FORECAST, 'source = "csv"', "source = 3", "source", ["source = 3: expected a valid str"]),
        (FORECAST, 'source = "csv"\n', "", "[data]", ["[data] source: is missing"]),
        (FORECAST, 'task = "forecast"', "task = 3", "task", ["task = 3: expected a valid string"]),
        (FORECAST, 'task = "forecast"\n', "", "[model]", ["[model] task: is missing"]),
        (
            FORECAST,
            'by = "time"',
            'by = "given"',
            "[data]",
            ["needs both `train_path` and `test_path`"],
        ),
    ],
)
def test_a_wrong_key_is_named_with_its_line(
    tmp_path: Path, base: str, old: str, new: str, at: str, words: list[str]
) -> None:
    text = base.replace(old, new)
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:{line_of(text, at)}: ")
    assert "\n" not in message
    for word in words:
        assert word in message


def test_a_syntax_error_keeps_line_and_column(tmp_path: Path) -> None:
    path = write(tmp_path, "[data]\nsource = \n")
    with pytest.raises(ConfigError, match=rf"{path}:2:10: not valid TOML"):
        load_config(path)


def test_a_byte_order_mark_is_read_over(tmp_path: Path) -> None:
    plain = load_config(write(tmp_path, CLASSIFY))
    path = tmp_path / "marked.toml"
    path.write_bytes(b"\xef\xbb\xbf" + CLASSIFY.encode())
    assert load_config(path) == plain
    path.write_bytes(CLASSIFY.encode("utf-16"))
    with pytest.raises(ConfigError, match=r"is not UTF-8 \(byte 0\); save it as UTF-8"):
        load_config(path)


@pytest.mark.parametrize("path", [r"C:\Users\me\a.csv", r"D:\data\new.csv", r"\\server\x\a.csv"])
def test_a_windows_path_in_double_quotes_is_explained(path: str, tmp_path: Path) -> None:
    text = CLASSIFY.replace('path = "data.csv"', f'path = "{path}"')
    with pytest.raises(ConfigError, match=r"in double quotes a backslash begins an escape: write "):
        load_config(write(tmp_path, text))
    right = load_config(write(tmp_path, text.replace(f'"{path}"', f"'{path}'")))
    assert right.data.paths == [path]


def test_values_nested_too_deeply(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="it is nested too deeply"):
        load_config(write(tmp_path, "a = " + "[" * 100_000))


@pytest.mark.parametrize("value", ["inf", "-inf", "nan"])
@pytest.mark.parametrize("key", ["weight_decay", "learning_rate", "warmup", "clip_norm", "carry"])
def test_a_number_that_is_not_finite_is_blamed_on_its_key(
    key: str, value: str, tmp_path: Path
) -> None:
    path = write(tmp_path, f"{CLASSIFY}{key} = {value}\n")
    last = len(path.read_text().splitlines())
    expected = rf":{last}: \[train\] {key} = {value}: expected a finite number$"
    with pytest.raises(ConfigError, match=expected):
        load_config(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing.toml: can't be read"):
        load_config(tmp_path / "nothing.toml")


def test_keys_of_an_inline_table_are_found_in_its_line(tmp_path: Path) -> None:
    text = CLASSIFY.replace(
        '[data.split]\nby = "group"\nval = ["s4"]\ntest = ["s5"]\n', ""
    ).replace('group = "subject"\n', 'group = "subject"\nsplit = { by = "grup" }\n')
    with pytest.raises(
        ConfigError,
        match=rf":{line_of(text, 'split')}: \[data.split\] by = \"grup\": expected 'time', "
        r"'group' or 'given'",
    ):
        load_config(write(tmp_path, text))


def test_overrides_take_the_place_of_values_and_are_blamed_by_name(tmp_path: Path) -> None:
    path = write(tmp_path, FORECAST)
    assert load_config(path, {"train.epochs": 7, "data.split.val": 0.1}).train.epochs == 7
    with pytest.raises(ConfigError, match=r"^--set train.epochs: \[train\] epochs = 0: expected"):
        load_config(path, {"train.epochs": 0})
    with pytest.raises(ConfigError, match=r"--set epochs: expected SECTION.KEY"):
        load_config(path, {"epochs": 3})
    with pytest.raises(ConfigError, match="did you mean 'epochs'"):
        load_config(path, {"train.epoch": 3})


@pytest.mark.parametrize(
    "base", [CLASSIFY, FORECAST, FORECAST + "[quantize]\nscheme = 'int8'\nepochs = 3\n"]
)
def test_what_is_written_back_reads_the_same(tmp_path: Path, base: str) -> None:
    config = load_config(write(tmp_path, base))
    (tmp_path / "again").mkdir()
    again = tmp_path / "again" / "c.toml"
    again.write_text(config.to_toml())
    assert load_config(again).to_dict() == config.to_dict()
    assert Config.from_dict(config.to_dict(), config.folder) == config


@settings(PROPERTY, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keep=TEXT, names=st.lists(TEXT, min_size=1, max_size=3, unique=True))
@example(keep="ab\U0001f600 ", names=["\x7f", '"\\u007f', "\x00\r\n\t\x1b\u2028"])
def test_any_text_that_is_written_back_reads_the_same(
    tmp_path: Path, keep: str, names: list[str]
) -> None:
    again = tmp_path / "again.toml"
    for base, changes in (
        (LANGUAGE, {"data.keep": keep}),
        (CLASSIFY, {"data.channels": [f"c{n}" for n in names], "data.label": f"l{keep}"}),
    ):
        config = load_config(write(tmp_path, base), changes)
        again.write_bytes(config.to_toml().encode())
        assert load_config(again) == config


def test_a_configuration_that_was_checked_cannot_be_changed(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, CLASSIFY))
    for section, key in ((config, "train"), (config.train, "epochs"), (config.data.split, "by")):
        with pytest.raises(ValueError, match="frozen"):
            setattr(section, key, 0)
    assert config.train.epochs == 2


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "epochs = 2",
            f"epochs = {'9' * 5000}",
            "not valid TOML: a whole number is beyond",
        ),
        ("epochs = 2", f"epochs = 0x{'f' * 4200}", r"\[train\] epochs = \.\.\.: expected a whole"),
        ("epochs = 2", f"epochs = {2**63}", "expected a whole number of 64 bits"),
        ("epochs = 2", f"epochs = 2\nseed = [1, [{-(2**63) - 1}]]", "seed = .* of 64 bits"),
        ("epochs = 2", f"epochs = 2\n{'a.' * 3000}a = 1", "nested too deeply"),
    ],
)
def test_an_endless_number_or_key_is_one_line(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    path = write(tmp_path, CLASSIFY.replace(old, new))
    with pytest.raises(ConfigError, match=words):
        load_config(path)


@pytest.mark.parametrize("value", ["9" * 5000, f"0x{'f' * 4200}", f"{10**30}"])
def test_an_endless_number_of_set_is_one_line(tmp_path: Path, value: str) -> None:
    path = write(tmp_path, CLASSIFY)
    with pytest.raises(ConfigError, match=r"--set train\.epochs: "):
        load_config(path, {"train.epochs": toml_value(value)})
    with pytest.raises(ConfigError, match="nested too deeply"):
        load_config(path, {"a." * 3000 + "a": 1})
