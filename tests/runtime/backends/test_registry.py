"""Finding backends by name, and the one for ONNX Runtime."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from edge_lstm_runtime import (
    Backend,
    BackendError,
    BackendUnavailableError,
    Bundle,
    ModelSpec,
    Reference,
    Session,
    check_backend,
    choose_backend,
    load,
    write_bundle,
)
from edge_lstm_runtime.backends.onnx import OnnxBackend
from edge_lstm_runtime.backends.registry import names, open_backend
from helpers.bundles import make_bundle, members_of
from helpers.plug_ins import plug_in
from helpers.rivals import SPEC, reason_of
from helpers.specs import make_spec, samples
from helpers.tolerances import assert_close
from helpers.weights import random_weights

pytestmark = pytest.mark.usefixtures("no_native")


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


@pytest.mark.parametrize("member", ["model.onnx", "cell.onnx"])
def test_onnx_names_the_member_that_it_can_not_run(member: str, tmp_path: Path) -> None:
    from edge_lstm_export.graphs.bundle import build

    def opened(graph: bytes) -> Backend:
        weights = random_weights(SPEC)
        members = {**members_of(SPEC, weights), member: graph}
        bundle = write_bundle(tmp_path / "a.edge", SPEC, weights, members)
        return open_backend("onnx", bundle)

    def graph_of(spec: ModelSpec) -> bytes:
        return build(spec, random_weights(spec), "cell").SerializeToString()

    for graph, message in (
        (b"no model", f"^ONNX Runtime did not take {member}: "),
        (graph_of(make_spec(hidden=16, layers=1)), f"^{member} has inputs .*, expected 5 of each"),
        (graph_of(make_spec(hidden=8, layers=2)), f"^{member} has a state of .*, expected 16 "),
    ):
        with pytest.raises(BackendError, match=message):
            opened(graph)
    assert opened(graph_of(SPEC)).step(np.zeros(3, np.float32)).shape == (4,)


@pytest.mark.parametrize("member", ["model.onnx", "cell.onnx"])
def test_onnx_says_why_its_graph_was_left_out(member: str, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "a.edge", SPEC, left_out={member: "it is off by 3"})
    with pytest.raises(
        BackendUnavailableError, match=rf"^the export left {member} out: it is off by 3$"
    ):
        open_backend("onnx", bundle)


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
    graph = build(other, random_weights(other), "fused").SerializeToString()
    with pytest.raises(
        BackendError, match=r"has a state of \(1, 1, 8\), expected 16 values for lstm0\.h"
    ):
        OnnxBackend(SPEC, graph)
    wider = make_spec(hidden=16, layers=2, channels=5)
    backend = OnnxBackend(SPEC, build(wider, random_weights(wider), "fused").SerializeToString())
    with pytest.raises(BackendError, match="ONNX Runtime"):
        backend.step(np.zeros(3, np.float32))
