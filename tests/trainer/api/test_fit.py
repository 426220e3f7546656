"""`fit`: data in memory to a run that is as any other."""

from __future__ import annotations

import gc
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import accuracy_score, r2_score

import edge_lstm as el
import edge_lstm_runtime as rt
from edge_lstm.training import loop
from edge_lstm_runtime.errors import ConfigError, DataError, MissingDependencyError, TrainingError
from helpers.arrays import Array
from helpers.commands import environment

RNG = np.random.default_rng(5)
X = RNG.normal(size=(30, 12, 2))
Y = np.where(X[:, :, 0].sum(axis=1) > 0, "up", "down")
EACH = (X[:, :, 0] > 0).astype(int)
LENGTHS = RNG.integers(6, 20, 24)
LISTED = [RNG.normal(size=(n, 2)) for n in LENGTHS]
WAVE = np.stack([np.sin(np.arange(700) / 8), np.cos(np.arange(700) / 8)], axis=1)
HOURS = pl.datetime_range(pl.datetime(2024, 1, 1), pl.datetime(2024, 1, 30, 3), "1h", eager=True)
FRAME = pl.DataFrame({"hour": HOURS, "users": WAVE[:, 0] + 2, "rain": WAVE[:, 1], "day": "x"})
GROUPED = pl.DataFrame(
    {
        "who": np.repeat([f"p{k}" for k in range(20)], 30),
        "a": WAVE[:600, 0],
        "b": WAVE[:600, 1],
        "what": np.repeat(["u", "v"] * 10, 30),
        "twice": 2 * WAVE[:600, 0],
    }
)


def small(*data: Any, **settings: Any) -> el.Run:
    return el.fit(*data, quiet=True, figures=False, **{"hidden_size": 4, "epochs": 1, **settings})


def streamed(run: el.Run, x: Array) -> Array:
    """(T, O) of the float64 reference, from the zero state."""
    backend = rt.Reference(run.spec, run.weights)
    answers: Array = backend.run(run.spec.features(x))
    return answers


# --- what it takes ---


class Pairs:
    """As a PyTorch Dataset: a length and items, and no iterator that ends."""

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, k: int) -> tuple[Any, str]:
        import torch

        return torch.tensor(X[k % len(X)], dtype=torch.float32), str(Y[k % len(X)])


def recordings(**fields: Callable[[Array], Any]) -> list[el.Recording]:
    return [
        el.Recording(str(k), str(k), x, **{name: of(x) for name, of in fields.items()})
        for k, x in enumerate(LISTED)
    ]


def labelled() -> list[el.Recording]:
    labels = [np.full(len(x), "uv"[k % 2]) for k, x in enumerate(LISTED)]
    parts = ["train"] * 16 + ["test"] * 8
    return [
        el.Recording(str(k), str(k), x, labels=of, part=part)
        for k, (x, of, part) in enumerate(zip(LISTED, labels, parts, strict=True))
    ]


