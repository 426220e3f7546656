"""The export's test metric against that of the training."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from edge_lstm import load_run
from edge_lstm.training import checkpoint
from edge_lstm_export import export_c, export_run
from edge_lstm_export.measure.same import differs_from_training
from edge_lstm_runtime import ConversionError, read_bundle
from edge_lstm_runtime.cli import main
from helpers.commands import environment

CLASSES = {"accuracy": 0.95, "accuracy_all_steps": 0.9, "sequences": 40, "steps": 4000}
STEPS = {"accuracy": 0.95, "sequences": 2, "steps": 4000}  # tags
FORECAST = {"rmse": 64.0, "nrmse": 0.3, "steps": 100}


@pytest.mark.parametrize(
    ("trained", "measured", "same"),
    [
        (CLASSES, {}, True),
        (CLASSES, {"accuracy": 1.0}, True),  # two sequences of 40
        (CLASSES, {"accuracy": 0.875}, False),  # three
        (CLASSES, {"accuracy_all_steps": 0.901}, True),
        (CLASSES, {"accuracy_all_steps": 0.905}, False),
        (CLASSES, {"accuracy": None}, False),
        (STEPS, {"accuracy": 0.9507}, True),
        (STEPS, {"accuracy": 0.953}, False),
        (FORECAST, {"nrmse": 0.30025}, True),
        (FORECAST, {"nrmse": 0.3005}, False),
        (FORECAST, {"nrmse": float("nan")}, False),
        ({**FORECAST, "nrmse": 1e-7}, {"nrmse": 2e-7}, True),  # exact but for rounding
        ({"bits_per_character": 2.0}, {"bits_per_character": 2.001}, True),
        ({"bits_per_character": 2.0}, {"bits_per_character": 2.01}, False),
    ],
)
def test_differences(trained, measured, same):
    assert (differs_from_training(trained, {**trained, **measured}) is None) == same


@pytest.mark.parametrize("trained", [{}, {"accuracy": 0.95}, {**CLASSES, "accuracy": "0.95"}])
def test_metrics_that_lack_something_differ(trained):
    assert differs_from_training(trained, CLASSES) is not None


def test_other_weights_than_those_of_the_metrics(trained, tmp_path, capsys):
    """Whoever writes a checkpoint anew gives it a right sha256."""
    run = tmp_path / "run"
    run.mkdir()
    for name in ("best.pt", "metrics.json"):
        (run / name).write_bytes((trained.path / name).read_bytes())
    assert main(["export", str(run), "--no-npu", "-o", str(tmp_path / "a.edge")]) == 0
    contents = checkpoint.load(run / "best.pt")
    contents["model"] = {name: -tensor for name, tensor in contents["model"].items()}
    checkpoint.save(run / "best.pt", contents)
    capsys.readouterr()
    assert main(["export", str(run), "--no-npu", "-o", str(tmp_path / "a.edge")]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"DOUBTFUL: {run}: the test accuracy is ")
    assert last.endswith(
        " in metrics.json; the checkpoint, the metrics or the data are not those of the training: "
        "train again"
    )
    assert last.removeprefix("DOUBTFUL: ") in read_bundle(tmp_path / "a.edge").manifest["notes"]


@pytest.mark.parametrize("metrics", [{}, None, [], {"test": []}])
def test_a_run_that_has_not_ended(trained, tmp_path, metrics):
    run = dataclasses.replace(load_run(trained.path), metrics=metrics)
    with pytest.raises(ConversionError, match="the training has not ended, there is no metrics"):
        export_run(run, tmp_path / "a.edge", schemes=())
    assert not list(tmp_path.iterdir())


HOLD = (
    "import sys, time; from pathlib import Path\n"
    "from edge_lstm_runtime.files import one_at_a_time\n"
    "with one_at_a_time(Path(sys.argv[1]), SystemExit):\n"
    "    print('held', flush=True); time.sleep(60)"
)


@pytest.mark.parametrize("name", ["a.edge", "c"])
def test_two_exports_at_once(trained, tmp_path, name):
    """The other process holds what an export holds from its first step to its last."""
    out = tmp_path / name
    export = export_c if name == "c" else lambda run, to: export_run(run, to, schemes=())
    export(trained, out)
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(out)], env=environment(), stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    try:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(ConversionError, match=rf"^{out}: another process holds it"):
            export(trained, out)
    finally:
        other.kill()
        other.communicate()
    export(trained, out)
    assert not [p.name for p in tmp_path.iterdir() if p.name.endswith((".lock", ".tmp"))]
