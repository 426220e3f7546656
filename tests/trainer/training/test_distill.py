"""Distillation: the loss is the paper's, the teacher is used, and a wrong one is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from edge_lstm import train
from edge_lstm.cli.train import closing
from edge_lstm.config.schema import Config
from edge_lstm.network import CompactNet
from edge_lstm.training.distill import Teacher
from edge_lstm.training.losses import NumberLoss, SequenceClassLoss, StepClassLoss
from edge_lstm_runtime import ConfigError, TrainingError
from helpers.configs import CLASSIFY, FORECAST
from helpers.interrupt import interrupt
from helpers.specs import hidden_size, plain_spec

DISTILL = "\n[distill]\nhidden_size = 9\n"


def test_classes_are_compared_by_the_divergence_of_the_softened_ones() -> None:
    """Against the sum that defines it, in float64."""
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(size=(2, 3, 5, 4))
    lengths = np.array([5, 2, 4])
    T = 3.0

    def soft(logits: np.ndarray) -> np.ndarray:
        e = np.exp(logits / T)
        return e / e.sum(axis=-1, keepdims=True)

    p = soft(theirs)
    q = soft(ours)
    terms = T**2 * (p * np.log(p / q)).sum(axis=-1)
    mask = np.arange(5) < lengths[:, None]
    arguments = [torch.from_numpy(a) for a in (ours, theirs, mask, lengths - 1)]
    for loss in (SequenceClassLoss(), StepClassLoss()):
        assert float(loss.towards(*arguments, T)) == pytest.approx(terms[mask].sum(), rel=1e-5)
    last = terms[np.arange(3), lengths - 1].sum()
    at_the_end = SequenceClassLoss(last_step=True).towards(*arguments, T)
    assert float(at_the_end) == pytest.approx(last, rel=1e-5)
    squared = (ours - theirs)[mask] ** 2
    assert float(NumberLoss().towards(*arguments, T)) == pytest.approx(squared.sum(), rel=1e-5)


def test_the_weight_is_the_teachers_share() -> None:
    teacher = Teacher(CompactNet(plain_spec(1, 2)), temperature=1.0, weight=0.25)
    assert teacher.mix(torch.tensor(8.0), torch.tensor(100.0)).item() == 31  # 6 + 25


@pytest.mark.usefixtures("forecast_csv")
def test_a_student_that_only_follows_ends_near_its_teacher(
    configure: Callable[..., Config], tmp_path: Path
) -> None:
    settings: dict[str, object] = {"train__epochs": 30, "train__learning_rate": 0.02}
    teacher = train(configure(FORECAST, **settings), tmp_path / "teacher", quiet=True)
    text = FORECAST + "[distill]\nteacher = 'teacher'\nweight = 1.0\n"
    # The student's own targets are 0 times in the loss, so what it knows it has from the teacher.
    run = train(configure(text, **settings, train__seed=1), tmp_path / "run", quiet=True)
    x = torch.randn(1, 60, 2)
    with torch.no_grad():
        ours = run.model(x)[0]
        theirs = teacher.model(x)[0]
    assert (ours - theirs).square().mean() < 0.3 * theirs.var()
    rows = run.metrics["compact"]
    assert [row["model"] for row in rows] == ["teacher", "student"]
    assert rows[0]["test"]["rmse"] == teacher.metrics["test"]["rmse"]
    assert rows[1]["test"]["rmse"] == run.metrics["test"]["rmse"]
    shutil.rmtree(teacher.path)  # what is needed of it is in the run
    (run.path / "metrics.json").unlink()
    assert train(run.config, run.path, resume=True, quiet=True).metrics == run.metrics


@pytest.mark.usefixtures("classify_csv")
@pytest.mark.parametrize("where", ["teacher", pytest.param("run", marks=pytest.mark.slow)])
def test_a_teacher_is_trained_first_and_either_part_resumes(
    configure: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    config = configure(CLASSIFY + DISTILL, train__epochs=3)
    expected = train(config, tmp_path / "whole", quiet=True)
    plain = train(configure(CLASSIFY, train__epochs=3), tmp_path / "plain", quiet=True)
    assert hidden_size(expected.spec) == 6
    assert expected.history[0]["train_loss"] != plain.history[0]["train_loss"]
    alone = train(
        configure(CLASSIFY, train__epochs=3, model__hidden_size=9), tmp_path / "alone", quiet=True
    )
    assert expected.metrics["compact"][0]["test"]["macro_f1"] == alone.metrics["test"]["macro_f1"]
    assert "teacher" in closing(expected)
    interrupt(config, tmp_path / "run", where, 2, monkeypatch)
    resumed = train(config, tmp_path / "run", resume=True, quiet=True)
    assert resumed.metrics == expected.metrics
    for name, array in expected.weights.items():
        np.testing.assert_array_equal(array, resumed.weights[name])


@pytest.mark.usefixtures("classify_csv")
def test_a_teacher_is_pruned_with_and_a_bidirectional_one_works(
    configure: Callable[..., Config], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = CLASSIFY + DISTILL + "[prune]\nhidden_size = 4\nsteps = 1\n"
    run = train(configure(text, model__bidirectional=True), tmp_path / "run")
    said = capsys.readouterr().err.splitlines()
    assert f"{tmp_path}/run/teacher: the teacher, 9 units" in said
    assert [row["model"] for row in run.metrics["compact"]] == [
        "teacher",
        "before pruning",
        "cut to 4",
        "4, fine-tuned",
    ]
    assert run.weights["head.W"].shape == (8, 2)


@pytest.mark.usefixtures("classify_csv")
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"data__channels": ["b", "a"]},
            r"does not fit: its inputs.channels was \['b', 'a'\] and is \['a', 'b'\]; expected "
            r"one of",
        ),
        (
            {"data__split__val": ["s3"]},
            "does not fit: its inputs.mean was|trained on other data or another split",
        ),
        ({"model__bidirectional": True}, "its bidirectional was True and is False"),
    ],
)
def test_a_teacher_of_other_data_is_refused(
    configure: Callable[..., Config], tmp_path: Path, changes: dict[str, object], expected: str
) -> None:
    train(configure(CLASSIFY, **changes), tmp_path / "teacher", quiet=True)
    with pytest.raises(TrainingError, match=expected) as caught:
        train(
            configure(CLASSIFY + "[distill]\nteacher = 'teacher'\n"), tmp_path / "run", quiet=True
        )
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("classify_csv")
def test_no_teacher_there_is_one_line(configure: Callable[..., Config], tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError,
        match=r"\[distill\] teacher = 'nowhere': there is no finished run in .*; train it first",
    ):
        train(
            configure(CLASSIFY + "[distill]\nteacher = 'nowhere'\n"), tmp_path / "run", quiet=True
        )


@pytest.mark.usefixtures("classify_csv")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            CLASSIFY + "[distill]\nweight = 0.5\n",
            "expected either `teacher`, a run's folder, or `hidden_size`",
        ),
        (CLASSIFY + "[distill]\nhidden_size = 6\n", "expected more than the 6 units"),
        (CLASSIFY + "[distill]\nhidden_size = 20000\n", "expected at most 16384 units"),
        (
            FORECAST + "[distill]\nhidden_size = 8\ntemperature = 2.0\n",
            "is for tasks 'classify', 'language' and 'tag'",
        ),
        (CLASSIFY + "[prune]\nhidden_size = 6\n", "expected less than the 6 units"),
        (
            CLASSIFY + "[prune]\nhidden_size = 4\nstep = 2\n",
            r"\[prune\] has no key 'step'; did you mean 'steps'",
        ),
    ],
)
def test_contradictions_are_one_line(
    configure: Callable[..., Config], text: str, expected: str
) -> None:
    with pytest.raises(ConfigError, match=expected):
        configure(text)
