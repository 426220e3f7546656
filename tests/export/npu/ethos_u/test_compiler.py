"""The real ExecuTorch, Vela and TOSA's reference model."""

from __future__ import annotations

import subprocess
import tempfile
from configparser import ConfigParser

import numpy as np
import pytest

from edge_lstm_export.npu.ethos_u import compiled
from edge_lstm_export.npu.ethos_u.compiled import Compiled, ReferenceModel
from edge_lstm_export.npu.ethos_u.conversion import Conversion
from edge_lstm_export.npu.ethos_u.environment import ENVIRONMENT
from edge_lstm_export.npu.ethos_u.sim import open_backend
from edge_lstm_export.npu.ethos_u.targets import targets
from edge_lstm_export.npu.worker.child import Tool
from edge_lstm_export.npu.worker.making import interpreter
from edge_lstm_runtime import Reference, compare, load
from edge_lstm_runtime.backends.ethosu.board import EthosUBackend, Npu
from edge_lstm_runtime.backends.tosa import open_backend as open_integers
from edge_lstm_runtime.backends.tosa.program import unpack
from edge_lstm_runtime.cli import main
from helpers.calibration import calibration_for
from helpers.ethosu import delegate, on_the_board
from helpers.faults import fails
from helpers.on_request import ON_REQUEST
from helpers.paths import ROOT
from helpers.specs import feature_rows, mixed_spec, normed_spec, one_layer_spec
from helpers.weights import counting_weights, random_weights

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        ENVIRONMENT.unsupported_reason() is not None, reason=f"{ENVIRONMENT.unsupported_reason()}"
    ),
]
STEPS = 1000
WRONG_GRAPHS = ROOT / "tests/helpers/wrong_graphs.py"
COUNTS = one_layer_spec("lstm")
SIGMOID = one_layer_spec("gru", head="sigmoid")  # a table behind one product
RELU = one_layer_spec("rnn", activation="relu", initial=[[0.5, 1.0] * 6 + [0.0]])
MEMBER = "ethos-u55-128-a16w8.tosa"


@pytest.fixture
def on_linux(tmp_path, monkeypatch):
    """Real LiteRT and a delegate of ours, with the program in the NPU's place."""

    def opened(spec, model: bytes, file: bytes):
        on_the_board(monkeypatch, delegate(tmp_path), model, tmp_path)
        program, constants = unpack(model, "the program")
        return EthosUBackend(spec, program, constants, Npu(file, program, "the file"))

    return opened


@pytest.fixture
def in_a_space(tmp_path, monkeypatch):
    """The path of the temporary folder has one."""
    folder = tmp_path / "a space"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))


@pytest.mark.usefixtures("in_a_space")
@pytest.mark.parametrize(
    ("spec", "target", "scheme", "form", "limit"),
    [
        pytest.param(SIGMOID, "ethos-u65-256", "a8w8", "mixed", 3e-2, marks=ON_REQUEST),
        pytest.param(mixed_spec(), "alif-e8-u85", "a16w8", "fine", 1e-3, marks=ON_REQUEST),
        (RELU, "alif-e7-he", "a8w8", "plain", 5e-2),
        (COUNTS, "ethos-u55-128", "a16w8", "fine", 1e-3),
        (normed_spec("lstm"), "ethos-u55-128", "a16w8", "fine", 2e-3),
    ],
    ids=["gru", "graph", "relu", "counts", "norm"],
)
def test_all_runs_on_the_npu_and_our_integers_are_the_models(
    spec, target, scheme, form, limit, on_linux
):
    weights = counting_weights(spec) if spec is COUNTS else random_weights(spec)
    samples = calibration_for(spec, weights, 400)
    rows = feature_rows(spec, STEPS)
    chip = targets()[target]
    with Compiled(Conversion(spec, weights, samples, chip, scheme, form)) as made:
        check_configuration(made.summary, chip)
        assert made.on_cpu == 0
        assert {row["Target"] for row in made.operators} == {"NPU"}
        assert made.cycles > 100
        model = ReferenceModel(made)
        ours = made.integers()
        expected = model.run(rows)
        assert np.array_equal(ours.run(rows), expected)
        assert all(np.array_equal(a, ours.state[n]) for n, a in model.state.items())
        assert compare(expected, Reference(spec, weights).run(rows)).nrmse < limit
        model.reset()
        assert model.run(rows[:0]).shape == (0, expected.shape[1])
        assert np.array_equal(model.run(rows[:3]), expected[:3])
        carried = model.state
        again = model.run(rows[3:6])
        model.state = carried
        assert np.array_equal(model.run(rows[3:6]), again)
        check_trace(made, rows[:40], expected[:40])
        files = made.files_of
        assert files["pte"][4:8] == b"ET12"  # of ExecuTorch's flatbuffer
        assert files["flatbuffer"][4:8] == b"TOSA"
        # Of TFLite's: all is one operator of the delegate.
        assert files["tflite"][4:8] == b"TFL3"
        assert files["tflite"].count(b"ethos-u") == 1
        board = on_linux(spec, made.model, files["tflite"])
        board.check(rows[:10])
        assert np.array_equal(board.run(rows[:100]), expected[:100])