TAKEN: dict[str, tuple[tuple[Any, ...], dict[str, Any], str, str, tuple[str, ...]]] = {
    "a class each": ((X, Y), {}, "classify", "group", ("down", "up")),
    "a class a step": ((X, EACH), {}, "tag", "group", ("0", "1")),
    "a number each": ((X, X[:, -1, 0]), {}, "regress", "group", ("y",)),
    "a number a step": ((X, X[:, :, 0]), {}, "regress", "group", ("y",)),
    "two numbers a step": ((X, X), {"target": ["p", "q"]}, "regress", "group", ("p", "q")),
    "several lengths": ((LISTED, LENGTHS > 12), {}, "classify", "group", ("False", "True")),
    "classes of their steps": (
        (LISTED, [np.where(x[:, 0] > 0, "u", "v") for x in LISTED]),
        {},
        "tag",
        "group",
        ("u", "v"),
    ),
    "steps without a class": (
        (LISTED, [np.where(x[:, 0] > 1, None, x[:, 1] > 0) for x in LISTED]),
        {},
        "tag",
        "group",
        ("False", "True"),
    ),
    "one recording": (
        (WAVE,),
        {"horizon": [1, 4], "channels": ["s", "c"], "target": "s"},
        "forecast",
        "time",
        ("s+1", "s+4"),
    ),
    "an anomaly": ((WAVE,), {"task": "anomaly", "horizon": 1}, "anomaly", "time", ("channel_0+1",)),
    "a frame": (
        (FRAME,),
        {"target": "users", "horizon": [1, 24], "time": "hour"},
        "forecast",
        "time",
        ("users+1", "users+24"),
    ),
    "a lazy frame": ((FRAME.lazy(),), {"horizon": 1}, "forecast", "time", ("users+1", "rain+1")),
    "a frame's label": (
        (GROUPED,),
        {"label": "what", "group": "who"},
        "classify",
        "group",
        ("u", "v"),
    ),
    "a frame's target": (
        (GROUPED,),
        {"target": "twice", "group": "who"},
        "regress",
        "group",
        ("twice",),
    ),
    "a data set": ((Pairs(),), {}, "classify", "group", ("down", "up")),
    "recordings": ((iter(labelled()),), {}, "classify", "given", ("u", "v")),
    "recordings with numbers": (
        (recordings(y=lambda x: x[:, :1], time=lambda x: np.arange(len(x)) * 1.0),),
        {},
        "regress",
        "group",
        ("y",),
    ),
    "a task by name": ((X, EACH.astype(float)), {"task": "tag"}, "tag", "group", ("0.0", "1.0")),
    "whole numbers to answer": (
        (X, EACH[:, -1]),
        {"task": "regress"},
        "regress",
        "group",
        ("y",),
    ),
}


@pytest.mark.parametrize(("data", "settings", "task", "by", "names"), TAKEN.values(), ids=TAKEN)
def test_each_kind_of_data(
    data: tuple[Any, ...], settings: dict[str, Any], task: str, by: str, names: tuple[str, ...]
) -> None:
    run = small(*data, **settings)
    assert (run.config.model.task, run.config.data.split.by) == (task, by)
    assert run.spec.answer.names[: len(names)] == names
    assert run.metrics["test"]


def test_pandas_gives_the_same_as_polars() -> None:
    import pandas as pd

    frame = pd.DataFrame({name: FRAME[name].to_list() for name in FRAME.columns})
    asked = {"target": "users", "horizon": [1, 24], "time": "hour"}
    runs = [
        small(data, **asked)
        for data in (
            FRAME,
            frame,
            frame.set_index("hour"),
            frame.assign(
                hour=frame["hour"].dt.tz_localize("UTC"), day=frame["day"].astype("category")
            ),
        )
    ]
    assert [run.fingerprint for run in runs] == [runs[0].fingerprint] * 4
    for run in runs[1:]:
        np.testing.assert_array_equal(run.weights["lstm0.W_x"], runs[0].weights["lstm0.W_x"])


def test_only_the_columns_that_are_used_are_kept(tmp_path: Path) -> None:
    odd = FRAME.with_columns(odd=pl.Series([{"no": "number"}] * 700, dtype=pl.Object))
    run = small(odd, channels=["users"], horizon=1, time="hour", out=tmp_path / "run")
    kept = pl.read_parquet(run.path / "data.parquet")
    assert sorted(kept.columns) == ["hour", "users"]


def test_gaps_of_pandas_are_gaps() -> None:
    import pandas as pd

    values = pd.array([1, None, 3] * 100, dtype="Int64")
    frame = pd.DataFrame({"v": values, "w": np.arange(300.0)})
    with pytest.raises(DataError, match="column 'v', row 2: the value is missing"):
        small(frame, horizon=1)
    assert small(frame, horizon=1, missing="ffill").spec.inputs.missing == "ffill"


def test_the_fractions_and_the_groups_are_kept_apart() -> None:
    people = np.arange(30) // 3
    run = small(X, Y, groups=people, val=0.2, test=0.3)
    parts = [
        {s.group for s in part} for part in (run.splits.train, run.splits.val, run.splits.test)
    ]
    assert [len(part) for part in parts] == [5, 2, 3]
    assert set.union(*parts) == {str(k) for k in range(10)}


def test_numbers_of_groups_by_named_recordings() -> None:
    people = np.arange(30) // 3
    run = small(X, X[:, :, 0], groups=people, val=["0", "1", "2"], test=["3", "4", "5"])
    assert [s.group for s in run.splits.test] == ["3", "4", "5"]
    np.testing.assert_array_equal(run.splits.test[0].x, X[3])


