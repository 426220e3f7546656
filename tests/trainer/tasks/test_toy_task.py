"""A task from outside the packages: it is configured, trained, measured, compared and exported."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_lstm import Run, evaluate, load_config, load_run, train
from edge_lstm.cli.train import closing
from edge_lstm.compare import compare
from edge_lstm.data.examples import Examples
from edge_lstm.data.windows import examples
from edge_lstm.results.answers import answers
from edge_lstm.tasks.base import Task, task_named, task_of
from edge_lstm_export import export_run
from edge_lstm_export.c.export import export_c
from edge_lstm_export.cli.export import summary
from edge_lstm_runtime import describe, load
from edge_lstm_runtime.errors import ConfigError, TrainingError
from helpers.plug_ins import plug_in
from helpers.specs import PEERS

ANSWER = '''
"""Task "spot": whether something is there, at every step. Above 0 it is."""
import dataclasses

from edge_lstm_runtime.tasks import Answer, require


@dataclasses.dataclass(frozen=True)
class Spot(Answer):
    task = "spot"
    model = "spotter"
    several = "spots"
    thing: str

    def __post_init__(self):
        require(isinstance(self.thing, str), f"thing is {self.thing!r}, expected a name")

    @property
    def names(self):
        return (self.thing,)

    def describe(self, answer):
        return {"there": bool(answer[0] > 0)}


ANSWER = Spot
'''
TASK = '''
"""Task "spot": a column of 0 and 1 is told at every step."""
from typing import Annotated

import numpy as np
from pydantic import Field

from edge_lstm.compare.rows import Row
from edge_lstm.config.sections import TaskSection, TrainConfig
from edge_lstm.data.recordings import PARTS, Sequence, Splits
from edge_lstm.results.plots import label_axes, new_figure
from edge_lstm.tasks.base import Carried, Task
from edge_lstm.training.losses import Loss
from edge_lstm.training.tally import Tally
from toyanswer_spot import Spot


class TrainSection(TrainConfig):
    """rare  how much more a step counts at which it is there"""

    rare: Annotated[float, Field(gt=0)] = 1.0


class Section(TaskSection):
    """thing  the column"""

    MONITORS = ("loss", "hits")
    HIGHER_IS_BETTER = frozenset({"hits"})
    Train = TrainSection

    thing: str

    @property
    def target_columns(self):
        return (self.thing,)

    def divide(self, parts, channels):
        made = ([Sequence(r.full_name, r.group, r.x, None, r.y) for r in parts[p]] for p in PARTS)
        return Splits(*made, channels)

    def answer(self, splits, dt_name):
        return Spot(self.thing)


class SpotLoss(Loss):
    def __init__(self, rare):
        self.rare = rare

    def __call__(self, outputs, y, mask, last):
        from torch.nn.functional import binary_cross_entropy_with_logits as entropy

        weights = mask[..., None] * (1 + (self.rare - 1) * y)
        return entropy(outputs.float(), y, weights, reduction="sum")

    def towards(self, outputs, wanted, mask, last, temperature):
        return self(outputs, wanted.sigmoid(), mask, last)


class SpotTally(Tally):
    def start(self, device):
        import torch

        self.right = torch.zeros((), dtype=torch.int64, device=device)

    def add_steps(self, outputs, y, mask):
        self.right += (((outputs > 0) == (y > 0.5))[..., 0] & mask).sum()

    def figures(self, loss, steps, total):
        return {"val_hits": float(total(self.right)) / steps}


class SpotTask(Task):
    figure = "spots.png"
    caption = "The thing, found and missed"
    titles = {"hits": "share of hits"}
    printed = ("hits",)
    simple = {"never": "always no"}
    rivals = {"never": f"{__name__}:never"}

    def targets(self, spec, sequence):
        known = np.isfinite(sequence.y[:, 0])
        return np.where(known[:, None], sequence.y, 0), known

    def loss(self, config, spec):
        return SpotLoss(config.rare)

    def tally(self, spec, sequences):
        return SpotTally()

    def evaluate(self, spec, sequences, answers, season):
        truth = np.concatenate([s.y for s in sequences]) > 0.5
        hits = float((truth == (np.concatenate(answers) > 0)).mean())
        never = {"hits": float((~truth).mean())}
        verdict = f"{hits:.3f} of {len(truth)} steps are hits."
        return {"hits": hits, "verdict": verdict, "baselines": {"never": never}}

    def draw(self, spec, sequences, answers, metrics):
        figure = new_figure(6, 3)
        axes = figure.add_subplot()
        axes.plot(sequences[0].y)
        axes.plot(answers[0] > 0)
        label_axes(axes, spec.answer.thing, "step", "there")
        return figure

    def closing(self, test, carried):
        never_reset = f", {carried['hits']:.3f} never reset" if carried else ""
        return [f"hits            {test['hits']:.3f}{never_reset}"]

    def change(self, found, float32):
        return f"{100 * (found['hits'] - float32['hits']):+.1f} points of hits"

    def carried(self, reset, carried):
        part = Carried("hits are", f"{carried['hits']:.3f}", f"{reset['hits']:.3f}")
        return [part], carried["hits"] < reset["hits"]


def never(case):
    metrics = case.measure([np.full((len(s.x), 1), -1.0) for s in case.splits.test])
    return Row("never", "always no", metrics, 0)


TASK = SpotTask()
'''
CONFIG = """
[data]
source = "csv"
path = "spots.csv"
group = "recording"
channels = ["x"]
window = 20

