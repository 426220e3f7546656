"""The part of the test split that the simulator streams, and that it is said wherever it counts."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_lstm import Run, Sequence, evaluate
from edge_lstm_export import export_run
from edge_lstm_export.cli.export import summary
from edge_lstm_export.measure.draw import draw
from edge_lstm_export.measure.passes import BLOCK, stream_test
from edge_lstm_export.measure.progress import Progress
from edge_lstm_export.npu import SIM_STEPS
from edge_lstm_runtime import ConfigError, Reference, load
from edge_lstm_runtime.backends.numpy import NumpyBackend
from helpers import stand_in
from helpers.simulated import simulated


def recordings(lengths: list[int], labels: str = "") -> list[Sequence]:
    rng = np.random.default_rng(0)
    found = []
    for k, length in enumerate(lengths):
        label = "abc".index(labels[k]) if labels else None
        y = None if labels else rng.normal(size=(length, 1))
        found.append(Sequence(f"r{k}", "g", rng.normal(size=(length, 2)), label, y))
    return found


def test_a_split_within_the_limit_is_whole() -> None:
    test = recordings([100, 300])
    drawn = draw(test, 400, cuts=True)
    assert drawn.test is test
    assert list(drawn.numbers) == [0, 1]
    assert drawn.extent.whole
    assert drawn.extent.words() == "the whole test split (2 recordings, 400 steps)"


def test_whole_recordings_are_drawn_the_classes_in_turn() -> None:
    """90 of a, 8 of b, 2 of c, each of 100 steps: of 20, each class has a third, or all it has."""
    labels = "a" * 90 + "b" * 8 + "c" * 2
    test = recordings([100] * 100, labels)
    drawn = draw(test, 2050, cuts=True)
    same = [s is test[n] for s, n in zip(drawn.test, drawn.numbers, strict=True)]
    assert all(same), "not one is cut"
    assert list(drawn.numbers) == sorted(set(drawn.numbers))
    counts = [[s.label for s in drawn.test].count(k) for k in range(3)]
    assert sum(counts) == 20
    assert counts[2] == 2
    assert counts[1] == 8
    assert drawn.extent.words() == (
        "a part of the test split (20 of 100 recordings, 2,000 of 10,000 steps, "
        "drawn evenly over the classes)"
    )
    of_a = [n for n in drawn.numbers if test[n].label == 0]
    assert max(of_a) > 45 > min(of_a), "not the first ones"
    assert draw(test, 2050, cuts=True).numbers == drawn.numbers, "the same every time"


def test_few_long_recordings_are_cut_alike() -> None:
    test = recordings([1000, 40, 3000, 2000])
    drawn = draw(test, 400, cuts=True)
    assert [len(s.x) for s in drawn.test] == [100, 40, 100, 100]
    assert [s.name for s in drawn.test] == ["r0[0:100]", "r1", "r2[0:100]", "r3[0:100]"]
    for piece, whole in zip(drawn.test, test, strict=True):
        np.testing.assert_array_equal(piece.x, whole.x[:100])
        assert piece.y is not None
        assert whole.y is not None
        np.testing.assert_array_equal(piece.y, whole.y[:100])
    assert drawn.extent.words() == (
        "a part of the test split (4 of 4 recordings, 340 of 6,040 steps, "
        "none longer than its first 100 steps)"
    )
    (one,) = draw(recordings([5000]), 700, cuts=True).test
    assert len(one.x) == 700


def test_sequences_that_must_be_whole_are_never_cut() -> None:
    drawn = draw(recordings([1000, 1000, 1000]), 400, cuts=False)
    assert [len(s.x) for s in drawn.test] == [1000], "at least one"
    assert drawn.extent.words() == (
        "a part of the test split (1 of 3 recordings, 1,000 of 3,000 steps, drawn evenly over all)"
    )


def test_a_pass_in_blocks_is_the_same_and_counts_its_steps(forecast_run: Run) -> None:
    (test,) = forecast_run.splits.test
    long = dataclasses.replace(test, x=np.tile(test.x, (20, 1)))
    assert len(long.x) > BLOCK
    drawn = draw([long], 2500, cuts=True)
    steps: list[int] = []
    backend = NumpyBackend(forecast_run.spec, forecast_run.weights)
    found = stream_test(forecast_run, backend, drawn, steps.append)["reset"].outputs[0]
    rows = forecast_run.spec.inputs.features(long.x[:2500])[0]
    right = Reference(forecast_run.spec, forecast_run.weights).run(rows)
    np.testing.assert_allclose(found, right, atol=1e-5)
    assert steps == [1000, 1000, 500]


def test_progress_says_how_long_it_still_takes() -> None:
    times = [0.0, 1.0, 9.0, 10.0, 12.0, 19.0, 25.0, 100.0, 200.0]
    said: list[str] = []
    progress = Progress(said.append, "rknn-sim x", 40_000, iter(times).__next__)
    for _ in range(6):
        progress(1000)
    assert said == [
        "  rknn-sim x: 3,000 of 40,000 steps, about 2 min left",  # 37,000 at 300 a second
        "  rknn-sim x: 6,000 of 40,000 steps, about 2 min left",
    ]
    progress(24_000)
    assert said[-1] == "  rknn-sim x: 30,000 of 40,000 steps, about 33 s left"
    progress(10_000)
    assert len(said) == 3, "the verdict follows at once"


# --- a whole export ---


def test_a_verdict_on_a_part_says_so_everywhere(
    trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """40 recordings of 100 steps and 4 classes. Features that are 1.002 times as large."""
    stand_in.install(monkeypatch, fp16=lambda rows: rows * np.float32(1.002))
    said: list[str] = []
    out = tmp_path / "motions.edge"
    work = export_run(trained, out, schemes=("fp16",), sim_steps=1250, say=said.append)
    row = load(out).manifest["artifacts"]["rk3588-fp16.rknn"]
    found = row["test_split"]
    extent = {"recordings": 12, "steps": 1200, "of_recordings": 40, "of_steps": 4000}
    assert found["streamed"] == {**extent, "cut": None, "classes": True}
    over = (
        "over a part of the test split (12 of 40 recordings, 1,200 of 4,000 steps, "
        "drawn evenly over the classes)"
    )
    assert over in found["sentence"]
    assert row["tolerance"]["reason"].endswith(
        "the largest of the golden samples and a part of the test split, at least 4.9e-04, "
        "one rounding"
    )
    assert f"  the simulator streams {over[5:]}; --sim-steps sets the limit" in said
    # The figures, by the reference alone.
    numbers = [s.name for s in trained.splits.test]
    drawn = draw(trained.splits.test, 1250, cuts=True).test
    assert [sum(s.label == k for s in drawn) for k in range(4)] == [3, 3, 3, 3]
    inputs = trained.spec.inputs
    rows = [(s.x - inputs.mean) / np.asarray(inputs.std) for s in drawn]
    right, wrong = (
        [Reference(trained.spec, trained.weights).run(x * factor) for x in rows]
        for factor in (1.0, 1.002)
    )
    nrmse = np.sqrt(np.mean((np.array(wrong) - right) ** 2)) / np.std(right)
    one = found["passes"]["reset"]
    assert one["nrmse"] == pytest.approx(nrmse, rel=1e-2)
    assert (one["recordings"], one["steps"], one["of"]) == (12, 1200, 1200)
    assert numbers[one["worst_recording"]["index"]] == one["worst_recording"]["name"]
    # Against float32 on the same recordings.
    metrics = [evaluate(trained.spec, drawn, answers) for answers in (wrong, right)]
    points = 100 * (metrics[0]["accuracy_all_steps"] - metrics[1]["accuracy_all_steps"])
    assert found["changes"]["reset"]["worse"][1] == pytest.approx(-points, abs=0.1)
    # Everywhere.
    label = str(simulated("rk3588-fp16.rknn"))
    printed = summary(work).splitlines()
    assert f"{label}: {found['sentence']}" in printed
    metric_lines = [t for t in printed if t.endswith("(test part: 1,200 steps)")]
    assert [t.split("  ")[0] for t in metric_lines] == [label, f"{label}, state never reset"]
    html = out.with_suffix(".html").read_text().replace("&#39;", "'").replace("&#34;", '"')
    assert html.count(found["sentence"]) == 2
    source = f"simulator of rknn-toolkit2, not a board; {over}"
    assert html.count(f">{source}</td>") == 2, "reset, and never reset"
    cells = re.search(r"12 of 40</td><td [^>]*>1,200 of 4,000</td>", html)
    assert cells is not None
    # The kernel on the CPU is fast: it streams all of it.
    assert load(out).manifest["native_int8"]["test_split"]["streamed"]["steps"] == 4000


def test_no_recipe_has_a_longer_test_split() -> None:
    from edge_lstm import load_config, load_data
    from edge_lstm.recipes.listing import recipes

    for recipe in recipes():
        if not recipe.missing:
            test = load_data(load_config(f"recipe:{recipe.name}")).test
            assert sum(len(s.x) for s in test) <= SIM_STEPS, recipe.name


@pytest.mark.parametrize("steps", [0, -1, 1.5, True])
def test_a_limit_that_is_none(trained: Run, tmp_path: Path, steps: Any) -> None:
    with pytest.raises(ConfigError, match=r"sim_steps is .*expected a whole number from 1 up"):
        export_run(trained, tmp_path / "x.edge", sim_steps=steps)
