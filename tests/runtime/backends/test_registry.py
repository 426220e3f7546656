"""Finding backends, checking them, taking the fastest right one; the NPU adapter; plug-ins."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_lstm_runtime import (
    Backend,
    BackendError,
    BackendUnavailableError,
    Bundle,
    ConfigError,
    Model,
    Reference,
    Session,
    check_backend,
    choose_backend,
    load,
    read_bundle,
    write_bundle,
)
from edge_lstm_runtime.backends.artifacts import pick_artifact
from edge_lstm_runtime.backends.numpy import NumpyBackend
from edge_lstm_runtime.backends.onnx import OnnxBackend
from edge_lstm_runtime.backends.registry import names, open_backend
from edge_lstm_runtime.backends.rknn.board import RknnBackend, version_mismatch
from edge_lstm_runtime.backends.rknn.packing import Packing
from edge_lstm_runtime.model.npz import write_npz
from edge_lstm_runtime.verify.auto_cache import Reason
from edge_lstm_runtime.verify.bench import latencies
from edge_lstm_runtime.verify.check import artifacts
from edge_lstm_runtime.verify.error import FLOAT32, Tolerance, compare, float32_tolerance
from helpers.backends import rknn_on_ort
from helpers.bundles import artifact_entry, make_bundle, members_of
from helpers.plug_ins import plug_in, replace_backend
from helpers.specs import make_spec, samples
from helpers.tolerances import assert_close
from helpers.weights import random_weights

pytestmark = pytest.mark.usefixtures("no_native")
HAS_RKNN = importlib.util.find_spec("rknnlite") is not None
SPEC = make_spec(hidden=16, layers=2)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Without model.onnx."""
    return make_bundle(tmp_path_factory.mktemp("plain") / "plain.edge", SPEC)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("full") / "full.edge", SPEC, form="lstm")


def with_artifacts(path: Path, *entries: str, **more: Any) -> Bundle:
    weights = random_weights(SPEC)
    members = {**members_of(SPEC, weights), **dict.fromkeys(entries, b"RKNN")}
    return write_bundle(
        path / "npu.edge",
        SPEC,
        weights,
        members,
        artifacts={name: artifact_entry(**more) for name in entries},
    )


def register(monkeypatch: pytest.MonkeyPatch, name: str, opener: Any) -> None:
    """In place of a built-in backend."""
    replace_backend(monkeypatch, name, open_backend=opener)


def perturbed(bundle: Bundle, **_: Any) -> NumpyBackend:
    """Wrong by a little: four weights in a row are off by a hundredth."""
    weights = {name: array.copy() for name, array in bundle.weights.items()}
    weights["layer0.W_h"][:, :4] += 1e-2
    return NumpyBackend(bundle.spec, weights)


# --- by name ---


def test_known_names() -> None:
    assert {"numpy", "onnx", "rknn", "reference"} <= set(names())
    assert names() == sorted(names())


def test_an_unknown_backend_is_told_the_known_ones(full: Bundle) -> None:
    with pytest.raises(
        BackendError,
        match=r"unknown backend 'tpu'; known here: auto, .*numpy, onnx.*reference, rknn",
    ) as caught:
        open_backend("tpu", full)
    assert not isinstance(caught.value, BackendUnavailableError)


def test_every_backend_of_a_session(tmp_path: Path) -> None:
    make_bundle(tmp_path / "a.edge", SPEC, form="cell")
    model = load(tmp_path / "a.edge")
    xs = samples(SPEC, 30)
    expected = Session(SPEC, Reference(SPEC, model.bundle.weights)).run(xs)
    for name in ("numpy", "onnx", "reference", "auto"):
        with model.session(name) as session:
            assert_close(session.run(xs), expected, "float32", f"{name} answers")