[data.split]
by = "group"

[model]
task = "spot"
thing = "loud"
hidden_size = 6

[train]
epochs = 6
rare = 2.0
monitor = "hits"
learning_rate = 0.03
accelerator = "cpu"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """With the two plug-ins on the path, the data and a configuration."""
    folder = tmp_path_factory.mktemp("toy")
    plug_in(folder, "toyanswer", group="edge_lstm.answers", spot=ANSWER)
    plug_in(folder, "toytask", group="edge_lstm.tasks", spot=TASK)
    rng = np.random.default_rng(0)
    rows = ["recording,x,loud"]
    for k in range(10):
        x = rng.normal(size=60)
        rows += [f"r{k},{v:.4f},{int(abs(v) > 1)}" for v in x]
    (folder / "spots.csv").write_text("\n".join(rows) + "\n")
    (folder / "spots.toml").write_text(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder
    for name in ("toyanswer_spot", "toytask_spot"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    return train(load_config(folder / "spots.toml"), folder / "run", quiet=True)


def test_its_own_keys_and_metric_train_it(folder: Path, run: Run) -> None:
    assert run.spec.to_dict()["answer"] == {"task": "spot", "thing": "loud"}
    hits = [row["val_hits"] for row in run.history]
    assert hits.index(max(hits)) + 1 == run.metrics["best_epoch"]
    assert max(hits) > min(hits)
    again = load_run(folder / "run")
    assert again.config == run.config
    kept = load_config(folder / "run" / "config.toml")
    assert (kept.model, kept.train) == (run.config.model, run.config.train)
    assert again.splits.fingerprint == run.splits.fingerprint


def test_its_loss_and_its_metrics_are_its_own(run: Run) -> None:
    data = examples(run.spec, run.splits.val)
    assert isinstance(data, Examples)
    assert data.y.shape == (*data.mask.shape, 1)
    assert set(np.unique(data.y)) == {0, 1}
    found = answers(run.model, run.splits.val)
    truth = np.concatenate([s.x[:, 0] for s in run.splits.val])
    logits = np.concatenate(found)[:, 0].astype(np.float64)
    there = np.abs(truth) > 1
    right = there == (logits > 0)
    assert run.metrics["val"]["hits"] == pytest.approx(right.mean(), rel=1e-12)
    best = run.history[run.metrics["best_epoch"] - 1]
    assert best["val_hits"] == pytest.approx(right.mean(), rel=1e-12)
    entropy = np.log1p(np.exp(np.where(there, -logits, logits))) * np.where(there, 2, 1)
    assert best["val_loss"] == pytest.approx(entropy.mean(), rel=1e-5)
    assert task_of(run.spec).loss(run.config.train, run.spec).counts(data).sum() == len(truth)


def test_a_task_may_have_no_metrics_but_the_loss(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As documented: `Task.tally` has a default."""
    monkeypatch.setattr(type(task_named("spot")), "tally", Task.tally)
    short = {"train.epochs": 1, "train.monitor": "loss"}
    run = train(load_config(folder / "spots.toml", short), tmp_path / "run")
    assert [key for key in run.history[0] if key.startswith("val_")] == ["val_loss"]
    assert f"val loss {run.history[0]['val_loss']:.4g}  " in capsys.readouterr().err
    hits = load_config(folder / "spots.toml", {**short, "train.monitor": "hits"})
    with pytest.raises(TrainingError, match="the tally of task 'spot' gives no val_hits, only val"):
        train(hits, tmp_path / "other", quiet=True)


def test_its_figure_and_its_lines_are_there(run: Run) -> None:
    assert (run.path / "spots.png").read_bytes().startswith(b"\x89PNG")
    test = run.metrics["test"]
    carried = run.metrics["test, state never reset"]
    lines = closing(run).splitlines()
    assert f"hits            {test['hits']:.3f}, {carried['hits']:.3f} never reset" in lines
    assert any("curves.png, spots.png, tensorboard/" in line for line in lines)


def test_its_rivals_are_compared(folder: Path, run: Run) -> None:
    config = load_config(folder / "spots.toml", {"train.epochs": 1})
    found = compare(config, folder / "compared", quiet=True)
    *networks, row = found.rows
    assert len(networks) == len(PEERS)
    assert all("hits" in (network.metrics or {}) for network in networks)
    assert found.markdown.startswith("| model")
    assert "| share of hits |" in found.markdown
    assert (row.name, row.title) == ("never", "always no")
    quiet = np.mean([np.abs(s.x[:, 0]) <= 1 for s in run.splits.test])
    assert row.metrics is not None
    assert row.metrics["hits"] == pytest.approx(quiet, rel=1e-12)


def test_it_is_exported_with_a_report(folder: Path, run: Run) -> None:
    work = export_run(folder / "run", folder / "spots.edge", schemes=())
    html = (folder / "spots.html").read_text()
    measured = evaluate(run.spec, run.splits.test, work.answers)
    for text in (
        "share of hits",
        "always no",
        "The thing, found and missed",
        measured["verdict"],
        "When the state is never reset, hits are",
    ):
        assert text in html, text
    assert f"hits {measured['hits']:.4g} (test)" in summary(work)
    x = run.splits.test[0].x
    with load(folder / "spots.edge").session("numpy") as session:
        found = session.run(x)
    np.testing.assert_allclose(found, work.answers[0], rtol=1e-6, atol=1e-6)
    assert [describe(run.spec, y) for y in found] == [{"there": bool(y[0] > 0)} for y in found]


def test_it_is_exported_as_c(folder: Path, run: Run) -> None:
    export_c(run.path, folder / "c", scheme="float32")
    assert (
        "a streaming spotter, 1 channel in, 1 value out" in (folder / "c/src/model.c").read_text()
    )
    assert " * spots         loud" in (folder / "c/src/model.c").read_text()
    assert "in raw units, the spots." in (folder / "c/include/model.h").read_text()


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        (
            {"model.task": "spots"},
            r"unknown task 'spots'; did you mean 'spot'\? known here: anomaly, .* spot, tag$",
        ),
        ({"train.rare": 0}, r"\[train\] rare = 0: expected greater than 0"),
        ({"train.monitor": "rmse"}, "expected one of loss, hits for task 'spot'"),
        (
            {"model.task": "forecast", "model.horizon": 1},
            r"is for task 'spot', and task is 'forecast'; remove it",
        ),
    ],
)
def test_mistakes_name_it(folder: Path, changes: dict[str, object], answer: str) -> None:
    with pytest.raises(ConfigError, match=answer):
        load_config(folder / "spots.toml", changes)
