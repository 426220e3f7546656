"""The verdict on a model in fewer bits rests on the whole test split, and says what it rests on."""

from __future__ import annotations

import dataclasses
import re
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from edge_lstm import Sequence
from edge_lstm_export import export_run
from edge_lstm_export.cli.export import summary
from edge_lstm_export.measure.draw import Extent
from edge_lstm_export.measure.grades import grade
from edge_lstm_export.measure.judgement import (
    Change,
    Pass,
    Recording,
    Worst,
    judge,
    measure,
    why_wrong,
)
from edge_lstm_export.npu.rknn import convert as rknn_convert
from edge_lstm_export.npu.rknn.prepare import ranges
from edge_lstm_export.steps import calibrate, convert, draw_stream, evaluate_task, simulate
from edge_lstm_export.work import Work
from edge_lstm_runtime import Comparison, Reference, check_backend, load
from edge_lstm_runtime.backends.rknn.board import RknnBackend
from edge_lstm_runtime.model.bundle import read_bundle
from edge_lstm_runtime.model.measured import read_measured
from edge_lstm_runtime.verify.check import check_opened
from helpers import stand_in
from helpers.simulated import simulated

W8A8 = "rk3588-w8a8.rknn"
SPLIT = "over the whole test split (40 recordings, 4,000 steps)"


def nrmse(found, expected, spread):
    return np.sqrt(np.mean((np.asarray(found, np.float64) - expected) ** 2)) / spread


# --- the figures ---


def test_the_figures_of_a_pass_by_hand():
    """The outputs vary by 1 and by 10 around 0: together by sqrt((1 + 100) / 2) = 7.10634."""
    signs = np.array([1.0, -1.0, 1.0, -1.0])
    right = np.stack([signs, 10 * signs], axis=1)
    wrong = right.copy()
    wrong[:, 0] += 0.05
    wrong[3, 1] += 0.1
    recordings = [Recording(7, "a", right, right), Recording(2, "b", wrong, right)]
    found = measure("w8a8", recordings, ["small", "large"], 8)
    squares = 4 * 0.05**2 + 0.1**2
    assert (found.recordings, found.steps, found.of, found.above) == (2, 8, 8, 0)
    assert found.max_abs == pytest.approx(0.1)
    assert found.nrmse == pytest.approx(np.sqrt(squares / 16) / 7.10634)
    error = pytest.approx(np.sqrt(squares / 8) / 7.10634)
    assert found.worst_recording == Worst("b", 2, error)
    assert found.worst_output == Worst("small", 0, pytest.approx(np.sqrt(0.05**2 / 2) / 1.0))
    assert measure("fp16", recordings, ["small", "large"], 8).above == 1, "good is 2e-3 there"


def test_an_output_that_hardly_varies_is_not_divided_by_nothing():
    right = np.array([[1.0, 5.0], [-1.0, 5.0]])
    one = Recording(0, "a", right + np.array([0.0, 0.001]), right)
    found = measure("w8a8", [one], ["alive", "flat"], 2)
    assert found.worst_output == Worst("flat", 1, pytest.approx(0.001 / (0.01 * right.std())))
    assert found.worst_recording is None, "there is one"


def test_only_recordings_with_steps_of_its_own_count():
    right = np.arange(4.0)[:, None]
    none = Recording(1, "b", right[:0], right[:0])
    found = measure("w8a8", [Recording(0, "a", right + 0.5, right), none], ["y"], 20)
    assert (found.recordings, found.steps, found.of, found.worst_output) == (1, 4, 20, None)
    assert found.nrmse == pytest.approx(0.5 / np.sqrt(1.25))
    assert measure("w8a8", [none], ["y"], 10) is None


ALONE = "the 1,000 golden samples alone; it answers no recording of the test split"
GOLDEN = Comparison(1000, 1.0, 1.0, 8.2e-3, (0, 0))
ALL = Extent(100, 13096, 100, 13096)
GOOD = "good is at most 0.01 everywhere and a metric that moves by at most 1 % or point"
USABLE = (
    "usable is an NRMSE of at most 0.05 (0.2 on a recording or an output) and a metric at most 5 % "
    "or points worse"
)
FP16 = "fp16 is the most accurate scheme of rk3588"


