"""Every backend is checked when it is opened, and a graph that never ends is given up."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import edge_lstm_runtime as rt
from edge_lstm_runtime import BackendError, ConfigError, choose_backend
from edge_lstm_runtime.backends.numpy import NumpyBackend
from edge_lstm_runtime.backends.registry import open_backend
from edge_lstm_runtime.model.npz import write_npz
from edge_lstm_runtime.native import LIBRARY
from edge_lstm_runtime.verify import limit
from helpers.bundles import make_bundle
from helpers.commands import environment
from helpers.graphs import loop_for_ever, shift_bias, with_graph
from helpers.rivals import register
from helpers.specs import make_spec, samples
from helpers.weights import random_weights

SPEC = make_spec(hidden=16)
built = pytest.mark.skipif(not LIBRARY.exists(), reason=f"{LIBRARY.name} is not built")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    make_bundle(tmp_path / "a.edge", SPEC, form="fused")
    return tmp_path / "a.edge"


def test_a_graph_with_another_bias_is_refused(path: Path) -> None:
    """It is another model, with every checksum right."""
    model = rt.Model(with_graph(path, shift_bias))
    xs = samples(SPEC, 5)
    with model.session("onnx", verify=False) as unchecked, model.session("numpy") as right:
        assert np.abs(unchecked.run(xs) - right.run(xs)).max() > 1
    with pytest.raises(BackendError, match=r"^backend 'onnx' gives wrong answers here: max_abs"):
        model.session("onnx")
    with pytest.raises(BackendError, match=r"^backend 'onnx' gives wrong answers here: max_abs"):
        model.session("onnx", streams=3)
    assert model.session().backend.name in ("numpy", "native")


@pytest.mark.parametrize(
    "name", ["reference", "numpy", pytest.param("native", marks=built), "onnx"]
)
@pytest.mark.parametrize("streams", [None, 2, 40])
def test_every_backend_is_held_to_the_golden_answers(
    name: str, streams: int | None, tmp_path: Path
) -> None:
    bundle = make_bundle(tmp_path / "a.edge", SPEC, form="fused", steps=60)
    rt.Model(bundle).session(name, streams=streams).close()
    x, y = bundle.golden
    moved = y.copy()
    moved[3, 1] += 1e-3
    members = {**bundle.members, "golden.npz": write_npz({"x": x, "y": moved})}
    del members["weights.npz"]
    other = rt.write_bundle(tmp_path / "b.edge", SPEC, random_weights(SPEC), members)
    with pytest.raises(BackendError, match=rf"^backend '{name}' gives wrong answers here: max_abs"):
        rt.Model(other).session(name, streams=streams)
    rt.Model(other).session(name, streams=streams, verify=False).close()


def test_the_check_leaves_no_state_behind(path: Path) -> None:
    xs = samples(SPEC, 5)
    with rt.load(path).session("numpy") as session:
        backend = open_backend("numpy", rt.load(path).bundle)
        np.testing.assert_array_equal(session.run(xs), backend.run(np.float32(SPEC.features(xs))))


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of a second, though the steps' own shares come to it."""
    monkeypatch.setenv(limit.VARIABLE, "1")
    monkeypatch.setattr(limit, "STEP_SECONDS", 0.0)


def endless(path: Path) -> rt.Bundle:
    return with_graph(path, loop_for_ever)


def stopped() -> bool:
    """Whether no thread of a backend's opening is left, after a moment."""
    end = time.monotonic() + 5
    while any(t.name.startswith("opens ") for t in threading.enumerate()):
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("streams", [None, 2])
def test_an_endless_graph_is_given_up(path: Path, streams: int | None) -> None:
    model = rt.Model(endless(path))
    start = time.monotonic()
    with pytest.raises(
        BackendError,
        match=r"^backend 'onnx' was not open and checked after 1 s: its model may never end; ",
    ):
        model.session("onnx", streams=streams)
    assert time.monotonic() - start < 10
    assert stopped(), "ONNX Runtime ends the loop when it is told to"


