"""Folders of tables: no file is lost in silence, and names of files give labels and groups."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from edge_lstm.config.schema import Config
from edge_lstm.data.load import load_data
from edge_lstm.training.train import train
from edge_lstm_runtime.errors import ConfigError, DataError
from helpers.configs import CLASSIFY, FORECAST

Configure = Callable[..., Config]

BY_FOLDER = """
[data]
source = "csv"
path = "data"
channels = ["a", "b"]
pattern = '(?P<label>[^/]+)/.*'

[data.split]
by = "group"

[model]
task = "classify"
hidden_size = 4

[train]
epochs = 1
accelerator = "cpu"
"""
NAMED = """pattern = '(?P<label>[a-z]+)_(?P<group>p\\d)_\\d'"""


def write_table(path: Path, level: float, rows: int = 12) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(int(level * 7)).normal(level, 1, (rows, 2))
    if path.suffix.lower() == ".parquet":
        pl.DataFrame({"a": values[:, 0], "b": values[:, 1]}).write_parquet(path)
        return
    text = "a,b\n" + "".join(f"{a:.4f},{b:.4f}\n" for a, b in values)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)


def names(config: Config) -> list[str]:
    return sorted(r.name for r in config.data.read(config.asked))


@pytest.mark.parametrize("source", ["csv", "parquet"])
def test_other_cases_and_subfolders_are_read(
    tmp_path: Path, configure: Configure, source: str
) -> None:
    for k, name in enumerate(("a", "sub/a", "sub/deeper/c")):
        write_table(tmp_path / "data" / f"{name}.{source}", k)
    write_table(tmp_path / "data" / f"B.{source.upper()}", 3)
    config = configure(FORECAST, ('"csv"', f'"{source}"'), ('"data.csv"', '"data"'))
    found = config.data.read(config.asked)
    assert [r.name for r in found] == ["B", "a", "sub/a", "sub/deeper/c"]
    assert [r.group for r in found] == ["B", "a", "sub/a", "sub/deeper/c"]
    assert all(r.notes == () for r in found)


def test_packed_files_are_read_as_if_they_were_not(tmp_path: Path, configure: Configure) -> None:
    write_table(tmp_path / "data" / "a.csv.gz", 1)
    write_table(tmp_path / "plain" / "a.csv", 1)
    (packed,) = (c := configure(FORECAST, ('"data.csv"', '"data"'))).data.read(c.asked)
    (plain,) = (c := configure(FORECAST, ('"data.csv"', '"plain"'))).data.read(c.asked)
    (alone,) = (c := configure(FORECAST, ('"data.csv"', '"data/a.csv.gz"'))).data.read(c.asked)
    for found in (packed, alone):
        assert (found.name, found.group) == ("a", "a")
        np.testing.assert_array_equal(found.x, plain.x)


def test_what_is_left_out_is_said_once(
    tmp_path: Path, configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data"
    write_table(folder / "a.csv", 1, rows=100)
    for name in ("readme.md", "sub/b.txt", ".c.csv", ".git/d.csv", "._a.csv"):
        write_table(folder / name, 2)
    (folder / "e.csv").touch()
    run = train(configure(FORECAST, ('"data.csv"', '"data"'), train__epochs=1), tmp_path / "run")
    told = (
        f"{folder}: 6 files were left out: 3 hidden ('._a.csv'), 1 empty ('e.csv'), "
        "2 of another ending ('readme.md')"
    )
    assert capsys.readouterr().err.count(told) == 1
    assert run.metrics["data"] == [told]
    assert not any("left out" in note for note in run.metrics["notes"])


def test_a_folder_without_a_table_says_what_it_has(tmp_path: Path, configure: Configure) -> None:
    write_table(tmp_path / "data" / "a.tsv", 1)
    with pytest.raises(DataError) as caught:
        load_data(configure(FORECAST, ('"data.csv"', '"data"')))
    assert str(caught.value) == (
        f"{tmp_path}/data: the folder has no *.csv file; expected one per recording "
        "(1 file was left out: 1 of another ending ('a.tsv'))"
    )


@pytest.mark.parametrize("other", ["a.CSV", "a.csv.gz"])
def test_two_files_of_one_name_are_refused(
    tmp_path: Path, configure: Configure, other: str
) -> None:
    write_table(tmp_path / "data" / "a.csv", 1)
    write_table(tmp_path / "data" / other, 1)
    with pytest.raises(DataError, match="would have the same name 'a'"):
        load_data(configure(FORECAST, ('"data.csv"', '"data"')))


def test_links_are_followed_and_circles_do_no_harm(tmp_path: Path, configure: Configure) -> None:
    write_table(tmp_path / "data" / "sub" / "a.csv", 1)
    write_table(tmp_path / "elsewhere" / "b.csv", 2)
    (tmp_path / "data" / "sub" / "up").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "elsewhere")
    config = configure(FORECAST, ('"data.csv"', '"data"'))
    assert names(config) == ["linked/b", "sub/a"]
    (tmp_path / "data" / "gone.csv").symlink_to(tmp_path / "nowhere.csv")
    with pytest.raises(DataError, match=r"gone\.csv: can't be read"):
        names(config)


@pytest.mark.parametrize("source", ["csv", "parquet"])
def test_folders_give_labels_and_each_part_has_every_class(
    tmp_path: Path, configure: Configure, source: str
) -> None:
    for k, label in enumerate(("none", "run", "walk")):  # a class may have this name
        for n in range(8):
            write_table(tmp_path / "data" / label / f"{n}.{source}", 3 * k)
    splits = load_data(configure(BY_FOLDER, ('"csv"', f'"{source}"')))
    assert splits.classes == ("none", "run", "walk")
    for part in (splits.train, splits.val, splits.test):
        assert {s.label for s in part} == {0, 1, 2}
        assert all(s.name.startswith(splits.classes[s.label or 0] + "/") for s in part)
    assert [len(part) for part in (splits.train, splits.val, splits.test)] == [16, 4, 4]


def test_names_give_labels_and_groups(tmp_path: Path, configure: Configure) -> None:
    for person in range(5):
        for label in ("rest", "walk"):
            for n in range(2):
                write_table(tmp_path / "data" / f"{label}_p{person}_{n}.csv", person)
    config = configure(BY_FOLDER, ("pattern = '(?P<label>[^/]+)/.*'", NAMED))
    splits = load_data(config)
    groups = [{s.group for s in part} for part in (splits.train, splits.val, splits.test)]
    assert [len(g) for g in groups] == [3, 1, 1]
    assert set.union(*groups) == {f"p{k}" for k in range(5)}
    (tmp_path / "data" / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"other\.csv: the name 'other' doesn't look like"):
        load_data(config)


def test_stratification_can_be_refused_and_is_not_for_a_label_column(
    configure: Configure, tmp_path: Path
) -> None:
    assert configure(BY_FOLDER).data.split.stratify
    assert not configure(BY_FOLDER, data__split__stratify=False).data.split.stratify
    assert not configure(BY_FOLDER, data__split__by="time").data.split.stratify
    assert not configure(CLASSIFY).data.split.stratify
    config = configure(BY_FOLDER)
    assert Config.from_dict(config.to_dict(), str(tmp_path)) == config


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("pattern", "(?P<label>", "is no regular expression"),
        ("label", "activity", "`pattern` in [data] has a part (?P<label>...) too"),
        ("pattern", ".*", "or a `pattern` with (?P<label>...)"),
    ],
)
def test_patterns_that_cant_be(configure: Configure, key: str, value: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configure(BY_FOLDER, **{f"data__{key}": value})
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("key", ["label", "group"])
def test_the_label_and_the_group_are_no_inputs(configure: Configure, key: str) -> None:
    with pytest.raises(ConfigError, match=f"channels = .* has 'x', the `{key}`"):
        configure(CLASSIFY, data__channels=["a", "x"], **{f"data__{key}": "x"})


BLANKS = ("none", "null", "NA", "nan", "N/A", "-", "?")


@pytest.mark.parametrize("kind", ["csv", "parquet", "npz", "npz, bytes", "ts"])
def test_a_class_may_have_the_name_of_a_blank(
    tmp_path: Path, configure: Configure, kind: str
) -> None:
    source = kind.split(",", maxsplit=1)[0]
    names = BLANKS if source != "ts" else ("none", "null", "na", "n/a", "-")
    labels = np.repeat(names, 3)
    x = np.random.default_rng(0).normal(size=(len(labels), 4, 2))
    file = tmp_path / f"data.{source}"
    groups = [f"g{k % 3}" for k in range(len(labels))]
    if source == "npz":
        y = labels.astype("S") if "bytes" in kind else labels
        np.savez(file, x=x, y=y, group=np.array(groups))
    elif source == "ts":
        cases = "".join(
            ":".join(",".join(map(str, channel)) for channel in case.T.tolist()) + f":{label}\n"
            for case, label in zip(x, labels, strict=True)
        )
        classes = " ".join(names)
        file.write_text(
            "@problemName p\n@timeStamps false\n@missing false\n@univariate false\n"
            f"@dimensions 2\n@equalLength true\n@seriesLength 4\n@classLabel true {classes}\n"
            f"@data\n{cases}"
        )
    else:
        rows = [
            {"a": a, "b": b, "activity": str(label), "subject": group}
            for case, label, group in zip(x.tolist(), labels, groups, strict=True)
            for a, b in case
        ]
        frame = pl.DataFrame(rows)
        frame.write_csv(file) if source == "csv" else frame.write_parquet(file)
    section = f'[data]\nsource = "{source}"\npath = "{file.name}"\n'
    if source in ("csv", "parquet"):
        section += 'channels = ["a", "b"]\nlabel = "activity"\ngroup = "subject"\n'
    rest = BY_FOLDER[BY_FOLDER.index("[data.split]") :]
    if source == "ts":  # each case is its own group
        config = configure(section + rest, data__split__stratify=True)
    else:
        config = configure(section + rest)
    found = config.data.read(config.asked)
    assert {str(label) for r in found if r.labels is not None for label in r.labels} == set(names)
    assert len(found) == (3 if source in ("csv", "parquet") else len(labels))
    if source == "ts":  # the format's mark for a missing value
        file.write_text(file.read_text().replace(":na\n", ":?\n"))
        with pytest.raises(DataError, match="the class is ''"):
            config.data.read(config.asked)
