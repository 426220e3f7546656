"""A bidirectional model that was converted for one length, its runtime replaced by NumPy."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_lstm_runtime as rt
from edge_lstm_runtime import Backend, BackendError, Bundle
from edge_lstm_runtime.backends.numpy import numpy_backend
from edge_lstm_runtime.backends.reference import reference
from edge_lstm_runtime.verify.auto import choose_backend
from edge_lstm_runtime.verify.bench import latencies
from edge_lstm_runtime.verify.check import check_backend
from helpers.both_ways import SPEC, write
from helpers.bundles import artifact_entry
from helpers.specs import samples
from helpers.tolerances import assert_close


class Fixed(Backend):
    """A converted model as the session sees it: sequences of `steps`, no others.

    wrong: is added to its answers.
    """

    name = "rknn"

    def __init__(self, inner: Backend, steps: int, wrong: float = 0.0):
        self.inner = inner
        self.steps = steps
        self.wrong = wrong
        self.runs = 0
        self.closed = False

    def reset(self) -> None: ...

    def step(self, features: Any) -> Any:  # noqa: ARG002
        raise AssertionError

    def run(self, features: Any) -> Any:
        assert len(features) == self.steps
        self.runs += 1
        return self.inner.run(features) + np.float32(self.wrong)

    @property
    def state(self) -> Any:
        raise AssertionError

    @state.setter
    def state(self, value: Any) -> None:  # noqa: ARG002
        raise AssertionError

    def close(self) -> None:
        self.closed = True


def converted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int, wrong: float = 0.0
) -> tuple[Bundle, Fixed]:
    from edge_lstm_runtime.backends import chunks, rknn

    entry = artifact_entry() | {"recipe": {"io": {"form": "lstm", "steps": steps, "whole": True}}}
    bundle = write(tmp_path / "npu.edge", SPEC, artifacts={f"rk3588-fp16-t{steps}.rknn": entry})
    fixed = Fixed(numpy_backend(SPEC, bundle.weights), steps, wrong)
    monkeypatch.setattr(
        rknn, "open_backend", lambda b, **_: chunks.any_length(fixed, steps, b.spec, b.weights)
    )
    return bundle, fixed


def test_a_sequence_of_its_length_goes_to_the_converted_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bundle, fixed = converted(tmp_path, monkeypatch, 22)
    judge = reference(SPEC, bundle.weights)
    with (
        caplog.at_level(logging.INFO, "edge_lstm"),
        rt.Model(bundle).session("rknn", verify=False) as session,
    ):
        for length, runs in ((22, 1), (21, 1), (23, 1), (44, 1), (1, 1), (22, 2)):
            xs = samples(SPEC, length, seed=length)
            assert_close(
                session.run(xs), judge.run(SPEC.features(xs)), "float32", f"{length} steps"
            )
            assert fixed.runs == runs
        assert session.backend.state == {}
        with pytest.raises(BackendError, match="bidirectional"):
            session.step(samples(SPEC, 1)[0])
    assert [r.getMessage() for r in caplog.records] == [
        "this converted model takes sequences of 22 steps; one of 21 is computed by NumPy"
    ]
    assert fixed.closed
    with pytest.raises(BackendError, match="closed"):
        session.run(samples(SPEC, 3))


def test_the_self_check_and_auto_run_the_converted_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, fixed = converted(tmp_path, monkeypatch, 22)
    rt.Model(bundle).session("rknn").close()
    assert fixed.runs == 1, "one of the golden sequences has its length"
    assert check_backend(bundle, "rknn").passed
    choice = choose_backend(bundle, ("rknn",))
    assert choice.artifact == "rk3588-fp16-t22.rknn"
    assert latencies(bundle, "rknn", None, 22).shape == (1,)


def test_wrong_answers_of_the_converted_model_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, fixed = converted(tmp_path, monkeypatch, 22, wrong=0.1)
    with pytest.raises(BackendError, match=r"gives wrong answers with rk3588-fp16-t22\.rknn here"):
        rt.Model(bundle).session("rknn")
    assert fixed.closed
    assert choose_backend(bundle, ("rknn", "numpy")).backend.name == "numpy"


def test_a_length_that_no_golden_sequence_has_is_no_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, _ = converted(tmp_path, monkeypatch, 8)
    with pytest.raises(
        BackendError,
        match="takes 8 steps at once, and it can't be checked with sequences of 1 to 22 steps",
    ):
        check_backend(bundle, "rknn")
