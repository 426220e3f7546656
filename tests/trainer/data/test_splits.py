"""No row of one split is seen in another, not even in a target. Statistics: of training alone."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning_fabric import Fabric

from edge_lstm import evaluate, load_data
from edge_lstm.config.common import SplitConfig
from edge_lstm.config.schema import Config
from edge_lstm.data.load import Splits, make_spec
from edge_lstm.data.recordings import Recording, Sequence
from edge_lstm.data.splits import label_runs, split
from edge_lstm.data.windows import batches, examples, future, window_starts
from edge_lstm.network import CompactNet
from edge_lstm.results.answers import answers
from edge_lstm.tasks.base import task_of
from edge_lstm.training.losses import NumberLoss
from edge_lstm.training.metrics import Validation
from edge_lstm_runtime.errors import DataError
from edge_lstm_runtime.inputs.channels import Missing
from edge_lstm_runtime.model.spec import ModelSpec
from helpers.configs import CLASSIFY, FORECAST
from helpers.preprocessors import preprocessor
from helpers.specs import changed
from helpers.specs import make_spec as small_spec

Configure = Callable[..., Config]


def identity_spec(horizon: int) -> ModelSpec:
    """A forecast of its only channel, unnormalized: features and targets are the rows' numbers."""
    spec = small_spec(
        task="forecast", channels=["row"], hidden=1, outputs=horizon, mean=[0.0], std=[1.0]
    )
    return changed(spec, offset=(0.0,) * horizon, scale=(1.0,) * horizon)


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(60, 120), min_size=1, max_size=4),
    val=st.floats(0.1, 0.4),
    test=st.floats(0.1, 0.4),
    horizon=st.integers(1, 5),
    window=st.integers(6, 12),
    stride=st.integers(1, 15),
)
def test_no_row_is_in_two_splits_by_time(
    lengths: list[int], val: float, test: float, horizon: int, window: int, stride: int
) -> None:
    first = np.cumsum([0, *lengths])
    recordings = [
        Recording(f"r{k}", f"r{k}", np.arange(first[k], first[k + 1], dtype=np.float64)[:, None])
        for k in range(len(lengths))
    ]
    parts = split(recordings, SplitConfig(by="time", val=val, test=test), within=True)
    seen: dict[str, set[int]] = {}
    for part, pieces in parts.items():
        sequences = [Sequence(p.full_name, p.group, p.x) for p in pieces]
        made = examples(
            identity_spec(horizon), sequences, window=window, stride=stride, short="pad"
        )
        inside = np.arange(made.x.shape[1]) < made.lengths[:, None]
        seen[part] = set(made.x[inside].astype(int).ravel()) | set(
            made.y[made.mask].astype(int).ravel()
        )
        # Every target is the row that many steps later, so none skips from one recording into
        # another.
        np.testing.assert_array_equal(
            made.y[made.mask], (made.x[made.mask] + 1 + np.arange(horizon))
        )
    assert not seen["train"] & seen["val"]
    assert not seen["train"] & seen["test"]
    assert not seen["val"] & seen["test"]
    for recording in recordings:  # the test is the latest
        of = [{int(v) for v in recording.x[:, 0]} & seen[part] for part in ("train", "val", "test")]
        assert max(of[0], default=-1) < min(of[2], default=10**9)


@settings(max_examples=30, deadline=None)
@given(
    groups=st.integers(3, 30),
    seed=st.integers(0, 99),
    val=st.floats(0.05, 0.3),
    test=st.floats(0.05, 0.3),
)
def test_groups_stay_whole(groups: int, seed: int, val: float, test: float) -> None:
    recordings = [Recording(f"r{k}", f"g{k % groups}", np.zeros((3, 1))) for k in range(2 * groups)]
    parts = split(recordings, SplitConfig(by="group", val=val, test=test, seed=seed), within=False)
    found = {part: {r.group for r in pieces} for part, pieces in parts.items()}
    assert sum(map(len, found.values())) == groups
    assert sum(map(len, parts.values())) == 2 * groups
    again = split(recordings, SplitConfig(by="group", val=val, test=test, seed=seed), within=False)
    assert {part: {r.group for r in pieces} for part, pieces in again.items()} == found