def one_pass(error, worst, *, above=0):
    return Pass(100, 13096, 13096, 1.0, error, above, Worst("unit 24", 23, worst), None)


def rmse(*more):
    """By how many percent the RMSE is worse, of each pass."""
    hows = ("reset", "never reset")[: len(more)]
    return {
        how: Change(f"{value:+.1f} % RMSE", [value]) for how, value in zip(hows, more, strict=True)
    }


@pytest.mark.parametrize(
    ("passes", "changes", "streamed", "sentence"),
    [
        (
            {
                "reset": one_pass(3.3e-2, 0.16, above=42),
                "never reset": one_pass(2.8e-2, 0.12, above=40),
            },
            rmse(2.8, 0.4),
            ALL,
            "usable, not good: over the whole test split (100 recordings, 13,096 steps), "
            "NRMSE 3.3e-02 when reset at each "
            "(worst recording 'unit 24' 1.6e-01, 42 of 100 above 0.01), "
            "and NRMSE 2.8e-02 when never reset "
            "(worst recording 'unit 24' 1.2e-01, 40 of 100 above 0.01); "
            "against float32 +2.8 % RMSE when reset at each, and +0.4 % RMSE when never reset; "
            f"{GOOD}; {FP16}",
        ),
        (
            {"reset": one_pass(9e-3, 0.02, above=3)},
            rmse(0.0),
            ALL,
            "usable, not good: "
            "over the whole test split (100 recordings, 13,096 steps), NRMSE 9.0e-03 "
            "(worst recording 'unit 24' 2.0e-02, 3 of 100 above 0.01); "
            f"against float32 +0.0 % RMSE; {GOOD}; {FP16}",
        ),
        (
            {"reset": one_pass(9e-3, 9.9e-3)},
            rmse(44.0),
            ALL,
            "not usable: over the whole test split (100 recordings, 13,096 steps), NRMSE 9.0e-03 "
            "(worst recording 'unit 24' 9.9e-03, 0 of 100 above 0.01); "
            f"against float32 +44.0 % RMSE; {USABLE}; {FP16}",
        ),
        (
            {"reset": one_pass(9e-3, 9.9e-3)},
            rmse(0.9),
            Extent(100, 13096, 2947, 377216, None, True),
            "good: over a part of the test split "
            "(100 of 2,947 recordings, 13,096 of 377,216 steps, drawn evenly over the classes), "
            "NRMSE 9.0e-03 (worst recording 'unit 24' 9.9e-03, 0 of 100 above 0.01); "
            f"against float32 +0.9 % RMSE; {GOOD}",
        ),
        (
            {"reset": Pass(2, 32, 300, 1.0, 5e-3, 0, Worst("a", 0, 6e-3), Worst("up", 1, 7e-3))},
            rmse(0.0),
            Extent(3, 300, 3, 300),
            "good: over the 32 of 300 steps of the test split that it answers itself "
            "(2 recordings), NRMSE 5.0e-03 (worst recording 'a' 6.0e-03, 0 of 2 above 0.01); "
            f"worst output 'up' 7.0e-03; against float32 +0.0 % RMSE; {GOOD}",
        ),
        (
            {"reset": Pass(2, 32, 300, 1.0, 5e-3, 0, Worst("a", 0, 6e-3), None)},
            rmse(0.0),
            Extent(3, 300, 3, 900, 100),
            "good: over the 32 of 300 steps that it answers itself (2 recordings) of a part of the "
            "test split (3 of 3 recordings, 300 of 900 steps, none longer than its first 100 steps)"
            ", NRMSE 5.0e-03 (worst recording 'a' 6.0e-03, 0 of 2 above 0.01); "
            f"against float32 +0.0 % RMSE; {GOOD}",
        ),
        (
            {"reset": Pass(1, 300, 300, 1.0, 5e-3, 0, None, Worst("up", 1, 1.1e-2))},
            rmse(-1.2),
            Extent(1, 300, 1, 300),
            "usable, not good: over the whole test split "
            "(1 recording, 300 steps), NRMSE 5.0e-03; worst output 'up' 1.1e-02; "
            f"against float32 -1.2 % RMSE; {GOOD}; {FP16}",
        ),
        ({}, rmse(44.0), ALL, f"good: NRMSE 8.2e-03 over {ALONE}; {GOOD}"),
        (  # of an imported net, whose own metric is not known
            {"reset": one_pass(5e-3, 6e-3)},
            {"reset": Change("NRMSE 0.006 from the original net", [])},
            ALL,
            "good: over the whole test split (100 recordings, 13,096 steps), NRMSE 5.0e-03 "
            "(worst recording 'unit 24' 6.0e-03, 0 of 100 above 0.01); "
            "against float32 NRMSE 0.006 from the original net; good is at most 0.01 everywhere",
        ),
        (
            {"reset": one_pass(0.3, 0.4, above=90)},
            {"reset": Change("NRMSE 0.3 from the original net", [])},
            ALL,
            "not usable: over the whole test split (100 recordings, 13,096 steps), NRMSE 3.0e-01 "
            "(worst recording 'unit 24' 4.0e-01, 90 of 100 above 0.01); "
            "against float32 NRMSE 0.3 from the original net; "
            f"usable is an NRMSE of at most 0.05 (0.2 on a recording or an output); {FP16}",
        ),
    ],
)
def test_the_verdict_and_its_sentence(passes, changes, streamed, sentence):
    judged = judge("w8a8", GOLDEN, passes, changes, streamed, FP16)
    assert judged.sentence == sentence
    assert judged.verdict == sentence.partition(":")[0]


