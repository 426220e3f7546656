"""Comparing figures and checking a backend against the golden answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_lstm_runtime import (
    BackendError,
    BackendUnavailableError,
    Bundle,
    ConfigError,
    check_backend,
    choose_backend,
    write_bundle,
)
from edge_lstm_runtime.backends.artifacts import pick_artifact
from edge_lstm_runtime.backends.numpy import NumpyBackend
from edge_lstm_runtime.backends.registry import open_backend
from edge_lstm_runtime.model.npz import write_npz
from edge_lstm_runtime.verify.bench import latencies
from edge_lstm_runtime.verify.check import artifacts
from edge_lstm_runtime.verify.error import FLOAT32, Tolerance, compare, float32_tolerance
from helpers.bundles import make_bundle
from helpers.rivals import SPEC, load_session, perturbed, reason_of, register, with_artifacts
from helpers.specs import make_spec
from helpers.weights import random_weights

pytestmark = pytest.mark.usefixtures("no_native")


def test_compare_figures() -> None:
    reference = np.array([[1.0, -1.0], [1.0, -1.0]])
    result = compare(reference + np.array([[0.0, 0.0], [0.0, -0.5]]), reference)
    assert (result.steps, result.max_abs, result.worst) == (2, 0.5, (1, 1))
    assert result.rmse == pytest.approx(0.25)
    assert result.nrmse == pytest.approx(0.25)  # the deviation of the reference is 1
    assert result.to_dict() == {
        "steps": 2,
        "max_abs": 0.5,
        "rmse": 0.25,
        "nrmse": 0.25,
        "worst": [1, 1],
    }


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("metric", ["max_abs", "nrmse"])
def test_what_is_not_finite_is_never_within(value: float, metric: Any) -> None:
    outputs = np.ones((3, 2), np.float32)
    outputs[1, 0] = value
    result = compare(outputs, np.ones((3, 2)))
    assert result.worst == (1, 0)
    assert not result.within(Tolerance(metric, 1e300, "any finite error"))


def test_a_constant_reference_has_no_spread() -> None:
    assert compare(np.ones((2, 1)), np.ones((2, 1))).nrmse == 0.0
    assert compare(np.zeros((2, 1)), np.ones((2, 1))).nrmse == np.inf


def test_compare_refuses_other_shapes() -> None:
    with pytest.raises(ValueError, match=r"\(2, 1\) and reference \(2, 2\)"):
        compare(np.zeros((2, 1)), np.zeros((2, 2)))


def test_float32_is_held_to_a_share_of_large_outputs_alone() -> None:
    for largest, limit in ((0.3, 1e-5), (1.0, 1e-5), (-40.0, 4e-4)):
        assert float32_tolerance(np.array([[0.1, largest]])).limit == pytest.approx(limit)
    assert float32_tolerance(np.empty((0, 2))) == FLOAT32


@pytest.mark.parametrize("name", ["numpy", "onnx", "reference"])
def test_check_passes(full: Bundle, name: str) -> None:
    result = check_backend(full, name)
    assert result.passed
    assert result.tolerance == float32_tolerance(full.golden[1])
    assert result.comparison.steps == 40
    assert result.comparison.max_abs <= 1e-5
    assert result.microseconds_per_step > 0
    assert check_backend(full, name, steps=7).comparison.steps == 7


def test_check_finds_a_wrong_backend(full: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, "numpy", perturbed)
    result = check_backend(full, "numpy")
    assert not result.passed
    assert result.comparison.max_abs > 1e-5


def test_check_finds_an_altered_golden_answer(tmp_path: Path) -> None:
    weights = random_weights(SPEC)
    x, y = make_bundle(tmp_path / "a.edge", SPEC).golden
    y = y.copy()
    y[17, 2] += 1e-3
    bundle = write_bundle(
        tmp_path / "a.edge", SPEC, weights, {"golden.npz": write_npz({"x": x, "y": y})}
    )
    result = check_backend(bundle, "numpy")
    assert not result.passed
    assert result.comparison.worst == (17, 2)


def test_check_starts_from_the_zero_state(full: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def warmed(bundle: Bundle, **_: Any) -> NumpyBackend:
        backend = NumpyBackend(bundle.spec, bundle.weights)
        backend.run(np.ones((5, 3), np.float32))
        return backend

    register(monkeypatch, "numpy", warmed)
    assert check_backend(full, "numpy").passed


def test_the_tolerance_of_an_artifact_is_the_manifests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = with_artifacts(tmp_path, "rk3588-w8a8.rknn", metric="nrmse", limit=0.15)
    register(monkeypatch, "rknn", perturbed)
    # By name, and if the only one is meant.
    for artifact in ("rk3588-w8a8.rknn", None):
        result = check_backend(bundle, "rknn", artifact)
        assert result.artifact == "rk3588-w8a8.rknn"
        assert result.tolerance == Tolerance("nrmse", 0.15, "as the export found it")
        assert result.passed
    with pytest.raises(
        BackendUnavailableError, match=r"no artifact 'other\.rknn'; it holds rk3588-w8a8\.rknn"
    ):
        check_backend(bundle, "rknn", "other.rknn")


def test_the_tolerance_of_float32_is_the_manifests_where_it_states_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stated = {"metric": "max_abs", "limit": 4e-4, "reason": "as the export found it"}
    bundle = make_bundle(tmp_path / "f.edge", SPEC, form="fused", float32={"tolerance": stated})
    register(monkeypatch, "numpy", perturbed)  # beyond 1e-5: see test_check_finds_a_wrong_backend
    for backend in ("numpy", "onnx"):
        result = check_backend(bundle, backend)
        assert result.tolerance == Tolerance("max_abs", 4e-4, "as the export found it")
        assert result.passed


def test_what_the_export_left_out_is_missed_with_its_reason(tmp_path: Path) -> None:
    left_out = {
        "model.onnx": "it is off by 3",
        "rk3588-fp16.rknn": "NRMSE 0.5",
        "native-int8": "NRMSE 0.4",
    }
    bundle = make_bundle(tmp_path / "l.edge", SPEC, left_out=left_out)
    with pytest.raises(
        BackendUnavailableError, match=r"^the export left model\.onnx out: it is off by 3$"
    ):
        open_backend("onnx", bundle)
    with pytest.raises(
        BackendUnavailableError, match=r"^the export left native-int8 out: NRMSE 0\.4$"
    ):
        check_backend(bundle, "native-int8")
    with pytest.raises(
        BackendUnavailableError,
        match=r"no converted model; the export left rk3588-fp16\.rknn out: NRMSE 0\.5$",
    ):
        pick_artifact(bundle, "rknn", None)
    with pytest.raises(
        BackendUnavailableError, match=r"^the export left rk3588-fp16\.rknn out: NRMSE 0\.5$"
    ):
        pick_artifact(bundle, "rknn", "rk3588-fp16.rknn")


@pytest.mark.parametrize("name", ["native", "native-int8", "numpy"])
@pytest.mark.parametrize("streams", [None, 2])
def test_a_backend_that_the_export_left_out_is_not_opened_unchecked(
    name: str, streams: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its golden samples may come out right here: the export's own verdict counts."""
    closed: list[str] = []

    class Closing(NumpyBackend):
        def close(self) -> None:
            closed.append(name)

    bundle = make_bundle(tmp_path / "l.edge", SPEC, left_out={name: "it is off by 3"})
    register(monkeypatch, name, lambda b, **_: Closing(b.spec, b.weights))
    why = f"the export left {name} out: it is off by 3"
    with pytest.raises(BackendUnavailableError, match=f"^{why}$"):
        load_session(bundle, name, streams=streams)
    assert len(closed) == (streams or 1)
    with pytest.raises(BackendUnavailableError, match=f"^{why}$"):
        check_backend(bundle, name)
    reasons = choose_backend(bundle, (name, "reference")).reasons
    assert reason_of(reasons, name) == f"not here: {why}"
    load_session(bundle, name, streams=streams, verify=False).close()


