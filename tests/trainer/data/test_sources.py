"""Sources: what is read is what was written, and bad data is refused with its place."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from edge_lstm import load_config, load_data
from edge_lstm.config.schema import Config
from edge_lstm.data.load import Splits
from edge_lstm_runtime.errors import DataError
from helpers.configs import CLASSIFY, FORECAST

Configure = Callable[..., Config]
COLUMNS = 'label = "activity"\ngroup = "subject"\n'  # which tables have


def edit(path: Path, row: int, old: str, new: str) -> None:
    """Replace text in a row, counted from 1, the header not included."""
    lines = path.read_text().splitlines()
    assert old in lines[row]
    lines[row] = lines[row].replace(old, new, 1)
    path.write_text("\n".join(lines) + "\n")


def rows_of(splits: Splits) -> int:
    return sum(len(s.x) for part in (splits.train, splits.val, splits.test) for s in part)


def test_csv_with_groups_and_labels(classify_csv: Path, configure: Configure) -> None:
    splits = load_data(configure(CLASSIFY))
    assert splits.classes == ("rest", "walk")
    assert [(s.name, s.group, len(s.x), s.label) for s in splits.test] == [
        ("data:s5[0:20]", "s5", 20, 1),
        ("data:s5[20:35]", "s5", 15, 0),
    ]
    written = pl.read_csv(classify_csv).filter(pl.col("subject") == "s5")
    np.testing.assert_array_equal(
        np.concatenate([s.x for s in splits.test]), written["a", "b"].to_numpy()
    )
    assert {s.group for s in splits.train} == {"s1", "s2", "s3"}


def test_a_folder_of_recordings_and_parquet_give_the_same(
    classify_csv: Path, configure: Configure, tmp_path: Path
) -> None:
    frame = pl.read_csv(classify_csv)
    for suffix in ("csv", "parquet"):
        (tmp_path / suffix).mkdir()
        for (subject,), part in frame.partition_by(
            "subject", as_dict=True, maintain_order=True
        ).items():
            write = part.write_csv if suffix == "csv" else part.write_parquet
            write(tmp_path / suffix / f"{subject}.{suffix}")
    one_file = load_data(configure(CLASSIFY))
    found = [
        load_data(
            configure(
                CLASSIFY,
                ('"csv"', f'"{suffix}"'),
                ('path = "data.csv"', f'path = "{suffix}"'),
                ('group = "subject"\n', ""),
            )
        )
        for suffix in ("csv", "parquet")
    ]
    assert found[0].fingerprint == found[1].fingerprint
    for mine, theirs in zip(one_file.train, found[0].train, strict=True):
        np.testing.assert_array_equal(mine.x, theirs.x)
    assert [s.name for s in found[0].test] == ["s5[0:20]", "s5[20:35]"]


def test_space_separated_without_a_header(configure: Configure, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text(
        "".join(f"{unit} {t}   {unit + t / 10:.1f}  \n" for unit in (1, 2, 3) for t in range(10))
    )
    config = configure(
        FORECAST,
        (
            'channels = ["a", "b"]',
            'channels = ["s"]\ncolumns = ["unit", "t", "s"]\nseparator = " "\ngroup = "unit"\n'
            'time = "t"',
        ),
        ('targets = ["b"]\n', ""),
        ('by = "time"\nval = 0.2\ntest = 0.2', 'by = "group"\nval = [2]\ntest = [3]'),
        ("window = 12\nstride = 6\n", ""),
    )
    splits = load_data(config)
    assert [s.group for s in (*splits.train, *splits.val, *splits.test)] == ["1", "2", "3"]
    np.testing.assert_allclose(splits.test[0].x[:, 0], 3 + np.arange(10) / 10)


def test_npz_padded_and_flat_give_the_same(configure: Configure, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lengths = np.array([5, 7, 6, 4, 7, 5])
    cases = [rng.normal(size=(n, 2)) for n in lengths]
    padded = np.zeros((6, 7, 2))
    for k, case in enumerate(cases):
        padded[k, : len(case)] = case
    y = np.array(["x", "y"] * 3)
    found = []
    for x in (padded, np.concatenate(cases)):
        np.savez(tmp_path / "data.npz", x=x, lengths=lengths, y=y)
        text = (
            CLASSIFY.replace('"csv"', '"npz"').replace("data.csv", "data.npz").replace(COLUMNS, "")
        )
        groups = (
            ('val = ["s4"]', 'val = ["data:0", "data:1"]'),
            ('test = ["s5"]', 'test = ["data:2", "data:5"]'),
        )
        found.append(load_data(configure(text, *groups)))
    assert found[0].fingerprint == found[1].fingerprint
    np.testing.assert_array_equal(found[0].test[1].x, cases[5])
    assert rows_of(found[0]) == lengths.sum()


def test_a_ts_file(configure: Configure, tmp_path: Path) -> None:
    header = (
        "@problemName t\n@timeStamps false\n@missing false\n@univariate false\n@dimensions 2\n"
        "@equalLength false\n"
    )
    header += "@classLabel true 1 2\n@data\n"
    for part in ("TRAIN", "TEST"):
        (tmp_path / f"t_{part}.ts").write_text(header + "1,2,3:4,5,6:1\n7,8:9,10:2\n" * 3)
    config = configure(
        CLASSIFY,
        ('"csv"', '"ts"'),
        ('path = "data.csv"', 'train_path = "t_TRAIN.ts"\ntest_path = "t_TEST.ts"'),
        (COLUMNS, ""),
        ('by = "group"\nval = ["s4"]\ntest = ["s5"]', 'by = "given"\nval = 0.34'),
    )
    splits = load_data(config)
    assert splits.classes == ("1", "2")
    np.testing.assert_array_equal(splits.test[0].x, [[1, 4], [2, 5], [3, 6]])
    np.testing.assert_array_equal(splits.test[1].x, [[7, 9], [8, 10]])
    assert (len(splits.train), len(splits.val), len(splits.test)) == (4, 2, 6)
    assert sorted(s.label for s in splits.val if s.label is not None) == [0, 1]


def test_paths_are_looked_for_beside_the_file_and_in_the_data_folder(
    classify_csv: Path, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EDGE_LSTM_DATA", raising=False)
    config = configure(CLASSIFY)
    here = load_data(config).fingerprint
    (tmp_path / "elsewhere").mkdir()
    classify_csv.rename(tmp_path / "elsewhere" / "data.csv")
    with pytest.raises(
        DataError, match=r"data.csv: there is no such file or folder.*EDGE_LSTM_DATA .*not set"
    ):
        load_data(config)
    monkeypatch.setenv("EDGE_LSTM_DATA", str(tmp_path / "elsewhere"))
    assert load_data(config).fingerprint == here
    monkeypatch.setenv("EDGE_LSTM_DATA", str(tmp_path / "wrong"))
    with pytest.raises(DataError, match=f"{tmp_path}/data.csv and {tmp_path}/wrong/data.csv"):
        load_data(config)


@pytest.mark.parametrize(
    ("cell", "text", "words"),
    [
        (2, "oops", ["data.csv: column 'a', row 3: 'oops' is no number", "correct the cell"]),
        (2, "inf", ["column 'a', row 3", "inf", "expected a number"]),
        (1, "", ["label column 'activity', row 3", "no label"]),
    ],
)
def test_a_bad_cell_is_named_with_its_row(
    classify_csv: Path, configure: Configure, cell: int, text: str, words: list[str]
) -> None:
    lines = classify_csv.read_text().splitlines()
    cells = lines[3].split(",")
    cells[cell] = text
    lines[3] = ",".join(cells)
    classify_csv.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError) as caught:
        load_data(configure(CLASSIFY))
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("blank", ["", "NaN", "NA", "null", " "])
def test_a_blank_is_refused_or_kept_as_nan_by_the_policy(
    forecast_csv: Path, configure: Configure, blank: str
) -> None:
    edit(forecast_csv, 6, "5,", f"{blank},")
    with pytest.raises(
        DataError,
        match=r"column 'a', row 6: the value is missing \(NaN\).*missing = 'ffill' or 'mask'",
    ):
        load_data(configure(FORECAST))
    for policy in ("ffill", "mask"):
        splits = load_data(configure(FORECAST, data__missing=policy))
        assert np.isnan(splits.train[0].x).sum() == 1
        assert np.isnan(splits.train[0].x[5, 0])


def test_inf_is_refused_whatever_the_policy(forecast_csv: Path, configure: Configure) -> None:
    edit(forecast_csv, 6, "5,", "-inf,")
    with pytest.raises(DataError, match="column 'a', row 6: the value is inf"):
        load_data(configure(FORECAST, data__missing="mask"))


@pytest.mark.usefixtures("classify_csv")
def test_missing_columns_are_named_with_the_nearest(configure: Configure) -> None:
    for old, new, key in (
        ('["a", "b"]', '["a", "bb"]', "bb"),
        ('"activity"', '"activty"', "activty"),
        ('"subject"', '"subjet"', "subjet"),
    ):
        with pytest.raises(
            DataError,
            match=rf"no column '{key}' .*did you mean .*the columns are subject, activity, a, b",
        ):
            load_data(configure(CLASSIFY, (old, new)))


@pytest.mark.parametrize("content", ["", "\n\n", "subject,activity,a,b\n"])
def test_an_empty_file(classify_csv: Path, configure: Configure, content: str) -> None:
    classify_csv.write_text(content)
    with pytest.raises(DataError, match="the file is empty"):
        load_data(configure(CLASSIFY))


def test_an_empty_folder(configure: Configure, tmp_path: Path) -> None:
    (tmp_path / "data.csv").mkdir()
    with pytest.raises(DataError, match=r"the folder has no \*.csv file"):
        load_data(configure(CLASSIFY))


@pytest.mark.parametrize("suffix", ["parquet", "npz", "ts"])
@pytest.mark.parametrize("content", [b"", b"garbage\x00\xff"])
def test_a_file_that_is_not_what_it_says(
    configure: Configure, tmp_path: Path, suffix: str, content: bytes
) -> None:
    (tmp_path / "data.csv").write_bytes(content)
    text = CLASSIFY.replace('"csv"', f'"{suffix}"')
    if suffix != "parquet":
        text = text.replace(COLUMNS, "")
    with pytest.raises(DataError, match=r"can't be read as|the file is empty"):
        load_data(configure(text))


def test_a_ragged_csv(forecast_csv: Path, configure: Configure) -> None:
    edit(forecast_csv, 6, "5,", "5,5,")
    with pytest.raises(DataError, match=r"line 7 has 3 cells, and the header \(line 1\) 2"):
        load_data(configure(FORECAST))


@pytest.mark.parametrize(
    "stamps",
    [["3", "4", "4"], ["2024-01-01 00:00:00", "2024-01-01 00:05:00", "2023-12-31 23:00:00"]],
)
def test_time_must_increase(configure: Configure, tmp_path: Path, stamps: list[str]) -> None:
    (tmp_path / "data.csv").write_text(
        "t,a,b\n" + "".join(f"{t},{k},{k}\n" for k, t in enumerate(stamps))
    )
    config = configure(FORECAST, ('channels = ["a", "b"]', 'channels = ["a", "b"]\ntime = "t"'))
    with pytest.raises(
        DataError, match=rf"time column 't', row 3: {stamps[2]} comes after {stamps[1]}"
    ):
        load_data(config)
    kept = load_data(
        configure(
            FORECAST,
            ('channels = ["a", "b"]', 'channels = ["a", "b"]\ntime = "t"\ntime_back = "keep"'),
        )
    )
    assert rows_of(kept) == 3


def test_a_time_that_is_none(configure: Configure, tmp_path: Path) -> None:
    for stamps, row in (
        (["1", "later", "3"], 2),
        (["soon", "later", "x"], 1),
        (["2024-01-01 00:00", "2024-01-01 00:05", ""], 3),
    ):
        (tmp_path / "data.csv").write_text(
            "t,a,b\n" + "".join(f"{t},{k},{k}\n" for k, t in enumerate(stamps))
        )
        with pytest.raises(DataError, match=rf"time column 't', row {row}: "):
            load_data(
                configure(FORECAST, ('channels = ["a", "b"]', 'channels = ["a", "b"]\ntime = "t"'))
            )


def test_an_unknown_aeon_name_lists_what_there_is(configure: Configure) -> None:
    text = (
        CLASSIFY.replace('"csv"', '"aeon"')
        .replace('path = "data.csv"', 'name = "BasicMotion"')
        .replace('channels = ["a", "b"]\n', "")
    )
    with pytest.raises(
        DataError,
        match=r"no data set 'BasicMotion'; did you mean 'BasicMotions'\? expected one of "
        ".*BasicMotions.*JapaneseVowels",
    ):
        load_data(configure(text, (COLUMNS, "")))


def test_the_fingerprint_notices_one_value(forecast_csv: Path, configure: Configure) -> None:
    config = configure(FORECAST)
    splits = load_data(config)
    before = splits.fingerprint
    assert splits.fingerprint is before, "hashed again"
    assert load_data(config).fingerprint == before
    edit(forecast_csv, 150, "149,", "149.001,")
    assert load_data(config).fingerprint != before


STEPS = (
    CLASSIFY.replace('"csv"', '"npz"')
    .replace("data.csv", "data.npz")
    .replace(COLUMNS, "")
    .replace('task = "classify"', 'task = "tag"')
    .replace('val = ["s4"]\ntest = ["s5"]', 'val = ["2"]\ntest = [3]')
)


@pytest.mark.parametrize("flat", [False, True])
def test_npz_with_groups_and_a_class_for_each_step(
    configure: Configure, tmp_path: Path, flat: bool
) -> None:
    rng = np.random.default_rng(0)
    lengths = np.array([5, 7, 6, 4])
    cases = [rng.normal(size=(n, 2)) for n in lengths]
    labels = [np.arange(n) % 2 + 10 for n in lengths]
    x = np.concatenate(cases)
    y = np.concatenate(labels)
    if not flat:
        x = np.zeros((4, 7, 2))
        y = np.full((4, 7), 99)
        for k, (case, of) in enumerate(zip(cases, labels, strict=True)):
            x[k, : len(case)] = case
            y[k, : len(of)] = of
    np.savez(tmp_path / "data.npz", x=x, y=y, lengths=lengths, group=np.array([1, 1, 2, 3]))
    splits = load_data(configure(STEPS))
    assert splits.classes == ("10", "11")
    assert [s.name for s in splits.train] == ["data:0", "data:1"]
    assert [s.group for s in (*splits.train, *splits.val, *splits.test)] == ["1", "1", "2", "3"]
    assert splits.train[1].labels is not None
    assert splits.train[1].labels.tolist() == [0, 1, 0, 1, 0, 1, 0]
    np.testing.assert_array_equal(splits.test[0].x, cases[3])


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"group": np.arange(3)}, r"group is int64\(3,\); expected \(4,\) text or whole numbers"),
        ({"group": np.arange(4.0)}, r"group is float64\(4,\); expected \(4,\) text or whole"),
        ({"y": np.zeros((4, 6), int)}, r"y has shape \(4, 6\), expected \(4,\): .* or \(4, 7\)"),
    ],
)
def test_npz_with_groups_or_classes_that_do_not_fit(
    configure: Configure, tmp_path: Path, changes: dict[str, Any], answer: str
) -> None:
    arrays: dict[str, Any] = {"x": np.zeros((4, 7, 2)), "y": np.arange(4)}
    np.savez(tmp_path / "data.npz", **{**arrays, **changes})
    with pytest.raises(DataError, match=answer):
        load_data(configure(STEPS))


def test_a_list_of_files(configure: Configure, tmp_path: Path) -> None:
    for name, start in (("one", 0), ("two", 20), ("three", 50)):
        rows = "".join(f"{k},{k % 2}\n" for k in range(start, start + 20))
        (tmp_path / f"{name}.csv").write_text(f"a,b\n{rows}")
    config = configure(
        FORECAST,
        ('path = "data.csv"', 'train_path = "one.csv"\ntest_path = ["two.csv", "three.csv"]'),
        ('by = "time"\nval = 0.2\ntest = 0.2', 'by = "given"\nval = 0.2'),
        ("window = 12\nstride = 6\n", ""),
    )
    splits = load_data(config)
    assert [(s.name, s.x[0, 0]) for s in splits.test] == [("two", 20.0), ("three", 50.0)]
    assert [s.name for s in (*splits.train, *splits.val)] == ["one[0:16]", "one[16:20]"]
    elsewhere = tmp_path / "other"
    elsewhere.mkdir()
    (elsewhere / "kept.toml").write_text(config.to_toml())
    assert load_data(load_config(elsewhere / "kept.toml")).fingerprint == splits.fingerprint
    both = ["one.csv", "two.csv"]
    with pytest.raises(DataError, match=r"five\.csv: there is no such file"):
        load_data(load_config(tmp_path / "config.toml", {"data.test_path": [*both, "five.csv"]}))


@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
def test_a_text_in_another_encoding_is_told_with_its_line(
    configure: Configure, tmp_path: Path, ending: str
) -> None:
    content = b"a,b\n" + b"1,2\n" * 9 + b"3,4\xe9\n"
    path = tmp_path / f"data{ending}"
    path.write_bytes(gzip.compress(content) if ending.endswith("gz") else content)
    with pytest.raises(DataError, match="line 11 has the byte 0xE9, not utf-8; set `encoding`"):
        load_data(configure(FORECAST, ('"data.csv"', f'"data{ending}"')))