@pytest.mark.parametrize(
    ("nrmse", "part", "worse", "verdict"),
    [
        (0.01, 0.01, [1.0, -1.04], "good"),
        (0.0101, 0.01, [0.0], "usable, not good"),
        (0.01, 0.0101, [0.0], "usable, not good"),
        (0.01, 0.01, [0.0, 1.06], "usable, not good"),
        (0.01, 0.01, [-1.06, 0.0], "usable, not good"),
        (0.05, 0.2, [5.0, -50.0], "usable, not good"),
        (0.051, 0.01, [0.0], "not usable"),
        (0.01, 0.201, [0.0], "not usable"),
        (0.01, 0.01, [5.06], "not usable"),
        (0.01, 0.01, [float("inf")], "not usable"),
        (0.093, 0.093, [44.0], "not usable"),  # of w8a8 on rv1106, which passed as usable
    ],
)
def test_the_grades(nrmse, part, worse, verdict):
    for scheme in ("w8a8", "int8", "w4a16", "w16a16i_dfp"):
        assert grade(scheme, nrmse, part, worse) == verdict
    assert grade("fp16", nrmse / 5, part / 5, worse) == verdict


def test_what_is_certainly_wrong():
    assert why_wrong("w8a8", {"here": 0.1, "there": 0.0999}) is None
    assert why_wrong("fp16", {"here": 2.0e-2}) is None
    for scheme, limit in (("w8a8", "0.1"), ("int8", "0.1"), ("fp16", "0.02")):
        reason = why_wrong(scheme, {"here": 0.01, "there": 0.11})
        limit = f"more than {limit} is no rounding to {scheme}"
        assert reason == f"NRMSE 0.11 there; {limit}, it is wrong"
    for error in (np.inf, np.nan):
        assert why_wrong("fp16", {"here": error}).startswith("answers that are not finite here; ")


# --- a whole export ---


def features_of(run, recordings):
    inputs = run.spec.inputs
    return (np.concatenate(recordings) - inputs.mean) / np.asarray(inputs.std)


def carried_order(run):
    return np.random.default_rng(0).permutation(len(run.splits.test)).tolist()


