"""A layer type from outside the packages, one runtime file.

It is found, trained, exported, checked and listed.

UGRNN (Collins et al. 2017, arXiv 1611.09913): g = sigmoid(.), c = tanh(.), h = g h + (1 - g) c.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_lstm import load_config, train
from edge_lstm.results.run import Run
from edge_lstm_export import export_run
from edge_lstm_runtime import check_backend, load
from edge_lstm_runtime.cli import main
from edge_lstm_runtime.errors import BackendUnavailableError, ConfigError, EdgeLstmError
from edge_lstm_runtime.model.measured import Measured, read_measured
from helpers.arrays import Array
from helpers.configs import CLASSIFY
from helpers.plug_ins import plug_in
from helpers.tolerances import assert_close

UGRNN = '''
"""UGRNN."""
import dataclasses

from edge_lstm_runtime.layers import Layer


@dataclasses.dataclass(frozen=True)
class Ugrnn(Layer):
    type = "ugrnn"
    units: int

    @property
    def bounded(self):
        return True

    def outputs(self, inputs):
        return self.units

    def weights(self, inputs):
        columns = 2 * self.units
        return {"W_x": (inputs, columns), "W_h": (self.units, columns), "b": (columns,)}

    def state(self, inputs):
        return {"h": self.units}

    def cell(self, ops, product, weights, x, state):
        sums = product("W_x", x) + product("W_h", state["h"]) + weights["b"]
        g, c = ops.split(ops.sums(sums), 2)
        g = ops.keep("g", ops.sigmoid(g))
        c = ops.tanh(c)
        h = g * state["h"] + (1 - g) * c
        return h, {"h": h}


LAYER = Ugrnn
'''
CONFIG = CLASSIFY.replace(
    "hidden_size = 6", 'type = "ugrnn"\nhidden_size = 8\nnum_layers = 2'
).replace("epochs = 2", "epochs = 8")


def write_data(path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = ["subject,activity,a,b"]
    for subject in range(1, 6):
        for activity, steps, level in (("walk", 20, 1.0), ("rest", 15, -1.0)):
            for a, b in rng.normal(level, 1.0, (steps, 2)):
                lines.append(f"s{subject},{activity},{a:.4f},{b:.4f}")
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The plug-in is installed, and the folder has a configuration and its data."""
    site = tmp_path / "site"
    site.mkdir()
    plug_in(site, "toyugrnn", group="edge_lstm.layers", ugrnn=UGRNN)
    monkeypatch.syspath_prepend(site)
    write_data(tmp_path / "data.csv")
    (tmp_path / "c.toml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def run(outside: Path) -> Run:
    return train(load_config(outside / "c.toml"), outside / "run")


def by_hand(run: Run, x: Array) -> Array:
    """(T, C) raw -> (T, O), by the equations in float64."""
    weights = {name: array.astype(np.float64) for name, array in run.weights.items()}
    values = run.spec.inputs.features(x)[0]
    for name in ("ugrnn0", "ugrnn1"):
        W_x, W_h, b = (weights[f"{name}.{part}"] for part in ("W_x", "W_h", "b"))
        h = np.zeros(8)
        found = []
        for row in values:
            g, c = np.split(row @ W_x + h @ W_h + b, 2)
            g = 1 / (1 + np.exp(-g))
            h = g * h + (1 - g) * np.tanh(c)
            found.append(h)
        values = np.array(found)
    return values @ weights["head.W"] + weights["head.b"]


def test_it_trains_and_becomes_a_bundle(run: Run, tmp_path: Path) -> None:
    assert run.history[-1]["train_loss"] < 0.8 * run.history[0]["train_loss"]
    work = export_run(run, tmp_path / "toy.edge", schemes=())
    assert work.left_out == {}
    model = load(work.out)
    # ONNX has no operator for it, so there is no fused graph.
    assert "cell.onnx" in model.bundle.members
    assert "model.onnx" not in model.bundle.members
    measured = read_measured(model.bundle.manifest["accuracy"])
    assert set(measured) == {Measured("numpy"), Measured("onnx", "cell.onnx")}
    x, expected = model.bundle.golden
    assert_close(expected, by_hand(run, x), "float64", "golden outputs")
    for backend in ("numpy", "onnx"):
        assert check_backend(model.bundle, backend).passed


def test_the_c_kernel_says_that_it_has_no_such_layer(run: Run, tmp_path: Path) -> None:
    work = export_run(run, tmp_path / "toy.edge", schemes=())
    refused = "layer 'ugrnn0' is of type 'ugrnn' and the kernel has "
    with pytest.raises(BackendUnavailableError, match=refused):
        load(work.out).session("native")
    assert any(refused in note for note in work.notes)


def test_it_stands_in_errors(outside: Path) -> None:
    path = outside / "wrong.toml"
    path.write_text(CONFIG.replace('"ugrnn"', '"ugrn"'))
    with pytest.raises(ConfigError, match=r"type = \"ugrn\": expected one of .*lstm.*, ugrnn"):
        load_config(path)


def test_without_the_plug_in_its_bundle_is_refused_by_name(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = export_run(run, tmp_path / "toy.edge", schemes=())
    monkeypatch.undo()
    with pytest.raises(EdgeLstmError, match=r"layer 'ugrnn0': type is 'ugrnn', expected one of "):
        load(work.out)


@pytest.mark.slow
def test_it_runs_on_an_npu(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By its cell alone: fp16, and int8 products with everything else in float16."""
    out = tmp_path / "toy.edge"
    work = export_run(run, out, targets=("rk3588",))
    assert work.left_out == {}
    artifacts = load(out).bundle.manifest["artifacts"]
    forms = {name: row["form"] for name, row in artifacts.items()}
    assert forms == {"rk3588-fp16.rknn": "cell", "rk3588-w8a8.rknn": "packed"}
    measured = read_measured(load(out).bundle.manifest["accuracy"])
    assert measured[Measured("rknn-sim", "rk3588-fp16.rknn")]["nrmse"] < 2e-3
    assert measured[Measured("rknn-sim", "rk3588-w8a8.rknn")]["nrmse"] < 2e-2
    assert main(["check", str(out), "--backend", "numpy"]) == 0
    assert " ok " in capsys.readouterr().out
