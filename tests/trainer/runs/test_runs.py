"""`edge-lstm runs`: each figure of the table is the run's, and a bad folder stops nothing."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import pickle
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from edge_lstm import Run
from edge_lstm.runs.found import Found, look
from edge_lstm.runs.page import page
from edge_lstm.runs.peek import peek
from edge_lstm.runs.speed import known, write
from edge_lstm.runs.table import COLUMNS, differences, metric, ordered, text
from edge_lstm.training import checkpoint
from edge_lstm_runtime.errors import TrainingError
from helpers.commands import environment, here


@pytest.fixture(name="folder")
def _folder(tmp_path: Path, trained: Run) -> Path:
    """Two finished runs, one within another folder, and four folders that hold none."""
    shutil.copytree(trained.path, tmp_path / "runs" / "first")
    shutil.copytree(trained.path, tmp_path / "runs" / "more" / "second")
    runs = tmp_path / "runs"
    for left in runs.glob("**/speed.json"):  # other tests export the same run
        left.unlink()
    shutil.copytree(trained.path, runs / "cut")
    (runs / "cut" / checkpoint.METRICS).unlink()
    shutil.copytree(trained.path, runs / "damaged")
    file = runs / "damaged" / checkpoint.BEST
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    (runs / "notes").mkdir()
    (runs / "torn").mkdir()
    (runs / "torn" / "history.csv").write_text("epoch\n")
    return runs


def row_of(folder: Path) -> Found:
    return next(one for one in look(folder).found if one.name == "first")


def test_a_row_is_what_the_run_says(folder: Path, trained: Run) -> None:
    one = row_of(folder)
    weights = sum(array.size for array in trained.weights.values())
    assert (one.parameters, one.bytes) == (weights, 4 * weights)
    assert one.path == str(folder / "first")
    test = trained.metrics["test"]
    assert (one.task, one.metric, one.value) == ("classify", "accuracy", test["accuracy"])
    # Wilson's interval by its formula, with z = 1.96.
    n, p, z = test["sequences"], test["right"] / test["sequences"], 1.959964
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    bounds = [(p + z * z / (2 * n) + sign * half) / (1 + z * z / n) for sign in (-1, 1)]
    assert [one.low, one.high] == pytest.approx(bounds)
    assert one.higher
    assert (one.epochs, one.best_epoch) == (
        trained.metrics["epochs"],
        trained.metrics["best_epoch"],
    )
    assert one.seed == trained.config.train.seed
    assert one.units == "lstm 16, lstm 16"
    assert (one.us, one.backend) == (None, None)
    with (trained.path / "history.csv").open() as file:
        losses = [float(row["val_loss"]) for row in csv.DictReader(file)]
    assert [row["val_loss"] for row in one.curve] == losses


def test_a_folder_without_a_finished_run_is_one_line_and_stops_nothing(folder: Path) -> None:
    looked = look(folder)
    assert [one.name for one in looked.found] == ["first", "more/second"]
    cut, damaged, notes, torn = looked.troubles
    assert re.fullmatch(r"cut: unfinished, (\d+) of \1 epochs are done; .* --resume` goes on", cut)
    assert damaged.startswith("damaged: best.pt: damaged, or no checkpoint of edge-lstm (")
    assert notes == "notes: no run"
    assert torn == "torn: no run: it has history.csv and no checkpoint"


def test_the_trials_of_a_search_are_one_line(tmp_path: Path, trained: Run) -> None:
    """They have no metrics of a test split. One that was resumed has, and is listed."""
    search = tmp_path / "search"
    shutil.copytree(trained.path, search / "chosen-004")
    for k in range(3):
        shutil.copytree(trained.path, search / "trials" / f"{k:03d}" / "draw0")
        if k:
            (search / "trials" / f"{k:03d}" / "draw0" / checkpoint.METRICS).unlink()
    (search / "study.json").write_text("{}")
    looked = look(tmp_path)
    assert [one.name for one in looked.found] == ["search/chosen-004", "search/trials/000/draw0"]
    said = "a search, 2 runs of its trials have not looked at the test split"
    assert looked.troubles == (f"search: {said}; `edge-lstm search ...` goes on with it",)
    (search / "search.md").write_text("of a search that has ended")
    said += "; search.md is about them"
    assert look(search).troubles == (f"search: {said}",)
    assert look(search / "trials").troubles[0].startswith("001/draw0: unfinished, ")
    shutil.rmtree(search / "trials" / "000")
    assert look(search).troubles == (f"search: {said}",)  # not its folder of trials


def test_folders_within_a_run_and_hidden_ones_are_not_looked_at(folder: Path, trained: Run) -> None:
    shutil.copytree(trained.path, folder / "first" / "teacher")
    shutil.copytree(trained.path, folder / ".cache" / "old")
    for k in range(9):
        (folder / f"photos{k}").mkdir()
    looked = look(folder)
    assert [one.name for one in looked.found] == ["first", "more/second"]
    assert looked.troubles[0] == "and 5 more folders without a run"  # notes and 9 of photos, less 5
    alone = look(folder / "first")
    assert [one.name for one in alone.found] == ["first"]
    assert alone.troubles == ()


def test_a_checkpoint_is_read_as_pytorch_reads_it(trained: Run) -> None:
    found = peek(trained.path / checkpoint.BEST)
    right = checkpoint.load(trained.path / checkpoint.BEST)
    for key in ("spec", "config", "folder", "fingerprint", "progress", "format"):
        assert found[key] == right[key], key
    assert found["model"].keys() == right["model"].keys()


class Bad:
    def __reduce__(self) -> Any:
        return os.mkdir, ("made-by-a-pickle",)


def test_nothing_of_a_checkpoint_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    values = {"spec": Bad(), "config": {}, "progress": {}}
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("best/data.pkl", pickle.dumps(values))
    Path("best.pt").write_bytes(data.getvalue())
    assert not isinstance(peek(Path("best.pt"))["spec"], dict)
    assert [p.name for p in tmp_path.iterdir()] == ["best.pt"]


@pytest.mark.parametrize("place", range(12))
def test_a_changed_byte_or_a_cut_is_seen(place: int, trained: Run, tmp_path: Path) -> None:
    data = bytearray((trained.path / checkpoint.BEST).read_bytes())
    at = len(data) * place // 12
    data[at] ^= 4
    (tmp_path / "flipped.pt").write_bytes(data)
    (tmp_path / "cut.pt").write_bytes(data[:at])
    for name in ("flipped.pt", "cut.pt"):
        with pytest.raises(TrainingError, match=f"{name}: damaged, or no checkpoint"):
            peek(tmp_path / name)


def made(name: str, **values: Any) -> Found:
    given = {"task": "forecast", "units": "gru 8", "parameters": 10, "bytes": 40, "metric": "rmse"}
    given |= {"value": 1.0, "low": None, "high": None, "higher": False, "us": None, "seed": 0}
    given |= {"data": "a.csv", "backend": None, "date": "2026-01-02T03:04:05+00:00", "epochs": 9}
    given |= {"best_epoch": 4, "config": {}, "curve": ({"epoch": 1.0, "val_loss": 0.5},)}
    return Found(name=name, path=name, **{**given, **values})


def names(found: list[Found]) -> str:
    return " ".join(one.name for one in found)


def test_each_order_has_the_best_or_the_first_on_top_and_the_unknown_last() -> None:
    runs = [
        made("a", value=2.0, us=3.0, date="2026-01-01T00:00:00+00:00", seed=2),
        made("b", value=1.0, seed=1, date="2026-03-01T00:00:00+00:00", bytes=80),
        made("c", value=None, us=0.5, date="2026-02-01T00:00:00+00:00"),
        made("d", metric="accuracy", value=0.5, higher=True, us=1.0),
        made("e", metric="accuracy", value=0.9, higher=True),
    ]
    assert names(ordered(runs, "metric")) == "e d b a c"
    assert names(ordered(runs, "date")) == "b c d e a"
    assert names(ordered(runs, "us")) == "c d a b e"
    assert names(ordered(runs, "bytes")) == "a c d e b"
    assert names(ordered(runs, "seed")) == "c d e b a"
    for column in COLUMNS:
        assert sorted(names(ordered(runs, column)).split()) == ["a", "b", "c", "d", "e"]


def test_a_metric_has_its_interval_only_if_there_is_one() -> None:
    assert metric(made("a", value=110.275)) == "RMSE 110.3"
    one = made("a", metric="accuracy", value=0.875, low=0.73888, high=0.94541)
    assert metric(one) == "accuracy 0.875 (0.739 to 0.945)"
    assert metric(made("a", value=None)) == "RMSE –"


def test_columns_stand_below_their_titles() -> None:
    lines = text(
        [made("a" * 50), made("b", us=0.971, backend="native", bytes=1234567)]
    ).splitlines()
    assert lines[0].split("  ")[0] == "name"
    assert f"{'a' * 35}…" in lines[1]
    assert "0.971 native" in lines[2]
    assert lines[0].index("bytes") + 5 == lines[2].index("1,234,567") + 9


def test_the_keys_that_differ_are_told_and_no_others() -> None:
    runs = [made("a", config={"x": 1, "y": 2}), made("b", config={"x": 1, "y": 3, "z": [4]})]
    assert differences(runs) == {"y": [2, 3], "z": [None, [4]]}
    shown = page("Runs", runs, ["<c>: no run"])
    assert "<td>y</td><td>2</td><td>3</td>" in shown
    assert "<td>z</td><td></td><td>4</td>" in shown
    assert "<td>x</td>" not in shown
    assert "<li>&lt;c&gt;: no run</li>" in shown


def test_curves_of_the_same_data_lie_over_each_other() -> None:
    steps = tuple({"epoch": float(k), "val_loss": 1 / k, "val_mae": math.nan} for k in range(1, 6))
    runs = [made("a", curve=steps), made("b", curve=steps[:3]), made("c", data="other.csv")]
    shown = page("Runs", runs, [])
    assert shown.count("<polyline") == 2
    assert shown.count("<circle") == 1  # one epoch is no line
    assert shown.count("<h3>") == 2
    first, second = re.findall(r"<polyline points='([^']*)'", shown)
    assert first.startswith(second)
    # The first epoch at the left and on top, the last at the right and at the bottom.
    assert first.split()[0] == "62.0,24.0"
    assert first.split()[-1] == "628.0,226.0"


def test_the_speed_of_an_export_is_read_back_and_a_damaged_one_is_named(folder: Path) -> None:
    rows = [{"backend": "native-int8", "p50_us": 0.971}, {"backend": "numpy", "p50_us": 4.5}]
    write(folder / "first", "a machine", rows)
    assert known(folder / "first") == (0.971, "native-int8")
    assert (row_of(folder).us, row_of(folder).backend) == (0.971, "native-int8")
    file = folder / "first" / "speed.json"
    file.write_text(file.read_text().replace("0.971", "0.171"))
    troubles = look(folder).troubles
    assert any(t.startswith("first: speed.json: damaged (") for t in troubles)


def test_the_command_prints_a_table_objects_and_a_page(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, err = here(capfd, "runs", folder, "--html", folder / "all.html")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["name", "first", "more/second"]
    assert err.count("\n") == 5  # four folders, and the page
    assert err.endswith(f"written    {folder / 'all.html'}\n")
    assert "<td data-value='first'>first</td>" in (folder / "all.html").read_text()
    code, out, _ = here(capfd, "runs", folder, "--json", "--sort", "metric")
    objects = [json.loads(line) for line in out.splitlines()]
    assert [one["name"] for one in objects] == ["first", "more/second"]
    assert objects[0]["config"]["model.task"] == "classify"
    code, out, err = here(capfd, "runs", folder / "notes")
    assert (code, out) == (1, "")
    assert "there is no finished run" in err
    code, _, err = here(capfd, "runs", folder / "nowhere")
    assert code == 2
    assert "nowhere: there is no such folder" in err
    code, _, err = here(capfd, "runs", folder, "--sort", "metrics")
    assert code == 2
    assert "did you mean 'metric'" in err


def test_a_step_is_timed_on_the_data_of_the_run(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = here(capfd, "runs", folder / "first", "--time", "--json")
    one = json.loads(out)
    assert code == 0
    assert one["backend"] == "native"
    assert 0.05 < one["us"] < 1e4


def test_it_starts_without_the_heavy_libraries(folder: Path) -> None:
    code = (
        "import sys; from edge_lstm_runtime import cli; "
        f"code = cli.main(['runs', {str(folder)!r}, '--html', {str(folder / 'a.html')!r}]); "
        "print([m for m in ('torch', 'matplotlib', 'lightning_fabric') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, env=environment(), text=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