@pytest.fixture(scope="module")
def clipped(trained, tmp_path_factory):
    """An export whose w8a8 has the range of the golden samples, the first 1,000 of the carried
    stream. The values beyond are clipped, as int8 does it. Returns the export, its lines of
    progress and the range."""
    first = [trained.splits.test[n].x for n in carried_order(trained)[:10]]  # 100 steps each
    golden = features_of(trained, first).astype(np.float32)
    low = golden.min(axis=0)
    high = golden.max(axis=0)
    said = []
    out = tmp_path_factory.mktemp("clipped") / "motions.edge"
    with pytest.MonkeyPatch.context() as monkeypatch:
        stand_in.install(monkeypatch, w8a8=lambda rows: np.clip(rows, low, high))
        # The form that is exact but for that.
        monkeypatch.setattr(rknn_convert, "candidates", lambda *_: ("cell",))
        work = export_run(trained, out, schemes=("fp16", "w8a8"), say=said.append)
    return work, said, (low, high)


def expected_pass(run, clip, how):
    """What clipping costs, by the reference alone: (number, outputs, right outputs) of each."""
    right, clipped = (Reference(run.spec, run.weights) for _ in range(2))
    rows = []
    for number in carried_order(run) if how == "never reset" else range(len(run.splits.test)):
        if how == "reset":
            right.reset()
            clipped.reset()
        x = features_of(run, [run.splits.test[number].x])
        rows.append((number, clipped.run(np.clip(x, *clip)), right.run(x)))
    return rows


def assert_is(found, rows, run, rel):
    """found: a pass of the manifest. rows: as of `expected_pass`."""
    outputs, right = (np.concatenate([row[k] for row in rows]) for k in (1, 2))
    errors = {number: nrmse(y, r, right.std()) for number, y, r in rows}
    number = max(errors, key=errors.get)
    columns = [nrmse(outputs[:, k], right[:, k], right[:, k].std()) for k in range(right.shape[1])]
    output = int(np.argmax(columns))
    assert found["recordings"] == len(rows)
    assert found["steps"] == found["of"] == len(right)
    assert found["nrmse"] == pytest.approx(nrmse(outputs, right, right.std()), rel=rel)
    assert found["max_abs"] == pytest.approx(np.abs(outputs - right).max(), rel=rel)
    assert found["above"] == sum(error > 1e-2 for error in errors.values())
    assert found["worst_recording"] == {
        "index": number,
        "name": run.splits.test[number].name,
        "nrmse": pytest.approx(errors[number], rel=rel),
    }
    assert found["worst_output"] == {
        "index": output,
        "name": run.spec.answer.names[output],
        "nrmse": pytest.approx(columns[output], rel=rel),
    }


def test_an_error_that_the_golden_samples_do_not_show_decides(trained, clipped):
    work, said, clip = clipped
    manifest = read_bundle(work.out).manifest
    assert read_measured(manifest["accuracy"])[simulated(W8A8)]["nrmse"] < 1e-5, "they show nothing"
    row = manifest["artifacts"][W8A8]
    passes = row["test_split"]["passes"]
    sentence = row["test_split"]["sentence"]
    assert set(passes) == {"reset", "never reset"}
    for how, found in passes.items():
        assert_is(found, expected_pass(trained, clip, how), trained, rel=1e-3)
    largest = max(found["nrmse"] for found in passes.values())
    assert 1e-2 < largest < 0.1, "no example of what this is about"
    assert row["test_split"]["verdict"] in ("usable, not good", "not usable")
    assert row["tolerance"]["limit"] == pytest.approx(1.5 * largest, rel=0.05)
    assert sentence.startswith(f"{row['test_split']['verdict']}: {SPLIT}, NRMSE ")
    assert sentence.endswith("; fp16 is the most accurate scheme of rk3588")
    assert f"  rknn-sim {W8A8}: {sentence}" in said
    assert f"rknn-sim {W8A8}: {sentence}" in summary(work).splitlines()
    assert "over the 1,000 golden samples" in summary(work).splitlines()[1]
    html = work.out.with_suffix(".html").read_text().replace("&#39;", "'")
    assert html.count(sentence) == 2, "with the others in fewer bits, and with the model"
    shown = re.findall(r"<figcaption>(.*?)</figcaption>", html)
    assert any(caption.endswith(f"Taken: {ranges(work).rule}") for caption in shown)
    assert manifest["artifacts"]["rk3588-fp16.rknn"]["test_split"]["verdict"] == "good"


