"""Training as a whole, on small data."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from edge_lstm import evaluate, load_data, load_run, train
from edge_lstm.cli.train import closing
from edge_lstm.config.load import load_config
from edge_lstm.config.schema import Config
from edge_lstm.results.answers import answers
from edge_lstm.training import checkpoint, loop
from edge_lstm_runtime import Session
from edge_lstm_runtime.backends.reference import Reference
from edge_lstm_runtime.errors import ConfigError, DataError, TrainingError
from helpers.configs import CLASSIFY, FORECAST
from helpers.preprocessors import in_raw_units

Configure = Callable[..., Config]
FILES = {
    "best.pt",
    "last.pt",
    "config.toml",
    "history.csv",
    "metrics.json",
    "provenance.json",
    "curves.png",
    "tensorboard",
}


@pytest.mark.usefixtures("classify_csv")
def test_classify_learns_and_writes_its_run(
    configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configure(CLASSIFY, train__epochs=10, train__learning_rate=0.02)
    run = train(config, tmp_path / "run")
    assert {p.name for p in run.path.iterdir()} == FILES | {"confusion.png"}
    assert run.metrics["test"]["accuracy"] == 1.0  # two levels that lie 4 standard deviations apart
    assert run.history[-1]["train_loss"] < run.history[0]["train_loss"]
    err = capsys.readouterr().err.splitlines()
    assert err.pop(0) == (
        "data: training 105 steps of 6 sequences, validation 35 steps of 2 sequences, "
        "test 35 steps of 2 sequences"
    )
    classes = "rest 3/1/1, walk 3/1/1 (sequences of training/validation/test)"
    assert err.pop(0) == f"classes: {classes}"
    assert err.pop(0) == "1 thread from epoch 1 on: PyTorch's default"
    assert [line.split()[1] for line in err[:10]] == [f"{k}/10" for k in range(1, 11)]
    assert all("samples/s" in line and "val loss" in line and "s left" in line for line in err[:10])
    with (run.path / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(r["val_loss"]) for r in rows] == [r["val_loss"] for r in run.history]
    assert list((run.path / "tensorboard").glob("events.out.tfevents.*"))
    for name in ("curves.png", "confusion.png"):
        assert (run.path / name).read_bytes().startswith(b"\x89PNG")
    again = load_config(run.path / "config.toml")
    assert (again.model, again.train, again.data.split) == (
        config.model,
        config.train,
        config.data.split,
    )
    assert load_data(again).fingerprint == run.fingerprint
    text = closing(run)
    assert "test accuracy   1.0000" in text
    assert f"edge-lstm export {run.path} --target rk3588" in text


@pytest.mark.usefixtures("forecast_csv")
@pytest.mark.parametrize("residual", [False, True])
def test_forecast_metrics_are_those_of_the_reference(
    configure: Configure, tmp_path: Path, residual: bool
) -> None:
    run = train(
        configure(
            FORECAST,
            train__epochs=15,
            train__learning_rate=0.02,
            model__residual=residual,
            data__season=10,
        ),
        tmp_path / "run",
        quiet=True,
    )
    assert {p.name for p in run.path.iterdir()} == FILES | {"forecast.png"}
    streamed = []
    for sequence in run.splits.test:
        xs, filled = run.spec.inputs.features(sequence.x)
        outputs = Reference(run.spec, run.weights).run(xs)
        streamed.append(in_raw_units(run.spec, outputs, filled))
    by_reference = evaluate(run.spec, run.splits.test, streamed, season=10)
    assert run.metrics["test"]["rmse"] == pytest.approx(by_reference["rmse"], rel=1e-4)
    assert run.metrics["test"]["beats_naive"] is True  # a wave is easily forecast
    assert run.metrics["test"]["verdict"] in closing(run)
    val = evaluate(run.spec, run.splits.val, answers(run.model, run.splits.val))
    best = run.history[run.metrics["best_epoch"] - 1]
    assert best["val_rmse"] == pytest.approx(val["rmse"], rel=1e-5)
    assert best["val_loss"] == min(r["val_loss"] for r in run.history)


@pytest.mark.usefixtures("classify_csv")
def test_the_same_seed_gives_the_same_weights(configure: Configure, tmp_path: Path) -> None:
    runs = [
        train(configure(CLASSIFY, train__seed=seed), tmp_path / name, quiet=True)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    for name, array in runs[0].weights.items():
        np.testing.assert_array_equal(array, runs[1].weights[name])
    assert not np.array_equal(runs[0].weights["lstm0.W_x"], runs[2].weights["lstm0.W_x"])


def test_unequal_lengths_train(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(
        '[data]\nsource = "aeon"\nname = "JapaneseVowels"\n[data.split]\nby = "given"\nval = 0.2\n'
        '[model]\ntask = "classify"\nhidden_size = 24\n'
        '[train]\nepochs = 12\nbatch_size = 16\nlearning_rate = 0.01\naccelerator = "cpu"\n'
        'monitor = "accuracy"\n'
    )
    run = train(load_config(tmp_path / "c.toml"), tmp_path / "run", quiet=True)
    assert run.spec.answer.classes == tuple(str(k) for k in range(1, 10))
    assert len(run.spec.inputs.names) == 12
    lengths = {len(s.x) for s in run.splits.test}
    assert min(lengths) == 7
    assert max(lengths) == 29
    assert run.metrics["test"]["accuracy"] > 0.85
    assert (
        run.metrics["best_epoch"]
        == max(run.history, key=lambda r: (r["val_accuracy"], -r["val_loss"]))["epoch"]
    )


@pytest.mark.usefixtures("classify_csv")
def test_bf16_runs_on_the_cpu(configure: Configure, tmp_path: Path) -> None:
    run = train(
        configure(CLASSIFY, train__precision="bf16", train__epochs=6, train__learning_rate=0.02),
        tmp_path / "run",
        quiet=True,
    )
    assert all(w.dtype == np.float32 for w in run.weights.values())
    assert run.metrics["test"]["accuracy"] == 1.0


@pytest.mark.usefixtures("classify_csv")
@pytest.mark.parametrize(
    "settings",
    [
        {"train__optimizer": "adam"},
        {"model__num_layers": 3, "model__dropout": 0.2},
        {"train__batch_size": 1000},
    ],
)
def test_other_settings_train(
    configure: Configure, tmp_path: Path, settings: dict[str, object]
) -> None:
    run = train(configure(CLASSIFY, **settings), tmp_path / "run", quiet=True)
    assert len(run.history) == 2


@pytest.mark.usefixtures("forecast_csv")
def test_early_stopping_keeps_the_best(
    configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(
        configure(FORECAST, train__epochs=200, train__learning_rate=0.3, train__patience=3),
        tmp_path / "run",
    )
    values = [r["val_loss"] for r in run.history]
    assert len(values) < 200
    assert run.metrics["best_epoch"] == 1 + int(np.argmin(values)) == len(values) - 3
    assert (
        f"stopped after epoch {len(values)}: 3 epochs without a better loss"
        in capsys.readouterr().err
    )
    assert load_run(run.path, "last").history == run.history


@pytest.mark.usefixtures("classify_csv")
def test_a_batch_larger_than_the_data_takes_no_memory(configure: Configure, tmp_path: Path) -> None:
    runs = [
        train(configure(CLASSIFY, train__batch_size=size), tmp_path / str(size), quiet=True)
        for size in (10_000, 2**63 - 1)
    ]
    assert runs[0].metrics == runs[1].metrics


@pytest.mark.usefixtures("forecast_csv")
def test_a_loss_that_is_not_finite_stops_with_the_reason(
    configure: Configure, tmp_path: Path
) -> None:
    config = configure(FORECAST, train__learning_rate=1e30, train__warmup=0.0)
    with pytest.raises(TrainingError) as caught:
        train(config, tmp_path / "first", quiet=True)
    for words in (
        "epoch 1, step ",
        "the loss is ",
        "the gradient norm ",
        "too high: try learning_rate = 1e+29",
        "no checkpoint",
    ):
        assert words in str(caught.value)


def ruin(monkeypatch: pytest.MonkeyPatch, chosen: Callable[[int, int], bool]) -> None:
    """Steps with far too high a learning rate. chosen: of a step's number and the number of all."""
    rates = loop.learning_rate
    monkeypatch.setattr(
        loop,
        "learning_rate",
        lambda step, total, *of: 1e30 if chosen(step, total) else rates(step, total, *of),
    )


