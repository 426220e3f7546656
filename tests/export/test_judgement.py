"""The verdict on a model in fewer bits rests on the whole test split, and says what it rests on."""

from __future__ import annotations

import dataclasses
import re
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import stand_in

from edge_lstm import Sequence
from edge_lstm_export import export_run
from edge_lstm_export.judgement import Pass, Worst, judge, measure, why_wrong
from edge_lstm_export.steps import convert_rknn, evaluate_task
from edge_lstm_export.work import Work
from edge_lstm_runtime import Comparison, Reference, check_backend, load
from edge_lstm_runtime.backends.chunks import any_length
from edge_lstm_runtime.bundle import read_bundle
from edge_lstm_runtime.check import check_opened


def nrmse(found, expected, spread):
    return np.sqrt(np.mean((np.asarray(found, np.float64) - expected) ** 2)) / spread


# --- the figures ---


def test_the_figures_of_a_pass_by_hand():
    """Outputs 1 and 2 of the reference vary by 1 and 10 around 0: spread sqrt((1 + 100) / 2) = 7.1063."""
    signs = np.array([1.0, -1.0, 1.0, -1.0])
    right = np.stack([signs, 10 * signs], axis=1)
    first, second = right.copy(), right.copy()
    second[:, 0] += 0.05
    second[3, 1] += 0.1
    found = measure("w8a8", [(7, "a", first), (2, "b", second)], [(7, "a", right), (2, "b", right)], ["small", "large"], 8)
    squares = 4 * 0.05**2 + 0.1**2
    assert (found.recordings, found.steps, found.of) == (2, 8, 8)
    assert found.max_abs == pytest.approx(0.1)
    assert found.nrmse == pytest.approx(np.sqrt(squares / 16) / 7.10634)
    assert dataclasses.astuple(found.worst_recording) == ("b", 2, pytest.approx(np.sqrt(squares / 8) / 7.10634))
    assert dataclasses.astuple(found.worst_output) == ("small", 0, pytest.approx(np.sqrt(0.05**2 / 2) / 1.0))
    assert found.above == 0
    assert measure("fp16", [(7, "a", first), (2, "b", second)], [(7, "a", right), (2, "b", right)], ["s", "l"], 8).above == 1, "limit 2e-3"


def test_an_output_that_hardly_varies_is_not_divided_by_nothing():
    right = np.array([[1.0, 5.0], [-1.0, 5.0]])
    found = measure("w8a8", [(0, "a", right + [0.0, 0.001])], [(0, "a", right)], ["alive", "flat"], 2)
    spread = right.std()
    assert found.worst_output == Worst("flat", 1, pytest.approx(0.001 / (0.01 * spread)))
    assert found.worst_recording is None, "there is one"


def test_only_steps_that_the_model_answers_itself_count():
    right = np.arange(10.0)[:, None]
    found = measure("w8a8", [(0, "a", right[:4] + 0.5), (1, "b", right[:0])], [(0, "a", right), (1, "b", right)], ["y"], 20)
    assert (found.recordings, found.steps, found.of, found.worst_output) == (1, 4, 20, None)
    assert found.nrmse == pytest.approx(0.5 / np.arange(4.0).std())
    assert measure("w8a8", [(0, "a", right[:0])], [(0, "a", right)], ["y"], 10) is None


GOLDEN = Comparison(1000, 1.0, 1.0, 8.2e-3, (0, 0))


def one_pass(nrmse, recording, *, above=0):
    return Pass(100, 13096, 13096, 1.0, nrmse, above, Worst("unit 24", 23, recording), None)


@pytest.mark.parametrize(
    ("passes", "sentence"),
    [
        (
            {"reset": one_pass(3.3e-2, 0.16, above=42), "never reset": one_pass(2.8e-2, 0.12, above=40)},
            "worse than it should be: NRMSE 3.3e-02 over the whole test split (100 recordings, 13,096 steps) when reset at each, 2.8e-02 when "
            "never reset; 42 of 100 recordings above the limit, the worst 'unit 24' with 1.6e-01 (reset); 40 of 100 recordings above the "
            "limit, the worst 'unit 24' with 1.2e-01 (never reset); at most 0.01 is good",
        ),
        (
            {"reset": one_pass(9e-3, 0.02, above=3)},
            "good on the whole, not everywhere: NRMSE 9.0e-03 over the whole test split (100 recordings, 13,096 steps); 3 of 100 recordings "
            "above the limit, the worst 'unit 24' with 2.0e-02; at most 0.01 is good",
        ),
        (
            {"reset": one_pass(9e-3, 9.9e-3), "never reset": one_pass(1.1e-2, 9e-3)},
            "worse than it should be: NRMSE 9.0e-03 over the whole test split (100 recordings, 13,096 steps) when reset at each, 1.1e-02 when "
            "never reset; 0 of 100 recordings above the limit, the worst 'unit 24' with 9.9e-03 (reset); 0 of 100 recordings above the "
            "limit, the worst 'unit 24' with 9.0e-03 (never reset); at most 0.01 is good",
        ),
        (
            {"reset": Pass(2, 32, 300, 1.0, 5e-3, 0, Worst("a", 0, 6e-3), Worst("up", 1, 7e-3))},
            "good: NRMSE 5.0e-03 over the 32 of 300 steps of the test split that it answers itself (2 recordings); 0 of 2 recordings above the "
            "limit, the worst 'a' with 6.0e-03; worst output 'up' with 7.0e-03; at most 0.01 is good",
        ),
        (
            {},
            "good: NRMSE 8.2e-03 over the 1,000 golden samples alone; it answers no recording of the test split; at most 0.01 is good",
        ),
    ],
)
def test_the_verdict_and_its_sentence(passes, sentence):
    judged = judge("w8a8", GOLDEN, passes)
    assert judged.sentence == sentence
    assert judged.verdict == sentence.partition(":")[0]


