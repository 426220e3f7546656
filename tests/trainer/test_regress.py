"""Task "regress": columns of a table that are answered at every step."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_lstm import Config, Sequence, evaluate, load_config, load_data, train
from edge_lstm.compare import compare
from edge_lstm.compare.regressions import linear, mean
from edge_lstm.compare.rows import Case
from edge_lstm.data.load import make_spec
from edge_lstm.data.windows import examples
from edge_lstm.emulate.cpu_int8 import Int8Net
from edge_lstm.results.answers import answers
from edge_lstm.training.progress import Reporter
from edge_lstm_runtime import Reference, describe
from edge_lstm_runtime.errors import BundleError, ConfigError, DataError
from edge_lstm_runtime.inputs.channels import Channels
from edge_lstm_runtime.model.spec import ModelSpec
from edge_lstm_runtime.tasks.regress import Regress
from helpers.configs import TURBOFAN
from helpers.specs import PEERS, chain

Configure = Callable[..., Config]

REGRESS = """
[data]
source = "csv"
path = "data.csv"
channels = ["a", "b"]
group = "unit"

[data.split]
by = "group"
val = ["u4"]
test = ["u5"]

[model]
task = "regress"
targets = ["level", "swing"]
hidden_size = 8

[train]
epochs = 25
batch_size = 2
learning_rate = 0.02
accelerator = "cpu"
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Five units of 40 to 48 rows: level is a running mean of a, swing 100 times that of |b|.

    Every tenth level is unknown.
    """
    rng = np.random.default_rng(0)
    lines = ["unit,a,b,level,swing"]
    for unit in range(1, 6):
        level = swing = 0.0
        for row, (a, b) in enumerate(rng.normal(size=(38 + 2 * unit, 2))):
            level = 0.7 * level + 0.3 * a
            swing = 0.7 * swing + 30 * abs(b)
            lines.append(
                f"u{unit},{a:.5f},{b:.5f},{'' if row % 10 == 9 else f'{level:.5f}'},{swing:.5f}"
            )
    path = tmp_path / "data.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.usefixtures("table")
def test_metrics_are_those_of_the_reference_by_a_plain_loop(
    configure: Configure, tmp_path: Path
) -> None:
    run = train(configure(REGRESS), tmp_path / "run", quiet=True)
    assert run.spec.answer.targets == run.spec.answer.names == ("level", "swing")
    assert (run.path / "regression.png").exists()
    test = run.metrics["test"]
    (sequence,) = run.splits.test
    assert sequence.y is not None
    truths = np.concatenate([s.y for s in run.splits.train if s.y is not None])
    np.testing.assert_allclose(run.spec.answer.offset, np.nanmean(truths, axis=0), rtol=1e-12)
    np.testing.assert_allclose(run.spec.answer.scale, np.nanstd(truths, axis=0), rtol=1e-12)
    outputs = Reference(run.spec, run.weights).run(run.spec.features(sequence.x))
    answers = outputs * run.spec.answer.scale + run.spec.answer.offset
    errors = [
        (a - y, np.asarray(run.spec.answer.offset) - y)
        for a, y in zip(answers, sequence.y, strict=True)
        if np.isfinite(y).all()
    ]
    assert test["steps"] == len(errors) == 44  # of 48
    model, mean = (np.array(e) for e in zip(*errors, strict=True))
    known = sequence.y[np.isfinite(sequence.y).all(axis=1)]
    for found, error in ((test, model), (test["baselines"]["mean"], mean)):
        for j, target in enumerate(("level", "swing")):
            e = error[:, j]
            rmse = math.sqrt((e**2).mean())
            expected = {"mae": np.abs(e).mean(), "rmse": rmse, "nrmse": rmse / known[:, j].std()}
            expected["spread"] = (e + known[:, j]).std() / known[:, j].std()  # of the answers
            expected |= {"mae_last": abs(e[-1]), "rmse_last": abs(e[-1])}
            assert found["per_target"][target] == pytest.approx(expected, rel=1e-5, abs=1e-12)
    assert test["beats_mean"] is True
    lines = test["verdict"].splitlines()
    assert len(lines) == 2
    for target, line in zip(("level", "swing"), lines, strict=True):
        title = "the mean of the training split over all steps"
        assert line.startswith(f"{target}: The model beats {title}: MAE ")
    rows = [row["val_nrmse"] for row in run.history]
    best = rows[run.metrics["best_epoch"] - 1]
    assert run.metrics["val"]["nrmse"] == pytest.approx(best, rel=1e-4)
    assert not {"val_mae", "val_rmse"} & set(run.history[0])
    assert [run.metrics["val"][key] for key in ("mae", "rmse")] == [None, None]
    told = describe(run.spec, answers[-1])
    assert told == {"value": {"level": answers[-1][0], "swing": answers[-1][1]}}


def test_an_unknown_target_counts_neither_in_training_nor_in_the_data_before_it(
    table: Path, configure: Configure
) -> None:
    config = configure(REGRESS)
    splits = load_data(config)
    spec = make_spec(config, splits)
    made = examples(spec, splits.train)
    assert not made.mask[:, 9].any()
    assert made.mask[:, :9].all()
    y = splits.train[0].y
    assert y is not None
    np.testing.assert_allclose(
        made.y[0][:9] * spec.answer.scale + spec.answer.offset, y[:9], rtol=1e-5
    )
    table.write_text(table.read_text().rsplit(",", 1)[0] + ",12345\n")
    changed = load_data(config)
    assert changed.fingerprint != splits.fingerprint
    table.write_text(
        "\n".join(
            line if k == 0 else line.rsplit(",", 2)[0] + ",,1"
            for k, line in enumerate(table.read_text().splitlines())
        )
    )
    with pytest.raises(DataError, match="target 'level' has no known value in the training split"):
        make_spec(config, load_data(config))


def test_the_last_known_step_of_each_sequence_is_the_one_that_counts() -> None:
    answer = Regress(("life",), offset=(2.0,), scale=(1.0,))
    spec = ModelSpec(Channels(("a",), (0.0,), (1.0,)), chain(1, 2, 1, 1), answer)
    truths = [[1.0, 4.0, math.nan], [math.nan], [3.0]]
    sequences = [
        Sequence(str(k), "g", np.zeros((len(y), 1)), y=np.array(y)[:, None])
        for k, y in enumerate(truths)
    ]
    found = evaluate(
        spec, sequences, [np.array([[1.0], [5.0], [99.0]]), np.array([[7.0]]), np.array([[6.0]])]
    )
    assert (found["sequences"], found["steps"]) == (2, 3)
    assert (found["mae"], found["mae_last"]) == pytest.approx((4 / 3, 2))
    assert found["rmse_last"] == pytest.approx(math.sqrt((1 + 9) / 2))
    assert found["baselines"]["mean"]["mae"] == pytest.approx((1 + 2 + 1) / 3)
    with pytest.raises(DataError, match="no step of the 1 sequences has a known target"):
        evaluate(spec, sequences[1:2], [np.array([[7.0]])])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"targets": []}, "targets has 0 names, expected at least 1"),
        ({"horizon": 1}, r"unknown keys \['horizon'\]; task 'regress' has"),
        ({"residual": True}, r"unknown keys \['residual'\]; task 'regress' has"),
        ({"scale": [1.0, 2.0]}, "scale has 2 values, expected 1"),
    ],
)
def test_an_answer_that_contradicts_itself(values: dict[str, object], words: str) -> None:
    answer = {"task": "regress", "targets": ["life"], "offset": [0.0], "scale": [1.0]}
    parts = {
        "inputs": Channels(("a",), (0.0,), (1.0,)).to_dict(),
        "network": chain(1, 2, 1, 1).to_list(),
    }
    assert ModelSpec.from_dict({**parts, "answer": answer}).output_size == 1
    with pytest.raises(BundleError, match=words):
        ModelSpec.from_dict({**parts, "answer": answer | values})


def test_a_regression_does_not_read_both_ways() -> None:
    answer = Regress(("life",), offset=(0.0,), scale=(1.0,))
    network = chain(1, 2, 1, 1, bidirectional=True)
    with pytest.raises(BundleError, match="reads both ways, which is for task 'classify'"):
        ModelSpec(Channels(("a",), (0.0,), (1.0,)), network, answer)


@pytest.mark.parametrize(
    ("text", "old", "new", "words"),
    [
        (
            REGRESS,
            'targets = ["level", "swing"]\n',
            "",
            "[model] targets: is missing; expected the names of the columns to answer",
        ),
        (REGRESS, '["level", "swing"]', '["level", "a"]', "'a' is an input (`channels`) too"),
        (REGRESS, '["level", "swing"]', '["level", "level"]', "expected each name once"),
        (
            REGRESS,
            'task = "regress"',
            'task = "regress"\nhorizon = 2',
            "horizon = 2: is for tasks 'anomaly' and 'forecast'",
        ),
        (
            REGRESS,
            'source = "csv"',
            'source = "csv"\ntarget = ["level"]',
            'target = ["level"]: stands in [model] now, as `targets`',
        ),
        (TURBOFAN, 'rul = "', 'target_cap = 9\nrul = "', "target_cap = 9: stands in [model] now"),
        (
            REGRESS,
            'task = "regress"',
            'task = "regress"\nbidirectional = true',
            "is for task 'classify'",
        ),
        (
            REGRESS,
            "epochs = 25",
            'epochs = 25\nmonitor = "accuracy"',
            "expected one of loss, mae, rmse, nrmse for task 'regress'",
        ),
        (REGRESS, "epochs = 25", 'epochs = 25\nloss_steps = "last"', "is for task 'classify'"),
        (
            REGRESS,
            'task = "regress"',
            'task = "forecast"\nhorizon = 1\ntarget_cap = 2.0',
            "is for task 'regress', and task is 'forecast'",
        ),
        (
            REGRESS,
            'source = "csv"\npath = "data.csv"\nchannels = ["a", "b"]\ngroup = "unit"',
            'source = "npz"\npath = "data.npz"',
            "needs target columns",
        ),
        (REGRESS, 'group = "unit"', 'group = "unit"\nrul = "x.txt"', "is for source 'cmapss'"),
        (TURBOFAN, 'rul = "rul.txt"\n', "", "rul: is missing; expected the path of the file"),
        (
            TURBOFAN,
            'rul = "rul.txt"',
            'rul = "rul.txt"\ngroup = "unit"',
            "source 'cmapss' knows its columns",
        ),
        (TURBOFAN, 'by = "given"', 'by = "group"', "expected 'given' for source 'cmapss'"),
    ],
)
def test_a_configuration_that_contradicts_itself(
    tmp_path: Path, text: str, old: str, new: str, words: str
) -> None:
    assert old in text
    (tmp_path / "config.toml").write_text(text.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "config.toml")
    assert words in str(caught.value)


@pytest.mark.usefixtures("table")
def test_baselines_of_compare(configure: Configure, tmp_path: Path) -> None:
    config = configure(REGRESS, train__epochs=1)
    splits = load_data(config)
    case = Case(config, make_spec(config, splits), splits, tmp_path, Reporter(quiet=True))
    of_zeros = evaluate(
        case.spec, splits.test, [np.zeros((len(s.x), case.spec.output_size)) for s in splits.test]
    )
    of_mean = mean(case).metrics
    assert of_mean is not None
    assert of_mean["per_target"] == of_zeros["baselines"]["mean"]["per_target"]
    # Ridge by its normal equations, the intercept not penalised.
    x = np.concatenate([case.spec.features(s.x) for s in splits.train])
    y = np.concatenate([s.y for s in splits.train])
    known = np.isfinite(y).all(axis=1)
    x = x[known]
    y = y[known]
    W = np.linalg.solve(
        (x - x.mean(0)).T @ (x - x.mean(0)) + np.eye(x.shape[1]),
        (x - x.mean(0)).T @ (y - y.mean(0)),
    )
    answers = [(case.spec.features(s.x) - x.mean(0)) @ W + y.mean(0) for s in splits.test]
    of_linear = linear(case).metrics
    assert of_linear is not None
    expected = evaluate(case.spec, splits.test, answers)["per_target"]
    for target, figures in of_linear["per_target"].items():
        assert figures == pytest.approx(expected[target], rel=1e-9)
    found = compare(config, tmp_path / "out", quiet=True)
    assert [row.name for row in found.rows] == [*PEERS, "mean", "linear"]
    head = [title.strip() for title in found.markdown.splitlines()[0].split("|")[2:12]]
    assert head == [
        *("MAE, level", "MAE, swing", "RMSE, level", "RMSE, swing", "NRMSE, mean of the targets"),
        *("MAE at the end, level", "MAE at the end, swing"),
        *("RMSE at the end, level", "RMSE at the end, swing", "parameters"),
    ]
    row = next(line for line in found.markdown.splitlines() if line.startswith("| training mean"))
    for shown, target in zip(row.split("|")[4:6], ("level", "swing"), strict=True):
        assert float(shown) == pytest.approx(of_mean["per_target"][target]["rmse"], rel=1e-3)
    assert (tmp_path / "out" / "compare.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("table")
def test_two_targets_have_no_common_unit(configure: Configure, tmp_path: Path) -> None:
    """No figure is a mean over both, in what the training prints and in what it may watch."""
    from edge_lstm.cli.train import closing

    config = configure(REGRESS, train__epochs=1, train__monitor="nrmse")
    run = train(config, tmp_path / "run", quiet=True)
    test = run.metrics["test"]
    lines = closing(run).splitlines()
    for target in ("level", "swing"):
        found = test["per_target"][target]
        errors = f"MAE {found['mae']:.4g}, RMSE {found['rmse']:.4g}, NRMSE {found['nrmse']:.4g}"
        assert f"test error      {target}: {errors} over 44 steps" in lines
        errors = f"MAE {found['mae_last']:.4g}, RMSE {found['rmse_last']:.4g}"
        assert f"at the end      {target}: {errors} at the last step of 1 sequences" in lines
    for targets, monitor, words in (
        ('["level", "swing"]', "rmse", "2 targets have no common unit; expected 'loss' or 'nrmse'"),
        ('["level"]', "nrmse", "is for several targets; expected 'loss', 'mae' or 'rmse'"),
    ):
        config = configure(REGRESS, ('["level", "swing"]', targets), train__monitor=monitor)
        with pytest.raises(ConfigError, match=words):
            make_spec(config, load_data(config))


@pytest.mark.usefixtures("table")
def test_what_rounding_moves_is_measured_for_each_target(
    configure: Configure,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Together, the means of the two, which are far apart, would count as their deviation."""
    quantize = "\n[quantize]\nscheme = 'int8'\ntolerance = 1.0\n"
    run = train(configure(REGRESS + quantize, train__epochs=3), tmp_path / "run")
    exact = Reference(run.spec, run.weights).run(run.spec.features(run.splits.val[0].x))
    rounded_net = Int8Net(run.spec)
    rounded_net.load_state_dict(run.model.state_dict())
    answered = answers(rounded_net, run.splits.val)[0]
    rounded = (answered - run.spec.answer.offset) / run.spec.answer.scale
    moved = np.sqrt(((rounded - exact) ** 2).mean(axis=0)) / exact.std(axis=0)
    assert f"and an NRMSE of {moved.max():.1e} on the validation split" in capsys.readouterr().err
