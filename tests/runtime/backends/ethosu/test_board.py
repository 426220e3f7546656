"""The backend "ethosu": real LiteRT, the real delegate interface, a program in the NPU's place."""

from __future__ import annotations

import ctypes.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_lstm_runtime as rt
from edge_lstm_runtime.backends.ethosu import board
from edge_lstm_runtime.backends.registry import facts_of, open_backend
from edge_lstm_runtime.backends.tosa.program import pack, unpack
from edge_lstm_runtime.cli import main
from helpers.ethosu import (
    BESIDE,
    MEMBER,
    board_bundle,
    delegate,
    on_the_board,
    recorded,
)

pytest.importorskip("ai_edge_litert")
# New c, new h and y: the order of Vela's file. The program has y, h, c.
NEW_C, NEW_H, Y = "tosa_rescale_default_33", "tosa_rescale_default_36", "tosa_reshape_default_11"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return delegate(tmp_path_factory.mktemp("delegate"))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("board") / "npu.edge"
    board_bundle(path)
    return path


@pytest.fixture(scope="module")
def bundle(file: Path) -> rt.Bundle:
    return rt.read_bundle(file)


@pytest.fixture
def npu(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_the_board(monkeypatch, library, recorded("tosa"), tmp_path)


@pytest.fixture(scope="module")
def rows(bundle: rt.Bundle) -> Any:
    return bundle.spec.features(bundle.golden[0]).astype(np.float32)


@pytest.mark.usefixtures("npu")
def test_carried_steps_equal_the_program_to_the_bit(bundle: rt.Bundle, rows: Any) -> None:
    ours, right = open_backend("ethosu", bundle), open_backend("tosa", bundle)
    assert np.array_equal(ours.run(rows), right.run(rows))
    assert float(np.ptp(right.run(rows))) > 0.1  # it does move
    assert list(ours.state) == ["r0.h", "r0.c"]
    ours.reset()
    right.reset()
    for n, row in enumerate(rows[:50]):
        assert np.array_equal(ours.step(row), right.step(row)), n
        for name, array in right.state.items():
            assert np.array_equal(ours.state[name], array), (n, name)


@pytest.mark.usefixtures("npu")
def test_streams_states_and_resets(bundle: rt.Bundle, rows: Any) -> None:
    feeds = np.stack([rows[:40], rows[100:140], rows[-40:]], 1)  # (40, 3, F)
    together = open_backend("ethosu", bundle, streams=3)
    right = open_backend("tosa", bundle, streams=3)
    assert np.array_equal(together.run(feeds), right.run(feeds))
    for each in (together, right):
        each.reset_streams([2, 0])
    assert np.array_equal(together.run(feeds), right.run(feeds))
    kept = together.state
    expected = together.run(feeds[:5])
    together.reset()
    together.state = kept
    assert np.array_equal(together.run(feeds[:5]), expected)
    with pytest.raises(rt.BackendError, match="expected arrays named"):
        together.state = {"h": np.zeros((3, 13))}
    other = open_backend("ethosu", bundle)  # a second one in this process
    right_alone = open_backend("tosa", bundle)
    assert np.array_equal(other.run(rows[:20]), right_alone.run(rows[:20]))
    assert np.array_equal(together.run(feeds[5:]), _from(right, kept, feeds)[5:])


def _from(backend: rt.Backend, state: Any, rows: Any) -> Any:
    backend.state = state
    return backend.run(rows)


@pytest.mark.usefixtures("npu")
def test_a_closed_one_says_so(bundle: rt.Bundle, rows: Any) -> None:
    backend = open_backend("ethosu", bundle)
    backend.close()
    backend.close()
    with pytest.raises(rt.BackendError, match="this session is closed"):
        backend.step(rows[0])


@pytest.mark.usefixtures("npu")
def test_auto_tries_it_first_and_takes_the_fastest(bundle: rt.Bundle) -> None:
    choice = rt.choose_backend(bundle, recall=False)
    choice.backend.close()
    first = choice.reasons[0]
    assert (first.backend, first.artifact) == ("ethosu", MEMBER)
    assert first.text.startswith("right (nrmse ")
    assert choice.name != "ethosu"  # our stand-in is slower than a CPU


# --- what goes wrong ---


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("create", r"did not take .*\.tflite with .*: Failed to load delegate .* no NPU here at"),
        ("prepare", r"did not take .*\.tflite with "),
        ("ignore", r"did not take .*: Encountered unresolved custom op: ethos-u"),
    ],
)
@pytest.mark.usefixtures("npu")
def test_a_delegate_that_refuses(
    bundle: rt.Bundle, monkeypatch: pytest.MonkeyPatch, fault: str, words: str
) -> None:
    monkeypatch.setenv("NPU_FAULT", fault)
    with pytest.raises(rt.BackendUnavailableError, match=words) as raised:
        open_backend("ethosu", bundle)
    assert "\n" not in str(raised.value)
    choice = rt.choose_backend(bundle, recall=False)
    choice.backend.close()
    assert choice.reasons[0].text.startswith("not here: the NPU did not take ")


