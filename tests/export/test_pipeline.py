"""From a trained run to a bundle without the vendor's converter. With it: npu/test_converter.py."""

from __future__ import annotations

import json
import os
import re

import numpy as np
import pytest

from edge_lstm_export import export_run, targets
from edge_lstm_export.c.export import export_c
from edge_lstm_export.cli.export import summary
from edge_lstm_export.measure.keys import NUMPY
from edge_lstm_export.npu.rknn.prepare import ranges
from edge_lstm_export.npu.worker import environment
from edge_lstm_export.quantize import calibration
from edge_lstm_export.steps import calibrate, convert, draw_stream, pack
from edge_lstm_runtime import BundleError, ConfigError, ConversionError, check_backend, load
from edge_lstm_runtime.cli import main
from edge_lstm_runtime.model.measured import Measured, read_measured


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    return export_run(trained, tmp_path_factory.mktemp("exported") / "motions.edge", schemes=())


def test_bundle_runs_on_a_cpu_within_tolerance(exported):
    bundle = load(exported.out).bundle
    assert bundle.golden[0].shape == (1000, 6)
    for backend in ("numpy", "native", "native-fp16", "native-int8", "onnx"):
        result = check_backend(bundle, backend)
        assert result.passed, result
        assert result.comparison.steps == 1000
    assert set(bundle.members) == {
        "weights.npz",
        "golden.npz",
        "calibration.npz",
        "int8.npz",
        "model.onnx",
        "cell.onnx",
    }
    accuracy = read_measured(bundle.manifest["accuracy"])
    assert set(map(str, accuracy)) == {
        "numpy",
        "native",
        "native-fp16",
        "native-int8",
        "onnx model.onnx",
        "onnx cell.onnx",
    }
    assert accuracy[Measured("native-int8")]["nrmse"] <= 5e-3
    assert 1e-6 < accuracy[Measured("native-fp16")]["nrmse"] <= 1e-3
    promised = bundle.manifest["native_fp16"]
    assert promised["tolerance"]["metric"] == "nrmse"
    assert promised["tolerance"]["limit"] == pytest.approx(2**-11, rel=3)
    assert promised["test_split"]["verdict"] == "good"


def test_golden_stream_is_real_test_data(exported, trained):
    rows = {tuple(row) for s in trained.splits.test for row in s.x}
    assert all(tuple(row) in rows for row in exported.stream)


def test_numpy_metric_equals_torch(exported, trained):
    for key in ("accuracy", "macro_f1"):
        assert exported.metrics[NUMPY][key] == pytest.approx(trained.metrics["test"][key], abs=1e-6)


def test_same_run_gives_the_same_bytes(trained, exported, tmp_path):
    again = export_run(trained, tmp_path / "again.edge", schemes=())
    assert again.out.read_bytes() == exported.out.read_bytes()


def test_the_bundle_says_where_the_run_is_from(trained, exported):
    provenance = exported.bundle.manifest["provenance"]
    assert provenance == trained.provenance
    assert {"trained", "code", "data_sha256", "config_sha256"} <= set(provenance)


def test_calibration_has_real_features_with_the_states_before_them(exported):
    states = dict.fromkeys(("lstm0.h", "lstm0.c", "lstm1.h", "lstm1.c"), (6400, 16))
    shapes = {name: array.shape for name, array in exported.calibration.items()}
    assert shapes == {"x": (6400, 6), **states}  # each of 3,200 steps, reset and carried
    h = np.concatenate([exported.calibration[f"lstm{k}.h"] for k in range(2)], axis=1)
    assert np.isfinite(h).all()
    assert np.abs(h).max() < 1  # h = o * tanh(c)
    assert len(np.unique(h, axis=0)) > 6400 * 0.9  # not one state over and over