def test_what_is_certainly_wrong():
    assert why_wrong("w8a8", {"here": 0.1, "there": 0.0999}) is None
    assert why_wrong("fp16", {"here": 2.0e-2}) is None
    assert why_wrong("w8a8", {"here": 0.05, "there": 0.11}) == "NRMSE 0.11 there; more than 0.1 is no rounding to w8a8, it is wrong"
    assert why_wrong("fp16", {"here": 0.021}) == "NRMSE 0.021 here; more than 0.02 is no rounding to fp16, it is wrong"
    assert why_wrong("fp16", {"here": np.inf}).startswith("answers that are not finite here; ")
    assert why_wrong("fp16", {"here": np.nan}).startswith("answers that are not finite here; ")


# --- a whole export ---


@pytest.fixture
def clipping(trained, monkeypatch):
    """A w8a8 whose range is that of the golden samples, which are the first ones: what lies beyond is clipped, as int8 does."""
    golden = export_features(trained, [s.x for s in first_ten(trained)])
    low, high = golden.min(axis=0).astype(np.float32), golden.max(axis=0).astype(np.float32)
    stand_in.install(monkeypatch, w8a8=lambda rows: np.clip(rows, low, high))
    monkeypatch.setattr(convert_rknn, "candidates", lambda *_: ("cell",))  # which is exact but for that
    return low, high


def first_ten(run):
    order = np.random.default_rng(0).permutation(len(run.splits.test))
    return [run.splits.test[n] for n in order[:10]]  # 100 steps each


def export_features(run, recordings):
    return (np.concatenate(recordings) - run.spec.input_mean) / np.asarray(run.spec.input_std)


def expected_figures(run, clip, *, carried):
    """By the reference alone: what clipping does to each recording. (number, errors, right answers) of each."""
    order = np.random.default_rng(0).permutation(len(run.splits.test)).tolist() if carried else range(len(run.splits.test))
    right, wrong, rows = Reference(run.spec, run.weights), Reference(run.spec, run.weights), []
    for number in order:
        if not carried:
            right.reset()
            wrong.reset()
        x = export_features(run, [run.splits.test[number].x])
        rows.append((number, wrong.run(np.clip(x, *clip)), right.run(x)))
    return rows