@pytest.mark.usefixtures("npu")
def test_no_library_and_no_device(
    bundle: rt.Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_LSTM_ETHOSU_DELEGATE", str(tmp_path / "none.so"))
    with pytest.raises(
        rt.BackendUnavailableError, match=r"did not take .* with .*none\.so: .*cannot open shared"
    ):
        open_backend("ethosu", bundle)
    other = ctypes.util.find_library("m")
    monkeypatch.setenv("EDGE_LSTM_ETHOSU_DELEGATE", str(other))
    with pytest.raises(rt.BackendUnavailableError, match=rf"with {other}: it is no delegate"):
        open_backend("ethosu", bundle)
    monkeypatch.setenv("EDGE_LSTM_ETHOSU_DEVICE", str(tmp_path / "none"))
    with pytest.raises(
        rt.BackendUnavailableError, match=r"this machine has no .*/none: is it an i\.MX 93, and is"
    ):
        open_backend("ethosu", bundle)


def test_no_litert(bundle: rt.Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    monkeypatch.setitem(sys.modules, "tflite_runtime", None)
    with pytest.raises(
        rt.BackendUnavailableError, match=r"needs LiteRT .*run there: pip install ai-edge-litert$"
    ):
        open_backend("ethosu", bundle)


@pytest.mark.usefixtures("npu")
def test_the_older_name_of_litert_will_do(
    bundle: rt.Bundle, rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ai_edge_litert
    from ai_edge_litert import interpreter

    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    monkeypatch.setitem(sys.modules, "tflite_runtime", ai_edge_litert)
    monkeypatch.setitem(sys.modules, "tflite_runtime.interpreter", interpreter)
    assert open_backend("ethosu", bundle).run(rows[:3]).shape == (3, 3)


@pytest.mark.parametrize(
    ("wrong", "allowed", "words"),
    [
        ("1", "", ""),
        ("1", "0", "y of golden sample 0 is off by 1 units of its integers, at most 0"),
        ("-2", "", "y of golden sample 0 is off by 2 units of its integers, at most 1"),
        ("2", "2", ""),
        (f"3 {NEW_H}", "", r"r0\.h of golden sample 0 is off by 3 units"),
        (f"300 {NEW_C}", "299", r"r0\.c of golden sample 0 is off by 300 units .*at most 299"),
    ],
)
@pytest.mark.usefixtures("npu")
def test_the_self_check_compares_every_integer(
    bundle: rt.Bundle, monkeypatch: pytest.MonkeyPatch, wrong: str, allowed: str, words: str
) -> None:
    monkeypatch.setenv("NPU_WRONG", wrong)
    monkeypatch.setenv("EDGE_LSTM_ETHOSU_UNITS", allowed)
    if not words:
        open_backend("ethosu", bundle)
        return
    with pytest.raises(rt.BackendError, match=rf"^the NPU gives wrong answers here: {words}"):
        open_backend("ethosu", bundle)
    choice = rt.choose_backend(bundle, recall=False)
    choice.backend.close()
    assert choice.reasons[0].text.startswith("failed: the NPU gives wrong answers here")


@pytest.mark.usefixtures("npu")
def test_another_limit_must_be_a_number(bundle: rt.Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_LSTM_ETHOSU_UNITS", "some")
    with pytest.raises(rt.ConfigError, match=r"EDGE_LSTM_ETHOSU_UNITS is 'some'; expected a whole"):
        open_backend("ethosu", bundle)


@pytest.mark.usefixtures("npu")
def test_a_step_that_fails_leaves_the_state(
    bundle: rt.Bundle, rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = open_backend("ethosu", bundle)
    backend.run(rows[:3])
    before = backend.state
    monkeypatch.setenv("NPU_FAULT", "invoke")
    with pytest.raises(rt.BackendError, match=r"^the NPU failed in this step: .*inference failed"):
        backend.step(rows[3])
    assert all(np.array_equal(array, before[name]) for name, array in backend.state.items())
    monkeypatch.delenv("NPU_FAULT")
    right = open_backend("tosa", bundle)
    right.run(rows[:3])
    assert np.array_equal(backend.step(rows[3]), right.step(rows[3]))


def _renamed(program: Any) -> None:
    program["tensors"]["other"] = program["tensors"].pop("x")
    program["inputs"][0] = "other"


def _wider(program: Any) -> None:
    program["tensors"]["x"]["dtype"] = "int8"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_renamed, "its inputs are .*'x'.*; expected .*'other'"),
        (_wider, r"its inputs are .*'x': \('int16', 3\).*expected .*'x': \('int8', 3\)"),
        (lambda p: p["outputs"].pop(), f"its outputs are .*{NEW_C}.*; expected .*{Y}"),
        (lambda p: p["tensors"][NEW_H]["shape"].append(2), r"\('int16', 13\).*\('int16', 26\)"),
    ],
)
@pytest.mark.usefixtures("npu")
def test_a_file_of_another_program_is_refused(
    tmp_path: Path, change: Callable[[Any], None], words: str
) -> None:
    program, constants = unpack(recorded("tosa"), MEMBER)
    change(program)
    other = board_bundle(tmp_path / "other.edge", tosa=pack(program, constants))
    with pytest.raises(
        rt.BundleError, match=rf"^{BESIDE} is not of the bundle's integer .*{words}"
    ):
        open_backend("ethosu", other)


@pytest.mark.parametrize(
    ("key", "value"),
    [("tensors", []), ("tensors", {}), ("inputs", 3), ("inputs", [[]]), ("outputs", None)],
)
@pytest.mark.usefixtures("npu")
def test_a_malformed_program_is_refused(tmp_path: Path, key: str, value: Any) -> None:
    program, constants = unpack(recorded("tosa"), MEMBER)
    program[key] = value
    other = board_bundle(tmp_path / "other.edge", tosa=pack(program, constants))
    with pytest.raises(rt.BundleError) as raised:
        open_backend("ethosu", other)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"TFL3" * 20, recorded("tflite")[:5000]])
