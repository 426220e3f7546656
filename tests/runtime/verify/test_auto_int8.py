"""What "auto" takes of int8 on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_lstm_runtime import (
    BackendError,
    BackendUnavailableError,
    Bundle,
    BundleError,
    Model,
    Reference,
    check_backend,
    choose_backend,
    write_bundle,
)
from edge_lstm_runtime.backends.numpy import NumpyBackend
from edge_lstm_runtime.cli import main
from edge_lstm_runtime.model.npz import write_npz
from edge_lstm_runtime.verify.check import check_opened, verdict_of
from edge_lstm_runtime.verify.error import Tolerance
from helpers.bundles import make_bundle
from helpers.counted_backends import SPEC, Backends, slow, wrong
from helpers.specs import make_spec
from helpers.weights import random_weights

pytestmark = pytest.mark.usefixtures("no_native")
INT8 = {"metric": "nrmse", "limit": 1e-2, "reason": "as the export found it"}


def quantized(bundle: Bundle) -> NumpyBackend:
    """Off by half a percent of the outputs' deviation: right for int8, wrong for float32."""
    off = np.float32(5e-3 * bundle.golden[1].std())
    return NumpyBackend(bundle.spec, {**bundle.weights, "head.b": bundle.weights["head.b"] + off})


@pytest.fixture
def promised(tmp_path: Path) -> Bundle:
    return make_bundle(tmp_path / "i.edge", SPEC, form="fused", native_int8={"tolerance": INT8})


def test_int8_is_judged_by_its_own_tolerance(promised: Bundle, backends: Backends) -> None:
    backends.put("native-int8", quantized)
    backends.put("onnx", slow)
    result = check_backend(promised, "native-int8")
    assert result.passed
    assert result.tolerance == Tolerance("nrmse", 1e-2, "as the export found it")
    assert choose_backend(promised).name == "native-int8"
    backends.put("native", quantized)
    assert any(
        str(reason).startswith("native: WRONG (max_abs")
        for reason in choose_backend(promised).reasons
    )


def test_int8_that_promises_nothing_is_not_taken(bundle: Bundle, backends: Backends) -> None:
    backends.put("native-int8", quantized)
    backends.put("onnx", slow)
    choice = choose_backend(bundle)
    assert choice.name in ("onnx", "numpy")
    assert "native-int8" not in backends.opened
    assert (
        "native-int8: not here: the bundle promises no accuracy for native-int8; export it again "
        "to have it measured" in map(str, choice.reasons)
    )
    with pytest.raises(BackendUnavailableError, match="promises no accuracy"):
        check_backend(bundle, "native-int8")
    Model(bundle).session("native-int8").close()  # by name it is the user's own choice


def test_int8_that_the_export_found_not_usable_is_not_taken(
    tmp_path: Path, backends: Backends, capsys: pytest.CaptureFixture[str]
) -> None:
    """It passes its own check, whose limit follows its error."""
    split = {"verdict": "not usable", "sentence": "not usable: ..."}
    facts = {"tolerance": INT8, "test_split": split}
    bundle = make_bundle(tmp_path / "poor.edge", SPEC, form="fused", native_int8=facts)
    backends.put("native-int8", quantized)
    backends.put("onnx", slow)
    choice = choose_backend(bundle)
    assert choice.name in ("onnx", "numpy")
    reason = "native-int8: not tried: on the test split the export found it not usable"
    assert reason in map(str, choice.reasons)
    assert check_backend(bundle, "native-int8").passed
    main(["check", str(tmp_path / "poor.edge"), "--backend", "native-int8"])
    assert capsys.readouterr().out.endswith("; on the test split the export found it not usable\n")
    main(["check", str(tmp_path / "poor.edge"), "--backend", "numpy"])
    assert "not usable" not in capsys.readouterr().out
    Model(bundle).session("native-int8").close()  # by name it is the user's own choice


def test_a_verdict_that_is_none_is_refused(tmp_path: Path) -> None:
    for split in (3, {"verdict": 1}):
        facts = {"tolerance": INT8, "test_split": split}
        with pytest.raises(BundleError, match="entry for int8 on the CPU is malformed"):
            make_bundle(tmp_path / "x.edge", SPEC, form="fused", native_int8=facts)
    for usable in ("good", "usable, not good"):
        facts = {"tolerance": INT8, "test_split": {"verdict": usable}}
        assert (
            verdict_of(
                make_bundle(tmp_path / "x.edge", SPEC, form="fused", native_int8=facts),
                "native-int8",
                None,
            )
            == usable
        )


def test_int8_is_checked_when_a_session_opens_it(promised: Bundle, backends: Backends) -> None:
    backends.put("native-int8", quantized)
    Model(promised).session("native-int8").close()
    backends.put("native-int8", wrong)
    with pytest.raises(
        BackendError,
        match=r"'native-int8' gives wrong answers here: nrmse .* at most 1\.0e-02 is right",
    ):
        Model(promised).session("native-int8")
    Model(promised).session("native-int8", verify=False).close()


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"tolerance": {"metric": "nrmse"}},
        {"tolerance": {**INT8, "limit": -1.0}},
        {"tolerance": None},
        3,
    ],
)
def test_an_int8_entry_that_is_malformed(entry: Any, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"malformed"):
        make_bundle(tmp_path / "m.edge", SPEC, native_int8=entry)


@pytest.mark.parametrize("name", ["native", "native-fp16", "native-int8"])
@pytest.mark.parametrize("streams", [None, 3])
def test_without_the_native_library(name: str, streams: int | None, promised: Bundle) -> None:
    with pytest.raises(
        BackendUnavailableError, match="the native library is not in this installation"
    ):
        Model(promised).session(name, streams=streams)


def test_a_calm_beginning_is_judged_by_the_spread_of_the_whole_stream(tmp_path: Path) -> None:
    """Over the first samples the outputs of this bundle hardly vary.

    An error relative to their own spread would be enormous.
    """
    # of one output: the spread of several is that between them, too
    spec = make_spec(task="forecast", channels=1, outputs=1)
    weights = random_weights(spec)
    x = np.repeat(np.asarray(spec.inputs.mean)[None], 300, axis=0)
    x[250:] += 10 * np.random.default_rng(0).standard_normal(x[250:].shape)
    y = Reference(spec, weights).run(spec.inputs.features(x)[0])
    calm = y[:200].std() / y.std()
    golden = {"golden.npz": write_npz({"x": x, "y": y})}
    bundle = write_bundle(
        tmp_path / "calm.edge", spec, weights, golden, native_int8={"tolerance": INT8}
    )
    result = check_opened(bundle, quantized(bundle), "native-int8", None, 200)
    assert calm < 0.5
    assert result.passed
    assert result.comparison.nrmse == pytest.approx(5e-3, rel=1e-2)