def test_calibration_is_stratified_and_the_ranges_are_the_best_ones(trained, monkeypatch):
    monkeypatch.setattr(calibration, "SAMPLES", 1024)  # fewer than there are steps
    from contextlib import ExitStack
    from pathlib import Path

    from edge_lstm_export.work import Work

    said = []
    work = Work(
        run=trained,
        schemes={"rk3588": ("w8a8",)},
        out=Path("x.edge"),
        say=said.append,
        resources=ExitStack(),
    )
    first = calibrate.call(work)
    second = calibrate.call(work)
    assert list(first.calibration) == ["x", "lstm0.h", "lstm0.c", "lstm1.h", "lstm1.c"]
    assert list(first.calibration) == list(second.calibration)
    for name, array in first.calibration.items():
        np.testing.assert_array_equal(array, second.calibration[name])
    chosen = ranges(first)
    errors = chosen.errors
    assert errors == ranges(second).errors
    assert errors[chosen.rule] == min(errors.values())
    assert f"ranges of the int8 cell: {chosen.rule} (emulated NRMSE: searched " in said[0]
    everything = np.concatenate(
        [trained.spec.inputs.features(s.x)[0] for s in trained.splits.train]
    ).astype(np.float32)
    for extreme in (everything.max(axis=0), everything.min(axis=0)):
        assert (np.abs(first.calibration["x"] - extreme).min(axis=0) == 0).all(), (
            "the range would depend on the draw"
        )
    states = [first.calibration[f"lstm{k}.h"] for k in range(2)]
    zero = (np.concatenate(states, axis=1) == 0).all(axis=1).mean()
    assert 0.03 < zero < 0.5, "the first step after a reset is a stratum of its own"


def test_of_several_forms_the_cheapest_that_is_right_is_kept():
    from edge_lstm_export.work import Candidate
    from edge_lstm_runtime import Comparison

    def tried(form, nrmse, cycles, on_cpu=0):
        return Candidate(
            "rk3588", "w8a8", form, Comparison(10, nrmse, nrmse, nrmse, (0, 0)), cycles, on_cpu
        )

    refused = Candidate("rk3588", "w8a8", "cell", refused="crashed (SIGABRT)")
    for candidates, form, why in (
        (
            [tried("packed", 5e-3, 900), tried("cell", 9e-3, 700), tried("fused", 1e-3, None)],
            "cell",
            "the cheapest within NRMSE 0.01 over the golden samples (700",
        ),
        (
            [tried("packed", 5e-3, 900), tried("cell", 4e-2, 700), refused],
            "packed",
            "the only one within NRMSE 0.01 over the golden samples (900 cycles, 1 of 3 forms "
            "within)",
        ),
        (  # though the other takes fewer cycles
            [tried("packed", 5e-3, 900), tried("cell", 5e-3, 100, on_cpu=2)],
            "packed",
            "the one with the fewest operators on the CPU within NRMSE 0.01 over the golden "
            "samples (900 cycles, 2 of 2",
        ),
        (
            [
                tried("packed", 5e-3, 900),
                tried("cell", 5e-3, 800),
                tried("fused", 5e-3, 100, on_cpu=2),
            ],
            "cell",
            "the cheapest with the fewest operators on the CPU within NRMSE 0.01 over the golden "
            "samples (800 cycles, 3 of 3",
        ),
        (  # nothing says which is cheaper
            [tried("fused", 1e-3, None), tried("packed", 2e-3, None)],
            "fused",
            "the most accurate within NRMSE 0.01 over the golden samples (cycles not known, 2 of 2",
        ),
        (
            [tried("fused", 2e-3, None), tried("packed", 1e-3, None)],
            "packed",
            "the most accurate within NRMSE 0.01 over the golden samples (cycles not known, 2 of 2",
        ),
        (
            [tried("cell", 5e-2, 700), tried("fused", 3e-2, None)],
            "fused",
            "the most accurate; none is within NRMSE 0.01 over the golden samples",
        ),
        ([tried("fused", 1e-3, None), refused], "fused", "cycles not known"),
    ):
        kept = convert._choose(candidates)
        assert kept.form == form
        assert why in kept.why
    with pytest.raises(
        ConversionError, match=r"rk3588 w8a8 can't be made: cell: crashed \(SIGABRT\)"
    ):
        convert._choose([refused])


