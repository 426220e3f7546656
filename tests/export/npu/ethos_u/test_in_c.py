"""The C export with a step for Ethos-U. A driver of the tests stands in the place of Arm's, and has
the answers of the integer program."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from edge_lstm_export import export_c
from edge_lstm_export.c.style import CStyle
from edge_lstm_runtime import Bundle, ConversionError
from edge_lstm_runtime.backends.registry import open_backend
from edge_lstm_runtime.cli import main
from helpers.ethos_u import Board, Npu, library, payload, raw
from helpers.tosa_recorded import FILES, Recorded

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
STYLE = CStyle(npu="ethos-u55-128")
NULL_POINTER, NO_KERNEL = 1, 8  # of el_status


def bundle_of(recorded: Recorded, folder: Path, **other: object) -> Bundle:
    return recorded.bundle(folder, {"a.npz": raw(recorded, **other)})


@pytest.fixture(scope="module", params=FILES)
def made(request, tmp_path_factory):
    """A bundle and its folder. One of them has a prefix, and a scale for each value of a state."""
    recorded = Recorded(request.param)
    if request.param == "lstm":
        columns = [2.0 ** -(k % 4) for k in range(16)]
        recorded.program["edges"]["lstm0.c"]["columns"] = columns
    folder = tmp_path_factory.mktemp(request.param)
    prefix = {"gru": "model", "lstm": "gesture"}[request.param]
    bundle = bundle_of(recorded, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edge_lstm_export.c.export.build_and_run", lambda *_: None)
        style = dataclasses.replace(STYLE, prefix=prefix)
        export_c(bundle, folder / "c", style=style)
    return bundle, folder / "c", prefix


@pytest.fixture(scope="module")
def board(made, tmp_path_factory):
    bundle, folder, prefix = made
    built = library(folder, tmp_path_factory.mktemp("so") / "npu.so", prefix)
    return Board(built, Npu(bundle, "a.tosa"), bundle.spec, prefix)


def integers(bundle, samples):
    backend = open_backend("tosa", bundle)
    return backend.run(bundle.spec.features(samples).astype(np.float32)), backend.state


def test_answers_are_the_integers_to_the_bit(made, board):
    bundle, _, _ = made
    samples = bundle.golden[0]
    expected, _ = integers(bundle, samples)
    on_cpu = board.run(samples)
    board.start()
    assert np.array_equal(board.run(samples), expected)
    board("reset")
    assert np.array_equal(board.run(samples), expected)
    assert float(np.ptp(expected)) > 0.1
    assert not np.array_equal(on_cpu, expected)
    board("reset")
    beyond = samples[:3] * 1e4
    assert np.array_equal(board.run(beyond), integers(bundle, beyond)[0])


def test_the_driver_s_error_is_told_and_the_cpu_goes_on(made, board):
    bundle, _, _ = made
    samples = bundle.golden[0]
    expected, state = integers(bundle, np.delete(samples[:20], 10, axis=0))
    board.start()
    found = board.run(samples[:10])
    board.error = -7
    assert np.isnan(board.step(samples[10])).all()
    assert (board.status, board.driver_error()) == (NO_KERNEL, -7)
    board.error = 0
    found = np.concatenate([found, board.run(samples[11:20])])
    assert np.array_equal(found, expected)
    assert board.driver_error() == 0
    assert board("run_on", None) == 0
    kernel = open_backend("numpy", bundle)
    kernel.state = state
    rows = bundle.spec.features(samples[20:30]).astype(np.float32)
    np.testing.assert_allclose(board.run(samples[20:30]), kernel.run(rows), atol=1e-5)


def test_a_driver_that_is_not_there_changes_nothing(made, board):
    bundle, _, _ = made
    assert board("init") == 0
    assert board("npu_start", None) == NULL_POINTER
    rows = bundle.spec.features(bundle.golden[0][:5]).astype(np.float32)
    expected = open_backend("numpy", bundle).run(rows)
    np.testing.assert_allclose(board.run(bundle.golden[0][:5]), expected, atol=1e-5)


def test_fast_scratch_memory_and_an_older_driver(tmp_path, monkeypatch):
    """Memory near the NPU is a third base address. In 0.16.0 the driver's pointers are const."""
    monkeypatch.setattr("edge_lstm_export.c.export.build_and_run", lambda *_: None)
    fast = {"scratch_fast_size": np.int64(100), "scratch_fast_region": np.int64(2)}
    bundle = bundle_of(Recorded("lstm"), tmp_path, **fast)
    exported(bundle, tmp_path)
    told = (tmp_path / "c/ethos-u/README.md").read_text()
    assert "| fast scratch, RAM near the NPU | 100 |" in told
    older = ("-DOLD", "-USTAND_IN_BASES", "-DSTAND_IN_BASES=3")
    built = library(tmp_path / "c", tmp_path / "npu.so", "model", *older)
    board = Board(built, Npu(bundle, "a.tosa"), bundle.spec)
    board.start()
    samples = bundle.golden[0][:10]
    assert np.array_equal(board.run(samples), integers(bundle, samples)[0])