def test_given_keeps_every_class_in_proportion() -> None:
    recordings = [
        Recording(f"r{k}", f"r{k}", np.zeros((3, 1)), np.full(3, f"c{k % 4}"), "train")
        for k in range(40)
    ]
    recordings += [Recording("t", "t", np.zeros((3, 1)), np.full(3, "c0"), "test")]
    parts = split(recordings, SplitConfig(by="given", val=0.2), within=False)
    for part, each in (("train", 8), ("val", 2)):
        labels = [str(r.labels[0]) for r in parts[part] if r.labels is not None]
        assert {c: labels.count(c) for c in set(labels)} == {f"c{k}": each for k in range(4)}


@pytest.mark.parametrize("val", [0.01, 0.95])
def test_every_class_stays_in_training_and_is_validated_if_it_can_be(val: float) -> None:
    sizes = {"two": 2, "five": 5, "one": 1}
    recordings = [
        Recording(f"{label}{k}", f"{label}{k}", np.zeros((3, 1)), np.full(3, label), part)
        for label, count in sizes.items()
        for k, part in enumerate(["train"] * count + ["test"])
    ]
    parts = split(recordings, SplitConfig(by="given", val=val), within=False)
    labels = {
        part: sorted(str(r.labels[0]) for r in parts[part] if r.labels is not None)
        for part in ("train", "val")
    }
    few = ["five", "one", "two"]
    many = ["five"] * 4 + ["one", "two"]
    assert labels["train"] == (many if val == 0.01 else few)
    assert labels["val"] == (["five", "two"] if val == 0.01 else ["five"] * 4 + ["two"])


def test_a_change_of_label_cuts_a_recording() -> None:
    labels = np.array(["a", "a", "b", "b", "b", "a"])
    runs = label_runs([Recording("r", "g", np.arange(6.0)[:, None], labels)])
    assert [(r.full_name, r.group, r.x[:, 0].tolist()) for r in runs] == [
        ("r[0:2]", "g", [0, 1]),
        ("r[2:5]", "g", [2, 3, 4]),
        ("r[5:6]", "g", [5]),
    ]


@pytest.mark.usefixtures("classify_csv")
def test_sequences_say_whether_a_change_of_label_cut_them(configure: Configure) -> None:
    """Each subject walks and then rests, in one recording. Two more only walk."""
    config = configure(CLASSIFY)
    assert all(s.cut for s in load_data(config).test)
    parts = {
        "train": [labelled("walk", "rest")],
        "val": [labelled("walk"), labelled("rest", "walk")],
        "test": [labelled("rest")],
    }
    divided = config.model.divide(parts, ("a", "b"))
    assert [s.cut for s in divided.val] == [False, True, True]
    assert [s.cut for s in divided.test] == [False]
    told = []
    for sequences in (divided.val, divided.test):
        spec = make_spec(config, divided)
        found = evaluate(spec, sequences, [np.zeros((len(s.x), 2)) for s in sequences])
        told.append(task_of(spec).verdict(found))
    cut, whole = told
    assert cut[0].startswith("On the 3 sequences of the test split the answer at the last step is")
    assert cut[1].startswith("1 of 3 sequences are right at the last step: 95 % interval 6.1 to 7")
    assert cut[2:] == [
        "Recordings were cut at the changes of their label, and each piece was answered from the "
        "zero state. A board does not know these places."
    ]
    assert len(whole) == 2


def labelled(*labels: str) -> Recording:
    """Three rows of each label."""
    names = np.repeat(np.array(labels), 3)
    x = np.arange(2.0 * len(names)).reshape(-1, 2)
    return Recording("r", "g", x, labels=names)


def test_a_class_seen_only_in_the_test_is_named(classify_csv: Path, configure: Configure) -> None:
    classify_csv.write_text(classify_csv.read_text() + "s5,swim,1,1\n")
    with pytest.raises(DataError, match="class 'swim' is in the test split and not in training"):
        load_data(configure(CLASSIFY))
    with pytest.raises(DataError, match="class 'swim' is in the val split"):
        load_data(configure(CLASSIFY, ('["s5"]', '["s3"]'), ('["s4"]', '["s5"]')))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('["s5"]', '["s9"]', r"test: there is no group 's9'; the groups are s1, s2, s3, s4, s5"),
        ('["s5"]', '["s4"]', r"group 's4' is in more than one split"),
        ('test = ["s5"]', 'test = ["s1", "s2", "s3", "s5"]', "the train split is empty"),
        ('test = ["s5"]', 'test = ["s5"]\ntrain = ["s1"]', None),
    ],
)
def test_lists_of_groups(
    classify_csv: Path, configure: Configure, old: str, new: str, words: str | None
) -> None:
    assert classify_csv.exists()
    config = configure(CLASSIFY, (old, new))
    if words is None:
        assert {s.group for s in load_data(config).train} == {"s1"}
        return
    with pytest.raises(DataError, match=words):
        load_data(config)