def test_native_int8_is_judged_by_the_same_streams(trained, tmp_path):
    work = export_run(trained, tmp_path / "motions.edge", schemes=())
    model = load(work.out)
    found = model.manifest["native_int8"]["test_split"]
    test = trained.splits.test
    for how, order in (("reset", range(len(test))), ("never reset", carried_order(trained))):
        rows = []
        with model.session("native-int8") as rounded, model.session("reference") as exact:
            for number in order:
                if how == "reset":
                    rounded.reset()
                    exact.reset()
                x = test[number].x
                rows.append((number, rounded.run(x), exact.run(x)))  # logits: the network's outputs
        assert_is(found["passes"][how], rows, trained, rel=1e-6)
    assert found["sentence"].startswith(f"{found['verdict']}: {SPLIT}, NRMSE ")
    assert check_backend(model.bundle, "native-int8").passed
    html = work.out.with_suffix(".html").read_text().replace("&#39;", "'")
    assert f"native-int8 on this machine's CPU is {found['sentence']}" in html


def test_outputs_are_those_of_the_network_in_a_forecast_too(forecast_run, tmp_path):
    """Residual answers, gaps, and one recording: there is none to carry a state into."""
    work = export_run(forecast_run, tmp_path / "wave.edge", schemes=())
    model = load(work.out)
    (test,) = forecast_run.splits.test
    rows = model.features(test.x)
    reference = Reference(forecast_run.spec, forecast_run.weights).run(rows)
    with model.session("native-int8") as session:
        rounded = session.backend.run(rows.astype(np.float32))
    passes = model.manifest["native_int8"]["test_split"]["passes"]
    assert list(passes) == ["reset"]
    expected = nrmse(rounded, reference, reference.std())
    assert passes["reset"]["nrmse"] == pytest.approx(expected, rel=1e-6)
    assert passes["reset"]["worst_recording"] is None
    assert passes["reset"]["worst_output"]["name"] in forecast_run.spec.answer.names


def test_the_drift_says_that_it_is_the_same_samples(trained, monkeypatch, tmp_path):
    stand_in.install(monkeypatch)
    work = export_run(trained, tmp_path / "motions.edge", schemes=("fp16",))
    inspection = load(work.out).manifest["artifacts"]["rk3588-fp16.rknn"]["inspection"]
    drift = inspection["drift"]
    assert len(drift) == 10
    trend = "no growth" if drift[-1] / drift[0] < 1.005 else "the error grows a little"
    assert inspection["verdict"] == (
        "over the same 1,000 golden samples 10 times, never reset, "
        f"NRMSE {drift[0]:.1e} the first time and {drift[-1]:.1e} the last: {trend}"
    )
    html = work.out.with_suffix(".html").read_text()
    assert "over the same 1,000 golden samples 10 times, the state never reset" in html
    assert "10,000" not in html


def test_a_chunk_is_judged_by_the_steps_that_it_answers(trained, monkeypatch, tmp_path):
    """Recordings of 100 steps and chunks of 64: 64 of them are the model's, and 36 NumPy's."""
    stand_in.install(monkeypatch, fp16=lambda rows: rows * np.float32(1.001))
    work = export_run(trained, tmp_path / "motions.edge", schemes=("fp16",), chunk=64)
    found = load(work.out).manifest["artifacts"]["rk3588-fp16-t64.rknn"]["test_split"]
    one = found["passes"]["reset"]
    assert (one["recordings"], one["steps"], one["of"]) == (40, 40 * 64, 4000)
    xs = [features_of(trained, [sequence.x])[:64] for sequence in trained.splits.test]
    right = [Reference(trained.spec, trained.weights).run(x) for x in xs]
    outputs = [Reference(trained.spec, trained.weights).run(x * 1.001) for x in xs]
    assert one["nrmse"] == pytest.approx(nrmse(outputs, right, np.std(right)), rel=1e-3)
    over = "over the 2,560 of 4,000 steps of the test split that it answers itself (40 recordings)"
    assert over in found["sentence"]