@pytest.mark.usefixtures("brief")
def test_auto_goes_on_without_an_endless_graph(path: Path) -> None:
    bundle = endless(path)
    choice = choose_backend(bundle, ("onnx", "numpy"))
    assert choice.name == "numpy"
    assert "not open and checked after 1 s" in str(choice.reasons[0])
    with pytest.raises(BackendError, match="may never end"):
        rt.check_backend(bundle, "onnx")
    assert stopped()


def test_auto_remembers_that_a_graph_did_not_end(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise each session would wait for it."""
    monkeypatch.setenv("EDGE_LSTM_REMEMBER", "1")
    monkeypatch.setenv("EDGE_LSTM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(limit.VARIABLE, "1")
    monkeypatch.setattr(limit, "STEP_SECONDS", 0.0)
    bundle = endless(path)
    choose_backend(bundle, ("onnx", "numpy")).backend.close()
    start = time.monotonic()
    choose_backend(bundle, ("onnx", "numpy")).backend.close()
    assert time.monotonic() - start < 0.9


@pytest.mark.usefixtures("brief")
def test_a_late_backend_is_closed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = threading.Event()
    may_open = threading.Event()

    class Late(NumpyBackend):
        def close(self) -> None:
            closed.set()

    def slow(bundle: rt.Bundle, **_: Any) -> NumpyBackend:
        may_open.wait()
        return Late(bundle.spec, bundle.weights)

    register(monkeypatch, "onnx", slow)
    with pytest.raises(BackendError, match="may never end"):
        rt.load(path).session("onnx")
    assert not closed.is_set()
    may_open.set()
    assert closed.wait(5)
    assert stopped()


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon", "1e9"])
def test_a_limit_that_is_no_time_is_refused(
    text: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(limit.VARIABLE, text)
    with pytest.raises(ConfigError, match=f"^EDGE_LSTM_OPEN_SECONDS is '{text}'; expected seconds"):
        rt.load(path).session("onnx")
    rt.load(path).session("numpy").close()


PROGRAM = """
import sys, threading
import edge_lstm_runtime as rt
from edge_lstm_runtime.verify import limit
limit.STEP_SECONDS = 0.0
if sys.argv[2] == "stuck":
    from edge_lstm_runtime.backends.onnx import OnnxBackend
    OnnxBackend.step = lambda self, features: threading.Event().wait()
try:
    rt.load(sys.argv[1]).session("onnx")
except rt.BackendError as e:
    print(e)
print(rt.load(sys.argv[1]).session("numpy").run([[1.0, 2.0, 3.0]]).shape)
print(sum(t.name.startswith("opens ") for t in threading.enumerate()), flush=True)
"""


@pytest.mark.parametrize("way", ["told", "stuck"])
def test_the_process_ends_even_if_the_graph_does_not(path: Path, way: str) -> None:
    """Whether ONNX Runtime stops when it is told to, or nothing stops the thread."""
    endless(path)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, path, way],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**environment(), "EDGE_LSTM_OPEN_SECONDS": "1"},
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "may never end" in lines[0]
    assert lines[1] == "(1, 4)"
    assert way == "told" or lines[2] == "1"
    assert not done.stderr


def named_size(model: onnx.ModelProto) -> None:
    model.graph.input[1].type.tensor_type.shape.dim[0].dim_param = "n\x1b"


def no_size(model: onnx.ModelProto) -> None:
    model.graph.input[1].type.tensor_type.shape.dim[-1].Clear()


def other_features(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[-1].dim_value = 2


@pytest.mark.parametrize("change", [named_size, no_size, other_features])
def test_a_graph_of_other_sizes_is_refused(
    path: Path, change: Callable[[onnx.ModelProto], None]
) -> None:
    bundle = with_graph(path, change, check=False)
    with pytest.raises(
        BackendError, match=r"^(model\.onnx has a state of|ONNX Runtime (did|failed))"
    ) as e:
        rt.Model(bundle).session("onnx")
    assert str(e.value).isprintable()


CHANGES: dict[str, Callable[[onnx.ModelProto], None]] = {
    "bias": shift_bias,
    "loop": loop_for_ever,
}


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_unchecked_it_is_only_opened(path: Path, change: Callable[[onnx.ModelProto], None]) -> None:
    with_graph(path, change)
    rt.load(path).session("onnx", verify=False).close()
