"""The folder of a `fit`, what it refuses, and configurations from Python."""

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

import edge_lstm as el
import edge_lstm_runtime as rt
from edge_lstm.training import loop
from edge_lstm_runtime.errors import ConfigError, DataError, MissingDependencyError, TrainingError
from helpers.commands import environment
from helpers.fits import EACH, GROUPED, LISTED, X, Y, small

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
    "several machines": ((X, Y), {"num_nodes": 2}, ConfigError, r"fit\(num_nodes=2\): trains in"),
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
    assert done.stdout.strip() == "['edge_lstm', 'edge_lstm_runtime']"


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


def test_a_wrong_value_is_told_of_the_callers_data() -> None:
    """And not of the temporary file that keeps it."""
    bad = np.random.default_rng(0).normal(size=(20, 20, 2))
    bad[3, 4, 1] = np.inf
    with pytest.raises(DataError, match=r"^x\[3\]: column 'channel_1', row 5: the value is inf; "):
        el.fit(bad, ["a", "b"] * 10, epochs=1, quiet=True, figures=False)
    frame = pl.DataFrame({"users": [1.0, np.inf, *range(98)]})
    with pytest.raises(DataError, match=r"^the data: column 'users', row 2: the value is inf; "):
        el.fit(frame, target="users", horizon=1, epochs=1, quiet=True, figures=False)
    with pytest.raises(ConfigError, match=r"^fit\(target=\.\.\.\): \[model\] targets"):
        el.fit(frame, target=["users", "users"], horizon=1, quiet=True)
    with pytest.raises(ConfigError, match=r"^fit\(target=\.\.\.\): is for task"):
        el.fit(bad, ["a", "b"] * 10, target="u", quiet=True)
