"""The times of an export: where they are kept, and where not."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from edge_lstm import Run, load_run
from edge_lstm.runs.speed import FILE, known
from edge_lstm_export import export_run
from edge_lstm_export.measure.keys import NATIVE, NATIVE_FP16, NATIVE_INT8, NUMPY, onnx
from edge_lstm_export.measure.speed import machine
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.backends.native_int8 import MEMBER
from edge_lstm_runtime.model.bundle import read_bundle
from helpers.sentences import table_facts


def test_the_times_are_in_the_report_and_in_the_run_and_not_in_the_bundle(
    forecast_run: Run, tmp_path: Path
) -> None:
    shutil.copytree(forecast_run.path, tmp_path / "run")
    (tmp_path / "run" / FILE).unlink(missing_ok=True)
    run = load_run(tmp_path / "run")
    work = export_run(run, tmp_path / "a.edge", schemes=())
    names = [speed.name for speed in work.speeds]
    # one graph of the two
    assert names == [NUMPY, NATIVE, onnx("model.onnx"), NATIVE_INT8, NATIVE_FP16]
    weights = {speed.name: speed.weights for speed in work.speeds}
    bundle = read_bundle(work.out)
    assert weights[NUMPY] == sum(array.nbytes for array in run.weights.values())
    assert weights[NATIVE] == NativeBackend(run.spec, run.weights).weight_bytes
    assert weights[onnx("model.onnx")] == len(bundle.members["model.onnx"])
    assert max(weights[NATIVE_INT8], weights[NATIVE_FP16]) < weights[NATIVE]
    assert MEMBER in bundle.members

    page = work.out.with_suffix(".html").read_text("utf-8")
    told = {fact.path: fact.value for fact in table_facts(page)}
    for speed in work.speeds:
        shown = f"{speed.p50_us:.2f}" if speed.p50_us < 10 else f"{speed.p50_us:,.1f}"
        assert f">{shown}</td>" in page
        name = speed.name.backend
        found = [v for p, v in told.items() if p.startswith(f"speed/{name}, {shown}/weights")]
        assert found == [speed.weights / 1000]
    # A Cortex-A76 does 8 multiply-accumulates a cycle, and a Raspberry Pi 5 2,400 cycles a µs.
    least = f"{run.spec.network.macs_per_step / (8 * 2400):.2g}"  # 0.017 or so
    cells = ("Raspberry Pi 5", "Cortex-A76", least)
    row = "</td><td[^>]*>".join(map(re.escape, cells)) + "</td>.*>estimate<"
    assert re.search(row, page)
    assert "an estimate, not a measurement" in page
    kept = json.loads((tmp_path / "run" / FILE).read_text())
    first = work.recommended[0]
    assert re.match(rf"Use {re.escape(kept['backends'][0]['backend'])}: ", first)
    assert kept["machine"] == machine()
    assert {row["backend"] for row in kept["backends"]} == {n.backend for n in names}
    us, backend = known(tmp_path / "run")
    assert backend == kept["backends"][0]["backend"]
    assert us == kept["backends"][0]["p50_us"]
    assert "p50_us" not in json.dumps(bundle.manifest)
    # Other times, the same bundle.
    before = work.out.read_bytes()
    again = export_run(run, tmp_path / "b.edge", schemes=())
    assert again.out.read_bytes() == before
    assert again.speeds != work.speeds


def test_a_run_that_can_not_be_written_is_exported_all_the_same(
    forecast_run: Run, tmp_path: Path
) -> None:
    shutil.copytree(forecast_run.path, tmp_path / "run")
    (tmp_path / "run" / FILE).unlink(missing_ok=True)
    (tmp_path / "run" / FILE).mkdir()
    said: list[str] = []
    work = export_run(tmp_path / "run", tmp_path / "a.edge", schemes=(), say=said.append)
    assert any(line.startswith(f"  {tmp_path / 'run'}: the times are not kept") for line in said)
    assert work.out.with_suffix(".html").exists()