def test_an_artifact_is_not_for_backends_that_run_none(full: Bundle) -> None:
    assert artifacts(full, "numpy") == [None]
    assert artifacts(full, "rknn") == [None]
    refused = (
        r"artifact 'rk3588-fp16\.rknn' does not apply to backend 'numpy', which runs no converted "
        r"model; "
        r"leave it out, or choose one of ethosu, rknn, rknn-sim, tosa(, tosa-sim)?$"
    )
    for refuse in (
        lambda: check_backend(full, "numpy", "rk3588-fp16.rknn"),
        lambda: open_backend("numpy", full, artifact="rk3588-fp16.rknn"),
        lambda: load_session(full, "numpy", artifact="rk3588-fp16.rknn"),
    ):
        with pytest.raises(ConfigError, match=refused):
            refuse()


def test_auto_refuses_an_artifact_that_is_not_there_and_to_leave_out_its_check(
    full: Bundle,
) -> None:
    with pytest.raises(
        BackendUnavailableError, match=r"no artifact 'rk3588-fp16\.rknn'; it holds none"
    ):
        load_session(full, "auto", artifact="rk3588-fp16.rknn")
    with pytest.raises(ConfigError, match='verify=False does not apply to backend "auto"'):
        load_session(full, "auto", verify=False)


def test_outputs_of_another_shape_are_a_backend_error(
    full: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shortened(_: Bundle, **__: Any) -> NumpyBackend:
        spec = make_spec(hidden=16, layers=2, outputs=3)
        return NumpyBackend(spec, random_weights(spec))

    register(monkeypatch, "onnx", shortened)
    with pytest.raises(BackendError, match=r"\(40, 3\).*expected \(40, 4\)"):
        check_backend(full, "onnx")
    choice = choose_backend(full)
    assert choice.backend.name == "numpy"


def test_latencies(full: Bundle) -> None:
    times = latencies(full, "numpy", None, 50)
    assert times.shape == (50,)
    assert (times > 0).all()