def test_an_error_that_the_first_thousand_samples_do_not_show_decides(trained, clipping, tmp_path):
    said = []
    work = export_run(trained, tmp_path / "motions.edge", schemes=("fp16", "w8a8"), say=said.append)
    bundle = read_bundle(work.out)
    assert bundle.manifest["accuracy"]["rknn-sim rk3588-w8a8.rknn"]["nrmse"] < 1e-5, "the golden samples show nothing"
    row = bundle.manifest["artifacts"]["rk3588-w8a8.rknn"]
    found = row["test_split"]
    largest = 0.0
    for how, carried in (("reset", False), ("never reset", True)):
        rows = expected_figures(trained, clipping, carried=carried)
        answered, right = (np.concatenate([r[k] for r in rows]) for k in (1, 2))
        by_recording = {number: nrmse(y, r, right.std()) for number, y, r in rows}
        worst = max(by_recording, key=by_recording.get)
        by_output = [nrmse(answered[:, k], right[:, k], right[:, k].std()) for k in range(4)]
        one = found["passes"][how]
        assert (one["recordings"], one["steps"], one["of"]) == (40, 4000, 4000)
        assert one["nrmse"] == pytest.approx(nrmse(answered, right, right.std()), rel=1e-3)
        assert one["max_abs"] == pytest.approx(np.abs(answered - right).max(), rel=1e-3)
        assert one["above"] == sum(error > 1e-2 for error in by_recording.values())
        assert one["worst_recording"] == {
            "index": worst, "name": trained.splits.test[worst].name, "nrmse": pytest.approx(by_recording[worst], rel=1e-3),
        }  # fmt: skip
        assert one["worst_output"] == {
            "index": int(np.argmax(by_output)), "name": trained.spec.classes[int(np.argmax(by_output))],
            "nrmse": pytest.approx(max(by_output), rel=1e-3),
        }  # fmt: skip
        largest = max(largest, one["nrmse"])
    assert 1e-2 < largest < 0.1, "no example of what this is about"
    assert found["verdict"] == "worse than it should be"
    assert row["tolerance"]["limit"] == pytest.approx(1.5 * largest, rel=0.05)
    sentence = found["sentence"]
    assert re.match(r"worse than it should be: NRMSE .* over the whole test split \(40 recordings, 4,000 steps\)", sentence)
    assert any(f"rknn-sim rk3588-w8a8.rknn: {sentence}" in line for line in said)
    html = work.out.with_suffix(".html").read_text().replace("&#39;", "'")
    assert html.count(sentence) == 2, "at the top, and with the model"
    assert "rk3588-w8a8.rknn: good" not in html
    assert bundle.manifest["artifacts"]["rk3588-fp16.rknn"]["test_split"]["verdict"] == "good"
    from edge_lstm_export.cli import summary

    assert f"rknn-sim rk3588-w8a8.rknn: {sentence}" in summary(work)
    assert "over the 1,000 golden samples" in summary(work).splitlines()[1]


def test_native_int8_is_judged_by_the_same_streams(trained, tmp_path):
    work = export_run(trained, tmp_path / "motions.edge", schemes=())
    model = load(work.out)
    found = model.manifest["native_int8"]["test_split"]
    test = trained.splits.test
    for how, order in (("reset", range(len(test))), ("never reset", np.random.default_rng(0).permutation(len(test)))):
        rows = []
        with model.session("native-int8") as rounded, model.session("reference") as exact:
            for number in order:
                if how == "reset":
                    rounded.reset()
                    exact.reset()
                rows.append((int(number), rounded.run(test[number].x), exact.run(test[number].x)))  # logits, the network's own outputs
        answered, right = (np.concatenate([r[k] for r in rows]) for k in (1, 2))
        errors = {number: nrmse(y, r, right.std()) for number, y, r in rows}
        one = found["passes"][how]
        assert one["nrmse"] == pytest.approx(nrmse(answered, right, right.std()), rel=1e-6)
        assert one["worst_recording"]["index"] == max(errors, key=errors.get)
    assert found["sentence"].startswith(f"{found['verdict']}: NRMSE ")
    assert check_backend(model.bundle, "native-int8").passed
    assert f"native-int8 on this machine&#39;s CPU is {found['verdict']}: NRMSE" in work.out.with_suffix(".html").read_text()


def test_outputs_are_those_of_the_network_in_a_forecast_too(forecast_run, tmp_path):
    """Residual answers, and gaps: one recording, so that there is nothing to carry and no worst one."""
    work = export_run(forecast_run, tmp_path / "wave.edge", schemes=())
    model = load(work.out)
    (test,) = forecast_run.splits.test
    reference = Reference(forecast_run.spec, forecast_run.weights).run(model.features(test.x))
    with model.session("native-int8") as session:
        rounded = session.backend.run(model.features(test.x).astype(np.float32))
    found = model.manifest["native_int8"]["test_split"]["passes"]
    assert list(found) == ["reset"]
    assert found["reset"]["nrmse"] == pytest.approx(nrmse(rounded, reference, reference.std()), rel=1e-6)
    assert found["reset"]["worst_recording"] is None
    assert found["reset"]["worst_output"]["name"] in forecast_run.spec.output_names


def test_the_drift_says_that_it_is_the_same_samples(trained, monkeypatch, tmp_path):
    stand_in.install(monkeypatch)
    work = export_run(trained, tmp_path / "motions.edge", schemes=("fp16",))
    inspection = load(work.out).manifest["artifacts"]["rk3588-fp16.rknn"]["inspection"]
    first, last = inspection["drift"][0], inspection["drift"][-1]
    assert len(inspection["drift"]) == 10
    assert inspection["verdict"] == (
        f"over the same 1,000 golden samples 10 times, never reset, NRMSE {first:.1e} the first time and {last:.1e} the last: no growth"
    )
    html = work.out.with_suffix(".html").read_text()
    assert "of the outputs over the same 1,000 golden samples 10 times, the state never reset" in html
    assert "10,000" not in html