@pytest.mark.usefixtures("forecast_csv")
def test_the_best_checkpoint_outlives_a_loss_that_is_not_finite(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ruin(monkeypatch, lambda step, _: step > 15)
    with pytest.raises(TrainingError, match=r"the best checkpoint, of epoch \d, is kept"):
        train(configure(FORECAST, train__epochs=8), tmp_path / "run", quiet=True)
    run = load_run(tmp_path / "run")
    assert all(np.isfinite(w).all() for w in run.weights.values())
    assert run.metrics == {}


@pytest.mark.usefixtures("forecast_csv")
def test_the_last_step_of_all_may_be_the_one_that_ruins_the_model(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss before that step is finite. Only the validation split shows it."""
    ruin(monkeypatch, lambda step, total: step == total - 1)
    with pytest.raises(
        TrainingError,
        match=r"^training stopped in epoch 1, step 5: the loss is \d\S*, the gradient norm \d\S*, "
        r"the validation loss after it (inf|nan); likely the learning rate is too high.*; "
        r"there is no checkpoint yet$",
    ):
        train(configure(FORECAST, train__epochs=1), tmp_path / "run", quiet=True)


def test_an_outlier_is_named_as_the_reason(configure: Configure, tmp_path: Path) -> None:
    rows = [f"{1e6 if k == 6 else k % 2},{k % 3}" for k in range(20_000)]
    (tmp_path / "data.csv").write_text("a,b\n" + "\n".join(rows) + "\n")
    config = configure(FORECAST, train__learning_rate=1e30, train__warmup=0.0)
    with pytest.raises(
        TrainingError,
        match="likely an input is 110 standard deviations from the training mean: look for wrong "
        "values",
    ):
        train(config, tmp_path / "run", quiet=True)


@pytest.mark.usefixtures("classify_csv")
def test_a_folder_with_a_run_is_not_overwritten(
    configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configure(CLASSIFY)
    train(config, tmp_path / "run", quiet=True)
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "run").iterdir()}
    with pytest.raises(TrainingError, match="holds a run already; go on with it by --resume"):
        train(config, tmp_path / "run", quiet=True)
    with pytest.raises(TrainingError, match="there is no run to resume"):
        train(config, tmp_path / "other", resume=True, quiet=True)
    again = train(config, tmp_path / "run", resume=True)
    assert "all 2 epochs done; there is nothing to resume" in capsys.readouterr().err
    assert {p.name: p.stat().st_mtime_ns for p in (tmp_path / "run").iterdir()} == before
    assert again.metrics["test"]
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="can't be written"):
        train(config, tmp_path / "file" / "run", quiet=True)


def test_a_resume_with_something_changed_says_what(
    classify_csv: Path, configure: Configure, tmp_path: Path
) -> None:
    train(configure(CLASSIFY), tmp_path / "run", quiet=True)
    with pytest.raises(
        TrainingError,
        match=r"model.hidden_size was 6 and is 7; the configuration's train.epochs was 2 and is 3",
    ):
        train(
            configure(CLASSIFY, train__epochs=3, model__hidden_size=7),
            tmp_path / "run",
            resume=True,
            quiet=True,
        )
    classify_csv.write_text(classify_csv.read_text() + "s1,rest,1,1\n")
    with pytest.raises(TrainingError, match="the data has changed"):
        train(configure(CLASSIFY), tmp_path / "run", resume=True, quiet=True)
    run = load_run(tmp_path / "run")
    with pytest.raises(DataError, match="the data has changed since this run was trained"):
        _ = run.splits


@pytest.mark.usefixtures("classify_csv")
def test_damaged_runs_are_refused(configure: Configure, tmp_path: Path) -> None:
    train(configure(CLASSIFY), tmp_path / "run", quiet=True)
    best = tmp_path / "run" / "best.pt"
    whole = best.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], b"not a checkpoint"):
        best.write_bytes(damaged)
        with pytest.raises(TrainingError, match=r"best.pt: damaged, or no checkpoint"):
            load_run(tmp_path / "run")
    torch.save({"format": 99}, best)
    with pytest.raises(TrainingError, match="checkpoint format 99, expected 3"):
        load_run(tmp_path / "run")
    contents = torch.load(tmp_path / "run" / "last.pt", weights_only=True)
    contents["spec"]["network"][0]["units"] = 9
    checkpoint.save(best, contents)
    with pytest.raises(TrainingError, match="doesn't fit this version"):
        load_run(tmp_path / "run")
    with pytest.raises(
        TrainingError, match=r"there is no best.pt; expected the folder of a training run"
    ):
        load_run(tmp_path)
    best.write_bytes(whole)
    (tmp_path / "run" / "metrics.json").write_text("{")
    with pytest.raises(TrainingError, match=r"metrics.json: damaged"):
        load_run(tmp_path / "run")


@pytest.mark.usefixtures("classify_csv")
def test_metrics_are_plain_json(configure: Configure, tmp_path: Path) -> None:
    run = train(configure(CLASSIFY), tmp_path / "run", quiet=True)
    plain = json.loads((run.path / "metrics.json").read_text())
    assert re.fullmatch("[0-9a-f]{64}", plain.pop("sha256"))
    assert plain == run.metrics
    assert set(run.metrics) == {
        "best_epoch",
        "epochs",
        "threads",
        "training_windows",
        "notes",
        "val",
        "test",
        "test, state never reset",
    }


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about a machine without a GPU")
@pytest.mark.usefixtures("classify_csv")
def test_a_device_that_is_not_there(configure: Configure, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[train\] accelerator = 'cuda'"):
        train(configure(CLASSIFY, train__accelerator="cuda"), tmp_path / "run", quiet=True)


@pytest.mark.usefixtures("classify_csv")
def test_a_graph_is_recorded_on_a_gpu_alone(configure: Configure, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=r"cuda_graph = true: a step is recorded on a GPU, and this one runs on 'cpu'; "
        r"remove it",
    ):
        train(configure(CLASSIFY, train__cuda_graph=True), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()
    with pytest.raises(
        ConfigError,
        match=r"cuda_graph = true: expected false: only a step with `dropout` = 0 is recorded",
    ):
        configure(CLASSIFY, train__cuda_graph=True, model__num_layers=2, model__dropout=0.1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.usefixtures("forecast_csv")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_recorded_steps_train_as_steps_do(
    configure: Configure, tmp_path: Path, precision: str
) -> None:
    settings = {"train__accelerator": "cuda", "train__precision": precision, "train__epochs": 6}
    plain = train(configure(FORECAST, **settings), tmp_path / "plain", quiet=True)
    recorded = train(
        configure(FORECAST, **settings, train__cuda_graph=True), tmp_path / "recorded", quiet=True
    )
    for expected, found in zip(plain.history, recorded.history, strict=True):
        assert found["train_loss"] == pytest.approx(expected["train_loss"], rel=1e-3)
        assert found["val_loss"] == pytest.approx(expected["val_loss"], rel=1e-3)


def test_the_test_split_is_measured_as_one_stream_too(configure: Configure, tmp_path: Path) -> None:
    """For recordings with gaps: the last value before bridges one, whatever recording it was in."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(8, 12)) + np.resize([[-0.5], [0.5]], (8, 1))
    values[rng.random((8, 12)) < 0.2] = np.nan
    rows = [
        f"u{k},{k % 2},{'' if np.isnan(v) else f'{v:.3f}'}"
        for k, row in enumerate(values)
        for v in row
    ]
    (tmp_path / "data.csv").write_text("unit,kind,a\n" + "\n".join(rows) + "\n")
    config = configure(
        '[data]\nsource = "csv"\npath = "data.csv"\nchannels = ["a"]\nlabel = "kind"\n'
        'group = "unit"\n'
        'missing = "ffill"\n[data.split]\nby = "group"\nval = ["u0", "u1"]\n'
        'test = ["u2", "u3", "u4", "u5"]\n'
        '[model]\ntask = "classify"\nhidden_size = 4\n[train]\nepochs = 20\ncarry = 0.0\n'
        'learning_rate = 0.1\naccelerator = "cpu"\n'
    )
    run = train(config, tmp_path / "run", quiet=True)
    test = [run.splits.test[n] for n in np.random.default_rng(0).permutation(len(run.splits.test))]
    every = []
    last = []
    with Session(run.spec, Reference(run.spec, run.weights)) as session:
        for recording in test:
            every += [int(session.step(x).argmax()) == recording.label for x in recording.x]
            last.append(every[-1])
    found = run.metrics["test, state never reset"]
    assert (found["sequences"], found["steps"]) == (len(test), len(every)) == (4, 48)
    assert [found["accuracy"], found["accuracy_all_steps"]] == pytest.approx(
        [np.mean(last), np.mean(every)], abs=1e-6
    )
    assert found["accuracy_all_steps"] != run.metrics["test"]["accuracy_all_steps"]
    last_share = f"{np.mean(last):.4f}"
    every_share = f"{np.mean(every):.4f}"
    said = f"never reset     {last_share} at the last step, {every_share} over all steps"
    assert said in closing(run).splitlines()
