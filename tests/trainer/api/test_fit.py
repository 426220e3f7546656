"""`fit`: data in memory to a run that is as any other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.metrics import accuracy_score, r2_score

import edge_lstm as el
import edge_lstm_runtime as rt
from edge_lstm.data.in_frames import polars_frame
from edge_lstm.data.in_memory import given
from edge_lstm_runtime.errors import ConfigError, DataError
from helpers.arrays import Array
from helpers.fits import EACH, FRAME, GROUPED, LENGTHS, LISTED, RNG, WAVE, X, Y, small


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


def test_rows_of_pandas_are_taken_in_their_order() -> None:
    """Not by the labels of the index, which `sample` and a split leave in another order."""
    x = [np.full((3, 1), float(k)) for k in range(4)]
    y = ["a", "b", "c", "d"]
    for index in ([3, 2, 1, 0], [7, 0, 9, 2]):
        for data in (x, pd.Series(x, index)):
            found = given(data, pd.Series(y, index), pd.Series(y, index)).recordings
            assert [r.x[0, 0] for r in found] == [0, 1, 2, 3]
            assert [str(r.labels[0]) for r in found if r.labels is not None] == y
            assert [r.group for r in found] == y


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_of_pandas_in_every_unit(unit: str) -> None:
    time = pd.Series(np.array(["2024-01-01T00:00:01", "2024-01-01T00:00:03"], f"M8[{unit}]"))
    frame = pd.DataFrame({"time": time, "since": time - time[0]})
    assert frame["time"].dtype == f"M8[{unit}]"
    found = polars_frame(frame)
    assert found["time"].dt.epoch("s").to_list() == [1_704_067_201, 1_704_067_203]
    assert found["since"].dt.total_seconds().to_list() == [0, 2]


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