def test_a_plug_in_is_found_by_its_entry_point(
    full: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plug_in(
        tmp_path,
        "other_npu",
        other="from edge_lstm_runtime.backends.numpy import FACTS, open_backend\n",
        broken="import no_such_module_anywhere\n",
        silent="from edge_lstm_runtime.backends.numpy import open_backend\n",
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert {"other", "broken", "silent"} <= set(names())
    assert check_backend(full, "other").passed
    for name, why in (
        ("broken", "No module named 'no_such_module_anywhere'"),
        ("silent", "its module other_npu_silent has no FACTS"),
    ):
        with pytest.raises(
            BackendUnavailableError, match=rf"backend '{name}' can't be loaded: {why}"
        ):
            open_backend(name, full)
        assert f"not here: backend '{name}' can't be loaded: {why}" in reason_of(
            choose_backend(full).reasons, name
        )


def test_a_backend_lacks_nothing_but_its_four_methods() -> None:
    assert Backend.__abstractmethods__ == {"reset", "step", "state"}


# --- compare and check ---


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
    bundle = with_artifacts(tmp_path, "rk3588-w8a8.rknn", metric="nrmse", limit=0.5)
    register(monkeypatch, "rknn", perturbed)
    # By name, and where the only one is meant.
    for artifact in ("rk3588-w8a8.rknn", None):
        result = check_backend(bundle, "rknn", artifact)
        assert result.artifact == "rk3588-w8a8.rknn"
        assert result.tolerance == Tolerance("nrmse", 0.5, "as the export found it")
        assert result.passed
    with pytest.raises(
        BackendUnavailableError, match=r"no artifact 'other\.rknn'; it holds rk3588-w8a8\.rknn"
    ):
        check_backend(bundle, "rknn", "other.rknn")


def test_the_tolerance_of_float32_is_the_manifests_where_it_states_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stated = {"metric": "max_abs", "limit": 0.5, "reason": "as the export found it"}
    bundle = make_bundle(tmp_path / "f.edge", SPEC, form="lstm", float32={"tolerance": stated})
    register(monkeypatch, "numpy", perturbed)  # beyond 1e-5: see test_check_finds_a_wrong_backend
    for backend in ("numpy", "onnx"):
        result = check_backend(bundle, backend)
        assert result.tolerance == Tolerance("max_abs", 0.5, "as the export found it")
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


def test_an_artifact_is_not_for_backends_that_run_none(full: Bundle) -> None:
    assert artifacts(full, "numpy") == [None]
    assert artifacts(full, "rknn") == [None]
    refused = (
        r"artifact 'rk3588-fp16\.rknn' does not apply to backend 'numpy', which runs no converted model; "
        r"leave it out, or choose one of rknn, rknn-sim$"
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


# --- auto ---


class Slow(NumpyBackend):
    """Right, and slower than the others by far."""

    def step(self, features: Any) -> Any:
        outputs = super().step(features)
        for _ in range(300):
            np.tanh(features)
        return outputs


def reason_of(reasons: Sequence[Reason], name: str) -> str:
    (found,) = (r.text for r in reasons if r.backend == name)
    return found


def test_auto_takes_the_fastest_right_one(full: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, "onnx", lambda bundle, **_: Slow(bundle.spec, bundle.weights))
    choice = choose_backend(full)
    assert choice.backend.name == "numpy"
    assert not isinstance(choice.backend, Slow)
    assert "right" in reason_of(choice.reasons, "onnx")
    register(monkeypatch, "numpy", lambda bundle, **_: Slow(bundle.spec, bundle.weights))
    register(monkeypatch, "onnx", lambda bundle, **_: NumpyBackend(bundle.spec, bundle.weights))
    assert not isinstance(choose_backend(full).backend, Slow)


def test_auto_rejects_a_fast_wrong_one_and_says_why(
    full: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, "numpy", lambda bundle, **_: Slow(bundle.spec, bundle.weights))
    register(monkeypatch, "onnx", perturbed)
    choice = choose_backend(full)
    assert isinstance(choice.backend, Slow)
    assert "WRONG (max_abs" in reason_of(choice.reasons, "onnx")
    with load_session(full, "auto") as session:
        assert isinstance(session.backend, Slow)


def load_session(bundle: Bundle, backend: str, **options: Any) -> Session:
    return Model(bundle).session(backend, **options)


def test_auto_starts_from_the_zero_state(full: Bundle) -> None:
    h, c = choose_backend(full).backend.state
    assert not h.any()
    assert not c.any()


def test_auto_with_no_right_one(full: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("numpy", "onnx"):
        register(monkeypatch, name, perturbed)
    with pytest.raises(
        BackendError,
        match=r"no backend gives right answers here: rknn: not here: .*numpy: WRONG.*onnx: WRONG",
    ):
        choose_backend(full)


def test_auto_without_model_onnx(plain: Bundle) -> None:
    choice = choose_backend(plain)
    assert choice.backend.name == "numpy"
    assert "no model.onnx" in reason_of(choice.reasons, "onnx")


def test_auto_says_what_became_of_every_candidate(plain: Bundle) -> None:
    reasons = choose_backend(plain).reasons
    assert [r.backend for r in reasons] == ["rknn", "native", "native-int8", "numpy", "onnx"]


@pytest.mark.parametrize("when", ["open", "step", "reset"])
def test_auto_survives_a_backend_that_fails(
    full: Bundle, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    closed = []

    class Failing(NumpyBackend):
        def reset(self) -> None:
            if when == "reset" and hasattr(self, "opened"):
                raise BackendError("the device is gone")
            super().reset()

        def step(self, _: Any) -> Any:
            raise BackendError("the device is gone")

        def close(self) -> None:
            closed.append(True)

    def opener(bundle: Bundle, **_: Any) -> Backend:
        if when == "open":
            raise BackendError("the device is gone")
        backend = Failing(bundle.spec, bundle.weights)
        backend.opened = True  # type: ignore[attr-defined]
        return backend

    register(monkeypatch, "onnx", opener)
    choice = choose_backend(full)
    assert choice.backend.name == "numpy"
    assert "failed: the device is gone" in reason_of(choice.reasons, "onnx")
    assert len(closed) == (0 if when == "open" else 1)


def test_auto_keeps_to_the_named_artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    def opener(bundle: Bundle, *, artifact: str | None = None) -> NumpyBackend:
        opened.append(artifact)
        return NumpyBackend(bundle.spec, bundle.weights)

    register(monkeypatch, "rknn", opener)
    bundle = with_artifacts(tmp_path, "rk3588-fp16.rknn", "rk3588-w8a8.rknn")
    load_session(bundle, "auto").close()
    assert opened == ["rk3588-fp16.rknn", "rk3588-w8a8.rknn"]
    opened.clear()
    load_session(bundle, "auto", artifact="rk3588-w8a8.rknn").close()
    assert opened == ["rk3588-w8a8.rknn"]


def test_auto_does_not_hold_the_first_steps_against_a_backend(
    full: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    class Lazy(NumpyBackend):
        """Does its set-up at the first step, as runtimes that compile or allocate late do."""

        started = False

        def step(self, features: Any) -> Any:
            if not self.started:
                time.sleep(0.1)
                self.started = True
            return super().step(features)

    register(monkeypatch, "onnx", lambda bundle, **_: Lazy(bundle.spec, bundle.weights))
    register(monkeypatch, "numpy", lambda bundle, **_: Slow(bundle.spec, bundle.weights))
    assert isinstance(choose_backend(full).backend, Lazy)


# --- onnx ---


def test_onnx_without_the_member(plain: Bundle) -> None:
    with pytest.raises(BackendUnavailableError, match=r"no model\.onnx"):
        open_backend("onnx", plain)


def test_onnx_without_onnx_runtime(full: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendUnavailableError, match="pip install onnxruntime"):
        open_backend("onnx", full)


@pytest.mark.parametrize("model", [b"", b"no model", b"\x08\x09"])
def test_onnx_with_a_broken_graph(model: bytes) -> None:
    with pytest.raises(BackendError, match=r"model\.onnx"):
        OnnxBackend(SPEC, model)


def test_onnx_with_some_other_graph() -> None:
    import onnx
    from onnx import TensorProto, helper

    a, b = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in "ab")
    graph = helper.make_graph([helper.make_node("Relu", ["a"], ["b"])], "other", [a], [b])
    other = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    onnx.checker.check_model(other)
    with pytest.raises(BackendError, match=r"model\.onnx"):
        OnnxBackend(SPEC, other.SerializeToString())


def test_onnx_with_the_graph_of_another_model() -> None:
    from edge_lstm_export.graphs.bundle import build

    other = make_spec(hidden=8, layers=2, channels=5)
    backend = OnnxBackend(SPEC, build(other, random_weights(other), "lstm").SerializeToString())
    with pytest.raises(BackendError, match="ONNX Runtime"):
        backend.step(np.zeros(3, np.float32))


# --- rknn ---


@pytest.mark.skipif(HAS_RKNN, reason="rknn-toolkit-lite2 is installed here")
def test_rknn_without_its_library(tmp_path: Path) -> None:
    with pytest.raises(
        BackendUnavailableError,
        match=r"needs rknn-toolkit-lite2 .*run there: pip install rknn-toolkit-lite2$",
    ):
        open_backend("rknn", with_artifacts(tmp_path, "rk3588-fp16.rknn"))


def test_pick_artifact(tmp_path: Path, plain: Bundle) -> None:
    with pytest.raises(BackendUnavailableError, match="holds no converted model; export it"):
        pick_artifact(plain, "rknn", None)
    with pytest.raises(BackendUnavailableError, match=r"no artifact 'a\.rknn'; it holds none"):
        pick_artifact(plain, "rknn", "a.rknn")
    one = with_artifacts(tmp_path, "a.rknn")
    assert (
        pick_artifact(one, "rknn", None)
        == pick_artifact(one, "rknn", "a.rknn")
        == ("a.rknn", artifact_entry())
    )
    with pytest.raises(BackendUnavailableError, match=r"no artifact 'b\.rknn'; it holds a\.rknn"):
        pick_artifact(one, "rknn", "b.rknn")
    two = with_artifacts(tmp_path, "b.rknn", "a.rknn")
    assert pick_artifact(two, "rknn", "b.rknn")[0] == "b.rknn"
    with pytest.raises(
        BackendUnavailableError, match=r"holds a\.rknn, b\.rknn; say which with --artifact"
    ):
        pick_artifact(two, "rknn", None)
    with pytest.raises(BackendUnavailableError, match=r"no artifact 'a\.rknn'; it holds none"):
        pick_artifact(two, "tflite", "a.rknn")
    assert artifacts(two, "rknn") == artifacts(two, "rknn-sim") == ["a.rknn", "b.rknn"]


def test_rknn_adapter_streams_real_numbers() -> None:
    weights = random_weights(SPEC)
    backend, runtime = rknn_on_ort(SPEC, weights)
    xs = samples(SPEC, 200)
    expected = Session(SPEC, Reference(SPEC, weights)).run(xs)
    session = Session(SPEC, backend)
    assert_close(session.run(xs), expected, "float32", "answers")
    assert runtime.calls == 200
    session.reset()
    assert_close(session.run(xs), expected, "float32", "answers after reset")


def test_rknn_adapter_without_a_result() -> None:
    backend, runtime = rknn_on_ort(SPEC, random_weights(SPEC))
    row = np.ones(3, np.float32)
    backend.step(row)
    before = backend.state
    runtime.fail_at = runtime.calls + 1
    with pytest.raises(BackendError, match="returned no result"):
        backend.step(row)
    for part, expected in zip(backend.state, before, strict=True):
        assert_close(part, expected, "exact", "state after a step without a result")
    backend.step(row)


class Driver:
    """A runtime that answers with what it is given."""

    def __init__(self, result: Any):
        self.result, self.released = result, 0

    def inference(self, inputs: Any) -> Any:
        self.inputs = inputs
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    def release(self) -> None:
        self.released += 1


@pytest.mark.parametrize(
    ("result", "match"),
    [
        ([], "something else than this model's outputs"),
        ([np.zeros((1, 4, 1, 1))], r"states of \[\] values, expected 4 of 16"),
        (RuntimeError("driver timeout"), "driver timeout"),
        ([np.zeros((1, 4, 1, 1)), *[np.zeros((1, 7, 1, 1))] * 4], "7"),
    ],
    ids=["nothing", "too few", "raises", "other sizes"],
)
def test_rknn_adapter_with_a_wrong_result(result: Any, match: str) -> None:
    backend = RknnBackend(
        Driver(result), Packing({"form": "cell"}, features=3, hidden=16, layers=2)
    )
    with pytest.raises(BackendError, match=match):
        backend.step(np.zeros(3, np.float32))
    assert not backend.state[0].any()


@pytest.mark.parametrize(
    ("compiler", "board", "words"),
    [
        ("2.5.0", "RKNN VERSION:\n  API: 2.5.0 (c949ad889d@2026-01-01)\n  DRV: 0.9.8\n", None),
        ("2.5.0", "  API: 2.5.1 (c949ad889d@2026-01-01)\n  DRV: 0.9.8\n", None),
        (
            "2.5.0",
            "  API: 1.4.0 (a10f100eb@2022-09-09)\n  DRV: 0.8.2\n",
            ["2.5.0", "1.4.0", "driver 0.8.2"],
        ),
        ("2.5.0", "  API: 2.3.2\n  DRV: 0.9.8\n", ["2.5.0", "2.3.2", "driver 0.9.8"]),
        ("2.5.0", "  API: 2.5.0\n  DRV: 0.8.2\n", ["0.8.2", "0.9.2 or later"]),
        ("2.5.0", None, None),
        (None, "  API: 1.4.0\n  DRV: 0.9.8\n", None),
    ],
)
def test_versions_on_the_board(
    compiler: str | None, board: str | None, words: list[str] | None
) -> None:
    found = version_mismatch(compiler, board)
    assert (found is None) == (words is None)
    for word in words or []:
        assert word in found  # type: ignore[operator]


def test_a_session_on_an_npu_that_answers_wrongly_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The self-check at load: the same network with its head's bias moved, as a driver with other rounding or a wrong layout would."""
    bundle = with_artifacts(tmp_path, "rk3588-fp16.rknn")
    opened = []

    def opener(weights: Any) -> Any:
        def open_it(*_: Any, **__: Any) -> Backend:
            backend, runtime = rknn_on_ort(SPEC, weights)
            opened.append(runtime)
            return backend

        return open_it

    register(monkeypatch, "rknn", opener(bundle.weights))
    with Model(bundle).session("rknn") as session:
        assert opened[-1].calls == 10 + len(bundle.golden[0]), "a warm-up and all golden samples"
        assert not session.state["h"].any(), "the golden samples' state is left behind"
    register(
        monkeypatch,
        "rknn",
        opener({**bundle.weights, "head.b": bundle.weights["head.b"] + np.float32(1)}),
    )
    with pytest.raises(
        BackendError,
        match=r"'rknn' gives wrong answers with rk3588-fp16\.rknn here: nrmse .* at most 2\.0e-03 is right",
    ):
        Model(bundle).session("rknn")
    assert opened[-1].released == 1
    with Model(bundle).session("rknn", verify=False):
        assert opened[-1].calls == 0
    choice = choose_backend(bundle)
    assert choice.backend.name == "numpy"
    assert any(
        str(reason).startswith("rknn (rk3588-fp16.rknn): WRONG") for reason in choice.reasons
    )


class Lite:
    NPU_CORE_AUTO, NPU_CORE_0, NPU_CORE_0_1, NPU_CORE_ALL = 0, 1, 3, 0xFFFF


def test_cores_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_lstm_runtime.backends.rknn.board import _core_mask

    monkeypatch.delenv("EDGE_LSTM_NPU_CORES", raising=False)
    assert _core_mask(Lite) == 0
    for name, mask in (("0", 1), ("0_1", 3), ("all", 0xFFFF), ("auto", 0)):
        monkeypatch.setenv("EDGE_LSTM_NPU_CORES", name)
        assert _core_mask(Lite) == mask
    monkeypatch.setenv("EDGE_LSTM_NPU_CORES", "7")
    with pytest.raises(
        BackendError, match=r"EDGE_LSTM_NPU_CORES is '7'; expected one of 0, 0_1, all, auto"
    ):
        _core_mask(Lite)


def test_rknn_adapter_closes_once() -> None:
    driver = Driver(None)
    backend = RknnBackend(driver, Packing({"form": "cell"}, features=3, hidden=16, layers=2))
    backend.close()
    backend.close()
    assert driver.released == 1
    with pytest.raises(BackendError, match="closed; open a new one"):
        backend.step(np.zeros(3, np.float32))


def test_a_bundle_read_again_gives_the_same_answers(tmp_path: Path) -> None:
    make_bundle(tmp_path / "a.edge", SPEC)
    xs = samples(SPEC, 10)
    a, b = (
        NumpyBackend(SPEC, read_bundle(tmp_path / "a.edge").weights).run(xs.astype(np.float32))
        for _ in range(2)
    )
    assert_close(a, b, "exact", "outputs")