def check_configuration(summary, chip):
    """Vela has compiled with the configuration of the table, a board's too."""
    told = (summary["accelerator_configuration"], summary["system_config"], summary["memory_mode"])
    npu = chip.npu.title().replace("-", "_")
    assert told == (npu, chip.system_config, chip.memory_mode)
    assert float(summary["core_clock"]) == chip.clock_mhz * 1e6
    if chip.name == "alif-e8-u85":  # what Alif's own documentation prints, in GiB/s
        found = [round(float(summary[f"{m}_bandwidth"]), 2) for m in ("sram", "off_chip_flash")]
        assert found == [11.92, 0.72]


def test_the_configurations_of_the_table_are_those_of_velas_file():
    read = (
        "import sys; from pathlib import Path; from ethosu.vela import architecture_features as a; "
        "sys.stdout.write((Path(a.CONFIG_FILES_PATH) / 'Arm/vela.ini').read_text('utf-8'))"
    )
    command = [interpreter(ENVIRONMENT, print), "-c", read]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    vela = ConfigParser()
    vela.read_string(done.stdout)
    for chip in targets().values():
        assert f"Memory_Mode.{chip.memory_mode}" in vela
        name = f"System_Config.{chip.system_config}"
        assert (name in vela) == (not chip.section)  # a section of our own hides none of Vela's
        if name in vela:
            assert float(vela[name]["core_clock"]) == chip.clock_mhz * 1e6


def check_trace(made, rows, answers):
    """The values inside are those of the same model, and each follows float64."""
    traced = {one.name: one for one in made.trace(rows)}
    assert np.array_equal(traced["y"].found.astype(np.float32), answers)
    assert set(made.spec.network.state) < set(traced)
    assert sum(name.count(".") > 1 for name in traced) > 2  # LAYER.NUMBER.OPERATOR
    errors = {name: compare(one.found, one.reference).nrmse for name, one in traced.items()}
    assert 1e-6 < max(errors.values()) < 0.1, errors


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (one_layer_spec("lstm"), "made a graph that does not read states_0"),
        (RELU, r"made another graph than it was given: NRMSE of y \d.* expected 0.1 or less"),
    ],
    ids=["one tensor as h0 and c0", "another grid behind relu"],
)
def test_a_graph_that_executorch_makes_wrong_and_says_nothing(spec, message, monkeypatch):
    """As it did before: the faults are put back into the worker."""
    monkeypatch.setattr(compiled, "TOOL", Tool(ENVIRONMENT, WRONG_GRAPHS))
    weights = random_weights(spec)
    samples = calibration_for(spec, weights, 400)
    fails(
        lambda: Compiled(
            Conversion(spec, weights, samples, targets()["ethos-u55-128"], "a8w8", "plain")
        ),
        rf"ethos-u55-128 a8w8 plain\) failed in build: RuntimeError: ExecuTorch {message}",
    )


def test_the_commands_of_the_page(exported, tmp_path, capsys, monkeypatch):
    """docs/ethos-u.md, from the export to the check. Of the schemes, one."""
    file = exported
    bundle = load(file).bundle
    row = bundle.manifest["artifacts"][MEMBER]
    assert {f"ethos-u55-128-a16w8.{kind}" for kind in ("pte", "tflite", "npz")} <= set(
        bundle.members
    )
    tensors = {one["name"]: one["nrmse"] for one in row["inspection"]["tensors"]}
    assert list(tensors)[:3] == ["y", "lstm0.h", "lstm0.c"]
    assert any(name.endswith("sigmoid") for name in tensors)
    assert 0 < max(tensors.values()) < 1e-2
    made_by = bundle.manifest["versions"]
    assert (made_by["executorch"], made_by["ethos-u-vela"]) == ("1.5.1", "5.1.0")
    told = {one["what"]: one for one in row["estimates"]}
    assert told["operators on the CPU"]["value"] == "0"
    assert {one["source"] for one in told.values()} == {"Vela's estimate, not a measurement"}
    report = file.with_suffix(".html").read_text("utf-8")
    assert "estimate, not a measurement" in report
    capsys.readouterr()
    assert main(["check", str(file), "--backend", "tosa", "--artifact", MEMBER]) == 0
    assert "tosa" in capsys.readouterr().out
    rows = bundle.spec.features(bundle.golden[0])[:20].astype(np.float32)
    model = open_backend(bundle, artifact=MEMBER)
    try:
        ours = open_integers(bundle, artifact=MEMBER)
        assert np.array_equal(model.run(rows), ours.run(rows))
    finally:
        model.close()
    monkeypatch.setenv("EDGE_LSTM_CACHE", str(tmp_path / "cache"))  # on a board, say
    assert main(["lint", str(file), "--target", "ethos-u55-128"]) == 0
    slim = tmp_path / "slim.edge"
    assert main(["slim", str(file), "-o", str(slim), "--keep", "ethos-u55-128"]) == 0
    assert "tosa" not in load(slim).bundle.left_out
    assert main(["check", str(slim), "--backend", "tosa", "--artifact", MEMBER]) == 0