def test_a_chunk_is_judged_by_the_steps_that_it_answers(trained, monkeypatch, tmp_path):
    """Recordings of 100 steps and chunks of 64: 64 of them are the model's, and 36 NumPy's."""
    stand_in.install(monkeypatch, fp16=lambda rows: rows * np.float32(1.001))
    work = export_run(trained, tmp_path / "motions.edge", schemes=("fp16",), chunk=64)
    found = load(work.out).manifest["artifacts"]["rk3588-fp16-t64.rknn"]["test_split"]
    one = found["passes"]["reset"]
    assert (one["recordings"], one["steps"], one["of"]) == (40, 40 * 64, 4000)
    errors, right = [], []
    for sequence in trained.splits.test:
        x, reference, spoiled = export_features(trained, [sequence.x]), *(Reference(trained.spec, trained.weights) for _ in range(2))
        right.append(reference.run(x)[:64])
        errors.append(spoiled.run(x * 1.001)[:64] - right[-1])
    assert one["nrmse"] == pytest.approx(np.sqrt(np.mean(np.square(errors))) / np.std(right), rel=1e-3)
    assert "over the 2,560 of 4,000 steps of the test split that it answers itself (40 recordings)" in found["sentence"]


def test_a_model_that_answers_no_recording_is_judged_by_the_golden_samples(both_run, monkeypatch):
    """A bidirectional one of 20 steps; the recordings have 50, of which the golden samples are pieces."""
    from edge_lstm_export.steps import calibrate, draw_stream, simulate

    stand_in.install(monkeypatch)
    rng = np.random.default_rng(0)
    splits = dataclasses.replace(both_run.splits, test=[Sequence(str(n), "g", rng.normal(size=(50, 6)), 0) for n in range(3)])
    run = dataclasses.replace(both_run)
    run.__dict__["splits"] = splits
    work = Work(run=run, schemes={"rk3588": ("fp16",)}, out=Path("x.edge"), say=lambda _: None, resources=ExitStack(), chunk=20)
    work = evaluate_task.call(simulate.call(convert_rknn.call(calibrate.call(draw_stream.call(work)))))
    judged = work.judgements["rknn-sim rk3588-fp16-t20.rknn"]
    assert (judged.verdict, dict(judged.passes)) == ("good", {})
    assert "over the 120 golden samples alone" in judged.sentence


# --- what `check` makes of it on a board ---


def test_a_right_board_passes_and_a_wrong_one_fails(trained, clipping, tmp_path):
    """The same file on boards that round otherwise, and on boards that are wrong in the ways that boards are wrong."""
    work = export_run(trained, tmp_path / "motions.edge", schemes=("w8a8",))
    bundle = read_bundle(work.out)
    member = "rk3588-w8a8.rknn"
    entry = bundle.manifest["artifacts"][member]

    class Board(type(stand_in.on_ort(bundle.spec, bundle.member(entry["graph"]), entry["recipe"]["io"]))):
        def __init__(self, spoil):
            runtime = stand_in.OrtRuntime(bundle.member(entry["graph"]))
            super().__init__(runtime, stand_in.on_ort(bundle.spec, bundle.member(entry["graph"]), entry["recipe"]["io"])._packing)
            self.spoil = spoil

        def step(self, features):
            return self.spoil(self, super().step(features))

        def run(self, features):
            return np.stack([self.spoil(self, super(Board, self).run(row[None])[0]) for row in features])

    def forgets(board, y):
        board.reset()
        return y

    def swaps_layers(board, y):
        h, c = board.state
        board.state = h[::-1].copy(), c[::-1].copy()
        return y

    def halves_the_state(board, y):
        h, c = board.state
        board.state = h, c / 2
        return y

    spread = bundle.golden[1].std()
    rng = np.random.default_rng(0)
    rounds = {
        "to float16": lambda _, y: y.astype(np.float16).astype(np.float32),
        "as large as measured over the split": lambda _, y: (y + rng.normal(size=y.shape) * 1.2 * largest * spread).astype(np.float32),
    }
    largest = max(p["nrmse"] for p in entry["test_split"]["passes"].values())
    wrongs = {
        "forgets": forgets, "swaps the layers": swaps_layers, "halves c": halves_the_state,
        "shuffles the outputs": lambda _, y: y[[1, 2, 3, 0]], "zeros": lambda _, y: 0 * y,
    }  # fmt: skip
    for steps in (None, 200):
        for name, spoil in rounds.items():
            board = any_length(Board(spoil), 1, bundle.spec, bundle.weights)
            assert check_opened(bundle, board, "rknn", member, steps).passed, name
        for name, spoil in wrongs.items():
            board = any_length(Board(spoil), 1, bundle.spec, bundle.weights)
            assert not check_opened(bundle, board, "rknn", member, steps).passed, name