@pytest.mark.usefixtures("npu")
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    damaged = board_bundle(tmp_path / "damaged.edge", tflite=content)
    with pytest.raises(rt.BackendUnavailableError, match=rf"did not take {BESIDE} with"):
        open_backend("ethosu", damaged)


@pytest.mark.usefixtures("npu")
def test_a_bundle_without_the_file_and_another_boards(
    bundle: rt.Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slim = board_bundle(tmp_path / "slim.edge", tflite=None)
    with pytest.raises(rt.BackendUnavailableError, match=f"the bundle has no {BESIDE}; export it"):
        open_backend("ethosu", slim)
    soc = tmp_path / "compatible"
    soc.write_bytes(b"fsl,imx93-11x11-evk\0fsl,imx93\0")
    monkeypatch.setattr(board, "_SOC_FILE", soc)
    open_backend("ethosu", bundle)
    bundle.manifest["artifacts"][MEMBER]["target"] = "imx93"
    open_backend("ethosu", bundle)
    bundle.manifest["artifacts"][MEMBER]["target"] = "ethos-u55-128"
    try:
        with pytest.raises(
            rt.BackendUnavailableError,
            match=f"^{MEMBER} is for ethos-u55-128 and this board has an ethos-u65-256; export",
        ):
            open_backend("ethosu", bundle)
    finally:
        bundle.manifest["artifacts"][MEMBER]["target"] = "ethos-u65-256"


# --- the commands ---


def test_facts() -> None:
    facts = facts_of("ethosu")
    assert (facts.auto, facts.timed, facts.artifact) == (True, True, "tosa")
    assert facts.devices == ("/dev/ethosu0",)


def test_every_command_says_it_in_one_line(
    file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without an NPU. What is said is said by us, and LiteRT is not asked."""
    no_npu = "this machine has no /dev/ethosu0: is it an i.MX 93, and is the module ethosu loaded?"
    (tmp_path / "x.csv").write_text("0.1,0.2,0.3\n")
    given = ["--input", str(tmp_path / "x.csv")]
    for verb, code in (("check", 2), ("bench", 2), ("run", 2)):
        options = given if verb == "run" else []
        assert main([verb, str(file), "--backend", "ethosu", *options]) == code
        out, err = capfd.readouterr()
        said = [line for line in err.splitlines() if "measuring" not in line]
        assert (out, len(said)) == ("", 1)
        assert f"{no_npu} The other backends work without it: --backend numpy" in err
    assert main(["run", str(file), *given]) == 0
    out, err = capfd.readouterr()
    assert len(out.splitlines()) == 1
    assert f"ethosu ({MEMBER}): not here: {no_npu}" in err
    assert main(["info", str(file)]) == 0
    assert "an NXP i.MX 93 with /dev/ethosu0" in capfd.readouterr().out
    assert main(["service", str(file)]) == 0
    assert "DeviceAllow=/dev/ethosu0" in capfd.readouterr().out


@pytest.mark.usefixtures("npu")
def test_check_and_bench_on_the_npu(
    file: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """bench runs it in a process of its own, which a delegate that crashes ends alone."""
    assert main(["check", str(file), "--backend", "ethosu"]) == 0
    assert capfd.readouterr().out.split()[:3] == ["ethosu", MEMBER, "ok"]
    bench = ["bench", str(file), "--backend", "ethosu", "--steps", "50", "--json"]
    assert main(bench) == 0
    (line,) = capfd.readouterr().out.splitlines()
    assert json.loads(line)["backend"] == "ethosu"
    monkeypatch.setenv("NPU_FAULT", "crash")
    assert main(bench) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines()[-1].endswith("backend 'ethosu' ended its process with code -6")
    assert "Traceback" not in err