def test_long_recordings_are_cut_for_training_alone() -> None:
    long = RNG.normal(size=(6, 600, 1))
    run = small(long, long[:, :, 0])
    assert (run.config.data.window, run.config.data.stride) == (256, 64)
    assert {len(s.x) for s in run.splits.test} == {600}
    assert small(WAVE, horizon=100).config.data.window == 400
    assert small(WAVE, horizon=2, window=50).config.data.window == 50
    assert small(X, Y).config.data.window is None


# --- what it answers ---


@pytest.fixture(scope="module")
def classes() -> el.Run:
    return small(X, Y, epochs=3)


def test_predictions_are_the_references(classes: el.Run) -> None:
    logits = np.array([streamed(classes, x)[-1] for x in X])
    told = classes.predict(X)
    assert told.tolist() == [("down", "up")[k] for k in logits.argmax(axis=1)]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(classes.predict_proba(X), shares, atol=1e-5)
    assert classes.score(X, Y) == pytest.approx(accuracy_score(Y, told), abs=1e-6)
    assert str(classes.predict(X[0])) == told[0]
    assert classes.predict_proba(X[0]).shape == (2,)


def test_predictions_at_each_step() -> None:
    run = small(LISTED, [np.where(x[:, 0] > 0, "u", "v") for x in LISTED], epochs=2)
    told = run.predict(LISTED)
    for x, answer in zip(LISTED, told, strict=True):
        assert answer.tolist() == [("u", "v")[k] for k in streamed(run, x).argmax(axis=1)]
    truth = [np.where(x[:, 0] > 0, "u", "v") for x in LISTED]
    expected = accuracy_score(np.concatenate(truth), np.concatenate(told))
    assert run.score(LISTED, truth) == pytest.approx(expected, abs=1e-6)
    assert run.predict(X).shape == (30, 12)
    assert run.predict_proba(X).shape == (30, 12, 2)


def test_numbers_are_scored_by_r2() -> None:
    run = small(X, np.cumsum(X[:, :, 0], axis=1), epochs=3)
    truth = np.cumsum(X[:, :, 0], axis=1)
    told = run.predict(X)
    assert told.shape == (30, 12, 1)
    assert run.score(X, truth) == pytest.approx(r2_score(truth.ravel(), told.ravel()), abs=1e-6)
    with pytest.raises(ConfigError, match="task 'regress' answers with numbers, which have no"):
        run.predict_proba(X)


def test_a_number_for_each_recording_is_that_of_its_last_step() -> None:
    run = small(X, X[:, :, 1].mean(axis=1), epochs=3)
    last = run.predict(X)[:, -1, 0]
    truth = X[:, :, 1].mean(axis=1)
    assert run.score(X, truth) == pytest.approx(r2_score(truth, last), abs=1e-6)


def test_a_forecast_of_a_frame() -> None:
    run = small(FRAME, target="users", horizon=[1, 24], time="hour", epochs=2)
    told = run.predict(FRAME)
    assert told.shape == (700, 2)
    x = FRAME.select("users", "rain").to_numpy()
    np.testing.assert_allclose(run.predict(x), told, atol=1e-6)
    truth = np.stack([x[1 : 700 - 23, 0], x[24:, 0]], axis=1)  # of the steps that know both
    expected = r2_score(truth.ravel(), told[: 700 - 24].ravel())
    assert run.score(FRAME) == pytest.approx(expected, abs=1e-5)


def test_a_frame_with_groups_is_answered_by_recording() -> None:
    run = small(GROUPED, label="what", group="who")
    told = run.predict(GROUPED.drop("what"))
    assert told.shape == (20,)
    truth = np.array(["u", "v"] * 10)
    assert run.score(GROUPED) == pytest.approx(accuracy_score(truth, told), abs=1e-6)
    with pytest.raises(DataError, match="the frame: there is no column 'b'"):
        run.predict(GROUPED.drop("b"))


