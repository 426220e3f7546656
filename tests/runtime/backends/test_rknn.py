"""The NPU's backend: its artifacts, its answers, its versions."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_lstm_runtime import (
    Backend,
    BackendError,
    BackendUnavailableError,
    Bundle,
    Model,
    Reference,
    Session,
    choose_backend,
    read_bundle,
)
from edge_lstm_runtime.backends.artifacts import pick_artifact
from edge_lstm_runtime.backends.numpy import NumpyBackend
from edge_lstm_runtime.backends.registry import open_backend
from edge_lstm_runtime.backends.rknn.board import RknnBackend, version_mismatch
from edge_lstm_runtime.backends.rknn.packing import Packing
from edge_lstm_runtime.verify.check import artifacts
from helpers.backends import rknn_on_ort
from helpers.bundles import artifact_entry, make_bundle
from helpers.rivals import SPEC, register, with_artifacts
from helpers.specs import samples
from helpers.tolerances import assert_close
from helpers.weights import random_weights

HAS_RKNN = importlib.util.find_spec("rknnlite") is not None
pytestmark = pytest.mark.usefixtures("no_native")


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
    for name, part in backend.state.items():
        assert_close(part, before[name], "exact", f"{name} after a step without a result")
    backend.step(row)


def packing() -> Packing:
    return Packing({"form": "cell"}, features=3, states=SPEC.network.state)


class Driver:
    """A runtime that answers with what it is given."""

    def __init__(self, result: Any):
        self.result = result
        self.released = 0

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
        ([np.zeros((1, 4, 1, 1))], r"states of \[\] values, expected \[16, 16, 16, 16\]"),
        (RuntimeError("driver timeout"), "driver timeout"),
        ([np.zeros((1, 4, 1, 1)), *[np.zeros((1, 7, 1, 1))] * 4], "7"),
    ],
    ids=["nothing", "too few", "raises", "other sizes"],
)
def test_rknn_adapter_with_a_wrong_result(result: Any, match: str) -> None:
    backend = RknnBackend(Driver(result), packing())
    with pytest.raises(BackendError, match=match):
        backend.step(np.zeros(3, np.float32))
    assert not any(part.any() for part in backend.state.values())


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
    """The self-check at load: the same network with its head's bias moved.

    A driver with other rounding or a wrong layout would answer so.
    """
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
        assert not session.state["lstm0.h"].any(), "the golden samples' state is left behind"
    register(
        monkeypatch,
        "rknn",
        opener({**bundle.weights, "head.b": bundle.weights["head.b"] + np.float32(1)}),
    )
    with pytest.raises(
        BackendError,
        match=r"'rknn' gives wrong answers with rk3588-fp16\.rknn here: nrmse .* at most 2\.0e-03 "
        r"is right",
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
    NPU_CORE_AUTO = 0
    NPU_CORE_0 = 1
    NPU_CORE_0_1 = 3
    NPU_CORE_ALL = 0xFFFF


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
    backend = RknnBackend(driver, packing())
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
