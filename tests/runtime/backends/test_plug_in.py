"""A backend from outside, in float16: found, listed, checked by its tolerance, tried, benched."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from edge_lstm_runtime import (
    BackendError,
    Bundle,
    Model,
    check_backend,
    choose_backend,
    load,
    write_bundle,
)
from edge_lstm_runtime.backends.registry import facts_of, names, open_backend
from edge_lstm_runtime.cli import main
from edge_lstm_runtime.model.npz import write_npz
from edge_lstm_runtime.verify.auto import candidate_names
from edge_lstm_runtime.verify.bench import measure
from helpers.bundles import make_bundle
from helpers.commands import edge_lstm
from helpers.paths import ROOT
from helpers.plug_ins import plug_in
from helpers.specs import make_spec, samples

SPEC = make_spec(hidden=16)
HALF = """
import numpy as np

from edge_lstm_runtime import Facts
from edge_lstm_runtime.backends.numpy import NumpyBackend

FACTS = Facts("float16", runs_on="{runs_on}", needs="a toy: pip install toy")


def rounded(array):
    return array.astype(np.float16).astype(np.float32)


class Half(NumpyBackend):
    name = "toy"

    def step(self, features):
        outputs = super().step(rounded(features))
        self.state = {{name: rounded(array) for name, array in self.state.items()}}
        return rounded(outputs)


def open_backend(bundle, *, artifact=None):
    return Half(bundle.spec, {{name: rounded(array) for name, array in bundle.weights.items()}})
"""


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that is on the path: "half", as on a device, and "model", as on its simulator."""
    folder = tmp_path / "site"
    folder.mkdir()
    plug_in(
        folder, "toy", half=HALF.format(runs_on="device"), model=HALF.format(runs_on="simulator")
    )
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    make_bundle(tmp_path / "a.edge", SPEC, steps=300)
    return tmp_path / "a.edge"


@pytest.mark.usefixtures("toys")
def test_it_is_found_and_told(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {"half", "model"} <= set(names())
    assert facts_of("half").number_format == "float16"
    with pytest.raises(
        BackendError,
        match=r"unknown backend 'tpu'; known here: auto, ethosu, half, model, native, ",
    ):
        open_backend("tpu", load(file).bundle)
    assert main(["info", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "  half                    float16         device     a toy: pip install toy" in lines


@pytest.mark.parametrize("verb", ["run", "check", "bench", "generate"])
def test_it_is_listed_in_the_help(verb: str, toys: Path) -> None:
    done = edge_lstm(verb, "--help", folders=[toys], COLUMNS="200")
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"half, model, native, native-fp16, native-int8, numpy, onnx, reference, rknn, "
        r"rknn-sim(, tosa or tosa-sim| or tosa) \(default",
        done.stdout,
    ), done.stdout


@pytest.mark.usefixtures("toys")
def test_it_is_checked_with_the_tolerance_of_float16(file: Path) -> None:
    result = check_backend(load(file).bundle, "half")
    assert (result.tolerance.metric, result.tolerance.limit) == ("nrmse", 2e-3)
    assert result.comparison.max_abs > 1e-5, "by float32's tolerance it would be wrong"
    assert result.passed


def moved(bundle: Bundle, path: Path) -> Bundle:
    """The reference's answers are another net's by 1 % of their spread."""
    x, y = bundle.golden
    return write_bundle(
        path,
        bundle.spec,
        bundle.weights,
        {"golden.npz": write_npz({"x": x, "y": y + 0.01 * y.std()})},
    )


@pytest.mark.usefixtures("toys")
def test_a_wrong_one_is_found_and_refused_at_load(file: Path, tmp_path: Path) -> None:
    bundle = moved(load(file).bundle, tmp_path / "b.edge")
    assert not check_backend(bundle, "half").passed
    with pytest.raises(
        BackendError,
        match=r"backend 'half' gives wrong answers here: nrmse 1\.0e-02 .* at most 2\.0e-03 is "
        r"right",
    ):
        Model(bundle).session("half")


@pytest.mark.usefixtures("toys")
def test_auto_tries_it_and_leaves_its_simulator_alone(file: Path) -> None:
    bundle = load(file).bundle
    (reason,) = (r.text for r in choose_backend(bundle).reasons if r.backend == "half")
    assert re.fullmatch(r"right \(nrmse \d\.\de-0\d\), \d+\.\d µs a step", reason)
    assert choose_backend(bundle, ("half",)).backend.name == "toy"
    assert "half" in candidate_names()
    assert not {"model", "reference", "rknn-sim", "tosa"} & set(candidate_names())


@pytest.mark.usefixtures("toys")
def test_a_session_runs_it(file: Path) -> None:
    model = load(file)
    xs = samples(SPEC, 50)
    with model.session("half") as session, model.session("reference") as judge:
        error = session.run(xs) - judge.run(xs)
    assert 0 < np.sqrt(np.mean(error**2)) / model.bundle.golden[1].std() < 2e-3


def test_it_is_benched(file: Path, toys: Path) -> None:
    done = edge_lstm("bench", file, "--steps", "20", "--streams", "2", "--json", folders=[toys])
    assert done.returncode == 0, done.stderr
    found = {figures["backend"]: figures for figures in map(json.loads, done.stdout.splitlines())}
    assert found["half"]["streams_per_second"] > 0
    assert not found["half"]["simulator"]
    assert found["model"]["simulator"]
    assert found["model"]["streams_per_second"] is None


def test_a_new_one_is_a_new_question_to_auto(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EDGE_LSTM_REMEMBER")
    monkeypatch.setenv("EDGE_LSTM_CACHE", str(tmp_path / "cache"))
    bundle = load(file).bundle
    choose_backend(bundle)
    assert "remembered" in choose_backend(bundle).reasons[0].text
    folder = tmp_path / "new"
    folder.mkdir()
    plug_in(folder, "newcomer", another=HALF.format(runs_on="cpu"))
    monkeypatch.syspath_prepend(folder)
    assert "remembered" not in choose_backend(bundle).reasons[0].text


def test_an_artifact_is_refused_in_one_line(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (file.parent / "in.csv").write_text("1,2,3\n")
    options = ["--backend", "numpy", "--artifact", "a.rknn"]
    for command in (
        ["check", str(file)],
        ["bench", str(file)],
        ["run", str(file), "--input", str(file.parent / "in.csv")],
    ):
        assert main([*command, *options]) == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert last.removesuffix(", tosa-sim") == (  # the desktop's own
            "edge-lstm: error: artifact 'a.rknn' does not apply to backend 'numpy', which runs no "
            "converted model; "
            "leave it out, or choose one of ethosu, rknn, rknn-sim, tosa"
        )


def test_the_plug_in_of_this_project_is_measured_by_name(file: Path) -> None:
    with pytest.raises(BackendError, match="the bundle holds no converted model"):
        measure(file, "rknn-sim", None, 5, 2)


def test_the_table_in_the_docs_names_every_backend() -> None:
    page = (ROOT / "docs" / "backends.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([\w-]+)` \| ([^|]+) \|", page, re.MULTILINE))
    assert {name: rows.get(name, "").strip() for name in names()} == {
        name: facts_of(name).number_format for name in names()
    }