def test_a_bidirectional_model_is_judged_and_nothing_drifts(both_run, monkeypatch, tmp_path):
    stand_in.install(monkeypatch)
    work = export_run(both_run, tmp_path / "both.edge", schemes=("fp16",))
    row = load(work.out).manifest["artifacts"]["rk3588-fp16-t100.rknn"]
    assert list(row["test_split"]["passes"]) == ["reset"], "there is no state to carry"
    assert row["test_split"]["sentence"].startswith(f"good: {SPLIT}, NRMSE ")
    assert "inspection" not in row
    html = work.out.with_suffix(".html").read_text().replace("&#39;", "'")
    assert row["test_split"]["sentence"] in html


def test_a_model_that_answers_no_recording_is_judged_by_the_golden_samples(both_run, monkeypatch):
    """A bidirectional one of 20 steps. The recordings have 50. The golden samples are pieces."""
    stand_in.install(monkeypatch)
    rng = np.random.default_rng(0)
    test = [Sequence(str(n), "g", rng.normal(size=(50, 6)), 0) for n in range(3)]
    run = dataclasses.replace(both_run)
    run.__dict__["splits"] = dataclasses.replace(both_run.splits, test=test)
    work = Work(
        run=run,
        schemes={"rk3588": ("fp16",)},
        out=Path("x.edge"),
        say=lambda _: None,
        resources=ExitStack(),
        chunk=20,
    )
    for step in (draw_stream, calibrate, convert, simulate, evaluate_task):
        work = step.call(work)
    judged = work.judgements[simulated("rk3588-fp16-t20.rknn")]
    assert (judged.verdict, dict(judged.passes)) == ("good", {})
    assert re.search(r"NRMSE \S+ over the 120 golden samples alone", judged.sentence)


# --- what `check` makes of it on a board ---


class Board(RknnBackend):
    """after: what becomes of the state and the answer after each step."""

    def __init__(self, spec, graph, io, after):
        right = stand_in.on_ort(spec, graph, io)
        super().__init__(right._runtime, right._packing)
        self._after = after

    def run(self, features):
        answers = []
        for row in features:
            answers.append(self._after(self, super().run(row[None])[0]))
        return np.stack(answers)


def with_state(change):
    """change: h and c before -> after, (layers, H) each."""

    def after(board, y):
        state = board.state
        names = {part: [name for name in state if name.endswith(part)] for part in (".h", ".c")}
        h, c = change(*(np.stack([state[name] for name in names[part]]) for part in names))
        board.state = dict(zip([*names[".h"], *names[".c"]], [*h, *c], strict=True))
        return y

    return after


WRONG = {
    "forgets all": with_state(lambda h, c: (0 * h, 0 * c)),
    "forgets c": with_state(lambda h, c: (h, 0 * c)),
    "takes h for c": with_state(lambda h, c: (c, h)),
    "takes one layer for the other": with_state(lambda h, c: (h[::-1].copy(), c[::-1].copy())),
    "is off by one unit": with_state(lambda h, c: (np.roll(h, 1, axis=1), c)),
    "swaps outputs": lambda _, y: y[[1, 2, 3, 0]],
    "answers nothing": lambda _, y: 0 * y,
}


@pytest.mark.parametrize("steps", [None, 200], ids=["check", "at load"])
def test_a_right_board_passes_and_a_wrong_one_fails(clipped, steps):
    """A right one rounds elsewhere, and errs on the golden samples as the split shows it may."""
    work = clipped[0]
    bundle = read_bundle(work.out)
    entry = bundle.manifest["artifacts"][W8A8]
    largest = max(found["nrmse"] for found in entry["test_split"]["passes"].values())
    spread = bundle.golden[1].std()
    rng = np.random.default_rng(0)
    right = {
        "rounds to float16": lambda _, y: y.astype(np.float16).astype(np.float32),
        "errs": lambda _, y: y + np.float32(1.2 * largest * spread) * rng.choice([-1, 1], y.shape),
    }

    def passes(after):
        board = Board(bundle.spec, bundle.member(entry["graph"]), entry["recipe"]["io"], after)
        return check_opened(bundle, board, "rknn", W8A8, steps).passed

    assert [name for name, after in right.items() if not passes(after)] == []
    assert [name for name, after in WRONG.items() if passes(after)] == []