def test_an_npu_that_no_corstone_300_has_needs_its_addresses(tmp_path, monkeypatch):
    monkeypatch.setattr("edge_lstm_export.c.export.build_and_run", lambda *_: None)
    recorded = Recorded("gru")
    recorded.target = "ethos-u85-256"
    bundle = bundle_of(recorded, tmp_path)
    exported(bundle, tmp_path, npu="ethos-u85-256")
    made = (tmp_path / "c/ethos-u/CMakeLists.txt").read_text()
    assert 'set(NPU_BASE "" CACHE' in made
    assert "set(ETHOSU_TARGET_NPU_CONFIG ethos-u85-256 CACHE" in made
    assert "which has no ethos-u85-256" in (tmp_path / "c/ethos-u/README.md").read_text()


def test_the_files_of_the_folder(made):
    _, folder, prefix = made
    assert {path.name for path in (folder / "ethos-u").iterdir()} == {
        *(f"{prefix}_npu.c", f"{prefix}_npu.h", f"{prefix}_npu_golden.h"),
        *("main.c", "start.c", "link.ld", "CMakeLists.txt", "README.md"),
    }
    texts = [path.read_text() for path in (folder / "ethos-u").iterdir()]
    assert prefix == "model" or not any("model_" in text or "EL_" in text for text in texts)
    written = (folder / "ethos-u" / f"{prefix}_npu.c").read_text()
    commands = written.split("_commands[10]")[1].split("};")[0]
    words = [int(word, 16) for word in re.findall(r"0x[0-9a-f]{8}", commands)]
    assert np.array(words, "<u4").tobytes() == payload()
    told = (folder / "ethos-u" / "README.md").read_text()
    assert "| weights, constant | 37 |" in told
    assert "Nothing here has run on an NPU" in told
    assert "FVP_Corstone_SSE-300_Ethos-U55 -C ethosu.num_macs=128 " in told
    assert "| `ethos-u/` |" in (folder / "README.md").read_text()


def exported(bundle, tmp_path, **style):
    style = dataclasses.replace(STYLE, **style)
    export_c(bundle, tmp_path / "c", style=style)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"cmd_data": np.frombuffer(b"COP2" + payload()[4:], np.uint8)}, "another header"),
        ({"weight_region": np.int64(3)}, r"weight is in region \{3\}, expected 0"),
        ({"output_region": np.array([1, 2])}, r"output is in region \{1, 2\}, expected 1"),
        ({"scratch_fast_size": np.int64(64)}, "scratch_fast_region"),
        ({"input_name": np.array(["x", "y"])}, r"a.npz names the inputs .* export it again"),
        ({"input_elem_size": np.array([2, 1])}, "x has 8 values of 8 bits, expected 8 of int16_t"),
        ({"output_offset": np.array([0, 1000])}, "y lies at 1000, outside of the scratch memory"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_the_call_does_not_fit_is_refused(tmp_path, other, message):
    bundle = bundle_of(Recorded("gru"), tmp_path, **other)
    with pytest.raises(ConversionError, match=message):
        exported(bundle, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["npu.edge"]


def test_a_model_that_the_bundle_does_not_have_is_refused(tmp_path, capsys):
    bundle = Recorded("gru").bundle(tmp_path)
    with pytest.raises(ConversionError, match=r"the bundle has no a.npz; export it with --target"):
        exported(bundle, tmp_path)
    with pytest.raises(
        ConversionError, match=r"no model for ethos-u65-256, .* \(a.tosa\); export it"
    ):
        exported(bundle, tmp_path, npu="ethos-u65-256")
    asked = ["--target", "c", "--target", "ethos-u55-128", "--scheme", "a8w8"]
    assert main(["export", str(tmp_path / "npu.edge"), "-o", str(tmp_path / "c"), *asked]) == 2
    assert (
        "no model for ethos-u55-128 a8w8, of its converted models (a.tosa); export it"
        in capsys.readouterr().err
    )
