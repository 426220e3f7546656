"""Backend "auto" takes the fastest right one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge_lstm_runtime import Backend, BackendError, Bundle, choose_backend
from edge_lstm_runtime.backends.numpy import NumpyBackend
from helpers.rivals import SPEC, Slow, load_session, perturbed, reason_of, register, with_artifacts

pytestmark = pytest.mark.usefixtures("no_native")


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


def test_auto_starts_from_the_zero_state(full: Bundle) -> None:
    state = choose_backend(full).backend.state
    assert list(state) == list(SPEC.network.state)
    assert not any(part.any() for part in state.values())


def test_auto_with_no_right_one(full: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("numpy", "onnx"):
        register(monkeypatch, name, perturbed)
    with pytest.raises(
        BackendError,
        match=r"no backend gives right answers here: ethosu: not here: .*rknn: not here: "
        r".*numpy: WRONG.*onnx: WRONG",
    ):
        choose_backend(full)


def test_auto_without_model_onnx(plain: Bundle) -> None:
    choice = choose_backend(plain)
    assert choice.backend.name == "numpy"
    assert "no model.onnx" in reason_of(choice.reasons, "onnx")


def test_auto_says_what_became_of_every_candidate(plain: Bundle) -> None:
    reasons = choose_backend(plain).reasons
    names = [r.backend for r in reasons]
    assert names == ["ethosu", "rknn", "native", "native-fp16", "native-int8", "numpy", "onnx"]


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
