"""What `init` finds in single tables: how they are written, and what their columns are for."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from edge_lstm.config.load import load_config
from edge_lstm.data.load import load_data
from edge_lstm.guess.ask import Ask
from edge_lstm.guess.guessed import Guessed, guessed
from edge_lstm.guess.roles import Stated
from edge_lstm_runtime.errors import ConfigError, DataError, EdgeLstmError
from helpers.odd_tables import table, wave

AB = ("a", "b")


def init(path: Path, **stated: Any) -> Guessed:
    return guessed(path, path.parent / "out.toml", Stated(**stated), Ask(yes=True))


def keys(found: Guessed, *names: str) -> dict[str, Any]:
    """Those of [data] that were written, as they are, but for paths."""
    values = found.config.data.model_dump(exclude_unset=True)
    others = ("path", "source", "split", "window", "stride", "short", "season", "transforms")
    left_out = {*others, "calendar"} - {*names}
    return {key: value for key, value in values.items() if key not in left_out}


def at(i: int) -> str:
    return f"{datetime.datetime(2024, 5, 1) + datetime.timedelta(minutes=10 * i)}"


CASES: dict[str, tuple[str | bytes, dict[str, Any]]] = {
    "plain": (table(AB), {"channels": AB}),
    "no header": (
        table(()),
        {"columns": ("column_1", "column_2"), "channels": ("column_1", "column_2")},
    ),
    "one column": ("v\n" + "\n".join(wave(200)), {"channels": ("v",)}),
    "one column, decimal commas": (
        "v\n" + "\n".join(wave(200)).replace(".", ","),
        {"separator": ";", "decimal": ",", "channels": ("v",)},
    ),
    "tabs": (table(AB, separator="\t"), {"separator": "\t", "channels": AB}),
    "bars": (table(AB, separator="|"), {"separator": "|", "channels": AB}),
    "spaces": (table(AB, separator="   "), {"separator": " ", "channels": AB}),
    "semicolons, decimal commas, date and time": (
        table(
            ("Datum", "Uhrzeit", *AB),
            500,
            lambda i: f"{1 + i // 144:02d}.03.2024",
            lambda i: f"{i % 144 // 6:02d}:{i % 6}0",
            separator=";",
            decimal=",",
        ),
        {"separator": ";", "decimal": ",", "time": ("Datum", "Uhrzeit"), "channels": AB},
    ),
    "index column": (table(("", *AB), 300, lambda i: i), {"channels": AB}),
    "datetimes": (table(("t", *AB), 300, at), {"time": "t", "channels": AB}),
    "unix times": (
        table(("time", *AB), 300, lambda i: 1_700_000_000 + 60 * i),
        {"time": "time", "channels": AB},
    ),
    "milliseconds since 1970": (
        table(("stamp", *AB), 300, lambda i: 1_700_000_000_000 + 20 * i),
        {"time": "stamp", "time_unit": "ms", "channels": AB},
    ),
    "milliseconds by name": (
        table(("t_ms", *AB), 300, lambda i: 20 * i),
        {"time": "t_ms", "time_unit": "ms", "channels": AB},
    ),
    "day or month first: days in a row": (
        table(("day", *AB), 130, lambda i: f"{1 + i % 12:02d}/{1 + i // 12:02d}/2024"),
        {"time": "day", "time_format": "%d/%m/%Y", "channels": AB},
    ),
    "years of two digits": (
        table(("when", *AB), 300, lambda i: f"{1 + i // 24:02d}.03.24 {i % 24:02d}:00"),
        {"time": "when", "time_format": "%d.%m.%y %H:%M", "channels": AB},
    ),
    "dates in digits": (
        table(("date", *AB), 300, lambda i: f"2024{1 + i // 28:02d}{1 + i % 28:02d}"),
        {"time": "date", "time_format": "%Y%m%d", "channels": AB},
    ),
    "a clock set back": (
        table(("time", *AB), 300, lambda i: i if i != 50 else 20),
        {"time": "time", "time_back": "keep", "channels": AB},
    ),
    "time stands still": (table(("time", *AB), 300, lambda _: 7), {"channels": AB}),
    "a time is missing": (
        table(("t", *AB), 300, lambda i: at(i) if i != 7 else "n/a"),
        {"channels": AB},
    ),
    "lines before the header": (
        "Logger 5\nserial: 3\n\n" + table(AB),
        {"skip_rows": 3, "channels": AB},
    ),
    "comments": ("# Logger 5\n# b\n" + table(AB), {"comment": "#", "channels": AB}),
    "header in a comment": (
        "# a,b\n" + table(()),
        {"columns": AB, "comment": "#", "channels": AB},
    ),
    "latin-1": (
        table(("Größe", "b")).encode("latin-1"),
        {"encoding": "cp1252", "channels": ("Größe", "b")},
    ),
    "utf-16": (table(("Größe", "b")).encode("utf-16"), {"channels": ("Größe", "b")}),
    "utf-16 without its mark": (
        table(AB).encode("utf-16-le"),
        {"encoding": "utf-16-le", "channels": AB},
    ),
    "a byte order mark": (table(AB).encode("utf-8-sig"), {"channels": AB}),
    "separators at the end": (
        "a,b,\n" + table(()).replace("\n", ",\n"),
        {"channels": AB},
    ),
    "a word for missing": (
        table(AB).replace("\n0.", "\nfehlt0.", 3).replace("fehlt0.", "fehlt,0.").replace(
            "fehlt,0.", "0."
        )
        + "fehlt,1\nfehlt,2\n0.5,0.5\n",
        {"missing": "ffill", "missing_values": ("fehlt",), "channels": AB},
    ),
    "a code for missing": (
        table(AB) + "-9999,1\n-9999,2\n0.5,0.5\n",
        {"missing": "ffill", "missing_values": (-9999,), "channels": AB},
    ),
    "constant": (table(("c", *AB), 300, lambda _: 5), {"channels": AB}),
    "mostly missing": (
        table(("c", *AB), 300, lambda i: i if i % 3 == 0 else "NA"),
        {"channels": AB},
    ),
    "text": (table(("c", *AB), 300, lambda i: f"note {i}"), {"channels": AB}),
    "names with quotes": (
        table(('"a ""x"""', "it's \\d")),
        {"channels": ('a "x"', "it's \\d")},
    ),
    "a name twice": ("x,x,y,z\n" + table((), 300, lambda i: i % 7, lambda i: i % 3), {
        "channels": ("y", "z")}),
    "numbers for names": (
        table(("0", "1", "2"), 300, lambda i: f"{i % 9}.5"),
        {"channels": ("0", "1", "2")},
    ),
    "classes that change": (
        table(("activity", *AB), 900, lambda i: ("sit", "walk")[i // 30 % 2]),
        {"label": "activity", "channels": AB},
    ),
    "classes without a name for them": (
        table(("what", *AB), 900, lambda i: ("sit", "walk")[i // 30 % 2]),
        {"label": "what", "channels": AB},
    ),
    "classes in numbers": (
        table((*AB, "c")[::-1], 900, lambda i: i // 30 % 2).replace("c,", "state,", 1),
        {"label": "state", "channels": ("b", "a")},
    ),
    "blank classes": (
        table(("label", *AB), 900, lambda i: "" if i < 20 else "xy"[i // 30 % 2]),
        {"label": "label", "channels": AB},
    ),
    "x, y and z": (
        table(("z", "x", "y"), 300, lambda i: f"{i % 11}.25"),
        {"channels": ("z", "x", "y")},
    ),
    "groups": (
        table(
            ("subject", "activity", *AB),
            900,
            lambda i: f"p{i // 90}",
            lambda i: "ab"[i // 90 % 2],
        ),
        {"label": "activity", "group": "subject", "channels": AB},
    ),
    "times that begin again tell the groups": (
        table(("t", "where", *AB), 900, lambda i: i % 90, lambda i: f"q{i // 90}"),
        {"time": "t", "group": "where", "channels": AB},
    ),
    "a count that begins anew tells the groups": (
        table((), 900, lambda i: i // 90, lambda i: i % 90),
        {
            "columns": ("column_1", "column_2", "column_3", "column_4"),
            "group": "column_1",
            "channels": ("column_3", "column_4"),
        },
    ),
    "a column of answers": (
        table(("unit", "rul", *AB), 900, lambda i: i // 90, lambda i: 90 - i % 90),
        {"group": "unit", "channels": AB},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_is_found_is_what_is_there(name: str, tmp_path: Path) -> None:
    text, expected = CASES[name]
    path = tmp_path / "plant.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    found = init(path)
    assert keys(found) == expected
    # What is written is read again, and by training too.
    (tmp_path / "again.toml").write_text(found.text, "utf-8")
    again = load_config(tmp_path / "again.toml")
    assert again == found.config
    assert load_data(again).fingerprint == found.splits.fingerprint


TASKS = {
    "plain": "forecast",
    "classes that change": "tag",
    "groups": "classify",
    "a column of answers": "regress",
}


@pytest.mark.parametrize("name", TASKS)
def test_the_task_follows_from_the_columns(name: str, tmp_path: Path) -> None:
    path = tmp_path / "plant.csv"
    path.write_text(str(CASES[name][0]))
    assert init(path).config.model.task == TASKS[name]


REFUSED = {
    "empty": ("", "the file is empty"),
    "blank lines": ("\n\n\n", "no separator cuts it into columns"),
    "a header alone": ("a,b,c\n", "the file has no rows"),
    "text alone": ("a,b\n" + "x,y\n" * 50, "to learn from: 'a' (no numbers), 'b' (no numbers)"),
    "constants alone": ("a,b\n" + "1,2\n" * 50, "'a' (never changes), 'b' (never changes)"),
    "a name twice": (
        "t,a,a\n" + "".join(f"{i},{i % 7},{i % 5}\n" for i in range(300)),
        "no column has numbers to learn from: 't', 'a' (is there twice)",
    ),
    "only NaN": ("a,b\n" + "nan,nan\n" * 50, "no column has numbers"),
    "two rows": ("a,b\n1,2\n2,1\n", "the val split is empty"),
    "rows of different lengths": ("a,b\n" + "1\n1,2\n1,2,3\n" * 20, "no separator cuts it"),
    "a row that is too long": (table(AB) + "1,2,3\n" + "1,2\n" * 9, "line 302 has 3 cells"),
    "bytes": (bytes(range(256)) * 9, "is no text: it has NUL bytes"),
    "names twice": (table(("a", "a")), "has each of its columns twice"),
    "an inf": (table(AB) + "inf,1\n1,2\n", "column 'a', row 301: the value is inf"),
    "an escape in a name": (table(("a\x1b[2J", "b")), "has a control character"),
    "huge": (table(AB) + "1e308,1\n1,2\n", "is 1e+308, more than 1e+30 standard deviations"),
    "a class at the end alone": (
        table(("label", *AB), 900, lambda i: "x" if i < 890 else "y"),
        "class 'y' is in the test split and not in training",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_t_be_learned_is_told_in_one_line(name: str, tmp_path: Path) -> None:
    text, said = REFUSED[name]
    path = tmp_path / "plant.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(EdgeLstmError) as caught:
        init(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_hundred_classes_are_taken_if_the_user_says_so(tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    names = ("take", "label", *AB)
    path.write_text(table(names, 6000, lambda i: i // 10, lambda i: f"c{i // 10 % 200}"))
    assert init(path).config.model.task == "forecast"
    found = init(path, label="label", group="take")
    assert found.config.model.task == "classify"
    assert len(found.splits.classes) == 200


def test_what_the_user_states_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "plant.csv"
    path.write_text(table(("t", "state", *AB), 900, lambda i: i, lambda i: i // 30 % 2))
    found = init(path, targets=("a",), horizon=(1, 7), time=(), label="none")
    assert found.config.model.model_dump(exclude_unset=True) | {} == {
        "task": "forecast",
        "targets": ("a",),
        "horizon": (1, 7),
        "quantiles": (0.05, 0.5, 0.95),
        "residual": True,
        "hidden_size": 32,
    }
    assert found.config.data.model_dump(exclude_unset=True).get("time") is None
    regress = init(path, task="regress", targets=("b",), channels=("a",))
    assert regress.config.model.target_columns == ("b",)
    assert regress.splits.channels == ("a",)
    with pytest.raises(ConfigError, match="there is no column 'c'; the columns are t, state, a, b"):
        init(path, targets=("c",))
    with pytest.raises(ConfigError, match="unknown task 'tagg'; did you mean 'tag'"):
        init(path, task="tagg")
    with pytest.raises(DataError, match="task 'language': the data is no plain text"):
        init(path, task="language")


def test_a_season_and_the_calendar_are_found(tmp_path: Path) -> None:
    """Three weeks of hours, quiet on Saturdays and Sundays."""
    rng = np.random.default_rng(0)
    hours = np.arange(24 * 56)
    level = np.where(hours // 24 % 7 >= 5, 1.0, 3.0) * (1.5 + np.sin(hours * 2 * np.pi / 24))
    values = 10 * level + rng.normal(size=len(hours))
    begin = datetime.datetime(2024, 1, 1)
    lines = [f"{begin + datetime.timedelta(hours=int(h))},{v:.2f}" for h, v in zip(hours, values)]  # noqa: B905
    path = tmp_path / "load.csv"
    path.write_text("\n".join(["time,load", *lines]))
    found = init(path)
    assert found.config.data.season == 24
    written = found.config.data.model_dump(exclude_unset=True)
    assert written["calendar"] == {"parts": ("hour", "weekday")}
    (difference,) = (t for t in written["transforms"] if t["type"] == "difference")
    assert difference["lag"] == (1, 24, 168)
    assert (
        'time = "time"                 # one row every hour: the median of 1,343 diff' in found.text
    )
    assert "# 0." in found.text  # the autocorrelation


def test_a_channel_that_tells_the_class_stands_alone(tmp_path: Path) -> None:
    """The other one drifts: it is higher in training than in validation, whatever the class."""
    rng = np.random.default_rng(0)
    rows = 3000
    state = np.arange(rows) // 50 % 2
    light = 100 * state + rng.normal(size=rows)
    warm = np.linspace(0, 50, rows) + 3 * state + rng.normal(size=rows)
    path = tmp_path / "room.csv"
    lines = [f"{a:.2f},{b:.2f},{s}" for a, b, s in zip(light, warm, state)]  # noqa: B905
    path.write_text("\n".join(["light,warm,occupancy", *lines]))
    found = init(path)
    assert found.splits.channels == ("light",)
    assert "on validation a linear model of the row is right in 100.0% with them" in found.text


def test_parquet_is_found_with_its_own_types(tmp_path: Path) -> None:
    rows = 900
    frame = pl.DataFrame(
        {
            "when": pl.datetime_range(
                datetime.datetime(2024, 1, 1),
                interval="1m",
                end=datetime.datetime(2024, 1, 1, 14, 59),
                eager=True,
            ),
            "a": [float(v) for v in wave(rows)],
            "on": [(i // 30 % 2 == 0) != (i % 90 == 7) for i in range(rows)],
            "label": ["sit" if i // 30 % 2 else "walk" for i in range(rows)],
            "parts": [[1, 2]] * rows,
        }
    )
    frame.write_parquet(tmp_path / "a.parquet")
    found = init(tmp_path / "a.parquet")
    assert found.config.data.source == "parquet"
    assert keys(found) == {"time": "when", "label": "label", "channels": ("on",)}
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="can't be read as parquet"):
        init(tmp_path / "bad.parquet")


def test_a_column_that_stands_for_the_classes_is_no_input_and_no_group(tmp_path: Path) -> None:
    noise = iter(np.random.default_rng(0).normal(size=10_000))
    lines = [
        f"s{person},{next(noise):.3f},{next(noise):.3f},{k + 1},{name},{10 - 3 * k}"
        for person in range(12)
        for k, name in enumerate(("walk", "sit", "run"))
        for _ in range(60)
    ]
    path = tmp_path / "data.csv"
    path.write_text("\n".join(["subject,ax,ay,activity_id,activity,code", *lines]))
    found = init(path)
    assert keys(found) == {"channels": ("ax", "ay"), "label": "activity", "group": "subject"}
    assert "# Left out: activity_id, code (the same as activity, in other words)." in found.text
    told = init(path, channels=("ax", "code"))  # the user knows best
    assert told.config.data.named_channels == ("ax", "code")


def test_a_column_that_gives_the_answer_away_is_no_input(tmp_path: Path) -> None:
    noise = iter(np.random.default_rng(0).normal(size=10_000))
    lines = [
        f"{unit},{i},{next(noise) + i / 50:.3f},{119 - i},{2 * (119 - i) + 1}"
        for unit in range(12)
        for i in range(120)
    ]
    path = tmp_path / "data.csv"
    path.write_text("\n".join(["unit,cycle,wear,rul,hours_to_go", *lines]))
    found = init(path)
    assert (found.config.model.task, found.config.data.named_channels) == ("regress", ("wear",))
    assert "without hours_to_go, the same values as rul but for unit and offset" in found.text
    told = init(path, channels=("wear", "hours_to_go"))
    assert told.config.data.named_channels == ("wear", "hours_to_go")


def test_no_stated_input_is_left_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    state = np.arange(3000) // 50 % 2
    light = 100 * state + rng.normal(size=3000)
    warm = np.linspace(0, 50, 3000) + rng.normal(size=3000)
    path = tmp_path / "room.csv"
    lines = [f"{a:.2f},{b:.2f},{s}" for a, b, s in zip(light, warm, state, strict=True)]
    path.write_text("\n".join(["light,warm,occupancy", *lines]))
    assert init(path).config.data.named_channels == ("light",)
    assert init(path, channels=("light", "warm")).config.data.named_channels == ("light", "warm")


def test_columns_that_a_file_lacks_are_named(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    for name, other in (("1", "b"), ("2", "c")):
        rows = "".join(f"{i % 7},{i % 5}\n" for i in range(300))
        (tmp_path / "logs" / f"{name}.csv").write_text(f"a,{other}\n{rows}")
    assert "# Left out: b, c (not in every file)." in init(tmp_path / "logs").text