def test_an_empty_split_is_refused(configure: Configure, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("a,b\n1,2\n2,3\n")
    with pytest.raises(DataError, match="the val split is empty"):
        load_data(configure(FORECAST))


def test_a_sequence_shorter_than_the_window(classify_csv: Path, configure: Configure) -> None:
    assert classify_csv.exists()
    config = configure(CLASSIFY, ('label = "activity"', 'label = "activity"\nwindow = 18'))
    splits = load_data(config)
    spec = make_spec(config, splits)
    with pytest.raises(
        DataError,
        match=r"sequence 'data:s1\[20:35\]' has 15 steps, and the window 18; .*at most 15 "
        r".*'pad'.*'drop'",
    ):
        examples(spec, splits.train, window=18)
    # Walks of 20 rows give two windows, the last at their end. Rests of 15 give one with padding,
    # or none.
    assert len(examples(spec, splits.train, window=18, short="drop")) == 6
    padded = examples(spec, splits.train, window=18, short="pad")
    assert sorted(padded.lengths.tolist()) == [15] * 3 + [18] * 6
    assert padded.mask.sum() == padded.lengths.sum()
    with pytest.raises(DataError, match=r"every sequence is shorter than the window \(50\)"):
        examples(spec, splits.train, window=50, short="drop")


def test_a_piece_shorter_than_the_horizon_has_nothing_to_measure() -> None:
    with pytest.raises(
        DataError, match=r"1 sequences give nothing .*: no step is followed by 4 known values"
    ):
        examples(identity_spec(4), [Sequence("s", "s", np.zeros((4, 1)))], window=6, short="pad")


@settings(max_examples=200, deadline=None)
@given(length=st.integers(1, 200), window=st.integers(1, 60), stride=st.integers(1, 60))
def test_windows_leave_no_row_out_when_they_overlap(length: int, window: int, stride: int) -> None:
    if length < window:
        return
    starts = window_starts(length, window, stride)
    assert starts[0] == 0
    assert starts[-1] + window == length
    assert sorted(set(starts)) == starts
    if stride <= window:
        assert {row for s in starts for row in range(s, s + window)} == set(range(length))


@given(lengths=st.lists(st.integers(1, 50), min_size=1, max_size=40))
def test_evaluation_batches_hold_each_sequence_once_and_are_small(lengths: list[int]) -> None:
    made = batches(np.array(lengths), tokens=100)
    assert sorted(np.concatenate(made).tolist()) == list(range(len(lengths)))
    assert all(len(b) * max(lengths[k] for k in b) <= 100 or len(b) == 1 for b in made)


def test_a_validation_of_unequal_lengths_takes_little_memory() -> None:
    """Padded to the longest all at once, these would take 135 MB."""
    rng = np.random.default_rng(0)
    sequences = [Sequence("long", "l", rng.normal(size=(50_000, 1)))]
    sequences += [Sequence(f"short{k}", "s", rng.normal(size=(20, 1))) for k in range(300)]
    spec = identity_spec(1)
    fabric = Fabric(accelerator="cpu", devices=1)
    model = CompactNet(spec)
    tracemalloc.start()
    validate = Validation(spec, sequences, NumberLoss(), fabric)
    found = validate(model)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30e6
    expected = evaluate(spec, sequences, answers(model, sequences))
    assert found["val_mae"] == pytest.approx(expected["mae"], rel=1e-5)
    assert found["val_rmse"] == pytest.approx(expected["rmse"], rel=1e-5)


def test_statistics_are_those_of_training_alone(forecast_csv: Path, configure: Configure) -> None:
    config = configure(FORECAST)
    spec = make_spec(config, load_data(config))
    rows = np.genfromtxt(forecast_csv, delimiter=",", skip_header=1)[:120]
    np.testing.assert_allclose(spec.inputs.mean, rows.mean(axis=0))
    np.testing.assert_allclose(spec.inputs.std, rows.std(axis=0))
    np.testing.assert_allclose(
        spec.answer.offset, [rows[k:, 1].mean() for k in (1, 2, 3)], atol=0.02
    )
    changed = forecast_csv.read_text().splitlines()
    forecast_csv.write_text("\n".join(changed[:121] + ["1e6,1e6"] * 80) + "\n")
    assert make_spec(config, load_data(config)) == spec


def test_residual_scale_is_that_of_the_differences(
    forecast_csv: Path, configure: Configure
) -> None:
    config = configure(FORECAST, model__residual=True)
    spec = make_spec(config, load_data(config))
    b = np.genfromtxt(forecast_csv, delimiter=",", skip_header=1)[:120, 1]
    differences = np.array([[b[t + k] - b[t] for k in (1, 2, 3)] for t in range(117)])
    # Each step ahead has the steps that it can: 119, 118 and 117 of them.
    each = [b[k:] - b[:-k] for k in (1, 2, 3)]
    np.testing.assert_allclose(spec.answer.offset, [d.mean() for d in each])
    np.testing.assert_allclose(spec.answer.scale, [d.std() for d in each])
    np.testing.assert_allclose(spec.answer.scale, differences.std(axis=0), rtol=0.05)


def test_a_constant_channel_has_std_1(forecast_csv: Path, configure: Configure) -> None:
    rows = forecast_csv.read_text().splitlines()
    forecast_csv.write_text(
        "\n".join([rows[0], *(f"0.1,{r.split(',')[1]}" for r in rows[1:])]) + "\n"
    )
    config = configure(FORECAST)
    spec = make_spec(config, load_data(config))
    assert spec.inputs.std[0] == 1.0
    assert spec.inputs.mean[0] == pytest.approx(0.1)


def test_a_channel_without_a_value_and_one_too_large(
    forecast_csv: Path, configure: Configure
) -> None:
    rows = forecast_csv.read_text().splitlines()
    config = configure(FORECAST, data__missing="mask")
    forecast_csv.write_text("\n".join([rows[0], *(f",{r.split(',')[1]}" for r in rows[1:])]) + "\n")
    with pytest.raises(DataError, match="channel 'a' has no value in the training split"):
        make_spec(config, load_data(config))
    forecast_csv.write_text(
        "\n".join([rows[0], *(f"{k % 2}e300,{r.split(',')[1]}" for k, r in enumerate(rows[1:]))])
        + "\n"
    )
    with pytest.raises(DataError, match="channel 'a' has values up to 1e\\+300, too large"):
        make_spec(config, load_data(config))


@pytest.mark.parametrize("missing", ["refuse", "ffill", "mask"])
def test_training_features_are_those_of_the_board(missing: Missing) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(5.0, 2.0, (40, 3))
    if missing != "refuse":
        x[rng.random(x.shape) < 0.3] = np.nan
        x[0, 0] = np.nan
    spec = small_spec(outputs=2, mean=[5.0, 4.0, 6.0], std=[2.0, 1.0, 3.0], missing=missing)
    made = examples(spec, [Sequence("s", "s", x, 1)], window=16, stride=8)
    board = preprocessor(spec)
    streamed = np.array([board(row).copy() for row in x])
    for window, start in zip(made.x, window_starts(40, 16, 8), strict=True):
        np.testing.assert_allclose(window, streamed[start : start + 16], atol=1e-6)


def test_future_against_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(9, 3))
    x[4, 2] = np.nan
    spec = small_spec(
        task="forecast",
        channels=["a", "b", "c"],
        targets=["c", "a"],
        outputs=3,
        mean=[0.0] * 3,
        std=[1.0] * 3,
        missing="mask",
    )
    spec = changed(spec, offset=(0.0,) * 6, scale=(1.0,) * 6)
    expected = np.full((9, 6), np.nan)
    for t in range(9):
        for k in range(3):
            for j, channel in enumerate((2, 0)):
                if t + 1 + k < 9:
                    expected[t, k * 2 + j] = x[t + 1 + k, channel]
    np.testing.assert_array_equal(future(spec, x), expected)
    made = examples(spec, [Sequence("s", "s", x)])
    np.testing.assert_array_equal(
        made.mask[0], [True, False, False, False, True, True, False, False, False]
    )


def test_splits_are_plain_lists_of_sequences(forecast_csv: Path, configure: Configure) -> None:
    assert forecast_csv.exists()
    splits = load_data(configure(FORECAST))
    assert isinstance(splits, Splits)
    assert [s.name for s in (*splits.train, *splits.val, *splits.test)] == [
        "data[0:120]",
        "data[120:160]",
        "data[160:200]",
    ]
