"""The recommendation follows from what was measured, and each of its words is true."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from edge_lstm_export.measure.draw import Extent
from edge_lstm_export.measure.judgement import Change, Judgement
from edge_lstm_export.measure.keys import NATIVE, NATIVE_INT8, NUMPY, onnx
from edge_lstm_export.measure.recommend import ELSEWHERE, short
from edge_lstm_export.measure.recommend import recommend as recommended
from edge_lstm_export.measure.speed import Speed, machine, time_backend
from edge_lstm_runtime import load
from edge_lstm_runtime.model.measured import Measured
from helpers.bundles import make_bundle
from helpers.specs import make_spec

WORSE = "+1.2 % RMSE"


def recommend(
    speeds: list[Speed], judgements: dict[Measured, Judgement], *, imported: bool
) -> list[str]:
    found = recommended(speeds, judgements, imported=imported)
    first = found.sentences[0]
    named = "No backend is" if found.best is None else f"Use {found.best.name.backend}: "
    assert first.startswith(named)
    return [*found.sentences]


def speed(name: Measured, microseconds: float, weights: int) -> Speed:
    return Speed(name, microseconds, 2 * microseconds, 100, weights)


def judged(verdict: str, *worse: float, words: str = WORSE) -> dict[Measured, Judgement]:
    changes = {"reset": Change(words, list(worse))}
    return {NATIVE_INT8: Judgement(verdict, "", {}, changes, Extent(1, 9, 1, 9))}


THREE = [speed(NUMPY, 4.5, 73744), speed(NATIVE, 1.24, 75968), speed(NATIVE_INT8, 0.9712, 24768)]
ON = f"timed on this machine ({machine()})."
RIGHT = "backends that are within tolerance and whose main metric is not worse than that of float32"


def test_the_fastest_without_a_loss_is_recommended_with_its_figures() -> None:
    for worse in ([0.0], [-0.3, 0.0], [0.04, -2.0]):  # 0.04 is printed as 0.0
        assert recommend(THREE, judged("good", *worse), imported=False) == [
            "Use native-int8: 0.97 µs a step and 24.8 kB of weights, no loss on the test split.",
            f"Of the 3 {RIGHT}, it is the fastest, {ON}",
            ELSEWHERE,
        ]


@pytest.mark.parametrize("verdict", ["good", "usable, not good"])
def test_a_faster_one_with_a_loss_is_named_with_the_loss(verdict: str) -> None:
    assert recommend(THREE, judged(verdict, 0.06, 0.0), imported=False) == [
        "Use native: 1.24 µs a step and 76.0 kB of weights, no loss on the test split.",
        f"Of the 2 {RIGHT}, it is the fastest, {ON}",
        "native-int8 takes 0.97 µs a step and 24.8 kB of weights, but it has +1.2 % RMSE against "
        "float32.",
        ELSEWHERE,
    ]


def test_the_first_metric_decides_and_a_loss_in_another_one_is_told() -> None:
    said = recommend(THREE, judged("good", 0.0, 0.1), imported=False)
    cost = "Use native-int8: 0.97 µs a step and 24.8 kB of weights"
    assert said[0] == f"{cost}, +1.2 % RMSE against float32."
    assert said[1].startswith(f"Of the 3 {RIGHT}, ")
    passes = {
        "reset": Change("+0.0 % RMSE", [0.0]),
        "never reset": Change("+0.3 % RMSE", [0.3]),
    }
    both = {NATIVE_INT8: Judgement("good", "", {}, passes, Extent(1, 9, 1, 9))}
    said = recommend(THREE, both, imported=False)  # each pass counts
    assert said[0].startswith("Use native: ")
    assert said[2].endswith("but it has +0.3 % RMSE against float32.")


def test_one_that_is_not_usable_is_not_recommended_even_if_its_metric_is_no_worse() -> None:
    said = recommend(THREE, judged("not usable", -1.0), imported=False)
    assert said[0].startswith("Use native: ")
    assert said[2].endswith("24.8 kB of weights, but it is not usable.")


def test_the_loss_of_an_imported_net_is_not_known() -> None:
    said = recommend(THREE, judged("good", words="NRMSE 2e-3"), imported=True)
    assert said[0] == "Use native: 1.24 µs a step and 76.0 kB of weights, the answers of float32."
    assert said[1] == f"Of the 2 backends that are within tolerance, it is the fastest, {ON}"
    assert said[2].endswith(
        "but it is good by its error, and what that does to the net's own task is not known."
    )


def test_a_difference_of_noise_is_none_and_fewer_bytes_decide() -> None:
    times = [speed(NATIVE, 121.0, 89280), speed(NATIVE_INT8, 126.9, 28864)]
    said = recommend(times, judged("good", 0.0), imported=False)
    assert (
        said[0]
        == "Use native-int8: 126.9 µs a step and 28.9 kB of weights, no loss on the test split."
    )
    assert said[1] == (
        f"Of the 2 {RIGHT}, it has the smallest weights among those within 5 % of the fastest, {ON}"
    )
    times = [speed(NATIVE, 121.0, 89280), speed(NATIVE_INT8, 127.1, 28864)]
    assert recommend(times, judged("good", 0.0), imported=False)[0].startswith("Use native: ")


def test_one_backend_is_the_only_one_and_none_is_none() -> None:
    alone = [speed(onnx("model.onnx"), 10123.4, 5000)]
    said = recommend(alone, {}, imported=True)
    assert said[0] == "Use onnx: 10,123 µs a step and 5.00 kB of weights, the answers of float32."
    assert said[1] == f"It is the only backend that is within tolerance, {ON}"
    none = "No backend is recommended: no backend could be timed here. "
    assert recommend([], {}, imported=False) == [none + ELSEWHERE]


def test_figures_have_few_digits_and_no_power_of_ten() -> None:
    values = (0.0123, 0.971, 1.24, 12.34, 123.44, 1234.5, 4671.2)
    shown = ["0.01", "0.97", "1.24", "12.3", "123.4", "1,234", "4,671"]
    assert [short(v) for v in values] == shown


def test_a_backend_is_timed_as_a_session_takes_it(tmp_path: Path) -> None:
    make_bundle(tmp_path / "a.edge", make_spec(hidden=16), form="fused")
    model = load(tmp_path / "a.edge")
    found = time_backend(model.bundle, NUMPY, 1234)
    samples = model.bundle.golden[0]
    with model.session(backend="numpy") as session:
        times = np.empty(found.steps)
        for n in range(-100, found.steps):
            start = time.perf_counter()
            session.step(samples[n % len(samples)])
            times[max(n, 0)] = time.perf_counter() - start
    assert 50 <= found.steps <= 2000
    # The median of two measurements, one after the other, on a machine that does other things too.
    assert 0.2 < 1e-6 * found.p50_us / np.median(times) < 5
    assert 0 < found.p50_us <= found.p99_us
    assert (found.name, found.weights) == (NUMPY, 1234)