WRONG_DATA = {
    "channels": (lambda run: run.predict(X[:, :, :1]), "have 1 channels; expected 2: channel_0"),
    "no y": (lambda run: run.score(X), "there is no y; expected the right classes"),
    "another class": (
        lambda run: run.score(X[:2], ["up", "left"]),
        "recording 1: the class 'left' is none of the model's: down, up",
    ),
    "a changing class": (
        lambda run: run.score(X[:1], [["up"] * 6 + ["down"] * 6]),
        "recording 0: its class changes",
    ),
    "a frame without columns": (
        lambda run: run.predict(GROUPED),
        "trained by source 'npz', which names no columns",
    ),
}


@pytest.mark.parametrize(("call", "message"), WRONG_DATA.values(), ids=WRONG_DATA)
def test_wrong_data_for_a_run(classes: el.Run, call: Callable[[el.Run], Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        call(classes)


# --- its folder ---


def test_the_run_is_as_any_other(tmp_path: Path) -> None:
    """Trained again from its own config.toml, it has the same weights to the bit."""
    run = small(X, Y, out=tmp_path / "run", epochs=2)
    assert (run.path / "data.npz").stat().st_size < X.size * 8 + 4000
    again = el.train(run.path / "config.toml", tmp_path / "again", quiet=True, figures=False)
    for name, weights in run.weights.items():
        np.testing.assert_array_equal(again.weights[name], weights)
    assert el.load_run(tmp_path / "run").predict(X).tolist() == run.predict(X).tolist()


def test_a_run_that_was_moved_has_its_data(tmp_path: Path) -> None:
    run = small(X, Y, out=tmp_path / "run")
    (tmp_path / "run").rename(tmp_path / "moved")
    assert el.load_run(tmp_path / "moved").splits.fingerprint == run.fingerprint


def test_float32_is_kept_in_four_bytes(tmp_path: Path) -> None:
    run = small(X.astype(np.float32), Y, out=tmp_path / "run")
    with np.load(run.path / "data.npz") as kept:
        assert kept["x"].dtype == np.float32
        np.testing.assert_array_equal(kept["x"], X.astype(np.float32).reshape(-1, 2))


def test_it_is_resumed_to_the_same_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = small(X, Y, out=tmp_path / "whole", epochs=3)
    settings = {"epochs": 3, "out": tmp_path / "cut"}
    monkeypatch.setattr(loop, "SAVE_EVERY", 0.0)
    with monkeypatch.context() as patched:
        patched.setattr(loop.Training, "_judge", stopping(loop.Training._judge))
        with pytest.raises(KeyboardInterrupt):
            small(X, Y, **settings)
    assert not (tmp_path / "cut" / "metrics.json").exists()
    with pytest.raises(TrainingError, match="the data has changed since it was started"):
        small(X + 1, Y, resume=True, **settings)
    shutil.copytree(tmp_path / "cut", tmp_path / "kept")
    resumed = small(X, Y, resume=True, **settings)
    np.testing.assert_array_equal(resumed.weights["head.W"], whole.weights["head.W"])
    shutil.rmtree(tmp_path / "cut")
    (tmp_path / "kept").rename(tmp_path / "cut")
    file = tmp_path / "cut" / "config.toml"  # as the command does it
    resumed = el.train(file, tmp_path / "cut", resume=True, quiet=True, figures=False)
    np.testing.assert_array_equal(resumed.weights["head.W"], whole.weights["head.W"])


def stopping(judge: Callable[..., bool]) -> Callable[..., bool]:
    """The second epoch ends by Ctrl-C."""

    def judged(training: Any, row: dict[str, float]) -> bool:
        if training.progress.epoch == 2:
            raise KeyboardInterrupt
        return judge(training, row)

    return judged


def test_a_temporary_folder_goes_with_the_run() -> None:
    run = small(X, Y)
    folder = run.path
    copy = pickle.loads(pickle.dumps(run))
    assert (folder / "metrics.json").exists()
    told = run.predict(X)
    del run
    gc.collect()
    assert not folder.exists()
    assert copy.predict(X).tolist() == told.tolist()  # which needs no file


@pytest.mark.slow
def test_what_was_exported_stays(tmp_path: Path) -> None:
    run = small(X, Y)
    model = run.export(tmp_path / "m.edge")
    answers = run.predict_proba(X[0])
    del run
    gc.collect()
    with rt.load(tmp_path / "m.edge").session() as s:  # "auto", the default
        assert rt.describe(model.spec, s.run(X[0])[-1])["probabilities"]["up"] == pytest.approx(
            answers[1], abs=0.02
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.edge", "m.html"]


def test_c_source_is_a_target(tmp_path: Path) -> None:
    made = small(X, Y).export(tmp_path / "folder", targets=["c"])
    assert (made.folder / "Makefile").exists()
    assert made.scheme == "float32"


def test_a_missing_export_has_its_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run = small(X, Y)
    monkeypatch.setitem(sys.modules, "edge_lstm_export", None)
    with pytest.raises(MissingDependencyError, match=r"run: pip install .*\[export\]"):
        run.export(tmp_path / "m.edge")


# --- what it refuses ---

REFUSED: dict[str, tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]] = {
    "a misspelled option": (
        (X, Y),
        {"hiden_size": 3},
        ConfigError,
        r"fit\(hiden_size=...\): there is no such option; did you mean 'hidden_size'\?",
    ),
    "an option of another task": (
        (X, Y),
        {"quantiles": [0.5]},
        ConfigError,
        "is for task 'anomaly' and 'forecast', and task is 'classify'; leave it out",
    ),
    "an option of a section": (
        (X, Y),
        {"noise": 0.1},
        ConfigError,
        r"fit\(noise=...\): is a key of \[augment\]; write augment=\{'noise': ...\}",
    ),
    "a wrong value": (
        (X, Y),
        {"epochs": 0},
        ConfigError,
        r"fit\(epochs=...\): \[train\] epochs = 0: expected greater than or equal to 1",
    ),
    "a wrong value in a section": (
        (X, Y),
        {"augment": {"noise": -1.0}},
        ConfigError,
        r"fit\(noise=...\): \[augment\] noise = -1.0",
    ),
    "a section that is a number": ((X, Y), {"augment": 3}, ConfigError, "expected a dict"),
    "a wrong dotted key": (
        (X, Y),
        {"train.epoks": 3},
        ConfigError,
        r"\[train\] has no key 'epoks'; did you mean 'epochs'\?",
    ),
    "contradicting keys": ((X, Y), {"stride": 3}, ConfigError, "no meaning without `window`"),
    "several devices": ((X, Y), {"devices": 2}, ConfigError, "trains in this process alone"),
    "no answer": ((X,), {}, ConfigError, "nothing says what the model is to answer"),
    "no answer in a frame": ((GROUPED,), {"group": "who"}, ConfigError, "nothing says what"),
    "an unknown task": ((X, Y), {"task": "clasify"}, ConfigError, "did you mean 'classify'"),
    "y beside a frame": ((GROUPED, Y), {}, ConfigError, "name the frame's column by `label`"),
    "a column that is not there": (
        (GROUPED,),
        {"target": "thrice", "group": "who"},
        DataError,
        r"the frame has no column 'thrice'; did you mean 'twice'\? the columns are who, a, b",
    ),
    "unequal lengths": ((X, Y[:5]), {}, DataError, "y has 5 answers for 30 recordings"),
    "steps of y": ((X, EACH[:, :5]), {}, DataError, r"y\[0\] has shape \(5,\), and x\[0\] has 12"),
    "no recordings": (([], []), {}, DataError, "the data has no recordings"),
    "one number": ((3, Y), {}, DataError, r"the data is int; expected numbers \(N, T, C\)"),
    "text": ((X.astype(str), Y), {}, DataError, r"x\[0\] is no array of numbers: it holds <U"),
    "four dimensions": ((X[None], Y[:1]), {}, DataError, r"x\[0\] has shape \(30, 12, 2\)"),
    "unequal channels": (
        ([X[0], X[1, :, :1]], Y[:2]),
        {},
        DataError,
        r"x\[1\] has 1 channels, and x\[0\] has 2",
    ),
    "a NaN": ((np.where(X > 2, np.nan, X), Y), {}, DataError, "the value is missing"),
    "no class": ((X, [None, *Y[1:]]), {}, DataError, r"y\[0\] is None; expected a class"),
    "one class": ((X, ["u"] * 30), {}, DataError, "the training split has one class"),
    "two recordings": ((X[:2], Y[:2]), {}, DataError, "split is empty"),
    "classes for numbers": ((X, Y), {"task": "regress"}, DataError, r"y\[0\] is <U4; expected num"),
    "too few names": ((X, Y), {"channels": ["a"]}, ConfigError, "have 2 channels; expected a name"),
    "a taken name": (
        (LISTED, [x[:, 0] for x in LISTED]),
        {"channels": ["recording", "b"]},
        ConfigError,
        "'recording' is no name for a channel",
    ),
    "groups of numbers": (
        (X, X[:, :, 0]),
        {"groups": np.arange(30) // 3},
        DataError,
        "groups of several recordings can't be kept together if their answers are numbers",
    ),
    "parts of numbers": (
        ([el.Recording("a", "a", X[0], y=X[0], part=part) for part in ("train", "test")],),
        {},
        DataError,
        "recordings can't have a `part` if their answers are numbers",
    ),
    "some parts": (
        ([el.Recording("a", "a", X[0], part=part) for part in ("train", None)],),
        {"horizon": 1},
        DataError,
        "the `part` of some recordings is given",
    ),
    "resume without a folder": ((X, Y), {"resume": True}, ConfigError, "needs `out`"),
}


@pytest.mark.parametrize(("data", "settings", "kind", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_in_one_line_with_nothing_left_behind(
    data: tuple[Any, ...],
    settings: dict[str, Any],
    kind: type[Exception],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for out in (None, tmp_path / "deep" / "run"):
        if out is not None and settings.get("resume"):
            continue
        with pytest.raises(kind, match=message) as caught:
            small(*data, out=out, **settings)
        assert "\n" not in str(caught.value)
        assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_taken(tmp_path: Path) -> None:
    small(X, Y, out=tmp_path / "run")
    with pytest.raises(TrainingError, match="holds a run already"):
        small(X, Y, out=tmp_path / "run")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "data.npz").write_text("mine")
    with pytest.raises(TrainingError, match=r"has a file data\.npz; name another folder"):
        small(X, Y, out=tmp_path / "other")
    assert (tmp_path / "other" / "data.npz").read_text() == "mine"


def test_an_import_is_light() -> None:
    script = (
        "import sys, numpy; before = set(sys.modules); import edge_lstm as el; dir(el)\n"
        "new = {m.split('.')[0] for m in set(sys.modules) - before} - "
        "set(sys.stdlib_module_names)\nprint(sorted(new))"
    )
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment(), check=True, timeout=60
    )
    assert done.stdout.strip() == "['edge_lstm', 'edge_lstm_runtime', 'numpy']"  # parts of NumPy


def test_the_table_of_names_is_whole() -> None:
    assert set(el._HOMES) == {*el.__all__} - {"__version__"}
    assert {*el.__all__} <= {*dir(el)}
    with pytest.raises(AttributeError, match="has no attribute 'fti'"):
        _ = el.fti  # type: ignore[attr-defined]


# --- a path, a recipe or a dict in the place of a configuration ---

VALUES = {
    "data": {"source": "aeon", "name": "BasicMotions", "split": {"by": "given", "val": 0.2}},
    "model": {"task": "classify", "hidden_size": np.int64(4)},
    "train": {"epochs": 1},
}


def test_a_dict_is_a_configuration(tmp_path: Path) -> None:
    run = el.train(VALUES, tmp_path / "run", quiet=True, figures=False)
    again = el.load_config(run.path / "config.toml")
    assert again.to_dict() == run.config.to_dict()
    assert el.load_data(VALUES).fingerprint == run.fingerprint
    assert el.load_data(run.path / "config.toml").fingerprint == run.fingerprint
    assert not (run.path / "curves.png").exists()


def test_a_recipe_is_a_configuration() -> None:
    assert len(el.load_data("recipe:activity").test) == 40


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": {"epoks": 1}}, r"configuration: \[train\] has no key 'epoks'; did you mean"),
        (
            {"train": {"epochs": "1"}},
            r"configuration: \[train\] epochs = \"1\": expected a",
        ),
        ({"trian": {}}, "configuration: there is no section or key 'trian'; did you mean 'train'"),
        ({"folder": "x"}, "configuration: there is no section or key 'folder'"),
        (
            {"train": {"weight_decay": float("nan")}},
            r"weight_decay = nan: expected a finite",
        ),
        ({"model": {"task": "clasify"}}, "did you mean 'classify'"),
    ],
)
def test_a_wrong_dict_is_told_in_one_line(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        el.train({**VALUES, **change}, tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()