@pytest.mark.parametrize(
    ("target", "advice"),
    [
        ("rk3588", "; fp16 is the most accurate scheme of rk3588"),
        ("rv1106", "; w16a16i_dfp is the most accurate scheme of rv1106"),
        ("rv1103b", "; rv1103b has no more accurate scheme: use the numpy backend, "),
    ],
)
def test_an_unusable_int8_model_says_what_the_target_has_instead(forecast_run, target, advice):
    from contextlib import ExitStack
    from pathlib import Path
    from types import SimpleNamespace

    from edge_lstm_export.steps import simulate
    from edge_lstm_export.work import Artifact, Work

    reference = np.random.default_rng(0).normal(size=(50, 1))
    made = Artifact(
        target,
        "w8a8",
        SimpleNamespace(steps=1),
        SimpleNamespace(close=lambda: None),
        (reference + 1).astype(np.float32),
        Measured("rknn-sim", f"{target}-w8a8.rknn"),
    )
    work = Work(
        run=forecast_run, schemes={target: ("w8a8",)}, out=Path("x.edge"), say=lambda _: None,
        resources=ExitStack(),
        reference=reference, artifacts={f"{target}-w8a8.rknn": made},
    )  # fmt: skip
    work = simulate.call(work)
    (note,) = work.notes
    assert "NRMSE 1" in note
    assert advice in note
    assert not work.artifacts
    assert list(work.left_out) == [f"{target}-w8a8.rknn"]


def test_a_regression_answers_its_targets_on_every_backend_and_in_c(regress_run, tmp_path, capsys):
    work = export_run(regress_run, tmp_path / "units.edge", schemes=())
    model = load(work.out)
    sequence = regress_run.splits.test[0]
    truth = sequence.y
    for backend in ("numpy", "native", "native-fp16", "native-int8", "onnx"):
        assert check_backend(model.bundle, backend).passed
        with model.session(backend=backend) as session:
            answers = np.stack([session.step(x) for x in sequence.x])
        error = np.abs(answers - truth).mean(axis=0)
        # both, though one is 1000 times the other
        assert (error < 0.5 * np.abs(truth - truth.mean(axis=0)).mean(axis=0)).all(), (
            backend,
            error,
        )
        figures = work.metrics.get(Measured(backend))
        if figures and len(regress_run.splits.test) == 1:
            assert [f["mae"] for f in figures["per_target"].values()] == pytest.approx(
                error.tolist(), rel=1e-4
            )
    (tmp_path / "in.csv").write_text("b,a\n0.5,-1\n")
    assert (
        main(["run", str(work.out), "--input", str(tmp_path / "in.csv"), "--backend", "numpy"]) == 0
    )
    told = json.loads(capsys.readouterr().out)["value"]
    with model.session(backend="reference") as session:
        assert list(told.values()) == pytest.approx(session.step([-1, 0.5]).tolist(), rel=1e-5)
    assert list(told) == ["level", "swing"]
    report = work.out.with_suffix(".html").read_text()
    for target in ("level", "swing"):  # in units of their own: a column and a line for each
        assert f'<th class="n">RMSE, last step, {target}</th>' in report
        assert (
            f"<li>{target}: The model beats the mean of the training split over all steps: MAE "
            in report
        )
    swing = work.metrics[NUMPY]["baselines"]["mean"]["per_target"]["swing"]["rmse_last"]
    assert re.search(rf">{swing:.4g}</td><td [^>]*>no model</td>", report)
    assert "(the most of 2 targets) over all steps" in report
    assert f"mae, swing {work.metrics[NUMPY]['per_target']['swing']['mae']:.4g}" in summary(work)
    assert "the training split&#39;s mean" in report or "the training split's mean" in report
    # which builds it and runs its self-test with real data
    made = export_c(regress_run, tmp_path / "c")
    assert made.built.verdict.startswith("largest error")
    assert "a streaming regression" in (tmp_path / "c" / "src" / "model.c").read_text()


