"""What `init` finds in folders: classes, groups and parts in the names, and the kinds of files."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_lstm.data.sources import SOURCES
from edge_lstm.guess import FINDERS, PLANS
from edge_lstm.guess.ask import Ask
from edge_lstm.guess.guessed import Guessed, guessed
from edge_lstm.guess.names import named, parts
from edge_lstm.guess.roles import Stated
from edge_lstm.guess.tasks import forecast
from edge_lstm.tasks import TASKS
from edge_lstm_runtime.errors import ConfigError, DataError
from edge_lstm_runtime.feeds import wav
from helpers.odd_tables import table

AB = ("a", "b")


def init(path: Path, **stated: Any) -> Guessed:
    return guessed(path, path.parent / "out.toml", Stated(**stated), Ask(yes=True))


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def recordings(*names: str, rows: int = 60, ending: str = ".csv") -> dict[str, str | bytes]:
    return {f"{name}{ending}": table(AB, rows) for name in names}


WALK = ("walk", "run", "sit")
PATTERNS = {
    "by folder": ([f"{c}/{i:02d}" for c in WALK for i in range(6)], r"(?P<label>[^/]+)/\d+"),
    "by name": ([f"{c}_{i:02d}" for c in WALK for i in range(6)], r"(?P<label>[^/_]+)_\d+"),
    "by name, no sign between": (
        [f"{c}{i:02d}" for c in WALK for i in range(6)],
        r"(?P<label>[A-Za-z]+)\d+",
    ),
    "a constant before": (
        [f"gesture-{c}-{i}" for c in WALK for i in range(6)],
        r"gesture-(?P<label>[^/-]+)-\d+",
    ),
    "names of different kinds": (
        [f"{c}_{i}" for c in ("walk_up", "walk_down", "run") for i in range(6)],
        r"(?:.*/)?(?P<label>[^/]*?[^/\d_\-. ])[_\-. ]*\d+",
    ),
    "persons, then classes": (
        [f"p{p}/{c}_{i}" for p in range(4) for c in WALK for i in range(2)],
        r"(?P<group>[^/]+)/(?P<label>[^/_]+)_\d+",
    ),
    "classes, then persons": (
        [f"{c}/p{p}_{i}" for p in range(4) for c in WALK for i in range(2)],
        r"(?P<label>[^/]+)/(?P<group>[^/_]+)_\d+",
    ),
    "digits and speakers": (
        [f"{d}_{s}_{i}" for d in range(4) for s in ("ann", "bob", "cyd") for i in range(3)],
        r"(?P<label>\d+)_(?P<group>[^/_]+)_\d+",
    ),
    "folders with files of any name": (
        ["walk/monday", "walk/b-2", "run/x_1_2", "run/tuesday"],
        "(?P<label>[^/]+)/.*",
    ),
}


@pytest.mark.parametrize("kind", PATTERNS)
def test_the_names_tell_the_class(kind: str) -> None:
    names, pattern = PATTERNS[kind]
    found = named(names)
    assert found is not None
    assert found.pattern.value == pattern
    assert len(set(found.labels.values())) in (2, 3, 4)
    assert set(found.labels) == set(names)


@pytest.mark.parametrize(
    "names",
    [
        ["monday", "tuesday", "wednesday"],
        [f"sensor_{i}" for i in range(9)],
        [f"2024-05-{i:02d}" for i in range(1, 9)],
        ["alone"],
        ["p1/a", "p2/b", "p3/c"],
    ],
)
def test_other_names_tell_none(names: list[str]) -> None:
    assert named(names) is None


def test_parts_are_words_of_their_own() -> None:
    assert parts(["datatraining", "datatest", "datatest2"]) == {
        "datatraining": "train", "datatest": "test", "datatest2": "test"
    }  # fmt: skip
    assert parts(["train/x", "val/x", "test/x"])["val/x"] == "train"
    assert parts(["X_TRAIN", "X_TEST"]) == {"X_TRAIN": "train", "X_TEST": "test"}
    assert parts(["fastest", "contest"]) == {}
    assert parts(["train_1", "train_2"]) == {}
    assert parts(["train_1", "test_1", "more"]) == {}


def test_classes_by_folder_and_files_that_are_no_tables(tmp_path: Path) -> None:
    names = [f"{c}/{i}" for c in WALK for i in range(6)]
    files = {**recordings(*names), "README.md": "Words. " * 9, "LICENSE.txt": "words, and words\n"}
    found = init(write(tmp_path / "data", files))
    assert found.config.model.task == "classify"
    assert found.splits.classes == ("run", "sit", "walk")
    assert (found.config.data.split.by, found.config.data.split.stratify) == ("group", True)


def test_tables_of_another_ending_are_read_by_the_key_for_it(tmp_path: Path) -> None:
    names = [f"{c}/{i}" for c in WALK for i in range(6)]
    text = table(AB, 60, separator=";", decimal=",")
    found = init(write(tmp_path / "data", {f"{name}.TXT": text for name in names}))
    values = found.config.data.model_dump(exclude_unset=True)
    assert (values["ending"], values["separator"], values["decimal"]) == (".txt", ";", ",")
    assert len(found.facts.recordings) == 18
    packed = {f"{name}.txt.gz": gzip.compress(text.encode()) for name in names}
    assert len(init(write(tmp_path / "packed", packed)).facts.recordings) == 18


def test_few_recordings_of_a_class_are_cut_in_time(tmp_path: Path) -> None:
    found = init(write(tmp_path / "data", recordings("walk_1", "walk_2", "run_1", "run_2")))
    assert found.config.model.task == "classify"
    assert found.config.data.split.by == "time"


def test_folders_for_training_and_test(tmp_path: Path) -> None:
    names = [f"{part}/{c}_{i}" for part in ("train", "test") for c in WALK for i in range(4)]
    found = init(write(tmp_path / "data", recordings(*names)))
    values = found.config.data.model_dump(exclude_unset=True)
    assert (values["train_path"], values["test_path"]) == ("data/train", "data/test")
    assert len(found.splits.test) == 12


def test_files_for_training_and_test(tmp_path: Path) -> None:
    found = init(write(tmp_path / "data", recordings("plant_train", "plant_test", rows=300)))
    assert found.config.data.split.by == "given"
    assert len(found.splits.test[0].x) == 300


def test_the_test_file_tells_no_season(tmp_path: Path) -> None:
    """It has one, and is the longest. Training is noise."""
    rng = np.random.default_rng(0)
    noise = [f"{v:.3f}" for v in rng.normal(size=600)]
    tone = [f"{np.sin(i * 2 * np.pi / 25):.3f}" for i in range(2000)]
    files: dict[str, str | bytes] = {
        "train.csv": "\n".join(["v", *noise]), "test.csv": "\n".join(["v", *tone])
    }  # fmt: skip
    assert init(write(tmp_path / "noise", files)).config.data.season is None
    files["train.csv"] = files["test.csv"]
    assert init(write(tmp_path / "tone", files)).config.data.season == 25


def test_each_split_tells_its_own_season(tmp_path: Path) -> None:
    """The first 45 % are noise: with much held out, nothing repeats in the training rows."""
    rng = np.random.default_rng(0)
    noise = [f"{v:.3f}" for v in rng.normal(size=900)]
    tone = [f"{np.sin(i * 2 * np.pi / 25):.3f}" for i in range(1100)]
    files: dict[str, str | bytes] = {"v.csv": "\n".join(["v", *noise, *tone])}
    facts = init(write(tmp_path / "data", files)).facts
    found = {}
    for draft in forecast.PLAN.drafts(facts, Ask(yes=True), "forecast"):
        values = draft.values()["data"]
        found[values["split"]["val"]] = values.get("season")
    assert found == {0.15: 25, 0.2: None, 0.3: None, 0.1: 25, 0.34: None}


def test_answers_hold_for_each_draft(tmp_path: Path) -> None:
    """They are asked once, and a later draft has them too."""
    lines = "\n".join(["v,w", *(f"{i % 7},{i % 5}" for i in range(400))])
    facts = init(write(tmp_path / "data", {"v.csv": lines})).facts

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    ask = Ask(yes=False, lines=Terminal("w\n3\n"), out=io.StringIO())
    models = [d.values()["model"] for d in forecast.PLAN.drafts(facts, ask, "forecast")]
    assert len(models) == 10
    assert all((m["targets"], m["horizon"]) == (["w"], 3) for m in models)


def test_the_columns_that_all_files_have(tmp_path: Path) -> None:
    both = {"x.csv": table(AB, 100), "y.csv": table(("a", "c"), 100)}
    assert init(write(tmp_path / "some", both)).splits.channels == ("a",)
    with pytest.raises(DataError, match=r"y\.csv: has none of the columns of x\.csv \(a, b\)"):
        init(write(tmp_path / "none", {**both, "y.csv": table(("c", "d"), 100)}))


def test_a_column_of_classes_is_surer_than_names(tmp_path: Path) -> None:
    text = table(("state", *AB), 300, lambda i: ("on", "off")[i // 30 % 2])
    files: dict[str, str | bytes] = {f"{c}_{i}.csv": text for c in WALK for i in range(6)}
    found = init(write(tmp_path / "data", files))
    assert found.config.model.task == "tag"
    assert found.splits.classes == ("off", "on")


def test_a_pattern_of_the_user(tmp_path: Path) -> None:
    folder = write(tmp_path / "data", recordings("walk", "run", "sit", rows=200))
    assert init(folder).config.model.task == "forecast"
    assert init(folder, pattern="(?P<label>.+)").config.model.task == "classify"
    with pytest.raises(ConfigError, match=r"--pattern \[a-r\]\+: the file 'run' doesn't match it"):
        init(folder, pattern="[a-r]+")


def test_sound(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    files: dict[str, str | bytes] = {
        f"{d}_{s}_{i}.wav": wav.header(8000, 2000)
        + rng.integers(-9000, 9000, 2000).astype("<i2").tobytes()
        for d in (3, 7)
        for s in ("ann", "bob", "cyd")
        for i in range(3)
    }
    found = init(write(tmp_path / "words", files))
    assert found.config.data.source == "wav"
    assert found.splits.classes == ("3", "7")
    assert found.config.front_end is not None
    assert found.config.front_end.sample_rate == 8000
    assert {s.group for s in found.splits.test} <= {"ann", "bob", "cyd"}
    with pytest.raises(DataError, match="is one sound; expected a folder"):
        init(tmp_path / "words" / "3_ann_0.wav")
    no_class = write(tmp_path / "other", {f"{k}.wav": v for k, v in enumerate(files.values())})
    with pytest.raises(DataError, match="no class is told by a column or by names of files"):
        init(no_class)


def test_sequences_of_numpy(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = np.array(["a", "b", "c"] * 10)
    np.savez(tmp_path / "d.npz", x=rng.normal(size=(30, 50, 2)), y=y)
    found = init(tmp_path / "d.npz")
    assert (found.config.data.source, found.config.model.task) == ("npz", "classify")
    np.savez(tmp_path / "e.npz", x=rng.normal(size=(3, 200, 2)))
    assert init(tmp_path / "e.npz").config.model.task == "forecast"


def test_text_is_read_character_by_character(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("It was a dark, and stormy night.\nYes, it was.\n" * 60)
    found = init(tmp_path / "a.txt")
    assert found.config.data.characters
    (tmp_path / "b.txt").write_text("no")
    with pytest.raises(DataError, match="the val split is empty"):
        init(tmp_path / "b.txt")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "the folder has no file with data"),
        ({"a.json": "{}", "b.py": "x"}, "no source reads a folder with .json, .py"),
        ({".hidden.csv": table(AB)}, "the folder has no file with data"),
    ],
)
def test_a_folder_without_data(files: dict[str, str | bytes], said: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(DataError) as caught:
        init(write(tmp_path / "data", files))
    assert said in str(caught.value)


def test_there_is_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file or folder"):
        init(tmp_path / "nowhere")


def test_every_task_has_a_plan_and_every_source_of_files_a_finder() -> None:
    assert PLANS.names() == TASKS.names()
    assert FINDERS.names() == [name for name in SOURCES.names() if name != "aeon"]