def test_forecast_with_residual_gaps_and_seasonal_baseline(forecast_run, tmp_path):
    work = export_run(forecast_run, tmp_path / "wave.edge", schemes=())
    metrics = work.metrics[NUMPY]
    assert metrics["mae"] == pytest.approx(forecast_run.metrics["test"]["mae"], rel=1e-4)
    assert "seasonal" in metrics["baselines"]
    html = work.out.with_suffix(".html").read_text()
    assert re.search(
        r"The model (beats|does not beat|is better in one measure and worse in the other than) the "
        r"naive forecast",
        html,
    )
    assert check_backend(load(work.out).bundle, "onnx").passed


def test_report_is_self_contained(exported):
    html = exported.out.with_suffix(".html").read_text()
    assert "<script" not in html
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!data:)", html)
    assert html.count("<figure>") == 4
    assert html.count("data:image/png;base64,") == 7  # but for the confusion, one for a phone too
    assert "right in" in html


def test_machine_without_converter_makes_the_rest_and_says_so(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(environment.platform, "machine", lambda: "arm64")
    said = []
    work = export_run(trained, tmp_path / "motions.edge", schemes=("fp16",), say=said.append)
    assert any("no RKNN model for rk3588 was made" in line and "arm64" in line for line in said)
    assert check_backend(load(work.out).bundle, "numpy").passed
    assert "no RKNN model for rk3588 was made" in work.out.with_suffix(".html").read_text()
    assert "no RKNN model for rk3588 was made" in load(work.out).manifest["notes"][0]


@pytest.mark.parametrize(
    ("target", "scheme", "message"),
    [
        ("rk9999", "fp16", "target 'rk9999' is unknown; known: ethos-u55-32"),
        ("rk3588", "w4a16", "scheme 'w4a16' is not offered for rk3588; expected one of fp16, w8a8"),
    ],
)
def test_unknown_target_or_scheme(trained, tmp_path, target, scheme, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        export_run(trained, tmp_path / "x.edge", targets=(target,), schemes=(scheme,))
    assert not list(tmp_path.iterdir())


def test_missing_folder_and_missing_run(trained, tmp_path, capsys):
    with pytest.raises(ConversionError, match=r"the folder .*nowhere is not there"):
        export_run(trained, tmp_path / "nowhere" / "x.edge", schemes=())
    assert (
        main(["export", str(tmp_path / "no-run"), "-o", str(tmp_path / "x.edge"), "--no-npu"]) == 2
    )
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "no-run" in error
    assert main(["export", str(tmp_path), "-o", "x.edge", "--no-npu", "--scheme", "fp16"]) == 2
    assert "contradict each other" in capsys.readouterr().err


def test_failed_write_keeps_the_old_bundle(trained, exported, monkeypatch):
    before = exported.out.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        BundleError, match=r"No space left on device; what was there before is unchanged"
    ):
        export_run(trained, exported.out, schemes=())
    assert exported.out.read_bytes() == before
    assert {p.name for p in exported.out.parent.iterdir()} == {"motions.edge", "motions.html"}


def test_short_test_data_is_repeated(forecast_run):
    from contextlib import ExitStack
    from pathlib import Path

    from edge_lstm_export.work import Work

    work = Work(run=forecast_run, schemes={}, out=Path("x.edge"), say=print, resources=ExitStack())
    assert sum(len(s.x) for s in forecast_run.splits.test) < 1000
    assert draw_stream.call(work).stream.shape == (1000, 1)


def test_target_table(capsys):
    assert main(["targets"]) == 0
    shown = capsys.readouterr().out
    for target in targets().values():
        assert target.name in shown
        assert set(target.verified) <= set(target.schemes)
    assert targets()["rk3588"].verified == ("fp16", "w8a8")


def test_versions_are_recorded(exported):
    assert set(pack.PACKAGES) <= set(load(exported.out).manifest["versions"])
